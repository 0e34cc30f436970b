"""A scenario is arithmetic: volume times share times tokens times dated prices, and nothing that does not add up is priced."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scenario import Scenario, ScenarioRoute, price_scenario, read_scenario
from router.errors import DataError, PriceError
from router.prices import Price, PriceTable, read_prices

SHIPPED = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1" / "scenarios" / "pam-2025-09.toml"
PRICES = PriceTable(
    prices={
        name: (
            Price(
                model=name,
                effective_from=date(2025, 1, 1),
                source="by hand",
                input_cost_per_token=per_input,
                output_cost_per_token=per_output,
                input_cost_per_token_batches=per_input / 2,
                output_cost_per_token_batches=per_output / 2,
            ),
        )
        for name, per_input, per_output in (("small", 1e-6, 4e-6), ("large", 1e-5, 5e-5))
    },
    where="by hand",
)
SCENARIO = Scenario(
    name="by hand",
    date=date(2025, 6, 1),
    queries_per_month=1_000,
    input_tokens=100,
    output_tokens=50,
    baseline=ScenarioRoute(name="large for all", share=1.0, model="large"),
    routes=(
        ScenarioRoute(name="easy", share=0.9, model="small"),
        ScenarioRoute(name="hard", share=0.1, model="large"),
    ),
    printed_routed_usd=None,
    printed_saving=None,
    left_out=(),
)
TEXT = """
name = "file"
date = 2025-06-01
queries_per_month = 1000
input_tokens = 100
output_tokens = 50
[baseline]
name = "large for all"
model = "large"
[[routes]]
name = "easy"
share = 0.9
model = "small"
[[routes]]
name = "hard"
share = 0.1
model = "large"
"""


def test_dollars_a_month_are_as_by_hand() -> None:
    # small: 100 * 1e-6 + 50 * 4e-6 = 0.0003; large: 100 * 1e-5 + 50 * 5e-5 = 0.0035
    priced = price_scenario(SCENARIO, PRICES)
    assert priced["baseline_usd_per_month"] == pytest.approx(3.5)
    assert [(row["queries"], row["usd"]) for row in priced["routes"]] == [(900, 0.27), (100, 0.35)]
    assert (priced["routed_usd_per_month"], priced["usd_per_query"]) == (0.62, 0.00062)
    assert priced["saving"] == pytest.approx(1 - 0.62 / 3.5)


def test_the_batch_tier_costs_its_own_price() -> None:
    batch = replace(SCENARIO.routes[0], tier="batch")
    priced = price_scenario(replace(SCENARIO, routes=(batch, SCENARIO.routes[1])), PRICES)
    assert priced["routes"][0]["usd"] == pytest.approx(0.27 / 2)


def test_the_shipped_scenario_gives_the_exact_figures_beside_the_printed_ones() -> None:
    # 500 + 150 tokens: gpt-5 $0.002125, gpt-4o-mini in batches $0.0000825, Claude 3.5 Sonnet $0.00375 a query
    priced = price_scenario(read_scenario(SHIPPED), read_prices())
    assert (priced["baseline_usd_per_month"], priced["baseline_printed_usd"]) == (212.5, 213.0)
    assert [(row["usd"], row["printed_usd"]) for row in priced["routes"]] == [(7.8375, 7.13), (18.75, 20.0)]
    assert (priced["routed_usd_per_month"], priced["routed_printed_usd"]) == (26.5875, 27.13)
    assert (priced["saving"], priced["saving_printed"]) == (pytest.approx(1 - 26.5875 / 212.5), 0.87)
    assert len(priced["left_out"]) == 4


def test_what_nobody_printed_is_null() -> None:
    priced = price_scenario(SCENARIO, PRICES)
    printed = [priced["baseline_printed_usd"], priced["routed_printed_usd"], priced["saving_printed"]]
    assert [*printed, *(row["printed_usd"] for row in priced["routes"])] == [None] * 5


def test_routing_everything_to_the_baseline_saves_nothing() -> None:
    all_large = (ScenarioRoute(name="all", share=1.0, model="large"),)
    assert price_scenario(replace(SCENARIO, routes=all_large), PRICES)["saving"] == 0.0


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 1), volume=st.integers(1, 10**8))
def test_the_roads_add_up_to_the_whole(share: float, volume: int) -> None:
    easy, hard = SCENARIO.routes
    routes = (replace(easy, share=share), replace(hard, share=1 - share))
    priced = price_scenario(replace(SCENARIO, routes=routes, queries_per_month=volume), PRICES)
    assert sum(row["usd"] for row in priced["routes"]) == pytest.approx(priced["routed_usd_per_month"], abs=2e-9)
    assert priced["usd_per_query"] * volume == pytest.approx(priced["routed_usd_per_month"], abs=1e-9 * volume)


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0, 0.99), step=st.floats(0.001, 0.01))
def test_a_larger_share_on_the_cheap_road_never_costs_more(share: float, step: float) -> None:
    def routed(easy_share: float) -> float:
        easy, hard = SCENARIO.routes
        routes = (replace(easy, share=easy_share), replace(hard, share=1 - easy_share))
        usd: float = price_scenario(replace(SCENARIO, routes=routes), PRICES)["routed_usd_per_month"]
        return usd

    assert routed(share + step) <= routed(share)


@pytest.mark.parametrize("shares", [(0.5, 0.4), (0.9, 0.2), (1.5, -0.5)])
def test_shares_that_are_no_parts_of_one_are_refused(shares: tuple[float, float]) -> None:
    routes = tuple(replace(route, share=share) for route, share in zip(SCENARIO.routes, shares, strict=True))
    with pytest.raises(DataError, match="wanted fractions that add up to 1"):
        replace(SCENARIO, routes=routes)


def test_a_month_without_queries_is_refused() -> None:
    with pytest.raises(DataError, match="queries_per_month is 0"):
        replace(SCENARIO, queries_per_month=0)


def test_an_unknown_model_is_refused_by_name() -> None:
    unknown = replace(SCENARIO.routes[0], model="no-such-model-anywhere")
    with pytest.raises(PriceError, match=r"no-such-model-anywhere has no price in by hand.*datasets/prices\.json"):
        price_scenario(replace(SCENARIO, routes=(unknown, SCENARIO.routes[1])), PRICES)


def test_a_day_before_the_first_price_is_refused() -> None:
    with pytest.raises(PriceError, match="no price on 2024-12-31; by hand knows it from 2025-01-01 on"):
        price_scenario(replace(SCENARIO, date=date(2024, 12, 31)), PRICES)


def test_a_scenario_file_is_read_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TEXT, encoding="utf-8")
    assert read_scenario(tmp_path / "s.toml") == replace(SCENARIO, name="file")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("input_tokens = 100\n", "", "lacks or misspells 'input_tokens'"),
        ("queries_per_month", "queries_per_moth", "lacks or misspells 'queries_per_month'"),
        ('share = 0.1\nmodel = "large"', 'share = 0.1\nmodle = "large"', "misspells .*modle"),
        ("[baseline]", "[base_line]", "lacks or misspells 'baseline'"),
        ("share = 0.9", "share = 0.8", "shares add up to 0.9"),
        ("share = 0.9", 'share = "most"', "lacks or misspells"),
        ("date = 2025-06-01", 'date = "2025-06-01"', "date"),
        ("date = 2025-06-01", "date = 2025-06-01T12:00:00", "date"),
        ("input_tokens = 100", 'input_tokens = "100"', "input_tokens"),
        ("name = ", "name : ", "cannot be read as TOML"),
    ],
)
def test_a_broken_scenario_file_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    (tmp_path / "s.toml").write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=rf"s\.toml: .*{said}"):
        read_scenario(tmp_path / "s.toml")


def test_a_missing_scenario_file_is_refused_with_the_one_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml: no such file; .*pam-2025-09\.toml"):
        read_scenario(tmp_path / "none.toml")
