"""The other ways to route by labels, to compare with. One file per family, one protocol."""

from __future__ import annotations

from collections.abc import Callable

from router.baselines.constant import Majority
from router.baselines.keywords import KeywordRules
from router.baselines.length import LengthOnly
from router.baselines.plain import PlainLogistic
from router.baselines.protocol import LabelBaseline, Texts
from router.baselines.similarity import CentroidSimilarity, NearestNeighbours
from router.baselines.tfidf import TfidfLogistic

BASELINES: dict[str, Callable[[], LabelBaseline]] = {
    "majority": Majority,
    "length": LengthOnly,
    "keywords": KeywordRules,
    "tfidf-lr": TfidfLogistic,
    "centroid": CentroidSimilarity,
    "knn-15": NearestNeighbours,
    "encoder-lr": PlainLogistic,
}

__all__ = ["BASELINES", "LabelBaseline", "Texts"]
