"""How long people wait: messages played one by one, then weighed and delayed anew in every world.

A message's time is the router's, its failed attempts, its wait for a free place, its calls and its rounds of tools; desks
that help work at the same time, one that hands over comes before. Each is drawn here; nothing of it is a mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.engine import Outcome, World, strength, weights_of
from eval.simulate.policies import Policy
from eval.simulate.queueing import erlang_c, mean_wait
from eval.simulate.scenario import HOURS, RouteUse, Scenario

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
SECONDS_PER_HOUR = 3600
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
NOBODY = -1  # no road answered: a fixed message, at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leg:
    """One answer to each of n messages: its road (NOBODY for none), and milliseconds of its calls and of its tools."""

    route: Ints
    calls: Floats
    tools: Floats

    def ms(self, call_level: Floats, tool_level: Floats) -> Floats:
        """(s, n) with the levels (s, r + 1) of the roads' calls and tools, the last column for NOBODY."""
        return call_level[:, self.route] * self.calls + tool_level[:, self.route] * self.tools


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """n messages, played with every assumption at its median.

    cell: (n,) position in the flattened (class, route, state) weights.   fixed_ms: (n,) router and failed attempts.
    handed: the answer of a desk that handed over, of no length where none did.   own: the answer that counts.   helpers:
    those that work beside it.   route: (n,) that answered first, or NOBODY.   hour, luck, patience: (n,) hour of the day,
    a uniform and an exponential number for the wait.   base: the flattened weights that cells were drawn by.
    """

    cell: Ints
    route: Ints
    fixed_ms: Floats
    handed: Leg
    own: Leg
    helpers: tuple[Leg, ...]
    hour: Ints
    luck: Floats
    patience: Floats
    base: Floats

    @property
    def legs(self) -> tuple[Leg, ...]:
        """All answers."""
        return (self.handed, self.own, *self.helpers)


def missing_latency(scenario: Scenario, outcome: Outcome) -> str | None:
    """Why latency is not simulated: a road that takes part states no `call_ms`. None where all do."""
    used = outcome.answers.max(axis=0) > 0
    silent = [route.name for route, takes in zip(scenario.routes, used, strict=True) if takes and route.call_ms is None]
    return f"no `call_ms` of {', '.join(silent)}" if silent else None


def play(made: World, policy: Policy, *, n: int, seed: int) -> Played:
    """Play n messages of central worlds, which may differ in where the router sends them. Same arguments, same times."""
    scenario, values = made.scenario, made.draws.values
    rng = np.random.default_rng([seed, 3])
    base = weights_of(made, policy).mean(axis=0).ravel()
    cell = rng.choice(len(base), size=n, p=base / base.sum())
    shape = (len(scenario.queries), len(scenario.routes), 3)
    klass, decided, _ = np.unravel_index(cell, shape)
    route, failed_ms = _answered(scenario, values, decided, rng, hours=made.rates.days * HOURS)
    needs = scenario.needs[klass]
    handing = (route == decided) & (route != needs) & (rng.random(n) < made.handoff[0, np.maximum(route, 0)])
    own = np.where(handing, needs, route)
    at_work = (own == needs) & (handing | (decided == needs))
    hours = np.array(scenario.traffic_by_hour) / sum(scenario.traffic_by_hour)
    return Played(
        cell=cell,
        route=route,
        fixed_ms=failed_ms + (scenario.router.decision_ms if policy.sticky else 0.0),
        handed=_answer(scenario, values, np.where(handing, route, NOBODY), rng),
        own=_answer(scenario, values, own, rng),
        helpers=tuple(
            _answer(
                scenario,
                values,
                np.where(at_work & (klass == k) & (rng.random(n) < share), scenario.route_names.index(name), NOBODY),
                rng,
            )
            for k, entry in enumerate(scenario.queries)
            for name, share in entry.also.items()
        ),
        hour=rng.choice(HOURS, size=n, p=hours),
        luck=rng.random(n),
        patience=rng.standard_exponential(n),
        base=base,
    )


def times(made: World, policy: Policy, outcome: Outcome, played: Played) -> tuple[Floats, Floats]:
    """((s, n) milliseconds, (s, n) weights) of the played messages in every world; inf where more comes than is served."""
    weights = weights_of(made, policy).reshape(len(made.draws), -1)
    ratio = np.divide(weights, played.base, out=np.zeros_like(weights), where=played.base > 0)
    calls, tools = (_levels(made, name) for name in ("call_ms", "tool_ms"))
    longest = played.own.ms(calls, tools)
    for helper in played.helpers:
        longest = np.maximum(longest, helper.ms(calls, tools))
    ms = played.fixed_ms + played.handed.ms(calls, tools) + longest + _waits(made, outcome, played)
    return ms, ratio[:, played.cell]


def _levels(made: World, name: str) -> Floats:
    """(s, r + 1) the levels of the roads' milliseconds, and 1 for NOBODY."""
    columns = [made.draws.values[f"routes.{route.name}.{name}"] for route in made.scenario.routes]
    return np.stack([*columns, np.ones(len(made.draws))], axis=1)


def weighted_quantiles(ms: Floats, weights: Floats, at: list[float]) -> Floats:
    """(s, q) the values below which the shares `at` of each row's weight lie; NaN for a row without any.   ms, weights: (s, n)."""
    out = np.empty((len(ms), len(at)))
    for i in range(len(ms)):
        order = np.argsort(ms[i], kind="stable")
        share = np.cumsum(weights[i, order])
        if not share[-1] > 0:
            out[i] = np.nan
            continue
        out[i] = ms[i, order][np.minimum(np.searchsorted(share, np.array(at) * share[-1]), len(order) - 1)]
    return out


def weakest(scenario: Scenario, made: World) -> npt.NDArray[np.bool_]:
    """(r,) the roads whose model is the least able of those that some class needs."""
    able = strength(scenario, made.rates)
    return np.asarray(able <= able[scenario.needs].min())


def overloaded(made: World, outcome: Outcome, played: Played) -> dict[str, list[int]]:
    """Route -> hours of the day in which more comes than it can serve, in the first world."""
    found: dict[str, list[int]] = {}
    for r, (route, offered, _, _) in _loads(made, outcome, played).items():
        hours = np.flatnonzero(offered[0] >= (route.concurrency or np.inf)).tolist()
        if hours:
            found[made.scenario.route_names[r]] = hours
    return found


def _answered(
    scenario: Scenario, values: Mapping[str, Floats], decided: Ints, rng: np.random.Generator, *, hours: int
) -> tuple[Ints, Floats]:
    """(n,) the road that answered, and (n,) the milliseconds that failed attempts took before."""
    n, names = len(decided), scenario.route_names
    down = {name: rng.random(n) < float(values[f"outages.{name}"][0]) / hours for name in sorted(scenario.outage_hours)}
    at, ms, done = decided.copy(), np.zeros(n), np.zeros(n, dtype=bool)
    for _ in scenario.routes:  # a chain of fallbacks is no longer than there are routes
        for r, route in enumerate(scenario.routes):
            here = ~done & (at == r)
            if not here.any():
                continue
            p = float(values[f"routes.{route.name}.failed_attempts"][0])
            tries = rng.geometric(1.0 - p, n) - 1 if p < 1 else np.full(n, route.retries + 1)
            dark = down.get(route.provider, np.zeros(n, dtype=bool))
            failures = np.where(dark, 1, np.minimum(tries, route.retries + 1))  # one that is down is tried once
            works = here & ~dark & (tries <= route.retries)
            ms += np.where(here, failures * route.failed_ms, 0.0)
            done |= works
            following = NOBODY if route.fallback is None else names.index(route.fallback)
            at = np.where(here & ~works, following, at)
        if (done | (at == NOBODY)).all():
            break
    return at, ms


def _answer(scenario: Scenario, values: Mapping[str, Floats], route: Ints, rng: np.random.Generator) -> Leg:
    """Calls and tools of one answer on each message's road."""
    in_calls, in_tools = np.zeros((2, len(route)))
    for r, use in enumerate(scenario.routes):
        here = np.flatnonzero(route == r)
        if not len(here) or use.call_ms is None:
            continue
        pmf = use.turns.pmf(values[f"routes.{use.name}.turns"][:1])[0]
        calls = rng.choice(len(pmf), size=len(here), p=pmf / pmf.sum()) + 1
        for call in range(len(pmf)):
            in_calls[here] += np.where(calls > call, use.call_ms.amount.draw(len(here), rng), 0.0)
            in_tools[here] += np.where(calls > call + 1, use.tool_ms.amount.draw(len(here), rng), 0.0)
    return Leg(route=route, calls=in_calls, tools=in_tools)


def _loads(made: World, outcome: Outcome, played: Played) -> dict[int, tuple[RouteUse, Floats, Floats, float]]:
    """Route index -> (route, (s, 24) erlangs, (s, 24) mean milliseconds of an answer, its squared variation)."""
    scenario, values = made.scenario, made.draws.values
    hours = np.array(scenario.traffic_by_hour) / sum(scenario.traffic_by_hour)
    call_level, tool_level = (_levels(made, name) for name in ("call_ms", "tool_ms"))
    found = {}
    for r, route in enumerate(scenario.routes):
        calls, tools = (
            np.concatenate([getattr(leg, part)[leg.route == r] for leg in played.legs]) for part in ("calls", "tools")
        )
        held = calls + tools
        if route.concurrency is None or not held.sum() > 0:
            continue
        mean = (call_level[:, r] * calls.mean() + tool_level[:, r] * tools.mean())[:, None] * np.ones((1, HOURS))
        per_second = values["queries_per_month"][:, None] * outcome.answers[:, r, None] * hours
        per_second = per_second / made.rates.days / SECONDS_PER_HOUR
        found[r] = (route, per_second * mean / 1000.0, mean, float(held.var() / held.mean() ** 2))
    return found


def _waits(made: World, outcome: Outcome, played: Played) -> Floats:
    """(s, n) milliseconds until a place is free."""
    out = np.zeros((len(made.draws), len(played.cell)))
    for r, (route, offered, mean, scv) in _loads(made, outcome, played).items():
        here = np.flatnonzero(played.route == r)
        assert route.concurrency is not None
        must, long = erlang_c(offered, route.concurrency), mean_wait(offered, route.concurrency, service=mean, scv=scv)
        hour = played.hour[here]
        waits = played.luck[here] < must[:, hour]
        # a queue that only grows has no distribution of waits: inf, so that no quantile hides it
        out[:, here] = np.where(
            waits, np.where(np.isinf(long[:, hour]), np.inf, long[:, hour] * played.patience[here]), 0.0
        )
    return out


def latency_figures(ms: Floats, weights: Floats) -> dict[str, Any]:
    """p50, p95, p99 of the first world, unrounded; None where one is infinite."""
    found = weighted_quantiles(ms[:1], weights[:1], list(QUANTILES.values()))[0]
    return {name: float(value) if np.isfinite(value) else None for name, value in zip(QUANTILES, found, strict=True)}
