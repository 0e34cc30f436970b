"""Files that are written whole or not at all, and the hashes that say which file it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from router.errors import DataError

DECIMALS = 6  # of every probability and score that is written down: runs are compared byte for byte


def sha256_bytes(content: bytes) -> str:
    """Hex digest of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any, *, indent: int | None = None) -> str:  # Any: whatever JSON can hold
    """One spelling per value: sorted keys, no NaN, no trailing blanks.

    >>> canonical_json({"b": 1, "a": None})
    '{"a": null, "b": 1}'
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write beside the target, flush to disk, rename: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends well, and vanishes when it does not.

    An existing `target` is replaced in the last step, so a reader never sees a mixture of the two.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield work
        work.chmod(0o755)
        if target.exists():
            _exchange(work, target)
        else:
            work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _exchange(work: Path, target: Path) -> None:
    """Rename `work` to `target`, which exists; whatever comes between, one of the two stands there in the end."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)) / "old"
    try:
        target.rename(old)
        work.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old.parent, ignore_errors=True)
        raise
    shutil.rmtree(old.parent)


def read_toml(path: Path, *, what: str, make: str) -> dict[str, Any]:
    """Parse a TOML file; `what` names it and `make` is the advice for a person who has none.

    Raises DataError if the file is missing, is not UTF-8 or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; wanted {what}. {make}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as err:
        raise DataError(f"{path}: cannot be read as TOML ({err}); wanted {what}. {make}") from err
