"""Ridge regression of every model's score on the sentence embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import mean_scores, sentence_rows
from router.baselines.outcomes.protocol import Floats, Queries
from router.baselines.outcomes.rowwise import product, settled
from router.encoders.protocol import Matrix
from router.outcomes import Outcomes

ALPHAS = tuple(float(alpha) for alpha in np.geomspace(0.01, 1000.0, 16))


class RidgeOutcomes:
    """One linear model each, one alpha for all of them, so that a pair's difference is the ridge of the difference.

    Alpha is chosen by generalised cross-validation in closed form. Values are expected scores and may leave [0, 1].
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Decompose once per model, choose alpha, solve. A missing score leaves its model's row out."""
        rows, means = sentence_rows(queries, outcomes), mean_scores(queries, outcomes)
        known = np.isfinite(outcomes.score)
        parts = {j: _decompose(rows[known[:, j]], outcomes.score[known[:, j], j]) for j in np.flatnonzero(known.any(0))}
        self.alpha_ = min(ALPHAS, key=lambda alpha: sum(part.gcv(alpha) for part in parts.values()))
        self.weights_, self.intercept_ = np.zeros((rows.shape[1], len(means))), means
        for j, part in parts.items():
            self.weights_[:, j], self.intercept_[j] = part.solve(self.alpha_)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) expected scores."""
        return settled(product(queries.sentence, self.weights_) + self.intercept_)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decomposed:
    """Centred rows as an eigenbasis (d, d) of their Gram matrix with its (d,) eigenvalues, and what the scores make of it.

    moment: (d,) the scores' product with the rows, in that basis.   total: the scores' sum of squares around their mean.
    """

    basis: Floats
    eigenvalues: Floats
    moment: Floats
    total: float
    n: int
    row_mean: Floats
    score_mean: float

    def gcv(self, alpha: float) -> float:
        """n · residual sum of squares / (n − degrees of freedom)². Source: Golub, Heath and Wahba, 1979.

        Infinite where the fit would use up every degree of freedom.
        """
        shrunk = self.eigenvalues + alpha
        residual = self.total - float((self.moment**2 * (self.eigenvalues + 2 * alpha) / shrunk**2).sum())
        free = self.n - 1 - float((self.eigenvalues / shrunk).sum())
        return self.n * max(residual, 0.0) / free**2 if free > 0 else np.inf

    def solve(self, alpha: float) -> tuple[Floats, float]:
        """Weights (d,) and intercept."""
        weights: Floats = self.basis @ (self.moment / (self.eigenvalues + alpha))
        return weights, self.score_mean - float(self.row_mean @ weights)


def _decompose(rows: Matrix, score: Floats) -> _Decomposed:
    wide = rows.astype(np.float64)
    row_mean, score_mean = wide.mean(axis=0), float(score.mean())
    centred, deviation = wide - row_mean, score - score_mean
    eigenvalues, basis = np.linalg.eigh(centred.T @ centred)
    return _Decomposed(
        basis=basis,
        eigenvalues=np.maximum(eigenvalues, 0.0),
        moment=basis.T @ (centred.T @ deviation),
        total=float((deviation**2).sum()),
        n=len(score),
        row_mean=row_mean,
        score_mean=score_mean,
    )
