"""The decision log's file: read by time while it is written, continued when it is old, and nobody else's file is touched."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.gateway.decision_log import DecisionLog
from agents.gateway.log_file import read_log
from router.errors import DataError
from tests.logs import NOON, Clock, choice, logged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "decisions.db"


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
