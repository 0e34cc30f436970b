"""Logistic regression of several graded scores at once, on dense coordinates: one L-BFGS for all models together.

Minimises, per model, Σ [log(1 + exp z) − s z] + ½ λ ‖w‖² over the rows whose score s in [0, 1] is known; the intercept
is free. Each model's part is divided by its known rows, so that one with few is fitted as closely as one with many. A score between 0 and 1 counts as that share of a success. Each axis is stretched by Böhning's bound on its
curvature, so that a few dozen steps suffice (Böhning and Lindsay, 1988); products run in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix

Floats = npt.NDArray[np.float64]
MAX_ITER = 200
GRADIENT = 1e-4  # of the mean loss in stretched coordinates
CERTAIN = 1e-3  # a model that always succeeds is given this much doubt, so that its intercept is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """weights (d, m) and intercept (m,) of m binary heads."""

    weights: Floats
    intercept: Floats

    def logits(self, rows: Matrix | Floats) -> Floats:
        """(n, m) of (n, d) rows."""
        return rows.astype(np.float64) @ self.weights + self.intercept


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(−z)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def model_means(score: Floats) -> Floats:
    """(m,) mean of each model's known scores; the mean of all for a model without any."""
    known = np.isfinite(score)
    total, count = np.where(known, score, 0.0).sum(axis=0), known.sum(axis=0)
    means: Floats = np.where(count > 0, total / np.maximum(1, count), total.sum() / max(1, count.sum()))
    return means


def fit_heads(rows: Matrix, score: Floats, *, penalty: float, start: Heads | None = None) -> Heads:
    """Fit m heads.   rows: (n, d).   score: (n, m) in [0, 1], NaN where it is missing.   penalty: λ > 0.

    A model whose scores are all alike gets zero weights and that score's log-odds; one without any, the mean of all.
    """
    from scipy.optimize import minimize

    objective = _Objective(rows, score, penalty=penalty)
    first = objective.start() if start is None else np.vstack([start.weights, start.intercept])
    found = minimize(
        objective,
        (first / objective.stretch).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITER, "maxcor": 10, "gtol": GRADIENT, "ftol": 1e-9},
    )
    best = found.x.reshape(objective.shape) * objective.stretch
    best[:-1, objective.constant] = 0.0
    best[-1, objective.constant] = objective.start()[-1, objective.constant]
    return Heads(weights=best[:-1], intercept=best[-1])


class _Objective:
    """Mean loss and gradient as functions of the stretched weights with the intercepts in the last row."""

    def __init__(self, rows: Matrix, score: Floats, *, penalty: float) -> None:
        self.rows = rows
        self.known = np.isfinite(score)
        self.target = np.where(self.known, score, 0.0)
        self.shape = (rows.shape[1] + 1, score.shape[1])
        self.count = np.maximum(1, self.known.sum(axis=0))
        self.ridge = penalty / self.count
        self.mean = model_means(score)
        self.constant = np.array(
            [len(np.unique(column[seen])) < 2 for column, seen in zip(score.T, self.known.T, strict=True)]
        )
        curvature = np.einsum("ij,ij->j", rows, rows, dtype=np.float64) / (4 * len(rows))
        self.stretch = 1.0 / np.sqrt(np.vstack([curvature[:, None] + self.ridge, np.full(len(self.count), 0.25)]))

    def start(self) -> Floats:
        """Zero weights, and each model's mean score as its intercept."""
        mean = np.clip(self.mean, CERTAIN, 1.0 - CERTAIN)
        first = np.zeros(self.shape)
        first[-1] = np.log(mean / (1.0 - mean))
        return first

    def __call__(self, stretched: Floats) -> tuple[float, Floats]:
        full = stretched.reshape(self.shape) * self.stretch
        weights, narrow = full[:-1], full.astype(self.rows.dtype)
        z = (self.rows @ narrow[:-1] + narrow[-1]).astype(np.float64)
        loss = float((np.where(self.known, np.logaddexp(0.0, z) - self.target * z, 0.0) / self.count).sum())
        slope = np.where(self.known, sigmoid(z) - self.target, 0.0) / self.count
        gradient = np.empty(self.shape)
        gradient[:-1] = (self.rows.T @ slope.astype(self.rows.dtype)).astype(np.float64) + self.ridge * weights
        gradient[-1] = slope.sum(axis=0)
        return loss + float((self.ridge * weights**2).sum()) / 2, (gradient * self.stretch).ravel()
