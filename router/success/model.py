"""The success model: five views of a query and their blend, from embedding and text to P(good answer) per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.success.blend import Blend
from router.success.domain import DomainHead
from router.success.landmarks import Landmarks
from router.success.neighbours import Neighbours
from router.success.solver import Heads, sigmoid
from router.success.space import SuccessSpace, WordSpace

Floats = npt.NDArray[np.float64]
VIEWS = ("linear", "words", "neighbours", "domain", "landmarks")


@dataclass(frozen=True, repr=False)
class SuccessModel:
    """Fitted views and their blend.

    linear: heads on the dense columns.   words: heads on the word axes, None where the texts share too few words.
    domain: the head that predicts a query's data set, and means (k, m) of each model there; None without data sets.
    landmarks, alike: queries to compare with, and heads (r, m) on the similarities.
    fitted: the settings that were chosen, and the held-out figures they were chosen on.
    """

    models: tuple[str, ...]
    space: SuccessSpace
    linear: Heads
    word_space: WordSpace | None
    words: Heads | None
    neighbours: Neighbours
    domain: DomainHead | None
    domain_means: Floats | None
    landmarks: Landmarks
    alike: Heads
    blend: Blend
    fitted: Mapping[str, Any]  # Any: whatever JSON can hold

    def __repr__(self) -> str:
        return f"SuccessModel({len(self.models)} models, views {', '.join(self.blend.views)})"

    def views(self, texts: Sequence[str], embedding: Matrix, sentence: Matrix) -> dict[str, Floats]:
        """View name -> (n, m) what that view alone says.   embedding: (n, d).   sentence: (n, s) unit rows."""
        rows = self.space.dense(texts, embedding)
        found = {"linear": sigmoid(self.linear.logits(rows)), "neighbours": self.neighbours.means(sentence)}
        if self.word_space is not None and self.words is not None:
            found["words"] = sigmoid(self.words.logits(self.word_space.reduced(texts)))
        chance = None if self.domain is None else self.domain.probabilities(rows)
        if chance is not None and self.domain_means is not None:
            found["domain"] = chance @ self.domain_means
        found["landmarks"] = sigmoid(self.alike.logits(self.landmarks.similarity(rows, chance)))
        return {name: found[name] for name in VIEWS if name in found}

    def probabilities(self, texts: Sequence[str], embedding: Matrix, sentence: Matrix) -> Floats:
        """(n, m) calibrated P(good answer) of each model."""
        return self.blend.probabilities(self.views(texts, embedding, sentence))
