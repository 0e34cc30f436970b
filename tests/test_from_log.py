"""From the log back to data: what was served becomes outcomes, what people said becomes labels, and nothing is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from agents.gateway.choice import RouteChoice
from agents.gateway.decision_log import DecisionLog
from agents.gateway.from_log import Kind, write_from_log
from agents.log_commands import register
from router.dataset import load_dataset
from router.errors import DataError
from router.outcome_rows import read_outcomes
from router.prices import Usage
from tests.conftest import PAM

Row = dict[str, Any]  # whatever JSON can hold
GOOD: Row = {
    "route": "expert",
    "outcome": "ok",
    "usage": {"input_tokens": 120, "output_tokens": 30},
    "cost_usd": 0.004,
    "latency_ms": 600.0,
    "simulated": False,
}
FAILED: Row = {**GOOD, "route": "chat", "outcome": "overloaded", "usage": None, "cost_usd": 0.001, "latency_ms": 40.0}
HEADS = {"complexity": {"simple": 0.2, "complex": 0.8}, "domain": {"trip": 0.7, "shop": 0.3}}


def decision(name: str, text: str | None, **changed: Any) -> Row:  # Any: whatever a test says of a turn
    """One turn as a test tells it: on the route "expert", answered at once, without feedback."""
    turn: Row = {"name": name, "text": text, "attempts": [GOOD], "model": "large", "score": None, "labels": None}
    return {**turn, "propensity": 0.9, "probabilities": HEADS, **changed}


def write_log(path: Path, turns: Sequence[Row], *, keep_text: bool = True) -> Path:
    async def session() -> None:
        log = DecisionLog(path, keep_text=keep_text, clock=lambda: 0.0)
        for turn in turns:
            choice = RouteChoice(
                decision_id=turn["name"],
                route="expert",
                rule="desk",
                confidence=0.8,
                probabilities=turn["probabilities"],
                candidates=("chat", "expert"),
                propensity=turn["propensity"],
                novelty=0.5,
                bundle_id="b",
                policy_hash="p",
                also=(),
                explored=False,
                cached=False,
            )
            await log.decided(choice, query=turn["text"])
            log.finished(
                turn["name"],
                served_model=turn["model"],
                attempts=turn["attempts"],
                tokens=Usage(input_tokens=999, output_tokens=999),
                cost_usd=0.9,
                latency_ms=999.0,
            )
            if turn["score"] is not None or turn["labels"]:
                await log.feedback(turn["name"], score=turn["score"], labels=turn["labels"])
        await log.close()

    asyncio.run(session())
    return path


def rows(tmp_path: Path, turns: Sequence[Row], kind: Kind) -> list[Row]:
    out = tmp_path / "out.jsonl"
    write_from_log(write_log(tmp_path / "log.db", turns), out, kind=kind)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


# Outcomes


def test_an_answer_that_was_scored_is_an_outcome(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, [decision("d1", "wo ist mein 💶?", score=1.0)], "outcomes")
    assert row == {
        "query_id": "d1",
        "query": "wo ist mein 💶?",
        "model": "large",
        "score": 1.0,
        "cost_usd": 0.004,
        "input_tokens": 120,
        "output_tokens": 30,
        "latency_ms": 600.0,
        "dataset": None,
        "propensity": 0.9,
    }


def test_an_answer_that_nobody_scored_has_no_score(tmp_path: Path) -> None:
    turns = [
        decision("d1", "one", score=0.0),
        decision("d2", "two"),
        decision("d3", "three", labels={"domain": "shop"}),
    ]
    assert [row["score"] for row in rows(tmp_path, turns, "outcomes")] == [0.0, None, None]


def test_a_model_is_charged_with_its_own_call_alone(tmp_path: Path) -> None:
    retried = {**FAILED, "route": "expert"}
    (row,) = rows(tmp_path, [decision("d1", "one", attempts=[retried, GOOD], score=1.0)], "outcomes")
    assert (row["cost_usd"], row["latency_ms"], row["propensity"]) == (0.004, 600.0, 0.9)


def test_an_answer_from_another_route_than_the_decided_one_has_no_propensity(tmp_path: Path) -> None:
    attempts = [{**FAILED, "route": "expert"}, {**GOOD, "route": "chat"}]
    (row,) = rows(tmp_path, [decision("d1", "one", attempts=attempts, model="small", score=1.0)], "outcomes")
    assert (row["model"], row["propensity"]) == ("small", None)


def test_what_is_not_known_of_a_call_is_null_and_not_zero(tmp_path: Path) -> None:
    call = {**GOOD, "usage": None, "cost_usd": None}
    (row,) = rows(tmp_path, [decision("d1", "one", attempts=[call], score=1.0)], "outcomes")
    assert (row["cost_usd"], row["input_tokens"], row["output_tokens"]) == (None, None, None)


def test_cached_and_fixed_answers_are_no_outcomes(tmp_path: Path) -> None:
    turns = [
        decision("d1", "one", score=1.0),
        decision("cached", "two", attempts=[], score=1.0),
        decision("fixed", "three", attempts=[FAILED], model=None, score=1.0),
    ]
    assert [row["query_id"] for row in rows(tmp_path, turns, "outcomes")] == ["d1"]


def test_simulated_answers_are_marked(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, [decision("d1", "one", attempts=[{**GOOD, "simulated": True}], score=1.0)], "outcomes")
    assert row["dataset"] == "simulated"


def test_the_outcomes_are_read_as_a_table(tmp_path: Path) -> None:
    turns = [
        decision("a", "one", score=1.0),
        decision("b", "two", score=0.5, model="small", attempts=[{**GOOD, "cost_usd": 0.001}]),
        decision("c", "one"),
    ]
    rows(tmp_path, turns, "outcomes")
    table, findings = read_outcomes(tmp_path / "out.jsonl")
    assert (table.ids, table.models) == (("a", "b", "c"), ("small", "large"))
    np.testing.assert_array_equal(table.score, [[np.nan, 1.0], [0.5, np.nan], [np.nan, np.nan]])
    assert any("propensity" in sentence for sentence in findings.sentences)


# Labelled queries


def test_labels_are_those_that_a_person_gave_and_null_elsewhere(tmp_path: Path) -> None:
    turns = [
        decision("d1", "one", labels={"domain": "shop"}),
        decision("d2", "two", score=1.0),
        decision("d3", "three", labels={"urgency": "high"}, probabilities={}),
    ]
    first, second, third = rows(tmp_path, turns, "labelled")
    beside = {"also": [], "source": "decision log"}
    nothing = {"complexity": None, "domain": None, "urgency": None}
    assert first == {"id": "d1", "text": "one", **nothing, "domain": "shop", **beside}
    assert second == {"id": "d2", "text": "two", **nothing, **beside}
    assert third == {"id": "d3", "text": "three", **nothing, "urgency": "high", **beside}


def test_what_models_are_good_at_is_no_label(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, [decision("d1", "one", probabilities={"success": {"large": 0.9}})], "labelled")
    assert "success" not in row


def test_the_labelled_queries_are_read_as_a_data_set(tmp_path: Path) -> None:
    turns = [decision("d1", "plan a trip", labels={"domain": "trip", "complexity": "complex"}), decision("d2", "hi")]
    rows(tmp_path, turns, "labelled")
    found = load_dataset(tmp_path / "out.jsonl", card=PAM / "card.toml")
    assert found.texts == ["plan a trip", "hi"]
    assert (found.labels("domain"), found.labels("complexity")) == (["trip", None], ["complex", None])


# What cannot be had


@pytest.mark.parametrize("kind", ["labelled", "outcomes"])
def test_a_log_without_texts_is_refused_with_the_setting_to_switch_on(tmp_path: Path, kind: Kind) -> None:
    log = write_log(tmp_path / "log.db", [decision("d1", "one", score=1.0)], keep_text=False)
    with pytest.raises(DataError, match="--keep-text"):
        write_from_log(log, tmp_path / "out.jsonl", kind=kind)
    assert not (tmp_path / "out.jsonl").exists()


def test_outcomes_without_any_score_are_refused(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.db", [decision("d1", "one")])
    with pytest.raises(DataError, match="feedback"):
        write_from_log(log, tmp_path / "out.jsonl", kind="outcomes")


def test_decisions_that_give_no_row_are_counted(tmp_path: Path) -> None:
    turns = [
        decision("d1", "one", score=1.0),
        decision("no text", None, score=1.0),
        decision("no query", "  "),
        decision("no answer", "four", model=None, attempts=[]),
    ]
    extract = write_from_log(write_log(tmp_path / "log.db", turns), tmp_path / "out.jsonl", kind="outcomes")
    assert (len(extract.rows), extract.without_text, extract.without_answer) == (1, 2, 1)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wanted \.jsonl"):
        write_from_log(tmp_path / "log.db", tmp_path / "out.csv", kind="labelled")


# The command


def command(*arguments: object) -> str:
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_the_command_says_what_it_wrote_and_what_to_type_next(tmp_path: Path) -> None:
    turns = [decision("d1", "one", score=1.0), decision("d2", "two"), decision("d3", None)]
    log, out = write_log(tmp_path / "log.db", turns), tmp_path / "out.jsonl"
    said = command(log, "--out", out, "--kind", "outcomes", "--json", tmp_path / "figures.json")
    assert "2 rows, 1 with a score" in said
    assert "left out: 1, because no text was kept" in said
    assert f"weighbridge data check {out}" in said
    assert json.loads((tmp_path / "figures.json").read_text()) == {
        "kind": "outcomes",
        "out": str(out),
        "rows": 2,
        "judged": 1,
        "without_text": 1,
        "without_answer": 0,
    }


def test_the_command_makes_labelled_queries_unless_told_otherwise(tmp_path: Path) -> None:
    turns = [decision("d1", "one", labels={"domain": "shop"}), decision("d2", "two", score=1.0)]
    said = command(write_log(tmp_path / "log.db", turns), "--out", tmp_path / "out.jsonl")
    assert "2 rows, 1 with a label" in said
