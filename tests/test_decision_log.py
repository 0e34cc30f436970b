"""The decision log: what it acknowledged is there whatever happens to the process, and nobody's name or text is in it unasked."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.gateway import decision_log
from agents.gateway.deciding import RouteChoice
from agents.gateway.decision_log import DecisionLog, LoggedDecision, read_log
from router.errors import DataError
from router.prices import Usage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DESIGN = {  # section 3 of the design, in its order
    *(
        "decision_id",
        "decided_at",
        "user_hash",
        "policy_hash",
        "bundle_id",
        "probabilities",
        "candidates",
        "propensity",
    ),
    *("route", "rule", "served_model", "attempts", "tokens", "cost_usd", "latency_ms", "feedback", "query"),
}
ANSWER: dict[str, Any] = {  # Any: the arguments of `finished`
    "served_model": "large-2026",
    "attempts": [{"route": "chat", "outcome": "overloaded"}, {"route": "expert", "outcome": "ok"}],
    "tokens": Usage(input_tokens=120, output_tokens=30, cache_read_tokens=100),
    "cost_usd": 0.00125,
    "latency_ms": 640.5,
}


class Clock:
    """Noon, until it is set."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


def choice(name: str = "d1", **changed: Any) -> RouteChoice:  # Any: a choice's own fields
    made: dict[str, Any] = {
        "decision_id": name,
        "route": "expert",
        "rule": "desk",
        "confidence": 0.75,
        "probabilities": {"domain": {"trip": 0.75, "budget": 0.25}},
        "candidates": ("chat", "expert"),
        "propensity": 0.95,
        "novelty": 0.5,
        "bundle_id": "b1",
        "policy_hash": "p1",
        "also": (),
        "explored": False,
        "cached": False,
    }
    return RouteChoice(**{**made, **changed})


def logged(path: Path, work: Callable[[DecisionLog], Awaitable[object]], **settings: Any) -> list[LoggedDecision]:
    """Open a log, do some work, close it, read it.   settings: the log's own arguments, hence Any."""

    async def session() -> None:
        log = DecisionLog(path, **{"clock": Clock(), **settings})
        try:
            await work(log)
        finally:
            await log.close()

    asyncio.run(session())
    return list(read_log(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "decisions.db"


# One row


def test_a_row_has_the_fields_of_the_design_and_no_other(path: Path) -> None:
    logged(path, lambda log: log.decided(choice()))
    columns = sqlite3.connect(path).execute("SELECT name FROM pragma_table_info('decisions')").fetchall()
    assert {name for (name,) in columns} == DESIGN == set(LoggedDecision.__dataclass_fields__)


def test_a_decision_is_read_as_it_was_logged(path: Path) -> None:
    (row,) = logged(path, lambda log: log.decided(choice()))
    assert row == LoggedDecision(
        decision_id="d1",
        decided_at="2026-03-01T12:00:00.000000+00:00",
        user_hash=None,
        policy_hash="p1",
        bundle_id="b1",
        probabilities={"domain": {"trip": 0.75, "budget": 0.25}},
        candidates=("chat", "expert"),
        propensity=0.95,
        route="expert",
        rule="desk",
        served_model=None,
        attempts=None,
        tokens=None,
        cost_usd=None,
        latency_ms=None,
        feedback=None,
        query=None,
    )


def test_the_end_of_an_answer_completes_its_row(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        await log.decided(choice("d2"))
        await log.finished("d1", **ANSWER)

    first, second = logged(path, work)
    assert (first.served_model, first.cost_usd, first.latency_ms) == ("large-2026", 0.00125, 640.5)
    assert (first.attempts, first.tokens) == (tuple(ANSWER["attempts"]), ANSWER["tokens"])
    assert second.served_model is None


def test_a_cost_that_is_not_known_stays_unknown(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        await log.finished("d1", **{**ANSWER, "cost_usd": None, "tokens": None, "served_model": None, "attempts": []})

    (row,) = logged(path, work)
    assert (row.cost_usd, row.tokens, row.served_model, row.attempts) == (None, None, None, ())


def test_the_end_of_an_unknown_answer_is_told_and_takes_nothing_with_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(log: DecisionLog) -> None:
        await asyncio.gather(log.decided(choice()), log.finished("no such", **ANSWER), log.decided(choice("d2")))

    assert [row.decision_id for row in logged(path, work)] == ["d1", "d2"]
    assert "no such" in caplog.text


def test_a_value_that_the_file_cannot_hold_stops_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        await log.finished("d1", **{**ANSWER, "latency_ms": 2**70})
        await log.decided(choice("d2"))

    assert [row.decision_id for row in logged(path, work)] == ["d1", "d2"]
    assert "'d1' is not logged" in caplog.text


def test_a_file_that_another_process_keeps_locked_is_an_error_and_not_a_wait_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_log, "BUSY_S", 0.0)

    async def work(log: DecisionLog) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match="locked"):
            await log.decided(choice())
        other.execute("ROLLBACK")
        await log.decided(choice("d2"))

    assert [row.decision_id for row in logged(path, work)] == ["d2"]


def test_one_id_is_one_decision(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        done = await asyncio.gather(*(log.decided(choice(name)) for name in ("a", "a", "b")), return_exceptions=True)
        assert [type(end) for end in done] == [type(None), DataError, type(None)]

    assert [row.decision_id for row in logged(path, work)] == ["a", "b"]


# Feedback


def test_feedback_is_joined_to_its_decision_and_the_last_word_counts(path: Path) -> None:
    clock = Clock()

    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        await log.feedback("d1", score=0.0)
        clock.now += 60
        await log.feedback("d1", score=1.0, labels={"complexity": "complex"})

    (row,) = logged(path, work, clock=clock)
    assert row.feedback is not None
    assert (row.feedback.score, row.feedback.labels) == (1.0, {"complexity": "complex"})
    assert row.feedback.at == "2026-03-01T12:01:00.000000+00:00"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("d9", {"score": 1.0}),
        ("d1", {}),
        ("d1", {"score": 1.5}),
        ("d1", {"score": float("nan")}),
        ("d1", {"labels": {}}),
    ],
)
def test_feedback_that_belongs_nowhere_or_says_nothing_is_refused(path: Path, name: str, said: dict[str, Any]) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        with pytest.raises(DataError):
            await log.feedback(name, **said)

    (row,) = logged(path, work)
    assert row.feedback is None


# Who and what was said


def test_a_user_is_a_hash_that_is_the_same_in_one_file_alone(path: Path, tmp_path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        for name, user in (("a", "ann@example.org"), ("b", "bob"), ("c", "ann@example.org")):
            await log.decided(choice(name), user=user)

    ann, bob, again = (row.user_hash for row in logged(path, work))
    elsewhere = logged(tmp_path / "another.db", work)[0].user_hash
    assert ann == again
    assert len({ann, bob, elsewhere}) == 3
    assert len(str(ann)) == 64


def test_the_hashes_outlive_the_process(path: Path) -> None:
    first = logged(path, lambda log: log.decided(choice("a"), user="ann"))[0]
    second = logged(path, lambda log: log.decided(choice("b"), user="ann"))[1]
    assert first.user_hash == second.user_hash


def test_neither_name_nor_text_is_anywhere_in_the_files_unless_switched_on(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice(), user="ann@example.org", query="a very private question")
        for file in path.parent.iterdir():
            assert b"ann@" not in file.read_bytes()
            assert b"private" not in file.read_bytes()

    (row,) = logged(path, work)
    assert row.query is None


@pytest.mark.parametrize(
    ("said", "kept"), [("Wo ist mein 💶?", "Wo ist mein 💶?"), ("a\x00b", "a\x00b"), ("\ud800!", "?!")]
)
def test_texts_are_kept_where_that_is_switched_on(path: Path, said: str, kept: str) -> None:
    (row,) = logged(path, lambda log: log.decided(choice(), query=said), keep_text=True)
    assert row.query == kept


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    logged(path, lambda log: log.decided(choice()))
    assert path.stat().st_mode & 0o077 == 0


# Many at once


def test_those_who_wait_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    commit = decision_log._commit

    def counted(connection: sqlite3.Connection, group: Any) -> None:  # Any: a list of writes, private there
        groups.append(len(group))
        commit(connection, group)

    monkeypatch.setattr(decision_log, "_commit", counted)

    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(300)))

    assert len(logged(path, work)) == sum(groups) == 300
    assert len([size for size in groups if size]) < 30


def test_a_full_line_makes_callers_wait_and_drops_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    commit = decision_log._commit

    def gated(connection: sqlite3.Connection, group: Any) -> None:  # Any: as above
        gate.wait()
        commit(connection, group)

    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(50)))
        monkeypatch.setattr(decision_log, "_commit", gated)
        ends = [asyncio.create_task(log.finished(f"d{i}", **ANSWER)) for i in range(50)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert 0 < sum(end.done() for end in ends) < 50
        gate.set()
        await asyncio.gather(*ends)

    assert all(row.served_model == "large-2026" for row in logged(path, work, capacity=4))


def test_a_caller_who_gives_up_waiting_loses_no_row(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        tasks = [asyncio.create_task(log.decided(choice(f"d{i}"))) for i in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert len(logged(path, work, capacity=3)) == 20


def test_closing_writes_all_that_is_in_line(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"d{i}")) for i in range(100)))
        for i in range(100):
            await log.finished(f"d{i}", **ANSWER)

    assert all(row.served_model for row in logged(path, work))


def test_a_closed_log_takes_nothing(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.close()
        with pytest.raises(DataError, match="closed"):
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


# Reading


def test_rows_come_by_time_from_a_moment_on_up_to_a_limit(path: Path) -> None:
    clock = Clock()

    async def work(log: DecisionLog) -> None:
        for i in (3, 1, 2, 0):
            clock.now = NOON.timestamp() + i
            await log.decided(choice(f"d{i}"))
        assert [row.decision_id for row in log.rows()] == ["d0", "d1", "d2", "d3"]
        since = datetime.fromtimestamp(NOON.timestamp() + 1, UTC)
        assert [row.decision_id for row in log.rows(since, limit=2)] == ["d1", "d2"]

    logged(path, work, clock=clock)


def test_a_reader_sees_one_moment_while_the_log_grows(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await asyncio.gather(*(log.decided(choice(f"a{i}")) for i in range(10)))
        reader = read_log(path)
        next(reader)
        await asyncio.gather(*(log.decided(choice(f"b{i}")) for i in range(10)))
        assert len(list(reader)) == 9

    assert len(logged(path, work)) == 20


# Files


def test_an_old_log_is_continued(path: Path) -> None:
    logged(path, lambda log: log.decided(choice("a")))
    assert [row.decision_id for row in logged(path, lambda log: log.decided(choice("b")))] == ["a", "b"]


def newer(path: Path) -> None:
    logged(path, lambda log: log.decided(choice()))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (newer, "newer than this version"),
        (foreign, "no decision log"),
        (
            lambda path: path.write_text("a letter to a friend, long enough to be no header" * 9),
            "wanted a decision log",
        ),
    ],
)
def test_a_file_that_is_not_ours_to_write_is_refused_and_left_as_it_is(
    path: Path, make: Callable[[Path], object], problem: str
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=problem):
        DecisionLog(path)
    with pytest.raises(DataError, match=problem):
        list(read_log(path))
    assert make is newer or path.read_bytes() == before


def test_a_log_that_is_missing_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_log(path))
    assert not path.exists()


# A killed process

APPEND = """
import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path
from agents.gateway.deciding import RouteChoice
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
