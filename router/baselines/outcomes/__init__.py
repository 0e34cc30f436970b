"""The other ways to route by outcomes, to compare with. One file per family, one protocol; users' own stand beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from router.baselines.outcomes.avengers import Avengers
from router.baselines.outcomes.bestlabel import BestLabel
from router.baselines.outcomes.clusters import ClusterMeans
from router.baselines.outcomes.constant import BestSingle, Cheapest, RandomMix
from router.baselines.outcomes.datasetmean import DatasetMean
from router.baselines.outcomes.factorisation import MatrixFactorisation
from router.baselines.outcomes.forest import ForestOutcomes
from router.baselines.outcomes.logistic import GRID, LogisticOutcomes
from router.baselines.outcomes.mlp import NeuralOutcomes
from router.baselines.outcomes.neighbours import NearestOutcomes, SearchedNeighbours
from router.baselines.outcomes.protocol import OutcomeRouter, Queries
from router.baselines.outcomes.ridge import RidgeOutcomes
from router.baselines.outcomes.svm import SupportVectors
from router.baselines.outcomes.users import find_user_routers

ROUTERS: dict[str, Callable[[], OutcomeRouter]] = {
    "lr": LogisticOutcomes,
    "lr-cv": partial(LogisticOutcomes, GRID),
    "knn-5": partial(NearestOutcomes, 5),
    "knn-20": partial(NearestOutcomes, 20),
    "knn-40": partial(NearestOutcomes, 40),
    "knn-100": partial(NearestOutcomes, 100),
    "knn-cv": SearchedNeighbours,
    "ridge": RidgeOutcomes,
    "svm": SupportVectors,
    "mlp": NeuralOutcomes,
    "forest": ForestOutcomes,
    "kmeans-60": partial(ClusterMeans, 60),
    "avengers": Avengers,
    "mf": MatrixFactorisation,
    "best-label": BestLabel,
    "dataset-mean": DatasetMean,
    "cheapest": Cheapest,
    "best-single": BestSingle,
    "random": RandomMix,
}


def user_routers() -> dict[str, Callable[[], OutcomeRouter]]:
    """Name -> what makes a router, for every installed entry point of the group `weighbridge.outcome_routers`.

    Raises FitError, naming the entry point and its distribution, for one that is broken or whose name is taken.
    """
    return find_user_routers(ROUTERS)


__all__ = ["ROUTERS", "OutcomeRouter", "Queries", "user_routers"]
