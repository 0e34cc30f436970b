"""Heads of graded scores: scikit-learn's optimum, whatever is missing, whatever stands beside, and wherever it starts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from router.encoders.protocol import Matrix
from router.success.solver import Floats, Heads, fit_heads, sigmoid

CLOSE = 1e-3  # of a probability: products run in single precision


def rows_of(n: int = 200, d: int = 6, *, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def coins(rows: Matrix, *, models: int = 2, seed: int = 1) -> Floats:
    """(n, models) 0 or 1: model j succeeds the likelier, the larger column j."""
    p = sigmoid(1.5 * rows[:, :models].astype(np.float64) + 0.5)
    return (np.random.default_rng(seed).uniform(size=p.shape) < p).astype(np.float64)


def reference(rows: Matrix, y: Floats, *, penalty: float) -> Floats:
    """(n,) probabilities of scikit-learn's optimum for scores of 0 and 1."""
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(rows.astype(np.float64), y)
    return np.asarray(model.predict_proba(rows.astype(np.float64))[:, 1])


def probabilities(rows: Matrix, score: Floats, *, penalty: float = 1.0) -> Floats:
    return sigmoid(fit_heads(rows, score, penalty=penalty).logits(rows))


@pytest.mark.parametrize("penalty", [0.01, 1.0, 50.0])
def test_right_and_wrong_answers_are_weighed_as_scikit_learn_weighs_them(penalty: float) -> None:
    rows = rows_of()
    score = coins(rows, models=3)
    wanted = np.column_stack([reference(rows, score[:, j], penalty=penalty) for j in range(3)])
    np.testing.assert_allclose(probabilities(rows, score, penalty=penalty), wanted, atol=CLOSE)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_columns_of_any_scale_find_the_same_optimum_at_the_penalty_of_that_scale(factor: float) -> None:
    rows = rows_of()
    score = coins(rows)
    scaled = probabilities(rows * np.float32(factor), score, penalty=factor**2)
    np.testing.assert_allclose(scaled, probabilities(rows, score), atol=CLOSE)


def test_columns_of_very_different_scale_are_fitted_together() -> None:
    rows = rows_of() * np.logspace(-3, 3, 6, dtype=np.float32)
    score = coins(rows_of())
    wanted = np.column_stack([reference(rows, score[:, j], penalty=1.0) for j in range(2)])
    np.testing.assert_allclose(probabilities(rows, score), wanted, atol=CLOSE)


def test_half_a_success_counts_as_one_success_and_one_failure_of_half_the_weight() -> None:
    rows = rows_of(60)
    score = np.random.default_rng(2).choice([0.0, 0.5, 1.0], size=(60, 1))
    twice = np.vstack([np.ceil(score), np.floor(score)])  # a half becomes a 1 and a 0, the others stand twice
    wanted = reference(np.vstack([rows, rows]), twice[:, 0], penalty=2.0)[:60]
    np.testing.assert_allclose(probabilities(rows, score)[:, 0], wanted, atol=CLOSE)


def test_a_missing_cell_is_left_out_and_the_other_models_lose_nothing() -> None:
    rows = rows_of()
    score = coins(rows)
    holed = score.copy()
    holed[::3, 1] = np.nan
    known = np.isfinite(holed[:, 1])
    found = probabilities(rows, holed)
    np.testing.assert_allclose(found[:, 0], reference(rows, score[:, 0], penalty=1.0), atol=CLOSE)
    np.testing.assert_allclose(found[known, 1], reference(rows[known], score[known, 1], penalty=1.0), atol=CLOSE)


def test_a_model_known_on_few_rows_is_fitted_as_well_as_if_it_stood_alone() -> None:
    rows = rows_of(4_000)
    score = coins(rows)
    score[40:, 1] = np.nan
    wanted = reference(rows[:40], score[:40, 1], penalty=1.0)
    np.testing.assert_allclose(probabilities(rows, score)[:40, 1], wanted, atol=CLOSE)


@pytest.mark.parametrize("beside", [0.0, 1.0, 0.25, np.nan])
def test_a_model_that_never_varies_changes_nothing_for_the_others(beside: float) -> None:
    rows = rows_of()
    score = coins(rows)
    wider = np.column_stack([score, np.full(len(rows), beside)])
    np.testing.assert_allclose(probabilities(rows, wider)[:, :2], probabilities(rows, score), atol=CLOSE)


def test_a_model_whose_scores_are_all_alike_gets_that_score_whatever_is_asked() -> None:
    rows = rows_of(50)
    score = np.column_stack([np.full(50, 0.25), coins(rows)[:, 0]])
    score[::2, 0] = np.nan
    heads = fit_heads(rows, score, penalty=1.0)
    assert not heads.weights[:, 0].any()
    assert heads.intercept[0] == pytest.approx(np.log(0.25 / 0.75), abs=1e-12)


@pytest.mark.parametrize("always", [0.0, 1.0])
def test_a_model_that_always_does_the_same_is_nearly_certain_and_finite(always: float) -> None:
    heads = fit_heads(rows_of(50), np.full((50, 1), always), penalty=1.0)
    assert np.isfinite(heads.intercept).all()
    assert 0 < abs(float(sigmoid(heads.intercept)[0]) - always) < 0.01


def test_the_mean_probability_is_the_mean_score_because_the_intercept_is_free() -> None:
    rows = rows_of()
    score = np.random.default_rng(3).uniform(size=(200, 2))
    score[::5, 0] = np.nan
    found = np.where(np.isfinite(score), probabilities(rows, score, penalty=20.0), np.nan)
    np.testing.assert_allclose(np.nanmean(found, axis=0), np.nanmean(score, axis=0), atol=CLOSE)


def test_where_the_search_starts_does_not_matter() -> None:
    rows = rows_of()
    score = coins(rows)
    far = Heads(weights=np.full((6, 2), -2.0), intercept=np.full(2, 3.0))
    again = sigmoid(fit_heads(rows, score, penalty=1.0, start=far).logits(rows))
    np.testing.assert_allclose(again, probabilities(rows, score), atol=CLOSE)


def test_a_stronger_penalty_gives_shorter_weights() -> None:
    rows = rows_of()
    lengths = [
        np.linalg.norm(fit_heads(rows, coins(rows), penalty=penalty).weights) for penalty in (0.1, 1.0, 10.0, 1e3)
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 5 * lengths[-1]


def test_columns_that_tell_success_apart_without_error_still_give_finite_weights() -> None:
    rows = rows_of()
    heads = fit_heads(rows, (rows[:, :1] > 0).astype(np.float64), penalty=1e-3)
    assert np.isfinite(heads.weights).all()
    assert ((heads.logits(rows)[:, 0] > 0) == (rows[:, 0] > 0)).mean() > 0.99


@pytest.mark.parametrize("column", [0.0, 3.0])
def test_a_constant_column_gets_no_weight(column: float) -> None:
    rows = rows_of()
    wider = np.column_stack([rows, np.full(len(rows), column, dtype=np.float32)])
    np.testing.assert_allclose(probabilities(wider, coins(rows)), probabilities(rows, coins(rows)), atol=CLOSE)


def test_more_columns_than_rows_are_no_obstacle() -> None:
    rows = rows_of(30, 80)
    score = coins(rows)
    wanted = np.column_stack([reference(rows, score[:, j], penalty=5.0) for j in range(2)])
    np.testing.assert_allclose(probabilities(rows, score, penalty=5.0), wanted, atol=CLOSE)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1_000), models=st.integers(1, 4), n=st.integers(5, 60))
def test_the_order_of_the_rows_does_not_matter(seed: int, models: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows, score = rows_of(n, seed=seed), rng.choice([0.0, 0.3, 1.0, np.nan], size=(n, models))
    order = rng.permutation(n)
    found = sigmoid(fit_heads(rows[order], score[order], penalty=1.0).logits(rows))
    np.testing.assert_allclose(found, probabilities(rows, score), atol=CLOSE)


def test_the_same_rows_and_scores_give_the_same_bytes() -> None:
    rows = rows_of()
    first, second = (fit_heads(rows, coins(rows), penalty=1.0) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.intercept.tobytes() == second.intercept.tobytes()


def test_what_is_given_is_left_as_it_was() -> None:
    rows, score = rows_of(), coins(rows_of())
    score[0, 0] = np.nan
    start = Heads(weights=np.ones((6, 2)), intercept=np.ones(2))
    fit_heads(rows, score, penalty=1.0, start=start)
    assert rows.tobytes() == rows_of().tobytes()
    assert np.isnan(score[0, 0])
    assert (start.weights == 1).all()
    assert (start.intercept == 1).all()


def test_the_sigmoid_neither_overflows_nor_leaves_the_unit_interval() -> None:
    z: npt.NDArray[np.float64] = np.array([-1e308, -800.0, 0.0, np.log(3.0), 800.0, 1e308])
    assert sigmoid(z).tolist() == pytest.approx([0.0, 0.0, 0.5, 0.75, 1.0, 1.0])
    assert ((sigmoid(z) >= 0) & (sigmoid(z) <= 1)).all()


def test_a_model_without_any_score_is_not_taken_for_one_that_always_fails() -> None:
    rows = rows_of(50)
    score = np.column_stack([np.tile([1.0, 1.0, 1.0, 0.0, 1.0], 10), np.full(50, np.nan)])
    assert sigmoid(fit_heads(rows, score, penalty=1.0).intercept)[1] == pytest.approx(0.8, abs=0.01)
