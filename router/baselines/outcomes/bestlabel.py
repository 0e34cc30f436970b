"""Predict which model is best: one classifier on the name of the winner, as LLMRouter trains its SVM and MLP routers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import sentence_rows
from router.baselines.outcomes.linear import search_logistic
from router.baselines.outcomes.protocol import Floats, Ints, Queries
from router.baselines.outcomes.rowwise import settled
from router.outcomes import Outcomes

GRID = (0.1, 0.3, 1.0, 3.0, 10.0)  # C


class BestLabel:
    """Multinomial logistic regression on the label "best model, the cheapest among equals".

    Values are the probabilities of the labels: how sure it is of a name, not how good an answer would be. A query is
    labelled by the models that have a score; one without any is left out.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Label, choose C inside the training rows, fit."""
        rows = sentence_rows(queries, outcomes)
        index, label = best_models(outcomes)
        shares = np.eye(len(outcomes.models))[label]
        self.model_ = search_logistic(rows[index], shares, outcomes.unit[index], grid=GRID, seed=seed)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) probabilities of being named the best; 0 for a model that never was."""
        return settled(self.model_.probabilities(queries.sentence))


def best_models(outcomes: Outcomes) -> tuple[Ints, Ints]:
    """(rows that have a score, the best model of each among those that answered it, the cheapest among equals)."""
    known = np.isfinite(outcomes.score)
    index = np.flatnonzero(known.any(axis=1))
    below_failure = np.where(known, (1.0 + outcomes.score) / 2, 0.0)  # where no answer ranks, in the scores' own range
    ranked = replace(outcomes, score=below_failure)
    return index, ranked.oracle()[index]
