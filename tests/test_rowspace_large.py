"""Many training rows: dense reduced columns must find what exact row space finds, and never hold an n x n matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from router.columnspace import ColumnBlocks, ColumnSpace, column_basis, reduced_blocks, training_rows
from router.features import Features
from router.ngrams import SparseRows
from router.rowspace import Blocks, blocks_of
from router.scoring import softmax
from router.solver import Linear, logistic

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
N, CLASSES, TERMS = 80, 4, 200
FACTOR = {"embedding": 1.0, "surface": 0.5, "ngrams": 0.7}
ALL = 10_000  # more axes than there are


def sparse(rows: npt.NDArray[np.float32]) -> SparseRows:
    held = [np.flatnonzero(row) for row in rows]
    return SparseRows(
        data=np.concatenate([row[columns] for row, columns in zip(rows, held, strict=True)]),
        indices=np.concatenate(held).astype(np.int32),
        indptr=np.cumsum([0, *map(len, held)]).astype(np.int64),
        n_columns=rows.shape[1],
    )


def drawn(seed: int = 0, *, n: int = N, terms: int = TERMS, topics: int | None = None) -> tuple[Features, Ints]:
    """Features and labels that depend on them; with `topics`, n-grams of about that rank, as words of few themes are."""
    rng = np.random.default_rng(seed)
    ngrams = rng.normal(size=(n, terms)) * (rng.uniform(size=(n, terms)) < 0.1)
    if topics is not None:
        ngrams = rng.normal(size=(n, topics)) @ rng.normal(size=(topics, terms)) + 0.05 * ngrams
    features = Features(
        embedding=rng.normal(size=(n, 16)).astype(np.float32),
        surface=rng.normal(size=(n, 5)).astype(np.float32),
        lexicon=None,
        ngrams=sparse(ngrams.astype(np.float32)),
    )
    score = features.embedding[:, :CLASSES] + ngrams[:, :CLASSES] + rng.normal(size=(n, CLASSES))
    return features, score.argmax(axis=1)


def wide(features: Features, factor: dict[str, float]) -> Floats:
    """All columns side by side, each block multiplied by its factor."""
    assert features.ngrams is not None
    dense = {
        "embedding": features.embedding,
        "surface": features.surface,
        "ngrams": features.ngrams.to_scipy().toarray(),
    }
    return np.hstack([dense[name].astype(np.float64) * value for name, value in factor.items()])


def column_logits(space: ColumnSpace, model: Linear, features: Features, rows: Ints) -> Floats:
    """Logits by the weights on the original columns: what a saved head will compute."""
    found = space.column_weights(model.weights)
    assert set(found) == set(space.factor)
    stacked = np.vstack([found[name] for name in space.factor])
    logits: Floats = wide(features, dict.fromkeys(space.factor, 1.0))[rows] @ stacked + model.intercept
    return logits


def everything(n: int) -> npt.NDArray[np.bool_]:
    return np.ones(n, dtype=bool)


@pytest.mark.parametrize("C", [0.03, 0.3, 3.0])
def test_at_full_rank_the_probabilities_are_those_of_scikit_learn_on_the_columns(C: float) -> None:
    features, y = drawn()
    train, fresh = np.arange(N - 20), np.arange(N - 20, N)
    plain = LogisticRegression(C=C, tol=1e-9, max_iter=5_000).fit(wide(features, FACTOR)[train], y[train])
    space = reduced_blocks(features, rank=ALL, axes=ALL).space(FACTOR, train)
    model = logistic(space.coordinates.astype(float), y[train], C=C, tolerance=1e-8)
    ours = softmax(column_logits(space, model, features, fresh))
    np.testing.assert_allclose(ours, plain.predict_proba(wide(features, FACTOR)[fresh]), atol=1e-3)


@pytest.mark.parametrize("C", [0.1, 1.0])
def test_at_full_rank_both_roads_give_the_same_weights_on_every_column(C: float) -> None:
    features, y = drawn()
    index = np.arange(N)
    exact, reduced = (blocks.space(FACTOR, index) for blocks in (blocks_of(features), reduced_blocks(features)))
    tight = logistic(exact.coordinates, y, C=C, tolerance=1e-5)
    ours = reduced.column_weights(reduced.fit(everything(N), y, C=C).weights)
    theirs = exact.column_weights(tight.weights)
    for name in FACTOR:
        np.testing.assert_allclose(ours[name], theirs[name], atol=0.03 * np.abs(theirs[name]).max())


def test_predictions_converge_to_the_exact_ones_as_the_rank_grows() -> None:
    features, y = drawn(topics=12, n=150)
    index = np.arange(150)
    columns = wide(features, FACTOR)  # any dense rows will do for the solver: only its speed wants principal axes
    exact = softmax(logistic(columns, y, C=0.1, tolerance=1e-6).logits(columns))
    gaps = []
    for rank in (2, 8, 20, 150):
        space = reduced_blocks(features, rank=rank, axes=ALL).space(FACTOR, index)
        p = softmax(column_logits(space, space.fit(everything(150), y, C=0.1), features, index))
        gaps.append(float(np.abs(p - exact).max()))
    assert gaps[0] > 0.05
    assert gaps[2] < gaps[0] / 5
    assert gaps[3] < 2e-3


def test_leaving_out_the_smallest_axes_moves_probabilities_less_than_leaving_out_larger_ones() -> None:
    features, y = drawn(topics=12, n=150)
    index = np.arange(150)

    def probabilities(axes: int) -> Floats:
        space = reduced_blocks(features, rank=ALL, axes=axes).space(FACTOR, index)
        return softmax(space.fit(everything(150), y, C=0.1).logits(space.coordinates))

    whole = probabilities(ALL)
    small, large = (float(np.abs(probabilities(axes) - whole).max()) for axes in (40, 10))
    assert small < 0.1 < large


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 60), axes=st.integers(1, 60))
def test_weights_brought_back_to_the_columns_give_the_same_logits_at_any_rank(seed: int, rank: int, axes: int) -> None:
    # Coordinates are the rows' own shadows on the axes kept, so nothing is lost on the way back, however few are kept.
    features, _ = drawn(seed, n=30, terms=50)
    space = reduced_blocks(features, rank=rank, axes=axes).space(FACTOR, np.arange(30))
    weights = np.random.default_rng(seed).normal(size=(space.coordinates.shape[1], CLASSES))
    model = Linear(weights=weights, intercept=np.zeros(CLASSES), present=np.arange(CLASSES))
    expected = model.logits(space.coordinates)
    np.testing.assert_allclose(
        column_logits(space, model, features, np.arange(30)), expected, atol=2e-4 * max(1.0, np.abs(expected).max())
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), picked=st.sets(st.integers(0, 19), min_size=1))
def test_at_full_rank_coordinates_have_the_inner_products_of_the_chosen_rows(seed: int, picked: set[int]) -> None:
    features, _ = drawn(seed, n=20, terms=30)
    index = np.array(sorted(picked))
    coordinates = reduced_blocks(features, axes=ALL).space(FACTOR, index).coordinates.astype(float)
    inner = wide(features, FACTOR)[index] @ wide(features, FACTOR)[index].T
    # RESOLUTION leaves out directions below a thousandth of the largest: so much of an inner product may be missing
    np.testing.assert_allclose(coordinates @ coordinates.T, inner, atol=2e-3 * inner.diagonal().max())


def test_the_basis_is_orthonormal_and_holds_nearly_what_the_best_of_its_size_could() -> None:
    features, _ = drawn(topics=12, n=150)
    assert features.ngrams is not None
    rows = features.ngrams.to_scipy()
    basis = column_basis(rows, rank=15, rng=np.random.default_rng(0)).astype(float)
    np.testing.assert_allclose(basis.T @ basis, np.eye(15), atol=1e-5)
    best = (np.linalg.svd(rows.toarray(), compute_uv=False)[:15] ** 2).sum()
    assert ((rows @ basis) ** 2).sum() > 0.999 * best


def test_rows_that_repeat_and_columns_that_are_empty_still_have_a_basis() -> None:
    rows = np.zeros((6, 9), dtype=np.float32)
    rows[:, 2] = 1.0
    basis = column_basis(sparse(rows).to_scipy(), rank=4, rng=np.random.default_rng(0))
    assert np.isfinite(basis).all()
    np.testing.assert_allclose(np.linalg.norm(rows @ basis, axis=1), 1.0, atol=1e-5)


def test_the_same_seed_gives_the_same_columns() -> None:
    features, _ = drawn()
    once, again = (reduced_blocks(features, rank=10, seed=3).rows["ngrams"] for _ in range(2))
    assert once.tobytes() == again.tobytes()


def test_no_n_by_n_matrix_is_ever_held() -> None:
    n = 4_000
    features, y = drawn(n=n, terms=60)
    tracemalloc.start()
    space = training_rows(features, exact_rows=100).space(FACTOR, np.arange(n))
    space.fit(everything(n), y, C=0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * n * 4 / 4  # bytes: a quarter of what one matrix in single precision takes


def test_the_limit_chooses_the_road() -> None:
    features, _ = drawn()
    assert isinstance(training_rows(features, exact_rows=N), Blocks)
    assert isinstance(training_rows(features, exact_rows=N - 1), ColumnBlocks)


def test_a_block_added_later_is_weighed_and_brought_back_like_the_others() -> None:
    features, y = drawn()
    extra = np.eye(CLASSES, dtype=np.float32)[y] * 5
    space = reduced_blocks(features).with_block("domain", extra).space({"surface": 1.0, "domain": 1.0}, np.arange(N))
    model = space.fit(everything(N), y, C=1.0)
    assert (extra @ space.column_weights(model.weights)["domain"]).argmax(axis=1).tolist() == y.tolist()


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("C", [0.01, 1.0, 10.0])
def test_a_solver_begun_elsewhere_reaches_the_optimum_of_scikit_learn(C: float, classes: int) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(120, 10)) * np.geomspace(3, 0.3, 10)
    y = (rows[:, :classes] + rng.normal(size=(120, classes))).argmax(axis=1)
    plain = LogisticRegression(C=C, tol=1e-9, max_iter=10_000).fit(rows, y)
    begun = logistic(rows, y, C=C / 10)
    ours = logistic(rows, y, C=C, tolerance=1e-6, start=begun)
    np.testing.assert_allclose(softmax(ours.logits(rows)), plain.predict_proba(rows), atol=2e-3)


def test_where_the_solver_begins_does_not_change_where_it_ends() -> None:
    features, y = drawn()
    rows = features.embedding.astype(float)
    cold = logistic(rows, y, C=1.0, tolerance=1e-6)
    warm = logistic(rows, y, C=1.0, start=logistic(rows, y, C=0.03), tolerance=1e-6)
    np.testing.assert_allclose(warm.logits(rows), cold.logits(rows), atol=1e-3)


def test_a_start_that_knew_other_classes_is_passed_over() -> None:
    features, y = drawn()
    rows = features.embedding
    fewer = logistic(rows[y > 0], y[y > 0], C=1.0)
    started = logistic(rows, y, C=1.0, start=fewer)
    assert started.weights.tobytes() == logistic(rows, y, C=1.0).weights.tobytes()


def test_classes_that_did_not_occur_get_no_column_and_keep_their_numbers() -> None:
    rows = np.array([[0.0], [0.1], [5.0], [5.1]])
    model = logistic(rows, np.array([3, 3, 7, 7]), C=1.0)
    assert model.present.tolist() == [3, 7]
    assert model.present[model.logits(rows).argmax(axis=1)].tolist() == [3, 3, 7, 7]
    np.testing.assert_allclose(model.weights[:, 0], -model.weights[:, 1], atol=1e-9)


def test_one_class_alone_gets_zeros() -> None:
    model = logistic(np.ones((3, 2)), np.array([4, 4, 4]), C=1.0)
    assert (model.present.tolist(), model.weights.tolist(), model.intercept.tolist()) == ([4], [[0.0], [0.0]], [0.0])


@pytest.mark.parametrize("scale", [1e-6, 1e3])
def test_absurdly_small_and_large_columns_still_give_finite_weights(scale: float) -> None:
    features, y = drawn()
    model = logistic(features.embedding * np.float32(scale), y, C=1.0)
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.intercept).all()
