"""Choosing an outcome policy is its own step, on its own data: a router's values for queries it was not fitted on.

For a share of calls, a dollar budget, a floor of mean quality, or a guarantee. Each sorts once and accumulates; cuts stand
at midpoints between values that occur, so that rounding flips nothing.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError
from router.guarantee import Family, Guarantee, certify
from router.outcome_policy import Budget, ExpectedUtility, Threshold, arrays
from router.sweeps import sweep

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
NEAR = 0.02  # a share that is met within two points of a hundred is met
STEPS = 50  # rules in a family: finer ones differ by less than the calls a calibration sample can tell apart
SET_ASIDE = 0.1  # of the units, whose values alone place the thresholds
MOST_SET_ASIDE = 300
ROUNDING = 1e-9  # of running sums, against what was asked


def for_share(
    p: Floats, *, models: tuple[str, ...], against: str, share: float, cost_usd: Floats | None = None
) -> Threshold:
    """The threshold that leaves `share` of the calls with `against`.

    Raises PolicyError outside [0, 1], for a model without a cheaper one, and where ties put every cut further than 0.02
    (or one query) from the share: it then names the nearest.
    """
    if not 0.0 <= share <= 1.0:
        raise PolicyError(f"`share` is {share}; it must lie in [0, 1].")
    margin = margins(p, models=models, against=against, cost_usd=cost_usd).min(axis=1)
    cut, kept = midpoints(margin)
    best = int(np.abs(kept - share).argmin())
    if abs(kept[best] - share) > max(NEAR, 1.0 / len(margin)):
        raise PolicyError(
            f"no threshold leaves {share:.1%} of the calls with {against}: too many queries have the same value. The"
            f" nearest leaves {kept[best]:.1%}; ask for that, or route by a router that tells more queries apart."
        )
    return Threshold(models=models, against=against, threshold=float(cut[best]))


def for_budget(p: Floats, cost_usd: Floats, *, models: tuple[str, ...], budget_usd: float) -> Budget:
    """The smallest λ whose choices cost at most `budget_usd` per query in the mean over these predicted costs.

    Raises PolicyError where even the cheapest model of every query costs more, naming what that costs.
    """
    if not np.isfinite(budget_usd) or budget_usd < 0:
        raise PolicyError(f"`budget_usd` is {budget_usd}; wanted dollars per query, 0 or more.")
    value, cost = _some(p, cost_usd, models=models)
    swept = sweep(value, cost, cost, cost)
    within = np.flatnonzero(swept.cost <= budget_usd * (1 + ROUNDING))
    if not len(within):
        raise PolicyError(
            f"no choice costs ${budget_usd:.6g} per query or less: the cheapest model of each costs"
            f" ${swept.cost[-1]:.6g} in the mean. Ask for that much, or add a cheaper model."
        )
    return Budget(models=models, budget_usd=budget_usd, quality_per_usd=_inside(swept.lambdas, int(within[0])))


def for_floor(
    p: Floats,
    cost_usd: Floats,
    score: Floats,
    *,
    models: tuple[str, ...],
    floor: float,
    confidence: float | None = 0.95,
) -> ExpectedUtility:
    """The cheapest expected-utility policy whose observed mean score on this sample reaches `floor`.

    score: (n, m) what the models really scored.   confidence: the one-sided normal lower bound of the mean must reach it;
    None asks it of the mean itself. The bound is that of one policy and not corrected for choosing among them: for a
    promise, use `for_guarantee`. Raises PolicyError where none reaches it, naming the best that can be had.
    """
    value, cost = _some(p, cost_usd, models=models)
    if score.shape != value.shape or not np.isfinite(score).all():
        raise PolicyError(f"`score` is {score.shape}, wanted {value.shape} without missing cells; drop those queries.")
    if confidence is not None and not 0.5 <= confidence < 1.0:
        raise PolicyError(f"`confidence` is {confidence}; it must lie in [0.5, 1), or be None for the mean itself.")
    swept = sweep(value, cost, score, score**2)  # its second mean is that of the squares, for the deviation
    mean, square = swept.quality, swept.cost
    z = 0.0 if confidence is None else NormalDist().inv_cdf(confidence)
    reached = mean - z * np.sqrt(np.maximum(square - mean**2, 0.0) / len(value))
    enough = np.flatnonzero(reached >= floor - ROUNDING)
    what = "mean score" if confidence is None else f"lower {confidence:.0%} bound of the mean score"
    if not len(enough):
        raise PolicyError(
            f"no policy reaches the floor {floor:g}: the best {what} over {len(value):,} queries is {reached.max():.4f}."
            " Ask for that, bring more queries, or add a better model."
        )
    return ExpectedUtility(models=models, quality_per_usd=_inside(swept.lambdas, int(enough[-1])))


def for_guarantee(
    p: Floats,
    score: Floats,
    *,
    models: tuple[str, ...],
    against: str,
    epsilon: float,
    delta: float,
    seed: int,
    unit: Ints | None = None,
    paid_usd: Floats | None = None,
    cost_usd: Floats | None = None,
    reference: Floats | None = None,
) -> tuple[Threshold, Guarantee]:
    """The threshold against one model that saves most at a certified loss of at most `epsilon` (see `guarantee.certify`).

    p: (n, m) values for calibration queries.   score: (n, m) what the models scored on them.   unit: (n,) groups of equal
    texts.   paid_usd: (n, m) what each call cost, NaN where unknown.   cost_usd: the predicted cost that the policy will
    compare by, as `Threshold.choose` takes it.   reference: (r, m) values for other queries, no scores needed, that
    place the thresholds; None sets aside a tenth of the units (300 at most) for it. The grid must not come from the
    queries it is tested on, or the losses of one rule are no independent sample.
    Raises PolicyError where nothing can be certified, with the n it would take, and on bad shapes.
    """
    value, cost = _some(p, cost_usd, models=models)
    paid = np.full(value.shape, np.nan) if paid_usd is None else paid_usd
    groups = np.arange(len(value)) if unit is None else unit
    if score.shape != value.shape or paid.shape != value.shape or groups.shape != value.shape[:1]:
        raise PolicyError(
            f"`p` is {value.shape}, `score` {score.shape}, `paid_usd` {paid.shape}, `unit` {groups.shape}; wanted (n, m) three times and (n,)."
        )
    aside = np.zeros(len(value), dtype=bool) if reference is not None else _set_aside(groups, seed=seed)
    tested = ~aside
    if reference is None:
        cuts = grid(value[aside], models=models, against=against, cost_usd=cost[aside])
    else:
        cuts = grid(reference, models=models, against=against, cost_usd=_same_for_all(cost_usd))
    rules = tuple(Threshold(models=models, against=against, threshold=t) for t in cuts.tolist())
    family = family_of(rules, value[tested], score[tested], paid_usd=paid[tested], cost_usd=cost[tested])
    made = certify(family, epsilon=epsilon, delta=delta, seed=seed, unit=groups[tested])
    return Threshold(models=models, against=against, threshold=made.threshold), made


def family_of(
    rules: tuple[Threshold, ...], p: Floats, score: Floats, *, paid_usd: Floats, cost_usd: Floats | None
) -> Family:
    """What thresholds in ascending order lose and cost on n queries, behind "always `against`".   Shapes (n, m)."""
    models, against = rules[0].models, rules[0].against
    column, rows = models.index(against), np.arange(len(p))
    choice = np.stack(
        [np.full(len(p), column, dtype=np.intp), *(rule.choose(p, cost_usd).model for rule in rules)], axis=1
    )
    return Family(
        models=models,
        against=against,
        threshold=np.array([-np.inf, *(rule.threshold for rule in rules)]),
        choice=choice,
        loss=score[:, [column]] - score[rows[:, None], choice],
        cost_usd=paid_usd[rows[:, None], choice],
    )


def grid(p: Floats, *, models: tuple[str, ...], against: str, cost_usd: Floats | None = None) -> Floats:
    """(T,) ascending midpoints: at most 50 between which about as many queries leave `against`, for a pair that is all.

    Of several cheaper models, up to 50 more between which about as many pairs of query and model come within reach.
    """
    margin = margins(p, models=models, against=against, cost_usd=cost_usd)
    wanted = 1.0 - np.arange(1, STEPS + 1) / STEPS
    steps: list[Floats] = []
    for pool in (margin.min(axis=1), margin.ravel()):
        cut, kept = midpoints(pool[np.isfinite(pool)])
        chosen = np.unique([int(np.abs(kept - share).argmin()) for share in wanted])
        steps.append(cut[chosen[kept[chosen] < 1.0]])
    return np.unique(np.concatenate(steps))


def margins(p: Floats, *, models: tuple[str, ...], against: str, cost_usd: Floats | None = None) -> Floats:
    """(n, m) by how much the value of `against` exceeds each cheaper model's; inf for `against` and for dearer ones.

    A query leaves `against` at every threshold above its smallest margin. Raises PolicyError for n = 0, for a model that
    is not there, and where no model is cheaper for any query.
    """
    value, cost = _some(p, cost_usd, models=models)
    if against not in models:
        raise PolicyError(f"no model {against!r}; there are {', '.join(models)}.")
    column = models.index(against)
    cheaper: npt.NDArray[np.bool_] = cost < cost[:, [column]]
    if not cheaper.any():
        raise PolicyError(f"no model is cheaper than {against}; name a dearer one of {', '.join(models)}.")
    short: Floats = value[:, [column]] - value
    return np.where(cheaper, short, np.inf)


def midpoints(margin: Floats) -> tuple[Floats, Floats]:
    """(k,) ascending cuts between distinct values, one below and one above all; and the share of (n,) at or above each.

    Infinite margins stand above every cut.
    """
    values, count = np.unique(margin[np.isfinite(margin)], return_counts=True)
    half = (values[1:] - values[:-1]) / 2
    below, above = (half[0], half[-1]) if len(half) else (0.5, 0.5)
    middle = values[:-1] + half
    # neighbours in the last bit have no number between them: the upper one is then the cut, which "below it" respects
    middle = np.where(middle > values[:-1], middle, values[1:])
    top = max(values[-1] + above, np.nextafter(values[-1], np.inf))  # half a last bit more would round away
    cut = np.concatenate([[values[0] - below], middle, [top]])
    kept = 1.0 - np.concatenate([[0], np.cumsum(count)]) / len(margin)
    return cut, kept


def _inside(lambdas: Floats, position: int) -> float:
    """A λ from the middle of the stretch that begins at `position`: no query is near to changing its model there."""
    low = float(lambdas[position])
    if position == 0:
        return 0.0
    return low / 2 + float(lambdas[position + 1]) / 2 if position + 1 < len(lambdas) else 2 * low


def _set_aside(groups: Ints, *, seed: int) -> npt.NDArray[np.bool_]:
    """(n,) the rows of a random tenth of the units, at least one unit."""
    index = np.unique(groups, return_inverse=True)[1]
    units = int(index.max()) + 1
    if units < 2:
        raise PolicyError("one query cannot place a threshold and test it; bring more, or give `reference` values.")
    size = max(1, min(MOST_SET_ASIDE, int(units * SET_ASIDE)))
    # a stream of its own, so that which units are set aside says nothing about the order of the bets
    drawn = np.random.default_rng([seed, 1]).permutation(units)[:size]
    return np.isin(index, drawn)


def _same_for_all(cost_usd: Floats | None) -> Floats | None:
    if cost_usd is not None and cost_usd.ndim != 1:
        raise PolicyError(
            "`reference` values have no costs of their own; give `cost_usd` as one predicted cost per model."
        )
    return cost_usd


def _some(p: Floats, cost_usd: Floats | None, *, models: tuple[str, ...]) -> tuple[Floats, Floats]:
    value, cost = arrays(p, cost_usd, models=models)
    if len(value) == 0:
        raise PolicyError("there are no calibration queries; bring some that the router was not fitted on.")
    return value, cost
