"""Rules of keywords: the label whose cue words of the data set's lexicon occur most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from router.baselines.protocol import Floats, HeadLabels, Texts
from router.errors import FitError


class KeywordRules:
    """Counts of lexicon terms per label, smoothed by each label's share in training; without a hit, the shares."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Only the shares are learned. Raises FitError where the data set has no lexicon."""
        if texts.lexicon is None:
            raise FitError(
                "keyword rules need the data set's lexicon.toml, which it does not have; leave `keywords` out of --routers."
            )
        self.classes_ = {name: head.classes for name, head in labels.items()}
        self.shares_ = {
            name: np.bincount(head.y, minlength=len(head.classes)) / len(head.y) for name, head in labels.items()
        }
        return self

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """From counts to shares; a head without terms says its shares."""
        probabilities = {}
        assert texts.lexicon is not None
        counts = texts.lexicon.counts(texts.texts)
        for name, share in self.shares_.items():
            hits = texts.lexicon.for_head(name, counts, self.classes_[name])
            votes = share + (0.0 if hits is None else hits)
            votes = np.broadcast_to(votes, (len(texts), len(share)))
            probabilities[name] = votes / votes.sum(axis=1, keepdims=True)
        return probabilities
