"""k-means: what the models made of the training queries of the same cluster."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from router.baselines.outcomes.learning import mean_scores, sentence_rows
from router.baselines.outcomes.protocol import Floats, Ints, Queries
from router.baselines.outcomes.rowwise import product, settled
from router.encoders.protocol import Matrix
from router.outcomes import Outcomes

SHRINK = 8.0  # rows of the overall mean that every cluster's mean is mixed with
STARTS = 3


class ClusterMeans:
    """The mean score in the nearest cluster, shrunk: (sum + 8 · overall mean) / (count + 8), known scores only."""

    allowed: ClassVar[bool] = True
    probabilities: ClassVar[bool] = True

    def __init__(self, clusters: int) -> None:
        self.clusters = clusters

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        """Cluster, then count."""
        rows, means = sentence_rows(queries, outcomes), mean_scores(queries, outcomes)
        self.centres_, label = cluster(rows, k=self.clusters, seed=seed)
        self.values_ = shrunk_means(outcomes.score, label, means, k=len(self.centres_), shrink=SHRINK)
        return self

    def predict(self, queries: Queries) -> Floats:
        """(n, m) the value of the nearest centre, in [0, 1]."""
        return settled(self.values_[distances(queries.sentence, self.centres_).argmin(axis=1)])


def cluster(rows: Matrix, *, k: int, seed: int) -> tuple[Floats, Ints]:
    """(centres (k, d), cluster of each row) by scikit-learn's KMeans; k is cut to the number of different rows.

    On one thread: with more, the order in which partial sums are added differs from run to run.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    k = min(k, len(np.unique(rows, axis=0)))
    with threadpool_limits(1):
        fitted = KMeans(n_clusters=k, n_init=STARTS, random_state=seed).fit(rows.astype(np.float64))
    return np.asarray(fitted.cluster_centers_, dtype=np.float64), fitted.labels_.astype(np.intp)


def distances(rows: Matrix, centres: Floats) -> Floats:
    """(n, k) squared distances of unit rows to centres, settled so that ties go to the first."""
    return settled(1.0 + (centres**2).sum(axis=1) - 2.0 * product(rows, centres.T))


def shrunk_means(score: Floats, label: Ints, otherwise: Floats, *, k: int, shrink: float) -> Floats:
    """(k, m) mean known score per cluster, mixed with `shrink` rows of (m,) `otherwise`, which a cluster without any gets."""
    known = np.isfinite(score)
    sums, counts = np.zeros((k, score.shape[1])), np.zeros((k, score.shape[1]))
    np.add.at(sums, label, np.where(known, score, 0.0))
    np.add.at(counts, label, known)
    weight = counts + shrink
    return np.where(weight > 0, (sums + shrink * otherwise) / np.where(weight > 0, weight, 1.0), otherwise)
