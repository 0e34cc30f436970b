"""The decision log: one row per decision in one SQLite file, on record before the answer begins.

One thread writes, in groups: whoever waits while a commit is under way shares the next one. Readers open the file beside
it (write-ahead logging) and see whole commits. User names never enter the file, only hashes keyed with the file's own salt;
query texts only where that was switched on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.errors import DataError
from router.files import canonical_json
from router.prices import Usage

if TYPE_CHECKING:
    from agents.gateway.deciding import RouteChoice

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x57624C67  # "WbLg": another program's SQLite file is not written into
KEEP_TEXT = "--keep-text"  # of `weighbridge serve`: the setting that keeps query texts
GROUP = 512  # writes of one commit: some 10 ms of work, so that nobody waits long for the others
CAPACITY = 10_000  # writes that may wait for the disk before callers do
BUSY_S = 10.0  # another process that writes to the same file is waited for
NEWEST = 1_000  # rows that `rows` gives where no limit is asked for
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
INSERT = (
    "INSERT INTO decisions (decision_id, decided_at, user_hash, policy_hash, bundle_id, probabilities, candidates,"
    " propensity, route, rule, query) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FINISH = "UPDATE decisions SET served_model = ?, attempts = ?, tokens = ?, cost_usd = ?, latency_ms = ? WHERE decision_id = ?"
FEEDBACK = "UPDATE decisions SET feedback = ? WHERE decision_id = ?"

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


@dataclass(frozen=True, slots=True)
class _Write:
    """One statement that must change one row. done: None where nobody waits for the commit."""

    sql: str
    values: tuple[object, ...]
    decision_id: str
    done: Future[None] | None


class DecisionLog:
    """Appends to one file, which is made where it is missing. Close it, or the last rows of finished answers may be lost.

    clock: seconds since the epoch.   keep_text: store query texts.   capacity: writes that may wait for the disk.
    Raises DataError for a file that is no decision log, or one of a newer version.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_text: bool = False,
        clock: Callable[[], float] = time.time,
        capacity: int = CAPACITY,
    ) -> None:
        self.path = path
        self.keep_text = keep_text
        self._clock = clock
        self._salt = _prepare(path)
        self._queue: queue.Queue[_Write | None] = queue.Queue(maxsize=capacity)
        self._door = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decision-log-door")
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._writer.start()

    def user_hash(self, user: str) -> str:
        """What stands in the log for a user: the same for the same user in this file, and in no other."""
        return hmac.new(self._salt, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    async def decided(self, choice: RouteChoice, *, user: str | None = None, query: str | None = None) -> None:
        """Put a decision on record; returns when it is on disk. Raises DataError where it cannot be written."""
        kept = query.encode("utf-8", "replace").decode() if query is not None and self.keep_text else None
        values = (
            choice.decision_id,
            self._now(),
            None if user is None else self.user_hash(user),
            choice.policy_hash,
            choice.bundle_id,
            json.dumps(choice.probabilities, ensure_ascii=False, allow_nan=False),  # in the order of their columns
            json.dumps(choice.candidates, ensure_ascii=False),
            choice.propensity,
            choice.route,
            choice.rule,
            kept,
        )
        await self._committed(INSERT, values, choice.decision_id)

    async def finished(
        self,
        decision_id: str,
        *,
        served_model: str | None,
        attempts: Sequence[Mapping[str, Json]],
        tokens: Usage | None,
        cost_usd: float | None,
        latency_ms: float,
    ) -> None:
        """Complete a row. Returns when the write is in line, which is at once unless the line is full; none is dropped.

        served_model: the model that answered, None where none did.   cost_usd: None where a price is not known, never 0.
        """
        usage = None if tokens is None else canonical_json(asdict(tokens))
        tried = canonical_json([dict(attempt) for attempt in attempts])
        values = (served_model, tried, usage, cost_usd, latency_ms, decision_id)
        await self._in_line(_Write(FINISH, values, decision_id, None))

    async def feedback(
        self, decision_id: str, *, score: float | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        """Join what a person said to its decision; a later word replaces an earlier one. Returns when it is on disk.

        score: how good the answer was, in [0, 1].   labels: head -> label, confirmed or corrected.
        Raises DataError for an unknown id, a score out of range, and where nothing is said.
        """
        if (score is None and not labels) or (score is not None and not 0.0 <= score <= 1.0):
            raise DataError(f"feedback: score {score}, labels {labels or 'none'}; wanted a score in [0, 1] or labels.")
        said = {"score": score, "labels": dict(labels or {}), "at": self._now()}
        await self._committed(FEEDBACK, (canonical_json(said), decision_id), decision_id)

    def rows(self, since: datetime | None = None, *, limit: int = NEWEST) -> list[LoggedDecision]:
        """The first `limit` rows decided at `since` or later, in order of time. Blocks for as long as the disk takes."""
        return list(read_log(self.path, since=since, limit=limit))

    async def close(self) -> None:
        """Write all that is in line, then let the file go. Nothing may be logged afterwards."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._drain)

    def _drain(self) -> None:
        self._door.shutdown(wait=True)
        self._queue.put(None)
        self._writer.join()

    def _now(self) -> str:
        return _iso(datetime.fromtimestamp(self._clock(), UTC))

    async def _committed(self, sql: str, values: tuple[object, ...], decision_id: str) -> None:
        done: Future[None] = Future()
        await self._in_line(_Write(sql, values, decision_id, done))
        await asyncio.wrap_future(done)

    async def _in_line(self, write: _Write) -> None:
        """Queue a write. Where the line is full, wait for a place; a caller who gives up waiting takes nothing back."""
        if self._closed:
            raise DataError(f"{self.path}: the decision log is closed; wanted it open. Log before closing it.")
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            await asyncio.shield(asyncio.wrap_future(self._door.submit(self._queue.put, write)))

    def _write(self) -> None:
        """The writer's thread: take what is there, commit it as one."""
        with contextlib.closing(_connect(self.path)) as connection:
            ending = False
            while not ending:
                taken = [self._queue.get()]
                with contextlib.suppress(queue.Empty):
                    while taken[-1] is not None and len(taken) < GROUP:
                        taken.append(self._queue.get_nowait())
                ending = taken[-1] is None
                _commit(connection, [write for write in taken if write is not None])


def _commit(connection: sqlite3.Connection, group: Sequence[_Write]) -> None:
    """Commit a group as one; where something is wrong with it, each write alone, so that one takes no other with it."""
    begun = False
    try:
        connection.execute("BEGIN IMMEDIATE")
        begun = True
        for write in group:
            if connection.execute(write.sql, write.values).rowcount != 1:
                raise DataError(
                    f"decision {write.decision_id!r} is not in the log; wanted the id of an answer's decision."
                    " It stands in the header x-weighbridge-decision-id."
                )
        connection.execute("COMMIT")
    except Exception as err:  # the thread must outlive whatever a value or the disk does
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if begun and len(group) > 1:
            for write in group:
                _commit(connection, [write])
        else:  # a file that another process keeps locked is waited for once, not once a write
            for write in group:
                _failed(write, err)
    else:
        for write in group:
            if write.done is not None and write.done.set_running_or_notify_cancel():
                write.done.set_result(None)


def _failed(write: _Write, err: Exception) -> None:
    problem = err if isinstance(err, DataError) else DataError(f"decision {write.decision_id!r} is not logged: {err}.")
    if write.done is None:
        logger.error("the end of an answer is not logged: %s", problem)
    elif write.done.set_running_or_notify_cancel():
        write.done.set_exception(problem)


def read_log(path: Path, *, since: datetime | None = None, limit: int | None = None) -> Iterator[LoggedDecision]:
    """Yield the rows decided at `since` or later, in order of time, as of one moment; a writer may be at work meanwhile.

    Raises DataError for a file that is missing, no decision log, or of a newer version.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; wanted a decision log, as `weighbridge serve` writes it.")
    try:
        with contextlib.closing(_connect(path)) as connection:
            _require_ours(connection, path)
            found = connection.execute(
                f"SELECT {FIELDS} FROM decisions WHERE decided_at >= ? ORDER BY decided_at, rowid LIMIT ?",  # noqa: S608
                ("" if since is None else _iso(since), -1 if limit is None else limit),
            )
            for row in found:
                yield _logged(dict(zip(FIELDS.split(", "), row, strict=True)))
    except sqlite3.DatabaseError as err:
        raise DataError(f"{path}: cannot be read ({err}); wanted a decision log.") from err


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


def _iso(moment: datetime) -> str:
    """UTC, always of one length, so that the order of texts is that of times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _connect(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own; a commit is on the disk when it returns."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _prepare(path: Path) -> bytes:
    """Make the file where it is missing, readable by its owner alone; check it; return its salt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        with contextlib.closing(_connect(path)) as connection:
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


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        raise DataError(f"{path}: is no decision log; wanted one, as `weighbridge serve` writes it, or a new name.")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema {version} is newer than this version reads ({SCHEMA_VERSION}); update Weighbridge."
        )
