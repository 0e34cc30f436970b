"""Multinomial logistic regression on dense coordinates, begun where it is told to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.scoring import Floats, Ints

MAX_ITER = 1_000
TOLERANCE = 1e-3  # of the largest component of the mean loss's gradient
MANY_CLASSES_TOLERANCE = (
    1e-5  # over 150 classes a gradient is thin: 1e-3 stops CLINC150 after 11 steps, a quarter above the optimum
)

Rows = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """weights (d, c) and intercept (c,) of the c classes that occurred, whose numbers are in `present`.

    Two classes get mirrored columns; one alone gets zeros.
    """

    weights: Floats
    intercept: Floats
    present: Ints

    def logits(self, rows: Rows) -> Floats:
        """(n, c) of (n, d) rows."""
        logits: Floats = rows.astype(np.float64) @ self.weights + self.intercept
        return logits


def logistic(rows: Rows, y: Ints, *, C: float, tolerance: float = TOLERANCE, start: Linear | None = None) -> Linear:
    """Minimise C · Σ log-loss + ½‖W‖² with a free intercept, by scikit-learn's L-BFGS.

    It begins at `start`, which is passed over where it knew other classes, else at zero; the optimum is the same.
    """
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y).astype(np.intp)
    if len(present) == 1:
        return Linear(weights=np.zeros((rows.shape[1], 1)), intercept=np.zeros(1), present=present)
    model = LogisticRegression(C=C, max_iter=MAX_ITER, tol=tolerance, warm_start=start is not None)
    if start is not None and np.array_equal(start.present, present):
        shown = slice(None) if len(present) > 2 else slice(1, 2)  # of two classes scikit-learn holds the difference
        scale = 1.0 if len(present) > 2 else 2.0
        model.coef_ = np.ascontiguousarray(start.weights.T[shown] * scale, dtype=rows.dtype)
        model.intercept_ = np.asarray(start.intercept[shown] * scale, dtype=rows.dtype)
    model.fit(rows, y)
    weights, intercept = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if weights.shape[1] == 1:
        weights, intercept = np.hstack([-weights / 2, weights / 2]), np.concatenate([-intercept / 2, intercept / 2])
    return Linear(weights=weights, intercept=intercept, present=present)
