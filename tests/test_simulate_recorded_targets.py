"""What moves a bill on a recorded table, which λ meets the targets, and how long the chosen calls took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eval.simulate.amounts import Assumption
from eval.simulate.recorded_levers import bill
from eval.simulate.recorded_table import recorded
from eval.simulate.scenario import RouterUse
from router.outcome_policy import Threshold
from tests.recorded_tables import LARGE, SMALL, scenario, scripted, simulated, table


def target(made: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in made["targets"] if row["target"] == name)


def driver(made: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in made["drivers"] if row["assumption"] == name)


def test_a_price_is_moved_a_fifth_either_way_and_the_queries_themselves_are_a_driver() -> None:
    made = simulated(scenario(queries_per_month=Assumption.between(500.0, 2_000.0)))
    price = driver(made, f"routes.{LARGE}.price")
    # $4.00 a month: $0.67 for the small model, $3.33 for the large one
    assert (price["usd_per_month_at_low"], price["usd_per_month_at_high"]) == pytest.approx(
        (2 / 3 + 8 / 3, 2 / 3 + 25 / 6)
    )
    assert price["range"] == "a fifth either way"
    volume = driver(made, "queries_per_month")
    assert (volume["usd_per_month_at_low"], volume["usd_per_month_at_high"], volume["range"]) == pytest.approx(
        (2, 8, "stated")
    )
    which = driver(made, "which queries come")
    assert which["usd_per_month_at_low"] < 4.0 < which["usd_per_month_at_high"]


def test_a_model_that_nobody_is_sent_to_is_no_driver() -> None:
    made = simulated(router=scripted(to_small=0))
    assert {row["assumption"] for row in made["drivers"]} == {f"routes.{LARGE}.price"}


def test_the_curve_holds_the_routers_own_lambda_and_its_figures_there() -> None:
    made = simulated()["threshold"]
    assert made["chosen"] == 50.0
    own = next(row for row in made["curve"] if row["threshold"] == 50.0)
    assert (own["usd_per_month"], own["saving"], own["good_answers"]) == pytest.approx((4.0, 0.6, 0.75))
    assert [row["usd_per_month"] for row in made["curve"]] == sorted(
        (row["usd_per_month"] for row in made["curve"]), reverse=True
    )


def test_of_the_lambdas_that_meet_a_target_the_best_answers_win() -> None:
    made = simulated(scenario(targets={"saving": 0.7, "good_answers": 0.7}))["threshold"]
    for name, wanted in {"saving": 0.7, "good_answers": 0.7}.items():
        meeting = [row for row in made["curve"] if row[name] >= wanted]
        best = max(row["good_answers"] for row in meeting)
        assert next(row["good_answers"] for row in meeting if row["threshold"] == made["meets"][name]) == best
    assert made["meets_all"] is None  # what saves 70 % sends all to the small model, which answers half


def test_a_policy_without_lambda_is_on_no_curve_and_the_reason_says_how_to_get_there() -> None:
    rule = Threshold(models=(SMALL, LARGE), against=LARGE, threshold=0.5)
    made = simulated(router=scripted(policy=rule))["threshold"]
    assert made["chosen"] is None
    assert len(made["curve"]) > 1
    assert "'threshold', which stands on no curve over λ" in made["reason"]
    assert "weighbridge threshold --bundle B --target lambda=L" in made["reason"]


def test_a_router_that_expects_no_dollars_has_no_curve() -> None:
    rule = Threshold(models=(SMALL, LARGE), against=LARGE, threshold=0.5)
    made = simulated(router=scripted(policy=rule, expects=False))
    assert made["threshold"]["curve"] == []
    assert "trained without costs" in made["threshold"]["reason"]
    assert made["checks"]["closed_form_usd_per_query"] == pytest.approx(0.004)


def test_a_target_says_in_how_many_worlds_it_holds_and_what_else_would_bring_it_about() -> None:
    made = simulated(scenario(targets={"usd_per_month": 3.0, "saving": 0.2, "cache_hit_rate": 0.5}), draws=2_000)
    assert (target(made, "saving")["verdict"], target(made, "saving")["share_of_worlds"]) == ("holds", 1.0)
    dear = target(made, "usd_per_month")
    assert dear["share_of_worlds"] < 0.5
    lever = next(row for row in dear["would_hold_if"] if row["assumption"] == f"{LARGE}: price")
    assert lever["needed"] == pytest.approx(0.7, abs=1e-4)  # 2/3 + 0.7 · 10/3 = 3
    assert "caches" in target(made, "cache_hit_rate")["reason"]


def test_a_needed_price_brings_the_target_about() -> None:
    made = recorded(scenario(), table(), scripted())
    usd, _ = bill(made, {f"routes.{LARGE}.price": np.array([0.7])})
    assert usd.tolist() == pytest.approx([3.0])


def test_latency_is_that_of_the_chosen_calls_and_the_routers_own() -> None:
    ms = np.column_stack([np.full(12, 100.0), np.full(12, 900.0)])
    asked = scenario(router=RouterUse(decision_ms=8.0), targets={"latency_ms_p50": 200.0, "weak_latency_ms_p50": 1.0})
    made = simulated(asked, table(latency_ms=ms))
    assert (made["latency_ms"]["p50"], made["latency_ms"]["p95"]) == (108.0, 908.0)
    assert made["latency_ms"]["by_route"] == {
        SMALL: {"p50": 108.0, "p95": 108.0, "p99": 108.0},
        LARGE: {"p50": 908.0, "p95": 908.0, "p99": 908.0},
    }
    assert target(made, "latency_ms_p50")["found"] == 108.0
    assert "weak models" in target(made, "weak_latency_ms_p50")["reason"]


def test_latency_that_was_not_recorded_is_null_with_the_reason() -> None:
    made = simulated(scenario(targets={"latency_ms_p95": 2_000.0}))
    assert (made["latency_ms"]["p50"], made["latency_ms"]["by_route"]) == (None, {})
    assert "no `latency_ms`" in made["latency_ms"]["reason"]
    assert target(made, "latency_ms_p95")["reason"] == made["latency_ms"]["reason"]


def test_calls_that_were_not_timed_are_counted() -> None:
    ms = np.full((12, 2), 100.0)
    ms[0, 0] = np.nan
    made = simulated(outcomes=table(latency_ms=ms))["latency_ms"]
    assert (made["p50"], made["reason"]) == (100.0, "1 of 12 chosen calls were not timed")
