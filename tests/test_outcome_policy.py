"""Policies over models: hand-worked decisions, invariants, and records that survive JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.errors import PolicyError
from router.outcome_policy import (
    RULES,
    AnyPolicy,
    Budget,
    CheapestAbove,
    ExpectedUtility,
    Floats,
    Threshold,
    from_mapping,
    to_mapping,
)

PAIR = ("weak", "strong")
THREE = ("small", "middle", "large")
PRICES = np.array([1.0, 2.0, 8.0])
# few values, so that models tie
VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
TABLES = hnp.arrays(float, (6, 3), elements=VALUES)
COSTS = hnp.arrays(float, (6, 3), elements=st.sampled_from([0.0, 1.0, 2.0, 8.0]))
POLICIES: list[AnyPolicy] = [
    Threshold(models=THREE, against="large", threshold=0.125),
    CheapestAbove(models=THREE, floor=0.6),
    ExpectedUtility(models=THREE, quality_per_usd=0.07),
    Budget(models=THREE, budget_usd=2.5, quality_per_usd=0.07),
]


def decided(policy: AnyPolicy, p: list[list[float]], cost: Floats | None) -> list[tuple[str, str]]:
    choices = policy.choose(np.array(p), cost)
    return [(policy.models[m], RULES[r]) for m, r in zip(choices.model, choices.rule, strict=True)]


def test_a_pair_goes_strong_from_the_threshold_on() -> None:
    p = [[0.5, 0.74], [0.5, 0.75], [0.5, 0.76], [0.9, 0.1]]
    policy = Threshold(models=PAIR, against="strong", threshold=0.25)
    assert decided(policy, p, None) == [
        ("weak", "close-enough"),
        ("strong", "kept"),
        ("strong", "kept"),
        ("weak", "close-enough"),
    ]


def test_of_several_models_close_enough_the_cheapest_is_taken() -> None:
    p = [[0.5, 0.75, 1.0], [0.0, 0.75, 1.0], [0.0, 0.5, 1.0], [1.0, 1.0, 0.0]]
    policy = Threshold(models=THREE, against="large", threshold=0.6)
    assert [model for model, _ in decided(policy, p, PRICES)] == ["small", "middle", "middle", "small"]
    assert [model for model, _ in decided(policy, p[:3], np.array([3.0, 2.0, 8.0]))] == ["middle"] * 3


def test_a_dearer_model_never_replaces_the_one_that_is_kept() -> None:
    policy = Threshold(models=THREE, against="middle", threshold=0.0)
    assert decided(policy, [[0.1, 0.5, 1.0], [0.9, 0.5, 1.0]], PRICES) == [
        ("middle", "kept"),
        ("small", "close-enough"),
    ]


def test_the_cheapest_model_above_the_floor_answers_and_else_the_most_probable() -> None:
    p = [[0.6, 0.9, 0.95], [0.2, 0.6, 0.9], [0.2, 0.4, 0.3]]
    assert decided(CheapestAbove(models=THREE, floor=0.6), p, PRICES) == [
        ("small", "cheapest-above"),
        ("middle", "cheapest-above"),
        ("middle", "most-probable"),
    ]


def test_of_two_equally_probable_models_below_the_floor_the_cheaper_answers() -> None:
    policy = CheapestAbove(models=THREE, floor=0.9)
    assert decided(policy, [[0.4, 0.5, 0.5]], PRICES) == [("middle", "most-probable")]
    assert decided(policy, [[0.4, 0.5, 0.5]], np.array([1.0, 9.0, 8.0])) == [("large", "most-probable")]


def test_utility_trades_quality_for_dollars_query_by_query() -> None:
    # λ = 0.1: 0.5 − 0.1, 0.7 − 0.2, 1.0 − 0.8; then the large model is free for this one query
    cost = np.array([[1.0, 2.0, 8.0], [1.0, 2.0, 0.0]])
    policy = ExpectedUtility(models=THREE, quality_per_usd=0.1)
    assert [m for m, _ in decided(policy, [[0.5, 0.7, 1.0]] * 2, cost)] == ["middle", "large"]


def test_without_a_price_of_quality_the_best_model_answers_and_the_cheapest_of_the_best() -> None:
    policy = ExpectedUtility(models=THREE, quality_per_usd=0.0)
    assert [m for m, _ in decided(policy, [[0.1, 0.9, 0.9], [0.1, 0.2, 0.9]], PRICES)] == ["middle", "large"]


def test_a_budget_says_that_it_decided() -> None:
    policy = Budget(models=THREE, budget_usd=2.0, quality_per_usd=0.1)
    assert decided(policy, [[0.5, 0.7, 1.0]], PRICES) == [("middle", "within-budget")]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@settings(deadline=None, max_examples=30)
@given(p=TABLES, cost=COSTS, order=st.permutations(range(6)))
def test_decisions_follow_their_queries_when_queries_are_reordered(
    policy: AnyPolicy, p: Floats, cost: Floats, order: list[int]
) -> None:
    whole, moved = policy.choose(p, cost), policy.choose(p[order], cost[order])
    assert (moved.model == whole.model[order]).all()
    assert (moved.rule == whole.rule[order]).all()


@settings(deadline=None, max_examples=50)
@given(p=TABLES, cost=COSTS, floors=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_raising_the_floor_never_makes_a_query_cheaper(p: Floats, cost: Floats, floors: tuple[float, float]) -> None:
    rows = np.arange(len(p))
    low, high = (CheapestAbove(models=THREE, floor=floor).choose(p, cost).model for floor in sorted(floors))
    assert (cost[rows, high] >= cost[rows, low]).all()


@settings(deadline=None, max_examples=50)
@given(p=TABLES, cost=COSTS, thresholds=st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)))
def test_raising_the_threshold_never_makes_a_query_dearer(
    p: Floats, cost: Floats, thresholds: tuple[float, float]
) -> None:
    rows = np.arange(len(p))
    low, high = (
        Threshold(models=THREE, against="large", threshold=t).choose(p, cost).model for t in sorted(thresholds)
    )
    assert (cost[rows, high] <= cost[rows, low]).all()


@settings(deadline=None, max_examples=50)
@given(p=TABLES, cost=COSTS, lam=st.sampled_from([0.0, 0.03, 0.25, 1.0]))
def test_no_other_model_has_a_larger_utility(p: Floats, cost: Floats, lam: float) -> None:
    chosen = ExpectedUtility(models=THREE, quality_per_usd=lam).choose(p, cost).model
    for row, model in enumerate(chosen.tolist()):
        assert all(p[row, model] - lam * cost[row, model] >= p[row, j] - lam * cost[row, j] for j in range(3))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_a_policy_survives_json(policy: AnyPolicy) -> None:
    assert from_mapping(json.loads(json.dumps(to_mapping(policy), allow_nan=False))) == policy


def test_a_policy_reads_as_kind_models_and_parameters() -> None:
    assert to_mapping(POLICIES[0]) == {
        "kind": "threshold",
        "models": ["small", "middle", "large"],
        "parameters": {"against": "large", "threshold": 0.125},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "oracle"},
        {"kind": ["threshold"]},
        {"models": "small"},
        {"models": []},
        {"models": ["large", "large"]},
        {"models": ["small"]},
        {"parameters": {"threshold": 0.1}},
        {"parameters": {"against": "large", "threshold": "0.1"}},
        {"parameters": {"against": "large", "threshold": True}},
        {"parameters": {"against": "large", "threshold": float("nan")}},
        {"parameters": {"against": "large", "threshold": 0.1, "floor": 0.2}},
        {"parameters": None},
        {"extra": 1},
    ],
)
def test_a_mapping_that_is_no_policy_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(PolicyError):
        from_mapping(to_mapping(POLICIES[0]) | change)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize(
    ("p", "cost"),
    [
        (np.zeros((4, 2)), np.zeros(3)),
        (np.zeros(3), np.zeros(3)),
        (np.zeros((4, 3)), np.zeros(2)),
        (np.zeros((4, 3)), np.zeros((3, 4))),
        (np.full((4, 3), np.nan), np.zeros(3)),
        (np.zeros((4, 3)), np.array([1.0, np.nan, 2.0])),
        (np.zeros((4, 3)), np.array([1.0, np.inf, 2.0])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(policy: AnyPolicy, p: Floats, cost: Floats) -> None:
    with pytest.raises(PolicyError):
        policy.choose(p, cost)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
def test_no_queries_make_no_decisions(policy: AnyPolicy) -> None:
    choices = policy.choose(np.zeros((0, 3)), PRICES)
    assert (len(choices.model), len(choices.rule)) == (0, 0)


def test_a_policy_of_one_model_always_takes_it() -> None:
    one = ("only",)
    for policy in (
        Threshold(models=one, against="only", threshold=-1.0),
        CheapestAbove(models=one, floor=1.0),
        ExpectedUtility(models=one, quality_per_usd=1e9),
    ):
        assert policy.choose(np.array([[0.3], [0.9]]), np.array([5.0])).model.tolist() == [0, 0]


@pytest.mark.parametrize("policy", POLICIES[2:], ids=lambda policy: policy.kind)
def test_a_policy_that_spends_dollars_wants_to_know_them(policy: AnyPolicy) -> None:
    with pytest.raises(PolicyError, match="predicted costs"):
        policy.choose(np.zeros((2, 3)), None)


def test_parameters_outside_their_range_are_refused() -> None:
    for floor in (-0.1, 1.1, float("nan")):
        with pytest.raises(PolicyError, match="floor"):
            CheapestAbove(models=THREE, floor=floor)
    for lam in (-1.0, float("inf"), float("nan")):
        with pytest.raises(PolicyError, match="quality_per_usd"):
            ExpectedUtility(models=THREE, quality_per_usd=lam)
    with pytest.raises(PolicyError, match="budget_usd"):
        Budget(models=THREE, budget_usd=-1.0, quality_per_usd=0.0)
    with pytest.raises(PolicyError, match="no model 'huge'"):
        Threshold(models=THREE, against="huge", threshold=0.0)
    with pytest.raises(PolicyError, match="threshold"):
        Threshold(models=THREE, against="large", threshold=float("-inf"))
