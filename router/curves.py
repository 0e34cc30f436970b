"""Whole cost-quality curves as single figures: APGR and CPT of a pair, AIQ of many models, PerfGain and CostSave.

They are the field's own figures, computed as its reference programs compute them, quirks included, so that a number
printed here can stand beside a published one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError
from router.sweeps import threshold_sweep

Floats = npt.NDArray[np.float64]

CUTS = 10  # quantile bins of the value, as in RouteLLM's evaluation
ROUNDING = 1e-12  # two means of the same scores, added up in another order, differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCurve:
    """Quality against share of strong calls, from none to all.

    share, quality, thresholds: (k,). The first point has share 0 and the weak model's mean score, the last share 1 and
    the strong one's. A query goes to the strong model at or above the threshold; for the first point, above it.
    """

    share: Floats
    quality: Floats
    thresholds: Floats

    @property
    def apgr(self) -> float:
        """The mean share of the gap between weak and strong that is recovered: about 0.5 for a random order.

        Raises PolicyError where there is no gap to recover.   Source: lm-sys/RouteLLM, routellm/evals/evaluate.py.
        """
        self._require_gap()
        area = np.trapezoid(self.quality - self.quality[0], self.share)
        return float(area / (self.quality[-1] - self.quality[0]))

    def cpt(self, target: float) -> float:
        """The share of strong calls, in [0, 1], that recovers `target`, in [0, 1], of the gap.

        Read off by `np.interp` over quality as RouteLLM does; where quality does not rise throughout, several shares
        reach the target and this is one of them. Raises PolicyError where there is no gap or no such target.
        """
        self._require_gap()
        if not 0.0 <= target <= 1.0:
            raise PolicyError(f"`target` is {target}; it must lie in [0, 1]: the part of the gap to recover.")
        percent = self.quality * 100  # as they count: a target that falls on a flat part is decided by the last bit
        level = target * (percent[-1] - percent[0]) + percent[0]
        return float(np.interp(level, percent, self.share))

    def _require_gap(self) -> None:
        weak, strong = float(self.quality[0]), float(self.quality[-1])
        if not strong > weak:
            raise PolicyError(
                f"the strong model scores {strong:.6g} and the weak one {weak:.6g}; wanted a gap to recover. "
                "Give the model that answers better as `strong`."
            )


def pair_curve(
    value: Floats, weak: Floats, strong: Floats, *, cuts: int = CUTS, weights: Floats | None = None
) -> PairCurve:
    """The curve of RouteLLM's own evaluation, for values of n queries.

    value: (n,) how much the strong model is worth, p_strong − p_weak.   weak, strong: (n,) scores.   cuts: quantile
    bins of the value, whose edges are the thresholds.   weights: (n,) how much a query counts in the means; the
    thresholds stay those of the unweighted values. Where values repeat so often that edges coincide, pandas' `qcut`
    stops; here equal edges are one threshold. Raises PolicyError for n = 0, unequal shapes, or what is not finite.
    Source: lm-sys/RouteLLM, routellm/evals/benchmarks.py.
    """
    swept = threshold_sweep(value, weak, strong, weights=weights)
    edges = quantile_edges(value, cuts)
    thresholds = np.append(
        np.unique(edges[:-1]), edges[-1]
    )  # the last edge lets nothing through: `>` where others `>=`
    index = np.append(swept.index(thresholds[:-1]), len(swept.share) - 1)[::-1]
    return PairCurve(share=swept.share[index], quality=swept.quality[index], thresholds=thresholds[::-1].copy())


def quantile_edges(value: Floats, cuts: int) -> Floats:
    """(cuts + 1,) the bin edges that `pandas.qcut` finds, to the last bit. Raises PolicyError for fewer than 1 bin."""
    if cuts < 1:
        raise PolicyError(f"`cuts` is {cuts}; wanted at least one bin.")
    q = np.linspace(0.0, 1.0, cuts + 1)
    inexact = cuts * q != np.arange(cuts + 1)
    q[inexact] = np.nextafter(
        q[inexact], 1.0
    )  # as pandas rounds; else an edge that is a value may fall on its other side
    return np.asarray(np.quantile(np.asarray(value, dtype=np.float64), q))


def apgr(value: Floats, weak: Floats, strong: Floats) -> float:
    """Average performance gap recovered by sending the queries of highest value to the strong model first.

    >>> apgr(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0, 0.0]), np.ones(4))
    0.75
    """
    return pair_curve(value, weak, strong).apgr


def cpt(value: Floats, weak: Floats, strong: Floats, target: float) -> float:
    """The share of strong calls, in [0, 1], at which `target` of the gap is recovered."""
    return pair_curve(value, weak, strong).cpt(target)


def hull(points: Floats) -> Floats:
    """(k, 2) corners of the non-decreasing convex hull of (n, 2) costs and qualities: cost and quality both rise.

    What lies between two corners is had by mixing the two at random. Costs O(n log n).
    Raises PolicyError for n = 0, a negative cost, or what is not finite.
    Source: withmartian/routerbench, evaluation/AIQ.py, which finds the same curve in O(n³).
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise PolicyError(f"`points` is {points.shape}; wanted (n, 2) costs and qualities, n > 0.")
    if not np.isfinite(points).all() or points[:, 0].min() < 0:
        raise PolicyError("`points` has a cell that is not finite, or a cost below 0; wanted neither.")
    ranked = points[np.lexsort((-points[:, 1], points[:, 0]))]
    best_before = np.maximum.accumulate(ranked[:, 1])[:-1]
    rising = ranked[np.append(True, ranked[1:, 1] > best_before)]
    corners: list[tuple[float, float]] = []
    for point in rising.tolist():
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], point):
            corners.pop()
        corners.append((point[0], point[1]))
    return np.array(corners)


def aiq(points: Floats, *, max_cost: float) -> float:
    """Average quality over budgets from 0 to `max_cost` dollars per query, on the hull of (n, 2) costs and qualities.

    The hull goes on flat to `max_cost` and is cut off there. As in RouterBench, the area is divided by `max_cost` although
    it starts only at the cheapest point: budgets that buy nothing count as quality 0. Their code fails on fewer than
    three different costs; the same formula holds. Raises PolicyError for `max_cost` <= 0 and what `hull` refuses.
    """
    corners = hull(points)
    return float(Hulls(cost=corners[None, :, 0], quality=corners[None, :, 1]).aiq(max_cost)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hulls:
    """b hulls side by side.   cost, quality: (b, k) corners, rising; a hull of fewer corners repeats its last."""

    cost: Floats
    quality: Floats

    def aiq(self, max_cost: float) -> Floats:
        """(b,) as `aiq`."""
        if not (np.isfinite(max_cost) and max_cost > 0):
            raise PolicyError(f"`max_cost` is {max_cost}; wanted dollars above 0: the dearest model's mean cost.")
        width = np.diff(self.cost, axis=1)
        inside = np.clip(max_cost - self.cost[:, :-1], 0.0, width)
        trapezia = inside * (self.quality[:, :-1] + self._slopes() * inside / 2)
        flat = np.maximum(max_cost - self.cost[:, -1], 0.0) * self.quality[:, -1]
        area: Floats = (trapezia.sum(axis=1) + flat) / max_cost
        return area

    def quality_at(self, cost: npt.ArrayLike) -> Floats:
        """(b,) the best quality that `cost` dollars buy; NaN where they do not pay for the cheapest corner."""
        asked = np.broadcast_to(np.asarray(cost, dtype=np.float64), len(self.cost))[:, None]
        inside = np.clip(asked - self.cost[:, :-1], 0.0, np.diff(self.cost, axis=1))
        gained = (self._slopes() * inside).sum(axis=1)
        return np.where(asked[:, 0] >= self.cost[:, 0], self.quality[:, 0] + gained, np.nan)

    def cost_of(self, quality: npt.ArrayLike) -> Floats:
        """(b,) the dollars that buy `quality`; NaN where no corner reaches it, to rounding."""
        asked = np.broadcast_to(np.asarray(quality, dtype=np.float64), len(self.cost))[:, None]
        inside = np.clip(asked - self.quality[:, :-1], 0.0, np.diff(self.quality, axis=1))
        slopes = self._slopes()
        paid = np.divide(inside, slopes, out=np.zeros_like(inside), where=slopes > 0).sum(axis=1)
        return np.where(asked[:, 0] <= self.quality[:, -1] + ROUNDING, self.cost[:, 0] + paid, np.nan)

    def _slopes(self) -> Floats:
        width, rise = np.diff(self.cost, axis=1), np.diff(self.quality, axis=1)
        return np.divide(rise, width, out=np.zeros_like(width), where=width > 0)


def hulls(cost: Floats, quality: Floats) -> Hulls:
    """The hulls of b sets of l points at once, corner by corner over all sets.   cost, quality: (b, l), finite.

    From each corner on goes the steepest rise. Costs O(b·l) per corner: for a few hundred points a set, not more.
    """
    row = np.arange(len(cost))
    at = np.where(cost <= cost.min(axis=1, keepdims=True), quality, -np.inf).argmax(axis=1)
    corners = [at]
    while True:
        run = cost - cost[row, at][:, None]
        rise = quality - quality[row, at][:, None]
        slope = np.divide(rise, run, out=np.zeros_like(run), where=(run > 0) & (rise > 0))
        steepest = slope.argmax(axis=1)
        climbs = slope[row, steepest] > 0
        if not climbs.any():
            index = np.stack(corners, axis=1)
            return Hulls(
                cost=np.take_along_axis(cost, index, axis=1), quality=np.take_along_axis(quality, index, axis=1)
            )
        at = np.where(climbs, steepest, at)
        corners.append(at)


def perf_gain(quality: float, *, best_quality: float) -> float:
    """How much better, relative to the best single model's mean score, an operating point answers.

    The operating point must have been chosen on other queries than these: a maximum over the same ones flatters.
    Raises PolicyError where the best single model never answers well.
    """
    if not best_quality > 0:
        raise PolicyError(f"the best single model's mean score is {best_quality}; a relative gain needs one above 0.")
    return (quality - best_quality) / best_quality


def cost_save(points: Floats, *, best_quality: float, best_cost: float) -> float | None:
    """The part of the best single model's cost that the cheapest of (n, 2) points at least as good does not spend.

    None where no point is as good. Raises PolicyError where the best single model costs nothing.
    """
    if not best_cost > 0:
        raise PolicyError(f"the best single model costs {best_cost} dollars; a saving needs a cost above 0.")
    as_good = points[:, 1] >= best_quality - ROUNDING
    return float(1 - points[as_good, 0].min() / best_cost) if as_good.any() else None


def _slope(a: tuple[float, float], b: tuple[float, float] | list[float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])
