"""What a leaderboard's pages are drawn from, by hand on the ladder of twelve queries and by second ways on random ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.board import Judge, Judged
from eval.board_details import NO_DATASET, POINTS, details, pareto_front
from eval.contest import OURS, Entry
from router.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
Details = dict[str, Any]  # Any: whatever JSON can hold

# Four queries that every model answers, four that cheap does not, four that only dear does.
LADDER = np.repeat([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], 4, axis=0)
PRICES = np.tile([1.0, 2.0, 4.0], (12, 1))
ALWAYS_CHEAP = np.tile([1.0, 0.0, 0.0], (12, 1))
ALWAYS_DEAR = np.tile([0.0, 0.0, 9.0], (12, 1))
DATASETS = ("sums",) * 6 + ("law",) * 4 + (None,) * 2


def table(score: Floats, cost: Floats | None, dataset: Sequence[str | None]) -> Outcomes:
    n, m = score.shape
    unknown = np.full((n, m), np.nan)
    return Outcomes(
        name="toy",
        ids=tuple(f"q{i:02}" for i in range(n)),
        texts=tuple(f"text {i}" for i in range(n)),
        models=("cheap", "middle", "dear")[:m],
        score=score,
        cost_usd=unknown if cost is None else cost,
        input_tokens=unknown,
        output_tokens=unknown,
        latency_ms=unknown,
        dataset=tuple(dataset),
        split=(None,) * n,
        unit=np.arange(n),
    )


def judged_by(
    score: Floats, cost: Floats | None, values: dict[str, Floats], *, dataset: Sequence[str | None] | None = None
) -> tuple[Judge, list[Judged]]:
    judge = Judge(table(score, cost, dataset or (None,) * len(score)), cost, seed=0)
    return judge, [
        judge.judge(Entry(router=name, allowed=name != "oracle", probabilities=name != "ridge", value=value))
        for name, value in values.items()
    ]


def random_case(seed: int, *, cost: bool = True) -> tuple[Judge, list[Judged]]:
    rng = np.random.default_rng(seed)
    score = (rng.random((40, 3)) < [0.3, 0.6, 0.9]).astype(np.float64)
    dollars = rng.random((40, 3)) * [1, 5, 30] if cost else None
    values = {name: rng.random((40, 3)) for name in (OURS, "lr")} | {"oracle": score}
    return judged_by(score, dollars, values, dataset=rng.choice(["a", "b", "c"], size=40).tolist())


@pytest.fixture(scope="module")
def ladder() -> Details:
    values = {OURS: LADDER, "cheapest": ALWAYS_CHEAP, "ridge": ALWAYS_DEAR}
    return details(*judged_by(LADDER, PRICES, values, dataset=DATASETS))


# --- curves


def test_a_curve_runs_from_the_hull_s_start_to_the_dearest_model(ladder: Details) -> None:
    curve = ladder["curves"][OURS]
    assert (curve["cost"][0], curve["cost"][-1]) == (1.0, 4.0)
    assert (curve["quality"][0], curve["quality"][-1]) == (pytest.approx(1 / 3, abs=1e-6), 1.0)
    assert len(curve["cost"]) == len(curve["quality"]) == len(curve["low"]) == len(curve["high"]) == POINTS


def test_between_two_corners_a_curve_is_their_mixture(ladder: Details) -> None:
    curve = ladder["curves"][OURS]  # corners (1, 1/3), (4/3, 2/3), (7/3, 1), then flat
    expected = np.interp(curve["cost"], [1, 4 / 3, 7 / 3, 4], [1 / 3, 2 / 3, 1, 1])
    assert curve["quality"] == pytest.approx(expected, abs=1e-6)


def test_the_band_holds_the_curve_wherever_there_is_one(ladder: Details) -> None:
    curve = ladder["curves"][OURS]
    rows = [row for row in zip(curve["low"], curve["quality"], curve["high"], strict=True) if row[0] is not None]
    assert len(rows) > 30
    assert all(low <= quality <= high for low, quality, high in rows)


def test_where_all_models_cost_the_same_a_curve_is_a_single_point() -> None:
    curve = details(*judged_by(LADDER, np.full((12, 3), 2.0), {OURS: LADDER}))["curves"][OURS]
    assert (curve["cost"], curve["quality"]) == ([2.0], [1.0])


def test_where_some_draws_cannot_be_had_for_the_money_there_is_no_band() -> None:
    judge, judged = random_case(1)
    for curve in details(judge, judged)["curves"].values():
        assert curve["low"][0] is None  # half of the draws start at a higher cost
        assert curve["high"][0] is None
        assert curve["low"][-1] is not None


def test_curves_over_a_wide_range_of_costs_step_by_ratios_and_others_evenly() -> None:
    wide = details(*judged_by(LADDER, PRICES * [1, 10, 100], {OURS: LADDER}))["curves"][OURS]["cost"]
    even = details(*judged_by(LADDER, PRICES, {OURS: LADDER}))["curves"][OURS]["cost"]
    assert np.diff(np.log(wide)) == pytest.approx(np.log(400) / (POINTS - 1), abs=1e-6)
    assert np.diff(even) == pytest.approx(3 / (POINTS - 1), abs=1e-6)


def test_without_costs_curves_run_over_the_share_of_strong_calls() -> None:
    found = details(*random_case(2, cost=False))
    assert {(curve["cost"][0], curve["cost"][-1]) for curve in found["curves"].values()} == {(0.0, 1.0)}
    assert [model["cost"] for model in found["models"]] == [0.0, 0.0, 1.0]


def test_a_cost_of_a_billionth_of_a_dollar_keeps_its_digits() -> None:
    found = details(*judged_by(LADDER, PRICES * 1.2345e-9, {OURS: LADDER}))
    assert [model["cost"] for model in found["models"]] == pytest.approx([1.2345e-9, 2.469e-9, 4.938e-9], rel=1e-6)
    assert found["curves"][OURS]["cost"][0] == pytest.approx(1.2345e-9, rel=1e-6)


# --- single models and the front


def test_each_single_model_has_its_mean_cost_and_score_with_an_interval(ladder: Details) -> None:
    assert [model["model"] for model in ladder["models"]] == ["cheap", "middle", "dear"]
    assert [model["cost"] for model in ladder["models"]] == [1.0, 2.0, 4.0]
    assert [model["accuracy"] for model in ladder["models"]] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-6)
    assert ladder["models"][2]["accuracy_ci"] == [1.0, 1.0]
    low, high = ladder["models"][1]["accuracy_ci"]
    assert low < 2 / 3 < high


def test_the_front_of_the_ladder_is_cheap_alone_then_the_knowing_router(ladder: Details) -> None:
    front = [(point["kind"], point["name"], point["cost"], point["quality"]) for point in ladder["pareto"]]
    assert front == [
        ("model", "cheap", 1.0, pytest.approx(1 / 3, abs=1e-6)),
        ("router", OURS, pytest.approx(4 / 3), pytest.approx(2 / 3, abs=1e-6)),
        ("router", OURS, pytest.approx(7 / 3), 1.0),
    ]


def test_a_router_that_may_not_be_used_is_never_on_the_front() -> None:
    assert "oracle" not in {point["name"] for point in details(*random_case(3))["pareto"]}


@settings(deadline=None, max_examples=50)
@given(points=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25))
def test_the_front_is_what_the_slow_way_finds(points: list[tuple[int, int]]) -> None:
    cost, quality = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    found = pareto_front(cost, quality).tolist()
    unbeaten = {
        point
        for point in points
        if not any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in points)
    }
    assert [points[i] for i in found] == sorted(unbeaten)
    assert all(i == points.index(points[i]) for i in found)


# --- calibration


def test_calibration_is_judged_only_of_values_that_are_meant_as_probabilities(ladder: Details) -> None:
    assert set(ladder["calibration"]) == {OURS, "cheapest"}


def test_calibration_bins_hold_every_call_once_and_no_bin_is_empty() -> None:
    judge, judged = random_case(4)
    for router, bins in details(judge, judged)["calibration"].items():
        assert sum(bins["count"]) == 40 * 3, router
        assert min(bins["count"]) > 0
        gaps = np.abs(np.array(bins["confidence"]) - bins["accuracy"])
        assert bins["ece"] == pytest.approx((gaps * bins["count"]).sum() / 120, abs=1e-5)


# --- data sets


def test_data_sets_come_largest_first_and_queries_without_one_have_a_name(ladder: Details) -> None:
    assert ladder["datasets"]["names"] == ["sums", "law", NO_DATASET]
    assert ladder["datasets"]["n"] == [6, 4, 2]


def test_means_per_data_set_are_those_by_hand(ladder: Details) -> None:
    # sums: four easy ones and two that cheap fails; law: two that cheap fails, two that only dear answers; the rest: those.
    assert ladder["datasets"]["routers"]["cheapest"] == pytest.approx([4 / 6, 0, 0], abs=1e-6)
    assert ladder["datasets"]["routers"][OURS] == [1.0, 1.0, 1.0]
    assert ladder["datasets"]["best_single"] == [1.0, 1.0, 1.0]
    assert ladder["datasets"]["oracle"] == [1.0, 1.0, 1.0]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_means_per_data_set_add_up_to_the_mean_and_stay_below_the_oracle_s(seed: int) -> None:
    judge, judged = random_case(seed)
    found = details(judge, judged)["datasets"]
    for entry in judged:
        means = np.array(found["routers"][entry.entry.router])
        overall = entry.quality[:, judge.half_way(entry)].mean()
        assert (means * found["n"]).sum() / 40 == pytest.approx(overall, abs=1e-5)
        assert (means <= np.array(found["oracle"]) + 1e-6).all()


# --- losses


def test_losses_of_the_cheap_model_name_the_cheapest_that_answered(ladder: Details) -> None:
    lost = ladder["losses"]["cheapest"]
    assert [entry["query_id"] for entry in lost] == [f"q{i:02}" for i in range(4, 12)]
    assert [entry["best"] for entry in lost] == ["middle"] * 4 + ["dear"] * 4
    assert lost[7] == {
        "query_id": "q11", "dataset": None, "chosen": "cheap", "score": 0.0, "best": "dear", "best_score": 1.0,
    }  # fmt: skip


def test_a_router_that_loses_nothing_has_an_empty_list(ladder: Details) -> None:
    assert ladder["losses"][OURS] == []


def test_the_worst_loss_stands_first_and_equal_ones_in_order_of_their_ids() -> None:
    score = np.array([[0.5, 0.8], [0.0, 1.0], [0.4, 0.9], [0.1, 0.6], [0.7, 0.2]])
    dollars = np.tile([1.0, 2.0], (5, 1))
    always = np.tile([1.0, 0.0], (5, 1))
    lost = details(*judged_by(score, dollars, {"cheapest": always}))["losses"]["cheapest"]
    assert [entry["query_id"] for entry in lost] == ["q01", "q02", "q03", "q00"]
    assert [entry["score"] for entry in lost] == [0.0, 0.4, 0.1, 0.5]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_losses_are_exactly_the_queries_that_scored_below_the_best(seed: int) -> None:
    judge, judged = random_case(seed)
    best = judge.outcomes.score.max(axis=1)
    found = details(judge, judged)["losses"]
    for entry in judged:
        got = entry.quality[:, judge.half_way(entry)]
        below = {judge.outcomes.ids[i] for i in np.flatnonzero(got < best)}
        assert {lost["query_id"] for lost in found[entry.entry.router]} == below


# --- all of it


@pytest.mark.parametrize("cost", [True, False])
def test_details_are_json_without_a_gap_and_without_a_query_s_text(cost: bool) -> None:
    text = json.dumps(details(*random_case(5, cost=cost)), allow_nan=False)
    assert "text " not in text


def test_without_any_router_there_are_still_the_single_models() -> None:
    found = details(judged_by(LADDER, PRICES, {})[0], [])
    assert len(found["models"]) == 3
    assert [point["name"] for point in found["pareto"]] == ["cheap", "middle", "dear"]
    assert (found["curves"], found["losses"], found["datasets"]["routers"]) == ({}, {}, {})


def test_the_same_judge_gives_the_same_bytes() -> None:
    first, second = (json.dumps(details(*random_case(6)), sort_keys=True) for _ in range(2))
    assert first == second


def test_one_model_alone_has_a_front_of_one_point() -> None:
    score, cost = LADDER[:, :1], PRICES[:, :1]
    judge = Judge(replace(table(LADDER, PRICES, DATASETS).only(["cheap"])), cost, seed=0)
    judged = [judge.judge(Entry(router=OURS, allowed=True, probabilities=True, value=score))]
    found = details(judge, judged)
    assert [(point["kind"], point["name"]) for point in found["pareto"]] == [("model", "cheap")]
    assert found["losses"][OURS] == []
