"""The simulation of one scenario: worlds drawn, policies run in all of them, figures kept. `figures` makes JSON of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.simulate.draws import Draws, central, sample
from eval.simulate.engine import Outcome, World, run_policy, world
from eval.simulate.month import Month, arrivals, month_of
from eval.simulate.policies import Fixed, Policy, Routed
from eval.simulate.rates import Rates, later, month_rates
from eval.simulate.scenario import Scenario
from eval.simulate.use import Use, expected_use, sampled_use
from router.prices import PriceTable

Floats = npt.NDArray[np.float64]
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """draws: worlds.   sampled: answers that are drawn once.   played: messages whose latency is played; 0 for none."""

    draws: int = 1_000
    sampled: int = 200_000
    played: int = 20_000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """One scenario, simulated. policies: routed first, then the baselines, in the order of every list here.

    worlds, outcomes, months: of the drawn worlds.   middle, central_outcomes: of the one in which all is at its median.
    """

    scenario: Scenario
    prices: PriceTable
    options: Options
    rates: Rates
    use: Use
    policies: tuple[Policy, ...]
    worlds: World
    outcomes: tuple[Outcome, ...]
    months: tuple[Month, ...]
    middle: World
    central_outcomes: tuple[Outcome, ...]


def simulate(
    scenario: Scenario, prices: PriceTable, options: Options, *, notify: Notify = lambda _: None
) -> Simulation:
    """Draw answers once, draw worlds, and run every policy in every world. Same arguments, same figures.

    Raises PriceError for a model without a price in the month.
    """
    rates = month_rates(scenario, prices)
    notify(f"drawing {options.sampled:,} answers")
    use = sampled_use(scenario, rates, n=options.sampled, rng=np.random.default_rng([options.seed, 0]))
    notify(f"weighing them in {options.draws:,} worlds")
    draws = sample(scenario, options.draws, seed=options.seed)
    policies = policies_of(scenario)
    worlds, middle = world(scenario, draws, use, rates), world(scenario, central(scenario), use, rates)
    outcomes = tuple(run_policy(worlds, policy) for policy in policies)
    return Simulation(
        scenario=scenario,
        prices=prices,
        options=options,
        rates=rates,
        use=use,
        policies=policies,
        worlds=worlds,
        outcomes=outcomes,
        months=months_of(scenario, draws, policies, outcomes),
        middle=middle,
        central_outcomes=tuple(run_policy(middle, policy) for policy in policies),
    )


def policies_of(scenario: Scenario) -> tuple[Policy, ...]:
    """The router, then the baselines in their order."""
    return (Routed(), *(Fixed(baseline=baseline) for baseline in scenario.baselines))


def months_of(
    scenario: Scenario, draws: Draws, policies: tuple[Policy, ...], outcomes: tuple[Outcome, ...]
) -> tuple[Month, ...]:
    """The month's bill under every policy: the same messages come to each of them."""
    came = arrivals(draws)
    return tuple(
        month_of(draws, outcome, came, fixed_usd=scenario.router.usd_per_month if isinstance(policy, Routed) else 0.0)
        for policy, outcome in zip(policies, outcomes, strict=True)
    )


def following_months(made: Simulation) -> list[tuple[str, Month, Month]]:
    """(month, routed, first baseline) of every month of the scenario, with its growth and its own prices."""
    scenario, rows = made.scenario, []
    for index in range(scenario.months):
        month = later(scenario.month, index)
        rates = month_rates(scenario, made.prices, month=month)
        grown = (1.0 + scenario.growth_per_month) ** index
        draws = made.worlds.draws.with_values(
            {"queries_per_month": made.worlds.draws.values["queries_per_month"] * grown}
        )
        draws = replace(draws, luck=None if draws.luck is None else draws.luck + index)
        worlds = world(scenario, draws, made.use, rates)
        policies = made.policies[:2]
        outcomes = tuple(run_policy(worlds, policy) for policy in policies)
        routed, baseline = months_of(scenario, draws, policies, outcomes)
        rows.append((f"{month:%Y-%m}", routed, baseline))
    return rows


def closed_form_usd_per_query(scenario: Scenario, prices: PriceTable, policy: Policy) -> float:
    """Expected dollars per message with every assumption at its median, without drawing anything.

    It knows no long-context tier: compare it where no call is long.
    """
    rates = month_rates(scenario, prices)
    made = world(scenario, central(scenario), expected_use(scenario), rates)
    return float(run_policy(made, policy).usd.sum())
