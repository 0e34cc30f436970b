"""Choosing a policy for a share, a budget, a floor or a guarantee: by hand, and against slow searches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.errors import PolicyError
from router.outcome_policy import Floats, Threshold
from router.outcome_thresholds import (
    MOST_SET_ASIDE,
    STEPS,
    for_budget,
    for_floor,
    for_guarantee,
    for_share,
    grid,
    midpoints,
)

PAIR = ("weak", "strong")
THREE = ("small", "middle", "large")
PRICES = np.array([1.0, 2.0, 8.0])
VALUES = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 1000).map(lambda i: i / 1000))
TABLES = hnp.arrays(float, (7, 3), elements=VALUES)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def pair(margin: list[float]) -> Floats:
    """Values under which the strong model leads by each margin."""
    return np.array([[0.0, m] for m in margin])


def simulated(n: int, seed: int) -> tuple[Floats, Floats]:
    """Values and scores of a pair whose strong model leads more where the value says so. Simulated."""
    rng = np.random.default_rng(seed)
    lead = rng.uniform(-0.1, 0.4, n)
    u = rng.random((n, 1))
    score = (u < np.stack([np.full(n, 0.6), 0.6 + lead], axis=1)).astype(float)
    return np.stack([np.full(n, 0.6), 0.6 + lead], axis=1), score


def test_thresholds_stand_in_the_middle_between_values_that_differ() -> None:
    cut, kept = midpoints(np.array([0.2, 0.6, 0.1, 0.2]))
    assert cut.tolist() == pytest.approx([0.05, 0.15, 0.4, 0.8])
    assert kept.tolist() == pytest.approx([1.0, 0.75, 0.25, 0.0])


@pytest.mark.parametrize("margin", [[0.0, 5e-324], [1.0 - 2**-53, 1.0]], ids=["denormal", "last bit"])
def test_the_last_cut_stands_above_values_that_nothing_lies_between(margin: list[float]) -> None:
    cut, kept = midpoints(np.array(margin))
    assert ((np.array(margin) >= cut[:, None]).mean(axis=1) == kept).all()
    assert cut[-1] > margin[-1]


def test_half_of_the_calls_stay_with_the_strong_model() -> None:
    policy = for_share(pair([0.4, 0.1, 0.2, 0.3]), models=PAIR, against="strong", share=0.5)
    assert policy.threshold == pytest.approx(0.25)
    assert policy.choose(pair([0.4, 0.1, 0.2, 0.3]), None).model.tolist() == [1, 0, 0, 1]


def test_a_query_leaves_for_the_first_model_that_comes_close_enough() -> None:
    p = np.array([[0.0, 0.8, 1.0], [0.9, 0.0, 1.0], [0.0, 0.0, 1.0], [0.3, 0.4, 1.0]])
    policy = for_share(p, models=THREE, against="large", share=0.5, cost_usd=PRICES)
    assert policy.threshold == pytest.approx(0.4)
    assert policy.choose(p, PRICES).model.tolist() == [1, 0, 2, 2]


@settings(deadline=None, max_examples=50)
@given(margin=st.lists(st.floats(-1, 1), min_size=1, max_size=30, unique=True), share=st.floats(0, 1))
def test_the_share_is_met_to_within_one_query_where_values_differ(margin: list[float], share: float) -> None:
    p = pair(margin)
    policy = for_share(p, models=PAIR, against="strong", share=share)
    assert abs((policy.choose(p, None).model == 1).mean() - share) <= 0.5 / len(margin) + 1e-9


def test_a_share_that_ties_put_out_of_reach_is_refused_with_the_nearest() -> None:
    with pytest.raises(PolicyError, match=r"leaves 50.0% .* nearest leaves 20.0%"):
        for_share(pair([0.5] * 2 + [0.1] * 8), models=PAIR, against="strong", share=0.5)
    assert for_share(pair([0.5] * 2 + [0.1] * 8), models=PAIR, against="strong", share=0.2).threshold > 0.1


def test_the_cheapest_model_has_no_calls_to_save() -> None:
    with pytest.raises(PolicyError, match="no model is cheaper than weak"):
        for_share(pair([0.1, 0.2]), models=PAIR, against="weak", share=0.5)


def test_a_budget_buys_the_queries_where_a_dollar_is_worth_most() -> None:
    # going strong gains 0.4, 0.1, 0.3 for one dollar more each; 1 + 2/3 dollars in the mean pay for two of them
    p = np.array([[0.5, 0.9], [0.5, 0.6], [0.5, 0.8]])
    policy = for_budget(p, np.array([1.0, 2.0]), models=PAIR, budget_usd=5 / 3)
    assert policy.quality_per_usd == pytest.approx(0.2)
    assert policy.choose(p, np.array([1.0, 2.0])).model.tolist() == [1, 0, 1]
    assert for_budget(p, np.array([1.0, 2.0]), models=PAIR, budget_usd=1.6).quality_per_usd == pytest.approx(0.35)


def test_a_budget_for_everything_buys_the_best() -> None:
    policy = for_budget(np.array([[0.5, 0.9]]), np.array([1.0, 2.0]), models=PAIR, budget_usd=100.0)
    assert policy.quality_per_usd == 0.0


def test_a_budget_below_the_cheapest_is_refused_with_what_that_costs() -> None:
    with pytest.raises(PolicyError, match=r"costs \$1 in the mean"):
        for_budget(np.array([[0.5, 0.9]]), np.array([1.0, 2.0]), models=PAIR, budget_usd=0.99)


@settings(deadline=None, max_examples=50)
@given(p=TABLES, budget=st.floats(1, 8))
def test_a_budget_is_kept_and_no_smaller_price_of_quality_keeps_it(p: Floats, budget: float) -> None:
    chosen = for_budget(p, PRICES, models=THREE, budget_usd=budget)
    assert PRICES[chosen.choose(p, PRICES).model].mean() <= budget + 1e-6
    crossings = {0.0} | {
        (row[j] - row[i]) / (PRICES[j] - PRICES[i]) for row in p for i in range(3) for j in range(i + 1, 3)
    }
    points = sorted(c for c in crossings if c >= 0)
    middles = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(points) if b - a > 1e-9)]
    for lam in (lam for lam in middles if lam < chosen.quality_per_usd - 1e-9):
        utility = p - lam * PRICES
        cost = np.where(utility >= utility.max(axis=1, keepdims=True), PRICES, np.inf).min(axis=1).mean()
        same = np.isclose(cost, PRICES[chosen.choose(p, PRICES).model].mean())
        assert same or cost > budget


def test_the_floor_is_reached_at_the_lowest_cost() -> None:
    # at λ = 0 all go strong and score 0.75; the last query gains nothing by it, the third 0.1 by its value but 1 in truth
    p = np.array([[0.5, 0.9], [0.5, 0.8], [0.5, 0.6], [0.5, 0.55]])
    score = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    cost = np.array([1.0, 2.0])
    policy = for_floor(p, cost, score, models=PAIR, floor=0.75, confidence=None)
    assert policy.quality_per_usd == pytest.approx(0.075)
    assert policy.choose(p, cost).model.tolist() == [1, 1, 1, 0]
    assert for_floor(p, cost, score, models=PAIR, floor=0.5, confidence=None).choose(p, cost).model.sum() == 2


def test_the_lower_bound_asks_for_more_than_the_mean() -> None:
    # 100 queries, 90 right under the strong model: 0.9 − 1.645 · 0.3 / 10 = 0.8507
    score = np.stack([np.zeros(100), (np.arange(100) < 90).astype(float)], axis=1)
    p, cost = np.tile([0.1, 0.9], (100, 1)), np.array([1.0, 2.0])
    assert for_floor(p, cost, score, models=PAIR, floor=0.9, confidence=None).quality_per_usd == 0.0
    assert for_floor(p, cost, score, models=PAIR, floor=0.85).quality_per_usd == 0.0
    with pytest.raises(PolicyError, match=r"95% bound of the mean score over 100 queries is 0\.8507"):
        for_floor(p, cost, score, models=PAIR, floor=0.86)


def test_a_missing_score_is_no_failure_but_refused() -> None:
    with pytest.raises(PolicyError, match="missing cells"):
        for_floor(np.zeros((2, 2)), np.array([1.0, 2.0]), np.full((2, 2), np.nan), models=PAIR, floor=0.5)


@settings(deadline=None, max_examples=40)
@given(p=hnp.arrays(float, (9, 3), elements=VALUES), order=st.permutations(range(9)), share=st.sampled_from(SHARES))
def test_the_order_of_queries_changes_no_choice(p: Floats, order: list[int], share: float) -> None:
    def choose(table: Floats) -> object:
        try:
            return for_share(table, models=THREE, against="large", share=share)
        except PolicyError as refusal:
            return str(refusal)

    assert choose(p) == choose(p[order])
    budget = for_budget(p, PRICES, models=THREE, budget_usd=3.0)
    assert for_budget(p[order], PRICES, models=THREE, budget_usd=3.0) == budget


def test_the_grid_moves_about_as_many_queries_from_step_to_step() -> None:
    cuts = grid(pair([i / 1000 for i in range(1000)]), models=PAIR, against="strong")
    assert len(cuts) == STEPS
    assert cuts.tolist() == pytest.approx([(20 * k - 0.5) / 1000 for k in range(1, STEPS + 1)])


def test_with_many_models_the_first_steps_still_move_few_queries() -> None:
    rng = np.random.default_rng(9)
    names = (*(f"cheap-{i}" for i in range(10)), "dear")
    p = np.column_stack([rng.random((1000, 10)), np.full(1000, 1.0)])
    cuts = grid(p, models=names, against="dear")
    left = [(Threshold(models=names, against="dear", threshold=t).choose(p, None).model < 10).mean() for t in cuts]
    assert left[0] == pytest.approx(0.02)
    assert max(np.diff(left)) <= 0.02 + 1e-9
    last = Threshold(models=names, against="dear", threshold=float(cuts[-1])).choose(p, None).model
    assert (last == 0).all()


def test_a_router_that_tells_no_queries_apart_has_one_rule() -> None:
    assert grid(pair([0.3] * 50), models=PAIR, against="strong").tolist() == pytest.approx([0.8])


def test_a_guarantee_saves_calls_and_says_which_policy_does() -> None:
    p, score = simulated(3_000, seed=1)
    policy, made = for_guarantee(p, score, models=PAIR, against="strong", epsilon=0.03, delta=0.05, seed=0)
    assert isinstance(policy, Threshold)
    assert policy.threshold == made.threshold
    assert made.n == 3_000 - MOST_SET_ASIDE
    assert made.saved_calls > 0.2
    fresh_p, fresh_score = simulated(200_000, seed=2)
    model = policy.choose(fresh_p, None).model
    assert (fresh_score[:, 1] - fresh_score[np.arange(200_000), model]).mean() <= 0.03
    assert (model == 0).mean() == pytest.approx(made.saved_calls, abs=0.03)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), epsilons=st.tuples(st.floats(0.01, 0.5), st.floats(0.01, 0.5)))
def test_a_guarantee_with_a_larger_epsilon_never_saves_less(seed: int, epsilons: tuple[float, float]) -> None:
    p, score = simulated(300, seed)

    def saved(epsilon: float) -> float:
        try:
            made = for_guarantee(p, score, models=PAIR, against="strong", epsilon=epsilon, delta=0.1, seed=seed)[1]
        except PolicyError:
            return 0.0
        return made.saved_calls

    assert saved(min(epsilons)) <= saved(max(epsilons))


def test_given_reference_values_every_calibration_query_is_bet_on() -> None:
    p, score = simulated(500, seed=3)
    other = simulated(400, seed=4)[0]
    made = for_guarantee(
        p, score, models=PAIR, against="strong", epsilon=0.1, delta=0.1, seed=0, reference=other
    )[1]  # fmt: skip
    assert made.n == 500
    assert made.threshold in grid(other, models=PAIR, against="strong")


def test_equal_texts_are_set_aside_or_bet_on_together() -> None:
    p, score = simulated(300, seed=5)
    twice = np.repeat(np.arange(300), 2)
    made = for_guarantee(
        p[twice], score[twice], models=PAIR, against="strong", epsilon=0.2, delta=0.1, seed=0, unit=twice
    )[1]
    assert (made.n, made.n_queries) == (270, 540)


def test_three_models_share_the_calls_and_the_dollars_add_up() -> None:
    rng = np.random.default_rng(8)
    p = np.stack([rng.uniform(0.2, 0.9, 1500), rng.uniform(0.5, 0.9, 1500), np.full(1500, 0.9)], axis=1)
    score = (rng.random((1500, 3)) < p).astype(float)
    paid = np.tile(PRICES, (1500, 1))
    made = for_guarantee(
        p, score, models=THREE, against="large", epsilon=0.1, delta=0.1, seed=0, paid_usd=paid, cost_usd=PRICES
    )[1]
    assert min(made.share.values()) > 0.02
    assert sum(made.share.values()) == pytest.approx(1.0)
    assert made.expected_usd == pytest.approx(sum(made.share[m] * c for m, c in zip(THREE, PRICES, strict=True)))
    assert made.against_usd == pytest.approx(8.0)


def test_what_cannot_be_certified_is_refused_in_plain_words() -> None:
    p, score = simulated(60, seed=6)
    with pytest.raises(PolicyError, match="only always calling strong can be certified"):
        for_guarantee(p, score, models=PAIR, against="strong", epsilon=0.01, delta=0.05, seed=0)


def test_inputs_that_do_not_fit_are_refused() -> None:
    p, score = simulated(20, seed=7)
    with pytest.raises(PolicyError, match="no calibration queries"):
        for_guarantee(p[:0], score[:0], models=PAIR, against="strong", epsilon=0.1, delta=0.1, seed=0)
    with pytest.raises(PolicyError, match="one query cannot"):
        for_guarantee(p[:1], score[:1], models=PAIR, against="strong", epsilon=0.1, delta=0.1, seed=0)
    with pytest.raises(PolicyError, match="`score`"):
        for_guarantee(p, score[:5], models=PAIR, against="strong", epsilon=0.1, delta=0.1, seed=0)
    with pytest.raises(PolicyError, match="missing"):
        for_guarantee(p, score * np.nan, models=PAIR, against="strong", epsilon=0.1, delta=0.1, seed=0)
    with pytest.raises(PolicyError, match="no model 'huge'"):
        for_guarantee(p, score, models=PAIR, against="huge", epsilon=0.1, delta=0.1, seed=0)
    with pytest.raises(PolicyError, match="`share`"):
        for_share(p, models=PAIR, against="strong", share=1.5)
    with pytest.raises(PolicyError, match="`budget_usd`"):
        for_budget(p, np.array([1.0, 2.0]), models=PAIR, budget_usd=float("nan"))
    with pytest.raises(PolicyError, match="`confidence`"):
        for_floor(p, np.array([1.0, 2.0]), score, models=PAIR, floor=0.5, confidence=1.0)
