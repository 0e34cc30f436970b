"""Cost simulation from a recorded outcome table: what calls cost and scored, in place of what a scenario assumes of them.

The scenario gives volume, growth, what a bad answer leads to, baselines and targets; the table gives every query's dollars
and score under every model; a bundle's own policy says which model answers. The JSON has the keys of `figures`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eval.simulate.draws import sample
from eval.simulate.figures import stated
from eval.simulate.lab import Options
from eval.simulate.parts import WHAT_IS_DRAWN, break_even_of, by_name, driver_row, pair
from eval.simulate.recorded_figures import (
    baseline_rows,
    central_usd,
    check_rows,
    in_all,
    latency_figures,
    month_rows,
    quality_figures,
    route_rows,
)
from eval.simulate.recorded_levers import REASK, VOLUME, curve, drivers, less, saving
from eval.simulate.recorded_table import recorded
from eval.simulate.recorded_targets import target_rows, threshold_figures
from eval.simulate.recorded_worlds import Played, draw_worlds, months_of
from eval.simulate.scenario import Scenario
from eval.simulate.scenario_file import PERFECT
from router.outcome_router import ModelRouter
from router.outcomes import Outcomes

Figures = dict[str, Any]  # Any: whatever JSON can hold
Notify = Callable[[str], None]


def simulate_recorded(
    scenario: Scenario,
    outcomes: Outcomes,
    *,
    router: ModelRouter | None,
    options: Options,
    notify: Notify = lambda _: None,
) -> Figures:
    """Everything that `simulate --json` writes, from recorded calls; `recorded` is true there.

    Worlds: groups of equal texts drawn with replacement, the same for all policies; volume and `reask` as the scenario
    believes them; the month's own luck where it counts. Same arguments, same figures, in any order of the table's rows.
    Raises DataError without a router, and for a table that cannot play the scenario (see `recorded_table.recorded`).
    """
    notify(f"asking the router about {outcomes.name}")
    made = recorded(scenario, outcomes, router)
    notify(f"drawing {len(made):,} recorded queries in {options.draws:,} worlds")
    draws = sample(scenario, options.draws, seed=options.seed)
    worlds = draw_worlds(made, draws.values[REASK], seed=options.seed)
    played = Played(made=made, draws=draws, worlds=worlds, months=months_of(made, draws, worlds))
    return {**_head(played, options), **_traffic(played), **_asked(played), **_foot(played)}


def _head(played: Played, options: Options) -> Figures:
    scenario, (routed, baseline, *_) = played.made.scenario, played.months
    return {
        "scenario": scenario.name,
        "title": scenario.title or scenario.name,
        "month": f"{scenario.month:%Y-%m}",
        "simulated": True,
        "recorded": True,
        "interval": WHAT_IS_DRAWN,
        "seed": options.seed,
        "draws": options.draws,
        "sampled_answers": len(played.made),
        **pair("queries_per_month", routed.queries),
        "baseline": scenario.baselines[0].name,
        **pair("baseline_usd_per_month", baseline.usd),
        **pair("routed_usd_per_month", routed.usd),
        **pair("saved_usd_per_month", less(baseline.usd, routed.usd)),
        **pair("saving", saving(routed.usd, baseline.usd)),
        **pair("usd_per_query", routed.usd_per_query),
        **in_all("routed_with_bad_answers_usd_per_month", played, 0),
        "fixed_usd_per_month": scenario.router.usd_per_month,
        "central_usd_per_month": central_usd(played),
    }


def _traffic(played: Played) -> Figures:
    """Where queries go, and what becomes of them. What caches held was not recorded."""
    worlds, models = played.worlds, played.made.outcomes.models
    return {
        "baselines": baseline_rows(played),
        "share": by_name(worlds.roads, models),
        "spend_usd_per_month": by_name(worlds.spend * played.months[0].queries[:, None], models),
        "routes": route_rows(played),
        "quality": quality_figures(worlds),
        "cache_hit_rate": None,
        "cache_hit_rate_ci": None,
        "latency_ms": latency_figures(played),
    }


def _asked(played: Played) -> Figures:
    """What moves the bill, what a bad answer may cost, and which targets hold."""
    made, (routed, baseline, *_), good = played.made, played.months, played.worlds.good
    swept = curve(made)
    return {
        "drivers": [driver_row(row) for row in drivers(made, played.worlds)],
        "break_even": break_even_of(
            less(baseline.usd, routed.usd) / routed.queries.clip(min=1.0),
            less(good[:, 1], good[:, 0]),
            stated_usd=made.scenario.bad_answer.usd,
        ),
        "threshold": threshold_figures(made, swept),
        "targets": target_rows(played, swept),
    }


def _foot(played: Played) -> Figures:
    """What frames the figures. A scenario without an accuracy is not one of a perfect router here: the bundle decides."""
    scenario = played.made.scenario
    return {
        "months": month_rows(played),
        "checks": check_rows(played),
        "printed": dict(scenario.printed),
        "left_out": [*played.made.left_out, *(note for note in scenario.left_out if not note.startswith(PERFECT))],
        "settings": [],
        "assumptions": [row for row in stated(scenario) if row["name"] in (VOLUME, REASK)],
        "prices": [],
    }
