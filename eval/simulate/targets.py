"""Which stated targets hold, at which threshold, and what would have to change for those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.simulate.draws import central
from eval.simulate.engine import Outcome, World, run_policy, world
from eval.simulate.lab import Simulation
from eval.simulate.latency import missing_latency, play, times, weakest, weighted_quantiles
from eval.simulate.levers import DOLLARS
from eval.simulate.policies import AtThresholds, Fixed, Routed
from eval.simulate.scenario import Baseline, Scenario

Floats = npt.NDArray[np.float64]
LATENCY = {
    f"{prefix}latency_ms_{name}": (prefix, q)
    for prefix in ("", "weak_", "strong_")
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
}
TARGETS = (*DOLLARS, *LATENCY, "routing_accuracy", "good_answers", "cache_hit_rate")
TIMED_WORLDS = 200  # worlds in which latency is found again
TIMED_MESSAGES = 5_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """The router at each of its p counted thresholds, every assumption at its median.

    usd_per_month, saving, good, accuracy: (p,).   latency: name of a latency target -> (p,), empty where none is simulated.
    """

    thresholds: Floats
    usd_per_month: Floats
    usd_per_query: Floats
    saving: Floats
    good: Floats
    accuracy: Floats
    cached: Floats
    latency: Mapping[str, Floats]
    chosen: int

    def of(self, target: str) -> Floats | None:
        """(p,) the figure that a target is about, None where it is not simulated."""
        named = {
            "usd_per_month": self.usd_per_month, "usd_per_query": self.usd_per_query, "saving": self.saving,
            "usd_per_100k": self.usd_per_query * 100_000, "good_answers": self.good, "routing_accuracy": self.accuracy,
            "cache_hit_rate": self.cached,
        }  # fmt: skip
        return named.get(target, self.latency.get(target))


def curve(made: Simulation) -> Curve | None:
    """Every counted threshold; None where the scenario has no counts."""
    scenario = made.scenario
    if scenario.counts is None:
        return None
    size = len(scenario.counts.thresholds)
    worlds = world(scenario, central(scenario, size), made.use, made.rates)
    policy = AtThresholds()
    outcome = run_policy(worlds, policy)
    volume = scenario.queries_per_month.value
    usd = outcome.usd.sum(axis=1) * volume + scenario.router.usd_per_month
    baseline = made.central_outcomes[1].usd.sum() * volume
    latency: dict[str, Floats] = {}
    if made.options.played and missing_latency(scenario, outcome) is None:
        played = play(worlds, policy, n=made.options.played, seed=made.options.seed)
        ms, weights = times(worlds, policy, outcome, played)
        latency = latency_targets(scenario, made, ms, weights, played.route)
    return Curve(
        thresholds=scenario.counts.thresholds,
        usd_per_month=usd,
        usd_per_query=usd / volume,
        saving=1.0 - usd / baseline if baseline > 0 else np.full(size, np.nan),
        good=outcome.good,
        accuracy=outcome.accuracy,
        cached=outcome.cached,
        latency=latency,
        chosen=scenario.counts.nearest(scenario.router.threshold),
    )


def latency_targets(
    scenario: Scenario, made: Simulation, ms: Floats, weights: Floats, route: npt.NDArray[np.intp]
) -> dict[str, Floats]:
    """Name of each latency target -> (s,) its milliseconds; inf where a queue only grows, NaN where no message is left."""
    weak = np.append(weakest(scenario, made.middle), False)[route]
    answered = route >= 0
    found: dict[str, Floats] = {}
    for prefix, of in (("", np.ones_like(weak)), ("weak_", weak & answered), ("strong_", ~weak & answered)):
        names = [f"{prefix}latency_ms_{name}" for name in ("p50", "p95", "p99")]
        if not of.any():
            values = np.full((len(ms), 3), np.nan)
        else:
            values = weighted_quantiles(ms[:, of], weights[:, of], [0.5, 0.95, 0.99])
        found |= dict(zip(names, values.T, strict=True))
    return found


def timed(made: Simulation) -> dict[str, Floats]:
    """The latency targets in the first worlds, the central one in front: (1 + s,) each; empty where none is simulated."""
    scenario, policy = made.scenario, Routed()
    if not made.options.played or missing_latency(scenario, made.central_outcomes[0]) is not None:
        return {}
    played = play(made.middle, policy, n=made.options.played, seed=made.options.seed)
    ms, weights = times(made.middle, policy, made.central_outcomes[0], played)
    first = latency_targets(scenario, made, ms, weights, played.route)
    few = play(made.middle, policy, n=min(TIMED_MESSAGES, made.options.played), seed=made.options.seed + 1)
    ms, weights = times(made.middle, policy, made.central_outcomes[0], few)
    same = latency_targets(scenario, made, ms, weights, few.route)
    worlds, outcome = _some_worlds(made, min(TIMED_WORLDS, made.options.draws))
    ms, weights = times(worlds, policy, outcome, few)
    drawn = latency_targets(scenario, made, ms, weights, few.route)
    with np.errstate(divide="ignore", invalid="ignore"):
        # fewer messages are played in the drawn worlds: what a world changes is applied to the better figure
        return {name: np.concatenate([first[name], first[name] * (drawn[name] / same[name])]) for name in first}


def _some_worlds(made: Simulation, size: int) -> tuple[World, Outcome]:
    draws = made.worlds.draws
    fewer = replace(
        draws,
        values={name: column[:size] for name, column in draws.values.items()},
        mix=draws.mix[:size],
        sends=draws.sends[:size],
    )
    worlds = world(made.scenario, fewer, made.use, made.rates)
    return worlds, run_policy(worlds, Routed())


def drawn_figures(made: Simulation, latency: Mapping[str, Floats]) -> dict[str, Floats]:
    """Target -> (s,) its figure in the drawn worlds; latency from `timed`, without the central world."""
    routed, baseline, outcome = made.months[0], made.months[1], made.outcomes[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        saving = np.where(baseline.usd > 0, 1.0 - routed.usd / baseline.usd, np.nan)
    return {
        "usd_per_month": routed.usd,
        "usd_per_query": routed.usd_per_query,
        "usd_per_100k": routed.usd_per_query * 100_000,
        "saving": saving,
        "routing_accuracy": outcome.accuracy,
        "good_answers": outcome.good,
        "cache_hit_rate": outcome.cached,
        **{name: values[1:] for name, values in latency.items()},
    }


def perfect(made: Simulation, target: str) -> float | None:
    """The figure of a target under a router that never errs, every assumption at its median; None for latency."""
    if target in LATENCY:
        return None
    outcome = run_policy(made.middle, Fixed(baseline=Baseline(name="perfect"), sticky=True))
    volume = made.scenario.queries_per_month.value
    usd = float(outcome.usd.sum()) * volume + made.scenario.router.usd_per_month
    baseline = float(made.central_outcomes[1].usd.sum()) * volume
    figure = {
        "usd_per_month": usd, "usd_per_query": usd / volume, "usd_per_100k": usd / volume * 1e5,
        "saving": 1.0 - usd / baseline if baseline > 0 else float("nan"), "routing_accuracy": float(outcome.accuracy[0]),
        "good_answers": float(outcome.good[0]), "cache_hit_rate": float(outcome.cached[0]),
    }[target]  # fmt: skip
    return figure if np.isfinite(figure) else None
