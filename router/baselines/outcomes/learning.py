"""What every family does before it learns: look whether there is anything to learn from, and split to choose settings."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from router.baselines.outcomes.protocol import Floats, Ints, Queries, filled
from router.encoders.protocol import Matrix
from router.errors import FitError
from router.fitting import folds
from router.outcomes import Outcomes

Setting = TypeVar("Setting", int, float)


def mean_scores(queries: Queries, outcomes: Outcomes) -> Floats:
    """(m,) mean known score per model; a model without any gets the mean of all.

    Raises FitError where the queries are not the outcomes' rows, no score is known at all, or nothing may be fitted on
    them.
    """
    if outcomes.use != "train":
        raise FitError(f"outcomes {outcomes.name!r} are marked {outcomes.use!r}; wanted a table that may be fitted on.")
    if len(queries) != len(outcomes):
        raise FitError(f"{len(queries)} queries and {len(outcomes)} rows of outcomes; wanted one row per query.")
    if not np.isfinite(outcomes.score).any():
        raise FitError(
            f"outcomes {outcomes.name!r}: none of {len(outcomes)} training queries has a score; wanted at least one."
        )
    means: Floats = filled(np.vstack([outcomes.score, np.full(len(outcomes.models), np.nan)]))[-1]
    return means


def sentence_rows(queries: Queries, outcomes: Outcomes) -> Matrix:
    """(n, sentence_dim) the training rows, in one piece. Raises FitError as `mean_scores` does."""
    mean_scores(queries, outcomes)
    return np.ascontiguousarray(queries.sentence)


def choose(
    settings: Sequence[Setting], loss: Callable[[Setting, Ints, Ints], float], unit: Ints, *, seed: int, k: int
) -> Setting:
    """The setting with the least loss(setting, seen rows, held-out rows), summed over k shuffled folds of the rows.

    Rows of one unit (equal texts) stay together. Of equal settings the first wins; with one unit alone there is
    nothing to hold out, and the middle one is taken.
    """
    if len(settings) == 1 or len(np.unique(unit)) < 2:
        return settings[len(settings) // 2]
    fold = folds(unit.tolist(), seed=seed, k=k)
    parts = [(np.flatnonzero(fold != held), np.flatnonzero(fold == held)) for held in np.unique(fold).tolist()]
    return min(settings, key=lambda setting: sum(loss(setting, seen, held) for seen, held in parts))


@contextlib.contextmanager
def stopping_early() -> Iterator[None]:
    """Let a solver stop at its limit of iterations: the limit is part of the family's settings, not news."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
