"""Figures of small simulations, for the tests of what is said about them: certain, cheaper, dearer, open, free, counted."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from eval.simulate.amounts import Assumption, Constant, Quantity
from eval.simulate.counts import Counts
from eval.simulate.figures import figures
from eval.simulate.lab import Options, simulate
from eval.simulate.scenario import BadAnswer, Baseline, QueryClass, RouterUse, RouteUse, Scenario, sure
from tests.slow_simulation import MONTH, PRICES, known, spread, tokens

Figures = dict[str, Any]  # Any: whatever JSON can hold
FEW = Options(draws=50, sampled=2_000, played=500)
HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>& [bold]"""

# At a million tokens, small costs $1 and $4, large $10 and $50: $0.0011 and $0.0125 an answer.
SMALL = RouteUse(name="small", model="small", provider="one", message_tokens=tokens(500), output_tokens=tokens(150))
LARGE = RouteUse(name="large", model="large", provider="two", message_tokens=tokens(500), output_tokens=tokens(150))
FREE = RouteUse(name="free", model="free", provider="three", usd_per_query=tokens(0.0))
CERTAIN = Scenario(
    name="certain",
    title="A first design's arithmetic",
    month=MONTH,
    queries_per_month=known(100_000),
    queries=(
        QueryClass(name="easy", share=sure(0.95), needs="small"),
        QueryClass(name="hard", share=sure(0.05), needs="large"),
    ),
    routes=(SMALL, LARGE),
    baselines=(Baseline(name="large for all", route="large"),),
    chance=False,
    printed={"baseline_usd_per_month": 1_300.0, "saving": 0.87, "spend_usd_per_month.small": 104.5},
    left_out=("what a bad answer costs",),
)
CHEAPER = replace(CERTAIN, name="cheaper", queries_per_month=Assumption.between(80_000, 125_000), printed={})
DEARER = replace(CHEAPER, name="dearer", baselines=(Baseline(name="small for all", route="small"),))
MUCH_DEARER = replace(
    DEARER,
    name="much dearer",
    queries=(replace(CERTAIN.queries[0], share=sure(0.1)), replace(CERTAIN.queries[1], share=sure(0.9))),
)
OPEN = replace(
    CHEAPER,
    name="open",
    routes=(
        SMALL,
        replace(LARGE, output_tokens=Quantity.of(Constant(value=150), off_by=2.0)),
        replace(FREE, name="today", usd_per_query=tokens(0.00167)),
    ),
    baselines=(Baseline(name="as today", route="today"),),
)
UNPAID = replace(CERTAIN, name="unpaid", routes=(SMALL, LARGE, FREE), baselines=(Baseline(name="free", route="free"),))
COUNTED = replace(
    CHEAPER,
    name="counted",
    title="A counted router",
    months=3,
    growth_per_month=0.1,
    mix_n=400,
    routes=tuple(
        replace(
            route,
            output_tokens=spread(100, 300, off_by=1.3),
            call_ms=spread(median, 3 * median, off_by=1.2),
            concurrency=40,
        )
        for route, median in ((SMALL, 300), (LARGE, 1_500))
    ),
    baselines=(*CERTAIN.baselines, Baseline(name="small for all", route="small"), Baseline(name="a perfect router")),
    counts=Counts(
        thresholds=np.array([0.0, 0.25, 0.5, 0.75, 1.0]),
        classes=("easy", "hard"),
        routes=("small", "large"),
        n=np.array([[[100.0 - 20 * k, 20.0 * k], [40.0 - 8 * k, 2.0 + 8 * k]] for k in range(5)]),
        own=0.5,
        source="counted by hand",
    ),
    router=RouterUse(decision_ms=8, usd_per_month=60),
    bad_answer=BadAnswer(
        right=Assumption.between(0.92, 0.98, share=True),
        weak=Assumption.between(0.3, 0.6, share=True),
        strong=Assumption.between(0.92, 0.98, share=True),
        sideways=sure(0.5),
        reask=Assumption.between(0.2, 0.5, share=True),
        usd=0.02,
    ),
    targets={
        "saving": 0.55,
        "usd_per_query": 0.003,
        "usd_per_100k": 10_000,
        "latency_ms_p95": 2_000,
        "good_answers": 0.9,
        "routing_accuracy": 0.9,
    },
)


def figures_of(scenario: Scenario) -> Figures:
    """The JSON of one of the scenarios above; a copy, to be changed at will."""
    return copy.deepcopy(_figures(scenario.name))


@cache
def _figures(name: str) -> Figures:
    known_ones = (CERTAIN, CHEAPER, DEARER, MUCH_DEARER, OPEN, UNPAID, COUNTED)
    return figures(simulate(next(entry for entry in known_ones if entry.name == name), PRICES, FEW))


def renamed(value: Any, old: str, new: str) -> Any:  # Any: whatever JSON can hold
    """The same JSON in which one text is another one, as a key too, and within the names of assumptions."""
    if isinstance(value, dict):
        return {(new if key == old else key): renamed(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [renamed(entry, old, new) for entry in value]
    if isinstance(value, str):
        return value.replace(f".{old}.", f".{new}.") if f".{old}." in value else new if value == old else value
    return value
