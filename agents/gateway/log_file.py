"""The decision log's file: SQLite, readable by its owner alone; how it is made, checked and read. `decision_log` writes it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from router.errors import DataError
from router.prices import Usage

SCHEMA_VERSION = 1
APPLICATION_ID = 0x57624C67  # "WbLg": another program's SQLite file is not written into
BUSY_S = 10.0  # another process that writes to the same file is waited for
SCHEMA = """
CREATE TABLE decisions (
    decision_id TEXT PRIMARY KEY,
    decided_at TEXT NOT NULL,
    user_hash TEXT,
    policy_hash TEXT,
    bundle_id TEXT,
    probabilities TEXT NOT NULL,
    candidates TEXT NOT NULL,
    propensity REAL NOT NULL,
    route TEXT NOT NULL,
    rule TEXT NOT NULL,
    served_model TEXT,
    attempts TEXT,
    tokens TEXT,
    cost_usd REAL,
    latency_ms REAL,
    feedback TEXT,
    query TEXT
) STRICT;
CREATE INDEX decisions_by_time ON decisions (decided_at);
CREATE TABLE salt (bytes BLOB NOT NULL) STRICT;
"""
FIELDS = (
    "decision_id, decided_at, user_hash, policy_hash, bundle_id, probabilities, candidates, propensity, route, rule,"
    " served_model, attempts, tokens, cost_usd, latency_ms, feedback, query"
)

Json = Any  # whatever JSON can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a person said of an answer.   score: in [0, 1], or None.   labels: head -> the label that is right."""

    score: float | None
    labels: Mapping[str, str]
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision:
    """One row. What is not known (yet) is None: no answer, no price, no feedback, no text kept. Times are UTC, ISO 8601."""

    decision_id: str
    decided_at: str
    user_hash: str | None
    policy_hash: str | None
    bundle_id: str | None
    probabilities: Mapping[str, Mapping[str, float]]
    candidates: tuple[str, ...]
    propensity: float
    route: str
    rule: str
    served_model: str | None
    attempts: tuple[Mapping[str, Json], ...] | None
    tokens: Usage | None
    cost_usd: float | None
    latency_ms: float | None
    feedback: Feedback | None
    query: str | None


def connect(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own; a commit is on the disk when it returns."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def prepare(path: Path) -> bytes:
    """Make the file where it is missing, readable by its owner alone; check it; return its salt.

    Raises DataError for a file that is no decision log, or one of a newer version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        with contextlib.closing(connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # of two processes that open a new file, one makes the tables
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO salt VALUES (?)", (secrets.token_bytes(32),))
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
            _require_ours(connection, path)
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
            (salt,) = connection.execute("SELECT bytes FROM salt").fetchone()
            return bytes(salt)
    except sqlite3.DatabaseError as err:
        raise DataError(f"{path}: cannot be opened ({err}); wanted a decision log, or a new name.") from err


def read_log(path: Path, *, since: datetime | None = None, limit: int | None = None) -> Iterator[LoggedDecision]:
    """Yield the rows decided at `since` or later, in order of time, as of one moment; a writer may be at work meanwhile.

    Raises DataError for a file that is missing, no decision log, or of a newer version.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; wanted a decision log, as `weighbridge serve` writes it.")
    try:
        with contextlib.closing(connect(path)) as connection:
            _require_ours(connection, path)
            found = connection.execute(
                f"SELECT {FIELDS} FROM decisions WHERE decided_at >= ? ORDER BY decided_at, rowid LIMIT ?",  # noqa: S608
                ("" if since is None else iso(since), -1 if limit is None else limit),
            )
            for row in found:
                yield _logged(dict(zip(FIELDS.split(", "), row, strict=True)))
    except sqlite3.DatabaseError as err:
        raise DataError(f"{path}: cannot be read ({err}); wanted a decision log.") from err


def iso(moment: datetime) -> str:
    """UTC, always of one length, so that the order of texts is that of times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _logged(row: dict[str, Any]) -> LoggedDecision:  # Any: SQLite's values
    for name in ("probabilities", "candidates", "attempts", "tokens", "feedback"):
        row[name] = None if row[name] is None else json.loads(row[name])
    return LoggedDecision(
        **{
            **row,
            "candidates": tuple(row["candidates"]),
            "attempts": None if row["attempts"] is None else tuple(row["attempts"]),
            "tokens": None if row["tokens"] is None else Usage(**row["tokens"]),
            "feedback": None if row["feedback"] is None else Feedback(**row["feedback"]),
        }
    )


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise DataError(f"{path}: is no decision log; wanted one, as `weighbridge serve` writes it, or a new name.")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema {version} is newer than this version reads ({SCHEMA_VERSION}); update Weighbridge."
        )
