"""The bill of a month: what a message costs times how many come, and the luck that two equal months do not share."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Assumption, Empirical, Quantity
from eval.simulate.draws import Draws, sample
from eval.simulate.engine import Outcome, World, run_policy, warmth, world
from eval.simulate.month import Month, arrivals, mean_and_interval, month_of
from eval.simulate.policies import Routed
from eval.simulate.rates import month_rates
from eval.simulate.scenario import PromptCache, QueryClass, RouterUse, RouteUse, Scenario, sure
from eval.simulate.turns import FixedTurns
from eval.simulate.use import sampled_use
from tests.slow_simulation import LARGE, PRICES, SMALL, TWO, known, tokens

Floats = npt.NDArray[np.float64]

WORLDS = 20_000
FEW = replace(TWO, queries_per_month=known(50), chance=True, router=RouterUse(accuracy=sure(0.8)))


def outcome_in(scenario: Scenario, draws: Draws) -> Outcome:
    rates = month_rates(scenario, PRICES)
    use = sampled_use(scenario, rates, n=60_000, rng=np.random.default_rng(0))
    return run_policy(world(scenario, draws, use, rates), Routed())


def month_in(scenario: Scenario, *, worlds: int = WORLDS, seed: int = 0, fixed_usd: float = 0.0) -> Month:
    draws = sample(scenario, worlds, seed=seed)
    return month_of(draws, outcome_in(scenario, draws), arrivals(draws), fixed_usd=fixed_usd)


def spread_of(values: Floats) -> tuple[float, float]:
    """Variance, and four of its standard errors."""
    around = (values - values.mean()) ** 2
    return float(around.mean()), 4 * float(around.std()) / math.sqrt(len(values))


# --- how many come


def test_as_many_queries_come_as_poisson_says() -> None:
    queries = month_in(FEW).queries
    variance, error = spread_of(queries)
    assert queries.mean() == pytest.approx(50.0, abs=4 * math.sqrt(50 / WORLDS))
    assert variance == pytest.approx(50.0, abs=error)


def test_each_class_has_its_own_luck() -> None:
    came = arrivals(sample(FEW, WORLDS, seed=0))
    assert came.mean(axis=0).tolist() == pytest.approx([35.0, 15.0], abs=4 * math.sqrt(35 / WORLDS))
    assert np.asarray(np.corrcoef(came.T))[0, 1] == pytest.approx(0.0, abs=4 / math.sqrt(WORLDS))


def test_without_chance_exactly_the_expected_number_comes() -> None:
    still = replace(FEW, chance=False, queries_per_month=known(50.5))
    assert arrivals(sample(still, 3, seed=0)).tolist() == [pytest.approx([0.7 * 50.5, 0.3 * 50.5])] * 3


def test_the_same_messages_come_to_every_policy() -> None:
    draws = sample(FEW, 10, seed=3)
    assert arrivals(draws).tolist() == arrivals(draws).tolist()


# --- the bill


def test_a_bill_without_luck_is_messages_times_dollars_and_the_fixed_costs() -> None:
    still = replace(TWO, router=RouterUse(accuracy=sure(1.0)))
    month = month_in(still, worlds=2, fixed_usd=60.0)
    # 0.7 at $0.00166 and 0.3 at 1,060 tokens of $10 and 250 of $50 per million
    assert month.usd.tolist() == pytest.approx([30_000 * (0.7 * 0.00166 + 0.3 * 0.0231) + 60] * 2)
    assert month.usd_per_query.tolist() == pytest.approx([0.7 * 0.00166 + 0.3 * 0.0231 + 60 / 30_000] * 2)


def test_the_bill_of_answers_that_cost_the_same_varies_as_their_number_does() -> None:
    one = replace(FEW, queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),), router=RouterUse())
    variance, error = spread_of(month_in(one).usd)
    assert variance == pytest.approx(50 * 0.00166**2, abs=error)


def test_the_bill_varies_as_a_compound_poisson_sum_of_what_single_messages_cost() -> None:
    variance, error = spread_of(month_in(FEW).usd)
    # an answer of `small` costs $0.00166, one of `large` $0.0231: 0.62 and 0.38 of the messages
    assert variance == pytest.approx(50 * (0.62 * 0.00166**2 + 0.38 * 0.0231**2), abs=error)


def test_answers_that_differ_add_their_own_variance() -> None:
    seen = replace(SMALL, system_tokens=tokens(0), message_tokens=Quantity.of(Empirical(values=(0.0, 9_000.0))))
    one = replace(
        replace(FEW, routes=(seen, LARGE)),
        queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),),
        queries_per_month=known(400),
        router=RouterUse(),
    )
    variance, error = spread_of(month_in(one).usd)
    assert variance == pytest.approx(400 * (0.0006**2 + 0.0096**2) / 2, abs=error + 0.01 * variance)


def test_answers_of_one_call_or_two_add_the_variance_of_their_number() -> None:
    desk = replace(SMALL, turns=FixedTurns(weights=(0.75, 0.25)))
    one = replace(
        replace(FEW, routes=(desk, LARGE)),
        queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),),
        router=RouterUse(),
    )
    variance, error = spread_of(month_in(one).usd)
    # a second call sends 1,060 and 150 tokens again and writes 150 more: $0.00166, then $0.00181
    assert variance == pytest.approx(50 * (0.75 * 0.00166**2 + 0.25 * 0.00347**2), abs=error)


def test_a_prompt_that_traffic_keeps_warm_makes_equal_answers_no_luckier() -> None:
    warm = replace(
        FEW,
        queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),),
        queries_per_month=known(10**7),
        routes=(replace(SMALL, caches_prompts=True), LARGE),
        router=RouterUse(),
    )
    variance, error = spread_of(month_in(warm).usd)
    # always warm: 1,000 tokens at $0.10, 60 at $1.25 and 150 at $4 per million
    assert variance == pytest.approx(10**7 * (0.0001 + 60 * 1.25e-6 + 0.0006) ** 2, abs=error)


def test_a_dearer_world_is_as_lucky_in_proportion() -> None:
    sure_of_it = replace(
        FEW,
        queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),),
        queries_per_month=known(400),
        routes=(
            replace(
                SMALL, system_tokens=tokens(0), message_tokens=tokens(0), output_tokens=Quantity.of(Empirical(values=(0.0, 300.0)))
            ),
            LARGE,
        ),
        router=RouterUse(),
    )  # fmt: skip
    draws = sample(sure_of_it, WORLDS, seed=0)
    twice = draws.with_values({"routes.small.output_tokens": np.full(WORLDS, 2.0)})
    bills = [month_of(each, outcome_in(sure_of_it, each), arrivals(each), fixed_usd=0.0).usd for each in (draws, twice)]
    assert bills[1].std() == pytest.approx(2 * bills[0].std(), rel=0.03)


def test_a_bill_is_never_negative_however_few_messages_come() -> None:
    assert month_in(replace(FEW, queries_per_month=known(0.5))).usd.min() >= 0.0


def test_a_month_in_which_nobody_asks_has_no_dollars_per_query() -> None:
    month = month_in(replace(FEW, queries_per_month=known(0.5)), worlds=200)
    nobody = month.queries == 0
    assert nobody.any()
    assert np.isnan(month.usd_per_query[nobody]).all()
    assert np.isfinite(month.usd_per_query[~nobody]).all()


def test_two_seeds_have_two_kinds_of_luck_and_one_seed_has_one() -> None:
    first, again, other = (month_in(FEW, worlds=50, seed=seed) for seed in (0, 0, 1))
    assert first.usd.tobytes() == again.usd.tobytes()
    assert first.usd.tobytes() != other.usd.tobytes()


# --- caches that traffic keeps warm


def warm_world(scenario: Scenario) -> World:
    rates = month_rates(scenario, PRICES)
    use = sampled_use(scenario, rates, n=100, rng=np.random.default_rng(0))
    return world(scenario, sample(scenario, 1, seed=0), use, rates)


def test_a_prompt_is_warm_where_the_last_message_came_less_than_the_cache_lives_ago() -> None:
    # 43,200 messages in the 43,200 minutes of November: one a minute, half of them on each road
    scenario = replace(TWO, queries_per_month=known(43_200), prompt_cache=PromptCache(minutes=2.0))
    found = warmth(warm_world(scenario), np.array([[0.5, 0.0]]))
    assert found[0].tolist() == pytest.approx([1 - math.exp(-1.0), 0.0])


def test_a_prompt_is_warm_by_the_hour_for_those_who_come_in_it() -> None:
    # all traffic in six hours: four messages a minute then, and nobody else to ask
    scenario = replace(
        TWO, queries_per_month=known(43_200), prompt_cache=PromptCache(minutes=0.5), traffic_by_hour=(1.0,) * 6 + (0.0,) * 18
    )  # fmt: skip
    assert warmth(warm_world(scenario), np.array([[1.0, 1.0]]))[0].tolist() == pytest.approx([1 - math.exp(-2.0)] * 2)


@settings(deadline=None, max_examples=30)
@given(load=st.floats(0, 3), more=st.floats(0, 3), minutes=st.floats(0.01, 60), queries=st.floats(1, 1e9))
def test_more_traffic_never_cools_a_prompt(load: float, more: float, minutes: float, queries: float) -> None:
    scenario = replace(TWO, queries_per_month=known(queries), prompt_cache=PromptCache(minutes=minutes))
    made = warm_world(scenario)
    before, after = (warmth(made, np.full((1, 2), amount)) for amount in (load, load + more))
    assert 0.0 <= before.min() <= before.max() <= 1.0
    assert (after >= before).all()


# --- intervals


def test_the_interval_leaves_a_twentieth_of_the_worlds_on_each_side() -> None:
    mean, interval = mean_and_interval(np.arange(101.0))
    assert (mean, interval) == (50.0, [5.0, 95.0])


def test_worlds_that_all_have_the_same_have_no_interval() -> None:
    assert mean_and_interval(np.full(7, 0.1 + 0.2)) == (0.1 + 0.2, None)
    assert mean_and_interval(np.zeros(3)) == (0.0, None)


@settings(deadline=None, max_examples=30)
@given(low=st.floats(100, 1_000), factor=st.floats(1.5, 20))
def test_the_queries_of_a_month_lie_where_they_are_believed_to(low: float, factor: float) -> None:
    scenario: Scenario = replace(TWO, queries_per_month=Assumption.between(low, low * factor))
    interval = mean_and_interval(arrivals(sample(scenario, 4_000, seed=0)).sum(axis=1))[1]
    assert interval is not None
    width = math.log(factor)
    assert math.log(interval[0] / low) == pytest.approx(0.0, abs=0.06 * width)
    assert math.log(interval[1] / low) == pytest.approx(width, abs=0.06 * width)


def test_a_road_with_a_price_per_query_is_billed_by_it() -> None:
    flat = RouteUse(name="small", model="", provider="one", usd_per_query=Quantity.of(Empirical(values=(0.001, 0.003))))
    scenario = replace(
        replace(FEW, routes=(flat, LARGE)),
        queries=(QueryClass(name="easy", share=sure(1.0), needs="small"),),
        router=RouterUse(),
    )
    bill = month_in(scenario).usd
    variance, error = spread_of(bill)
    assert bill.mean() == pytest.approx(0.1, abs=4 * bill.std() / math.sqrt(WORLDS))
    assert variance == pytest.approx(50 * (0.001**2 + 0.003**2) / 2, abs=error)
