"""The Avengers: clusters that rank the models, and a vote of the nearest clusters."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.clusters import cluster, shrunk_means
from router.baselines.outcomes.learning import mean_scores, sentence_rows
from router.baselines.outcomes.protocol import Floats, Queries
from router.baselines.outcomes.rowwise import product, settled
from router.outcomes import Outcomes
from router.scoring import softmax

CLUSTERS = 60
NEAREST = 3  # this and the sharpness are Avengers-Pro's published configuration
SHARPNESS = 9.0


class Avengers:
    """Σ over the 3 nearest clusters of softmax(−9 · distance) · 1 / rank of the model there; distance is 1 − cosine.

    A cluster ranks by mean score, the cheapest first among equals. Values order models and say nothing of how much one is
    better. Source: Zhang et al., "The Avengers", 2025, and the code of Avengers-Pro.
    """

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = False

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Cluster, then rank the models in each."""
        rows, means = sentence_rows(queries, outcomes), mean_scores(queries, outcomes)
        self.centres_, label = cluster(rows, k=CLUSTERS, seed=seed)
        score = shrunk_means(outcomes.score, label, means, k=len(self.centres_), shrink=0.0)
        self.merit_ = 1.0 / (1.0 + np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1, kind="stable"))
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) values in (0, 1]."""
        distance = settled(1.0 - product(queries.sentence, self.centres_.T))
        near = np.argsort(distance, axis=1, kind="stable")[:, :NEAREST]
        weight = softmax(-SHARPNESS * np.take_along_axis(distance, near, axis=1))
        return settled((weight[:, :, None] * self.merit_[near]).sum(axis=1))
