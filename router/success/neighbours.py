"""The nearest training queries as a view: the mean score of each model over the k most similar ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.novelty import nearest
from router.success.solver import model_means

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
SIZES = (10, 20, 40, 80, 160)
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Neighbours:
    """sentence: (n, d) unit rows of the training queries.   score: (n, m), NaN where missing.   k: how many count."""

    sentence: Matrix
    score: Floats
    k: int

    def means(self, sentence: Matrix) -> Floats:
        """(n, m) mean score of the k nearest training queries that have one; the model's mean where none has."""
        index, _ = nearest(sentence, self.sentence, k=self.k)
        return running_means(self.score, index, (min(self.k, index.shape[1]),))[0]


def held_out_means(sentence: Matrix, score: Floats, unit: Ints) -> dict[int, Floats]:
    """k -> (n, m): what the neighbours say of each training query when it and its equals are left out."""
    others_at_least = len(sentence) - int(np.bincount(np.unique(unit, return_inverse=True)[1]).max())
    sizes = [k for k in SIZES if k <= others_at_least] or [max(1, others_at_least)]
    others = _others(sentence, unit, k=sizes[-1])
    return dict(zip(sizes, running_means(score, others, tuple(sizes)), strict=True))


def _others(sentence: Matrix, unit: Ints, *, k: int) -> Ints:
    """(n, k) the nearest rows of another unit, most similar first: `nearest`, without its exactness in the last bit."""
    found = np.empty((len(sentence), k), dtype=np.intp)
    for start in range(0, len(sentence), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        similarity = sentence[part] @ sentence.T
        similarity[unit[part][:, None] == unit[None, :]] = -np.inf
        near = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, near, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(near, order, axis=1)
    return found


def running_means(score: Floats, index: Ints, sizes: tuple[int, ...]) -> list[Floats]:
    """For each k of `sizes`, (n, m) the mean over the first k of each row's neighbours; missing scores are left out."""
    known = np.isfinite(score)
    value = np.where(known, score, 0.0)
    overall = model_means(score)
    found, total, count, start = [], np.zeros((len(index), score.shape[1])), np.zeros((len(index), score.shape[1])), 0
    for k in sizes:
        for column in range(start, k):
            total += value[index[:, column]]
            count += known[index[:, column]]
        start = k
        found.append(np.where(count > 0, total / np.maximum(count, 1), overall))
    return found
