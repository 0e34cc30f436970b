"""Logistic regression on the sentence embedding alone: the router to beat, and what most teams would try first."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import mean_scores, sentence_rows
from router.baselines.outcomes.linear import Logistic, search_logistic
from router.baselines.outcomes.protocol import Floats, Queries, filled
from router.baselines.outcomes.rowwise import settled
from router.baselines.outcomes.softlabels import MARGINALS, RIGHT, joint_shares, single_shares
from router.outcomes import Outcomes

PLAIN = (1.0,)  # C as scikit-learn sets it
GRID = (0.1, 0.3, 1.0, 3.0, 10.0)


class LogisticOutcomes:
    """A pair of models: one multinomial on the four joint outcomes. More: one binary model each.

    Values are P(right) per model; in a pair their difference is P(only strong) − P(only weak). Graded scores weigh their
    row twice. A missing score leaves its model's row out; in a pair it counts as the model's mean. `grid` holds the inverse
    penalties to choose from: scikit-learn's own by default, which is what plain logistic regression means elsewhere.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def __init__(self, grid: tuple[float, ...] = PLAIN) -> None:
        self._grid = grid

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Choose C inside the training rows, where there is a choice; then fit."""
        rows, score = sentence_rows(queries, outcomes), outcomes.score
        self.pair_: Logistic | None = None
        self.models_: list[Logistic | None] = []
        self.means_ = mean_scores(queries, outcomes)
        if len(outcomes.models) == 2:
            self.pair_ = search_logistic(rows, joint_shares(filled(score)), outcomes.unit, grid=self._grid, seed=seed)
            return self
        for column in score.T:
            known = np.isfinite(column)
            shares, unit = single_shares(column[known]), outcomes.unit[known]
            model = search_logistic(rows[known], shares, unit, grid=self._grid, seed=seed) if known.any() else None
            self.models_.append(model)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) P(right); a model without a single score in training has the mean of all."""
        rows = queries.sentence
        if self.pair_ is not None:
            return settled(self.pair_.probabilities(rows) @ MARGINALS)
        values = np.tile(self.means_, (len(rows), 1))
        for j, model in enumerate(self.models_):
            if model is not None:
                values[:, j] = model.probabilities(rows)[:, RIGHT]
        return settled(values)
