"""Ours under the protocol that every outcome router is compared by."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from router.baselines.outcomes.protocol import Floats, Queries
from router.outcomes import Outcomes
from router.success.fitting import fit_success
from router.success.model import SuccessModel


class Weighbridge:
    """The success model: views of the query and their blend. What it chose for itself is in `model_.fitted`."""

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def __init__(self, *, notify: Callable[[str], None] = lambda _: None) -> None:
        self._notify = notify

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Fit on the rows of `outcomes`; its data sets are learned, and predicted at decision time."""
        outcomes.require_trainable("weighbridge compare")
        self.model_: SuccessModel = fit_success(
            queries.texts,
            queries.embedding,
            queries.sentence,
            outcomes.score,
            models=outcomes.models,
            dataset=outcomes.dataset,
            unit=outcomes.unit,
            seed=seed,
            notify=self._notify,
        )
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) calibrated P(good answer)."""
        return self.model_.probabilities(queries.texts, queries.embedding, queries.sentence)
