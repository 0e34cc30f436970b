"""The outcome table as a record: which rows and models it keeps, what its oracle takes, what names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DataError
from router.outcomes import PER_CELL, PER_QUERY, Floats, Outcomes, equal_texts

NAN = float("nan")


def table(score: Any, *, cost: Any = None, **changed: Any) -> Outcomes:  # Any: rows of numbers; fields of the record
    """Queries q0, q1, ... with texts of their own and models a, b, c, ...; nothing but the scores is known."""
    scores = np.array(score, dtype=float)
    n, m = scores.shape
    unknown = np.full((n, m), NAN)
    fields: dict[str, Any] = {
        "name": "toy",
        "ids": tuple(f"q{i}" for i in range(n)),
        "texts": tuple(f"text {i}" for i in range(n)),
        "models": tuple("abcdefgh"[:m]),
        "score": scores,
        "cost_usd": unknown if cost is None else np.array(cost, dtype=float),
        **dict.fromkeys(("input_tokens", "output_tokens", "latency_ms"), unknown),
        "dataset": (None,) * n,
        "split": (None,) * n,
        "unit": np.arange(n),
    }
    return Outcomes(**{**fields, **changed})


RIGHT: list[list[float]] = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1]]
FULL = table(
    RIGHT,
    cost=[[0.1, 0.2, 0.3]] * 4,
    input_tokens=np.full((4, 3), 10.0),
    output_tokens=np.full((4, 3), 20.0),
    latency_ms=np.full((4, 3), 30.0),
    dataset=("maths", "maths", "law", None),
    split=("train", "test", None, "train"),
    unit=np.array([0, 1, 0, 2]),
)


def with_cells(field: str, cells: Floats) -> Outcomes:
    changed: dict[str, Any] = {field: cells}  # Any: a field of the record
    return replace(FULL, **changed)


def test_chosen_rows_come_in_the_order_asked_for_with_everything_that_belongs_to_them() -> None:
    part = FULL.rows(np.array([3, 0]))
    assert part.ids == ("q3", "q0")
    assert part.texts == ("text 3", "text 0")
    assert part.dataset == (None, "maths")
    assert part.split == ("train", "train")
    assert part.unit.tolist() == [2, 0]
    assert part.score.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert part.models == FULL.models


@settings(deadline=None, max_examples=30)
@given(mask=st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_mask_and_the_positions_it_marks_choose_the_same_rows(mask: list[bool]) -> None:
    by_mask = FULL.rows(np.array(mask))
    by_position = FULL.rows(np.flatnonzero(mask))
    assert all(getattr(by_mask, name) == getattr(by_position, name) for name in PER_QUERY)
    assert all(np.array_equal(getattr(by_mask, name), getattr(by_position, name)) for name in (*PER_CELL, "unit"))


def test_a_row_drawn_twice_is_refused_because_its_id_would_stand_twice() -> None:
    with pytest.raises(DataError, match="stands twice"):
        FULL.rows(np.array([1, 1]))


def test_chosen_models_keep_the_tables_order_whatever_order_they_are_asked_in() -> None:
    part = FULL.only(["c", "a", "c"])
    assert part.models == ("a", "c")
    assert part.score.tolist() == [[0, 1], [1, 1], [1, 0], [0, 1]]
    assert part.cost_usd[0].tolist() == [0.1, 0.3]
    assert part.ids == FULL.ids


def test_a_model_that_the_table_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(DataError, match="no model 'z'; it has a, b, c"):
        FULL.only(["a", "z"])
    with pytest.raises(DataError, match="no model 'z'; it has a, b, c"):
        FULL.column("z")
    assert FULL.column("b") == 1


def test_a_table_without_a_model_is_refused() -> None:
    with pytest.raises(DataError, match="no model is left"):
        FULL.only([])


def test_a_query_is_complete_when_every_model_has_a_score_for_it() -> None:
    assert table([[0, 1], [NAN, 1], [NAN, NAN]]).complete.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("cost", "known"),
    [([[1, 2], [1, 2]], True), ([[1, NAN], [NAN, 2]], True), ([[1, NAN], [1, NAN]], False), (None, False)],
)
def test_costs_are_known_when_every_model_has_one(cost: list[list[float]] | None, known: bool) -> None:
    assert table([[0, 1], [1, 1]], cost=cost).has_cost is known


def test_no_queries_have_no_costs() -> None:
    assert not FULL.rows(np.zeros(4, dtype=bool)).has_cost


def test_the_oracle_takes_the_cheapest_of_the_best_answers() -> None:
    score = [[1, 1, 0], [0, 1, 1], [0, 0, 0], [0.2, 0.7, 0.6]]
    cost = [[3, 2, 1], [1, 3, 2], [2, 2, 1], [1, 9, 1]]
    assert table(score, cost=cost).oracle().tolist() == [1, 2, 2, 1]


def test_the_oracle_takes_the_first_in_order_where_score_and_cost_tie() -> None:
    assert table([[0, 1, 1], [1, 1, 1]], cost=[[1, 2, 2], [5, 5, 5]]).oracle().tolist() == [1, 0]


def test_without_costs_the_oracle_takes_the_first_in_order_of_the_best_answers() -> None:
    assert table([[0, 1, 1], [1, 0, 1]]).oracle().tolist() == [1, 0]


def test_a_missing_cost_counts_as_the_dearest_but_its_answer_still_wins_where_it_alone_is_best() -> None:
    score = [[1.0, 1], [1, 0], [1, 1]]
    assert table(score, cost=[[NAN, 5], [NAN, 5], [1, NAN]]).oracle().tolist() == [0, 0, 0]
    assert table(score, cost=[[NAN, 4], [NAN, 5], [1, NAN]]).oracle().tolist() == [1, 0, 0]


def test_the_oracle_refuses_a_query_with_a_missing_score() -> None:
    with pytest.raises(DataError, match="drop the incomplete queries first"):
        table([[1, NAN]]).oracle()


@settings(deadline=None, max_examples=50)
@given(cells=st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=1, max_size=6), data=st.data())
def test_the_oracle_is_what_a_search_through_every_row_finds(
    cells: list[tuple[float, ...]], data: st.DataObject
) -> None:
    cost = data.draw(st.lists(st.tuples(*[st.sampled_from([1.0, 2.0])] * 3), min_size=len(cells), max_size=len(cells)))
    slow = [min(range(3), key=lambda j: (-score[j], price[j], j)) for score, price in zip(cells, cost, strict=True)]
    assert table(cells, cost=cost).oracle().tolist() == slow


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(4)))
def test_the_fingerprint_does_not_depend_on_the_order_of_the_rows(order: list[int]) -> None:
    assert FULL.rows(np.array(order)).fingerprint() == FULL.fingerprint()


CHANGES: dict[str, Callable[[Outcomes], Any]] = {  # Any: fields of the record
    "ids": lambda outcomes: ("q9", *outcomes.ids[1:]),
    "texts": lambda outcomes: ("another", *outcomes.texts[1:]),
    "dataset": lambda outcomes: ("law", *outcomes.dataset[1:]),
    "split": lambda outcomes: (None, *outcomes.split[1:]),
    "models": lambda outcomes: ("a", "b", "d"),
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_fingerprint_changes_with_a_name_of_one_query_or_model(field: str) -> None:
    assert replace(FULL, **{field: CHANGES[field](FULL)}).fingerprint() != FULL.fingerprint()


@pytest.mark.parametrize("value", [0.123, NAN])
@pytest.mark.parametrize("field", PER_CELL)
def test_the_fingerprint_changes_with_every_single_cell(field: str, value: float) -> None:
    seen = {FULL.fingerprint()}
    for i in range(4):
        for j in range(3):
            cells = getattr(FULL, field).copy()
            cells[i, j] = value
            seen.add(with_cells(field, cells).fingerprint())
    assert len(seen) == 1 + 12


def test_a_missing_cell_and_zero_have_different_fingerprints_and_minus_zero_is_zero() -> None:
    def named(value: float) -> str:
        return table([[value, 1.0]]).fingerprint()

    assert named(NAN) != named(0.0)
    assert named(-0.0) == named(0.0)


def test_the_name_of_the_table_is_no_part_of_its_fingerprint() -> None:
    assert replace(FULL, name="other").fingerprint() == FULL.fingerprint()


def test_half_a_surrogate_pair_in_a_text_has_a_fingerprint() -> None:
    assert len(table([[1.0]], texts=("half \ud800",)).fingerprint()) == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", 1.1),
        ("score", -0.1),
        ("score", np.inf),
        ("cost_usd", -1.0),
        ("cost_usd", np.inf),
        ("latency_ms", -np.inf),
    ],
)
def test_a_number_outside_its_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(DataError, match=f"{field} is not in its range"):
        with_cells(field, np.full((4, 3), value))


@pytest.mark.parametrize("field", [*PER_CELL, "texts", "dataset", "split", "unit"])
def test_a_field_of_another_length_is_refused_by_name(field: str) -> None:
    with pytest.raises(DataError, match=f"{field} do not have the shape"):
        replace(FULL, **{field: getattr(FULL, field)[:3]})


@pytest.mark.parametrize("changed", [{"ids": ("q0",) * 4}, {"models": ("a", "a", "b")}])
def test_a_model_or_an_id_that_stands_twice_is_refused(changed: dict[str, Any]) -> None:  # Any: fields of the record
    with pytest.raises(DataError, match="stands twice"):
        replace(FULL, **changed)


def test_a_table_for_evaluation_only_refuses_to_be_fitted_on_and_its_parts_do_as_well() -> None:
    FULL.require_trainable("compare")
    closed = replace(FULL, use="evaluation-only")
    for outcomes in (closed, closed.rows(np.array([0])), closed.only(["a"])):
        with pytest.raises(DataError, match="evaluation only, so `compare` must not fit"):
            outcomes.require_trainable("compare")


def test_an_unknown_use_is_refused() -> None:
    with pytest.raises(DataError, match="wanted one of train, evaluation-only"):
        replace(FULL, use="research")


def test_texts_that_differ_in_case_or_white_space_are_equal_and_others_are_not() -> None:
    assert equal_texts(["A  b", "a b\n", "ab", "STRASSE", "straße", "a b."]).tolist() == [0, 0, 1, 2, 2, 3]


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.sampled_from(["a", "A", "b", " b", "c"]), max_size=8))
def test_two_texts_have_one_number_exactly_when_they_read_the_same(texts: list[str]) -> None:
    number = equal_texts(texts)
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            assert (number[i] == number[j]) == (first.strip().lower() == second.strip().lower())
