"""A linear support vector machine per model, its margins made probabilities by Platt's sigmoid.

RouterBench fits LinearSVR to the scores; the classifier ranks better on MMLU and GSM8K, so the comparison
is with that. Graded scores weigh their row twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import choose, mean_scores, sentence_rows, stopping_early
from router.baselines.outcomes.linear import fit_logistic
from router.baselines.outcomes.protocol import Floats, Ints, Queries
from router.baselines.outcomes.rowwise import product, settled
from router.baselines.outcomes.softlabels import RIGHT, single_shares, weighted_rows
from router.encoders.protocol import Matrix
from router.fitting import folds
from router.outcomes import Outcomes
from router.scoring import SMALLEST

GRID = (0.01, 0.03, 0.1, 0.3, 1.0)  # C
SEARCH_FOLDS = 2
PLATT_FOLDS = 5
PLATT_C = 1e3  # next to no penalty on the one slope
MAX_ITER = 300
TOLERANCE = 1e-4


class SupportVectors:
    """LinearSVC (squared hinge) per model, Platt's sigmoid on out-of-fold margins, one C for all by inner log-loss.

    A missing score leaves its model's row out.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Choose, fit and calibrate inside the training rows."""
        rows, self.means_ = sentence_rows(queries, outcomes), mean_scores(queries, outcomes)
        score, unit = outcomes.score, outcomes.unit

        def loss(C: float, seen: Ints, held: Ints) -> float:
            total = 0.0
            for column in score.T:
                known_seen, known_held = seen[np.isfinite(column[seen])], held[np.isfinite(column[held])]
                if len(known_seen) and len(known_held):
                    shares = single_shares(column[known_held])
                    margin = _fit_margin(rows[known_seen], single_shares(column[known_seen]), C=C).of(rows[known_held])
                    total += _fit_sigmoid(margin, shares).loss(margin, shares)
            return total

        self.C_ = choose(GRID, loss, unit, seed=seed, k=SEARCH_FOLDS)
        self.models_: dict[int, tuple[_Margin, _Sigmoid]] = {}
        for j, column in enumerate(score.T):
            known = np.isfinite(column)
            if known.any():
                shares = single_shares(column[known])
                margin = _held_out(rows[known], shares, unit[known], C=self.C_, seed=seed)
                self.models_[j] = _fit_margin(rows[known], shares, C=self.C_), _fit_sigmoid(margin, shares)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) P(right); a model without a single score in training has the mean of all."""
        values = np.tile(self.means_, (len(queries), 1))
        for j, (margin, sigmoid) in self.models_.items():
            values[:, j] = sigmoid.probability(margin.of(queries.sentence))
        return settled(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Margin:
    """A hyperplane: weights (d,) and intercept."""

    weights: Floats
    intercept: float

    def of(self, rows: Matrix) -> Floats:
        """(n,) signed distances, in units of the margin."""
        margins: Floats = product(rows, self.weights[:, None])[:, 0] + self.intercept
        return margins


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sigmoid:
    """P(right) = 1 / (1 + exp(−slope · margin − intercept)). The slope is never negative: no fold turns a ranking round."""

    slope: float
    intercept: float

    def probability(self, margin: Floats) -> Floats:
        """(n,) probabilities."""
        p: Floats = 0.5 * (1.0 + np.tanh(0.5 * (self.slope * margin + self.intercept)))
        return p

    def loss(self, margin: Floats, shares: Floats) -> float:
        """Sum of −Σ share · ln p, in nats."""
        p = self.probability(margin)
        return float(-(shares * np.log(np.maximum(np.column_stack([1 - p, p]), SMALLEST))).sum())


def _held_out(rows: Matrix, shares: Floats, unit: Ints, *, C: float, seed: int) -> Floats:
    """(n,) margins of each row from a machine that did not see its fold; 0 where there is one unit alone."""
    margins = np.zeros(len(rows))
    if len(np.unique(unit)) < 2:
        return margins
    fold = folds(unit.tolist(), seed=seed, k=PLATT_FOLDS)
    for held in np.unique(fold).tolist():
        margins[fold == held] = _fit_margin(rows[fold != held], shares[fold != held], C=C).of(rows[fold == held])
    return margins


def _fit_margin(rows: Matrix, shares: Floats, *, C: float) -> _Margin:
    """Zero weights where all rows are of one class."""
    from sklearn.svm import LinearSVC

    row, label, weight = weighted_rows(shares)
    if len(np.unique(label)) < 2:
        return _Margin(weights=np.zeros(rows.shape[1]), intercept=0.0)
    with stopping_early():
        machine = LinearSVC(C=C, dual=False, max_iter=MAX_ITER, tol=TOLERANCE)  # the primal draws nothing at random
        machine.fit(rows.astype(np.float64)[row], label, sample_weight=weight)
    return _Margin(weights=machine.coef_[0].astype(np.float64), intercept=float(machine.intercept_[0]))


def _fit_sigmoid(margin: Floats, shares: Floats) -> _Sigmoid:
    """Platt's two smoothed targets keep a class that is always hit from a probability of 1. Source: Platt, 1999."""
    wrong, right = shares.sum(axis=0)
    targets = np.array([1 / (wrong + 2), (right + 1) / (right + 2)])  # P(right) of a failure, of a success
    smoothed = single_shares(shares @ targets)
    fitted = fit_logistic(margin[:, None], smoothed, C=PLATT_C)
    slope = float(fitted.weights[0, RIGHT] - fitted.weights[0, 1 - RIGHT])
    if slope >= 0:
        return _Sigmoid(slope=slope, intercept=float(fitted.intercept[RIGHT] - fitted.intercept[1 - RIGHT]))
    mean = float(smoothed[:, RIGHT].mean())
    return _Sigmoid(slope=0.0, intercept=float(np.log(mean / (1 - mean))))
