"""k nearest neighbours: what the models made of the most similar training queries."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import choose, mean_scores, sentence_rows
from router.baselines.outcomes.protocol import Floats, Ints, Queries
from router.baselines.outcomes.rowwise import settled
from router.novelty import nearest
from router.outcomes import Outcomes

KS = (5, 10, 20, 40, 80, 160)
SEARCH_FOLDS = 5  # a fifth held out: with half, the best k of half the density would be chosen
ROWS_AT_ONCE = 1024


class NearestOutcomes:
    """The mean score of the k training queries with the highest cosine; equal cosines in the order of the table.

    A missing score has no voice; where no neighbour has one, the value is the model's mean in training.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def __init__(self, k: int) -> None:
        self.k = k

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Remember."""
        self.rows_, self.score_ = sentence_rows(queries, outcomes), outcomes.score.copy()
        self.means_ = mean_scores(queries, outcomes)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) mean scores in [0, 1]."""
        return settled(mean_of(self.score_, nearest(queries.sentence, self.rows_, k=self.k)[0], self.means_))


class SearchedNeighbours(NearestOutcomes):
    """The same, with k chosen by the squared error on five shuffled folds of the training rows."""

    def __init__(self) -> None:
        super().__init__(KS[0])

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Remember, and choose k."""
        super().fit(queries, outcomes, seed=seed)
        found: dict[tuple[int, int], Ints] = {}  # one search per fold serves every k

        def loss(k: int, seen: Ints, held: Ints) -> float:
            key = (len(seen), int(held[0]))
            if key not in found:
                found[key] = seen[nearest(self.rows_[held], self.rows_[seen], k=KS[-1])[0]]
            error = mean_of(self.score_, found[key][:, :k], self.means_) - self.score_[held]
            return float(np.nansum(error**2))

        self.k = choose(KS, loss, outcomes.unit, seed=seed, k=SEARCH_FOLDS)
        return self


def mean_of(score: Floats, index: Ints, otherwise: Floats) -> Floats:
    """(n, m) mean of the known scores in the (n, k) rows of `index`; (m,) `otherwise` where none of them is known."""
    means = np.empty((len(index), score.shape[1]))
    for start in range(0, len(index), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        near = score[index[part]]
        known = np.isfinite(near)
        count = known.sum(axis=1)
        means[part] = np.where(count > 0, np.where(known, near, 0.0).sum(axis=1) / np.maximum(count, 1), otherwise)
    return means
