"""The thread that writes the decision log, in groups: whoever waits while a commit is under way shares the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.gateway.log_file import connect
from router.errors import DataError, WeighbridgeError

logger = logging.getLogger(__name__)

GROUP = 512  # writes of one commit: some 10 ms of work, so that nobody waits long for the others
LAZY_S = 0.1  # how long the end of an answer waits for a decision to be written with


class NotRecordedError(WeighbridgeError):
    """Something could not be put on record: the disk's fault, not the caller's."""


class UnknownDecisionError(DataError):
    """There is no such decision in the log."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A kind of write, which must change one row for each row of values. The values stand between `before` and `after`.

    Kinds are executed in the order of `place`: a decision is there before its answer ends.
    """

    place: int
    before: str
    columns: int
    after: str = ""

    def sql(self, rows: int) -> str:
        """The statement for so many rows at once."""
        row = f"({', '.join('?' * self.columns)})"
        return f"{self.before} VALUES {', '.join([row] * rows)}{self.after}"


@dataclass(frozen=True, slots=True)
class Write:
    """One row of a statement's values. committed: None where nobody waits for it."""

    statement: Statement
    values: tuple[object, ...]
    decision_id: str
    committed: asyncio.Future[None] | None


class LogWriter:
    """Takes writes from one event loop and commits them in their order. None is dropped; `end` waits for the last.

    The line needs no bound of its own: whoever answers has waited for the commit of a decision, so that there are never
    more writes in it than answers that run.
    """

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._line: queue.SimpleQueue[list[Write] | None] = queue.SimpleQueue()  # None ends the thread
        self._collected: list[Write] = []
        self._handing_over: asyncio.Handle | None = None
        self._urgent = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Take a write. Whoever then gives up waiting takes nothing back.

        What comes in one turn of the event loop goes to the thread together; what nobody waits for goes with the next that
        somebody does, or in `LAZY_S`.
        """
        self._loop = self._loop or asyncio.get_running_loop()
        self._collected.append(write)
        if write.committed is not None and not self._urgent:
            if self._handing_over is not None:
                self._handing_over.cancel()
            self._urgent = True
            self._handing_over = self._loop.call_soon(self._hand_over)
        elif self._handing_over is None:
            self._handing_over = self._loop.call_later(LAZY_S, self._hand_over)

    async def end(self) -> None:
        """Write all that was put, and let the file go."""
        self._hand_over()
        self._line.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._handing_over is not None:
            self._handing_over.cancel()
        self._handing_over, self._urgent = None, False
        if self._collected:
            self._line.put(self._collected)
            self._collected = []

    def _write(self) -> None:
        """What the thread does: take what is there, commit it as one."""
        with contextlib.closing(self._connection) as connection:
            ending = False
            while not ending:
                taken = [self._line.get()]
                with contextlib.suppress(queue.Empty):
                    while taken[-1] is not None:
                        taken.append(self._line.get_nowait())
                ending = taken[-1] is None
                group = [write for some in taken if some is not None for write in some]
                for at in range(0, len(group), GROUP):
                    self._told(commit(connection, group[at : at + GROUP]))

    def _told(self, ended: Sequence[tuple[Write, Exception | None]]) -> None:
        """Wake all who wait at once: waking the loop costs more than what it then does. A closed one has nobody in it."""
        awaited = [(write, problem) for write, problem in ended if write.committed is not None]
        if awaited and self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle, awaited)

    @staticmethod
    def _settle(ended: Sequence[tuple[Write, Exception | None]]) -> None:
        for write, problem in ended:
            if write.committed is None or write.committed.done():
                continue
            if problem is None:
                write.committed.set_result(None)
            else:
                write.committed.set_exception(problem)


def commit(connection: sqlite3.Connection, group: Sequence[Write]) -> list[tuple[Write, Exception | None]]:
    """Commit a group as one; where something is wrong with it, each write alone, so that one takes no other with it.

    What became of each: None, or why it is not in the file.
    """
    begun = False
    try:
        together = batches(group)
        if len(together) > 1:  # a statement by itself is a transaction
            connection.execute("BEGIN IMMEDIATE")
        begun = True
        for batch in together:
            _execute(connection, batch)
        if len(together) > 1:
            connection.execute("COMMIT")
    except Exception as err:  # the thread must outlive whatever a value or the disk does
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if begun and len(group) > 1 and not _locked(err):
            return [ended for write in group for ended in commit(connection, [write])]
        # a file that another process keeps locked is waited for once, not once a write
        return [(write, _problem(write, err)) for write in group]
    return [(write, None) for write in group]


def batches(group: Iterable[Write]) -> list[list[Write]]:
    """Writes that one statement can do: of a kind, and of a decision each. Several of one decision keep their order.

    A statement lets go of the interpreter's lock several times, and gets it back when it pleases the event loop: fewer
    statements are what makes a commit cheap.
    """
    found: list[list[Write]] = []
    left = sorted(group, key=lambda write: write.statement.place)
    while left:
        first, batch, later = left[0], dict[str, Write](), list[Write]()
        for write in left:
            fits = write.statement is first.statement and write.decision_id not in batch
            if fits:
                batch[write.decision_id] = write
            else:
                later.append(write)
        found.append(list(batch.values()))
        left = later
    return found


def _execute(connection: sqlite3.Connection, batch: Sequence[Write]) -> None:
    sql = batch[0].statement.sql(len(batch))
    if connection.execute(sql, [value for write in batch for value in write.values]).rowcount != len(batch):
        raise UnknownDecisionError(
            f"decision {batch[0].decision_id!r} is not in the log; wanted the id of an answer's decision."
            " It stands in the header x-weighbridge-decision-id."
        )


def _locked(err: Exception) -> bool:
    code = getattr(err, "sqlite_errorcode", 0)  # an extended one tells more in its upper bytes
    return isinstance(err, sqlite3.OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY


def _problem(write: Write, err: Exception) -> Exception:
    if isinstance(err, UnknownDecisionError):
        problem: Exception = err
    else:
        problem = NotRecordedError(f"decision {write.decision_id!r} is not logged: {err}.")
        problem.__cause__ = err
    if write.committed is None:
        logger.error("the end of an answer is not logged: %s", problem)
    return problem
