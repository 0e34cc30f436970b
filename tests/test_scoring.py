"""What fitting and judging both compute, on numbers small enough to work out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.scoring import (
    SMALLEST,
    Floats,
    Ints,
    brier,
    confusion,
    ece,
    log_loss,
    macro_f1,
    precision_recall_f1,
    reliability,
    softmax,
)

LOGITS = hnp.arrays(float, (6, 3), elements=st.floats(-30, 30, allow_subnormal=False))
TRUTHS = hnp.arrays(np.intp, 6, elements=st.integers(0, 2))


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.intp)


def test_log_loss_is_the_mean_of_minus_the_logarithm_of_what_happened() -> None:
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(p, ints(0, 0)) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_a_truth_called_impossible_costs_much_but_not_infinitely_much() -> None:
    assert log_loss(np.array([[1.0, 0.0]]), ints(1)) == pytest.approx(-math.log(SMALLEST))


def test_brier_is_the_squared_distance_to_the_one_hot_truth() -> None:
    p = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    assert brier(p, ints(0, 1)) == pytest.approx(((0.3**2 + 0.2**2 + 0.1**2) + 2.0) / 2)


@pytest.mark.parametrize("score", [log_loss, brier, ece, reliability])
def test_the_mean_of_nothing_is_refused(score: object) -> None:
    assert callable(score)
    with pytest.raises(ValueError, match="n > 0"):
        score(np.zeros((0, 2)), ints())


def test_rows_and_truths_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        log_loss(np.full((2, 2), 0.5), ints(0))


def test_ece_is_the_gap_of_every_bin_weighed_by_its_queries() -> None:
    # Three at 0.8, of which two right; one at 0.6, right: |0.8 - 2/3| * 3/4 + |0.6 - 1| * 1/4.
    p = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.6, 0.4]])
    assert ece(p, ints(0, 1, 1, 0)) == pytest.approx((0.8 - 2 / 3) * 0.75 + 0.4 * 0.25)


def test_a_bin_without_a_query_has_no_accuracy() -> None:
    curve = reliability(np.array([[0.9, 0.1]]), ints(0), bins=2)
    assert curve.count.tolist() == [0, 1]
    assert np.isnan(curve.accuracy[0])
    assert curve.accuracy[1] == 1.0


def test_a_probability_of_one_falls_into_the_last_bin() -> None:
    assert reliability(np.array([[1.0, 0.0]]), ints(0), bins=4).count.tolist() == [0, 0, 0, 1]


def test_a_probability_on_an_edge_belongs_to_the_bin_below_it() -> None:
    assert reliability(np.array([[0.75, 0.25]]), ints(0), bins=4).count.tolist() == [0, 0, 1, 0]


def test_ece_bias_is_the_mean_gap_that_chance_alone_makes() -> None:
    # 400 fair coins called at 0.5: draw the bin's accuracy often, and average the gap.
    n = 400
    p = np.full((n, 2), 0.5)
    drawn = np.random.default_rng(0).binomial(n, 0.5, size=20_000) / n
    assert reliability(p, np.zeros(n, dtype=np.intp)).ece_bias == pytest.approx(np.abs(drawn - 0.5).mean(), rel=0.02)


def test_ece_bias_of_a_model_that_is_always_certain_is_zero() -> None:
    assert reliability(np.array([[1.0, 0.0], [1.0, 0.0]]), ints(0, 0)).ece_bias == 0.0


def test_confusion_counts_truths_down_and_predictions_across() -> None:
    assert confusion(ints(0, 0, 1, 2), ints(0, 1, 1, 0), k=3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_precision_recall_and_f1_by_hand() -> None:
    precision, recall, f1 = precision_recall_f1(np.array([[3, 1], [2, 4]]))
    assert precision.tolist() == pytest.approx([3 / 5, 4 / 5])
    assert recall.tolist() == pytest.approx([3 / 4, 4 / 6])
    assert f1.tolist() == pytest.approx([6 / 9, 8 / 11])


def test_a_class_that_is_there_and_never_hit_has_f1_zero_and_no_precision() -> None:
    precision, recall, f1 = precision_recall_f1(np.array([[2, 0], [1, 0]]))
    assert np.isnan(precision[1])
    assert (recall[1], f1[1]) == (0.0, 0.0)


def test_a_class_that_is_neither_there_nor_predicted_has_no_f1() -> None:
    assert np.isnan(precision_recall_f1(np.array([[2, 0], [0, 0]]))[2][1])


def test_macro_f1_leaves_out_classes_that_do_not_occur() -> None:
    assert macro_f1(np.array([[2, 1, 0], [0, 0, 0], [0, 0, 1]])) == pytest.approx((4 / 5 + 1.0) / 2)


def test_softmax_of_enormous_logits_does_not_overflow() -> None:
    assert softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])).tolist() == [[1.0, 0.0], [0.5, 0.5]]


@settings(deadline=None, max_examples=50)
@given(logits=LOGITS, shift=st.floats(-50, 50))
def test_adding_one_number_to_all_logits_of_a_row_changes_no_probability(logits: Floats, shift: float) -> None:
    np.testing.assert_allclose(softmax(logits + shift), softmax(logits), atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(logits=LOGITS, y=TRUTHS, order=st.permutations(range(6)))
def test_every_score_is_the_same_for_queries_in_any_order(logits: Floats, y: Ints, order: list[int]) -> None:
    p = softmax(logits)
    for score in (log_loss, brier, ece):
        assert score(p[order], y[order]) == pytest.approx(score(p, y), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(logits=LOGITS, y=TRUTHS)
def test_ece_equals_a_slow_pass_over_the_bins(logits: Floats, y: Ints) -> None:
    p = softmax(logits)
    total = 0.0
    edges = np.linspace(0, 1, 16)
    for low, high in pairwise(edges):
        members = [i for i in range(len(y)) if low < p[i].max() <= high]
        if members:
            confidence = sum(p[i].max() for i in members) / len(members)
            accuracy = sum(int(p[i].argmax()) == y[i] for i in members) / len(members)
            total += len(members) * abs(confidence - accuracy)
    assert ece(p, y) == pytest.approx(total / len(y), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(truth=TRUTHS, predicted=TRUTHS)
def test_a_confusion_matrix_holds_every_query_once(truth: Ints, predicted: Ints) -> None:
    matrix = confusion(truth, predicted, k=3)
    assert matrix.sum(axis=1).tolist() == np.bincount(truth, minlength=3).tolist()
    assert matrix.sum(axis=0).tolist() == np.bincount(predicted, minlength=3).tolist()
