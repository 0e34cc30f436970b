"""Coordinates of many training rows: few dense columns in place of tens of thousands of sparse ones, and no n x n matrix.

Row space (`router.rowspace`) costs n² memory. Here the n-grams are reduced once to the axes of a truncated SVD, the
weighted blocks stand side by side, and a rotation to principal axes keeps those that carry most. A rotation leaves an
L2 penalty alone, so with all axes kept the optimum is that of the columns themselves
(docs/decisions/0005-training-in-row-space.md, benchmarks/train_large.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.features import Features
from router.rowspace import TrainingRows, blocks_of
from router.scoring import Floats, Ints
from router.solver import MANY_CLASSES_TOLERANCE, Linear, logistic

EXACT_ROWS = 11_000  # up to here in row space: six blocks, their sum and its factor take some 7 GB at most
RANK = 1_024  # axes that the n-grams are reduced to
AXES = 1_200  # of all blocks together; on CLINC150 2,000 axes change cross-validated accuracy by less than 0.1 points
PASSES = 2  # of subspace iteration: on CLINC150 they hold 71.2 % of the n-grams, one 66.7 %, three 72.0 %
RESOLUTION = 1e-6  # of the largest squared length: below, a Gram matrix in single precision holds only rounding


def training_rows(features: Features, *, exact_rows: int = EXACT_ROWS) -> TrainingRows:
    """The blocks of n training rows: in exact row space up to `exact_rows` of them, else reduced to dense columns."""
    return blocks_of(features) if len(features) <= exact_rows else reduced_blocks(features)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnBlocks:
    """The blocks of n rows as dense columns. rows: name -> (n, d) float32.

    back: reduced block -> (original columns, d) orthonormal; the other blocks have their own columns.
    axes: how many principal axes a head is fitted on, at most.
    """

    rows: Mapping[str, Matrix]
    back: Mapping[str, Matrix]
    axes: int

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks, in the order of their columns."""
        return tuple(self.rows)

    def with_block(self, name: str, rows: Matrix) -> ColumnBlocks:
        """The same rows with one more dense block."""
        return replace(self, rows={**self.rows, name: rows})

    def space(self, factor: Mapping[str, float], index: Ints) -> ColumnSpace:
        """Put the chosen rows' weighted blocks side by side and rotate them to their principal axes, the largest first."""
        wide = np.hstack([self.rows[name][index] * np.float32(value) for name, value in factor.items()])
        _, axes = np.linalg.eigh((wide.T @ wide).astype(np.float64))
        rotation = np.ascontiguousarray(axes[:, ::-1][:, : self.axes])
        return ColumnSpace(
            blocks=self, factor=dict(factor), rotation=rotation, coordinates=wide @ rotation.astype(np.float32)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpace:
    """Coordinates (n, r) of the chosen rows along `rotation` (d, r), orthonormal axes in the weighted columns."""

    blocks: ColumnBlocks
    factor: Mapping[str, float]
    rotation: Floats
    coordinates: Matrix

    def fit(self, seen: npt.NDArray[np.bool_], y: Ints, *, C: float, start: Linear | None = None) -> Linear:
        """A model of the rows that are `seen`, whose classes are y."""
        rows = self.coordinates if seen.all() else self.coordinates[seen]
        return logistic(rows, y, C=C, tolerance=MANY_CLASSES_TOLERANCE, start=start)

    def column_weights(self, weights: Floats) -> dict[str, Matrix]:
        """(r, k) weights on the coordinates -> block name -> (d_block, k) weights on its original columns."""
        wide, found, end = self.rotation @ weights, {}, 0
        for name, factor in self.factor.items():
            start, end = end, end + self.blocks.rows[name].shape[1]
            part = (factor * wide[start:end]).astype(np.float32)
            found[name] = self.blocks.back[name] @ part if name in self.blocks.back else part
        return found


def reduced_blocks(features: Features, *, rank: int = RANK, axes: int = AXES, seed: int = 0) -> ColumnBlocks:
    """The dense blocks as they are, and the n-grams reduced to at most `rank` columns. Same seed, same columns."""
    rows: dict[str, Matrix] = {"embedding": features.embedding, "surface": features.surface}
    back: dict[str, Matrix] = {}
    if features.lexicon is not None:
        rows["lexicon"] = features.lexicon
    if features.earlier is not None:
        rows["earlier"] = features.earlier
    if features.ngrams is not None:
        sparse = features.ngrams.to_scipy()
        back["ngrams"] = column_basis(sparse, rank=rank, rng=np.random.default_rng(seed))
        rows["ngrams"] = sparse @ back["ngrams"]
    return ColumnBlocks(rows=rows, back=back, axes=axes)


def column_basis(rows: Any, *, rank: int, rng: np.random.Generator) -> Matrix:
    """(d, r) orthonormal directions that hold nearly all that the best r could of (n, d) sparse rows; r <= min(rank, n, d).

    Subspace iteration on XᵀX, which is never formed; directions that single precision cannot tell from nothing are left
    out. Source: Halko, Martinsson and Tropp, 2011, Finding structure with randomness, algorithm 4.4.
    """
    n, d = rows.shape
    basis: Matrix = rng.standard_normal((d, min(rank, n, d)), dtype=np.float32)
    for _ in range(PASSES):
        basis = _orthonormal(rows.T @ _orthonormal(rows @ basis))
    return basis


def _orthonormal(columns: Matrix) -> Matrix:
    """An orthonormal basis of the columns by way of their Gram matrix, nine times as fast as QR; twice, for its rounding."""
    for _ in range(2):
        size, axes = np.linalg.eigh((columns.T @ columns).astype(np.float64))
        kept = size > RESOLUTION * size.max(initial=0.0)
        columns = columns @ (axes[:, kept] / np.sqrt(size[kept])).astype(np.float32)
    return columns
