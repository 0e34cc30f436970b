"""Row space: training on n x n coordinates must find what scikit-learn finds on the columns themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from router.features import Features
from router.ngrams import SparseRows
from router.rowspace import Blocks, RowSpace, blocks_of, row_space

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
N, CLASSES = 60, 3
FACTOR = {"embedding": 1.0, "surface": 0.5, "lexicon": 2.0, "ngrams": 0.7}
TIGHT = {"tol": 1e-9, "max_iter": 5_000}  # both solvers run to the same optimum, so only the coordinates can differ


def sparse(dense: npt.NDArray[np.float32]) -> SparseRows:
    held = [np.flatnonzero(row) for row in dense]
    return SparseRows(
        data=np.concatenate([row[columns] for row, columns in zip(dense, held, strict=True)]),
        indices=np.concatenate(held).astype(np.int32),
        indptr=np.cumsum([0, *map(len, held)]).astype(np.int64),
        n_columns=dense.shape[1],
    )


def drawn(seed: int = 0, *, n: int = N) -> tuple[Features, Ints]:
    """Features with more n-gram columns than rows, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    ngrams = (rng.normal(size=(n, 3 * n)) * (rng.uniform(size=(n, 3 * n)) < 0.1)).astype(np.float32)
    ngrams[:, 0] = 1.0
    features = Features(
        embedding=rng.normal(size=(n, 16)).astype(np.float32),
        surface=rng.normal(size=(n, 5)).astype(np.float32),
        lexicon=rng.poisson(0.3, size=(n, 4)).astype(np.float32),
        ngrams=sparse(ngrams),
    )
    score = features.embedding[:, :CLASSES] + features.surface[:, :CLASSES] + rng.normal(size=(n, CLASSES))
    return features, score.argmax(axis=1)


def columns(blocks: Blocks, name: str) -> Floats:
    rows = blocks.rows[name]
    return np.asarray(rows.toarray() if name == "ngrams" else rows, dtype=np.float64)


def side_by_side(blocks: Blocks, factor: dict[str, float]) -> Floats:
    """All columns of all blocks, each block multiplied by its factor."""
    return np.hstack([columns(blocks, name) * value for name, value in factor.items()])


def column_logits(space: RowSpace, weights: Floats, rows: Ints) -> Floats:
    """Logits of rows of the blocks from the weights on their original columns."""
    found = space.column_weights(weights)
    logits: Floats = np.sum([columns(space.blocks, name)[rows] @ found[name] for name in space.factor], axis=0)
    return logits


def loss(logits: Floats, weights: Floats, y: Ints, C: float) -> float:
    """The objective that scikit-learn minimises."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    likelihood = (shifted[np.arange(len(y)), y] - np.log(np.exp(shifted).sum(axis=1))).sum()
    return float(C * -likelihood + (weights**2).sum() / 2)


@pytest.mark.parametrize("C", [0.03, 0.3, 3.0])
def test_probabilities_are_those_of_scikit_learn_on_the_columns(C: float) -> None:
    features, y = drawn()
    blocks, train, fresh = blocks_of(features), np.arange(N - 20), np.arange(N - 20, N)
    wide = side_by_side(blocks, FACTOR)
    space = row_space(blocks, FACTOR, train)
    plain = LogisticRegression(C=C, **TIGHT).fit(wide[train], y[train])
    rotated = LogisticRegression(C=C, **TIGHT).fit(space.coordinates.astype(float), y[train])
    logits = column_logits(space, rotated.coef_.T, fresh) + rotated.intercept_
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, plain.predict_proba(wide[fresh]), atol=1e-4)


@pytest.mark.parametrize("C", [0.03, 0.3, 3.0])
def test_the_optimum_is_that_of_scikit_learn_on_the_columns(C: float) -> None:
    features, y = drawn()
    blocks = blocks_of(features)
    wide, space = side_by_side(blocks, FACTOR), row_space(blocks, FACTOR, np.arange(N))
    plain = LogisticRegression(C=C, **TIGHT).fit(wide, y)
    rotated = LogisticRegression(C=C, **TIGHT).fit(space.coordinates.astype(float), y)
    reached = loss(space.coordinates.astype(float) @ rotated.coef_.T + rotated.intercept_, rotated.coef_, y, C)
    assert reached == pytest.approx(loss(wide @ plain.coef_.T + plain.intercept_, plain.coef_, y, C), rel=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), picked=st.sets(st.integers(0, 19), min_size=1), fold=st.floats(0.1, 3.0))
def test_coordinates_have_the_inner_products_of_the_chosen_rows(seed: int, picked: set[int], fold: float) -> None:
    blocks, index = blocks_of(drawn(seed, n=20)[0]), np.array(sorted(picked))
    factor = {"surface": fold, "ngrams": 1.0}
    chosen = side_by_side(blocks, factor)[index]
    coordinates = row_space(blocks, factor, index).coordinates.astype(float)
    inner = chosen @ chosen.T
    np.testing.assert_allclose(coordinates @ coordinates.T, inner, atol=1e-5 * inner.diagonal().max())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_weights_brought_back_to_the_columns_give_the_same_logits(seed: int) -> None:
    index = np.arange(20)
    space = row_space(blocks_of(drawn(seed, n=20)[0]), FACTOR, index)
    weights = np.random.default_rng(seed).normal(size=(20, CLASSES))
    expected = space.coordinates.astype(float) @ weights
    np.testing.assert_allclose(column_logits(space, weights, index), expected, atol=1e-3 * np.abs(expected).max())


def test_a_block_that_is_left_out_gets_no_weights() -> None:
    space = row_space(blocks_of(drawn()[0]), {"surface": 1.0}, np.arange(N))
    assert set(space.column_weights(np.ones((N, CLASSES)))) == {"surface"}


def test_rows_that_repeat_still_have_coordinates() -> None:
    features, _ = drawn(n=4)
    blocks = blocks_of(features)
    assert np.isfinite(row_space(blocks, FACTOR, np.array([0, 0, 1, 1, 1])).coordinates).all()


def test_fewer_columns_than_rows_still_have_coordinates() -> None:
    blocks = blocks_of(drawn(n=50)[0])
    assert np.isfinite(row_space(blocks, {"lexicon": 1.0}, np.arange(50)).coordinates).all()


def test_a_block_added_later_counts_as_one_that_was_there() -> None:
    features, _ = drawn()
    without = Features(embedding=features.embedding, surface=features.surface, lexicon=None, ngrams=None)
    assert features.lexicon is not None
    later = blocks_of(without).with_block("lexicon", features.lexicon)
    np.testing.assert_array_equal(later.grams["lexicon"], blocks_of(features).grams["lexicon"])


def test_features_without_ngrams_or_lexicon_make_no_such_blocks() -> None:
    features, _ = drawn()
    bare = Features(embedding=features.embedding, surface=features.surface, lexicon=None, ngrams=None)
    assert set(blocks_of(bare).grams) == {"embedding", "surface"}
    assert len(blocks_of(bare)) == N
