"""All operating points of a router at once: every threshold of a pair, every price λ of quality among many models.

A pass per threshold costs n for each of them; sorting once and accumulating gives all of them for n log n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
SmallInts = npt.NDArray[np.int8] | npt.NDArray[np.int16]

CHUNK = 1 << 14  # rows whose envelopes are found together: what ten models need of them fits into a core's cache
GRID = 100  # values of λ that stand for a whole sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSweep:
    """Every way in which a threshold can cut n values; queries at or above it go to the strong model.

    threshold: (k,) ascending midpoints, from −inf (all strong) to inf (none).   lowest: (k,) the smallest value that
    still goes to the strong model.   share: (k,) of strong calls.   quality: (k,) mean score.   cost_usd: (k,) mean
    dollars per query; None where costs were not given, NaN where one of them is missing.
    """

    threshold: Floats
    lowest: Floats
    share: Floats
    quality: Floats
    cost_usd: Floats | None

    def index(self, threshold: npt.ArrayLike) -> Ints:
        """The position at which each of the given thresholds stands."""
        return np.searchsorted(self.lowest, np.asarray(threshold, dtype=np.float64), side="left")


def threshold_sweep(
    value: Floats,
    weak: Floats,
    strong: Floats,
    *,
    weak_cost: Floats | None = None,
    strong_cost: Floats | None = None,
    weights: Floats | None = None,
) -> ThresholdSweep:
    """Share, quality and dollars of every possible threshold in one pass.

    value: (n,) higher means that the strong model is worth more.   weak, strong: (n,) scores.   weak_cost, strong_cost:
    (n,) dollars per query, both or neither.   weights: (n,) how much a query counts; 1 each where not given.
    Raises PolicyError for n = 0, shapes that disagree, or a value, score or weight that is not finite.
    """
    columns = {"value": value, "weak": weak, "strong": strong}
    columns |= {} if weights is None else {"weights": weights}
    _require_columns(columns)
    if (weak_cost is None) != (strong_cost is None):
        raise PolicyError("only one of `weak_cost` and `strong_cost` was given; wanted both or neither.")
    order = np.argsort(value, kind="stable")
    ranked = np.asarray(value, dtype=np.float64)[order]
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, dtype=np.float64)[order]
    total = weight.sum()
    if weight.min() < 0 or not total > 0:
        raise PolicyError(
            f"`weights` run from {weight.min()} and add up to {total}; wanted none below 0 and some above."
        )
    first = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])  # a cut stands only between values that differ

    def mean(below: Floats, above: Floats) -> Floats:
        cheap = np.concatenate([[0.0], np.cumsum(weight * below[order])])
        dear = np.concatenate([[0.0], np.cumsum(weight * above[order])])
        swept: Floats = ((cheap + (dear[-1] - dear)) / total)[first]
        return swept

    return ThresholdSweep(
        threshold=np.concatenate([[-np.inf], _between(ranked[:-1], ranked[1:]), [np.inf]])[first],
        lowest=np.concatenate([ranked, [np.inf]])[first],
        share=mean(np.zeros(len(value)), np.ones(len(value))),
        quality=mean(weak, strong),
        cost_usd=None if weak_cost is None or strong_cost is None else mean(weak_cost, strong_cost),
    )


def choose(p: Floats, predicted_cost: Floats, lam: float) -> Ints:
    """(n,) the model with the highest p − λ·cost; among equals the cheaper one, then the first.

    p: (n, m) value per model.   predicted_cost: (n, m) or (m,) dollars.   lam: λ >= 0, value per dollar.
    Raises PolicyError for shapes that disagree, a cell that is not finite, or λ that is negative or not finite.
    """
    p, dollars = _require_tables(p, predicted_cost)
    return _choose(p, dollars, _require_lambdas(lam).item())


def choices_on(p: Floats, predicted_cost: Floats, lambdas: Floats) -> SmallInts:
    """(n, L) what `choose` chooses at each of L values of λ, in the smallest integers that hold m models."""
    p, dollars = _require_tables(p, predicted_cost)
    grid = _require_lambdas(lambdas).ravel()
    shape = (len(p), len(grid))
    few = p.shape[1] <= np.iinfo(np.int8).max
    chosen: SmallInts = np.empty(shape, dtype=np.int8) if few else np.empty(shape, dtype=np.int16)
    for position, lam in enumerate(grid.tolist()):
        chosen[:, position] = _choose(p, dollars, lam)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The exact mean cost and quality for every λ >= 0: entry i holds from lambdas[i] up to, not including, the next.

    lambdas: (k,) ascending, the first 0.   cost: (k,) mean dollars per query.   quality: (k,) mean score.
    """

    lambdas: Floats
    cost: Floats
    quality: Floats

    @property
    def points(self) -> Floats:
        """(k, 2) cost and quality."""
        return np.stack([self.cost, self.quality], axis=1)

    def at(self, lambdas: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Mean cost and mean quality at the given λ. Raises PolicyError for one that is negative or not finite."""
        index = np.searchsorted(self.lambdas, _require_lambdas(lambdas), side="right") - 1
        return self.cost[index], self.quality[index]

    def grid(self, size: int = GRID) -> Floats:
        """At most `size` values of λ that stand for all: 0, and midpoints between breakpoints at equal ranks.

        They depend on values and predicted costs alone, never on what a model really scored or cost.
        """
        last = self.lambdas[-1]
        following = np.append(self.lambdas[1:], last + max(1.0, last))
        inside = _between(self.lambdas, following)
        inside[0] = 0.0
        rank = np.unique(np.round(np.linspace(0, len(inside) - 1, max(1, size))).astype(np.intp))
        return np.asarray(inside[rank])


def sweep(p: Floats, predicted_cost: Floats, score: Floats, cost: Floats) -> Sweep:
    """Mean cost and quality of argmax p − λ·cost for every λ >= 0, in one pass over sorted breakpoints.

    p: (n, m) value per model.   predicted_cost: (n, m) or (m,) dollars, what the choice is made on.   score, cost:
    (n, m) what the models then really scored and cost. Raises PolicyError for shapes that disagree or a missing cell.
    """
    p, dollars = _require_tables(p, predicted_cost)
    for name, table in (("score", score), ("cost", cost)):
        if table.shape != p.shape or not np.isfinite(table).all():
            raise PolicyError(
                f"`{name}` is {table.shape} with {int((~np.isfinite(table)).sum())} missing cells; wanted {p.shape} and none. "
                "Drop the incomplete queries first."
            )
    parts = [
        _events(p[rows], dollars[rows], score[rows].astype(np.float64), cost[rows].astype(np.float64))
        for rows in (slice(at, at + CHUNK) for at in range(0, len(p), CHUNK))
    ]
    lam, paid, gained = (np.concatenate([part[i] for part in parts]) for i in range(3))
    order = np.argsort(lam, kind="stable")
    lam = lam[order]
    last = np.append(lam[1:] > lam[:-1], True)  # of the events at one λ
    return Sweep(
        lambdas=lam[last],
        cost=np.cumsum(paid[order])[last] / len(p),
        quality=np.cumsum(gained[order])[last] / len(p),
    )


def _events(p: Floats, dollars: Floats, score: Floats, cost: Floats) -> tuple[Floats, Floats, Floats]:
    """(λ, change of cost, change of score) of every change of choice; the first event, at λ = 0, brings in the start.

    Walks the upper envelope of the rows' lines p − λ·cost: from the model chosen at 0 to the cheaper one whose line
    crosses next, until there is none. Rows that have arrived leave; the loop runs at most m times.
    """
    current = _choose(p, dollars, 0.0)
    row = np.arange(len(p))
    found = [(np.zeros(1), cost[row, current].sum(keepdims=True), score[row, current].sum(keepdims=True))]
    lines, prices = np.ascontiguousarray(p.T), np.ascontiguousarray(dollars.T)
    reached = np.zeros(len(p))
    while len(row):
        crossing, following = _next_crossing(lines, prices, current)
        # rounding may put the crossing of nearly concurrent lines a hair before the one already passed
        reached = np.maximum(reached, crossing)
        moves = np.flatnonzero(np.isfinite(reached))
        row, old, current, reached = row[moves], current[moves], following[moves], reached[moves]
        lines, prices = lines[:, moves], prices[:, moves]
        found.append((reached, cost[row, current] - cost[row, old], score[row, current] - score[row, old]))
    lam, paid, gained = (np.concatenate([event[i] for event in found]) for i in range(3))
    return lam, paid, gained


def _next_crossing(lines: Floats, prices: Floats, current: Ints) -> tuple[Floats, Ints]:
    """Per row the smallest λ at which a cheaper model draws level, and that model; inf where none is cheaper.

    lines, prices: (m, n), models first: ten short passes over long columns beat one reduction over short rows.
    """
    here = np.arange(len(current))
    line, price = lines[current, here], prices[current, here]
    nearest = np.full(len(current), np.inf)
    following = current.copy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for model in range(len(lines)):
            saved = price - prices[model]
            crossing = np.where(saved > 0, (line - lines[model]) / saved, np.inf)
            nearer = crossing < nearest
            np.copyto(nearest, crossing, where=nearer)
            following[nearer] = model
    return nearest, following


def _choose(p: Floats, dollars: Floats, lam: float) -> Ints:
    best = p[:, 0] - lam * dollars[:, 0]
    price = dollars[:, 0].copy()
    chosen = np.zeros(len(p), dtype=np.intp)
    for model in range(1, p.shape[1]):
        utility = p[:, model] - lam * dollars[:, model]
        better = (utility > best) | ((utility == best) & (dollars[:, model] < price))
        np.copyto(best, utility, where=better)
        np.copyto(price, dollars[:, model], where=better)
        chosen[better] = model
    return chosen


def _between(low: Floats, high: Floats) -> Floats:
    """Midpoints, each above its `low`: between neighbouring floats there is none, and `high` cuts the same."""
    middle = low / 2 + high / 2  # their sum could overflow
    return np.where(middle > low, middle, high)


def _require_columns(columns: dict[str, Floats]) -> None:
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or len(shapes["value"]) != 1 or shapes["value"] == (0,):
        raise PolicyError(f"found {', '.join(f'`{k}` {v}' for k, v in shapes.items())}; wanted each (n,), with n > 0.")
    for name, column in columns.items():
        if not np.isfinite(column).all():
            raise PolicyError(
                f"`{name}` has {int((~np.isfinite(column)).sum())} entries that are not finite; wanted none. "
                "Drop the incomplete queries first."
            )


def _require_tables(p: Floats, predicted_cost: Floats) -> tuple[Floats, Floats]:
    if p.ndim != 2 or 0 in p.shape or predicted_cost.shape not in {p.shape, p.shape[1:]}:
        raise PolicyError(
            f"`p` is {p.shape} and `predicted_cost` is {predicted_cost.shape}; wanted (n, m) and (n, m) or (m,), not empty."
        )
    if not np.isfinite(p).all() or not np.isfinite(predicted_cost).all() or predicted_cost.min() < 0:
        raise PolicyError(
            "`p` or `predicted_cost` has a cell that is not finite, or a cost below 0; wanted neither. "
            "`weighbridge data check` names the cells."
        )
    dollars = np.broadcast_to(np.asarray(predicted_cost, dtype=np.float64), p.shape)
    return np.asarray(p, dtype=np.float64), dollars


def _require_lambdas(lambdas: npt.ArrayLike) -> Floats:
    asked = np.asarray(lambdas, dtype=np.float64)
    if not np.isfinite(asked).all() or (asked.size and asked.min() < 0):
        raise PolicyError("λ must be finite and not negative: it says how much quality a dollar is worth.")
    return asked
