"""Rounding weights to int8: what the inputs look like decides what is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.compiled.quantise import LARGEST, Floats, drawn_in, rounded


def inputs(n: int, d: int, seed: int) -> Floats:
    """n rows of d columns that move together: eight directions and a little noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 8)) @ rng.normal(size=(8, d)) + 0.1 * rng.normal(size=(n, d))


def lost(x: Floats, weights: Floats, whole: Floats, scale: Floats) -> float:
    return float(((x @ weights - x @ (whole * scale)) ** 2).sum())


@pytest.mark.parametrize("d", [24, 200])
def test_rounding_loses_far_less_than_the_nearest_whole_numbers_where_inputs_move_together(d: int) -> None:
    x, weights = inputs(500, d, seed=0), np.random.default_rng(1).normal(size=(d, 16))
    whole, scale = rounded(weights, x.T @ x)
    nearest = np.rint(weights / scale)
    assert lost(x, weights, whole.astype(np.float64), scale) < 0.25 * lost(x, weights, nearest, scale)


def test_inputs_of_which_each_moves_alone_leave_the_nearest_whole_numbers() -> None:
    weights = np.random.default_rng(1).normal(size=(30, 5))
    whole, scale = rounded(weights, np.eye(30))
    assert np.array_equal(whole, np.rint(weights / scale))


@settings(deadline=None, max_examples=50)
@given(d=st.integers(1, 40), n=st.integers(1, 5), seed=st.integers(0, 1_000))
def test_whole_numbers_stay_within_what_no_processor_overflows(d: int, n: int, seed: int) -> None:
    x, weights = inputs(50, d, seed), np.random.default_rng(seed).normal(size=(d, n))
    whole, scale = rounded(weights, x.T @ x)
    assert np.abs(whole.astype(int)).max() <= LARGEST
    assert np.iinfo(np.int16).max >= 255 * 2 * LARGEST
    assert (scale > 0).all()


def test_a_column_of_zeros_stays_zero() -> None:
    whole, scale = rounded(np.zeros((3, 2)), np.eye(3))
    assert not whole.any()
    assert np.isfinite(scale).all()


def test_only_columns_that_reach_beyond_the_typical_are_drawn_in() -> None:
    assert drawn_in(np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0])).tolist() == [*[1.0] * 10, 8.0]
    assert drawn_in(np.zeros(4)).tolist() == [1.0] * 4
