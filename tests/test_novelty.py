"""Novelty: the distance to the nearest training queries, ranked among the calibration queries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import router.novelty
from router.dataset import Dataset
from router.novelty import NEIGHBOURS, Floats, Novelty, Rows, fit_novelty, nearest
from router.pipeline import Router

DIM = 4


def unit(*rows: tuple[float, ...]) -> Rows:
    matrix = np.array(rows, dtype=np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), dtype=np.float32)


@st.composite
def unit_rows(draw: st.DrawFn, *, most: int = 12) -> Rows:
    n = draw(st.integers(1, most))
    whole = draw(hnp.arrays(np.int8, (n, DIM), elements=st.integers(-3, 3)))
    whole[:, 0] = np.where(whole.any(axis=1), whole[:, 0], 1)
    return unit(*whole.tolist())


def slow_nearest(row: Rows, reference: Rows, k: int) -> list[float]:
    """The k largest cosines of one row, by comparing it with every other in turn."""
    cosines = [float(np.dot(row.astype(float), other.astype(float))) for other in reference]
    return sorted(cosines, reverse=True)[:k]


def test_the_nearest_rows_come_most_similar_first() -> None:
    reference = unit((0, 1), (1, 0), (1, 1))
    indices, cosines = nearest(unit((1, 0)), reference, k=3)
    assert indices.tolist() == [[1, 2, 0]]
    assert cosines[0].tolist() == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)


def test_equally_near_rows_come_in_the_order_of_the_reference() -> None:
    assert nearest(unit((1, 0)), unit((0, 1), (1, 0), (0, -1), (1, 0)), k=4)[0].tolist() == [[1, 3, 0, 2]]


def test_no_more_neighbours_are_given_than_there_are() -> None:
    assert nearest(unit((1, 0)), unit((1, 0), (0, 1)), k=5)[0].shape == (1, 2)


@settings(deadline=None, max_examples=50)
@given(rows=unit_rows(), reference=unit_rows(), k=st.integers(1, 6))
def test_the_cosines_are_those_of_a_slow_search(rows: Rows, reference: Rows, k: int) -> None:
    cosines = nearest(rows, reference, k=k)[1]
    slow = [slow_nearest(row, reference, k) for row in rows]
    np.testing.assert_allclose(cosines, np.array(slow), atol=1e-6)


def test_many_rows_are_searched_in_parts_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, reference = unit(*rng.normal(size=(23, DIM)).tolist()), unit(*rng.normal(size=(9, DIM)).tolist())
    whole = nearest(rows, reference, k=3)[0].tolist()
    monkeypatch.setattr(router.novelty, "ROWS_AT_ONCE", 4)
    assert nearest(rows, reference, k=3)[0].tolist() == whole


def test_the_distance_is_one_minus_the_mean_cosine_of_five_neighbours() -> None:
    # Six training rows; the farthest does not count: (1 + 1 + 1 + 0 + 0) / 5.
    reference = unit((1, 0), (1, 0), (1, 0), (0, 1), (0, 1), (-1, 0))
    assert NEIGHBOURS == 5
    assert Novelty(reference, np.zeros(0)).distance(unit((1, 0)))[0] == pytest.approx(1 - 3 / 5, abs=1e-6)


def test_the_rank_is_the_share_of_calibration_queries_that_are_nearer() -> None:
    # Distances to (1, 0) are 1 - cosine: the calibration rows lie at 0.0, 0.4, 1.0 and 2.0.
    fitted = fit_novelty(unit((1, 0)), unit((-1, 0), (0, 1), (3, 4), (1, 0)))
    assert fitted.calibration.tolist() == pytest.approx([0.0, 0.4, 1.0, 2.0], abs=1e-6)
    assert fitted.rank(unit((1, 1), (-3, 4))).tolist() == [1 / 4, 3 / 4]


def test_a_query_farther_than_all_calibration_queries_has_rank_one() -> None:
    assert fit_novelty(unit((1, 0)), unit((1, 0), (1, 1))).rank(unit((-1, 0)))[0] == 1.0


def test_without_calibration_queries_nothing_is_novel() -> None:
    fitted = fit_novelty(unit((1, 0)), np.zeros((0, 2), dtype=np.float32))
    assert fitted.rank(unit((-1, 0), (0, 1))).tolist() == [0.0, 0.0]


@settings(deadline=None, max_examples=50)
@given(train=unit_rows(), calibration=unit_rows(), rows=unit_rows())
def test_a_rank_is_a_share_and_never_falls_with_distance(train: Rows, calibration: Rows, rows: Rows) -> None:
    fitted = fit_novelty(train, calibration)
    rank = fitted.rank(rows)[np.argsort(fitted.distance(rows), kind="stable")]
    assert (np.diff(rank) >= 0).all()
    assert ((rank >= 0) & (rank <= 1)).all()


@pytest.mark.parametrize("together", [1, 5, 40])
def test_training_rows_that_repeat_come_in_their_order_whoever_is_asked_about_beside(together: int) -> None:
    # 199 rows, four times the same 50: their products with one query differ in the last bit by where they stand.
    rng = np.random.default_rng(0)
    reference = unit(*rng.normal(size=(50, 384)).tolist() * 4)[:199]
    rows = unit(*rng.normal(size=(40, 384)).tolist())
    parts = [nearest(rows[start : start + together], reference, k=10)[0] for start in range(0, 40, together)]
    cosines = np.round(rows[:, None].astype(float) @ reference[:50].astype(float).T, 6)[:, 0]
    slow = [sorted(range(199), key=lambda j: (-row[j % 50], j))[:10] for row in cosines]
    assert np.vstack(parts).tolist() == slow


def ranks_in_parts(fitted: Novelty, rows: Rows, size: int) -> Floats:
    return np.concatenate([fitted.rank(rows[start : start + size]) for start in range(0, len(rows), size)])


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_rank_does_not_depend_on_which_rows_are_asked_about_together(size: int) -> None:
    # The calibration rows themselves: each ties with its own distance, so the last bit of a cosine decides its rank.
    rng = np.random.default_rng(0)
    train, calibration = unit(*rng.normal(size=(200, 64)).tolist()), unit(*rng.normal(size=(60, 64)).tolist())
    fitted = fit_novelty(train, calibration)
    assert ranks_in_parts(fitted, calibration, size).tolist() == fitted.rank(calibration).tolist()


def test_a_calibration_query_asked_alone_is_decided_as_among_its_fellows(router: Router, small: Dataset) -> None:
    texts = small.split("calibration").texts[:40]
    assert [router.decide(text) for text in texts] == router.decide_many(texts)
