"""Champions on this machine: `models:/NAME@ALIAS` as a directory, and the link that a running server follows.

A link NAME stands beside NAME.bundles/, which holds one directory per bundle id; the link is relative, so that both can
be mounted elsewhere together. Old bundles stay there, and may be deleted once no server has them open.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from router.bundle import MANIFEST, bundle_id, read_manifest
from router.encoders.open import cache_directory
from router.errors import BundleError, RegistryError
from router.files import new_directory
from router.ledger import ALIAS, PREFIX
from router.registry import SET_URI, aliases, download, logged_bundle, opened_store

SCHEME = "models:/"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
REFERENCE = re.compile(rf"{SCHEME}({NAME})@([A-Za-z0-9_-]{{1,100}})")
ATTEMPTS = 20  # to point a link at a champion that changes meanwhile


def require_name(name: str) -> None:
    """Raise RegistryError for a name that a registered model cannot have here."""
    if not re.fullmatch(NAME, name):
        raise RegistryError(
            f"{name!r} is no name of a registered model; wanted letters, digits, dot, dash and underscore, up to 100 of them."
        )


def resolve(bundle: str) -> Path:
    """A bundle's local directory: `models:/NAME@ALIAS` is fetched from the store and verified, a path is given back.

    What is fetched is kept in the cache under its id, and verified again each time. Raises RegistryError where the
    store has no such name or alias, BundleError where what it keeps is not the bundle that was recorded.
    """
    if not bundle.startswith(SCHEME):
        return Path(bundle)
    match = REFERENCE.fullmatch(bundle)
    if match is None:
        raise RegistryError(
            f"{bundle!r} is no bundle; wanted a directory or models:/NAME@ALIAS, as in models:/router@{ALIAS}."
        )
    name, alias = match.groups()
    with opened_store(existing=True, advice=SET_URI) as client:
        known = aliases(client, name)
        if alias not in known:
            found = ", ".join(sorted(known)) or "none"
            raise RegistryError(f"{bundle}: no such alias (of {name!r}: {found}); see `weighbridge registry list`.")
        version = client.get_model_version(name, str(known[alias]))
        location = client.get_model_version_download_uri(name, str(known[alias]))
    return _cached(location, expected=version.tags.get(f"{PREFIX}bundle"))


def fetch_run(run_id: str, target: Path) -> Path:
    """The verified bundle that an MLflow run logged, copied into the directory `target`."""
    return _fetched(logged_bundle(run_id).location, target)


def _cached(location: str, *, expected: str | None) -> Path:
    shelf = cache_directory() / "bundles"
    if expected is not None and _holds(shelf / expected, expected):
        return shelf / expected
    with tempfile.TemporaryDirectory() as work:
        fetched = _fetched(location, Path(work))
        found = bundle_id(fetched)
        if expected not in (None, found):
            raise BundleError(
                f"{location}: holds bundle {found}, the registry recorded {expected}: tampered with, or replaced."
                " Roll back with `weighbridge registry rollback`."
            )
        return _placed(fetched, shelf / found)


def _fetched(location: str, target: Path) -> Path:
    """Download a logged model; return the bundle in it, every hash checked."""
    root = download(location, target)
    bundles = [path for path in (root, *sorted(root.glob("data/*"))) if (path / MANIFEST).is_file()]
    if len(bundles) != 1:
        raise BundleError(
            f"{location}: holds {len(bundles)} bundles, wanted one. Make it with `weighbridge train --data D --out B`."
        )
    read_manifest(bundles[0])
    return bundles[0]


def _placed(source: Path, target: Path) -> Path:
    """Copy a bundle to the directory that is named by its id; another process that did so first is as good."""
    try:
        with new_directory(target) as work:
            shutil.copytree(source, work, dirs_exist_ok=True)
    except OSError:
        if not _holds(target, bundle_id(source)):
            raise
    return target


def _holds(directory: Path, identity: str) -> bool:
    """Whether a directory holds this bundle, whole."""
    try:
        return (directory / MANIFEST).is_file() and bundle_id(directory) == identity and bool(read_manifest(directory))
    except BundleError:
        return False


def require_link(link: Path) -> None:
    """Raise RegistryError where something other than a link stands at `link`; a link that points nowhere is well."""
    if link.exists() and not link.is_symlink():
        raise RegistryError(f"{link} is no link; wanted a new name or an old link. Choose another --link.")


def linked(link: Path) -> str | None:
    """The id of the bundle that a link leads to; None where it leads to none."""
    return bundle_id(link) if (link / MANIFEST).is_file() else None


def follow(name: str, link: Path) -> Path:
    """Point `link` at the champion, in one step, and again where the champion changes meanwhile; return the bundle.

    A reader sees the old bundle or the new one, each whole.
    """
    require_link(link)
    before: Path | None = None
    for _ in range(ATTEMPTS):
        champion = resolve(f"{SCHEME}{name}@{ALIAS}")
        if champion == before:
            return link.resolve()
        identity = bundle_id(champion)
        place = Path(f"{link.name}.bundles") / identity
        if not _holds(link.parent / place, identity):
            _placed(champion, link.parent / place)
        _replace_link(link, place)
        before = champion
    raise RegistryError(
        f"{link}: the champion of {name} keeps changing. Try `weighbridge registry sync {name} --link {link}`."
    )


def _replace_link(link: Path, target: Path) -> None:
    """A symbolic link made beside the old one and renamed over it. target: relative to the link's directory."""
    work = Path(tempfile.mkdtemp(prefix=f".{link.name}.", dir=link.parent))
    try:
        (work / "link").symlink_to(target)
        (work / "link").replace(link)
    finally:
        shutil.rmtree(work, ignore_errors=True)
