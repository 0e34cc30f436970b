"""What an outcome router is. `tests/conformance/outcome_router.py` runs any implementation, a user's too, through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """n queries as a router sees them at decision time.

    embedding: (n, d) rows of the encoder, of which the first `sentence_dim` columns are the unit-length sentence
    embedding.   dataset: n names; None for every router that is `allowed`, because nobody tells it then.
    """

    texts: Sequence[str]
    embedding: Matrix
    sentence_dim: int
    dataset: Sequence[str | None] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def sentence(self) -> Matrix:
        """(n, sentence_dim) unit rows."""
        return self.embedding[:, : self.sentence_dim]

    def rows(self, index: npt.NDArray[np.intp]) -> Queries:
        """The chosen queries."""
        return replace(
            self,
            texts=[self.texts[i] for i in index],
            embedding=self.embedding[index],
            dataset=None if self.dataset is None else [self.dataset[i] for i in index],
        )


class OutcomeRouter(Protocol):
    """Learns from outcomes which model answers which query well; gives every model a value for new queries.

    allowed: whether it needs only what is known at decision time.   probabilities: whether its values are meant as
    P(good answer), so that their calibration can be judged.
    """

    allowed: ClassVar[bool]
    probabilities: ClassVar[bool]

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Learn; return self. `outcomes` has one row per query, in order; a missing score is NaN.

        Same inputs and seed give the same router. Whatever it chooses for itself, it chooses within these rows.
        """

    def predict(self, queries: Queries) -> Floats:
        """(n, m) a finite value per model in the order of `outcomes.models`, higher is better.

        A row depends on its own query alone. Differences within a row are what policies trade against cost.
        """


def filled(score: Floats) -> Floats:
    """(n, m) scores with each missing cell replaced by its model's mean, for families that cannot do without.

    A model without any score gets the mean of all.
    """
    known = np.isfinite(score)
    counts = known.sum(axis=0)
    sums = np.where(known, score, 0.0).sum(axis=0)
    overall = sums.sum() / max(1, counts.sum())
    means = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return np.where(known, score, means)
