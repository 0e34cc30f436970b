"""The parts of a recorded simulation's JSON: baselines, models, quality, latency, months, and the check beside plain means."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.latency import QUANTILES
from eval.simulate.month import mean_and_interval
from eval.simulate.parts import pair, rounded, with_bad_answers
from eval.simulate.recorded_levers import quantiles_ms, saving, spend
from eval.simulate.recorded_worlds import Played, Worlds, following_months, routed_ms

Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]  # Any: whatever JSON can hold
ACCURACY = "the share of queries that no model answered better than the one chosen, whatever it cost"
NOT_TIMED = "the table has no `latency_ms` of the calls that the router chooses"


def baseline_rows(played: Played) -> list[Figures]:
    """Each baseline's bill, what routing saves against it, and its mean score."""
    return [
        {
            "name": sent.name,
            **pair("usd_per_month", month.usd),
            **in_all("with_bad_answers_usd_per_month", played, position),
            **pair("saving", saving(played.months[0].usd, month.usd)),
            **pair("good_answers", good),
        }
        for position, (sent, month, good) in enumerate(
            zip(played.made.policies, played.months, played.worlds.good.T, strict=True)
        )
        if position > 0
    ]


def in_all(name: str, played: Played, position: int) -> Figures:
    """The bill of a policy and its bad answers, at the price that the scenario puts on one."""
    month, bad = played.months[position], 1.0 - played.worlds.good[:, position]
    return with_bad_answers(name, month.usd, bad * month.queries, stated_usd=played.made.scenario.bad_answer.usd)


def route_rows(played: Played) -> list[Figures]:
    """Per model that answers anything: its share, spend and answers per query, and what one answer costs."""
    worlds, queries = played.worlds, played.months[0].queries
    uses = {route.name: route for route in played.made.scenario.routes}
    rows = []
    for j, name in enumerate(played.made.outcomes.models):
        answers, dollars = worlds.answers[:, j], worlds.spend[:, j]
        if answers.max() <= 0:
            continue
        rows.append(
            {
                "route": name,
                "model": uses[name].model,
                "provider": uses[name].provider,
                **pair("share", worlds.roads[:, j]),
                **pair("usd_per_month", dollars * queries),
                **pair("usd_per_answer", np.divide(dollars, answers, out=np.zeros_like(dollars), where=answers > 0)),
                **pair("answers_per_query", answers),
            }
        )
    return rows


def quality_figures(worlds: Worlds) -> Figures:
    """Mean scores, and how often the router chose a model that none of the others outdid."""
    return {
        "routing_accuracy_is": ACCURACY,
        **pair("routing_accuracy", worlds.accuracy),
        **pair("good_answers", worlds.good[:, 0]),
        **pair("baseline_good_answers", worlds.good[:, 1]),
        **pair("reasks_per_query", worlds.reasks),
        **pair("unanswered", np.zeros(len(worlds.good))),
    }


def latency_figures(played: Played) -> Figures:
    """Quantiles of the recorded milliseconds of the chosen calls; null with the reason where none was timed."""
    made, drawn = played.made, played.worlds.latency_ms
    ms, choice = routed_ms(made), made.policies[0].choice
    timed = np.isfinite(ms)
    if drawn is None:
        empty = dict.fromkeys((*QUANTILES, *(f"{name}_ci" for name in QUANTILES)))
        return {**empty, "by_route": {}, "overloaded": {}, "reason": NOT_TIMED}
    return {
        **{name: rounded(value) for name, value in quantiles_ms(ms).items()},
        **{f"{name}_ci": rounded(mean_and_interval(own)[1]) for name, own in zip(QUANTILES, drawn.T, strict=True)},
        "by_route": {
            made.outcomes.models[j]: rounded_each(quantiles_ms(ms[choice == j]))
            for j in np.unique(choice[timed]).tolist()
        },
        "overloaded": {},
        "reason": None if timed.all() else f"{int((~timed).sum()):,} of {len(timed):,} chosen calls were not timed",
    }


def rounded_each(values: dict[str, float]) -> Figures:
    """The same names, every value rounded."""
    return {name: rounded(value) for name, value in values.items()}


def month_rows(played: Played) -> list[Figures]:
    """Every month of a scenario of several; [] of one."""
    if played.made.scenario.months == 1:
        return []
    return [
        {
            "month": name,
            **pair("queries_per_month", routed.queries),
            **pair("routed_usd_per_month", routed.usd),
            **pair("baseline_usd_per_month", baseline.usd),
            **pair("saving", saving(routed.usd, baseline.usd)),
        }
        for name, routed, baseline in following_months(played.made, played.draws, played.worlds)
    ]


def central_usd(played: Played) -> float | None:
    """Routed dollars a month in the table's plain means, with volume and `reask` at their medians."""
    made = played.made
    each = float(spend(made, made.policies[0], made.scenario.bad_answer.reask.value).sum())
    usd: float | None = rounded(each * made.scenario.queries_per_month.value + made.scenario.router.usd_per_month)
    return usd


def check_rows(played: Played) -> Figures:
    """The draws' mean dollars per query, `reask` at its median, beside the table's plain means."""
    made = played.made
    simulated = float(played.worlds.settled_usd[:, 0].mean())
    exact = float(spend(made, made.policies[0], made.scenario.bad_answer.reask.value).sum())
    return {
        "simulated_usd_per_query": rounded(simulated),
        "closed_form_usd_per_query": rounded(exact),
        "relative_difference": rounded(simulated / exact - 1.0) if exact > 0 else None,
        "reason": None,
    }
