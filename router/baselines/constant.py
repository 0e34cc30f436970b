"""Says the most frequent label of every head, whatever the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from router.baselines.protocol import Floats, HeadLabels, Texts


class Majority:
    """The share of each label in training, for every query alike."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Count."""
        self.shares_ = {
            name: np.bincount(head.y, minlength=len(head.classes)) / len(head.y) for name, head in labels.items()
        }
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """The same row n times."""
        return {name: np.tile(share, (len(texts), 1)) for name, share in self.shares_.items()}
