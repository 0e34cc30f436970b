"""What a label baseline is. `tests/conformance/baseline.py` runs any implementation, a user's too, through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.lexicon import Lexicon

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """n texts with their (n, sentence_dim) unit-length embeddings: all that a baseline may look at.

    lexicon: the data set's cue words, None where it has none.
    """

    texts: Sequence[str]
    embedding: Matrix
    lexicon: Lexicon | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, index: Ints) -> Texts:
        """The chosen rows."""
        return replace(self, texts=[self.texts[i] for i in index], embedding=self.embedding[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLabels:
    """The labels of one head: its classes in order, the (m,) rows that have one, and their (m,) class numbers."""

    classes: tuple[str, ...]
    index: Ints
    y: Ints


class LabelBaseline(Protocol):
    """Learns every head from labelled texts; gives probabilities for new ones."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        """Learn; return self. Every class of every head occurs among the labels."""

    def predict(self, texts: Texts) -> dict[str, Floats]:
        """Head -> (n, k) probabilities in the order of the head's classes; rows sum to 1."""
