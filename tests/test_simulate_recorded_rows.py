"""Which rows of a recorded table a simulation takes, and which tables, scenarios and bundles it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.simulate.amounts import Assumption
from eval.simulate.lab import Options
from eval.simulate.recorded import simulate_recorded
from eval.simulate.recorded_table import IN_DOMAIN, recorded
from eval.simulate.scenario import BadAnswer, Baseline, RouteUse
from eval.simulate.scenario_file import PERFECT
from router.errors import DataError
from router.outcomes import PER_CELL
from tests.recorded_tables import LARGE, RIGHT, SMALL, scenario, scripted, table

N = len(RIGHT)


def test_a_missing_cost_is_the_models_mean_on_the_same_data_set_and_never_nothing() -> None:
    cost = np.tile([0.001, 0.01], (N, 1))
    cost[:4, 1], cost[0, 1] = 0.05, np.nan
    outcomes = table(cost_usd=cost, dataset=("hard",) * 4 + ("easy",) * 8)
    made = recorded(scenario(), outcomes, scripted())
    assert made.outcomes.cost_usd[0, 1] == pytest.approx(0.05)
    assert (
        "costs that were not recorded: 1 of 24; the model's mean on the same data set stands for each" in made.left_out
    )


def test_a_query_that_some_model_did_not_answer_is_left_out_and_counted() -> None:
    score = np.array(RIGHT, dtype=np.float64)
    score[2, 0] = np.nan
    made = recorded(scenario(), table(score.tolist()), scripted())
    assert made.outcomes.ids == tuple(f"q{i:02d}" for i in range(N) if i != 2)
    assert "queries that some model did not answer: 1" in made.left_out


def test_where_there_is_a_test_split_only_its_rows_count() -> None:
    outcomes = table(RIGHT * 2, split=("test",) * N + ("train",) * 6 + ("calibration",) * 3 + (None,) * 3)
    made = recorded(scenario(), outcomes, scripted(n=2 * N))
    assert made.outcomes.ids == tuple(f"q{i:02d}" for i in range(N))
    assert "queries of other splits than test: 12" in made.left_out


def test_a_query_that_the_router_learned_from_is_left_out_with_its_copies_and_counted() -> None:
    outcomes = table(RIGHT, texts=("Same  TEXT", "same text", *(f"what is {i}" for i in range(2, N))))
    outcomes = replace(outcomes, unit=np.array([0, 0, *range(1, N - 1)]))
    made = recorded(scenario(), outcomes, scripted(learned=["same text"]))
    assert made.outcomes.ids == tuple(f"q{i:02d}" for i in range(2, N))
    assert made.left_out[0] == "queries that the bundle learned from or chose its policy on: 2"


def test_a_query_that_the_policy_was_chosen_on_is_left_out_and_a_namesake_is_not() -> None:
    held = {"q00": (1.0, 1.0), "q06": (1.0, 1.0)}  # the table's q06 was answered otherwise: another table's query
    made = recorded(scenario(), table(split=(None,) * N), scripted(held=held))
    assert made.outcomes.ids == tuple(f"q{i:02d}" for i in range(1, N))


def test_a_model_that_is_no_route_is_left_out_and_named() -> None:
    wide: dict[str, Any] = {
        name: np.hstack([getattr(table(), name), np.ones((N, 1))]) for name in PER_CELL
    }  # Any: as replace takes
    outcomes = replace(table(), models=(SMALL, LARGE, "huge"), **wide)
    made = recorded(scenario(), outcomes, scripted())
    assert made.outcomes.models == (SMALL, LARGE)
    assert "models of the table that are no route of the scenario: huge" in made.left_out


def test_the_reader_is_told_that_it_is_in_domain_and_not_that_the_router_is_perfect() -> None:
    asked = scenario(left_out=(PERFECT, "what tools cost"))
    said = simulate_recorded(asked, table(), router=scripted(), options=Options(draws=10))["left_out"]
    assert IN_DOMAIN in said
    assert "what tools cost" in said
    assert not [note for note in said if note.startswith(PERFECT)]


def test_of_the_assumptions_only_those_that_were_used_are_listed() -> None:
    asked = scenario(bad_answer=BadAnswer(reask=Assumption.between(0.2, 0.5, share=True)))
    made = simulate_recorded(asked, table(), router=scripted(), options=Options(draws=10))
    assert [row["name"] for row in made["assumptions"]] == ["queries_per_month", "bad_answer.reask"]


def test_without_a_bundle_the_message_says_how_to_train_one() -> None:
    with pytest.raises(
        DataError, match=r"no bundle; .*weighbridge train --outcomes TABLE --models small,large --out B`.*--bundle B"
    ):
        recorded(scenario(), table(), None)


def test_a_route_that_the_table_lacks_is_refused_with_the_tables_models() -> None:
    asked = scenario(routes=(*scenario().routes, RouteUse(name="huge", model="huge", provider="p")))
    with pytest.raises(
        DataError, match=r"no model 'huge' in the outcome table 'tiny'; it has small, large\. Name each"
    ):
        recorded(asked, table(), scripted())


def test_a_bundle_over_other_models_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"the bundle decides between small, huge, scenario 'tiny' between small, large"
    ):
        recorded(scenario(), table(), scripted(models=(SMALL, "huge")))


def test_a_baseline_of_shares_is_refused() -> None:
    shares = Baseline(name="half and half", sends={"any": {SMALL: 0.5, LARGE: 0.5}})
    with pytest.raises(
        DataError, match=r"baseline 'half and half' has `sends`; wanted, on recorded outcomes, a `route`"
    ):
        recorded(scenario(baselines=(shares,)), table(), scripted())


def test_a_table_without_the_costs_of_a_route_is_refused() -> None:
    cost = table().cost_usd.copy()
    cost[:, 1] = np.nan
    with pytest.raises(
        DataError, match=r"no cost of large is recorded; wanted `cost_usd` of some calls of every route"
    ):
        recorded(scenario(), table(cost_usd=cost), scripted())


def test_asking_again_for_ever_is_refused() -> None:
    with pytest.raises(DataError, match=r"reask is 1; wanted less"):
        recorded(scenario(bad_answer=BadAnswer(reask=Assumption(value=1.0, share=True))), table(), scripted())


def test_a_table_that_the_bundle_learned_whole_is_refused_with_what_was_left_out() -> None:
    learned = list(table().texts)
    with pytest.raises(
        DataError, match=r"0 of 12 queries are left.*Left out: queries that the bundle learned from .*: 12\. Bring"
    ):
        recorded(scenario(), table(split=(None,) * N), scripted(learned=learned))


def test_nine_queries_are_too_few_to_draw_from() -> None:
    with pytest.raises(DataError, match=r"9 of 9 queries are left, equal texts counted once; wanted 10 or more"):
        recorded(scenario(), table(RIGHT[:9]), scripted(n=9))
