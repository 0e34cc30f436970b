"""What resembles a query, as a view: its similarity to some hundred landmarks, weighed by logistic regression.

Two queries are alike where their columns are (a Gaussian of the distance) and where they seem to come from the same data
set. So what a long question means for a model may differ from subject to subject, which no sum over columns can say.
Source: Williams and Seeger, 2001, Using the Nystroem method to speed up kernel machines; the overlap of two distributions
over data sets is Bhattacharyya's coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix

Floats = npt.NDArray[np.float64]
LANDMARKS = 2_000  # of MMLU's 11,000 rows 1,500 reach nearly the same held-out error; the time grows with the cube
WIDTH = 0.5  # of the squared distance, which is about 2 for two queries that have nothing in common
ELSEWHERE = 0.5  # likeness of two queries from different data sets, where 1.5 is that of the same one
RESOLUTION = 1e-6  # of the largest eigenvalue: below, single precision holds only rounding
ROWS_AT_ONCE = 2_048


@dataclass(frozen=True)
class Landmarks:
    """rows: (r, d) dense columns of training queries.   chance: (r, k) of each data set; None without data sets."""

    rows: Matrix
    chance: Floats | None

    def similarity(self, rows: Matrix, chance: Floats | None) -> Floats:
        """(n, r) of queries with (n, d) rows and (n, k) chances; between 0 and 1.5."""
        one, (own, length) = rows.astype(np.float64), self._exact
        distance = np.square(one).sum(axis=1)[:, None] + length - 2.0 * (one @ own.T)
        alike: Floats = np.exp(-WIDTH * np.maximum(distance, 0.0))
        if chance is not None and self.chance is not None:
            alike *= ELSEWHERE + np.sqrt(chance) @ self._root_of_chance.T
        return alike

    @cached_property
    def _exact(self) -> tuple[Floats, Floats]:
        """(r, d) rows in double precision and their (r,) squared lengths."""
        own = self.rows.astype(np.float64)
        return own, np.square(own).sum(axis=1)

    @cached_property
    def _root_of_chance(self) -> Floats:
        assert self.chance is not None
        return np.sqrt(self.chance)

    def coordinates(self, rows: Matrix, chance: Floats | None, back: Floats) -> Matrix:
        """(n, q) float32: similarities times `whitening`, without all similarities in memory at once."""
        narrow = back.astype(np.float32)
        found = np.empty((len(rows), back.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            at = slice(start, start + ROWS_AT_ONCE)
            alike = self.similarity(rows[at], None if chance is None else chance[at])
            found[at] = alike.astype(np.float32) @ narrow
        return found


def choose_landmarks(rows: Matrix, chance: Floats | None, *, seed: int) -> Landmarks:
    """Training queries drawn by chance, all of them where they are few. Same seed, same landmarks."""
    n = len(rows)
    index = np.sort(np.random.default_rng(seed).permutation(n)[:LANDMARKS])
    return Landmarks(rows=rows[index], chance=None if chance is None else chance[index])


def whitening(landmarks: Landmarks) -> Floats:
    """(r, q) that turns similarities into coordinates whose inner products are the similarity again."""
    size, axes = np.linalg.eigh(landmarks.similarity(landmarks.rows, landmarks.chance))
    kept = size > RESOLUTION * size.max()
    found: Floats = axes[:, kept] / np.sqrt(size[kept])
    return found
