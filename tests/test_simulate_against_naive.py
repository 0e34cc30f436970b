"""What the engine computes is what happens: held to a simulator that plays one message and one call after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Amount, Constant, Empirical, Lognormal, Quantity
from eval.simulate.counts import Counts
from eval.simulate.draws import central
from eval.simulate.engine import Outcome, run_policy, world
from eval.simulate.policies import Fixed, Routed
from eval.simulate.rates import LONG, month_rates
from eval.simulate.scenario import (
    BadAnswer,
    Baseline,
    Conversation,
    PromptCache,
    QueryClass,
    RouterUse,
    RouteUse,
    Scenario,
    sure,
)
from eval.simulate.turns import FixedTurns, PoissonTurns, Turns
from eval.simulate.use import Use, expected_use, sampled_use
from router.prices import PriceTable
from tests.slow_simulation import (
    LARGE,
    LARGE_PRICE,
    MONTH,
    OTHER,
    OTHER_PRICE,
    PRICES,
    SMALL,
    SMALL_PRICE,
    TWO,
    Seen,
    SlowOutcome,
    known,
    play_slowly,
    price,
    price_table,
    spread,
    tokens,
)

MESSAGES = 7_000  # about, of each scenario
ERR = replace(TWO, router=RouterUse(accuracy=sure(0.8)))
TALK = Conversation(messages=known(3), same_need=sure(0.6), stickiness=sure(0.5))
JUDGED = BadAnswer(right=sure(0.85), weak=sure(0.35), strong=sure(0.95), sideways=sure(0.6), reask=sure(0.6))
TOOLS = replace(
    SMALL,
    caches_prompts=True,
    tool_schema_tokens=tokens(300),
    tool_result_tokens=spread(200, 500),
    turns=PoissonTurns(mean=known(2.5), most=5),
)
COUNTED = Counts(
    thresholds=np.array([0.2, 0.7]),
    classes=("hard", "easy"),
    routes=("large", "small"),
    n=np.array([[[3.0, 1.0], [0.0, 4.0]], [[9.0, 1.0], [3.0, 7.0]]]),
    own=0.7,
    source="by hand",
)
FALLING = price_table(SMALL_PRICE, LARGE_PRICE, price("large", (2.0, 10.0), read=0.2, since=date(2026, 11, 11)))
FEATURES: dict[str, Scenario] = {
    "a router that errs": ERR,
    "stated shares": replace(
        TWO, queries=(replace(TWO.queries[0], sends={"small": 0.6, "large": 0.4}), replace(TWO.queries[1]))
    ),
    "counts": replace(TWO, counts=COUNTED, router=RouterUse(threshold=0.6)),
    "conversations": replace(ERR, conversation=TALK),
    "conversations that stay on their road": replace(ERR, conversation=replace(TALK, stickiness=sure(0.95))),
    "tokens that differ": replace(
        ERR, routes=(replace(SMALL, message_tokens=spread(60, 300), output_tokens=spread(100, 400)), LARGE)
    ),
    "tools and a cache within the answer": replace(
        ERR, routes=(TOOLS, LARGE), prompt_cache=PromptCache(minutes=1e-6, loop_hit=sure(0.7))
    ),
    "a cache from message to message": replace(
        ERR,
        routes=(replace(SMALL, caches_prompts=True), replace(LARGE, caches_prompts=True)),
        conversation=TALK,
        prompt_cache=PromptCache(minutes=1e-6, in_time=sure(0.6)),
    ),
    "a prompt that traffic keeps warm": replace(
        ERR,
        routes=(replace(SMALL, caches_prompts=True), replace(LARGE, caches_prompts=True)),
        traffic_by_hour=(0.0, 1.0) * 6 + (5.0,) * 12,
        prompt_cache=PromptCache(minutes=2.0),
    ),
    "long contexts": replace(
        ERR,
        routes=(
            SMALL,
            replace(
                LARGE,
                message_tokens=spread(400, 1_500),
                tool_result_tokens=spread(200, 800),
                turns=FixedTurns(weights=(0.3, 0.3, 0.4)),
            ),
        ),
    ),
    "failed attempts": replace(
        ERR,
        routes=(
            replace(SMALL, failed_attempts=sure(0.4), retries=1, billed_when_failed=0.5, fallback="large"),
            replace(LARGE, failed_attempts=sure(0.3)),
        ),
    ),
    "outages": replace(
        ERR,
        routes=(replace(SMALL, fallback="other"), replace(LARGE, provider="one"), replace(OTHER, fallback="large")),
        outage_hours={"one": known(200), "three": known(400)},
    ),
    "hand-offs": replace(
        ERR,
        conversation=TALK,
        bad_answer=replace(JUDGED, reask=sure(0.0)),
        routes=(replace(SMALL, handoff=sure(0.3)), replace(LARGE, handoff=sure(0.8))),
    ),
    "hand-offs between roads of one provider that is often down": replace(
        ERR,
        bad_answer=JUDGED,
        routes=(
            replace(SMALL, handoff=sure(0.8), fallback="other"),
            replace(LARGE, provider="one", handoff=sure(0.6), fallback="other"),
            OTHER,
        ),
        outage_hours={"one": known(300), "three": known(200)},
    ),
    "desks that help": replace(
        ERR, conversation=TALK, queries=(TWO.queries[0], replace(TWO.queries[1], also={"small": 0.7, "large": 0.2}))
    ),
    "people who ask again": replace(ERR, conversation=TALK, bad_answer=JUDGED),
    "an answer cache": replace(ERR, conversation=TALK, answer_cache=sure(0.3), bad_answer=JUDGED),
    "batches and a price per query": replace(
        ERR,
        routes=(
            RouteUse(name="small", model="", provider="one", usd_per_query=spread(0.002, 0.008)),
            replace(LARGE, tier="batch", caches_prompts=True),
        ),
        prompt_cache=PromptCache(minutes=2.0),
    ),
}
EVERYTHING = Scenario(
    name="everything",
    month=MONTH,
    queries_per_month=known(40_000),
    queries=(
        QueryClass(name="easy", share=sure(0.5), needs="small"),
        QueryClass(name="tools", share=sure(0.3), needs="desk", also={"large": 0.3}),
        QueryClass(name="hard", share=sure(0.2), needs="large", sends={"large": 0.6, "desk": 0.3, "small": 0.1}),
    ),
    routes=(
        replace(
            SMALL, caches_prompts=True, failed_attempts=sure(0.2), retries=1, billed_when_failed=0.4, fallback="other"
        ),
        replace(
            TOOLS,
            name="desk",
            provider="two",
            handoff=sure(0.5),
            failed_attempts=sure(0.1),
            fallback="large",
            strength=1.0,
        ),
        replace(
            LARGE,
            caches_prompts=True,
            message_tokens=spread(300, 1_200),
            turns=FixedTurns(weights=(0.6, 0.4)),
            handoff=sure(0.2),
            good={"easy": 0.9},
        ),
        replace(OTHER, failed_attempts=sure(0.1), fallback="large"),
    ),
    baselines=(
        Baseline(name="large for all", route="large"),
        Baseline(name="small but for tools", sends={"easy": {"small": 1.0}, "hard": {"small": 1.0}}),
        Baseline(name="a perfect router"),
    ),
    chance=False,
    router=RouterUse(accuracy=sure(0.75)),
    conversation=Conversation(messages=known(2.5), same_need=sure(0.7), stickiness=sure(0.4)),
    prompt_cache=PromptCache(minutes=3.0, in_time=sure(0.5), loop_hit=sure(0.9)),
    bad_answer=JUDGED,
    answer_cache=sure(0.1),
    outage_hours={"one": known(90), "two": known(60)},
    traffic_by_hour=(1.0,) * 12 + (4.0,) * 12,
)


def computed(scenario: Scenario, prices: PriceTable, *, baseline: Baseline | None = None) -> Outcome:
    """The engine, every assumption at its median: in closed form where no call can be long."""
    rates = month_rates(scenario, prices)
    use, rng = expected_use(scenario), np.random.default_rng(0)
    if sampled_use(scenario, rates, n=1_000, rng=rng).tokens[..., LONG].any():
        use = sampled_use(scenario, rates, n=200_000, rng=rng)
    made = world(scenario, central(scenario), use, rates)
    return run_policy(made, Routed() if baseline is None else Fixed(baseline=baseline))


def disagreements(happened: SlowOutcome, outcome: Outcome, scenario: Scenario) -> list[str]:
    """Every figure of the two that is more than four standard errors apart."""
    pairs: dict[str, tuple[Seen, float]] = {
        "usd": (happened.usd, float(outcome.usd.sum())),
        "good": (happened.good, float(outcome.good[0])),
        "accuracy": (happened.accuracy, float(outcome.accuracy[0])),
        "reasks": (happened.reasks, float(outcome.reasks[0])),
        "unanswered": (happened.unanswered, float(outcome.unanswered[0])),
        "cached": (happened.cached, float(outcome.cached[0])),
    }
    for r, name in enumerate(scenario.route_names):
        pairs[f"road {name}"] = (happened.roads[name], float(outcome.roads[0, r]))
        pairs[f"answers of {name}"] = (happened.answers[name], float(outcome.answers[0, r]))
    return [f"{name}: {seen} against {value}" for name, (seen, value) in pairs.items() if not seen.agrees(value)]


def conversations_of(scenario: Scenario) -> int:
    return round(MESSAGES / scenario.conversation.messages.value)


@pytest.mark.parametrize("feature", FEATURES)
def test_what_the_engine_computes_of_one_feature_is_what_happens(feature: str) -> None:
    scenario = FEATURES[feature]
    happened = play_slowly(scenario, PRICES, conversations=conversations_of(scenario), seed=1)
    assert disagreements(happened, computed(scenario, PRICES), scenario) == []


def test_a_price_that_falls_inside_the_month_costs_what_the_messages_of_its_days_cost() -> None:
    happened = play_slowly(ERR, FALLING, conversations=2 * MESSAGES, seed=2)
    assert disagreements(happened, computed(ERR, FALLING), ERR) == []


def test_what_the_engine_computes_with_everything_switched_on_is_what_happens() -> None:
    happened = play_slowly(EVERYTHING, PRICES, conversations=2 * conversations_of(EVERYTHING), seed=3)
    assert disagreements(happened, computed(EVERYTHING, PRICES), EVERYTHING) == []


@pytest.mark.parametrize("baseline", EVERYTHING.baselines, ids=lambda baseline: baseline.name)
def test_what_the_engine_computes_of_a_baseline_is_what_happens(baseline: Baseline) -> None:
    happened = play_slowly(EVERYTHING, PRICES, conversations=conversations_of(EVERYTHING), seed=4, baseline=baseline)
    assert disagreements(happened, computed(EVERYTHING, PRICES, baseline=baseline), EVERYTHING) == []


def test_long_calls_are_dear_enough_in_their_scenario_to_be_missed_if_they_were_not_priced() -> None:
    scenario = FEATURES["long contexts"]
    cheaper = price_table(SMALL_PRICE, replace(LARGE_PRICE, long_context_above_tokens=None), OTHER_PRICE)
    assert computed(scenario, PRICES).usd.sum() > 1.2 * computed(scenario, cheaper).usd.sum()


# --- sampled answers against the closed form

SHORT = price_table(SMALL_PRICE, replace(LARGE_PRICE, long_context_above_tokens=None), OTHER_PRICE)
NAMES = ("a", "b", "c")


@st.composite
def amounts(draw: st.DrawFn) -> Amount:
    kind = draw(st.sampled_from(("constant", "lognormal", "empirical")))
    if kind == "constant":
        return Constant(value=draw(st.integers(0, 2_000)))
    if kind == "lognormal":
        median = draw(st.floats(1, 1_000))
        return Lognormal(median=median, p95=median * draw(st.floats(1, 4)))
    return Empirical(values=tuple(map(float, draw(st.lists(st.integers(0, 1_500), min_size=1, max_size=4)))))


def quantities() -> st.SearchStrategy[Quantity]:
    return amounts().map(lambda amount: Quantity.of(amount))


@st.composite
def turns(draw: st.DrawFn) -> Turns:
    if draw(st.booleans()):
        weights = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
        return FixedTurns(weights=tuple(weight / sum(weights) for weight in weights))
    return PoissonTurns(mean=known(draw(st.floats(1, 3))), most=3)


@st.composite
def routes(draw: st.DrawFn, *, name: str) -> RouteUse:
    return RouteUse(
        name=name,
        model=draw(st.sampled_from(("small", "large", "other"))),
        provider="one" if name == NAMES[0] else draw(st.sampled_from(("one", "two"))),
        system_tokens=draw(quantities()),
        tool_schema_tokens=draw(quantities()),
        history_tokens=draw(quantities()),
        message_tokens=draw(quantities()),
        output_tokens=draw(quantities()),
        tool_result_tokens=draw(quantities()),
        turns=draw(turns()),
        caches_prompts=draw(st.booleans()),
        failed_attempts=sure(draw(st.floats(0, 0.5))),
        retries=draw(st.integers(0, 2)),
        billed_when_failed=draw(st.floats(0, 1)),
        handoff=sure(draw(st.floats(0, 1))),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Some routes, some classes, everything that the records know of between them."""
    names = NAMES[: draw(st.integers(1, 3))]
    roads = tuple(draw(routes(name=name)) for name in names)
    roads = tuple(replace(road, fallback=names[i + 1] if i + 1 < len(names) else None) for i, road in enumerate(roads))
    weights = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    return Scenario(
        name="drawn",
        month=MONTH,
        queries_per_month=known(draw(st.integers(100, 10**7))),
        queries=tuple(
            QueryClass(
                name=f"class {k}",
                share=sure(weight / sum(weights)),
                needs=draw(st.sampled_from(names)),
                also={names[-1]: draw(st.floats(0, 1))},
            )
            for k, weight in enumerate(weights)
        ),
        routes=roads,
        baselines=(Baseline(name="first for all", route=names[0]),),
        router=RouterUse(accuracy=sure(draw(st.floats(0, 1)))),
        conversation=Conversation(
            messages=known(draw(st.floats(1, 6))), same_need=sure(draw(st.floats(0, 1))), stickiness=sure(draw(st.floats(0, 1)))
        ),
        prompt_cache=PromptCache(in_time=sure(draw(st.floats(0, 1))), loop_hit=sure(draw(st.floats(0, 1)))),
        bad_answer=BadAnswer(weak=sure(draw(st.floats(0.2, 1))), right=sure(draw(st.floats(0.2, 1))), reask=sure(0.5)),
        answer_cache=sure(draw(st.floats(0, 0.9))),
        outage_hours={"one": known(draw(st.floats(0, 720)))},
    )  # fmt: skip


@settings(deadline=None, derandomize=True, max_examples=8)
@given(scenario=scenarios())
def test_sampled_answers_cost_what_the_closed_form_says_where_no_call_is_long(scenario: Scenario) -> None:
    rates = month_rates(scenario, SHORT)

    def usd(use: Use) -> float:
        return float(run_policy(world(scenario, central(scenario), use, rates), Routed()).usd.sum())

    exact = usd(expected_use(scenario))
    drawn = np.array([usd(sampled_use(scenario, rates, n=800, rng=np.random.default_rng(i))) for i in range(12)])
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(drawn.mean() - exact) <= 8 * error + 1e-9 * exact


@settings(deadline=None, derandomize=True, max_examples=8)
@given(scenario=scenarios(), state=st.integers(0, 2))
def test_drawn_tokens_have_the_means_of_the_closed_form(scenario: Scenario, state: int) -> None:
    rates = month_rates(scenario, SHORT)
    drawn = np.stack(
        [sampled_use(scenario, rates, n=800, rng=np.random.default_rng(i)).tokens[:, state] for i in range(12)]
    )
    # cells of a number of calls that no answer of the route takes are empty
    taken = (drawn > 0).sum(axis=(0, 3, 4, 5)).reshape(*drawn.shape[1:3], 1, 1, 1) > 0
    exact = expected_use(scenario).tokens[:, state] * taken
    error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - exact) <= 9 * error + 1e-9 * exact).all()
