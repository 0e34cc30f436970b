"""Whole cost-quality curves compared over the same queries: one set of bootstrap draws for all routers.

Queries are drawn by unit (equal texts together). What two routers share, easy and hard draws above all, cancels in
their difference. Curves keep their thresholds and λ from draw to draw; hulls are taken anew in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.intervals import LEVEL, Interval, minimum_detectable
from router.curves import CUTS, Hulls, hulls, pair_curve
from router.errors import DataError, PolicyError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

DRAWS = 1_000
CHUNK = 64  # draws that are multiplied in float64 at a time: 14,000 units then take 7 MB beside the 56 MB of all
ROUNDING = 1e-12  # two means of the same scores, added up in another order, differ by less


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A figure and its bootstrap draws (b,). NaN where the figure does not exist: a draw without a gap, say."""

    estimate: float
    draws: Floats

    @property
    def interval(self) -> Interval | None:
        """The percentile interval; a draw without the figure counts as beyond either end. None where an end is lost."""
        tail = (1 - LEVEL) / 2
        missing = np.isnan(self.draws)
        with np.errstate(invalid="ignore"):  # between two infinities lies no number
            low = np.quantile(np.where(missing, -np.inf, self.draws), tail)
            high = np.quantile(np.where(missing, np.inf, self.draws), 1 - tail)
        if not np.isfinite([self.estimate, low, high]).all():
            return None
        return Interval(low=float(low), high=float(high))

    @property
    def p_value(self) -> float | None:
        """Two-sided: how often a draw is not on the estimate's side of 0. None where there is no estimate."""
        if np.isnan(self.estimate):
            return None
        tail = min(int((~(self.draws > 0)).sum()), int((~(self.draws < 0)).sum()))
        return min(1.0, 2 * (tail + 1) / (len(self.draws) + 1))

    @property
    def standard_error(self) -> float | None:
        """The deviation of the draws; None where one of them is missing."""
        return None if np.isnan(self.draws).any() else float(self.draws.std(ddof=1))

    @property
    def minimum_detectable(self) -> float | None:
        """The true difference that would be found four times in five; None where a draw is missing."""
        error = self.standard_error
        return None if error is None else minimum_detectable(error)


def difference(a: Sampled, b: Sampled) -> Sampled:
    """a − b, draw by draw. Both must come from the same `Draws`; PolicyError where they cannot."""
    if a.draws.shape != b.draws.shape:
        raise PolicyError(f"{len(a.draws)} draws against {len(b.draws)}; wanted both figures from the same `Draws`.")
    return Sampled(estimate=a.estimate - b.estimate, draws=a.draws - b.draws)


class Draws:
    """How often each unit of queries stands in each bootstrap draw; the same for every router that is judged.

    weights: (draws, u) float32.   size: (u,) queries per unit.
    """

    def __init__(self, unit: npt.ArrayLike, rng: np.random.Generator, *, draws: int = DRAWS) -> None:
        names, self._unit = np.unique(np.asarray(unit), return_inverse=True)
        if len(names) < 2 or draws < 2:
            raise DataError(
                f"{len(names)} units of queries and {draws} draws; an interval needs two of each. Bring more queries."
            )
        self.size: Floats = np.bincount(self._unit).astype(np.float64)
        self.weights = np.empty((draws, len(names)), dtype=np.float32)
        for row in self.weights:
            row[:] = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        self._queries = self._sums(self.size)

    def means(self, values: npt.ArrayLike) -> tuple[Floats, Floats]:
        """(l,) means over all queries and (draws, l) means in each draw.   values: (n, l), a row per query."""
        table = np.asarray(values)
        if table.ndim != 2 or len(table) != len(self._unit):
            raise PolicyError(f"values are {table.shape}; wanted a row for each of {len(self._unit)} queries.")
        sums = [np.bincount(self._unit, weights=column) for column in table.T]
        per_unit = np.stack(sums, axis=1).astype(np.float64, copy=False)
        return per_unit.sum(axis=0) / len(table), self._sums(per_unit) / self._queries[:, None]

    def mean(self, values: npt.ArrayLike) -> Sampled:
        """A mean over queries.   values: (n,); a missing one leaves no mean."""
        estimate, draws = self.means(np.asarray(values)[:, None])
        return Sampled(estimate=float(estimate[0]), draws=draws[:, 0])

    def _sums(self, per_unit: Floats) -> Floats:
        chunks = (self.weights[at : at + CHUNK].astype(np.float64) for at in range(0, len(self.weights), CHUNK))
        return np.concatenate([chunk @ per_unit for chunk in chunks])


def apgr_draws(draws: Draws, value: Floats, weak: Floats, strong: Floats, *, cuts: int = CUTS) -> Sampled:
    """APGR, with the thresholds of the full sample in every draw; a draw in which `strong` is not better has none.

    value, weak, strong: (n,) as for `router.curves.pair_curve`, whose APGR the estimate is.
    """
    thresholds = pair_curve(value, weak, strong, cuts=cuts).thresholds
    sent = np.concatenate([value[:, None] > thresholds[:1], value[:, None] >= thresholds[1:]], axis=1)
    share = np.vstack(draws.means(sent))
    quality = np.vstack(draws.means(np.where(sent, strong[:, None], weak[:, None])))
    gap = quality[:, -1] - quality[:, 0]
    area = np.trapezoid(quality - quality[:, :1], share, axis=1)
    return _sampled(np.divide(area, gap, out=np.full(len(gap), np.nan), where=gap > 0))


def curve_draws(draws: Draws, cost: Floats, quality: Floats) -> Hulls:
    """The hull over all queries, then one per draw.   cost, quality: (n, l) dollars and score of each query at each of l
    operating points. Raises PolicyError where a cost is missing: what is left out of a mean is not free.
    """
    if cost.shape != quality.shape or not (np.isfinite(cost).all() and np.isfinite(quality).all()):
        raise PolicyError(
            f"`cost` is {cost.shape} and `quality` {quality.shape}, or cells are missing; wanted the same (n, l), whole. "
            "Drop the incomplete queries first; without costs, compare pairs by `apgr_draws`."
        )
    return hulls(np.vstack(draws.means(cost)), np.vstack(draws.means(quality)))


def operating_points(
    choices: npt.NDArray[np.integer[Any]],  # Any: of whatever width
    score: Floats,
    cost: Floats,
) -> tuple[Floats, Floats]:
    """(n, l) dollars and (n, l) scores of the models chosen.   choices: (n, l) columns of score and cost, (n, m)."""
    chosen = choices.astype(np.intp)
    return np.take_along_axis(cost, chosen, axis=1), np.take_along_axis(score, chosen, axis=1)


def aiq_draws(curve: Hulls, *, max_cost: float) -> Sampled:
    """AIQ of a curve from `curve_draws`.   max_cost: dollars per query, the same for all routers and in every draw."""
    return _sampled(curve.aiq(max_cost))


def quality_at_matched_cost(a: Hulls, b: Hulls, *, cost: float) -> Sampled:
    """How much better a answers than b when both spend `cost` dollars per query. NaN where one cannot be had for that."""
    return _sampled(a.quality_at(cost) - b.quality_at(cost))


def cost_at_matched_quality(a: Hulls, b: Hulls, *, cost: float) -> Sampled:
    """How many dollars per query more a needs than b for the quality that b reaches with `cost`; below 0, a saves.

    NaN where a never reaches it, or b cannot be had for `cost`.
    """
    reached = b.quality_at(cost)
    return _sampled(a.cost_of(reached) - b.cost_of(reached))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nested:
    """What each of n queries got from an operating point that was chosen on the other folds.

    point: (n,) column of the chosen operating point.   cost, quality: (n,) dollars and score at it.   reached: whether
    the floor, where there was one, was reached in every choice; where it was not, the best point was taken instead.
    """

    point: Ints
    cost: Floats
    quality: Floats
    reached: bool


def nested_best(
    cost: Floats, quality: Floats, unit: npt.ArrayLike, *, seed: int, folds: int = 5, floor: Floats | None = None
) -> Nested:
    """Choose an operating point on the other folds and judge it on the fold left out, so that no maximum flatters.

    cost, quality: (n, l) at each operating point.   unit: (n,) no fold tears one apart.   floor: (n,) scores whose mean
    must be reached, by the cheapest point that does; without it the point of the highest quality is chosen, the cheaper
    among equals. Raises PolicyError for shapes that disagree, DataError for fewer units than folds or fewer than 2 folds.
    """
    fold = _folds(unit, folds, seed)
    wanted_of = np.zeros(len(fold)) if floor is None else floor
    if cost.ndim != 2 or cost.shape != quality.shape or not len(cost) == len(fold) == len(wanted_of):
        raise PolicyError(
            f"`cost` is {cost.shape}, `quality` {quality.shape}, `floor` ({len(wanted_of)},); wanted (n, l) twice and (n,), "
            f"for the n = {len(fold)} of `unit`."
        )
    if not all(np.isfinite(cells).all() for cells in (cost, quality, wanted_of)):
        raise PolicyError("`cost`, `quality` or `floor` has missing cells; drop the incomplete queries first.")
    point = np.empty(len(fold), dtype=np.intp)
    reached = True
    for held_out in range(folds):
        seen = fold != held_out
        mean_cost, mean_quality = cost[seen].mean(axis=0), quality[seen].mean(axis=0)
        wanted = mean_quality.max() if floor is None else wanted_of[seen].mean()
        enough = mean_quality >= wanted - ROUNDING
        if not enough.any():
            reached, enough = False, mean_quality >= mean_quality.max() - ROUNDING
        point[~seen] = np.where(enough, mean_cost, np.inf).argmin()
    row = np.arange(len(fold))
    return Nested(point=point, cost=cost[row, point], quality=quality[row, point], reached=reached)


def _folds(unit: npt.ArrayLike, folds: int, seed: int) -> Ints:
    """(n,) the fold of each query: units in random order, dealt out in turn."""
    names, index = np.unique(np.asarray(unit), return_inverse=True)
    if not 2 <= folds <= len(names):
        raise DataError(f"{folds} folds of {len(names)} units of queries; wanted at least 2, and a unit for each.")
    dealt: Ints = np.random.default_rng(seed).permutation(len(names)) % folds
    return dealt[index]


def _sampled(rows: Floats) -> Sampled:
    """The figure over all queries stands first, those of the draws behind it."""
    return Sampled(estimate=float(rows[0]), draws=rows[1:])
