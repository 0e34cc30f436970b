"""A public source onto this machine: every file checked by its hash before it takes its name, and never fetched twice."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from eval.download import discard, download, tag_file
from eval.sources import SOURCES, Source, SourceFile
from router.errors import DataError
from router.files import sha256_file, write_atomic

LOCK = ".lock"
SUMS = "SHA256SUMS"  # in the form that `sha256sum --check` reads
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def silent(message: str) -> None:
    """The default listener: says nothing."""


def unmoved(done: int, total: int) -> None:
    """The default listener to bytes: says nothing."""


def fetch(
    name: str,
    *,
    cache: Path,
    sources: Mapping[str, Source] = SOURCES,
    notify: Callable[[str], None] = silent,
    advance: Callable[[int, int], None] = unmoved,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Return the folder `cache`/`name` with all files of the source; what lies there whole is not fetched again.

    A file must have the hash of the table of sources, or else that of its first download, which SHA256SUMS in the
    folder keeps. Raises DataError for an unknown name, an address that cannot be had, and wrong bytes (set aside).
    """
    if name not in sources:
        raise DataError(
            f"{name!r} is no known source; wanted one of {', '.join(sources)}: `weighbridge data fetch --list`."
        )
    source = sources[name]
    home = cache / source.name
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home):
        for position, file in enumerate(source.files, start=1):
            wanted = file.sha256 or read_sums(home).get(file.path)
            if not _lies_there(home / file.path, wanted, notify):
                notify(f"{source.name}: file {position} of {len(source.files)}, {file.path}")
                _bring(file, home, wanted, notify=notify, advance=advance, sleep=sleep)
    return home


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two at once would write into one part; the lock goes with the process, however it ends."""
    import fcntl

    with (home / LOCK).open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise DataError(f"{home}: another fetch into this folder is under way. Wait for it, or use --out.") from err
        yield


def _bring(
    file: SourceFile,
    home: Path,
    wanted: str | None,
    *,
    notify: Callable[[str], None],
    advance: Callable[[int, int], None],
    sleep: Callable[[float], None],
) -> None:
    """Download, check, record and only then give the file its name."""
    part = (home / file.path).with_name(Path(file.path).name + ".part")
    download(
        file.url,
        part,
        max_bytes=file.max_bytes,
        known=wanted is not None,
        notify=notify,
        advance=advance,
        sleep=sleep,
    )
    digest = _checked(part, file, wanted, home)
    _write_sums(home, {**read_sums(home), file.path: digest})
    part.replace(home / file.path)
    tag_file(part).unlink(missing_ok=True)


def _lies_there(target: Path, wanted: str | None, notify: Callable[[str], None]) -> bool:
    """Whether the file is there with the wanted hash; any other file of that name is set aside."""
    if not target.is_file():
        return False
    if wanted is not None and sha256_file(target) == wanted:
        return True
    notify(f"{target.name} is not the file that was fetched: it is set aside as {_aside(target, target).name}")
    return False


def _checked(part: Path, file: SourceFile, wanted: str | None, home: Path) -> str:
    """The part's hash. Raises DataError, with the part set aside, where it is not the wanted one."""
    digest = sha256_file(part)
    if wanted is None or digest == wanted:
        return digest
    aside = _aside(part, home / file.path)
    discard(part)
    why = (
        "Type the same command again; if it happens twice, what lies at the address has changed."
        if file.sha256
        else f"What lies at the address has changed since the first download. To accept it, delete its line in {home / SUMS}"
        " and type the same command again."
    )
    raise DataError(f"{file.url}: the SHA-256 is {digest}, wanted {wanted}; the bytes are set aside as {aside}. {why}")


def _aside(path: Path, target: Path) -> Path:
    """Rename to a name that no importer reads; what was set aside before is replaced."""
    return path.replace(target.with_name(target.name + ".wrong"))


def read_sums(home: Path) -> dict[str, str]:
    """Path below `home` to hash, as SHA256SUMS records them; empty where nothing was fetched yet."""
    record = home / SUMS
    if not record.is_file():
        return {}
    found = [(LINE.fullmatch(line), line) for line in record.read_text(encoding="utf-8").splitlines()]
    broken = [line for match, line in found if match is None]
    if broken:
        raise DataError(
            f"{record}: {broken[0][:80]!r} is no line of hashes; wanted 64 hexadecimal digits, two blanks and a path."
            " Delete the line, then fetch again."
        )
    return {match.group(2): match.group(1) for match, _ in found if match is not None}


def _write_sums(home: Path, sums: Mapping[str, str]) -> None:
    write_atomic(home / SUMS, "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items())))
