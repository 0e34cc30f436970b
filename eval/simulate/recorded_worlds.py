"""Recorded queries drawn anew, world by world: one set of weights for all policies, so that their differences are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.simulate.draws import Draws
from eval.simulate.latency import QUANTILES, weighted_quantiles
from eval.simulate.month import Month, arrivals
from eval.simulate.rates import later
from eval.simulate.recorded_table import Recorded, Sent, by_model

Floats = npt.NDArray[np.float64]
CELLS = 1 << 20  # weights in memory at once: draws times queries, some 8 MB for each of a handful of arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worlds:
    """s worlds of p policies, per query unless it says otherwise; routed is the first column.

    usd, good: (s, p) dollars with what is asked again, and mean score.   settled_usd: (s, p) with `reask` at its median.
    deviation: (s, p) standard deviations of one query's dollars times a normal deviate, the same deviates for all.
    accuracy: (s,) share of the queries that no model answered better than the router's.   reasks: (s,) of the router.
    roads, spend, answers: (s, m) of the router, by model.   latency_ms: (s, 3) QUANTILES of its chosen calls; None where
    none was timed.
    """

    usd: Floats
    settled_usd: Floats
    good: Floats
    deviation: Floats
    accuracy: Floats
    reasks: Floats
    roads: Floats
    spend: Floats
    answers: Floats
    latency_ms: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """A recorded table, its worlds, and the first month under every policy, routed first."""

    made: Recorded
    draws: Draws
    worlds: Worlds
    months: tuple[Month, ...]


def draw_worlds(made: Recorded, reask: Floats, *, seed: int) -> Worlds:
    """Draw groups of equal texts with replacement, as often as `reask` (s,) has values. Memory does not grow with s.

    Same arguments, same worlds, in any order of the table's rows.
    """
    size = max(1, CELLS // len(made))
    rng, luck = np.random.default_rng([seed, 6]), np.random.default_rng([seed, 7])
    parts = []
    for at in range(0, len(reask), size):
        chances = reask[at : at + size]
        weight = _weights(made, len(chances), rng)
        parts.append(_weighed(made, weight, chances, np.sqrt(weight) * luck.standard_normal(weight.shape)))
    return _joined(parts)


def months_of(made: Recorded, draws: Draws, worlds: Worlds) -> tuple[Month, ...]:
    """The month's bill under every policy: the same number of the same queries comes to each.

    Where luck counts, which queries come adds the deviation of their sum.
    """
    came = arrivals(draws).sum(axis=1)
    usd = came[:, None] * worlds.usd
    if draws.luck is not None:
        usd = np.maximum(usd + np.sqrt(came)[:, None] * worlds.deviation, 0.0)
    fixed = [made.scenario.router.usd_per_month, *[0.0] * (len(made.policies) - 1)]
    return tuple(Month(usd=usd[:, position] + extra, queries=came) for position, extra in enumerate(fixed))


def following_months(made: Recorded, draws: Draws, worlds: Worlds) -> list[tuple[str, Month, Month]]:
    """(month, routed, first baseline) of every month of the scenario, with its growth; what a query costs stays."""
    scenario, rows = made.scenario, []
    for index in range(scenario.months):
        volume = draws.values["queries_per_month"] * (1.0 + scenario.growth_per_month) ** index
        grown = draws.with_values({"queries_per_month": volume})
        grown = replace(grown, luck=None if draws.luck is None else draws.luck + index)
        routed, baseline = months_of(made, grown, worlds)[:2]
        rows.append((f"{later(scenario.month, index):%Y-%m}", routed, baseline))
    return rows


def _weights(made: Recorded, draws: int, rng: np.random.Generator) -> Floats:
    """(draws, n) shares that add up to 1: how often each query stands in a draw of as many groups as there are."""
    unit = made.outcomes.unit
    groups = int(unit.max()) + 1
    counts = np.stack([np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(draws)])
    weight = counts[:, unit].astype(np.float64)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _weighed(made: Recorded, weight: Floats, reask: Floats, root: Floats) -> Worlds:
    """The worlds of one piece.   weight: (s, n).   root: (s, n) normal deviates times the roots of the weights."""
    score, cost = made.outcomes.score, made.outcomes.cost_usd
    routed, middle = made.policies[0], made.scenario.bad_answer.reask.value
    usd, settled, good, deviation = (np.empty((len(weight), len(made.policies))) for _ in range(4))
    for position, sent in enumerate(made.policies):
        first, second = made.cells(cost, sent.choice), made.cells(cost, sent.again)
        each = first + made.tries(sent, middle) * second
        settled[:, position] = weight @ each
        deviation[:, position] = root @ each - root.sum(axis=1) * settled[:, position]
        good[:, position] = weight @ made.cells(score, sent.choice)
        usd[:, position] = weight @ first + _asked_again(made, sent, weight, reask) @ second
    models, again = made.outcomes.models, _asked_again(made, routed, weight, reask)
    ones, first, second = np.ones(len(made)), made.cells(cost, routed.choice), made.cells(cost, routed.again)
    roads = weight @ by_model(ones, routed.choice, models)
    return Worlds(
        usd=usd,
        settled_usd=settled,
        good=good,
        deviation=deviation,
        accuracy=weight @ made.right(routed.choice).astype(np.float64),
        reasks=again.sum(axis=1),
        roads=roads,
        spend=weight @ by_model(first, routed.choice, models) + again @ by_model(second, routed.again, models),
        answers=roads + again @ by_model(ones, routed.again, models),
        latency_ms=_latency(made, weight),
    )


def _asked_again(made: Recorded, sent: Sent, weight: Floats, reask: Floats) -> Floats:
    """(s, n) further tries of each query, per query of the month."""
    known = not made.scenario.bad_answer.reask.uncertain
    return weight * made.tries(sent, made.scenario.bad_answer.reask.value if known else reask[:, None])


def _latency(made: Recorded, weight: Floats) -> Floats | None:
    """(s, 3) quantiles of the routed milliseconds, over the calls that have them."""
    ms = routed_ms(made)
    order = np.argsort(ms, kind="stable")[: int(np.isfinite(ms).sum())]  # sorted once: a draw then has little to sort
    if not len(order):
        return None
    weight = np.maximum(weight[:, order], np.finfo(np.float64).tiny)  # a draw may hold no call that was timed
    return weighted_quantiles(np.broadcast_to(ms[order], weight.shape), weight, list(QUANTILES.values()))


def routed_ms(made: Recorded) -> Floats:
    """(n,) recorded milliseconds of the chosen calls and the router's own; NaN where a call has none."""
    return made.cells(made.outcomes.latency_ms, made.policies[0].choice) + made.scenario.router.decision_ms


def _joined(parts: Sequence[Worlds]) -> Worlds:
    timed = [part.latency_ms for part in parts if part.latency_ms is not None]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Worlds.__slots__
        if name != "latency_ms"
    }
    return Worlds(latency_ms=np.concatenate(timed) if timed else None, **columns)
