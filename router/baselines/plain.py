"""The encoder's sentence embedding with plain logistic regression: what most teams try first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from router.baselines.perhead import LogisticPerHead
from router.baselines.protocol import Floats, HeadLabels, Texts

GRID = (3.0, 10.0, 30.0)


class PlainLogistic:
    """Logistic regression on the embedding alone: no surface features, no n-grams, no calibration."""

    def __init__(self) -> None:
        self._model = LogisticPerHead(GRID)

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Fit on the embedding."""
        self._model.fit(texts.embedding, labels, seed=seed)
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From embedding to probabilities."""
        return self._model.predict(texts.embedding)
