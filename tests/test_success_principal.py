"""Ridge along principal axes: one decomposition says what fitting again, with and without each fold, would say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as SlowRidge

from router.encoders.protocol import Matrix
from router.success.principal import Floats, Ints, Principal

CLOSE = 1e-4  # products run in single precision


def drawn(n: int = 60, d: int = 5, k: int = 3, *, seed: int = 0, folds: int = 4) -> tuple[Matrix, Floats, Ints]:
    """Rows that are not centred, targets that depend on them, and folds of unequal size."""
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(n, d)) + rng.normal(size=d) * 3).astype(np.float32)
    target = rows[:, :1] + rng.normal(size=(n, k))
    part = np.sort(rng.integers(0, folds, size=n))
    part[:2] = 0, 1  # two folds at least
    return rows, target, part


def refitted(rows: Matrix, target: Floats, part: Ints, *, penalty: float) -> Floats:
    """The slow way: fit each fold's complement from scratch, with an intercept that is free and its own."""
    held = np.empty_like(target)
    wide = rows.astype(np.float64)
    for fold in np.unique(part):
        out = part == fold
        held[out] = (
            SlowRidge(alpha=penalty).fit(wide[~out], target[~out]).predict(wide[out]).reshape(-1, target.shape[1])
        )
    return held


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_all_rows_are_fitted_as_ridge_regression_with_a_free_intercept_fits_them(penalty: float) -> None:
    rows, target, _ = drawn()
    found = Principal(rows).fit(target, penalty=penalty)
    slow = SlowRidge(alpha=penalty).fit(rows.astype(np.float64), target)
    np.testing.assert_allclose(found.weights, slow.coef_.T, atol=CLOSE)
    np.testing.assert_allclose(found.values(rows), slow.predict(rows.astype(np.float64)), atol=CLOSE)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_held_out_values_are_those_of_really_fitting_again_without_the_fold(penalty: float) -> None:
    rows, target, part = drawn()
    held = Principal(rows).held_out(target, part, penalty=penalty)
    np.testing.assert_allclose(held, refitted(rows, target, part, penalty=penalty), atol=CLOSE)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1_000), n=st.integers(4, 30), d=st.integers(1, 40), folds=st.integers(2, 4))
def test_held_out_values_are_exact_for_any_shape_and_any_folds(seed: int, n: int, d: int, folds: int) -> None:
    rows, target, part = drawn(n, d, 2, seed=seed, folds=folds)
    held = Principal(rows).held_out(target, part, penalty=2.0)
    np.testing.assert_allclose(held, refitted(rows, target, part, penalty=2.0), atol=1e-3)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1_000), fold=st.integers(0, 1))
def test_what_a_fold_is_told_of_its_rows_does_not_depend_on_their_own_targets(seed: int, fold: int) -> None:
    rows, target, part = drawn(seed=seed)
    changed = target.copy()
    changed[part == fold] = np.random.default_rng(seed + 1).normal(size=(int((part == fold).sum()), 3)) * 10
    principal = Principal(rows)
    before, after = (principal.held_out(values, part, penalty=1.0)[part == fold] for values in (target, changed))
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_left_out_one_by_one_a_target_that_is_noise_is_not_predicted() -> None:
    rng = np.random.default_rng(0)
    rows, noise = rng.normal(size=(100, 300)).astype(np.float32), rng.normal(size=(100, 1))
    principal = Principal(rows)
    held = principal.held_out(noise, np.arange(100), penalty=1.0)
    assert np.corrcoef(principal.fit(noise, penalty=1.0).values(rows)[:, 0], noise[:, 0])[0, 1] > 0.9
    assert np.corrcoef(held[:, 0], noise[:, 0])[0, 1] < 0.3


def test_a_stronger_penalty_draws_every_value_to_the_mean() -> None:
    rows, target, part = drawn()
    principal = Principal(rows)
    np.testing.assert_allclose(
        principal.fit(target, penalty=1e9).values(rows), np.tile(target.mean(axis=0), (60, 1)), atol=1e-3
    )
    for fold in np.unique(part):
        others = target[part != fold].mean(axis=0)
        held = principal.held_out(target, part, penalty=1e9)[part == fold]
        np.testing.assert_allclose(held, np.tile(others, (len(held), 1)), atol=1e-3)


def test_the_same_amount_added_to_a_column_everywhere_changes_no_value() -> None:
    rows, target, part = drawn()
    moved = rows + np.float32(16.0)
    held, again = (Principal(x).held_out(target, part, penalty=1.0) for x in (rows, moved))
    np.testing.assert_allclose(again, held, atol=CLOSE)


@pytest.mark.parametrize("extra", ["constant", "repeated"])
def test_a_constant_or_a_repeated_column_is_no_obstacle(extra: str) -> None:
    rows, target, part = drawn()
    column = np.full((60, 1), 7.0, dtype=np.float32) if extra == "constant" else rows[:, :1]
    wide = np.hstack([rows, column])
    held = Principal(wide).held_out(target, part, penalty=1.0)
    np.testing.assert_allclose(held, refitted(wide, target, part, penalty=1.0), atol=CLOSE)


def test_rows_that_are_all_alike_are_told_the_mean_of_the_other_folds() -> None:
    rows, part = np.ones((4, 3), dtype=np.float32), np.array([0, 0, 1, 1])
    held = Principal(rows).held_out(np.array([[1.0], [2.0], [5.0], [7.0]]), part, penalty=1.0)
    assert held[:, 0].tolist() == pytest.approx([6.0, 6.0, 1.5, 1.5])


def test_the_axes_are_a_rotation_and_the_coordinates_are_centred() -> None:
    rows, _, _ = drawn()
    principal = Principal(rows)
    np.testing.assert_allclose(principal.axes.T @ principal.axes, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(principal.coordinates.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(principal.coordinates @ principal.axes.T + principal.mean, rows, atol=1e-4)
