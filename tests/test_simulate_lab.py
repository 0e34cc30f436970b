"""A simulation as a whole: repeatable, indifferent to the order of its records, and moved the right way by what it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Assumption
from eval.simulate.counts import Counts
from eval.simulate.draws import central, sample
from eval.simulate.drivers import bill, changed_draws, drivers
from eval.simulate.figures import figures
from eval.simulate.lab import Options, Simulation, closed_form_usd_per_query, following_months, simulate
from eval.simulate.levers import changes, holds
from eval.simulate.policies import Fixed, Routed
from eval.simulate.scenario import (
    BadAnswer,
    Baseline,
    Conversation,
    PromptCache,
    QueryClass,
    RouterUse,
    Scenario,
    sure,
)
from eval.simulate.targets import curve
from eval.simulate.turns import PoissonTurns
from router.errors import PriceError
from router.files import canonical_json
from router.prices import PriceTable
from tests.slow_simulation import (
    LARGE,
    LARGE_PRICE,
    OTHER,
    PRICES,
    SMALL,
    SMALL_PRICE,
    TWO,
    known,
    price,
    price_table,
    spread,
    tokens,
)

Floats = npt.NDArray[np.float64]
Json = dict[str, Any]  # Any: whatever JSON can hold

FEW = Options(draws=200, sampled=3_000, played=0)
PROPERTY = settings(deadline=None, max_examples=15)
JUDGED = BadAnswer(right=sure(0.9), weak=sure(0.4), strong=sure(0.9), reask=sure(0.3))
ERR = replace(TWO, router=RouterUse(accuracy=sure(0.8)), bad_answer=JUDGED)
UNSURE = replace(
    ERR,
    queries_per_month=Assumption.between(20_000, 45_000),
    queries=(
        replace(TWO.queries[0], share=Assumption.between(0.6, 0.8, share=True)),
        replace(TWO.queries[1], share=Assumption.between(0.2, 0.4, share=True)),
    ),
    routes=(
        replace(SMALL, output_tokens=spread(150, 500, off_by=1.3), caches_prompts=True),
        replace(LARGE, message_tokens=spread(60, 300), failed_attempts=Assumption.between(0.01, 0.05, share=True)),
    ),
    router=RouterUse(accuracy=Assumption.between(0.7, 0.9, share=True), usd_per_month=60.0),
    conversation=Conversation(
        messages=Assumption.between(1.5, 4), same_need=sure(0.6), stickiness=Assumption.between(0.1, 0.5, share=True)
    ),
    prompt_cache=PromptCache(in_time=Assumption.between(0.4, 0.8, share=True)),
    bad_answer=replace(JUDGED, weak=Assumption.between(0.2, 0.6, share=True)),
    chance=True,
)
COUNTED = replace(
    TWO,
    bad_answer=JUDGED,
    counts=Counts(
        thresholds=np.array([0.1, 0.5, 0.9]),
        classes=("easy", "hard"),
        routes=("small", "large"),
        n=np.array([[[70.0, 0.0], [30.0, 0.0]], [[60.0, 10.0], [6.0, 24.0]], [[0.0, 70.0], [0.0, 30.0]]]),
        own=0.5,
        source="by hand",
    ),
)


def simulated(scenario: Scenario, prices: PriceTable = PRICES, *, options: Options = FEW) -> Simulation:
    return simulate(scenario, prices, options)


def figures_of(scenario: Scenario, prices: PriceTable = PRICES, *, options: Options = FEW) -> Json:
    return figures(simulated(scenario, prices, options=options))


def intervals(value: object, at: str = "") -> dict[str, object]:
    """Every figure whose name ends in _ci, by its path."""
    if isinstance(value, dict):
        found = {f"{at}.{name}": entry for name, entry in value.items() if name.endswith("_ci")}
        return found | {k: v for name, entry in value.items() for k, v in intervals(entry, f"{at}.{name}").items()}
    if isinstance(value, list):
        return {k: v for i, entry in enumerate(value) for k, v in intervals(entry, f"{at}[{i}]").items()}
    return {}


def numbers(value: object, at: str = "") -> dict[str, float]:
    """Every number by its path; entries of a list by what they are called, so that their order does not matter."""
    if isinstance(value, dict):
        return {k: v for name, entry in value.items() for k, v in numbers(entry, f"{at}.{name}").items()}
    if isinstance(value, list):
        called = [entry.get("route") or entry.get("name") if isinstance(entry, dict) else None for entry in value]
        names = [name or str(i) for i, name in enumerate(called)]
        return {
            k: v for name, entry in zip(names, value, strict=True) for k, v in numbers(entry, f"{at}.{name}").items()
        }
    return {at: float(value)} if isinstance(value, int | float) else {}


def width(interval: object) -> float:
    assert isinstance(interval, list)
    return float(interval[1] - interval[0])


# --- the same again


def test_the_same_seed_writes_the_same_bytes() -> None:
    first, again = (canonical_json(figures_of(UNSURE)) for _ in range(2))
    assert first == again


def test_another_seed_finds_other_figures_that_tell_the_same_story() -> None:
    first, other = (figures_of(UNSURE, options=replace(FEW, seed=seed, draws=2_000)) for seed in (0, 1))
    assert first["saving"] != other["saving"]
    assert first["saving"] == pytest.approx(other["saving"], abs=0.02)


def test_what_one_assumption_becomes_leaves_the_draws_of_all_others_as_they_were() -> None:
    plain, changed = (
        sample(which, 20, seed=5).values
        for which in (UNSURE, replace(UNSURE, answer_cache=Assumption.between(0.1, 0.3, share=True)))
    )
    assert [name for name in plain if plain[name].tolist() != changed[name].tolist()] == ["answer_cache"]


def test_more_worlds_begin_with_the_fewer_ones() -> None:
    few, many = (sample(UNSURE, size, seed=5).values for size in (10, 30))
    assert all(few[name].tolist() == many[name][:10].tolist() for name in few)


def test_classes_and_routes_in_another_order_have_the_same_figures() -> None:
    still = replace(
        UNSURE, chance=False, routes=(SMALL, replace(LARGE, handoff=sure(0.3)), replace(OTHER, failed_attempts=sure(0.1)))
    )  # fmt: skip
    turned = replace(still, queries=still.queries[::-1], routes=(still.routes[2], still.routes[0], still.routes[1]))
    here, there = numbers(figures_of(still)), numbers(figures_of(turned))
    assert here.keys() == there.keys()
    assert here == pytest.approx(there, rel=1e-9, abs=1e-12)


# --- intervals


def test_a_scenario_that_is_sure_of_everything_has_no_interval() -> None:
    found = intervals(figures_of(ERR))
    assert len(found) > 15
    assert set(map(str, found.values())) == {"None"}


def test_chance_alone_gives_an_interval() -> None:
    found = figures_of(replace(ERR, chance=True))
    assert width(found["routed_usd_per_month_ci"]) > 0
    # 30,000 messages: 1.645 standard deviations of 173 on either side
    assert width(found["queries_per_month_ci"]) == pytest.approx(2 * 1.645 * 173.2, rel=0.3)


@PROPERTY
@given(factor=st.floats(1.1, 3.0), more=st.floats(1.05, 3.0))
def test_a_wider_range_of_the_volume_widens_the_interval_of_the_bill(factor: float, more: float) -> None:
    widths = [
        width(
            figures_of(replace(ERR, queries_per_month=Assumption.between(30_000 / off, 30_000 * off)))[
                "routed_usd_per_month_ci"
            ]
        )
        for off in (factor, factor * more)
    ]
    assert widths[1] > widths[0]


def test_the_volume_alone_leaves_no_doubt_about_a_message() -> None:
    found = figures_of(replace(ERR, queries_per_month=Assumption.between(10_000, 90_000)))
    assert found["usd_per_query_ci"] is None
    assert found["saving_ci"] is None


def test_the_interval_of_the_bill_is_that_of_the_volume_where_only_the_volume_is_open() -> None:
    found = figures_of(
        replace(ERR, queries_per_month=Assumption.between(10_000, 90_000)), options=replace(FEW, draws=4_000)
    )
    low, high = found["routed_usd_per_month_ci"]
    each = found["usd_per_query"]
    assert low / each == pytest.approx(10_000, rel=0.1)
    assert high / each == pytest.approx(90_000, rel=0.1)


# --- what adds up


def test_a_month_by_hand_is_what_the_figures_say() -> None:
    found = figures_of(replace(TWO, router=RouterUse(usd_per_month=100.0)))
    # $0.00166 on `small`, 1,060 tokens at $10 and 250 at $50 per million on `large`: $0.0231
    assert found["baseline_usd_per_month"] == pytest.approx(30_000 * 0.0231)
    assert found["routed_usd_per_month"] == pytest.approx(30_000 * (0.7 * 0.00166 + 0.3 * 0.0231) + 100)
    assert found["saving"] == pytest.approx(1 - (0.7 * 0.00166 + 0.3 * 0.0231 + 100 / 30_000) / 0.0231)
    assert found["saved_usd_per_month"] == pytest.approx(
        found["baseline_usd_per_month"] - found["routed_usd_per_month"]
    )
    assert (found["share"], found["fixed_usd_per_month"]) == (
        {"small": pytest.approx(0.7), "large": pytest.approx(0.3)},
        100.0,
    )


@pytest.mark.parametrize("chance", [False, True])
def test_the_dollars_of_the_routes_and_the_fixed_ones_add_up_to_the_bill(chance: bool) -> None:
    found = figures_of(replace(UNSURE, chance=chance))
    parts = sum(found["spend_usd_per_month"].values()) + found["fixed_usd_per_month"]
    assert parts == pytest.approx(found["routed_usd_per_month"], rel=1e-9)
    assert sum(found["share"].values()) == pytest.approx(1.0)


def test_the_sampled_answers_agree_with_the_closed_form() -> None:
    short = price_table(SMALL_PRICE, replace(LARGE_PRICE, long_context_above_tokens=None))
    check = figures_of(UNSURE, short, options=replace(FEW, sampled=400_000))["checks"]
    assert check["reason"] is None
    assert abs(check["relative_difference"]) < 0.01


def test_a_scenario_with_long_calls_is_not_held_to_a_form_that_knows_none() -> None:
    long = replace(ERR, routes=(SMALL, replace(LARGE, system_tokens=tokens(3_000))))
    check = figures_of(long)["checks"]
    assert check["closed_form_usd_per_query"] is None
    assert "long context" in check["reason"]


def test_a_model_without_a_price_is_refused() -> None:
    with pytest.raises(PriceError, match="nobody-sells-this"):
        simulated(replace(TWO, routes=(SMALL, replace(LARGE, model="nobody-sells-this"))))


def test_a_month_that_the_answer_cache_catches_whole_costs_nothing() -> None:
    found = figures_of(replace(ERR, answer_cache=sure(1.0)))
    assert found["routed_usd_per_month"] == 0.0


# --- what is compared


def central_saving(scenario: Scenario, prices: PriceTable = PRICES) -> float:
    """Against the first baseline, in closed form."""
    routed, baseline = (
        closed_form_usd_per_query(scenario, prices, policy)
        for policy in (Routed(), Fixed(baseline=scenario.baselines[0]))
    )
    return 1.0 - routed / baseline


def all_large(scenario: Scenario) -> Scenario:
    """Routed and baseline send every query, and every second try, to one road."""
    queries = tuple(replace(entry, sends={"large": 1.0}) for entry in scenario.queries)
    return replace(scenario, queries=queries, bad_answer=replace(scenario.bad_answer, reask=sure(0.0)))


def test_sending_everything_down_the_baselines_road_saves_nothing_in_any_world() -> None:
    made = simulated(all_large(replace(UNSURE, chance=False)))
    assert made.months[0].usd.std() > 0
    assert np.abs(made.months[1].usd - (made.months[0].usd - 60.0)).max() <= 1e-9


def test_a_policy_compared_with_itself_is_a_tie_whatever_luck_the_month_has() -> None:
    made = simulated(all_large(UNSURE))
    assert np.abs(made.months[1].usd - (made.months[0].usd - 60.0)).max() <= 1e-9


def test_a_router_that_never_errs_is_the_baseline_of_a_perfect_one() -> None:
    perfect = replace(TWO, baselines=(Baseline(name="a perfect router"),))
    assert figures_of(perfect)["saving"] == pytest.approx(0.0, abs=1e-12)


def test_the_first_baseline_is_the_one_that_is_saved_against() -> None:
    cheap = Baseline(name="small for all", route="small")
    two = replace(ERR, baselines=(cheap, *ERR.baselines))
    found = figures_of(two)
    assert found["baseline"] == "small for all"
    assert found["saving"] < 0
    assert [row["name"] for row in found["baselines"]] == ["small for all", "large for all"]
    assert found["baselines"][1]["saving"] == pytest.approx(figures_of(ERR)["saving"])


@PROPERTY
@given(times=st.floats(1.05, 20))
def test_a_dearer_dear_model_raises_the_saving(times: float) -> None:
    dear = price("large", (10.0 * times, 50.0 * times))
    plain = price("large", (10.0, 50.0))
    before, after = (central_saving(ERR, price_table(SMALL_PRICE, large)) for large in (plain, dear))
    assert after > before


@PROPERTY
@given(easy=st.floats(0.05, 0.9), more=st.floats(0.01, 0.09))
def test_more_easy_queries_never_lower_the_saving(easy: float, more: float) -> None:
    def saving(share: float) -> float:
        queries = (replace(TWO.queries[0], share=sure(share)), replace(TWO.queries[1], share=sure(1 - share)))
        return central_saving(replace(ERR, queries=queries))

    assert saving(easy + more) >= saving(easy)


# --- quality and the break-even


def test_of_a_scenario_that_says_nothing_of_answers_nothing_is_said() -> None:
    silent = replace(ERR, bad_answer=BadAnswer(), targets={"good_answers": 0.9})
    found = figures_of(silent)
    assert found["quality"]["good_answers"] is None
    assert found["break_even"]["reason"] == "the scenario says nothing of bad answers: state [bad_answer]"
    assert found["targets"][0]["verdict"] is None


def test_the_break_even_is_dollars_saved_over_bad_answers_added() -> None:
    found = figures_of(replace(ERR, bad_answer=BadAnswer(weak=sure(0.5))))
    # 0.06 of all messages are hard ones on `small`, of which half go wrong; the baseline errs in none
    saved = 0.62 * (0.0231 - 0.00166)
    assert found["break_even"]["more_bad_answers"] == pytest.approx(0.03)
    assert found["break_even"]["usd_per_bad_answer"] == pytest.approx(saved / 0.03)


def test_where_a_bad_answer_costs_the_break_even_routing_saves_nothing_on_balance() -> None:
    even = figures_of(ERR)["break_even"]["usd_per_bad_answer"]
    at_even = figures_of(replace(ERR, bad_answer=replace(JUDGED, usd=even)))["break_even"]
    assert at_even["net_saved_usd_per_query"] == pytest.approx(0.0, abs=1e-12)
    cheaper = figures_of(replace(ERR, bad_answer=replace(JUDGED, usd=even / 2)))["break_even"]
    assert cheaper["net_saved_usd_per_query"] > 0


def test_the_break_even_counts_only_messages_that_the_cache_lets_through() -> None:
    plain, cached = (
        figures_of(replace(ERR, answer_cache=sure(share)))["break_even"]["usd_per_bad_answer"] for share in (0.0, 0.5)
    )
    assert cached == pytest.approx(plain)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(ERR, bad_answer=replace(JUDGED, weak=sure(0.95))), "no more bad answers than the baseline"),
        (
            replace(ERR, baselines=(Baseline(name="small for all", route="small"), Baseline(name="p"))),
            "no more bad answers",
        ),
        (replace(ERR, router=replace(ERR.router, usd_per_month=1e6)), "costs more than the baseline"),
    ],
)
def test_where_there_is_no_break_even_the_reason_is_given(changed: Scenario, reason: str) -> None:
    found = figures_of(changed)["break_even"]
    assert found["usd_per_bad_answer"] is None
    assert reason in found["reason"]


# --- what matters most

FIXED: dict[str, Callable[[Scenario, float], Scenario]] = {
    "queries_per_month": lambda scenario, value: replace(scenario, queries_per_month=known(value)),
    "queries.easy.share": lambda scenario, value: replace(
        scenario,
        queries=(replace(scenario.queries[0], share=sure(value)), replace(scenario.queries[1], share=sure(1 - value))),
    ),
    "router.accuracy": lambda scenario, value: replace(scenario, router=replace(scenario.router, accuracy=sure(value))),
    "conversation.messages": lambda scenario, value: replace(
        scenario, conversation=replace(scenario.conversation, messages=known(value))
    ),
    "prompt_cache.in_time": lambda scenario, value: replace(
        scenario, prompt_cache=replace(scenario.prompt_cache, in_time=sure(value))
    ),
    "bad_answer.weak": lambda scenario, value: replace(
        scenario, bad_answer=replace(scenario.bad_answer, weak=sure(value))
    ),
    "routes.large.failed_attempts": lambda scenario, value: replace(
        scenario, routes=(scenario.routes[0], replace(scenario.routes[1], failed_attempts=sure(value)))
    ),
    "routes.small.output_tokens": lambda scenario, value: replace(
        scenario, routes=(replace(scenario.routes[0], output_tokens=tokens(150 * value)), scenario.routes[1])
    ),
}
DRIVEN = replace(
    UNSURE,
    routes=(
        replace(UNSURE.routes[0], output_tokens=replace(tokens(150), level=Assumption.between(0.5, 2.0))),
        replace(UNSURE.routes[1], message_tokens=tokens(60)),
    ),
)


def test_the_largest_driver_comes_first() -> None:
    rows = drivers(simulated(DRIVEN))
    assert len(rows) > 6
    assert [row.swing_usd for row in rows] == sorted((row.swing_usd for row in rows), reverse=True)
    assert all(row.stated for row in rows)


@pytest.mark.parametrize("name", FIXED)
def test_both_ends_of_a_driver_are_what_the_month_costs_with_that_number_known(name: str) -> None:
    made = simulated(DRIVEN)
    row = next(row for row in drivers(made) if row.name == name)
    for value, usd, saving in ((row.low, row.usd_low, row.saving_low), (row.high, row.usd_high, row.saving_high)):
        there = FIXED[name](DRIVEN, value)
        volume = there.queries_per_month.value
        routed, baseline = (
            closed_form_usd_per_query(there, PRICES, policy) * volume
            for policy in (Routed(), Fixed(baseline=DRIVEN.baselines[0]))
        )
        assert usd == pytest.approx(routed + 60.0)
        assert saving == pytest.approx(1 - (routed + 60.0) / baseline)


def test_a_belief_that_moves_no_dollar_is_no_driver() -> None:
    sideways = replace(UNSURE, bad_answer=replace(UNSURE.bad_answer, sideways=Assumption.between(0.1, 0.9, share=True)))
    assert "bad_answer.sideways" not in [row.name for row in drivers(simulated(sideways))]


def test_a_count_of_the_classes_leaves_their_shares_open_as_a_driver() -> None:
    made = simulated(replace(ERR, mix_n=100))
    rows = {row.name: row for row in drivers(made)}
    assert set(rows) == {"queries.easy.share", "queries.hard.share"}
    # 0.7 of 100: the log-odds have a deviation of 1 / sqrt(100 * 0.7 * 0.3)
    odds = 0.7 / 0.3 * np.exp(1.6448536 / np.sqrt(21))
    assert rows["queries.easy.share"].high == pytest.approx(odds / (1 + odds))
    # as the other class is all that is left, both swing alike
    assert rows["queries.easy.share"].swing_usd == pytest.approx(rows["queries.hard.share"].swing_usd, rel=0.01)


def test_where_all_is_known_each_number_is_moved_by_a_fifth() -> None:
    rows = {row.name: row for row in drivers(simulated(ERR))}
    assert not any(row.stated for row in rows.values())
    volume = rows["queries_per_month"]
    assert [volume.low, volume.high] == pytest.approx([24_000, 37_500])
    assert volume.usd_high / volume.usd_low == pytest.approx(37_500 / 24_000)
    assert {"routes.large.price", "router.accuracy", "routes.small.system_tokens"} <= set(rows)


def test_a_fifth_more_turns_never_cost_less_where_an_answer_is_known_to_take_one() -> None:
    desk = replace(SMALL, turns=PoissonTurns(mean=known(1.0), most=4))
    rows = {row.name: row for row in drivers(simulated(replace(ERR, routes=(desk, LARGE))))}
    turns = rows.get("routes.small.turns")
    assert turns is None or turns.usd_high >= turns.usd_low


def test_a_share_that_changes_takes_from_the_other_classes_in_proportion() -> None:
    three = replace(
        ERR, queries=(*(replace(entry, share=sure(0.3)) for entry in TWO.queries), QueryClass(name="odd", share=sure(0.4), needs="small"))
    )  # fmt: skip
    draws = changed_draws(three, {"queries.odd.share": np.array([0.1, 0.7])})
    assert draws.mix.tolist() == [pytest.approx([0.45, 0.45, 0.1]), pytest.approx([0.15, 0.15, 0.7])]


@pytest.mark.parametrize("others", [(), (0.0,), (0.3,), (0.2, 0.1)])
def test_shares_add_up_to_one_whichever_of_them_changes(others: tuple[float, ...]) -> None:
    rest = tuple(QueryClass(name=f"class {i}", share=sure(share), needs="large") for i, share in enumerate(others))
    unsure = QueryClass(name="easy", share=Assumption.between(0.6, 0.8, share=True), needs="small")
    draws = changed_draws(replace(TWO, queries=(unsure, *rest)), {"queries.easy.share": np.array([0.6, 0.8])})
    assert draws.mix.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])


def test_an_unsure_share_that_changes_is_what_it_is_changed_to() -> None:
    draws = changed_draws(UNSURE, {"queries.hard.share": np.array([0.5])})
    assert draws.mix.tolist() == [pytest.approx([0.5, 0.5])]


def test_what_is_not_changed_costs_what_the_central_world_does() -> None:
    made = simulated(UNSURE)
    usd, _ = bill(made, {"queries_per_month": np.array([UNSURE.queries_per_month.value])})
    expected = made.central_outcomes[0].usd.sum() * UNSURE.queries_per_month.value + 60.0
    assert usd.tolist() == pytest.approx([expected])


# --- targets


def test_a_target_holds_where_it_does_in_nearly_every_world_and_fails_where_it_nearly_never_does() -> None:
    middle = figures_of(UNSURE)["saving"]
    wanted = {"routing_accuracy": 0.01, "saving": middle, "usd_per_query": 1e-9}
    rows = {row["target"]: row for row in figures_of(replace(UNSURE, targets=wanted))["targets"]}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "routing_accuracy": "holds",
        "saving": "open",
        "usd_per_query": "fails",
    }
    assert (rows["routing_accuracy"]["share_of_worlds"], rows["usd_per_query"]["share_of_worlds"]) == (1.0, 0.0)


def test_dollars_are_at_most_and_shares_at_least_what_is_wanted() -> None:
    assert bool(holds("usd_per_month", 10.0, 10.0))
    assert not bool(holds("usd_per_month", 10.1, 10.0))
    assert bool(holds("saving", 0.5, 0.5))
    assert not bool(holds("saving", 0.4, 0.5))
    assert not bool(holds("saving", float("nan"), 0.5))


def test_a_figure_of_a_hundred_thousand_queries_is_that_of_one_times_as_many() -> None:
    wanted = {"usd_per_100k": 1.0, "usd_per_query": 1.0}
    rows = {row["target"]: row for row in figures_of(replace(ERR, targets=wanted))["targets"]}
    assert rows["usd_per_100k"]["found"] == pytest.approx(100_000 * rows["usd_per_query"]["found"])


@pytest.mark.parametrize(("target", "wanted"), [("saving", 0.4), ("good_answers", 0.85), ("usd_per_month", 300.0)])
def test_the_thresholds_of_a_target_are_those_at_which_the_curve_meets_it(target: str, wanted: float) -> None:
    found = figures_of(replace(COUNTED, targets={target: wanted}))
    met = [row["threshold"] for row in found["threshold"]["curve"] if bool(holds(target, row[target], wanted))]
    assert found["targets"][0]["thresholds"] == [min(met), max(met)]
    assert found["threshold"]["meets"][target] in met


def test_a_target_that_no_threshold_meets_has_none() -> None:
    found = figures_of(replace(COUNTED, targets={"usd_per_month": 1.0}))
    assert found["targets"][0]["thresholds"] is None
    assert (found["threshold"]["meets"], found["threshold"]["meets_all"]) == ({"usd_per_month": None}, None)


def test_the_curve_runs_from_the_cheap_road_for_all_to_the_dear_one_for_all() -> None:
    swept = curve(simulated(COUNTED))
    assert swept is not None
    all_small, all_dear = (
        closed_form_usd_per_query(COUNTED, PRICES, Fixed(baseline=Baseline(name=name, route=name)))
        for name in ("small", "large")
    )
    no_reasks = curve(simulated(replace(COUNTED, bad_answer=replace(JUDGED, reask=sure(0.0)))))
    assert no_reasks is not None
    assert no_reasks.usd_per_query[[0, 2]].tolist() == pytest.approx([0.00166, 0.0231])
    assert swept.usd_per_query[0] > all_small  # second tries of the router go to the road that is needed
    assert swept.good.tolist() == pytest.approx([0.7 * 0.9 + 0.3 * 0.4, 0.9 - 0.06 * 0.5, 0.9])
    assert all_dear == pytest.approx(0.0231 * (1 + 0.1 * 0.3 / (1 - 0.3 * 0.1)), rel=0.1)


def test_at_its_own_threshold_the_curve_is_the_central_figure() -> None:
    made = simulated(COUNTED)
    swept = curve(made)
    assert swept is not None
    assert (swept.thresholds[swept.chosen], swept.chosen) == (0.5, 1)
    assert swept.usd_per_query[1] == pytest.approx(made.central_outcomes[0].usd.sum())
    assert swept.good[1] == pytest.approx(made.central_outcomes[0].good[0])


def test_without_counts_there_is_no_curve_and_the_reason_is_given() -> None:
    found = figures_of(ERR)["threshold"]
    assert (found["curve"], found["chosen"]) == ([], None)
    assert "counts no router" in found["reason"]


def test_at_a_threshold_that_sends_nothing_to_the_strong_model_its_latency_is_unknown() -> None:
    quick = replace(COUNTED, routes=(replace(SMALL, call_ms=tokens(100)), replace(LARGE, call_ms=tokens(900))))
    swept = curve(simulated(quick, options=replace(FEW, played=500)))
    assert swept is not None
    strong = swept.latency["strong_latency_ms_p50"]
    assert np.isnan(strong[0])
    assert strong[1:].tolist() == [900.0, 900.0]


@pytest.mark.parametrize("scenario", [ERR, UNSURE], ids=["sure", "unsure"])
def test_a_share_that_would_make_a_target_hold_does_so_in_a_scenario_that_has_it(scenario: Scenario) -> None:
    still = replace(scenario, routes=TWO.routes, router=replace(scenario.router, usd_per_month=0.0), chance=False)
    rows = {row["assumption"]: row for row in changes(simulated(still), "usd_per_query", 0.008)}
    needed = rows["queries.hard.share"]["needed"]
    shares = (sure(1 - needed), sure(needed))
    there = replace(
        still, queries=tuple(replace(entry, share=share) for entry, share in zip(still.queries, shares, strict=True))
    )
    assert closed_form_usd_per_query(there, PRICES, Routed()) == pytest.approx(0.008, rel=1e-4)


def test_what_a_target_needs_of_a_model_is_what_its_price_would_have_to_fall_to() -> None:
    plain = replace(TWO, targets={"usd_per_query": 0.004})
    row = next(row for row in figures_of(plain)["targets"][0]["would_hold_if"] if row["assumption"] == "large: price")
    # 0.7 * 0.00166 + 0.3 * 0.0231 * x = 0.004
    assert row["needed"] == pytest.approx((0.004 - 0.7 * 0.00166) / (0.3 * 0.0231), rel=1e-4)


def test_the_smallest_change_comes_first_and_a_target_that_holds_needs_none() -> None:
    short = figures_of(replace(ERR, targets={"usd_per_query": 0.006}))["targets"][0]["would_hold_if"]
    assert len(short) > 2
    assert short[0]["assumption"] in ("large: price", "queries.hard.share", "queries.easy.share")
    assert figures_of(replace(ERR, targets={"usd_per_query": 1.0}))["targets"][0]["would_hold_if"] == []


# --- months


def test_each_month_has_more_messages_by_the_growth_and_its_own_luckless_bill() -> None:
    rows = figures_of(replace(ERR, months=3, growth_per_month=0.1))["months"]
    assert [row["month"] for row in rows] == ["2026-11", "2026-12", "2027-01"]
    assert [row["queries_per_month"] for row in rows] == pytest.approx([30_000, 33_000, 36_300])
    first = rows[0]["routed_usd_per_month"]
    assert [row["routed_usd_per_month"] / first for row in rows] == pytest.approx([1.0, 1.1, 1.21])
    assert rows[2]["saving"] == pytest.approx(rows[0]["saving"])


def test_the_first_of_several_months_is_the_one_that_is_simulated() -> None:
    found = figures_of(replace(UNSURE, months=2, growth_per_month=0.1))
    for name in ("queries_per_month", "routed_usd_per_month", "baseline_usd_per_month", "saving"):
        assert found["months"][0][name] == found[name]
        assert found["months"][0][f"{name}_ci"] == found[f"{name}_ci"]


def test_a_price_that_falls_in_december_is_paid_in_december() -> None:
    falling = price_table(SMALL_PRICE, LARGE_PRICE, price("large", (1.0, 5.0), since=date(2026, 12, 1)))
    november, december = figures_of(replace(TWO, months=2), falling)["months"]
    assert november["baseline_usd_per_month"] == pytest.approx(30_000 * 0.0231)
    assert december["baseline_usd_per_month"] == pytest.approx(30_000 * 0.00231)


def test_fixed_costs_are_paid_every_month_and_do_not_grow() -> None:
    rows = following_months(
        simulated(replace(TWO, months=2, growth_per_month=1.0, router=RouterUse(usd_per_month=50.0)))
    )
    (_, first, _), (_, second, _) = rows
    assert second.usd[0] - 50.0 == pytest.approx(2 * (first.usd[0] - 50.0))


def test_months_do_not_share_their_luck() -> None:
    lucky = replace(ERR, months=2, chance=True)
    (_, first, _), (_, second, _) = following_months(simulated(lucky))
    assert abs(float(np.asarray(np.corrcoef(first.queries, second.queries))[0, 1])) < 0.3


def test_one_month_has_no_list_of_months() -> None:
    assert figures_of(ERR)["months"] == []


# --- worlds


def test_a_router_that_errs_sends_what_it_gets_wrong_to_the_roads_of_the_other_classes_by_their_shares() -> None:
    three = replace(
        TWO,
        routes=(SMALL, LARGE, OTHER),
        queries=(
            QueryClass(name="easy", share=sure(0.5), needs="small"),
            QueryClass(name="hard", share=sure(0.3), needs="large"),
            QueryClass(name="odd", share=sure(0.2), needs="other"),
        ),
        router=RouterUse(accuracy=sure(0.9)),
    )
    sends = central(three).sends[0]
    assert sends.tolist() == [
        pytest.approx([0.9, 0.06, 0.04]),
        pytest.approx([0.1 * 5 / 7, 0.9, 0.1 * 2 / 7]),
        pytest.approx([0.1 * 5 / 8, 0.1 * 3 / 8, 0.9]),
    ]


def test_where_all_classes_need_one_road_no_router_can_err() -> None:
    queries = tuple(replace(entry, needs="small") for entry in TWO.queries)
    assert central(replace(ERR, queries=queries)).sends[0].tolist() == [[1.0, 0.0]] * 2


def test_unsure_shares_are_made_whole_in_every_world() -> None:
    mix = sample(UNSURE, 50, seed=0).mix
    assert mix.sum(axis=1) == pytest.approx(np.ones(50))
    assert len(np.unique(mix[:, 0])) == 50


def test_shares_that_were_counted_vary_as_a_dirichlet_of_their_count() -> None:
    mix = sample(replace(ERR, mix_n=100), 40_000, seed=0).mix[:, 0]
    assert mix.mean() == pytest.approx(0.7, abs=0.002)
    assert mix.var() == pytest.approx(0.7 * 0.3 / 101, rel=0.05)


def test_figures_are_json_that_can_be_read_back() -> None:
    found = figures_of(replace(UNSURE, months=2, targets={"saving": 0.5}))
    assert json.loads(canonical_json(found)) == found
