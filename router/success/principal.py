"""Ridge regression in closed form along principal axes: every penalty, and every fold left out, from one decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """weights (d, k) and intercept (k,) on the columns that it was fitted on."""

    weights: Floats
    intercept: Floats

    def values(self, rows: Matrix) -> Floats:
        """(n, k) of (n, d) rows."""
        return rows.astype(np.float64) @ self.weights + self.intercept


class Principal:
    """n centred rows along their principal axes. Memory: one (n, d) matrix."""

    def __init__(self, rows: Matrix) -> None:
        self.mean = rows.mean(axis=0, dtype=np.float64)
        centred = rows - self.mean.astype(rows.dtype)
        spectrum, self.axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        self.spectrum = np.maximum(spectrum, 0.0)
        self.coordinates = centred @ self.axes.astype(rows.dtype)

    def fit(self, target: Floats, *, penalty: float) -> Ridge:
        """Least squares of (n, k) targets with ½ λ ‖w‖²; the intercept is free."""
        centre = target.mean(axis=0)
        weights = self.axes @ self._solve(target - centre, penalty)
        return Ridge(weights=weights, intercept=centre - self.mean @ weights)

    def _solve(self, centred: Floats, penalty: float) -> Floats:
        projected = self.coordinates.T.astype(np.float64) @ centred
        solved: Floats = projected / (self.spectrum + penalty)[:, None]
        return solved

    def held_out(self, target: Floats, part: Ints, *, penalty: float) -> Floats:
        """(n, k) values of each row from a fit that left its whole fold out, without fitting again.

        part: (n,) fold of each row. With residuals r of the full fit and H the part of its hat matrix within a fold,
        the fold's held-out residuals are (I − H)⁻¹ r: exact, up to the mean of the rows, which stays that of all.
        """
        centre = target.mean(axis=0)
        fitted = self.coordinates.astype(np.float64) @ self._solve(target - centre, penalty) + centre
        held = np.empty_like(target)
        for fold in np.unique(part).tolist():
            mine = np.flatnonzero(part == fold)
            held[mine] = target[mine] - self._without(mine, target[mine] - fitted[mine], penalty)
        return held

    def _without(self, mine: Ints, residual: Floats, penalty: float) -> Floats:
        """(I − H)⁻¹ r of the rows `mine`, in whichever is smaller, their number or that of the axes."""
        root = (self.coordinates[mine] / np.sqrt(self.spectrum + penalty)).astype(np.float32)
        root = np.column_stack([root, np.full(len(mine), 1 / np.sqrt(len(self.coordinates)), dtype=np.float32)])
        if len(mine) <= root.shape[1]:
            return np.linalg.solve(np.eye(len(mine)) - (root @ root.T).astype(np.float64), residual)
        # (I − B Bᵀ)⁻¹ = I + B (I − Bᵀ B)⁻¹ Bᵀ (Woodbury)
        inner = np.eye(root.shape[1]) - (root.T @ root).astype(np.float64)
        wide = root.astype(np.float64)
        grown: Floats = residual + wide @ np.linalg.solve(inner, wide.T @ residual)
        return grown
