"""The domain head of an outcome table: which of its data sets a query comes from, and how each model does there.

Nobody tells a router the data set at decision time, so it is predicted; the means are pooled partially: a data set with
few rows stays near the mean of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.scoring import log_loss, softmax
from router.success.principal import Principal, Ridge
from router.success.solver import model_means

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
FEWEST = 10  # rows of a data set; one with fewer is not told apart
PENALTIES = (3.0, 10.0, 30.0, 100.0)
SHARPNESS = (4.0, 8.0, 12.0, 16.0, 20.0, 30.0)  # of least-squares values, before the softmax
POOLING = (2.0, 8.0, 32.0)  # rows of the overall mean that each data set's mean is mixed with


@dataclass(frozen=True)
class DomainHead:
    """classes (k,), least squares on one-hot labels, and the sharpness that makes its values probabilities."""

    classes: tuple[str, ...]
    ridge: Ridge
    sharpness: float

    def probabilities(self, rows: Matrix) -> Floats:
        """(n, k); rows sum to 1."""
        return softmax(self.ridge.values(rows) * self.sharpness)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedDomain:
    """A domain head with its held-out probabilities.

    y: (n,) class numbers, −1 where a query has none.   held: (n, k) probabilities from fits that left the row's fold out.
    """

    head: DomainHead
    y: Ints
    held: Floats
    penalty: float
    accuracy: float
    log_loss: float


def class_numbers(dataset: Sequence[str | None]) -> tuple[tuple[str, ...], Ints]:
    """The data sets worth telling apart, in order of name, and each query's number among them (−1: none)."""
    counts = Counter(name for name in dataset if name is not None)
    classes = tuple(sorted(name for name, count in counts.items() if count >= FEWEST))
    number = {name: j for j, name in enumerate(classes)}
    return classes, np.array([number.get(name, -1) if name is not None else -1 for name in dataset], dtype=np.intp)


def fit_domain(principal: Principal, dataset: Sequence[str | None], part: Ints) -> FittedDomain | None:
    """Choose penalty and sharpness by held-out log-loss. None where there are fewer than two data sets to tell apart.

    Queries without a class count as members of none, so their targets are all 0.
    """
    classes, y = class_numbers(dataset)
    if len(classes) < 2:
        return None
    labelled = y >= 0
    target = np.zeros((len(y), len(classes)))
    target[np.flatnonzero(labelled), y[labelled]] = 1.0
    tried = []
    for penalty in PENALTIES:
        values = principal.held_out(target, part, penalty=penalty)
        for sharpness in SHARPNESS:
            loss = log_loss(softmax(values[labelled] * sharpness), y[labelled])
            tried.append((loss, penalty, sharpness, values))
    loss, penalty, sharpness, values = min(tried, key=lambda entry: entry[0])
    return FittedDomain(
        head=DomainHead(classes, principal.fit(target, penalty=penalty), sharpness),
        y=y,
        held=softmax(values * sharpness),
        penalty=penalty,
        accuracy=float((values[labelled].argmax(axis=1) == y[labelled]).mean()),
        log_loss=loss,
    )


def pooled_means(score: Floats, y: Ints, k: int, *, pooling: float) -> Floats:
    """(k, m) mean score per data set and model, each mixed with `pooling` rows of the model's overall mean.

    score: (n, m), NaN where missing. Source: the posterior mean of a normal model with that prior weight.
    """
    known = np.isfinite(score)
    value = np.where(known, score, 0.0)
    overall = model_means(score)
    member = np.zeros((len(y), k))
    member[np.flatnonzero(y >= 0), y[y >= 0]] = 1.0
    means: Floats = (member.T @ value + pooling * overall) / (member.T @ known + pooling)
    return means
