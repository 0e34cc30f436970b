"""How unlike the training data a query is: the distance to its neighbours, ranked among the calibration queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.files import DECIMALS

NEIGHBOURS = 5  # the distance is the mean over these: one odd training query must not make a region familiar
ROWS_AT_ONCE = 1024
SLACK = 5e-6  # more than single precision can be off in a cosine

Rows = npt.NDArray[np.float32]
Row = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def nearest(rows: Rows, reference: Rows, *, k: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """The k most similar reference rows of each row, most similar first.

    rows: (n, d), reference: (m, d), both of unit length. Returns indices (n, k) and cosines (n, k) with 6 decimals, k cut to m.
    Equal cosines are ordered by index.
    """
    k = min(k, len(reference))
    indices = np.empty((len(rows), k), dtype=np.intp)
    cosines = np.empty((len(rows), k))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        similarity = rows[part] @ reference.T
        for i, row in enumerate(rows[part], start):
            indices[i], cosines[i] = among(row, reference, similarity[i - start], k=k, slack=SLACK)
    return indices, cosines


def among(row: Row, reference: Rows, about: Row, *, k: int, slack: float) -> tuple[npt.NDArray[np.intp], Floats]:
    """The k <= m most similar reference rows of one (d,) row as `nearest` gives them, found among those that may be.

    about: (m,) what the cosines are about, each within `slack`. They depend in their last bits on how many rows were
    multiplied at once, and a decision must not: so they only propose.
    """
    close = np.flatnonzero(about >= np.partition(about, -k)[-k] - 2 * slack)
    exact = np.round(reference[close].astype(np.float64) @ row.astype(np.float64), DECIMALS)
    order = np.lexsort((close, -exact))[:k]
    return close[order], exact[order]


@dataclass(frozen=True)
class Novelty:
    """Ranks distances by the calibration set's distribution.

    reference: (m, d) unit rows of the training queries.   calibration: (c,) ascending distances of calibration queries.
    """

    reference: Rows
    calibration: Floats

    def distance(self, rows: Rows) -> Floats:
        """(n,) mean cosine distance to the nearest training queries."""
        distance: Floats = np.round(1.0 - nearest(rows, self.reference, k=NEIGHBOURS)[1].mean(axis=1), DECIMALS)
        return distance

    def distance_among(self, row: Row, about: Row, *, slack: float) -> float:
        """The distance of one (d,) row whose (m,) cosines are `about` these, each within `slack`: the same to the last bit."""
        k = min(NEIGHBOURS, len(self.reference))
        return float(np.round(1.0 - among(row, self.reference, about, k=k, slack=slack)[1].mean(), DECIMALS))

    def rank(self, rows: Rows) -> Floats:
        """(n,) the share of calibration queries that are more familiar than this one; 0 where there were none."""
        return self.rank_of(self.distance(rows))

    def rank_of(self, distance: Floats) -> Floats:
        """The same for (n,) distances that are known already."""
        if len(self.calibration) == 0:
            return np.zeros(len(distance))
        ranks: Floats = np.searchsorted(self.calibration, distance, side="left") / len(self.calibration)
        return ranks


def fit_novelty(train: Rows, calibration: Rows) -> Novelty:
    """Remember the training rows and how far the calibration rows lie from them."""
    unranked = Novelty(reference=train, calibration=np.zeros(0))
    return Novelty(reference=train, calibration=np.sort(unranked.distance(calibration)))
