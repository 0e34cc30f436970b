"""API keys: made once, shown once, kept as hashes in a small SQLite file that only its owner can read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from agents.gateway.known_keys import KnownKeys
from router.errors import DataError

Scope = Literal["chat", "route", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "wb_"
SECRET_BYTES = 32  # random ones: nobody guesses them, so a plain hash is as good as a slow one
SHOWN = 10  # leading characters that are kept in clear, so that a person can tell keys apart: 42 random bits of 256
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
OTHERS = 0o077  # permission bits of everybody but the owner
BUSY_S = 5.0
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    name TEXT PRIMARY KEY,
    prefix TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    scopes TEXT NOT NULL,
    rate_per_minute INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT
"""
FIELDS = "name, prefix, scopes, rate_per_minute, created_at, revoked_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What is known of a key.   prefix: how its secret begins.   revoked_at: None while it is valid. Times are UTC, ISO 8601."""

    name: str
    prefix: str
    scopes: frozenset[Scope]
    rate_per_minute: int
    created_at: str
    revoked_at: str | None


def new_secret() -> str:
    """A secret that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


class KeyStore:
    """Keys in one file, which is made with mode 0600 where it is missing. Several processes may share it.

    What another process changes holds from the next call on: a revoked key is refused at once. clock: seconds since the epoch.
    Raises DataError for a file that others may read, that holds something else, or of a newer version.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, secret: Callable[[], str] = new_secret
    ) -> None:
        self.path = path
        self._clock = clock
        self._secret = secret
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        if path.stat().st_mode & OTHERS:
            raise DataError(f"{path}: others may read it; wanted mode 0600. Type `chmod 600 {path}`.")
        with self._open() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise DataError(f"{path}: schema {version} is newer than {SCHEMA_VERSION}; update Weighbridge.")
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            if tables not in ([], [("keys",)]):
                raise DataError(f"{path}: holds something else; wanted a file of keys, or a new name.")
            connection.execute(SCHEMA)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._known = KnownKeys(path, self._rows)

    @property
    def locked(self) -> bool:
        """Whether there is a key, or ever was: a revoked one is remembered. Raises DataError where the file is gone."""
        try:
            return len(self._known) > 0
        except OSError as err:
            raise self._unusable(err) from err

    def create(self, name: str, *, scopes: Collection[Scope], rate_per_minute: int) -> str:
        """Make a key and return its secret, which is never shown again. The name of a revoked key may be used anew.

        Raises DataError for a name that is taken or misformed, for no or unknown scopes, and for a rate below 1.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if not scopes or unknown:
            raise DataError(f"key {name!r}: scopes {unknown or 'missing'}; wanted some of {', '.join(SCOPES)}.")
        if not NAME.fullmatch(name):
            raise DataError(f"{name!r} is no name of a key; wanted up to 100 letters, digits, dots, dashes, @ and _.")
        if rate_per_minute < 1:
            raise DataError(f"key {name!r}: {rate_per_minute} requests a minute; wanted 1 or more.")
        secret = self._secret()
        values = (name, secret[:SHOWN], _hash(secret), " ".join(sorted(scopes)), rate_per_minute, self._now())
        with self._open() as connection:
            connection.execute("DELETE FROM keys WHERE name = ? AND revoked_at IS NOT NULL", (name,))
            try:
                connection.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, NULL)", values)
            except sqlite3.IntegrityError as err:
                raise DataError(f"key {name!r} is there already; revoke it first, or choose another name.") from err
        return secret

    def verify(self, secret: str) -> KeyInfo | None:
        """The valid key that has this secret, or None. Nothing is read where the file has not changed.

        How long it takes tells nothing of any key. Raises DataError where the file cannot be read.
        """
        try:
            found = self._known.get(_hash(secret))
        except OSError as err:
            raise self._unusable(err) from err
        return None if found is None or found.revoked_at is not None else found

    def revoke(self, name: str) -> None:
        """Refuse a key from now on; it stays in the list. Raises DataError where no valid key has the name."""
        with self._open() as connection:
            done = connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (self._now(), name)
            )
        if done.rowcount != 1:
            valid = ", ".join(key.name for key in self.list() if key.revoked_at is None) or "none"
            raise DataError(f"no valid key is called {name!r}; wanted one of: {valid}.")

    def list(self) -> tuple[KeyInfo, ...]:
        """Every key, revoked ones too, in the order of their names."""
        with self._open() as connection:
            return tuple(_info(row) for row in connection.execute(f"SELECT {FIELDS} FROM keys ORDER BY name"))  # noqa: S608

    def _rows(self) -> Iterator[tuple[str, KeyInfo]]:
        with self._open() as connection:
            for sha256, *fields in connection.execute(f"SELECT sha256, {FIELDS} FROM keys"):  # noqa: S608
                yield sha256, _info(fields)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction: written whole when the block ends well, not at all when it does not."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection, connection:
                yield connection
        except sqlite3.DatabaseError as err:
            raise self._unusable(err) from err

    def _unusable(self, err: Exception) -> DataError:
        return DataError(f"{self.path}: cannot be used ({err}); wanted a file of keys, or a new name.")

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _info(fields: list[object] | tuple[object, ...]) -> KeyInfo:
    name, prefix, scopes, rate, created_at, revoked_at = fields
    held = str(scopes).split()
    return KeyInfo(
        name=str(name),
        prefix=str(prefix),
        scopes=frozenset(scope for scope in SCOPES if scope in held),
        rate_per_minute=int(str(rate)),
        created_at=str(created_at),
        revoked_at=None if revoked_at is None else str(revoked_at),
    )
