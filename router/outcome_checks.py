"""What a table of outcomes must be before anything is fitted on it: no text in two splits, every cost known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from router.errors import DataError
from router.outcomes import Floats, Outcomes
from router.rows import SPLITS

OnStraddle = Literal["refuse", "drop-train"]


def require_no_straddle(outcomes: Outcomes, on_straddle: OnStraddle) -> Outcomes:
    """The table without a text that stands in two splits, the copy for the judge being the one that counts.

    "refuse": raise DataError where there is such a text.   "drop-train": keep its copies in the last of its splits
    (train, then calibration, then test) and drop the others. Queries without a split stand in none.
    """
    units = straddling_units(outcomes)
    if not units:
        return outcomes
    torn = np.isin(outcomes.unit, units)
    if on_straddle == "refuse":
        example = outcomes.ids[int(np.flatnonzero(torn)[0])]
        raise DataError(
            f"outcomes {outcomes.name!r}: {len(units):,} {'text stands' if len(units) == 1 else 'texts stand'} in more"
            f" than one split, as that of query {example!r}; wanted each in one. Drop the training copies with `--on-straddle drop-train`."
        )
    rank = _ranks(outcomes)
    last = np.full(int(outcomes.unit.max()) + 1, -1)
    np.maximum.at(last, outcomes.unit, rank)
    return outcomes.rows(~torn | (rank < 0) | (rank == last[outcomes.unit]))


def _ranks(outcomes: Outcomes) -> npt.NDArray[np.intp]:
    """(n,) the place of each query's split in SPLITS; -1 without one."""
    place = {name: rank for rank, name in enumerate(SPLITS)}
    return np.array([place.get(split or "", -1) for split in outcomes.split], dtype=np.intp)


def straddling_units(outcomes: Outcomes) -> list[int]:
    """The units of equal texts that stand in more than one split, ascending."""
    pairs = set(zip(outcomes.unit.tolist(), outcomes.split, strict=True))
    splits = Counter(unit for unit, split in pairs if split is not None)
    return sorted(unit for unit, count in splits.items() if count > 1)


def with_costs_filled(outcomes: Outcomes, train_index: npt.NDArray[Any]) -> Outcomes:  # Any: positions or a mask
    """Fill each missing cost with the model's mean on the training queries of the same data set, else on all of them.

    A table of which some model has no cost at all comes back as it is: there is nothing to go by. Otherwise every cost
    is known afterwards. Raises DataError for a model that has costs, but none on the training queries.
    """
    if not outcomes.has_cost or np.isfinite(outcomes.cost_usd).all():
        return outcomes
    train = np.zeros(len(outcomes), dtype=np.bool_)
    train[train_index] = True
    overall = _means(outcomes.cost_usd[train])
    without = [model for model, mean in zip(outcomes.models, overall.tolist(), strict=True) if np.isnan(mean)]
    if without:
        raise DataError(
            f"outcomes {outcomes.name!r}: no cost of {', '.join(without)} is known on the training queries, so none can be"
            " filled in on the others. Record some, or leave the model out with `--models`."
        )
    cost = outcomes.cost_usd.copy()
    for name in sorted({name or "" for name in outcomes.dataset}):
        rows = np.array([(own or "") == name for own in outcomes.dataset])
        local = _means(outcomes.cost_usd[train & rows])
        mean = np.where(np.isnan(local), overall, local)
        cost[rows] = np.where(np.isnan(cost[rows]), mean, cost[rows])
    return replace(outcomes, cost_usd=cost)


def _means(cost: Floats) -> Floats:
    """(m,) mean of the known cells of each column; NaN where there is none."""
    known = np.isfinite(cost)
    counts = known.sum(axis=0)
    sums = np.where(known, cost, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
