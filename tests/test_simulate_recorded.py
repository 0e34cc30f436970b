"""Simulating from a recorded table: what calls cost and scored there is what a month costs here, however it is drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate import recorded_worlds
from eval.simulate.amounts import Assumption, Constant, Quantity
from eval.simulate.figures import figures
from eval.simulate.lab import Options
from eval.simulate.lab import simulate as simulate_assumed
from eval.simulate.recorded import simulate_recorded
from eval.simulate.recorded_levers import spend
from eval.simulate.recorded_table import recorded
from eval.simulate.recorded_worlds import draw_worlds
from eval.simulate.scenario import BadAnswer, RouterUse, RouteUse, sure
from eval.simulate.scenario_file import read_scenario
from router.outcome_rows import read_outcomes
from router.outcomes import equal_texts
from router.prices import SHIPPED, read_prices
from tests import outcome_tables
from tests.conftest import ROOT
from tests.recorded_tables import LARGE, RIGHT, SMALL, scenario, scripted, simulated, table

FEW = Options(draws=40)
ASKED_AGAIN = BadAnswer(reask=sure(0.5))
UNSURE = BadAnswer(reask=Assumption.between(0.2, 0.6, share=True))
RECORDED_TABLE = ROOT / "datasets" / "pam-outcomes-v1" / "simulated-outcomes.csv"


def test_dollars_are_the_recorded_ones_of_the_chosen_models() -> None:
    made = simulated(draws=4_000)
    # eight queries at 0.1 cent and four at 1 cent: 4.8 cents for twelve
    assert made["checks"]["closed_form_usd_per_query"] == pytest.approx(0.048 / 12)
    assert made["routed_usd_per_month"] == pytest.approx(4.0, rel=0.02)
    assert (made["baseline_usd_per_month"], made["baseline_usd_per_month_ci"]) == (10.0, None)
    assert made["saving"] == pytest.approx(0.6, rel=0.02)


def test_good_answers_are_the_mean_score_of_the_chosen_models() -> None:
    quality = simulated(draws=4_000)["quality"]
    # the small model answers six of its eight, the large one three of its four; the large one alone eleven of twelve
    assert quality["good_answers"] == pytest.approx(9 / 12, abs=0.01)
    assert quality["baseline_good_answers"] == pytest.approx(11 / 12, abs=0.01)
    assert quality["routing_accuracy"] == pytest.approx(10 / 12, abs=0.01)  # no model answers the last one better


def test_who_asks_again_is_answered_by_the_model_that_the_class_needs_and_may_ask_once_more() -> None:
    made = recorded(scenario(bad_answer=ASKED_AGAIN), table(), scripted())
    # two bad answers of the small model are asked again every other time, the bad one of the large model 1/2 + 1/4 + ...
    again = 2 * 0.5 * 0.01 + 1.0 * 0.01
    assert spend(made, made.policies[0], 0.5).tolist() == pytest.approx([0.008 / 12, (0.04 + again) / 12])


def test_after_a_bad_answer_of_a_baseline_its_own_model_answers_again() -> None:
    made = recorded(scenario(bad_answer=ASKED_AGAIN), table(), scripted())
    # six queries that the small model never answers: 1/2 + 1/4 + ... = one more try each
    assert spend(made, made.policies[2], 0.5).tolist() == pytest.approx([(12 + 6) * 0.001 / 12, 0.0])


def test_a_query_of_a_named_data_set_is_asked_again_of_what_that_class_needs() -> None:
    kinds = scenario().queries
    two = (replace(kinds[0], share=sure(0.5)), replace(kinds[0], name="easy", share=sure(0.5), needs=SMALL))
    outcomes = table(dataset=("easy",) * 3 + (None,) * 9)
    made = recorded(scenario(queries=two), outcomes, scripted())
    assert made.policies[0].again.tolist() == [0] * 3 + [1] * 9


def test_a_perfect_router_takes_the_cheapest_of_the_models_that_answer_best() -> None:
    made = recorded(scenario(), table(), scripted())
    assert made.policies[3].choice.tolist() == [0] * 6 + [1] * 5 + [0]  # nobody answers the last: the cheaper one


@given(column=st.integers(0, 1), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=10)
def test_one_model_for_all_costs_and_scores_its_columns_means(column: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes = table(rng.random((12, 2)).tolist(), cost_usd=rng.random((12, 2)))
    made = recorded(scenario(), outcomes, scripted())
    name = (LARGE, SMALL)[column]
    sent = made.policies[1 + column]
    assert spend(made, sent, 0.0).sum() == pytest.approx(outcomes.cost_usd[:, outcomes.column(name)].mean())
    assert made.cells(made.outcomes.score, sent.choice).mean() == outcomes.score[:, outcomes.column(name)].mean()


@given(seed=st.integers(0, 1_000), chance=st.booleans())
@settings(deadline=None, max_examples=15)
def test_a_router_that_sends_all_to_the_baselines_model_saves_exactly_nothing(seed: int, chance: bool) -> None:
    rng = np.random.default_rng(seed)
    outcomes = table(rng.random((12, 2)).tolist(), cost_usd=rng.random((12, 2)))
    asked = scenario(bad_answer=UNSURE, chance=chance, queries_per_month=Assumption.between(500.0, 5_000.0))
    made = simulated(asked, outcomes, scripted(to_small=0), seed=seed)
    assert (made["saving"], made["saving_ci"]) == (0.0, None)
    assert (made["saved_usd_per_month"], made["break_even"]["more_bad_answers"]) == (0.0, 0.0)


@given(order=st.permutations(range(24)))
@settings(deadline=None, max_examples=15)
def test_the_order_of_the_queries_changes_no_figure(order: list[int]) -> None:
    texts = tuple(f"what is {i // 2}" for i in range(24))  # in pairs of equal texts
    cost = np.arange(1.0, 49.0).reshape(24, 2)
    outcomes = table(RIGHT * 2, texts=texts, unit=equal_texts(texts), cost_usd=cost, latency_ms=cost)
    shuffled = outcomes.rows(np.array(order))
    shuffled = replace(shuffled, unit=equal_texts(shuffled.texts))
    asked, router = scenario(bad_answer=UNSURE, chance=True, targets={"saving": 0.3}), scripted(n=24)
    assert simulated(asked, shuffled, router) == simulated(asked, outcomes, router)


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    asked = scenario(chance=True)
    assert simulated(asked, seed=3) == simulated(asked, seed=3)
    assert simulated(asked, seed=3)["saving"] != simulated(asked, seed=4)["saving"]


def test_worlds_do_not_depend_on_how_many_are_held_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = table(latency_ms=np.arange(24.0).reshape(12, 2))
    made, chances = recorded(scenario(bad_answer=UNSURE), outcomes, scripted()), np.linspace(0.2, 0.6, 40)
    whole = draw_worlds(made, chances, seed=0)
    monkeypatch.setattr(recorded_worlds, "CELLS", 7 * 12)
    pieces = draw_worlds(made, chances, seed=0)
    for name in recorded_worlds.Worlds.__slots__:
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-12, atol=1e-15)


def test_every_world_is_what_summing_its_drawn_queries_one_by_one_gives() -> None:
    rng = np.random.default_rng(1)
    outcomes = table(rng.random((12, 2)).tolist(), cost_usd=rng.random((12, 2)))
    made, chances = recorded(scenario(bad_answer=UNSURE), outcomes, scripted()), np.array([0.2, 0.5])
    worlds = draw_worlds(made, chances, seed=9)
    draws = np.random.default_rng([9, 6])
    for world, reask in enumerate(chances.tolist()):
        usd, good = 0.0, 0.0
        for query in draws.integers(12, size=12).tolist():
            first, second = made.policies[0].choice[query], 1  # the class needs the large model
            usd += outcomes.cost_usd[query, first]
            good += outcomes.score[query, first]
            chance = reask * (1 - outcomes.score[query, first])
            for _ in range(200):  # again and again, until hardly anybody is left
                usd += chance * outcomes.cost_usd[query, second]
                chance *= reask * (1 - outcomes.score[query, second])
        assert (worlds.usd[world, 0], worlds.good[world, 0]) == pytest.approx((usd / 12, good / 12))


def test_a_months_bill_spreads_as_the_draw_of_the_table_and_the_draw_of_the_month_together() -> None:
    n, volume = 50, 80.0
    usd = np.where(np.arange(n) % 5 == 0, 0.05, 0.001)
    outcomes = table([(1, 1)] * n, cost_usd=np.column_stack([usd, usd]))
    asked = scenario(chance=True, queries_per_month=Assumption(value=volume))
    made = simulated(asked, outcomes, scripted(n=n, to_small=0), draws=6_000)
    # a Poisson number of independent queries, and the error of a mean over the table's fifty
    variance = volume * (usd**2).mean() + volume**2 * usd.var() / n
    low, high = made["routed_usd_per_month_ci"]
    assert (high - low) / (2 * 1.645) == pytest.approx(np.sqrt(variance), rel=0.05)


def test_equal_texts_come_and_stay_away_together() -> None:
    apart = table(RIGHT * 2)
    together = replace(apart, unit=np.tile(np.arange(12), 2), texts=apart.texts[:12] * 2)
    router = scripted(n=24)
    router.value.update({f"q{i + 12:02d}": router.value[f"q{i:02d}"] for i in range(12)})  # type: ignore[attr-defined]  # of the script
    width = {}
    for name, outcomes in {"apart": apart, "together": together}.items():
        low, high = simulated(outcomes=outcomes, router=router, draws=4_000)["quality"]["good_answers_ci"]
        width[name] = high - low
    assert width["together"] / width["apart"] == pytest.approx(np.sqrt(2), rel=0.1)


def test_shares_add_up_to_one_and_spend_to_the_bill() -> None:
    made = simulated(scenario(bad_answer=UNSURE))
    assert sum(made["share"].values()) == pytest.approx(1.0)
    assert sum(made["spend_usd_per_month"].values()) == pytest.approx(made["routed_usd_per_month"])
    assert sum(row["answers_per_query"] for row in made["routes"]) == pytest.approx(
        1 + made["quality"]["reasks_per_query"]
    )


def test_what_the_router_itself_costs_is_on_its_bill_and_on_no_baselines() -> None:
    free, paid = simulated(), simulated(scenario(router=RouterUse(usd_per_month=2.5)))
    assert paid["routed_usd_per_month"] == pytest.approx(free["routed_usd_per_month"] + 2.5)
    assert paid["baseline_usd_per_month"] == free["baseline_usd_per_month"]


def test_the_bad_answer_at_which_routing_saves_nothing_is_dollars_saved_over_bad_answers_added() -> None:
    rows = simulated(scenario(bad_answer=BadAnswer(usd=0.02)), draws=4_000)["break_even"]
    assert rows["usd_per_bad_answer"] == pytest.approx(0.006 / (2 / 12), rel=0.05)
    assert rows["net_saved_usd_per_query"] == pytest.approx(0.006 - 0.02 * 2 / 12, rel=0.1)


def test_months_grow_and_what_a_query_costs_stays() -> None:
    rows = simulated(scenario(months=3, growth_per_month=0.5))["months"]
    assert [row["month"] for row in rows] == ["2026-11", "2026-12", "2027-01"]
    assert [row["baseline_usd_per_month"] for row in rows] == pytest.approx([10.0, 15.0, 22.5])
    assert len({row["saving"] for row in rows}) == 1


def test_the_json_has_the_keys_of_a_simulation_from_assumptions() -> None:
    flat = Quantity.of(Constant(value=0.01))
    routes = tuple(RouteUse(name=name, model=name, provider="p", usd_per_query=flat) for name in (SMALL, LARGE))
    asked = scenario(routes=routes, targets={"saving": 0.5})
    assumed = figures(simulate_assumed(asked, read_prices(SHIPPED), Options(draws=10, sampled=1_000)))
    made = simulated(asked)
    assert set(made) == set(assumed)
    assert (made["recorded"], made["simulated"], assumed["recorded"]) == (True, True, False)
    for name in ("threshold", "latency_ms", "break_even", "checks"):
        assert set(made[name]) == set(assumed[name]), name
    assert set(assumed["quality"]) <= set(made["quality"])
    for name in ("targets", "baselines", "routes"):
        assert set(made[name][0]) == set(assumed[name][0]), name
    json.dumps(made, allow_nan=False)


def test_a_fitted_router_is_simulated_on_the_rows_that_it_has_not_seen() -> None:
    names = outcome_tables.MODELS
    asked = scenario(
        routes=tuple(RouteUse(name=name, model=name, provider="p") for name in names),
        queries=(replace(scenario().queries[0], needs="large"),),
        baselines=scenario().baselines[:1],
    )
    outcomes, router = outcome_tables.table(), outcome_tables.fitted()
    made = simulate_recorded(asked, outcomes, router=router, options=FEW)
    test = outcomes.rows(np.array([split == "test" for split in outcomes.split]))
    said = router.scored(test)
    choice = router.policy.choose(said.p, said.expected_usd).model
    each = test.cost_usd[np.arange(len(test)), choice]
    assert made["checks"]["closed_form_usd_per_query"] == pytest.approx(each.mean())
    assert made["sampled_answers"] == len(test) == 102


@pytest.mark.parametrize(
    "path", ["datasets/pam-outcomes-v1/scenarios/simulated-outcomes.toml", "datasets/scenarios/routerbench.toml"]
)
def test_a_shipped_scenario_names_for_each_class_the_cheapest_model_within_a_hundredth_of_the_best(path: str) -> None:
    asked = read_scenario(ROOT / path)
    for entry in asked.queries:
        good = {route.name: route.good[entry.name] for route in asked.routes if entry.name in route.good}
        near = [r for r in asked.routes if r.name in good and good[r.name] >= max(good.values()) - 0.01]
        cheapest = min(near, key=lambda r: r.usd_per_query.mean if r.usd_per_query else 0.0, default=None)
        assert cheapest is None or entry.needs == cheapest.name


def test_the_shipped_table_has_the_models_of_its_scenario() -> None:
    asked = read_scenario(ROOT / "datasets/pam-outcomes-v1/scenarios/simulated-outcomes.toml")
    outcomes, _ = read_outcomes(RECORDED_TABLE)
    assert set(asked.route_names) == set(outcomes.models)
    assert "SIMULATED" in asked.title
