"""How long people wait: milliseconds that are the same for everybody, added up by hand, and quantiles of those that are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.simulate.draws import central
from eval.simulate.drivers import changed_draws
from eval.simulate.engine import Outcome, World, run_policy, world
from eval.simulate.latency import (
    NOBODY,
    Played,
    latency_figures,
    missing_latency,
    overloaded,
    play,
    times,
    weakest,
    weighted_quantiles,
)
from eval.simulate.policies import Fixed, Policy, Routed
from eval.simulate.queueing import erlang_c, mean_wait
from eval.simulate.rates import month_rates
from eval.simulate.scenario import Baseline, QueryClass, RouterUse, RouteUse, Scenario, sure
from eval.simulate.turns import FixedTurns
from eval.simulate.use import expected_use
from tests.slow_simulation import LARGE, PRICES, SMALL, TWO, known, spread, tokens

Floats = npt.NDArray[np.float64]

SECONDS_OF_NOVEMBER = 30 * 86_400
FAST = replace(SMALL, call_ms=tokens(100))
SLOW = replace(LARGE, call_ms=tokens(1_000))
QUICK = replace(TWO, routes=(FAST, SLOW))
ERR = replace(QUICK, router=RouterUse(accuracy=sure(0.8)))
ALL_FAST = replace(
    QUICK, queries=(QueryClass(name="all", share=sure(1.0), needs="small"),), baselines=(Baseline(name="fast", route="small"),)
)  # fmt: skip
ALL_THE_MONTH = known(720)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Played messages of a central world, and their times and weights in v worlds."""

    made: World
    outcome: Outcome
    played: Played
    ms: Floats
    weights: Floats


def timed(
    scenario: Scenario,
    *,
    n: int = 4_000,
    seed: int = 0,
    baseline: Baseline | None = None,
    changed: Mapping[str, Floats] | None = None,
) -> Timed:
    """Play n messages in the central world; time them there, or in worlds in which some assumptions have other values."""
    rates, use = month_rates(scenario, PRICES), expected_use(scenario)
    policy: Policy = Routed() if baseline is None else Fixed(baseline=baseline)
    middle = world(scenario, central(scenario), use, rates)
    played = play(middle, policy, n=n, seed=seed)
    made = middle if changed is None else world(scenario, changed_draws(scenario, dict(changed)), use, rates)
    outcome = run_policy(made, policy)
    ms, weights = times(made, policy, outcome, played)
    return Timed(made=made, outcome=outcome, played=played, ms=ms, weights=weights)


def alone(route: RouteUse, *others: RouteUse) -> Scenario:
    """Every query needs the fast route, as it is given here."""
    return replace(ALL_FAST, routes=(route, *(others or (SLOW,))))


def shares_of(ms: Floats) -> dict[float, float]:
    values, counts = np.unique(ms, return_counts=True)
    return dict(zip(values.tolist(), (counts / counts.sum()).tolist(), strict=True))


# --- times by hand


def test_one_call_takes_the_routers_time_and_its_own() -> None:
    found = timed(replace(ALL_FAST, router=RouterUse(decision_ms=8.0)))
    assert shares_of(found.ms) == {108.0: 1.0}


def test_a_baseline_has_no_router_to_wait_for() -> None:
    found = timed(replace(ALL_FAST, router=RouterUse(decision_ms=8.0)), baseline=ALL_FAST.baselines[0])
    assert shares_of(found.ms) == {100.0: 1.0}


def test_three_calls_have_two_rounds_of_tools_between_them() -> None:
    found = timed(alone(replace(FAST, tool_ms=tokens(30), turns=FixedTurns(weights=(0.0, 0.0, 1.0)))))
    assert shares_of(found.ms) == {360.0: 1.0}


def test_failed_attempts_take_their_time_before_the_good_one_or_the_fallback() -> None:
    unsafe = replace(FAST, failed_attempts=sure(0.5), retries=1, failed_ms=10_000, fallback="large")
    shares = shares_of(timed(alone(unsafe), n=20_000).ms)
    # at once, after one failure, or after two on the slow fallback
    assert set(shares) == {100.0, 10_100.0, 21_000.0}
    assert [shares[ms] for ms in sorted(shares)] == pytest.approx([0.5, 0.25, 0.25], abs=0.015)


def test_a_provider_that_is_down_is_tried_once_and_then_left() -> None:
    down = replace(FAST, retries=3, failed_ms=700, fallback="large")
    found = timed(replace(alone(down), outage_hours={"one": ALL_THE_MONTH}))
    assert shares_of(found.ms) == {1_700.0: 1.0}


def test_what_nobody_answers_takes_only_the_time_of_the_attempts() -> None:
    lost = replace(FAST, failed_attempts=sure(1.0), retries=2, failed_ms=50)
    found = timed(alone(lost), changed={"routes.small.call_ms": np.array([9.0])})
    assert shares_of(found.ms) == {150.0: 1.0}
    assert set(found.played.route.tolist()) == {NOBODY}


def test_a_query_that_is_handed_over_waits_for_both_roads() -> None:
    wrong = Baseline(name="fast for all", route="small")
    hard = tuple(replace(entry, share=sure(float(entry.name == "hard"))) for entry in QUICK.queries)
    scenario = replace(QUICK, queries=hard, routes=(replace(FAST, handoff=sure(1.0)), SLOW))
    assert shares_of(timed(scenario, baseline=wrong).ms) == {1_100.0: 1.0}


def test_a_road_that_stands_in_for_another_hands_nothing_over() -> None:
    down = replace(FAST, failed_attempts=sure(1.0), failed_ms=50, fallback="large")
    found = timed(alone(down, replace(SLOW, handoff=sure(1.0))))
    assert shares_of(found.ms) == {1_050.0: 1.0}


def test_a_desk_that_helps_is_not_waited_for_where_the_needed_road_only_stands_in() -> None:
    wrong = Baseline(name="fast for all", route="small")
    hard = tuple(
        replace(entry, share=sure(float(entry.name == "hard")), also={"helper": 1.0}) for entry in QUICK.queries
    )
    down = replace(FAST, failed_attempts=sure(1.0), fallback="large")
    helper = replace(SLOW, name="helper", call_ms=tokens(9_000))
    found = timed(replace(QUICK, queries=hard, routes=(down, SLOW, helper)), baseline=wrong)
    assert shares_of(found.ms) == {1_000.0: 1.0}
    assert found.outcome.answers[0].tolist() == [0.0, 1.0, 0.0]


def test_a_desk_that_helps_is_waited_for_only_where_it_takes_longer() -> None:
    helped = replace(
        QUICK,
        queries=(
            replace(QUICK.queries[0], also={"large": 0.25}),
            replace(QUICK.queries[1], also={"small": 1.0}, share=sure(0.3)),
        ),
    )
    shares = shares_of(timed(helped, n=20_000).ms)
    assert set(shares) == {100.0, 1_000.0}
    assert shares[100.0] == pytest.approx(0.7 * 0.75, abs=0.015)


def test_calls_that_differ_have_the_quantiles_of_their_amount() -> None:
    found = timed(alone(replace(FAST, call_ms=spread(400, 1_500))), n=40_000)
    quantiles = weighted_quantiles(found.ms, found.weights, [0.5, 0.95])[0]
    assert quantiles.tolist() == pytest.approx([400, 1_500], rel=0.03)


# --- other worlds


def test_messages_are_weighed_by_how_often_a_world_has_them() -> None:
    found = timed(ERR, n=40_000, changed={"router.accuracy": np.array([0.8, 0.5])})
    slow = (found.weights * (found.played.route == 1)).sum(axis=1) / found.weights.sum(axis=1)
    assert slow.tolist() == pytest.approx([0.7 * 0.2 + 0.3 * 0.8, 0.5], abs=0.012)


def test_in_the_world_they_were_played_in_all_messages_weigh_the_same() -> None:
    assert timed(ERR).weights == pytest.approx(np.ones((1, 4_000)))


def test_slower_calls_take_longer_on_their_own_road_alone() -> None:
    found = timed(QUICK, changed={"routes.small.call_ms": np.array([1.0, 3.0])})
    fast = found.played.route == 0
    assert set(found.ms[1, fast].tolist()) == {300.0}
    assert found.ms[1, ~fast].tolist() == found.ms[0, ~fast].tolist()


def test_slower_calls_leave_the_time_of_tools_as_it_is() -> None:
    desk = replace(FAST, tool_ms=tokens(30), turns=FixedTurns(weights=(0.0, 1.0)))
    found = timed(alone(desk), changed={"routes.small.call_ms": np.array([2.0])})
    assert shares_of(found.ms) == {430.0: 1.0}


def test_slower_tools_take_longer() -> None:
    desk = replace(FAST, tool_ms=tokens(30), turns=FixedTurns(weights=(0.0, 1.0)))
    found = timed(alone(desk), changed={"routes.small.tool_ms": np.array([2.0])})
    assert shares_of(found.ms) == {260.0: 1.0}


# --- places


def busy(servers: int, *, load: float, traffic: tuple[float, ...] = (1.0,) * 24) -> Scenario:
    """All answers on one road of so many places, of which a mean of `load` are taken."""
    return replace(
        alone(replace(FAST, concurrency=servers)),
        queries_per_month=known(load * SECONDS_OF_NOVEMBER / 0.1),
        traffic_by_hour=traffic,
    )


def test_as_many_messages_wait_for_a_place_as_erlang_says_and_as_long() -> None:
    found = timed(busy(3, load=2.4), n=40_000)
    waits = found.ms[0] - 100.0
    must = float(erlang_c(np.array([2.4]), 3)[0])
    long = float(mean_wait(np.array([2.4]), 3, service=np.array([100.0]), scv=0.0)[0])
    assert np.mean(waits > 0) == pytest.approx(must, abs=4 * math.sqrt(must * (1 - must) / 40_000))
    assert waits[waits > 0].mean() == pytest.approx(long, rel=4 / math.sqrt(40_000 * must))


def test_a_place_waits_for_the_load_of_its_own_hour() -> None:
    found = timed(busy(3, load=1.25, traffic=(0.0,) * 12 + (1.0,) * 12), n=20_000)
    must = float(erlang_c(np.array([2.5]), 3)[0])
    assert np.mean(found.ms[0] > 100.0) == pytest.approx(must, abs=4 * math.sqrt(must * (1 - must) / 20_000))


def test_slower_calls_fill_the_places_and_make_more_people_wait() -> None:
    found = timed(busy(3, load=1.25), n=20_000, changed={"routes.small.call_ms": np.array([2.0])})
    must = float(erlang_c(np.array([2.5]), 3)[0])
    assert np.mean(found.ms[0] > 200.0) == pytest.approx(must, abs=4 * math.sqrt(must * (1 - must) / 20_000))


def test_an_hour_in_which_more_comes_than_can_be_served_is_named_and_has_no_quantile() -> None:
    rush = (1.0,) * 9 + (15.0,) + (1.0,) * 14
    found = timed(busy(3, load=1.0, traffic=rush))
    assert overloaded(found.made, found.outcome, found.played) == {"small": [9]}
    figures = latency_figures(found.ms, found.weights)
    assert figures["p50"] is not None
    assert figures["p99"] is None
    assert np.isinf(found.ms[0, found.played.hour == 9]).all()


def test_without_a_limit_nobody_waits_however_many_come() -> None:
    found = timed(replace(ALL_FAST, queries_per_month=known(1e12)))
    assert shares_of(found.ms) == {100.0: 1.0}
    assert overloaded(found.made, found.outcome, found.played) == {}


@settings(deadline=None, max_examples=20)
@given(load=st.floats(0.1, 5.0), servers=st.integers(1, 6))
def test_one_more_place_makes_nobody_wait_longer(load: float, servers: int) -> None:
    few, more = (timed(busy(count, load=load), n=300).ms for count in (servers, servers + 1))
    assert (more <= few).all()


def test_second_tries_and_failures_that_are_paid_for_take_places_too() -> None:
    scenario = busy(3, load=1.6)
    retried = replace(
        scenario,
        routes=(replace(scenario.routes[0], failed_attempts=sure(0.25), retries=9, billed_when_failed=1.0), SLOW),
    )
    assert (timed(retried).ms > 100.0).mean() > 1.5 * (timed(scenario).ms > 100.0).mean()


def test_a_road_that_only_helps_can_be_overloaded() -> None:
    helped = replace(
        alone(FAST, replace(SLOW, concurrency=1)),
        queries=(QueryClass(name="all", share=sure(1.0), needs="small", also={"large": 1.0}),),
        queries_per_month=known(2 * SECONDS_OF_NOVEMBER),
    )
    found = timed(helped)
    assert overloaded(found.made, found.outcome, found.played) == {"large": list(range(24))}


def test_answers_that_take_no_time_at_all_never_wait() -> None:
    found = timed(alone(replace(FAST, call_ms=tokens(0), concurrency=2)))
    assert shares_of(found.ms) == {0.0: 1.0}


# --- which messages


def test_the_same_seed_plays_the_same_messages_and_another_seed_others() -> None:
    first, again, other = timed(ERR), timed(ERR), timed(ERR, seed=1)
    assert first.ms.tobytes() == again.ms.tobytes()
    assert first.played.cell.tobytes() != other.played.cell.tobytes()


def test_messages_come_when_traffic_does() -> None:
    played = timed(replace(ERR, traffic_by_hour=(0.0, 3.0, *(0.0,) * 21, 1.0)), n=20_000).played
    assert shares_of(played.hour.astype(np.float64)) == {
        1.0: pytest.approx(0.75, abs=0.013),
        23.0: pytest.approx(0.25, abs=0.013),
    }


def test_a_road_that_takes_part_and_says_nothing_of_its_calls_is_named() -> None:
    silent = replace(QUICK, routes=(FAST, LARGE))
    found = timed(silent)
    assert missing_latency(silent, found.outcome) == "no `call_ms` of large"
    assert missing_latency(QUICK, timed(QUICK).outcome) is None
    unused = replace(alone(FAST), routes=(FAST, LARGE))
    assert missing_latency(unused, timed(unused).outcome) is None


def test_the_weak_roads_are_those_of_the_least_able_model_that_some_class_needs() -> None:
    backup = replace(FAST, name="backup", strength=1e-7)
    scenario = replace(QUICK, routes=(FAST, SLOW, backup))
    assert weakest(scenario, timed(scenario).made).tolist() == [True, False, True]


# --- quantiles


def test_weighted_quantiles_are_as_by_hand() -> None:
    ms = np.array([[30.0, 10.0, 20.0], [30.0, 10.0, 20.0]])
    weights = np.array([[1.0, 1.0, 2.0], [8.0, 1.0, 1.0]])
    assert weighted_quantiles(ms, weights, [0.25, 0.5, 0.76]).tolist() == [[10.0, 20.0, 30.0], [30.0, 30.0, 30.0]]


@settings(deadline=None, max_examples=40)
@given(
    ms=hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1e6)),
    q=st.floats(0.001, 0.999),
    times_each=st.integers(1, 5),
)
def test_equal_weights_leave_the_plain_quantile(ms: Floats, q: float, times_each: int) -> None:
    weights = np.full((1, len(ms)), float(times_each))
    plain = np.quantile(ms, q, method="inverted_cdf")
    found = weighted_quantiles(ms[None], weights, [q])[0, 0]
    near = np.quantile(ms, [max(q - 1e-9, 0.0), min(q + 1e-9, 1.0)], method="inverted_cdf")
    assert found in (plain, *near)


def test_a_message_of_no_weight_is_no_quantile() -> None:
    ms, weights = np.array([[5.0, 10.0, 99.0]]), np.array([[0.0, 1.0, 0.0]])
    assert weighted_quantiles(ms, weights, [0.001, 0.5, 0.999]).tolist() == [[10.0, 10.0, 10.0]]


def test_for_ever_comes_after_every_number() -> None:
    ms, weights = np.array([[math.inf, 10.0, 20.0, 30.0]]), np.ones((1, 4))
    assert weighted_quantiles(ms, weights, [0.75, 0.76]).tolist() == [[30.0, math.inf]]


def test_where_no_message_weighs_anything_there_is_no_quantile() -> None:
    assert np.isnan(weighted_quantiles(np.array([[5.0, 10.0]]), np.zeros((1, 2)), [0.5])).all()
