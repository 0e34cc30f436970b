"""What the pages of a leaderboard are drawn from: curves with bands, fronts, calibration, data sets, lost queries.

Everything here is read off the judged queries, as the leaderboard is; nothing is fitted or chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.board import Judge, Judged, cells
from eval.paired import ROUNDING, Sampled
from router.files import DECIMALS
from router.outcomes import Outcomes
from router.scoring import reliability

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
POINTS = 40
WIDE = 20.0  # the dearest over the cheapest; beyond it a curve's points stand at equal ratios, else at equal steps
DIGITS = 9  # of a cost: some calls cost a hundred-millionth of a dollar, some one
NO_DATASET = "(none)"


def details(judge: Judge, judged: Sequence[Judged]) -> dict[str, Any]:
    """JSON-able: curves, models, pareto, calibration, datasets, losses.

    Costs are in the board's `cost_unit`. Bands and intervals are 95 %, from the judge's own draws.
    """
    chosen = {entry.entry.router: entry.choices[:, judge.half_way(entry)].astype(np.intp) for entry in judged}
    return {
        "curves": {entry.entry.router: _curve(entry, judge.max_cost) for entry in judged},
        "models": _models(judge),
        "pareto": _pareto(judge, judged),
        "calibration": {entry.entry.router: _calibration(entry, judge.outcomes) for entry in judged if _meant(entry)},
        "datasets": _datasets(judge, chosen),
        "losses": {router: _losses(judge.outcomes, models) for router, models in chosen.items()},
    }


def _curve(judged: Judged, max_cost: float) -> dict[str, list[float] | list[float | None]]:
    """The hull from its start to `max_cost`; no band where some draws cannot be had for that little."""
    start = float(judged.curve.cost[0, 0])
    if start >= max_cost:
        grid = np.array([start])
    else:
        grid = (np.geomspace if 0 < start * WIDE < max_cost else np.linspace)(start, max_cost, POINTS)
        grid[0], grid[-1] = start, max_cost  # a start that is a hair below the hull's buys nothing
    swept = [judged.curve.quality_at(cost) for cost in grid.tolist()]
    bands = [Sampled(estimate=float(quality[0]), draws=quality[1:]).interval for quality in swept]
    return {
        "cost": [_cost(cost) for cost in grid.tolist()],
        "quality": [round(float(quality[0]), DECIMALS) for quality in swept],
        "low": [None if band is None else round(band.low, DECIMALS) for band in bands],
        "high": [None if band is None else round(band.high, DECIMALS) for band in bands],
    }


def _models(judge: Judge) -> list[dict[str, Any]]:
    """Each model on its own, in the table's order."""
    found = []
    for column, model in enumerate(judge.outcomes.models):
        accuracy = judge.draws.mean(judge.outcomes.score[:, column])
        found.append(
            {
                "model": model,
                "cost": _cost(judge.cost[:, column].mean()),
                "accuracy": round(accuracy.estimate, DECIMALS),
                "accuracy_ci": None if accuracy.interval is None else accuracy.interval.to_list(),
            }
        )
    return found


def _pareto(judge: Judge, judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """What no other point beats: the single models and every operating point of the routers that may be used.

    Ascending in cost and quality. Where several stand at the same place, a single model goes before the routers.
    """
    usable = [entry for entry in judged if entry.entry.allowed]
    names = [("model", model) for model in judge.outcomes.models]
    names += [("router", entry.entry.router) for entry in usable for _ in range(entry.cost.shape[1])]
    cost = np.concatenate([judge.cost.mean(axis=0), *(entry.cost.mean(axis=0) for entry in usable)])
    quality = np.concatenate([judge.outcomes.score.mean(axis=0), *(entry.quality.mean(axis=0) for entry in usable)])
    return [
        {
            "kind": names[i][0],
            "name": names[i][1],
            "cost": _cost(cost[i]),
            "quality": round(float(quality[i]), DECIMALS),
        }
        for i in pareto_front(cost, quality).tolist()
    ]


def pareto_front(cost: Floats, quality: Floats) -> Ints:
    """Positions of the points that none beats: cheaper, or better for the same money. Ascending in both.

    cost, quality: (n,) finite. Of points at one place, to rounding, the first in order stays.

    >>> pareto_front(np.array([1.0, 2.0, 3.0, 2.0]), np.array([0.5, 0.4, 0.9, 0.7])).tolist()
    [0, 3, 2]
    """
    order = np.lexsort((np.arange(len(cost)), -np.round(quality, 12), np.round(cost, 15)))
    kept: list[int] = []
    for position in order.tolist():
        if not kept or quality[position] > quality[kept[-1]] + ROUNDING:
            kept.append(position)
    return np.array(kept, dtype=np.intp)


def _meant(judged: Judged) -> bool:
    return judged.entry.probabilities and judged.entry.value is not None


def _calibration(judged: Judged, outcomes: Outcomes) -> dict[str, Any]:
    """Bins that hold any cell; how sure the router was of good or bad, and how often it was right."""
    assert judged.entry.value is not None
    bins = reliability(*cells(judged.entry.value, outcomes.score))
    full = np.flatnonzero(bins.count)
    return {
        "count": bins.count[full].tolist(),
        "confidence": np.round(bins.confidence[full], DECIMALS).tolist(),
        "accuracy": np.round(bins.accuracy[full], DECIMALS).tolist(),
        "ece": round(bins.ece, DECIMALS),
        "ece_bias": round(bins.ece_bias, DECIMALS),
    }


def _datasets(judge: Judge, chosen: Mapping[str, Ints]) -> dict[str, Any]:
    """Mean scores half way per data set, the largest data set first; beside them the best single model and the oracle."""
    score = judge.outcomes.score
    names = [NO_DATASET if name is None else name for name in judge.outcomes.dataset]
    found, index, n = np.unique(names, return_inverse=True, return_counts=True)
    order = np.lexsort((found, -n))

    def means(values: Floats) -> list[float]:
        mean = np.bincount(index, weights=values, minlength=len(found)) / n
        return [round(value, DECIMALS) for value in mean[order].tolist()]

    row = np.arange(len(score))
    return {
        "names": found[order].tolist(),
        "n": n[order].tolist(),
        "routers": {router: means(score[row, models]) for router, models in chosen.items()},
        "best_single": means(score[:, judge.best_single]),
        "oracle": means(score.max(axis=1)),
    }


def _losses(outcomes: Outcomes, chosen: Ints) -> list[dict[str, Any]]:
    """The queries whose chosen model answered worse than the best one did: the worst first, then by id."""
    row = np.arange(len(outcomes))
    best = outcomes.oracle()
    got, could = outcomes.score[row, chosen], outcomes.score[row, best]
    lost = np.flatnonzero(got < could)
    gap = np.round(could - got, DECIMALS)
    order = sorted(lost.tolist(), key=lambda i: (-gap[i], outcomes.ids[i]))
    return [
        {
            "query_id": outcomes.ids[i],
            "dataset": outcomes.dataset[i],
            "chosen": outcomes.models[chosen[i]],
            "score": round(float(got[i]), DECIMALS),
            "best": outcomes.models[best[i]],
            "best_score": round(float(could[i]), DECIMALS),
        }
        for i in order
    ]


def _cost(cost: float) -> float:
    return float(f"{cost:.{DIGITS}g}")
