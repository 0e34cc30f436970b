"""Writing the decision log: those who wait share a commit, one fault takes no other with it, and a kill loses nothing acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.gateway import log_file, log_writer
from agents.gateway.decision_log import DecisionLog, NotRecordedError
from agents.gateway.log_file import read_log
from tests.logs import ANSWER, choice, logged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "decisions.db"


# One fault


def test_a_value_that_the_file_cannot_hold_stops_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        log.finished("d1", **{**ANSWER, "latency_ms": 2**70})
        await log.decided(choice("d2"))

    assert [row.decision_id for row in logged(path, work)] == ["d1", "d2"]
    assert "'d1' is not logged" in caplog.text


def test_a_file_that_another_process_keeps_locked_is_an_error_and_not_a_wait_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "BUSY_S", 0.0)

    async def work(log: DecisionLog) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotRecordedError, match="locked"):
            await log.decided(choice())
        other.execute("ROLLBACK")
        await log.decided(choice("d2"))

    assert [row.decision_id for row in logged(path, work)] == ["d2"]


# Many at once


def test_those_who_wait_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    commit = log_writer.commit

    def counted(connection: sqlite3.Connection, group: Any) -> Any:  # Any: writes, and what became of them
        groups.append(len(group))
        return commit(connection, group)

    monkeypatch.setattr(log_writer, "commit", counted)

    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(300)))

    assert len(logged(path, work)) == sum(groups) == 300
    assert len([size for size in groups if size]) < 30


def test_what_happens_in_one_turn_of_the_event_loop_is_one_statement_for_each_kind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[int] = []
    execute = log_writer._execute

    def counted(connection: sqlite3.Connection, batch: Any) -> None:  # Any: writes
        statements.append(len(batch))
        execute(connection, batch)

    monkeypatch.setattr(log_writer, "_execute", counted)

    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"a{i}")) for i in range(5)))
        for i in range(5):
            log.finished(f"a{i}", **ANSWER)
        said = [log.feedback(f"a{i % 5}", score=i / 10) for i in range(7)]
        await asyncio.gather(*(log.decided(choice(f"b{i}")) for i in range(3)), *said)

    rows = logged(path, work)
    assert statements == [5, 3, 5, 5, 2]  # decisions; decisions, ends, words, and second words on the same decisions
    assert [row.feedback.score for row in rows if row.feedback] == [0.5, 0.6, 0.2, 0.3, 0.4]


def test_the_end_of_an_answer_is_written_soon_where_no_decision_comes(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        log.finished("d1", **ANSWER)
        while next(read_log(path)).served_model is None:
            await asyncio.sleep(0.01)

    assert len(logged(path, work)) == 1


def test_the_end_of_an_answer_waits_for_nobody_and_is_written_with_the_next_commit(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(300)))
        for i in range(300):
            log.finished(f"d{i}", **ANSWER)
        await log.decided(choice("after"))
        assert all(row.served_model == "large-2026" for row in read_log(path) if row.decision_id != "after")

    assert len(logged(path, work)) == 301


def test_a_caller_who_gives_up_waiting_loses_no_row(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        tasks = [asyncio.create_task(log.decided(choice(f"d{i}"))) for i in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert len(logged(path, work)) == 20


def test_closing_writes_all_that_is_in_line(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(100)))
        for i in range(100):
            log.finished(f"d{i}", **ANSWER)

    assert all(row.served_model for row in logged(path, work))


def test_a_closed_log_takes_nothing(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.close()
        with pytest.raises(NotRecordedError, match="closed"):
            await log.decided(choice())

    assert logged(path, work) == []


def test_two_logs_write_to_one_file(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        other = DecisionLog(path)
        names = [f"d{i}" for i in range(60)]
        await asyncio.gather(*((log, other)[i % 2].decided(choice(name)) for i, name in enumerate(names)))
        assert log.user_hash("ann") == other.user_hash("ann")
        await other.close()

    assert len(logged(path, work)) == 60


# A killed process

APPEND = """
import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path
from agents.gateway.choice import RouteChoice
from agents.gateway.decision_log import DecisionLog
log = DecisionLog(Path(sys.argv[1]))
names = (f"d{i:03d}" for i in range(500))
told = itertools.count(1)

async def append():
    for name in names:
        await log.decided(RouteChoice(
            decision_id=name, route="chat", rule="cheap", confidence=0.9, probabilities={}, candidates=("chat",),
            propensity=1.0, novelty=0.1, bundle_id="b", policy_hash="p", also=(), explored=False, cached=False,
        ))
        print(name, flush=True)
        if next(told) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    await asyncio.gather(*(append() for _ in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 60, 231, 499])
def test_every_acknowledged_decision_survives_a_kill(path: Path, acknowledged: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", APPEND, str(path), str(acknowledged)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = done.stdout.split()
    assert len(told) == acknowledged
    assert set(told) <= {row.decision_id for row in read_log(path)}
    assert "after" in {row.decision_id for row in logged(path, lambda log: log.decided(choice("after")))}
