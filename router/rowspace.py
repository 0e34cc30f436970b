"""Exact coordinates of n training rows in n dimensions, however many columns their features have.

An L2-penalised linear model's solution lies in the span of its training rows (the representer theorem), and the penalty
does not change under rotation. So instead of n rows with 30,000 n-gram columns, the solver sees the n x n Cholesky
factor L of the Gram matrix K = X Xᵀ = L Lᵀ: the same optimum, dense arithmetic, some fifteen times faster than sparse
rows, and a block can be re-weighed by adding its Gram matrix with another factor
(docs/decisions/0005-training-in-row-space.md, benchmarks/train_solver.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.features import Features
from router.solver import Linear, logistic

Floats = npt.NDArray[np.float64]
JITTER = 1e-6  # of the mean diagonal: keeps the factor defined when rows repeat


class Space(Protocol):
    """Dense coordinates of chosen rows, on which a head is fitted."""

    @property
    def coordinates(self) -> Matrix:
        """(m, r) float32."""

    def fit(
        self, seen: npt.NDArray[np.bool_], y: npt.NDArray[np.intp], *, C: float, start: Linear | None = None
    ) -> Linear:
        """A model of the `seen` of the m rows, whose classes are y. A solver may begin at `start`; it need not."""

    def column_weights(self, weights: Floats) -> dict[str, Matrix]:
        """(r, k) weights on the coordinates -> block name -> (d_block, k) weights on its original columns."""


class TrainingRows(Protocol):
    """The blocks of n training rows, from which any head takes its rows and weighs its blocks."""

    def __len__(self) -> int:
        """n."""

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks there are."""

    def with_block(self, name: str, rows: Matrix) -> TrainingRows:
        """The same rows with one more dense block."""

    def space(self, factor: Mapping[str, float], index: npt.NDArray[np.intp]) -> Space:
        """Coordinates of the rows of `index`, each block's columns multiplied by its factor; a block without is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The blocks of n training rows with their Gram matrices: name -> rows, name -> (n, n) float64."""

    rows: Mapping[str, Any]  # Any: a float32 matrix, or scipy CSR rows for the n-grams
    grams: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.grams.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks, in the order in which their Gram matrices are added."""
        return tuple(self.grams)

    def space(self, factor: Mapping[str, float], index: npt.NDArray[np.intp]) -> RowSpace:
        """Factor the weighted sum of Gram matrices of the chosen rows."""
        return row_space(self, factor, index)

    def with_block(self, name: str, rows: Matrix) -> Blocks:
        """The same rows with one more dense block."""
        return Blocks(rows={**self.rows, name: rows}, grams={**self.grams, name: _gram(rows)})


def blocks_of(features: Features) -> Blocks:
    """Compute each block's Gram matrix once; every head and every candidate setting re-uses it."""
    rows: dict[str, Any] = {"embedding": features.embedding, "surface": features.surface}
    if features.lexicon is not None:
        rows["lexicon"] = features.lexicon
    if features.earlier is not None:
        rows["earlier"] = features.earlier
    grams = {name: _gram(block) for name, block in rows.items()}
    if features.ngrams is not None:
        rows["ngrams"] = features.ngrams.to_scipy()
        exact = rows["ngrams"].astype(np.float64)
        grams["ngrams"] = (exact @ exact.T).toarray()
    return Blocks(rows=rows, grams=grams)


def _gram(rows: Matrix) -> Floats:
    exact = rows.astype(np.float64)  # in single precision a low-rank Gram matrix is not positive to within the jitter
    gram: Floats = exact @ exact.T
    return gram


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpace:
    """Coordinates (n, n) of the chosen rows, and the way back from weights on them to weights on the columns.

    factor: name -> what that block's columns are multiplied by.   index: (n,) the rows of `blocks` that were chosen.
    """

    blocks: Blocks
    factor: Mapping[str, float]
    index: npt.NDArray[np.intp]
    coordinates: Matrix

    def fit(
        self,
        seen: npt.NDArray[np.bool_],
        y: npt.NDArray[np.intp],
        *,
        C: float,
        start: Linear | None = None,  # noqa: ARG002 -- the protocol's
    ) -> Linear:
        """A model of the rows that are `seen`, always begun at zero: few rows leave no time to save."""
        return logistic(self.coordinates if seen.all() else self.coordinates[seen], y, C=C)

    def column_weights(self, weights: Floats) -> dict[str, Matrix]:
        """(n, k) weights on the coordinates -> block name -> (d_block, k) weights on its original columns."""
        from scipy.linalg import solve_triangular

        dual = solve_triangular(self.coordinates.astype(np.float64), weights, lower=True, trans="T")
        return {
            name: np.asarray((factor**2) * (self.blocks.rows[name][self.index].T @ dual), dtype=np.float32)
            for name, factor in self.factor.items()
        }


def row_space(blocks: Blocks, factor: Mapping[str, float], index: npt.NDArray[np.intp]) -> RowSpace:
    """Factor the weighted sum of Gram matrices of the chosen rows."""
    gram = np.zeros((len(index), len(index)))
    for name, value in factor.items():
        gram += value**2 * blocks.grams[name][np.ix_(index, index)]
    gram[np.diag_indices_from(gram)] += JITTER * gram.diagonal().mean()
    return RowSpace(
        blocks=blocks, factor=dict(factor), index=index, coordinates=np.linalg.cholesky(gram).astype(np.float32)
    )
