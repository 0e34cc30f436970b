"""Routers that look at no query: the cheapest model, the best single model, a random mix of the two."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import mean_scores
from router.baselines.outcomes.protocol import Floats, Queries
from router.baselines.outcomes.rowwise import settled
from router.files import sha256_bytes
from router.outcomes import Outcomes

HEX_DIGITS = 13  # 52 bits: as many as a double's fraction holds


class Cheapest:
    """Always the first model of the table, which is the cheapest."""

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Count the models."""
        self.values_ = np.eye(len(mean_scores(queries, outcomes)))[0]
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) 1 for the first model, 0 for the others."""
        return np.tile(self.values_, (len(queries), 1))


class BestSingle:
    """Always the model with the best mean score in training, the cheapest among equals.

    Values are the mean scores, so that a policy which weighs cost gives the best single model at each price.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Average."""
        self.values_ = settled(mean_scores(queries, outcomes))
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) the same row n times."""
        return np.tile(self.values_, (len(queries), 1))


class RandomMix:
    """The cheapest model 0, the best single model a draw from (0, 1], the others −1: any threshold mixes the two at random.

    A query's draw hangs on the seed and its text alone, so it is the same in any company.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Find the best single model."""
        self.seed_, self.best_ = seed, int(settled(mean_scores(queries, outcomes)).argmax())
        self.models_ = len(outcomes.models)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m); where the cheapest is the best, always that."""
        values = np.full((len(queries), self.models_), -1.0)
        values[:, self.best_] = [draw(text, seed=self.seed_) for text in queries.texts]
        if self.best_ != 0:
            values[:, 0] = 0.0
        return settled(values)


def draw(text: str, *, seed: int) -> float:
    """A number in (0, 1] that looks random and is the same for the same text and seed, on any machine.

    >>> 0 < draw("hello", seed=0) <= 1, draw("hello", seed=0) == draw("hello", seed=1)
    (True, False)
    """
    digest = sha256_bytes(f"{seed}\n{text}".encode("utf-8", "surrogatepass"))
    return (int(digest[:HEX_DIGITS], 16) + 1) / 2.0 ** (4 * HEX_DIGITS)
