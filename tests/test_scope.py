"""The out-of-scope score: three signs, ranked by the calibration queries and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load, save

from eval.selective import auroc
from router.encoders.protocol import Matrix
from router.errors import BundleError, FitError, PolicyError
from router.scope import (
    SHRINKAGE,
    SIGNS,
    Floats,
    Scope,
    fit_class_distance,
    fit_normal_score,
    fit_scope,
    max_logit,
    scope_from_arrays,
)

DIM, CLASSES, SENTENCE = 12, 4, 8
VALUES = hnp.arrays(np.int64, st.integers(1, 12), elements=st.integers(-5, 5)).map(lambda values: values / 4)


def rows_of(centres: Matrix, y: np.ndarray[Any, Any], rng: np.random.Generator) -> Matrix:
    """Rows around their class centres; the sentence part has unit length."""
    rows = np.asarray(centres[y] + 0.5 * rng.normal(size=(len(y), DIM)), dtype=np.float32)
    rows[:, :SENTENCE] /= np.linalg.norm(rows[:, :SENTENCE], axis=1, keepdims=True)
    return rows


class World:
    """Four classes to learn, queries of theirs to rank by, and queries of four other classes."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        centres = np.asarray(2 * rng.normal(size=(2 * CLASSES, DIM)), dtype=np.float32)
        self.y = np.arange(160) % CLASSES
        self.train = rows_of(centres, self.y, rng)
        self.calibration = rows_of(centres, np.arange(60) % CLASSES, rng)
        self.inside = rows_of(centres, np.arange(80) % CLASSES, rng)
        self.outside = rows_of(centres, CLASSES + np.arange(80) % CLASSES, rng)
        self.weights = np.stack([self.train[self.y == j].mean(axis=0) for j in range(CLASSES)], axis=1)

    def logits(self, rows: Matrix) -> Floats:
        return np.asarray(rows @ self.weights, dtype=np.float64)

    def fit(self, **changed: Any) -> Scope:  # Any: what a test breaks
        arguments: dict[str, Any] = {
            "train": self.train,
            "y": self.y,
            "sentence_dim": SENTENCE,
            "calibration": self.calibration,
            "logits": self.logits(self.calibration),
        }
        arguments |= changed
        return fit_scope(arguments.pop("train"), arguments.pop("y"), **arguments)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def fitted(world: World) -> Scope:
    return world.fit()


def test_a_normal_score_is_as_by_hand() -> None:
    # quantiles of 1/6, 3/6 and 5/6; beyond the largest the slope is 1 / sqrt(2/3)
    found = fit_normal_score(np.array([3.0, 1.0, 2.0])).apply(np.array([2.0, 1.0, 2.5, 4.0, 0.0]))
    assert found == pytest.approx([0, -0.967422, 0.483711, 2.192167, -2.192167], abs=1e-6)


def test_equal_calibration_values_share_the_mean_of_their_quantiles() -> None:
    assert fit_normal_score(np.array([1.0, 1.0, 3.0])).heights == pytest.approx([-0.483711, 0.967422], abs=1e-6)


def test_calibration_values_that_are_all_equal_still_tell_more_from_less() -> None:
    assert fit_normal_score(np.array([2.0, 2.0])).apply(np.array([1.0, 2.0, 5.0])).tolist() == [-1.0, 0.0, 3.0]
    assert fit_normal_score(np.full(10, 0.1)).apply(np.array([0.6])) == pytest.approx([0.5])


@settings(deadline=None, max_examples=50)
@given(calibration=VALUES, values=VALUES)
def test_a_normal_score_keeps_every_order_and_every_tie(calibration: Floats, values: Floats) -> None:
    score = fit_normal_score(calibration).apply(values)
    assert (np.sign(np.subtract.outer(score, score)) == np.sign(np.subtract.outer(values, values))).all()


@settings(deadline=None, max_examples=50)
@given(calibration=VALUES, shift=st.integers(-3, 3), scale=st.sampled_from([0.25, 1.0, 8.0]))
def test_a_normal_score_does_not_know_the_unit_of_its_values(calibration: Floats, shift: int, scale: float) -> None:
    there = fit_normal_score(calibration).apply(calibration)
    assert fit_normal_score(calibration * scale + shift).apply(calibration * scale + shift) == pytest.approx(there)


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_values_that_cannot_be_ranked_are_refused(values: list[float]) -> None:
    with pytest.raises(FitError, match="finite"):
        fit_normal_score(np.array(values))


def test_a_distance_is_as_by_hand() -> None:
    # classes at −2 and 2 with variance 1 within: 5 lies 3 deviations off, 0 lies 2
    rows = np.array([[-3], [-1], [1], [3]], dtype=np.float32)
    found = fit_class_distance(rows, np.array(["a", "a", "b", "b"]))
    assert found.distance(np.array([[5], [2], [0], [-4]], dtype=np.float32)) == pytest.approx([9, 0, 4, 4], abs=1e-5)


def slow_distance(rows: Matrix, train: Matrix, y: np.ndarray[Any, Any]) -> list[float]:
    """Standardise, pool the covariance within classes, shrink it, and solve for each row and class in turn."""
    mean, deviation = train.astype(float).mean(axis=0), train.astype(float).std(axis=0)
    z = (train - mean) / deviation
    centres = {j: z[y == j].mean(axis=0) for j in np.unique(y)}
    outer = [np.outer(row - centres[j], row - centres[j]) for row, j in zip(z, y, strict=True)]
    within = np.mean(outer, axis=0)
    shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    gaps = [[(row - mean) / deviation - centre for centre in centres.values()] for row in rows]
    return [min(float(gap @ np.linalg.solve(shrunk, gap)) for gap in row) for row in gaps]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_where_the_classes_span_all_columns_it_is_the_mahalanobis_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.arange(40) % 5
    train = np.asarray(rng.normal(size=(40, 3)) * [1, 5, 0.1] + rng.normal(size=(5, 3))[y], dtype=np.float32)
    rows = np.asarray(3 * rng.normal(size=(6, 3)), dtype=np.float32)
    found = fit_class_distance(train, y).distance(rows)
    assert found == pytest.approx(slow_distance(rows, train, y), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("constant", [7.0, 0.1, 1e-8])
def test_a_column_that_never_changes_is_taken_as_it_is(constant: float) -> None:
    rows = np.array([[x, constant] for x in (-3, -1, 1, 3) * 3], dtype=np.float32)
    found = fit_class_distance(rows, np.array([0, 0, 1, 1] * 3))
    same = found.distance(np.array([[1, constant]], dtype=np.float32))
    assert found.distance(np.array([[1, constant + 0.5]], dtype=np.float32)) == pytest.approx(same, abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "y"),
    [
        ([[0.0], [1.0]], [0, 0]),  # one class
        ([[0.0], [1.0]], [0, 1]),  # no class with two different queries
        ([[0.1], [0.1], [0.1], [0.1], [0.1], [0.1]], [0, 0, 0, 1, 1, 1]),  # nothing differs
        ([[0.1], [0.1], [0.1], [0.7], [0.7], [0.7]], [0, 0, 0, 1, 1, 1]),  # no two queries of a class differ
        ([[0.0], [2.0], [0.0], [2.0]], [0, 0, 1, 1]),  # two classes in one place
    ],
)
def test_classes_that_give_no_distance_are_refused(rows: list[list[float]], y: list[int]) -> None:
    with pytest.raises(FitError, match="no distance between classes"):
        fit_class_distance(np.array(rows, dtype=np.float32), np.array(y))


def test_what_stands_out_is_the_height_above_the_mean() -> None:
    assert max_logit(np.array([[3.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [2.0, 0.0]


def test_strangers_score_above_natives(world: World, fitted: Scope) -> None:
    rows = np.vstack([world.inside, world.outside])
    strange = np.arange(len(rows)) >= len(world.inside)
    assert auroc(fitted.score(rows, world.logits(rows)), strange) > 0.9
    assert all(auroc(sign, strange) > 0.6 for sign in fitted.signs(rows, world.logits(rows)).values())


def test_the_score_is_the_mean_of_the_three_ranked_signs(world: World, fitted: Scope) -> None:
    signs = fitted.signs(world.outside, world.logits(world.outside))
    ranked = [
        fit_normal_score(fitted.signs(world.calibration, world.logits(world.calibration))[name]) for name in SIGNS
    ]
    mean = sum(scale.apply(signs[name]) for scale, name in zip(ranked, SIGNS, strict=True)) / 3
    assert fitted.score(world.outside, world.logits(world.outside)) == pytest.approx(mean, abs=1e-6)


def test_a_rank_is_the_share_of_calibration_queries_that_are_less_strange(world: World, fitted: Scope) -> None:
    own = fitted.score(world.calibration, world.logits(world.calibration))
    found = fitted.rank(world.inside, world.logits(world.inside))
    score = fitted.score(world.inside, world.logits(world.inside))
    assert found == pytest.approx([np.mean(own < value) for value in score])


@pytest.mark.parametrize("size", [1, 7])
def test_a_score_does_not_depend_on_the_queries_beside_it(world: World, fitted: Scope, size: int) -> None:
    rows = np.vstack([world.inside, world.outside])
    logits = world.logits(rows)
    parts = [fitted.score(rows[i : i + size], logits[i : i + size]) for i in range(0, len(rows), size)]
    assert np.concatenate(parts) == pytest.approx(fitted.score(rows, logits), abs=2e-6)


def test_a_shift_of_all_logits_of_a_query_changes_nothing(world: World, fitted: Scope) -> None:
    logits = world.logits(world.inside)
    shifted = logits + np.arange(len(logits))[:, None]
    assert fitted.score(world.inside, shifted) == pytest.approx(fitted.score(world.inside, logits), abs=1e-5)


def test_the_order_and_the_names_of_the_training_classes_do_not_matter(world: World, fitted: Scope) -> None:
    order = np.random.default_rng(0).permutation(len(world.y))
    other = world.fit(train=world.train[order], y=np.array(["d", "b", "c", "a"])[world.y[order]])
    logits = world.logits(world.outside)
    assert other.score(world.outside, logits) == pytest.approx(fitted.score(world.outside, logits), abs=1e-4)


def test_a_score_survives_the_disk(world: World, fitted: Scope) -> None:
    logits = world.logits(world.outside)
    again = scope_from_arrays(load(save(fitted.to_arrays())))
    assert again.score(world.outside, logits).tolist() == fitted.score(world.outside, logits).tolist()
    assert again.rank(world.outside, logits).tolist() == fitted.rank(world.outside, logits).tolist()


@pytest.mark.parametrize("name", ["reference", "projection", "class.knots", "neighbour.spread", "calibration"])
def test_a_missing_array_is_named(fitted: Scope, name: str) -> None:
    arrays: Mapping[str, Any] = {key: array for key, array in fitted.to_arrays().items() if key != name}
    with pytest.raises(BundleError, match=name):
        scope_from_arrays(arrays)


def test_one_calibration_query_is_enough_to_rank_by(world: World) -> None:
    one = world.fit(calibration=world.calibration[:1], logits=world.logits(world.calibration[:1]))
    rows = np.vstack([world.inside, world.outside])
    assert auroc(one.score(rows, world.logits(rows)), np.arange(len(rows)) >= len(world.inside)) > 0.8


def test_repeated_training_queries_are_no_obstacle(world: World) -> None:
    twice = world.fit(train=np.repeat(world.train, 2, axis=0), y=np.repeat(world.y, 2))
    assert np.isfinite(twice.score(world.outside, world.logits(world.outside))).all()


def test_no_queries_have_no_scores(world: World, fitted: Scope) -> None:
    assert fitted.score(world.inside[:0], world.logits(world.inside[:0])).shape == (0,)


@pytest.mark.parametrize(
    "changed",
    [
        {"train": np.zeros((0, DIM), dtype=np.float32), "y": np.zeros(0, dtype=int)},
        {"y": np.zeros(3, dtype=int)},
        {"calibration": np.zeros((0, DIM), dtype=np.float32)},
        {"sentence_dim": 0},
        {"sentence_dim": DIM + 1},
        {"train": np.full((160, DIM), np.nan, dtype=np.float32)},
    ],
)
def test_too_little_to_learn_from_is_refused(world: World, changed: dict[str, Any]) -> None:
    with pytest.raises(FitError, match="wanted"):
        world.fit(**changed)


def test_rows_of_another_encoder_are_refused(world: World, fitted: Scope) -> None:
    with pytest.raises(PolicyError, match="encoder it was fitted with"):
        fitted.score(world.inside[:, :-1], world.logits(world.inside))
    with pytest.raises(PolicyError, match="wanted"):
        fitted.score(world.inside, world.logits(world.inside[:3]))
    with pytest.raises(PolicyError, match="wanted"):
        fitted.score(world.inside, world.logits(world.inside)[:, 0])


def test_a_logit_that_is_no_number_is_refused(world: World, fitted: Scope) -> None:
    with pytest.raises(PolicyError, match="not finite"):
        fitted.score(world.inside, world.logits(world.inside) * np.nan)
