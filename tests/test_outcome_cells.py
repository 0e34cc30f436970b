"""Every cell of an outcome table is checked, and every fault is named by its row and field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.outcome_cells import check_cells
from router.outcome_files import LongTable
from router.outcome_rows import outcomes_from
from router.types import MAX_TEXT_CHARS

Row = Mapping[str, Any]  # Any: whatever a cell can hold


def shown(value: object) -> str:
    return ascii(value)[:30]


def row(query: str = "q1", model: str = "a", score: object = 1.0, **more: object) -> Row:
    return {"query_id": query, "query": f"text of {query}", "model": model, "score": score, **more}


def faults(*rows: Row) -> list[tuple[int, str]]:
    """(row, field) of every fault."""
    names = dict.fromkeys(name for entry in rows for name in entry)
    columns = {name: [entry.get(name) for entry in rows] for name in names}
    table = LongTable(source="toy", columns=columns, numbers=range(1, len(rows) + 1))
    return [(fault.line, fault.field) for fault in check_cells(table)[1]]


def test_every_row_with_a_fault_is_named_by_its_row_and_field() -> None:
    good = row("q1", "a")
    assert faults(good, row("q2", "a"), row("q1", "b")) == []
    assert faults(good, {**row("q2"), "score": 1.5}, {**row("q3"), "cost_usd": -1, "score": "x"}) == [
        (2, "score"),
        (3, "score"),
        (3, "cost_usd"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("query_id", value) for value in (None, "", " ", 1.5, True, ["q"], "x" * 201, "a\x00", "a\x85")],
        *[("query", value) for value in (None, "", " \n", 7, ["t"], "a\x00b", "a\x1b[2J", "half \ud800", "\x80\x81")],
        ("query", "x" * (MAX_TEXT_CHARS + 1)),
        *[("model", value) for value in (None, "", 3, ["m"], "x" * 201, "m\x07")],
        *[("score", value) for value in (1.0001, -0.0001, float("inf"), "inf", "right", "0,5", [1], "1_0", 10**400)],
        *[("cost_usd", value) for value in (-1e-9, float("inf"), "free", True, "true", 1e300, "$1", [0.1])],
        *[("input_tokens", value) for value in (-1, "many", float("-inf"), False)],
        *[("output_tokens", value) for value in (-1, "many", 10**400)],
        *[("latency_ms", value) for value in (-0.5, "fast", float("inf"))],
        *[("dataset", value) for value in (3, ["maths"], " ", "x" * 201, "a\x1b")],
        *[("split", value) for value in ("validation", "TRAIN", "dev", 3, True)],
        *[("use", value) for value in ("research", 1, "Train")],
        *[("contaminated", value) for value in ("maybe", 2, "yes", 0.5, [True])],
    ],
    ids=shown,
)
def test_a_bad_value_is_a_fault_of_its_own_row_and_field_alone(field: str, value: object) -> None:
    assert faults(row("q0"), {**row("q1"), field: value}, row("q2")) == [(2, field)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("query_id", 7),
        ("query_id", "a b"),
        ("query", "a\n\tb"),
        ("query", "it\x80\x99s"),  # a quotation mark that was decoded wrongly
        ("query", "x" * MAX_TEXT_CHARS),
        *[("score", value) for value in (0, 1, 0.5, "0.5", "1e-3", True, False, "True", None, "", float("nan"), "nan")],
        *[("cost_usd", value) for value in (0, 1e-300, "1e-5", 1e12, None, "", float("nan"), "NaN")],
        *[("split", value) for value in ("train", "calibration", "test", None, "")],
        *[
            ("contaminated", value)
            for value in (True, False, 0, 1, "True", "false", "TRUE", "0", "1", 1.0, "0.0", None, "")
        ],
        *[("use", value) for value in ("train", "evaluation-only", None, "")],
        *[("dataset", value) for value in ("maths", None, "")],
    ],
    ids=shown,
)
def test_a_good_value_is_no_fault(field: str, value: object) -> None:
    assert faults({**row("q1"), field: value}) == []


def test_a_score_that_passes_a_bound_by_its_last_bit_is_that_bound() -> None:
    columns = {name: [cell] for name, cell in row(score=1.0000000000000004).items()}
    outcomes, _ = outcomes_from(LongTable(source="toy", columns=columns, numbers=[1]), name="toy")
    assert outcomes.score.tolist() == [[1.0]]


def test_a_query_and_model_that_stand_twice_are_a_fault_of_the_second_row() -> None:
    assert faults(row("q1", "a"), row("q1", "b"), row("q1", "a", 0.0), row("q1", "a")) == [(3, "model"), (4, "model")]


def test_ids_that_are_numbers_and_the_same_in_letters_are_one_id() -> None:
    assert faults({**row(), "query_id": 7}, {**row(), "query_id": "7"}) == [(2, "model")]


@pytest.mark.parametrize(("field", "other"), [("query", "another text"), ("dataset", "law"), ("split", "test")])
def test_one_query_with_two_texts_datasets_or_splits_is_a_fault_where_they_part(field: str, other: str) -> None:
    first = row("q1", "a", dataset="maths", split="train")
    assert faults(first, {**first, "model": "b"}, {**first, "model": "c", field: other}) == [(3, field)]
