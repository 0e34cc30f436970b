"""Weighted multinomial logistic regression with a fixed penalty: the solver is scikit-learn's, the use of it is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from router.baselines.outcomes.learning import choose, stopping_early
from router.baselines.outcomes.protocol import Floats, Ints
from router.baselines.outcomes.rowwise import product
from router.baselines.outcomes.softlabels import weighted_rows
from router.scoring import SMALLEST, softmax

MAX_ITER = 300
TOLERANCE = 1e-4  # of the gradient of the mean loss
SEARCH_FOLDS = 2

Rows = npt.NDArray[Any]  # Any: single or double precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """weights: (d, c), intercept: (c,) for the c classes that occurred; present: (c,) their numbers among k."""

    weights: Floats
    intercept: Floats
    present: Ints
    k: int

    def probabilities(self, rows: Rows) -> Floats:
        """(n, k); a class that never occurred gets 0.   rows: (n, d)."""
        p = np.zeros((len(rows), self.k))
        p[:, self.present] = softmax(product(rows, self.weights) + self.intercept)
        return p

    def loss(self, rows: Rows, shares: Floats) -> float:
        """Sum over the rows of −Σ share · ln p, in nats."""
        return float(-(shares * np.log(np.maximum(self.probabilities(rows), SMALLEST))).sum())


def fit_logistic(rows: Rows, shares: Floats, *, C: float) -> Logistic:
    """Fit on (n, d) rows that belong to k classes by (n, k) shares; C is the inverse strength of the L2 penalty.

    One class alone gets probability 1.
    """
    from sklearn.linear_model import LogisticRegression

    row, label, weight = weighted_rows(shares)
    present = np.unique(label).astype(np.intp)
    if len(present) == 1:
        return Logistic(weights=np.zeros((rows.shape[1], 1)), intercept=np.zeros(1), present=present, k=shares.shape[1])
    with stopping_early():
        model = LogisticRegression(C=C, max_iter=MAX_ITER, tol=TOLERANCE)
        model.fit(np.asarray(rows, dtype=np.float64)[row], label, sample_weight=weight)
    weights, intercept = model.coef_.T, model.intercept_
    if len(present) == 2:  # scikit-learn gives the second class alone
        weights, intercept = np.hstack([0 * weights, weights]), np.array([0.0, intercept[0]])
    return Logistic(weights=weights, intercept=intercept, present=present, k=shares.shape[1])


def search_logistic(rows: Rows, shares: Floats, unit: Ints, *, grid: tuple[float, ...], seed: int) -> Logistic:
    """Choose C by log-loss on two shuffled folds of the training rows, then fit on all of them."""

    def loss(C: float, seen: Ints, held: Ints) -> float:
        return fit_logistic(rows[seen], shares[seen], C=C).loss(rows[held], shares[held])

    return fit_logistic(rows, shares, C=choose(grid, loss, unit, seed=seed, k=SEARCH_FOLDS))
