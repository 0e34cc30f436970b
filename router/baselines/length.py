"""How far does the length of a text alone go?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from router.baselines.perhead import LogisticPerHead
from router.baselines.protocol import Floats, HeadLabels, Texts


class LengthOnly:
    """Logistic regression on the number of characters and of words, and their logarithms."""

    def __init__(self) -> None:
        self._model = LogisticPerHead((1.0,))

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Standardise on the training texts, then fit."""
        raw = _lengths(texts.texts)
        self.mean_, self.std_ = raw.mean(axis=0), raw.std(axis=0) + 1e-9
        self._model.fit((raw - self.mean_) / self.std_, labels, seed=seed)
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From lengths to probabilities."""
        return self._model.predict((_lengths(texts.texts) - self.mean_) / self.std_)


def _lengths(texts: Sequence[str]) -> Floats:
    counts = np.array([(len(text), len(text.split())) for text in texts], dtype=np.float64).reshape(len(texts), 2)
    return np.hstack([counts, np.log1p(counts)])
