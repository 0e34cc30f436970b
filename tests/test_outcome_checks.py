"""Each peculiarity of a table is found, counted and named; straddling texts and missing costs are dealt with by rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DataError
from router.outcome_checks import require_no_straddle, straddling_units, with_costs_filled
from router.outcome_findings import Findings, findings_of
from router.outcomes import Outcomes, equal_texts

NAN = float("nan")


def table(
    score: Any, *, cost: Any = None, texts: Sequence[str] | None = None, **changed: Any
) -> Outcomes:  # Any: rows of numbers; fields of the record
    """Queries q0, q1, ... and models a, b, c, ...; every call costs 1 dollar unless said otherwise."""
    scores = np.array(score, dtype=float)
    n, m = scores.shape
    texts = texts or [f"text {i}" for i in range(n)]
    fields: dict[str, Any] = {
        "name": "toy",
        "ids": tuple(f"q{i}" for i in range(n)),
        "texts": tuple(texts),
        "models": tuple("abcdefgh"[:m]),
        "score": scores,
        "cost_usd": np.ones((n, m)) if cost is None else np.array(cost, dtype=float),
        **dict.fromkeys(("input_tokens", "output_tokens", "latency_ms"), np.full((n, m), NAN)),
        "dataset": (None,) * n,
        "split": (None,) * n,
        "unit": equal_texts(texts),
    }
    return Outcomes(**{**fields, **changed})


VARIED = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]


def only(findings: Findings) -> tuple[str, int, dict[str, float]]:
    """Rule, count and figures of the one finding there is."""
    (entry,) = findings.entries
    return entry.rule, entry.count, dict(entry.models)


def test_there_is_nothing_to_say_about_a_plain_table() -> None:
    assert findings_of(table(VARIED)).sentences == []
    assert findings_of(table(VARIED)).to_mapping() == {"findings": []}


def test_no_queries_have_no_peculiarities() -> None:
    assert findings_of(table(VARIED).rows(np.zeros(4, dtype=bool))).sentences == []


def test_contaminated_queries_are_counted_with_what_became_of_them() -> None:
    assert findings_of(table(VARIED), contaminated=1).sentences == ["1 contaminated query left out."]
    assert findings_of(table(VARIED), contaminated=1200).sentences == ["1,200 contaminated queries left out."]


def test_queries_with_missing_scores_are_counted_and_the_models_they_lack_as_well() -> None:
    score = [[0, 1, 1], [NAN, 1, 0], [NAN, NAN, 1], [1, 0, 0]]
    assert only(findings_of(table(score))) == ("incomplete", 2, {"a": 2.0, "b": 1.0})
    assert findings_of(table(score)).sentences == ["2 queries lack the score of some model and are kept: a 2, b 1."]


def test_where_fewer_than_half_are_complete_the_models_that_cause_it_and_those_to_keep_are_named() -> None:
    score = [[0, NAN, 1], [1, 1, 0], [0, NAN, 1], [1, NAN, 1], [1, 0, NAN]]
    found = findings_of(table(score))
    assert [entry.rule for entry in found.entries] == ["incomplete", "sparse"]
    assert found.sentences[1] == (
        "Only 1 of 5 queries have the score of every model, because of b 3; with `--models a,c` 80% of them are complete."
    )


def test_models_that_share_exactly_half_of_the_queries_are_enough() -> None:
    score = [[0, 1, NAN], [1, 0, NAN], [1, NAN, 0], [0, NAN, 1]]
    assert "`--models a,b` 50% of them" in findings_of(table(score)).sentences[1]


def test_where_half_are_complete_no_model_is_blamed() -> None:
    assert only(findings_of(table([[0, NAN], [1, NAN], [1, 0], [0, 1]])))[0] == "incomplete"


def test_where_no_two_models_share_half_of_the_queries_no_models_are_proposed() -> None:
    score = [[0, NAN, NAN], [1, NAN, NAN], [NAN, 0, NAN], [NAN, 1, 0], [NAN, NAN, 1]]
    sentence = findings_of(table(score)).sentences[-1]
    assert sentence.startswith("Only 0 of 5 queries have the score of every model, and no two models")
    assert "--models" not in sentence


@settings(deadline=None, max_examples=50)
@given(cells=st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, NAN])] * 4), min_size=2, max_size=8))
def test_the_models_that_are_proposed_share_at_least_half_of_the_queries(cells: list[tuple[float, ...]]) -> None:
    outcomes = table(cells)
    sparse = [entry for entry in findings_of(outcomes).entries if entry.rule == "sparse"]
    assert bool(sparse) == (2 * outcomes.complete.sum() < len(outcomes))
    for entry in sparse:
        if entry.models:
            kept = entry.sentence.split("--models ")[1].split("`")[0].split(",")
            assert set(kept) == set(outcomes.models) - set(entry.models)
            assert 2 * outcomes.only(kept).complete.sum() >= len(outcomes)


def test_a_model_with_one_score_for_every_query_is_named_with_it() -> None:
    score = [[0.5, 1, NAN], [0.5, 0, 1], [0.5, 1, 1]]
    found = [entry for entry in findings_of(table(score)).entries if entry.rule == "constant"]
    assert [(entry.count, dict(entry.models)) for entry in found] == [(2, {"a": 0.5, "c": 1.0})]
    assert found[0].sentence == "The score of 2 models is the same for every query: a (0.5), c (1)."


def test_a_model_with_a_single_score_is_not_called_constant() -> None:
    assert findings_of(table([[0.5, 1.0]])).sentences == []


def test_missing_costs_are_counted_by_model_for_calls_that_have_a_score() -> None:
    score = [[0, 1], [1, NAN], [0, 1], [1, 0]]
    cost = [[NAN, 2], [1, NAN], [NAN, 2], [1, NAN]]
    found = {entry.rule: entry for entry in findings_of(table(score, cost=cost)).entries}
    assert (found["missing-cost"].count, dict(found["missing-cost"].models)) == (3, {"a": 2.0, "b": 1.0})
    assert found["missing-cost"].sentence.startswith("The cost of 3 calls is missing (a 2, b 1); it is filled")


def test_a_cost_of_zero_is_not_missing() -> None:
    assert findings_of(table(VARIED, cost=np.zeros((4, 2)))).sentences == []


def test_a_model_without_any_cost_is_named_apart_from_a_table_without_any() -> None:
    some = findings_of(table(VARIED, cost=[[1, NAN]] * 4)).sentences
    assert some == ["No cost of b is known, so that costs cannot be compared; the cost of 4 calls is missing (b 4)."]
    none = findings_of(table(VARIED, cost=np.full((4, 2), NAN))).sentences
    assert none == ["The table has no costs: models stand in the order of their mean scores."]


def test_repeated_texts_are_counted_beyond_the_first_of_each() -> None:
    texts = ["same", "Same ", "other", "same"]
    assert only(findings_of(table(VARIED, texts=texts))) == ("repeated", 2, {})


def test_texts_in_two_splits_are_counted_and_the_option_is_named() -> None:
    found = findings_of(table(VARIED, texts=["x", "x", "y", "y"], split=("train", "test", "test", "test")))
    assert found.count("straddling") == 1
    assert found.count("repeated") == 2
    assert "--on-straddle drop-train" in found.sentences[-1]


def test_control_characters_that_are_kept_are_counted() -> None:
    assert only(findings_of(table(VARIED, texts=["it\x80\x99s", "a\n\tb", "c\x02", "d"]))) == ("controls", 2, {})


def test_queries_without_a_split_are_counted_only_where_others_have_one() -> None:
    assert only(findings_of(table(VARIED, split=("train", None, "test", None)))) == ("no-split", 2, {})
    assert findings_of(table(VARIED, split=("train", "test", "test", "calibration"))).sentences == []


def test_a_table_for_evaluation_only_says_so() -> None:
    assert only(findings_of(table(VARIED, use="evaluation-only"))) == ("evaluation-only", 4, {})


def test_columns_that_nothing_reads_are_named() -> None:
    assert findings_of(table(VARIED), passed_over=("response", "judge")).sentences == [
        "2 columns are none of ours and passed over: 'response', 'judge'."
    ]


def test_findings_are_json_with_every_figure() -> None:
    findings = findings_of(table([[0, NAN], [1, 0]]), contaminated=3)
    assert json.loads(json.dumps(findings.to_mapping())) == {
        "findings": [
            {"rule": "contaminated", "count": 3, "sentence": "3 contaminated queries left out.", "models": {}},
            {
                "rule": "incomplete",
                "count": 1,
                "sentence": "1 query lacks the score of some model and is kept: b 1.",
                "models": {"b": 1.0},
            },
        ]
    }
    assert findings.count("contaminated") == 3
    assert findings.count("straddling") == 0


TORN = table(VARIED, texts=["x", "X ", "y", "z"], split=("train", "test", "train", "test"))


def test_a_text_in_train_and_test_is_refused_with_an_example_and_the_way_out() -> None:
    with pytest.raises(DataError) as caught:
        require_no_straddle(TORN, "refuse")
    assert "1 text stands in more than one split, as that of query 'q0'" in str(caught.value)
    assert "--on-straddle drop-train" in str(caught.value)


def test_the_training_copies_of_a_torn_text_are_dropped_and_nothing_else() -> None:
    assert require_no_straddle(TORN, "drop-train").ids == ("q1", "q2", "q3")


def test_the_copy_in_the_last_split_stays_and_a_query_without_a_split_is_left_alone() -> None:
    texts = ["x", "x", "x", "x", "x", "y"]
    split = ("calibration", "train", "test", None, "test", "train")
    score = [[0.0, 1.0], [1.0, 0.0]] * 3
    kept = require_no_straddle(table(score, texts=texts, split=split), "drop-train")
    assert kept.ids == ("q2", "q3", "q4", "q5")
    calibrated = table([[0.0, 1.0]] * 2, texts=["x", "x"], split=("train", "calibration"))
    assert require_no_straddle(calibrated, "drop-train").ids == ("q1",)


def test_a_table_without_torn_texts_comes_back_as_it_is() -> None:
    whole = table(VARIED, texts=["x", "x", "y", "y"], split=("train", "train", "test", None))
    assert require_no_straddle(whole, "refuse") is whole
    assert require_no_straddle(whole, "drop-train") is whole


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from([None, "train", "calibration", "test"])), max_size=8
    )
)
def test_after_dropping_no_text_is_torn_and_every_test_query_is_still_there(rows: list[tuple[str, str | None]]) -> None:
    texts, splits = [text for text, _ in rows], tuple(split for _, split in rows)
    before = table(np.zeros((len(rows), 1)), texts=texts, split=splits, cost=np.ones((len(rows), 1)))
    after = require_no_straddle(before, "drop-train")
    assert straddling_units(after) == []
    assert set(after.texts) == set(before.texts)
    for spared in ("test", None):
        was = [name for name, split in zip(before.ids, before.split, strict=True) if split == spared]
        assert [name for name, split in zip(after.ids, after.split, strict=True) if split == spared] == was


PRICED = table(
    [[0.0, 1.0]] * 5,
    cost=[[1, 10], [3, 20], [NAN, 60], [NAN, NAN], [99, NAN]],
    dataset=("maths", "maths", "law", "maths", "law"),
)
TRAIN = np.array([0, 1, 2])


def test_a_missing_cost_becomes_the_models_mean_on_the_training_rows_of_its_data_set_else_on_all() -> None:
    filled = with_costs_filled(PRICED, TRAIN)
    assert filled.cost_usd.tolist() == [[1, 10], [3, 20], [2, 60], [2, 15], [99, 60]]


def test_a_mask_and_positions_of_the_training_rows_fill_the_same() -> None:
    mask = np.array([True, True, True, False, False])
    assert with_costs_filled(PRICED, mask).cost_usd.tolist() == with_costs_filled(PRICED, TRAIN).cost_usd.tolist()


def test_filling_leaves_the_table_it_was_given_alone() -> None:
    before = PRICED.cost_usd.copy()
    with_costs_filled(PRICED, TRAIN)
    np.testing.assert_array_equal(PRICED.cost_usd, before)


def test_queries_without_a_data_set_are_a_data_set_of_their_own() -> None:
    outcomes = table([[0.0]] * 4, cost=[[1], [3], [NAN], [7]], dataset=(None, "maths", None, None))
    assert with_costs_filled(outcomes, np.array([0, 1])).cost_usd[2].tolist() == [1.0]


def test_known_costs_and_tables_without_costs_come_back_as_they_are() -> None:
    whole, none = table(VARIED), table(VARIED, cost=[[1, NAN]] * 4)
    assert with_costs_filled(whole, np.array([0])) is whole
    assert with_costs_filled(none, np.array([0, 1])) is none


def test_a_model_whose_training_rows_have_no_cost_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="no cost of a is known on the training queries"):
        with_costs_filled(PRICED, np.array([2]))


@settings(deadline=None, max_examples=50)
@given(
    cells=st.lists(st.tuples(*[st.sampled_from([1.0, 4.0, NAN])] * 2), min_size=2, max_size=8),
    sets=st.lists(st.sampled_from(["maths", "law", None]), min_size=8, max_size=8),
)
def test_filled_costs_are_those_a_loop_over_the_cells_finds(
    cells: list[tuple[float, ...]], sets: list[str | None]
) -> None:
    rows = [(2.0, 3.0), *cells]
    n, train = len(rows), range(0, len(rows), 2)
    sets = ["maths", *sets][:n]
    filled = with_costs_filled(table(np.zeros((n, 2)), cost=rows, dataset=tuple(sets)), np.array(train)).cost_usd

    def slow(i: int, j: int) -> float:
        own = [rows[k][j] for k in train if sets[k] == sets[i] and rows[k][j] == rows[k][j]]
        every = [rows[k][j] for k in train if rows[k][j] == rows[k][j]]
        return rows[i][j] if rows[i][j] == rows[i][j] else sum(own or every) / len(own or every)

    np.testing.assert_allclose(filled, [[slow(i, j) for j in range(2)] for i in range(n)])
