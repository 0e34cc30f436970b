"""The decision log: what is on record of a decision, its answer and its feedback; nobody's name or text is in it unasked."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agents.gateway.decision_log import (
    LONGEST_LABEL,
    MOST_LABELS,
    DecisionLog,
    NotRecordedError,
    UnknownDecisionError,
)
from agents.gateway.log_file import LoggedDecision
from router.errors import DataError
from tests.logs import ANSWER, Clock, choice, logged

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
        log.finished("d1", **ANSWER)

    first, second = logged(path, work)
    assert (first.served_model, first.cost_usd, first.latency_ms) == ("large-2026", 0.00125, 640.5)
    assert (first.attempts, first.tokens) == (tuple(ANSWER["attempts"]), ANSWER["tokens"])
    assert second.served_model is None


def test_a_cost_that_is_not_known_stays_unknown(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        log.finished("d1", **{**ANSWER, "cost_usd": None, "tokens": None, "served_model": None, "attempts": []})

    (row,) = logged(path, work)
    assert (row.cost_usd, row.tokens, row.served_model, row.attempts) == (None, None, None, ())


def test_the_end_of_an_unknown_answer_is_told_and_takes_nothing_with_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(log: DecisionLog) -> None:
        first = asyncio.create_task(log.decided(choice()))
        log.finished("no such", **ANSWER)
        await asyncio.gather(first, log.decided(choice("d2")))

    assert [row.decision_id for row in logged(path, work)] == ["d1", "d2"]
    assert "no such" in caplog.text


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
    "said",
    [
        {},
        {"score": 1.5},
        {"score": float("nan")},
        {"labels": {}},
        {"labels": {f"head {i}": "x" for i in range(MOST_LABELS + 1)}},
        {"labels": {"domain": "x" * (LONGEST_LABEL + 1)}},
        {"labels": {"x" * (LONGEST_LABEL + 1): "trip"}},
    ],
)
def test_feedback_that_says_nothing_or_more_than_a_person_would_is_refused(path: Path, said: dict[str, Any]) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        with pytest.raises(DataError, match="feedback") as caught:
            await log.feedback("d1", **said)
        assert not isinstance(caught.value, UnknownDecisionError)

    (row,) = logged(path, work)
    assert row.feedback is None


def test_as_much_as_a_person_would_say_is_taken(path: Path) -> None:
    labels = {f"{i:0{LONGEST_LABEL}d}": "x" * LONGEST_LABEL for i in range(MOST_LABELS)}

    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        await log.feedback("d1", labels=labels)

    (row,) = logged(path, work)
    assert row.feedback is not None
    assert row.feedback.labels == labels


def test_feedback_on_a_decision_that_is_not_there_is_told_from_a_disk_that_fails(path: Path) -> None:
    async def work(log: DecisionLog) -> None:
        await log.decided(choice())
        with pytest.raises(UnknownDecisionError, match="'d9' is not in the log"):
            await log.feedback("d9", score=1.0)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("DROP TABLE decisions")
        with pytest.raises(NotRecordedError, match="no such table") as caught:
            await log.feedback("d1", score=1.0)
        assert not isinstance(caught.value, DataError)
        other.close()

    with pytest.raises(DataError, match="no such table"):
        logged(path, work)


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
