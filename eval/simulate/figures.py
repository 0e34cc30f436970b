"""The JSON of a simulation: every figure with its interval, its causes, and the assumptions behind it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from eval.simulate.drivers import drivers, share_beliefs
from eval.simulate.lab import Simulation, closed_form_usd_per_query, following_months
from eval.simulate.latency import missing_latency, overloaded, play, times, weighted_quantiles
from eval.simulate.levers import changes
from eval.simulate.month import Month
from eval.simulate.parts import (
    WHAT_IS_DRAWN,
    Figures,
    break_even_of,
    by_name,
    curve_figures,
    driver_row,
    meeting,
    pair,
    rounded,
    target_row,
    with_bad_answers,
)
from eval.simulate.policies import Routed
from eval.simulate.scenario import BadAnswer, Scenario, assumptions
from eval.simulate.settings import settings_of
from eval.simulate.targets import LATENCY, Curve, curve, drawn_figures, perfect, timed

Floats = npt.NDArray[np.float64]
HALF = 0.5  # of the worlds: a target that holds in so many needs no change
NOT_COUNTED = "the scenario counts no router: give --run, --bundle or `counts` in [router]"
NOTHING_OF_QUALITY = "the scenario says nothing of bad answers: state [bad_answer]"


def figures(made: Simulation) -> Figures:
    """Everything that `simulate --json` writes."""
    scenario = made.scenario
    routed, baseline = made.months[0], made.months[1]
    swept, latency = curve(made), timed(made)
    return {
        "scenario": scenario.name,
        "title": scenario.title or scenario.name,
        "month": f"{scenario.month:%Y-%m}",
        "simulated": True,
        "recorded": False,
        "interval": WHAT_IS_DRAWN,
        "seed": made.options.seed,
        "draws": made.options.draws,
        "sampled_answers": made.use.n,
        **pair("queries_per_month", routed.queries),
        "baseline": scenario.baselines[0].name,
        **pair("baseline_usd_per_month", baseline.usd),
        **pair("routed_usd_per_month", routed.usd),
        **pair("saved_usd_per_month", baseline.usd - routed.usd),
        **pair("saving", _saving(routed, baseline)),
        **pair("usd_per_query", routed.usd_per_query),
        **_in_all("routed_with_bad_answers_usd_per_month", made, 0),
        "fixed_usd_per_month": scenario.router.usd_per_month,
        "central_usd_per_month": _central_usd(made),
        "baselines": [_baseline(made, position) for position in range(1, len(made.policies))],
        "share": by_name(_decided(made), scenario.route_names),
        "spend_usd_per_month": by_name(_spent(made), scenario.route_names),
        "routes": _routes(made),
        "quality": _quality(made),
        **pair("cache_hit_rate", made.outcomes[0].cached),
        "latency_ms": _latency(made, latency),
        "drivers": [driver_row(row) for row in drivers(made)],
        "break_even": break_even(made),
        "threshold": _threshold(scenario, swept),
        "targets": targets(made, swept, latency),
        "months": _months(made),
        "checks": _checks(made),
        "printed": dict(scenario.printed),
        "left_out": list(scenario.left_out),
        "assumptions": stated(scenario),
        "settings": settings_of(scenario),
        "prices": _prices(made),
    }


def break_even(made: Simulation) -> Figures:
    """The cost of a bad answer at which routing saves nothing against the first baseline; see `break_even_of`."""
    routed, baseline = made.outcomes[0], made.outcomes[1]
    more_bad = (baseline.good - routed.good) * (1.0 - made.worlds.draws.values["answer_cache"])
    saved = (made.months[1].usd - made.months[0].usd) / np.maximum(made.months[0].queries, 1.0)
    found = break_even_of(saved, more_bad, stated_usd=made.scenario.bad_answer.usd)
    if judged(made.scenario):
        return found
    return {**dict.fromkeys(found), "stated_usd": made.scenario.bad_answer.usd, "reason": NOTHING_OF_QUALITY}


def targets(made: Simulation, swept: Curve | None, latency: Mapping[str, Floats]) -> list[Figures]:
    """One row for each of the scenario's targets: what was found, at which thresholds it holds, and what else would do."""
    drawn, rows = drawn_figures(made, latency), []
    for name, wanted in made.scenario.targets.items():
        values, why = drawn.get(name), "nothing to compare with"
        if name in LATENCY:
            why = "latency is not simulated here"
        elif name == "good_answers" and not judged(made.scenario):
            values, why = None, NOTHING_OF_QUALITY
        row = target_row(
            name, wanted, values, middle=float(latency[name][0]) if name in latency else None, reason=why
        )  # fmt: skip
        if row["verdict"] is not None:
            row |= {
                "thresholds": meeting(name, wanted, swept),
                "would_hold_if": [] if row["share_of_worlds"] >= HALF else changes(made, name, wanted),
                "with_a_perfect_router": rounded(perfect(made, name)),
            }
        rows.append(row)
    return rows


def judged(scenario: Scenario) -> bool:
    """Whether the scenario says how good answers are."""
    return scenario.bad_answer != BadAnswer() or any(route.good for route in scenario.routes)


def stated(scenario: Scenario) -> list[Figures]:
    """Every assumption that is not at its neutral value or is uncertain: name, median, low, high."""
    found = assumptions(scenario) | share_beliefs(scenario)
    if scenario.counts is not None or all(entry.sends is not None for entry in scenario.queries):
        del found["router.accuracy"]  # nothing reads it
    return [
        {"name": name, "value": rounded(entry.value), "low": rounded(entry.low), "high": rounded(entry.high)}
        for name, entry in found.items()
        if entry.uncertain or not (name.startswith("routes.") and entry.value in (0.0, 1.0))
    ]


def _central_usd(made: Simulation) -> float | None:
    """Routed dollars a month with every assumption at its median."""
    scenario = made.scenario
    usd = float(made.central_outcomes[0].usd.sum()) * scenario.queries_per_month.value + scenario.router.usd_per_month
    value: float | None = rounded(usd)
    return value


def _decided(made: Simulation) -> Floats:
    """(s, r) the share of the messages that the router sends to each route."""
    return _parts(made.outcomes[0].roads)


def _spent(made: Simulation) -> Floats:
    """(s, r) dollars a month of the router's routes: they and what is fixed add up to the bill."""
    bill = made.months[0].usd - made.scenario.router.usd_per_month
    return _parts(made.outcomes[0].spend) * bill[:, None]


def _parts(amounts: Floats) -> Floats:
    """(s, r) each as a part of its row's sum; 0 where that is nothing."""
    total = amounts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(amounts, total, out=np.zeros_like(amounts), where=total > 0))


def _saving(routed: Month, baseline: Month) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(baseline.usd > 0, 1.0 - routed.usd / baseline.usd, np.nan)


def _baseline(made: Simulation, position: int) -> Figures:
    month, outcome, routed = made.months[position], made.outcomes[position], made.months[0]
    return {
        "name": made.policies[position].name,
        **pair("usd_per_month", month.usd),
        **_in_all("with_bad_answers_usd_per_month", made, position),
        **pair("saving", _saving(routed, month)),
        **pair("good_answers", outcome.good if judged(made.scenario) else np.array([np.nan])),
    }


def _in_all(name: str, made: Simulation, position: int) -> Figures:
    """The bill of a policy and its bad answers, at the price that the scenario puts on one."""
    month, outcome = made.months[position], made.outcomes[position]
    bad = (1.0 - outcome.good) * (1.0 - made.worlds.draws.values["answer_cache"]) * month.queries
    known = made.scenario.bad_answer.usd if judged(made.scenario) else 0.0
    return with_bad_answers(name, month.usd, bad, stated_usd=known)


def _routes(made: Simulation) -> list[Figures]:
    """Per route that takes part: model, share and spend with intervals, answers paid per message, one answer's dollars."""
    scenario, outcome = made.scenario, made.outcomes[0]
    decided, spent = _decided(made), _spent(made)
    rows = []
    for r, route in enumerate(scenario.routes):
        if outcome.answers[:, r].max() <= 0:
            continue
        each = np.divide(
            outcome.spend[:, r], outcome.answers[:, r], out=np.zeros(len(spent)), where=outcome.answers[:, r] > 0
        )
        rows.append(
            {
                "route": route.name,
                "model": route.model,
                "provider": route.provider,
                **pair("share", decided[:, r]),
                **pair("usd_per_month", spent[:, r]),
                **pair("usd_per_answer", each),
                **pair("answers_per_query", outcome.answers[:, r]),
            }
        )
    return rows


def _quality(made: Simulation) -> Figures:
    routed, baseline = made.outcomes[0], made.outcomes[1]
    known, unknown = judged(made.scenario), np.array([np.nan])
    return {
        **pair("routing_accuracy", routed.accuracy),
        **pair("good_answers", routed.good if known else unknown),
        **pair("baseline_good_answers", baseline.good if known else unknown),
        **pair("reasks_per_query", routed.reasks),
        **pair("unanswered", np.maximum(routed.unanswered, 0.0)),
    }


def _latency(made: Simulation, latency: Mapping[str, Floats]) -> Figures:
    """Quantiles over all messages, and by the route that answered; null with the reason where they are not simulated."""
    empty: Figures = dict.fromkeys(("p50", "p95", "p99", "p50_ci", "p95_ci", "p99_ci"))
    if not latency:
        reason = missing_latency(made.scenario, made.central_outcomes[0]) or "no message was played"
        return {**empty, "by_route": {}, "overloaded": {}, "reason": reason}
    found: Figures = {"reason": None}
    for name in ("p50", "p95", "p99"):
        values = latency[f"latency_ms_{name}"]
        low, high = (np.quantile(values[1:], q, method="inverted_cdf") for q in (0.05, 0.95))
        found[name] = rounded(values[0])
        found[f"{name}_ci"] = [rounded(low), rounded(high)]
    outcome, policy = made.central_outcomes[0], Routed()
    played = play(made.middle, policy, n=made.options.played, seed=made.options.seed)
    ms, weights = times(made.middle, policy, outcome, played)
    by_route = {}
    for r, name in enumerate(made.scenario.route_names):
        here = played.route == r
        if here.any():
            values = weighted_quantiles(ms[:, here], weights[:, here], [0.5, 0.95, 0.99])[0]
            by_route[name] = {key: rounded(value) for key, value in zip(("p50", "p95", "p99"), values, strict=True)}
    crowded = overloaded(made.middle, outcome, played)
    if crowded:
        found["reason"] = "; ".join(
            f"more comes to {name} than it can serve at {', '.join(f'{h}:00' for h in hours)}"
            for name, hours in crowded.items()
        )
    return {**found, "by_route": by_route, "overloaded": crowded}


def _threshold(scenario: Scenario, swept: Curve | None) -> Figures:
    """The chosen threshold, the curve over all, and the best that meets each dollar and latency target alone and all at once."""
    if swept is None or scenario.counts is None:
        return {"chosen": None, "curve": [], "meets": {}, "meets_all": None, "source": None, "reason": NOT_COUNTED}
    found = curve_figures(swept, dict(scenario.targets), latency=("latency_ms_p50", "latency_ms_p95"))
    chosen = rounded(swept.thresholds[swept.chosen])
    return {"chosen": chosen, "source": scenario.counts.source, **found, "reason": None}


def _months(made: Simulation) -> list[Figures]:
    if made.scenario.months == 1:
        return []
    return [
        {
            "month": name,
            **pair("queries_per_month", routed.queries),
            **pair("routed_usd_per_month", routed.usd),
            **pair("baseline_usd_per_month", baseline.usd),
            **pair("saving", _saving(routed, baseline)),
        }
        for name, routed, baseline in following_months(made)
    ]


def _checks(made: Simulation) -> Figures:
    """The simulation's central dollars per query beside the closed form's; null where a call is long, which that leaves out."""
    simulated = float(made.central_outcomes[0].usd.sum())
    if made.use.tokens[..., 1].any():
        return {
            "simulated_usd_per_query": rounded(simulated), "closed_form_usd_per_query": None, "relative_difference": None,
            "reason": "some calls are priced as long context, which the closed form leaves out",
        }  # fmt: skip
    exact = closed_form_usd_per_query(made.scenario, made.prices, Routed())
    return {
        "simulated_usd_per_query": rounded(simulated),
        "closed_form_usd_per_query": rounded(exact),
        "relative_difference": rounded(simulated / exact - 1.0) if exact > 0 else None,
        "reason": None,
    }


def _prices(made: Simulation) -> list[Figures]:
    """Mean dollars per million tokens over the month, per route."""
    rates = made.rates
    return [
        {
            "route": route.name, "model": route.model, "tier": route.tier,
            "input_usd_per_mtok": rounded(rates.new[r, 0] * 1e6), "cached_usd_per_mtok": rounded(rates.read[r, 0] * 1e6),
            "output_usd_per_mtok": rounded(rates.output[r, 0] * 1e6),
        }
        for r, route in enumerate(made.scenario.routes)
        if route.usd_per_query is None
    ]  # fmt: skip
