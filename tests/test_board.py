"""The judge of outcome routers: figures worked out by hand on twelve queries, and what holds of every board."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.board import Judge, board, cells
from eval.contest import OURS, Entry
from router.curves import aiq
from router.errors import DataError
from router.outcomes import Outcomes
from router.sweeps import sweep

Floats = npt.NDArray[np.float64]
Board = dict[str, Any]  # Any: whatever JSON can hold

PROMISED = {
    "router", "allowed", "apgr", "apgr_ci", "aiq", "aiq_ci", "accuracy", "cost_usd_mean", "regret", "delta", "delta_ci",
    "cpt50", "cpt80", "costsave", "perfgain", "ece", "fit_s", "decide_us",
}  # fmt: skip

# Twelve queries: four that all of cheap, middle and dear answer, four that cheap does not, four that only dear does.
LADDER = np.repeat([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], 4, axis=0)
PRICES = np.tile([1.0, 2.0, 4.0], (12, 1))
ALWAYS_CHEAP = np.tile([1.0, 0.0, 0.0], (12, 1))
# A pair: weak is right on the first six, strong on all. The value says exactly that.
PAIR = np.array([[1.0, 1.0]] * 6 + [[0.0, 1.0]] * 6)
KNOWS = np.array([[0.55, 0.5]] * 6 + [[0.5, 0.55]] * 6)


def table(score: Floats, cost: Floats | None = None, unit: Sequence[int] | None = None) -> Outcomes:
    n, m = score.shape
    unknown = np.full((n, m), np.nan)
    return Outcomes(
        name="toy",
        ids=tuple(f"q{i}" for i in range(n)),
        texts=tuple(f"text {i}" for i in range(n)),
        models=("cheap", "middle", "dear", "dearer", "dearest")[:m] if m != 2 else ("weak", "strong"),
        score=score,
        cost_usd=unknown if cost is None else cost,
        input_tokens=unknown,
        output_tokens=unknown,
        latency_ms=unknown,
        dataset=(None,) * n,
        split=(None,) * n,
        unit=np.arange(n) if unit is None else np.array(unit, dtype=np.intp),
    )


def entry(router: str, value: Floats | None, *, probabilities: bool = True, reason: str | None = None) -> Entry:
    return Entry(router=router, allowed=True, probabilities=probabilities, value=value, reason=reason)


def judged_board(
    score: Floats, routers: dict[str, Floats], *, cost: Floats | None = None, absent: Sequence[Entry] = ()
) -> Board:
    judge = Judge(table(score, cost), cost, seed=0)
    judged = [judge.judge(entry(name, value)) for name, value in routers.items()]
    return board(judge, judged, absent, table="toy", protocol={"kind": "folds"})


def row_of(made: Board, router: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in made["rows"] if row["router"] == router)
    return found


def random_case(seed: int, *, n: int = 40, m: int = 5) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    score = (rng.random((n, m)) < np.linspace(0.2, 0.9, m)).astype(np.float64)
    return score, rng.random((n, m)) * np.arange(1, m + 1), rng.random((n, m))


@pytest.fixture(scope="module")
def ladder() -> Board:
    """Ours knows every score; another always takes the cheap model."""
    return judged_board(LADDER, {OURS: LADDER, "cheapest": ALWAYS_CHEAP}, cost=PRICES)


@pytest.fixture(scope="module")
def pair() -> Board:
    """Ours knows which queries the weak model fails on; another believes the opposite."""
    return judged_board(PAIR, {OURS: KNOWS, "lr": KNOWS[:, ::-1], "cheapest": PAIR, "oracle": PAIR})


# --- three models with costs, by hand


def test_with_cost_left_out_of_account_the_knowing_router_takes_the_cheapest_that_answers(ladder: Board) -> None:
    row = row_of(ladder, OURS)
    assert (row["accuracy"], row["regret"]) == (1.0, 0.0)
    assert row["cost_usd_mean"] == pytest.approx(7 / 3)  # (1 + 2 + 4) / 3


def test_aiq_of_three_corners_is_the_area_worked_out_by_hand(ladder: Board) -> None:
    # Corners (1, 1/3), (4/3, 2/3), (7/3, 1): 1/3 · 1/2 + 1 · 5/6 + (4 − 7/3) · 1 = 8/3, over the dearest cost of 4.
    assert row_of(ladder, OURS)["aiq"] == pytest.approx(2 / 3, abs=1e-6)
    assert row_of(ladder, "cheapest")["aiq"] == pytest.approx(3 / 4 / 3, abs=1e-6)


def test_the_difference_is_ours_minus_the_row(ladder: Board) -> None:
    row = row_of(ladder, "cheapest")
    assert row["delta"] == pytest.approx(2 / 3 - 1 / 4, abs=1e-6)
    assert row["delta_ci"][0] > 0
    assert row["verdict"] == "better"


def test_half_way_the_knowing_router_sends_a_third_to_each_model(ladder: Board) -> None:
    # The middle of 1 and 4 dollars is 2.5; 7/3 is the nearest of its three costs.
    assert row_of(ladder, OURS)["share"] == {
        name: pytest.approx(1 / 3, abs=1e-6) for name in ("cheap", "middle", "dear")
    }
    assert row_of(ladder, "cheapest")["share"] == {"cheap": 1.0, "middle": 0.0, "dear": 0.0}


def test_always_taking_the_cheap_model_regrets_two_thirds_and_never_saves(ladder: Board) -> None:
    row = row_of(ladder, "cheapest")
    assert row["regret"] == pytest.approx(2 / 3, abs=1e-6)
    assert row["perfgain"] == pytest.approx(-2 / 3, abs=1e-6)
    assert row["costsave"] is None


def test_the_knowing_router_saves_five_twelfths_at_the_best_model_s_quality() -> None:
    # Many queries of each kind, so that no fold lacks one: 1 − (7/3) / 4.
    made = judged_board(np.tile(LADDER, (10, 1)), {OURS: np.tile(LADDER, (10, 1))}, cost=np.tile(PRICES, (10, 1)))
    row = row_of(made, OURS)
    assert row["costsave"] == pytest.approx(5 / 12, abs=1e-6)
    assert row["perfgain"] == 0.0


def test_for_the_same_money_ours_scores_two_thirds_more_than_the_cheap_model(ladder: Board) -> None:
    assert row_of(ladder, "cheapest")["delta_quality"] == pytest.approx(2 / 3, abs=1e-6)  # both at 2.5 dollars
    assert row_of(ladder, "cheapest")["delta_cost"] == pytest.approx(0.0, abs=1e-6)  # both have 1/3 for 1 dollar


def test_calibration_of_three_quarters_everywhere_is_as_by_hand() -> None:
    row = row_of(judged_board(LADDER, {OURS: np.full((12, 3), 0.75)}, cost=PRICES), OURS)
    assert row["ece"] == pytest.approx(0.75 - 24 / 36, abs=1e-6)  # 24 of the 36 answers are good
    assert row["ece_bias"] == pytest.approx((2 / np.pi * 0.75 * 0.25 / 36) ** 0.5, abs=1e-6)
    assert row["brier"] == pytest.approx((24 * 2 * 0.25**2 + 12 * 2 * 0.75**2) / 36, abs=1e-6)
    assert row["log_loss"] == pytest.approx(-(24 * np.log(0.75) + 12 * np.log(0.25)) / 36, abs=1e-6)


def test_values_that_are_no_probabilities_are_not_judged_as_such() -> None:
    judge = Judge(table(LADDER, PRICES), PRICES, seed=0)
    row = judge.row(judge.judge(entry("svm-like", LADDER * 7 - 3, probabilities=False)))
    assert [row[key] for key in ("ece", "ece_bias", "log_loss", "brier")] == [None] * 4
    assert row["accuracy"] == 1.0


def test_a_graded_score_of_one_half_counts_as_good() -> None:
    p, truth = cells(np.array([[0.2, 1.7]]), np.array([[0.5, 0.49]]))
    assert p.tolist() == [[0.8, 0.2], [0.0, 1.0]]
    assert truth.tolist() == [1, 0]


# --- a pair without costs, by hand


def test_a_pair_without_cost_is_judged_by_apgr_and_counts_strong_calls(pair: Board) -> None:
    assert (pair["metric"], pair["weak"], pair["strong"]) == ("apgr", "weak", "strong")
    assert pair["cost_unit"] == "calls of the strong model per query"
    assert [row["aiq"] for row in pair["rows"]] == [None] * 4
    assert [row["cost_usd_mean"] for row in pair["rows"]] == [None] * 4


def test_apgr_of_a_router_that_knows_is_three_quarters_and_of_the_opposite_one_quarter(pair: Board) -> None:
    # All of the gap is closed with half of the calls: a triangle of 1/4 and a rectangle of 1/2.
    assert row_of(pair, OURS)["apgr"] == pytest.approx(0.75)
    assert row_of(pair, "lr")["apgr"] == pytest.approx(0.25)
    assert row_of(pair, "lr")["delta"] == pytest.approx(0.5)


def test_half_of_the_gap_needs_a_quarter_of_the_calls(pair: Board) -> None:
    assert row_of(pair, OURS)["cpt50"] == pytest.approx(0.25)
    assert row_of(pair, OURS)["cpt80"] == pytest.approx(0.40)


def test_the_knowing_router_saves_half_of_the_strong_calls(pair: Board) -> None:
    assert row_of(pair, OURS)["costsave"] == pytest.approx(0.5)
    assert row_of(pair, OURS)["share"] == {"weak": 0.5, "strong": 0.5}


def test_a_constant_router_of_a_pair_has_no_apgr_and_a_reason(pair: Board) -> None:
    row = row_of(pair, "cheapest")
    assert (row["apgr"], row["cpt50"], row["delta"], row["verdict"]) == (None, None, None, None)
    assert "constant" in row["reason"]
    assert row["accuracy"] is not None


def test_the_oracle_regrets_nothing(pair: Board) -> None:
    assert row_of(pair, "oracle")["regret"] == pytest.approx(0.0, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_router_regrets_less_than_the_oracle(seed: int) -> None:
    score, cost, value = random_case(seed)
    made = judged_board(score, {OURS: value, "oracle": score}, cost=cost)
    assert row_of(made, "oracle")["regret"] == pytest.approx(0.0, abs=1e-9)
    assert row_of(made, OURS)["regret"] >= 0


# --- five models


def test_five_models_with_cost_are_judged_by_the_area_under_their_exact_sweep() -> None:
    score, cost, value = random_case(3)
    made = judged_board(score, {OURS: value}, cost=cost)
    swept = sweep(value, cost, score, cost)
    points = np.stack([[*swept.cost], [*swept.quality]], axis=1)
    assert made["metric"] == "aiq"
    # The board keeps 100 of the sweep's points, so it may lose a corner, and never gains one.
    exact = aiq(points, max_cost=float(cost.mean(axis=0).max()))
    assert exact - 0.01 < row_of(made, OURS)["aiq"] <= exact + 1e-9
    assert (row_of(made, OURS)["apgr"], row_of(made, OURS)["cpt80"], made["weak"]) == (None, None, None)


def test_five_models_without_cost_are_judged_by_accuracy() -> None:
    score, _, value = random_case(4)
    made = judged_board(score, {OURS: value, "lr": value[:, ::-1]})
    ours, other = row_of(made, OURS), row_of(made, "lr")
    assert made["metric"] == "accuracy"
    assert ours["accuracy"] == pytest.approx(score[np.arange(40), value.argmax(axis=1)].mean(), abs=1e-6)
    assert other["delta"] == pytest.approx(ours["accuracy"] - other["accuracy"], abs=2e-6)
    assert (ours["aiq"], ours["apgr"], ours["cost_usd_mean"]) == (None, None, None)


# --- what stands beside ours


@pytest.mark.parametrize("cost", [True, False])
@pytest.mark.parametrize("m", [2, 5])
def test_a_router_against_its_own_copy_is_a_tie_of_exactly_nothing(m: int, cost: bool) -> None:
    score, dollars, value = random_case(5, m=m)
    row = row_of(judged_board(score, {OURS: value, "copy": value}, cost=dollars if cost else None), "copy")
    assert (row["delta"], row["delta_ci"], row["verdict"]) == (0.0, [0.0, 0.0], "tie")
    assert row["p_holm"] == 1.0


def test_without_ours_there_is_no_difference_and_the_reason_says_so() -> None:
    row = row_of(judged_board(LADDER, {"lr": LADDER}, cost=PRICES), "lr")
    assert (row["delta"], row["delta_ci"], row["verdict"], row["p_holm"]) == (None, None, None, None)
    assert OURS in row["reason"]


def test_ours_is_not_compared_with_itself(ladder: Board) -> None:
    row = row_of(ladder, OURS)
    assert (row["delta"], row["delta_ci"], row["verdict"]) == (None, None, None)
    assert "itself" in row["reason"]


def test_a_difference_that_survives_alone_may_be_a_tie_among_many() -> None:
    score, cost, value = random_case(6, n=60)
    rng = np.random.default_rng(7)
    others = {f"r{k}": np.clip(value + rng.normal(0, 0.3, value.shape), 0, 1) for k in range(8)}
    made = judged_board(score, {OURS: 0.7 * value + 0.3 * score, **others}, cost=cost)
    for row in (row for row in made["rows"] if row["delta"] is not None):
        significant = row["p_holm"] < 0.05 and not row["delta_ci"][0] <= 0 <= row["delta_ci"][1]
        assert row["verdict"] == (("better" if row["delta"] > 0 else "worse") if significant else "tie")


def test_a_router_that_took_no_part_has_every_key_and_the_reason() -> None:
    missing = entry("dataset-mean", None, reason="no query has a dataset")
    made = judged_board(LADDER, {OURS: LADDER, "lr": LADDER}, cost=PRICES, absent=[missing])
    row = row_of(made, "dataset-mean")
    assert set(row) == set(row_of(made, "lr"))
    assert row["reason"] == "no query has a dataset"
    assert {key for key, value in row.items() if value is not None} == {"router", "allowed", "reason"}


@pytest.mark.parametrize("cost", [True, False])
@pytest.mark.parametrize("m", [1, 2, 5])
@pytest.mark.parametrize("names", [(OURS, "lr"), (OURS,), ("lr",), ("cheapest", "random")])
def test_every_row_of_every_board_has_the_promised_keys_and_is_json(m: int, cost: bool, names: tuple[str, ...]) -> None:
    score, dollars, value = random_case(8, m=m)
    made = judged_board(score, dict.fromkeys(names, value), cost=dollars if cost else None)
    for row in made["rows"]:
        assert set(row) >= PROMISED
        assert len({frozenset(row) for row in made["rows"]}) == 1
    json.dumps(made, allow_nan=False)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), m=st.sampled_from([2, 3, 5]), cost=st.booleans())
def test_permuting_the_queries_changes_nothing(seed: int, m: int, cost: bool) -> None:
    score, dollars, value = random_case(seed, m=m)
    outcomes = table(score, dollars if cost else None)
    order = np.random.default_rng(seed).permutation(len(score))

    def made(index: npt.NDArray[np.intp]) -> Board:
        judge = Judge(outcomes.rows(index), dollars[index] if cost else None, seed=0)
        judged = [judge.judge(entry(OURS, value[index])), judge.judge(entry("lr", value[index][:, ::-1]))]
        return board(judge, judged, [], table="toy", protocol={})

    before, after = made(np.arange(len(score))), made(order)
    assert after["fingerprint"] == before["fingerprint"]
    for one, other in zip(before["rows"], after["rows"], strict=True):
        for key in ("apgr", "aiq", "accuracy", "regret", "cpt50", "costsave", "perfgain", "ece", "delta", "delta_ci"):
            assert other[key] == (None if one[key] is None else pytest.approx(one[key], abs=2e-6)), key


def test_equal_texts_are_drawn_together() -> None:
    score, cost, value = random_case(9, n=40)
    twice = [np.vstack([rows, rows]) for rows in (score, cost, value)]

    def width(unit: list[int]) -> float:
        judge = Judge(table(twice[0], twice[1], unit), twice[1], seed=0)
        low, high = judge.row(judge.judge(entry(OURS, twice[2])))["accuracy_ci"]
        return float(high - low)

    together, apart = width([*range(40), *range(40)]), width(list(range(80)))
    assert together / apart == pytest.approx(2**0.5, rel=0.15)


def test_the_same_seed_gives_the_same_board_to_the_last_digit() -> None:
    score, cost, value = random_case(10)
    first, second = (judged_board(score, {OURS: value, "lr": score}, cost=cost) for _ in range(2))
    assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def test_one_query_alone_is_refused() -> None:
    with pytest.raises(DataError, match="units"):
        Judge(table(LADDER[:1], PRICES[:1]), PRICES[:1], seed=0)


# --- tables on which a figure does not exist: the others still do

PLAIN = np.tile([[1.0, 0.0], [0.0, 1.0]], (10, 1))
UNJUDGEABLE: dict[str, tuple[Floats, Floats | None, str]] = {
    "a pair of equally good models": (PLAIN, None, "apgr"),
    "no answer that is any good": (np.zeros((20, 3)), PRICES[:1].repeat(20, axis=0), "perfgain"),
    "models that are all free": (LADDER, np.zeros((12, 3)), "aiq"),
    "fewer texts than folds": (LADDER[[0, 4, 8]], PRICES[:3], "perfgain"),
}


@pytest.mark.parametrize("case", UNJUDGEABLE)
def test_where_one_figure_does_not_exist_the_board_comes_out_without_it(case: str) -> None:
    score, cost, missing = UNJUDGEABLE[case]
    value = np.random.default_rng(0).random(score.shape)
    row = row_of(judged_board(score, {OURS: value, "lr": value}, cost=cost), "lr")
    assert row[missing] is None
    assert row["accuracy"] is not None
