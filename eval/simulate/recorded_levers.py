"""One thing moved at a time on a recorded table: λ along its curve, a price, the chance to ask again, which queries come.

Everything else stands at its median, and means are plain means over the table's queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.amounts import Z95, Assumption
from eval.simulate.drivers import GUESS, Driver
from eval.simulate.latency import QUANTILES
from eval.simulate.levers import CHEAPEST, Lever, nearest
from eval.simulate.month import LEVEL
from eval.simulate.recorded_table import Recorded, Sent
from eval.simulate.recorded_worlds import Worlds
from eval.simulate.targets import Curve
from router.outcome_policy import Budget, ExpectedUtility
from router.sweeps import choices_on, sweep

Floats = npt.NDArray[np.float64]
VOLUME, REASK, QUERIES = "queries_per_month", "bad_answer.reask", "which queries come"
QUANTILE_OF = tuple(f"latency_ms_{name}" for name in QUANTILES)  # the targets that are quantiles of all calls
MOST_REASK = 0.99  # to which a target may move the chance to ask again
NOWHERE = -1  # of a curve: the router's own policy is not on it
SAME = 1e-12  # of a sum: the same dollars added up in another order differ by less


def less(a: Floats, b: Floats) -> Floats:
    """a − b, and 0 where they differ by rounding alone."""
    return np.asarray(np.where(np.abs(a - b) <= SAME * np.maximum(np.abs(a), np.abs(b)), 0.0, a - b))


def saving(routed: Floats, baseline: Floats) -> Floats:
    """The part of the baseline's dollars that routing spares; NaN where it has none."""
    none = np.full(routed.shape, np.nan)
    return np.asarray(np.divide(less(baseline, routed), baseline, out=none, where=baseline > 0))


def spend(made: Recorded, sent: Sent, reask: float) -> Floats:
    """(m,) mean dollars per query by model, further tries among them."""
    models, cost = len(made.outcomes.models), made.outcomes.cost_usd
    first = np.bincount(sent.choice, weights=made.cells(cost, sent.choice), minlength=models)
    more = made.tries(sent, reask) * made.cells(cost, sent.again)
    return np.asarray((first + np.bincount(sent.again, weights=more, minlength=models)) / len(made))


def bill(made: Recorded, changed: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """(v,) routed dollars a month and (v,) saving against the first baseline, with some assumptions at v values each."""
    scenario, size = made.scenario, len(next(iter(changed.values())))
    volume = changed.get(VOLUME, np.full(size, scenario.queries_per_month.value))
    price = np.ones((size, len(made.outcomes.models)))
    for j, model in enumerate(made.outcomes.models):
        price[:, j] = changed.get(price_of(model), price[:, j])
    middle = scenario.bad_answer.reask.value
    usd = []
    for sent in made.policies[:2]:
        spent = (
            [spend(made, sent, float(r)) for r in changed[REASK]] if REASK in changed else [spend(made, sent, middle)]
        )
        usd.append((np.array(spent) * price).sum(axis=1) * volume)
    routed = usd[0] + scenario.router.usd_per_month
    return routed, saving(routed, usd[1])


def price_of(model: str) -> str:
    """The name of the assumption."""
    return f"routes.{model}.price"


def used_models(made: Recorded, policies: int) -> list[str]:
    """The models that some of the first policies call, in the table's order."""
    columns = np.concatenate([column for sent in made.policies[:policies] for column in _called(made, sent)])
    return [made.outcomes.models[j] for j in np.unique(columns).tolist()]


def _called(made: Recorded, sent: Sent) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return sent.choice, sent.again[made.tries(sent, made.scenario.bad_answer.reask.value) > 0]


def drivers(made: Recorded, worlds: Worlds) -> list[Driver]:
    """Volume and the chance to ask again, where uncertain; each model's price; which queries come. Largest swing first."""
    scenario = made.scenario
    stated = {VOLUME: scenario.queries_per_month, REASK: scenario.bad_answer.reask}
    moved = {name: entry for name, entry in stated.items() if entry.uncertain}
    around = Assumption(value=1.0, low=1.0 - GUESS, high=1.0 / (1.0 - GUESS))
    moved |= {price_of(model): around for model in used_models(made, 2)}
    rows = [_sampling(made, worlds)]
    for name, entry in moved.items():
        ends = entry.at(np.array([-Z95, Z95]))
        usd, spared = bill(made, {name: ends})
        rows.append(_driver(name, ends, usd, spared, stated=name in stated))
    still = SAME * max(abs(row.usd_high) for row in rows)
    return sorted((row for row in rows if row.swing_usd > still), key=lambda row: (-row.swing_usd, row.name))


def _sampling(made: Recorded, worlds: Worlds) -> Driver:
    """5 % and 95 % of the draws, with volume and the chance to ask again at their medians; `low`, `high` say just that."""
    routed, baseline = (worlds.settled_usd[:, position] * made.scenario.queries_per_month.value for position in (0, 1))
    routed = routed + made.scenario.router.usd_per_month
    usd, spared = np.quantile(routed, LEVEL), np.quantile(saving(routed, baseline), LEVEL)
    return _driver(QUERIES, np.array(LEVEL), usd, spared, stated=True)


def _driver(name: str, ends: Floats, usd: Floats, spared: Floats, *, stated: bool) -> Driver:
    return Driver(
        name=name,
        low=float(ends[0]),
        high=float(ends[1]),
        usd_low=float(usd[0]),
        usd_high=float(usd[1]),
        saving_low=float(spared[0]),
        saving_high=float(spared[1]),
        stated=stated,
    )


def changes(made: Recorded, target: str, wanted: float) -> list[dict[str, Any]]:  # Any: names and numbers
    """Each single price or chance that could bring a dollar target about; the least moved first, [] where none can."""
    levers = [
        Lever(name=f"{model}: price", of={price_of(model): 1.0}, now=1.0, low=CHEAPEST, high=1.0)
        for model in used_models(made, 1)
    ]
    reask = made.scenario.bad_answer.reask.value
    if reask > 0:
        levers.append(Lever(name=REASK, of={REASK: 0.0}, now=reask, low=0.0, high=MOST_REASK))
    volume = made.scenario.queries_per_month.value
    return nearest(levers, partial(bill, made), target, wanted, volume=volume)


def with_perfect(made: Recorded, target: str) -> float | None:
    """The figure of a target under a router that takes the cheapest of each query's best models; None for what it lacks."""
    best = Sent(name="perfect", choice=made.outcomes.oracle(), again=made.policies[0].again)
    volume, reask = made.scenario.queries_per_month.value, made.scenario.bad_answer.reask.value
    usd, baseline = (spend(made, sent, reask).sum() * volume for sent in (best, made.policies[1]))
    usd = usd + made.scenario.router.usd_per_month
    found: dict[str, float] = {
        "usd_per_month": usd,
        "usd_per_query": usd / volume,
        "usd_per_100k": usd / volume * 1e5,
        "saving": saving(np.array([usd]), np.array([baseline]))[0],
        "routing_accuracy": made.right(best.choice).mean(),
        "good_answers": made.cells(made.outcomes.score, best.choice).mean(),
    }
    return float(found[target]) if np.isfinite(found.get(target, np.nan)) else None


def curve(made: Recorded) -> Curve | None:
    """What the router makes of every λ; None where it expects no dollars. The grid depends on no recorded score or cost."""
    if made.expected_usd is None:
        return None
    scenario, outcomes, again = made.scenario, made.outcomes, made.policies[0].again
    grid = sweep(made.value, made.expected_usd, outcomes.score, outcomes.cost_usd).grid()
    own = own_lambda(made)
    if own is not None:
        grid = np.union1d(grid, [own])
    choices = choices_on(made.value, made.expected_usd, grid).astype(np.intp)
    reask = scenario.bad_answer.reask.value
    points = [Sent(name="routed", choice=choices[:, i], again=again) for i in range(len(grid))]
    per_query = np.array([spend(made, sent, reask).sum() for sent in points])
    usd = per_query * scenario.queries_per_month.value + scenario.router.usd_per_month
    baseline = spend(made, made.policies[1], reask).sum() * scenario.queries_per_month.value
    return Curve(
        thresholds=grid,
        usd_per_month=usd,
        usd_per_query=usd / scenario.queries_per_month.value,
        saving=saving(usd, np.full(len(grid), baseline)),
        good=np.array([made.cells(outcomes.score, sent.choice).mean() for sent in points]),
        accuracy=np.array([made.right(sent.choice).mean() for sent in points]),
        cached=np.full(len(grid), np.nan),
        latency=_latency_along(made, choices),
        chosen=NOWHERE if own is None else int(np.searchsorted(grid, own)),
    )


def own_lambda(made: Recorded) -> float | None:
    """The λ of the router's own policy; None where it goes by another rule."""
    return made.policy.quality_per_usd if isinstance(made.policy, ExpectedUtility | Budget) else None


def quantiles_ms(ms: Floats) -> dict[str, float]:
    """QUANTILES of the times that are known; {} where none is."""
    known = ms[np.isfinite(ms)]
    return {name: float(np.quantile(known, q, method="inverted_cdf")) for name, q in QUANTILES.items() if len(known)}


def _latency_along(made: Recorded, choices: npt.NDArray[np.intp]) -> dict[str, Floats]:
    """Name of a latency target -> (l,) its milliseconds at each point; {} where a call was not timed."""
    if not np.isfinite(made.outcomes.latency_ms).all():
        return {}
    ms = np.take_along_axis(made.outcomes.latency_ms, choices, axis=1) + made.scenario.router.decision_ms
    return {
        name: np.quantile(ms, q, axis=0, method="inverted_cdf")
        for name, q in zip(QUANTILE_OF, QUANTILES.values(), strict=True)
    }
