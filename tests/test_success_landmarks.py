"""Landmarks: what likeness is, what their coordinates are for, and that a product finds what no sum over columns can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.encoders.protocol import Matrix
from router.success import landmarks as module
from router.success.landmarks import ELSEWHERE, WIDTH, Landmarks, choose_landmarks, whitening
from router.success.solver import fit_heads, sigmoid

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 5)).astype(np.float32)
CHANCE = RNG.dirichlet(np.ones(3), size=60)


def test_likeness_falls_with_the_squared_distance() -> None:
    found = Landmarks(rows=np.array([[0.0, 0.0]], dtype=np.float32), chance=None)
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]], dtype=np.float32)
    assert found.similarity(rows, None)[:, 0] == pytest.approx(np.exp([0.0, -WIDTH, -5 * WIDTH]))


def test_queries_of_one_data_set_are_more_alike_than_those_of_two() -> None:
    rows = np.zeros((2, 2), dtype=np.float32)
    found = Landmarks(rows=rows[:1], chance=np.array([[1.0, 0.0]])).similarity(rows, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert found[:, 0] == pytest.approx([ELSEWHERE + 1, ELSEWHERE])


def test_the_overlap_of_two_uncertain_queries_is_that_of_their_distributions() -> None:
    rows = np.zeros((1, 2), dtype=np.float32)
    one, other = np.array([[0.64, 0.36]]), np.array([[0.36, 0.64]])  # √(.64 · .36) twice: 0.96
    assert Landmarks(rows=rows, chance=one).similarity(rows, other)[0, 0] == pytest.approx(ELSEWHERE + 0.96)


@pytest.mark.parametrize("chance", [None, CHANCE])
def test_inner_products_of_the_coordinates_are_the_likeness_where_all_queries_are_landmarks(
    chance: module.Floats | None,
) -> None:
    found = choose_landmarks(ROWS, chance, seed=0)
    coordinates = found.coordinates(ROWS, chance, whitening(found)).astype(np.float64)
    np.testing.assert_allclose(coordinates @ coordinates.T, found.similarity(ROWS, chance), atol=1e-4)


def test_queries_that_stand_twice_add_no_coordinate() -> None:
    twice = choose_landmarks(np.vstack([ROWS, ROWS]), None, seed=0)
    back = whitening(twice)
    assert back.shape[1] <= len(ROWS)
    assert np.isfinite(twice.coordinates(ROWS, None, back)).all()


def test_no_more_landmarks_than_allowed_each_a_training_query_and_the_same_for_the_same_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LANDMARKS", 7)
    found, again = (choose_landmarks(ROWS, CHANCE, seed=3) for _ in range(2))
    assert found.rows.tobytes() == again.rows.tobytes()
    assert len(found.rows) == 7
    index = [int(np.flatnonzero((row == ROWS).all(axis=1))[0]) for row in found.rows]
    assert found.chance is not None
    np.testing.assert_array_equal(found.chance, CHANCE[index])
    assert choose_landmarks(ROWS, None, seed=4).rows.shape == (7, 5)


def test_rows_taken_in_parts_get_the_coordinates_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose_landmarks(ROWS, CHANCE, seed=0)
    back = whitening(found)
    whole = found.coordinates(ROWS, CHANCE, back)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(found.coordinates(ROWS, CHANCE, back), whole, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(rows=hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e6, 1e6, width=32)))
def test_whatever_a_query_looks_like_its_likeness_lies_between_0_and_that_of_an_equal(
    rows: Matrix,
) -> None:
    found = choose_landmarks(ROWS, CHANCE, seed=0).similarity(rows, CHANCE[:4])
    assert found.min() >= 0
    assert found.max() <= ELSEWHERE + 1 + 1e-9


def test_a_sign_that_means_the_opposite_elsewhere_is_learned_which_no_sum_of_columns_is() -> None:
    rng = np.random.default_rng(1)
    rows = rng.choice([-1.0, 1.0], size=(400, 2)).astype(np.float32)
    score = (rows.prod(axis=1, keepdims=True) > 0).astype(np.float64)
    found = choose_landmarks(rows, None, seed=0)
    columns = found.coordinates(rows, None, whitening(found))
    said = sigmoid(fit_heads(columns, score, penalty=1.0).logits(columns))
    linear = sigmoid(fit_heads(rows, score, penalty=1.0).logits(rows))
    assert np.abs(said - score).mean() < 0.1
    assert np.abs(linear - score).mean() > 0.4
