"""How likely a query is out of scope: three signs of strangeness, each ranked among the calibration queries, averaged.

logit      how little the head's best class stands out from the others
class      how far the query lies from the nearest class centre, in the space where the classes lie apart
neighbour  how far it lies from its nearest training queries (see `novelty`)

The three fail on different queries: on CLINC150 the mean of them ranks better than any alone, by benchmarks/out_of_scope.py.
Nothing is learned from the queries that are judged; a score depends on its own query alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.errors import BundleError, FitError, PolicyError
from router.files import DECIMALS
from router.novelty import Novelty

SIGNS = ("logit", "class", "neighbour")
SHRINKAGE = (
    0.7  # of the covariance within classes to a multiple of the identity; 0.5 to 0.97 rank alike on CLINC150's val
)
SAME = 1e-9  # of a column's deviation, or of the largest singular value: what differs by less is rounding

Floats = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]  # Any: each array has its own type


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalScore:
    """Turns a value into the normal quantile of its rank among the calibration values; keeps every order.

    knots: (m,) ascending distinct calibration values.   heights: (m,) their quantiles.   spread: beyond the outermost
    knots the score goes on with slope 1 / spread, so that the strangest queries do not all tie.
    """

    knots: Floats
    heights: Floats
    spread: float

    def apply(self, values: Floats) -> Floats:
        """(n,) scores, near 0 for a typical value and rising with it."""
        below = np.minimum(values - self.knots[0], 0.0)
        above = np.maximum(values - self.knots[-1], 0.0)
        score: Floats = np.interp(values, self.knots, self.heights) + (below + above) / self.spread
        return score


def fit_normal_score(values: Floats) -> NormalScore:
    """Learn the ranks from (c,) calibration values; equal values share the mean of their quantiles.

    Raises FitError for none, or for one that is not finite.
    """
    if len(values) == 0 or not np.isfinite(values).all():
        raise FitError(
            f"{len(values)} calibration values, of which some may not be finite; wanted at least one, all finite."
        )
    knots, place, count = np.unique(values, return_inverse=True, return_counts=True)
    standard = NormalDist()
    quantiles = np.array([standard.inv_cdf((i + 0.5) / len(values)) for i in range(len(values))])
    heights = np.bincount(np.sort(place), weights=quantiles) / count
    spread = (
        float(values.std()) if len(knots) > 1 else 1.0
    )  # not by the deviation: that of equal values may round above 0
    return NormalScore(knots=knots, heights=heights, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDistance:
    """Squared Mahalanobis distance to the nearest class, within the space that the class centres span.

    mean: (d,).   projection: (d, r), r < number of classes.   centres: (k, r).   Source: Lee et al., 2018, after Fisher's
    discriminants; the shared covariance is shrunk to a multiple of the identity.
    """

    mean: Matrix
    projection: Matrix
    centres: Matrix

    def distance(self, embedding: Matrix) -> Floats:
        """(n,) for (n, d) rows, rounded: the last bits of a product depend on how many rows it holds."""
        place = (embedding.astype(np.float64) - self.mean) @ self.projection.astype(np.float64)
        centres = self.centres.astype(np.float64)
        squared = (place**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * place @ centres.T
        nearest: Floats = np.round(np.maximum(squared.min(axis=1), 0.0), DECIMALS)
        return nearest


def fit_class_distance(embedding: Matrix, y: npt.NDArray[Any]) -> ClassDistance:
    """Learn from (n, d) training rows and their (n,) classes.

    Raises FitError for a single class, classes that all lie in one place, or classes of which none has two different
    queries: then there is nothing to measure a distance by.
    """
    names, index = np.unique(y, return_inverse=True)
    mean, deviation = embedding.mean(axis=0, dtype=np.float64), embedding.std(axis=0, dtype=np.float64)
    scale = 1 / np.where(np.ptp(embedding, axis=0) > 0, deviation, 1.0)
    z = (embedding.astype(np.float64) - mean) * scale
    centres = np.stack([z[index == j].mean(axis=0) for j in range(len(names))])
    residual = z - centres[index]
    within = residual.T @ residual / len(z)
    size = float(np.trace(within)) / len(within)
    offsets = centres - centres.mean(axis=0)
    if len(names) < 2 or size < SAME or np.abs(offsets).max() < SAME:
        raise FitError(
            f"{len(z)} training queries of {len(names)} classes give no distance between classes;"
            " wanted two classes that differ, and one with two different queries."
        )
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * size * np.eye(len(within)))
    whitening = vectors / np.sqrt(values)
    _, singular, axes = np.linalg.svd(offsets @ whitening, full_matrices=False)
    projection = scale[:, None] * (whitening @ axes[singular > SAME * singular[0]].T)
    places = (centres / scale) @ projection
    return ClassDistance(
        mean=mean.astype(np.float32), projection=projection.astype(np.float32), centres=places.astype(np.float32)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A fitted out-of-scope score.   scores: sign -> its ranks.   calibration: (c,) ascending scores of the calibration."""

    neighbours: Novelty
    classes: ClassDistance
    scores: Mapping[str, NormalScore]
    calibration: Floats

    def signs(self, embedding: Matrix, logits: Floats) -> dict[str, Floats]:
        """Each of the three (n,), not yet ranked; higher is stranger.

        embedding: (n, d) rows of the encoder, the sentence embedding first.   logits: (n, k) of the head, uncalibrated.
        Raises PolicyError where shapes disagree with the fit or a number is not finite.
        """
        return _signs(self.neighbours, self.classes, embedding, logits)

    def score(self, embedding: Matrix, logits: Floats) -> Floats:
        """(n,) the mean of the ranked signs: 0 for a typical query, higher is stranger, without an upper end."""
        return _mean_score(self.scores, self.signs(embedding, logits))

    def rank(self, embedding: Matrix, logits: Floats) -> Floats:
        """(n,) the share of calibration queries that are less strange, in [0, 1]."""
        ranks: Floats = np.searchsorted(self.calibration, self.score(embedding, logits)) / len(self.calibration)
        return ranks

    def to_arrays(self) -> Arrays:
        """The numbers to keep; `scope_from_arrays` reads them back."""
        ranks = {
            f"{sign}.{name}": array
            for sign, entry in self.scores.items()
            for name, array in (
                ("knots", entry.knots),
                ("heights", entry.heights),
                ("spread", np.array([entry.spread])),
            )
        }
        return {
            "reference": self.neighbours.reference,
            "mean": self.classes.mean,
            "projection": self.classes.projection,
            "centres": self.classes.centres,
            "calibration": self.calibration,
            **ranks,
        }


def fit_scope(train: Matrix, y: npt.NDArray[Any], *, sentence_dim: int, calibration: Matrix, logits: Floats) -> Scope:
    """Fit on queries that are in scope.

    train: (n, d) rows of the encoder, of which the first `sentence_dim` columns are the unit-length sentence embedding.
    y: (n,) their classes, of any head.   calibration: (c, d) rows of other queries, in scope and unseen by the head.
    logits: (c, k) what the head makes of those.   Raises FitError where there is too little to learn from, and PolicyError
    where the calibration rows do not fit the training rows or their logits.
    """
    if len(train) == 0 or len(y) != len(train) or len(calibration) == 0:
        raise FitError(
            f"{len(train)} training rows, {len(y)} classes and {len(calibration)} calibration rows;"
            " wanted a class per training row, and some of both."
        )
    if not (np.isfinite(train).all() and 0 < sentence_dim <= train.shape[1]):
        raise FitError(
            f"the training rows are {train.shape} with a sentence part of {sentence_dim} columns; wanted finite rows that hold it."
        )
    neighbours = Novelty(reference=np.ascontiguousarray(train[:, :sentence_dim]), calibration=np.zeros(0))
    classes = fit_class_distance(train, y)
    signs = _signs(neighbours, classes, calibration, logits)
    scores = {sign: fit_normal_score(signs[sign]) for sign in SIGNS}
    return Scope(neighbours=neighbours, classes=classes, scores=scores, calibration=np.sort(_mean_score(scores, signs)))


def scope_from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Scope:
    """Read back what `to_arrays` gave. Raises BundleError where an array is missing."""
    try:
        return Scope(
            neighbours=Novelty(reference=arrays["reference"], calibration=np.zeros(0)),
            classes=ClassDistance(**{name: arrays[name] for name in ("mean", "projection", "centres")}),
            scores={
                sign: NormalScore(
                    knots=arrays[f"{sign}.knots"],
                    heights=arrays[f"{sign}.heights"],
                    spread=float(arrays[f"{sign}.spread"][0]),
                )
                for sign in SIGNS
            },
            calibration=arrays["calibration"],
        )
    except KeyError as err:
        raise BundleError(f"an out-of-scope score without its array {err}; train the bundle again.") from err


def max_logit(logits: Floats) -> Floats:
    """(n,) by how much the best class stands above the mean of all: a shift of a whole row changes nothing."""
    best: Floats = np.round(logits.max(axis=1) - logits.mean(axis=1), DECIMALS)
    return best


def _signs(neighbours: Novelty, classes: ClassDistance, embedding: Matrix, logits: Floats) -> dict[str, Floats]:
    same = embedding.ndim == 2 and embedding.shape[1] == len(classes.mean)
    if not same or logits.ndim != 2 or len(logits) != len(embedding) or logits.shape[1] < 2:
        raise PolicyError(
            f"the embedding is {embedding.shape} and the logits are {logits.shape};"
            f" wanted (n, {len(classes.mean)}) of the encoder it was fitted with, and (n, k) of two classes or more."
        )
    if not (np.isfinite(embedding).all() and np.isfinite(logits).all()):
        raise PolicyError("an embedding or a logit is not finite; embed the queries again.")
    sentence = np.ascontiguousarray(embedding[:, : neighbours.reference.shape[1]])
    return {
        "logit": -max_logit(logits),
        "class": classes.distance(embedding),
        "neighbour": neighbours.distance(sentence),
    }


def _mean_score(scores: Mapping[str, NormalScore], signs: Mapping[str, Floats]) -> Floats:
    mean: Floats = np.mean([scores[sign].apply(signs[sign]) for sign in SIGNS], axis=0)
    return np.round(mean, DECIMALS)
