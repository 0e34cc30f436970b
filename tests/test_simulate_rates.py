"""What a token costs in a month: the mean over its days, in the right tier, read and written at the prices of a cache."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.rates import LONG, STANDARD, Rates, days_of, later, month_rates
from eval.simulate.scenario import RouteUse, Scenario
from router.errors import PriceError
from router.prices import Price, PriceTable, Usage
from tests.slow_simulation import LARGE, LARGE_PRICE, PRICES, SMALL, SMALL_PRICE, TWO, price, price_table, tokens

DEARER = price("small", (4.0, 16.0), read=0.4, write=5.0, since=date(2026, 11, 11))


def in_mtok(rates: Rates) -> dict[str, list[float]]:
    """Dollars per million tokens of the first route: [standard, long]."""
    named = {"new": rates.new, "read": rates.read, "output": rates.output}
    return {name: (table[0] * 1e6).tolist() for name, table in named.items()}


def rates_of(route: RouteUse, prices: PriceTable = PRICES, *, month: date | None = None) -> Rates:
    alone: Scenario = replace(TWO, routes=(replace(route, name="small"), LARGE))
    return month_rates(alone, prices, month=month)


# --- days


def test_a_price_that_changes_on_the_eleventh_of_thirty_days_counts_a_third_and_two_thirds() -> None:
    prices = price_table(SMALL_PRICE, DEARER, LARGE_PRICE)
    found = in_mtok(rates_of(SMALL, prices))
    assert found["new"] == pytest.approx([1 / 3 + 4 * 2 / 3] * 2)
    assert found["output"] == pytest.approx([4 / 3 + 16 * 2 / 3] * 2)


def test_cached_tokens_change_their_price_on_the_same_day() -> None:
    prices = price_table(SMALL_PRICE, DEARER, LARGE_PRICE)
    found = in_mtok(rates_of(replace(SMALL, caches_prompts=True), prices))
    assert found["read"] == pytest.approx([0.1 / 3 + 0.4 * 2 / 3] * 2)
    assert found["new"] == pytest.approx([1.25 / 3 + 5.0 * 2 / 3] * 2)


def test_before_and_after_the_month_of_a_change_one_price_holds() -> None:
    prices = price_table(SMALL_PRICE, DEARER, LARGE_PRICE)
    assert in_mtok(rates_of(SMALL, prices, month=date(2026, 10, 1)))["new"] == pytest.approx([1.0] * 2)
    assert in_mtok(rates_of(SMALL, prices, month=date(2026, 12, 1)))["new"] == pytest.approx([4.0] * 2)


@settings(deadline=None, max_examples=40)
@given(day=st.integers(1, 30))
def test_the_month_costs_the_mean_of_its_days_asked_one_by_one(day: int) -> None:
    changed = replace(DEARER, effective_from=date(2026, 11, day))
    prices = price_table(SMALL_PRICE, changed, LARGE_PRICE)
    usage = Usage(input_tokens=7_000, output_tokens=300)
    slow = np.mean([prices.on("small", date(2026, 11, d)).cost_usd(usage) for d in range(1, 31)])
    rates = rates_of(SMALL, prices)
    assert 7_000 * rates.new[0, STANDARD] + 300 * rates.output[0, STANDARD] == pytest.approx(slow)


def test_a_month_that_begins_before_the_first_price_is_refused_with_the_day() -> None:
    late = replace(SMALL_PRICE, effective_from=date(2026, 11, 2))
    with pytest.raises(PriceError, match="small has no price on 2026-11-01; by hand knows it from 2026-11-02 on"):
        rates_of(SMALL, price_table(late, LARGE_PRICE))


def test_months_have_their_own_number_of_days_and_follow_one_another_across_the_year() -> None:
    assert [len(days_of(later(date(2027, 11, 1), k))) for k in range(5)] == [30, 31, 31, 29, 31]
    assert later(date(2026, 11, 1), 26) == date(2029, 1, 1)
    assert days_of(date(2026, 2, 1))[-1] == date(2026, 2, 28)


# --- tiers


def test_batches_cost_the_batch_price_and_their_cached_tokens_the_same_part_of_theirs() -> None:
    found = in_mtok(rates_of(replace(SMALL, tier="batch", caches_prompts=True)))
    assert found["output"] == pytest.approx([2.0] * 2)
    assert found["read"] == pytest.approx([0.05] * 2)
    assert found["new"] == pytest.approx([0.625] * 2)


def test_a_model_that_is_not_sold_in_batches_is_refused() -> None:
    with pytest.raises(PriceError, match="other has no batch price"):
        rates_of(replace(SMALL, model="other", tier="batch"))


def test_above_the_limit_every_kind_of_token_has_the_long_price() -> None:
    rates = rates_of(replace(LARGE, caches_prompts=True))
    assert rates.limit[0] == 2_000
    found = in_mtok(rates)
    assert found["new"] == pytest.approx([10.0, 20.0])  # this provider charges nothing for writing into the cache
    assert found["read"] == pytest.approx([1.0, 2.0])
    assert found["output"] == pytest.approx([50.0, 75.0])


def test_long_calls_in_batches_are_dearer_by_the_same_factors() -> None:
    found = in_mtok(rates_of(replace(LARGE, tier="batch")))
    assert found["new"] == pytest.approx([5.0, 10.0])
    assert found["output"] == pytest.approx([25.0, 37.5])


def test_a_model_without_a_limit_has_one_price_for_calls_of_any_size() -> None:
    rates = rates_of(SMALL)
    assert rates.limit[0] == np.inf
    assert (rates.new[0, STANDARD], rates.output[0, STANDARD]) == (rates.new[0, LONG], rates.output[0, LONG])


def test_a_long_context_price_that_begins_on_the_eleventh_counts_from_then_on() -> None:
    plain = replace(LARGE_PRICE, long_context_above_tokens=None)
    prices = price_table(SMALL_PRICE, plain, replace(LARGE_PRICE, effective_from=date(2026, 11, 11)))
    rates = rates_of(LARGE, prices)
    assert rates.limit[0] == 2_000
    assert in_mtok(rates)["new"] == pytest.approx([10.0, 10 / 3 + 20 * 2 / 3])


def test_a_limit_that_rises_inside_the_month_is_refused_as_no_single_one_would_be_right() -> None:
    higher = replace(LARGE_PRICE, long_context_above_tokens=4_000, effective_from=date(2026, 11, 11))
    with pytest.raises(PriceError, match="large: its long-context limit changes between 2026-11-01 and 2026-11-30"):
        rates_of(LARGE, price_table(SMALL_PRICE, LARGE_PRICE, higher))
    assert rates_of(LARGE, price_table(SMALL_PRICE, LARGE_PRICE, higher), month=date(2026, 12, 1)).limit[0] == 4_000


# --- caches


def test_a_route_that_caches_nothing_reads_at_the_price_of_input_and_writes_nothing() -> None:
    assert in_mtok(rates_of(SMALL)) == {
        "new": pytest.approx([1.0] * 2),
        "read": pytest.approx([1.0] * 2),
        "output": pytest.approx([4.0] * 2),
    }


def test_a_provider_that_lists_no_price_for_cached_tokens_gives_no_rebate() -> None:
    found = in_mtok(rates_of(replace(SMALL, model="other", caches_prompts=True)))
    assert [*found["new"], *found["read"]] == pytest.approx([2.0] * 4)


def test_a_route_with_a_price_per_query_has_no_price_of_tokens_and_needs_no_model() -> None:
    flat = RouteUse(name="small", model="nobody sells this", provider="one", usd_per_query=tokens(0.01))
    rates = rates_of(flat)
    assert not rates.new[0].any()
    assert not rates.output[0].any()
    assert rates.limit[0] == np.inf


@settings(deadline=None, max_examples=40)
@given(
    held=st.integers(0, 5_000),
    fresh=st.integers(0, 5_000),
    output=st.integers(0, 2_000),
    model=st.sampled_from([("small", SMALL_PRICE), ("large", LARGE_PRICE)]),
    tier=st.sampled_from(["standard", "batch"]),
)
def test_a_call_costs_at_the_rates_what_its_price_says(
    held: int, fresh: int, output: int, model: tuple[str, Price], tier: str
) -> None:
    route = replace(SMALL, model=model[0], tier=tier, caches_prompts=True)
    rates = rates_of(route)
    size = held + fresh
    usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=held, cache_write_tokens=fresh)
    at = LONG if size > rates.limit[0] else STANDARD
    usd = held * rates.read[0, at] + fresh * rates.new[0, at] + output * rates.output[0, at]
    assert usd == pytest.approx(model[1].cost_usd(usage, tier=tier), rel=1e-9, abs=1e-15)
