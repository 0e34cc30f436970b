"""Routers over models: what they are fitted on, that each decision is its query's own, and how a policy is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import Matrix
from router.errors import DataError, FitError, PolicyError
from router.outcome_figures import mean_interval, outcome_figures
from router.outcome_policy import Budget, CheapestAbove, ExpectedUtility, Threshold
from router.outcome_router import ModelRouter, ScoredQueries
from router.outcome_targets import (
    ALWAYS,
    Target,
    best_single,
    certified_policy,
    near_best_single,
    parse_target,
    policy_for,
)
from router.outcome_training import divide, fit_outcome_router, without_axes
from router.success.fitting import fit_success
from tests.outcome_tables import COST_USD, MODELS, fitted, scored, table

PAIR = ("small", "large")
ORDER = st.lists(st.integers(0, 39), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def router() -> ModelRouter:
    return fitted()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(table(seed=1).texts[:40])


class Watched(HashingEncoder):
    """Remembers every text that it was asked to embed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def encode(self, texts: Any) -> Matrix:
        self.seen += list(texts)
        return super().encode(texts)


@settings(deadline=None, max_examples=25)
@given(order=ORDER)
def test_a_query_gets_the_same_decision_in_any_company_and_order(
    router: ModelRouter, texts: list[str], order: list[int]
) -> None:
    alone = {i: router.decide(texts[i]) for i in set(order)}
    assert router.decide_many([texts[i] for i in order]) == [alone[i] for i in order]


def test_a_decision_says_what_the_policy_chose_from_what_was_read(router: ModelRouter, texts: list[str]) -> None:
    reading = router.read(texts)
    choices = router.policy.choose(reading.p, reading.expected_usd)
    for i, decision in enumerate(router.decide_many(texts)):
        assert decision.model == MODELS[choices.model[i]]
        assert list(decision.probabilities.values()) == reading.p[i].tolist()
        assert decision.confidence == decision.probabilities[decision.model]
        assert reading.expected_usd is not None
        assert decision.expected_cost_usd == dict(zip(MODELS, reading.expected_usd[i].tolist(), strict=True))


def test_probabilities_have_six_decimals_and_lie_within_0_and_1(router: ModelRouter, texts: list[str]) -> None:
    p = router.read(texts).p
    assert (np.round(p, 6) == p).all()
    assert ((p >= 0) & (p <= 1)).all()


def test_no_texts_get_no_decisions(router: ModelRouter) -> None:
    assert router.decide_many([]) == []


@pytest.mark.parametrize("bad", ["", " \n", "bell \x07", "half \ud800", "a" * 1_000_000])
def test_a_text_that_is_no_query_is_refused_by_its_position(router: ModelRouter, bad: str) -> None:
    with pytest.raises(PolicyError, match=r"query 2 of 2 .* `weighbridge data check`"):
        router.decide_many(["fine", bad])


def test_it_learns_from_the_words_which_model_is_good_enough(router: ModelRouter) -> None:
    outcomes = table(seed=5)
    figures = outcome_figures(router.policy, router.scored(outcomes))
    always = outcomes.cost_usd[:, MODELS.index("large")].mean()
    assert figures["score"] > 0.88  # always `large` 0.93, always `small` 0.37
    assert figures["recorded_usd"] < 0.8 * always
    kinds = {kind: router.read([t for t, own in zip(outcomes.texts, outcomes.dataset, strict=True) if own == kind]).p for kind in ("sum", "proof")}  # fmt: skip
    assert kinds["sum"][:, 0].mean() > 0.8
    assert kinds["proof"][:, 0].mean() < 0.3


def test_expected_dollars_stay_within_what_was_recorded_and_near_its_mean(router: ModelRouter) -> None:
    expected = router.read(table(seed=5).texts).expected_usd
    assert expected is not None
    assert (expected >= 0.5 * np.array(COST_USD) - 1e-12).all()
    assert (expected <= 1.5 * np.array(COST_USD) + 1e-12).all()
    assert expected.mean(axis=0) == pytest.approx(np.array(COST_USD), rel=0.1)


def test_a_table_without_costs_gives_decisions_without_dollars(texts: list[str]) -> None:
    without = fitted(costs=False)
    assert without.costs is None
    assert without.decide(texts[0]).expected_cost_usd is None
    assert isinstance(without.policy, Threshold)


def test_a_policy_that_weighs_dollars_is_refused_where_none_are_known() -> None:
    policy = ExpectedUtility(models=MODELS, quality_per_usd=10.0)
    with pytest.raises(PolicyError, match="no costs"):
        fitted(costs=False).with_policy(policy, why="wanted")


def test_a_policy_over_other_models_is_refused(router: ModelRouter) -> None:
    with pytest.raises(PolicyError, match="wanted small, middle, large"):
        router.with_policy(CheapestAbove(models=PAIR, floor=0.5), why="wanted")


def test_a_guarantee_does_not_outlive_its_policy(router: ModelRouter) -> None:
    sure = router.with_policy(router.policy, why="certified", guarantee={"epsilon": 0.1})
    assert sure.with_policy(router.policy, why="another").guarantee is None


# What it is fitted on


def test_a_fifth_of_train_is_held_out_by_text_where_the_table_has_no_calibration() -> None:
    outcomes = replace(table(), unit=np.arange(300) // 2)
    parts = divide(outcomes, seed=3)
    assert parts.carved
    assert parts.calibration.sum() == pytest.approx(0.2 * 200, abs=2)
    assert not set(outcomes.unit[parts.train]) & set(outcomes.unit[parts.calibration])
    assert {outcomes.split[i] for i in np.flatnonzero(parts.train | parts.calibration)} == {"train"}
    assert (divide(outcomes, seed=4).calibration != parts.calibration).any()


def test_the_tables_own_calibration_rows_are_used_and_all_of_train_fits() -> None:
    outcomes = table()
    split = tuple("calibration" if i % 10 == 0 else "train" if i % 2 else None for i in range(300))
    parts = divide(replace(outcomes, split=split), seed=0)
    assert not parts.carved
    assert np.flatnonzero(parts.calibration).tolist() == list(range(0, 300, 10))
    assert np.flatnonzero(parts.train).tolist() == [i for i in range(300) if i % 10 and i % 2]


def test_a_table_without_splits_is_all_train_but_for_rows_that_nobody_scored() -> None:
    outcomes = table(splits=False)
    score = outcomes.score.copy()
    score[7] = np.nan
    parts = divide(replace(outcomes, score=score), seed=0)
    assert (parts.train | parts.calibration).sum() == 299
    assert not (parts.train | parts.calibration)[7]


def test_test_rows_are_not_even_looked_at() -> None:
    encoder, outcomes = Watched(), table(120)
    fit_outcome_router(outcomes, encoder, seed=0)
    assert set(encoder.seen) == {t for t, split in zip(outcomes.texts, outcomes.split, strict=True) if split == "train"}


def test_training_remembers_its_queries_and_keeps_the_others_for_calibration(router: ModelRouter) -> None:
    outcomes = table()
    train = {name for name, split in zip(outcomes.ids, outcomes.split, strict=True) if split == "train"}
    assert set(router.training.ids) | set(router.calibration.ids) == train
    assert not set(router.training.ids) & set(router.calibration.ids)
    i = outcomes.ids.index(router.calibration.ids[3])
    assert router.calibration.score[3].tolist() == outcomes.score[i].tolist()
    assert router.calibration.p[3].tolist() == list(router.decide(outcomes.texts[i]).probabilities.values())


def test_a_cost_that_was_not_recorded_is_filled_for_training_and_stays_missing_for_calibration() -> None:
    outcomes = table(120)
    cost = outcomes.cost_usd.copy()
    cost[::2] = np.nan
    made = fit_outcome_router(replace(outcomes, cost_usd=cost), HashingEncoder(), seed=0)
    assert made.costs is not None
    assert np.isnan(made.calibration.paid_usd).any()
    facts = made.fitted["costs"]["small"]
    assert (facts["recorded"], facts["calls"]) == (
        sum(int(name[1:]) % 2 for name in made.training.ids),
        len(made.training),
    )


def test_missing_scores_are_lived_with_and_stay_missing() -> None:
    outcomes = table(120)
    score = outcomes.score.copy()
    score[::5, 1] = np.nan
    made = fit_outcome_router(replace(outcomes, score=score), HashingEncoder(), seed=0)
    assert np.isnan(made.training.score).any()
    assert np.isfinite(made.read(outcomes.texts).p).all()


def test_the_policy_that_is_given_is_the_policy() -> None:
    policy = CheapestAbove(models=MODELS, floor=0.7)
    made = fit_outcome_router(table(120), HashingEncoder(), seed=0, policy=policy)
    assert made.policy == policy
    assert made.fitted["policy"] == "as it was given"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"use": "evaluation-only"}, DataError, "must not fit"),
        ({"split": ("test",) * 120}, DataError, "none of them is a training row"),
        ({"unit": np.zeros(120, dtype=np.intp)}, DataError, "more than one split"),
        ({"score": np.full((120, 3), np.nan)}, DataError, "none of them is a training row"),
    ],
)
def test_a_table_that_must_not_or_cannot_train_is_refused(
    change: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        fit_outcome_router(replace(table(120), **change), HashingEncoder(), seed=0)


def test_one_model_leaves_nothing_to_choose() -> None:
    with pytest.raises(FitError, match="two or more"):
        fit_outcome_router(table(120, models=("small",)), HashingEncoder(), seed=0)


def test_a_model_that_no_training_query_scores_is_named_with_the_way_out() -> None:
    outcomes = table(120)
    score = outcomes.score.copy()
    score[np.array(outcomes.split) == "train", 1] = np.nan
    with pytest.raises(FitError, match=r"score of middle.*--models small,large"):
        fit_outcome_router(replace(outcomes, score=score), HashingEncoder(), seed=0)


def test_weights_per_term_say_what_axes_and_weights_along_them_said(texts: list[str]) -> None:
    outcomes, rows = table(200), HashingEncoder().encode(table(200).texts)
    made = fit_success(
        outcomes.texts, rows, rows, outcomes.score, models=MODELS, dataset=outcomes.dataset, unit=outcomes.unit, seed=0
    )
    lean, asked = without_axes(made), HashingEncoder().encode(texts)
    assert made.word_space is not None
    assert lean.word_space is not None
    assert lean.word_space.axes.shape == (len(made.word_space.ngrams.terms), 3)
    assert lean.views(texts, asked, asked)["words"] == pytest.approx(made.views(texts, asked, asked)["words"], abs=1e-6)


# Reading a table


def test_a_tables_models_may_stand_in_any_order_and_be_more(router: ModelRouter) -> None:
    outcomes = table(30, seed=2)
    cells: dict[str, Any] = {
        name: np.column_stack([np.zeros(30), getattr(outcomes, name)[:, [2, 0, 1]]])
        for name in ("score", "cost_usd", "input_tokens", "output_tokens", "latency_ms")
    }
    turned = replace(outcomes, models=("other", "large", "small", "middle"), **cells)
    assert router.scored(turned).score.tolist() == outcomes.score.tolist()
    assert router.scored(turned).paid_usd.tolist() == outcomes.cost_usd.tolist()


def test_a_table_without_one_of_its_models_is_refused(router: ModelRouter) -> None:
    with pytest.raises(DataError, match="nothing of middle"):
        router.scored(table(30, models=PAIR))


# Choosing a policy


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [("share=0.3", "share", 0.3), (" budget = 5e-4 ", "budget", 0.0005), ("floor=1", "floor", 1.0), ("guarantee", "guarantee", None)],
)  # fmt: skip
def test_a_target_is_read_as_it_is_said(text: str, kind: Any, value: float | None) -> None:
    assert parse_target(text) == Target(kind=kind, value=value)


@pytest.mark.parametrize("text", ["", "share", "share=", "share=a", "share=nan", "share=inf", "guarantee=0.1", "speed=2", "share=0.1=2"])  # fmt: skip
def test_what_is_no_target_is_refused_with_the_list_of_forms(text: str) -> None:
    with pytest.raises(PolicyError, match=r"wanted one of share=0\.3, budget"):
        parse_target(text)


# small is wrong on the third and fourth query; p knows the fourth alone
FOUR = scored([[0.9, 0.9], [0.8, 0.9], [0.7, 0.9], [0.1, 0.9]], [[1, 1], [1, 1], [0, 1], [0, 1]], usd=[1.0, 3.0])


@pytest.mark.parametrize("dollars", [True, False])
def test_without_an_ask_calls_leave_the_best_single_model_while_nothing_is_lost(dollars: bool) -> None:
    sample = FOUR if dollars else replace(FOUR, expected_usd=None)
    policy, why = near_best_single(sample, models=PAIR)
    assert policy.choose(sample.p, sample.expected_usd).model.tolist() == [0, 0, 1, 1]
    assert (
        why == "as good as large (mean score 1.0000 on 4 calibration queries) within 0.01, with the fewest of its calls"
    )


def test_where_the_first_step_loses_it_is_always_the_best_single_model() -> None:
    backwards = replace(FOUR, p=FOUR.p[::-1])
    policy, why = near_best_single(backwards, models=PAIR)
    assert policy == Threshold(models=PAIR, against="large", threshold=ALWAYS)
    assert policy.choose(np.array([[1.0, 0.0]]), None).model.tolist() == [1]
    assert why.startswith("always large")


def test_where_the_best_single_model_is_the_cheapest_there_is_nothing_to_leave_it_for() -> None:
    policy, _ = near_best_single(scored([[0.2, 0.9]] * 3, [[1, 0]] * 3, usd=[1.0, 2.0]), models=PAIR)
    assert (policy.against, policy.threshold) == ("small", ALWAYS)


def test_a_loss_that_might_be_chance_is_not_risked_on_few_queries_and_is_on_many() -> None:
    # one in 200 loses: a mean of −0.005, with a lower bound of −0.0132 over 200 queries and of −0.0063 over 8,000
    p, score = [[0.9, 0.9]] * 200, [[1, 1]] * 199 + [[0, 1]]
    assert near_best_single(scored(p, score), models=PAIR)[0].threshold == ALWAYS
    assert near_best_single(scored(p * 40, score * 40), models=PAIR)[0].threshold > 0


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 30), m=st.integers(2, 4), dollars=st.booleans(), ties=st.booleans()
)
def test_the_policy_of_no_ask_loses_at_most_a_hundredth_on_its_sample_to_the_best_single_model(
    seed: int, n: int, m: int, dollars: bool, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 3, (n, m)) / 2 if ties else rng.random((n, m))
    usd = rng.choice([0.0, 1.0, 2.0], m).tolist() if dollars else None
    sample = scored(p.tolist(), rng.integers(0, 2, (n, m)).tolist(), usd=usd)
    policy, _ = near_best_single(sample, models=tuple("abcd"[:m]))
    assert outcome_figures(policy, sample)["score"] >= sample.score.mean(axis=0).max() - 0.01 - 1e-6


def test_each_target_reaches_what_it_asks() -> None:
    share = policy_for(Target(kind="share", value=0.25), FOUR, models=PAIR)
    assert share.choose(FOUR.p, FOUR.expected_usd).model.tolist() == [0, 0, 0, 1]
    budget = policy_for(Target(kind="budget", value=2.0), FOUR, models=PAIR)
    assert isinstance(budget, Budget)
    assert budget.choose(FOUR.p, FOUR.expected_usd).model.tolist() == [0, 0, 1, 1]
    floor = policy_for(Target(kind="floor", value=0.9), FOUR, models=PAIR)
    assert isinstance(floor, ExpectedUtility)
    assert floor.choose(FOUR.p, FOUR.expected_usd).model.tolist() == [0, 0, 1, 1]
    each = policy_for(Target(kind="each", value=0.75), FOUR, models=PAIR)
    assert each.choose(FOUR.p, FOUR.expected_usd).model.tolist() == [0, 0, 1, 1]
    by_price = policy_for(Target(kind="lambda", value=0.06), FOUR, models=PAIR)
    assert by_price.choose(FOUR.p, FOUR.expected_usd).model.tolist() == [0, 0, 1, 1]


def test_a_floor_without_dollars_is_a_threshold_and_one_that_nothing_reaches_is_refused() -> None:
    without = replace(FOUR, expected_usd=None)
    reached = policy_for(Target(kind="floor", value=0.9), without, models=PAIR)
    assert isinstance(reached, Threshold)
    assert reached.choose(FOUR.p, None).model.tolist() == [0, 0, 1, 1]
    with pytest.raises(PolicyError, match=r"no threshold against small reaches the floor 0\.9"):
        policy_for(Target(kind="floor", value=0.9), without, models=PAIR, against="small")


@pytest.mark.parametrize("kind", ["budget", "lambda"])
def test_a_target_in_dollars_is_refused_where_none_are_known(kind: Any) -> None:
    with pytest.raises(PolicyError, match="needs dollars"):
        policy_for(Target(kind=kind, value=1.0), replace(FOUR, expected_usd=None), models=PAIR)


def test_a_model_that_is_not_there_is_refused_for_every_target() -> None:
    for kind in ("share", "floor", "each"):
        with pytest.raises(PolicyError, match="no model 'huge'"):
            policy_for(Target(kind=kind, value=0.5), FOUR, models=PAIR, against="huge")


def test_without_complete_queries_nothing_is_chosen() -> None:
    empty = FOUR.rows(np.zeros(4, dtype=bool))
    for choose in (
        lambda: policy_for(Target(kind="share", value=0.5), empty, models=PAIR),
        lambda: near_best_single(empty, models=PAIR),
        lambda: certified_policy(empty, models=PAIR, against="large", epsilon=0.1, delta=0.1, seed=0),
    ):
        with pytest.raises(PolicyError, match="no calibration query has the score of every model"):
            choose()


# Figures


def test_figures_by_hand() -> None:
    sample = replace(FOUR, paid_usd=np.array([[1.0, 3.0], [np.nan, 3.0], [1.0, 3.0], [1.0, 5.0]]))
    figures = outcome_figures(CheapestAbove(models=PAIR, floor=0.65), sample)
    assert figures["share"] == {"small": 0.75, "large": 0.25}
    assert (figures["n"], figures["units"], figures["score"], figures["delta"]) == (4, 4, 0.75, -0.25)
    assert figures["expected_usd"] == 1.5
    assert (figures["recorded_usd"], figures["priced"]) == (round((1 + 1 + 5) / 3, 12), 3)
    assert figures["best_single"] == {"model": "large", "score": 1.0, "recorded_usd": 3.5}


def test_queries_of_one_group_count_as_one_when_the_interval_is_made() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    alone = mean_interval(values, np.arange(6))
    repeated = mean_interval(np.repeat(values, 3), np.repeat(np.arange(6), 3))
    assert alone == repeated
    # sd 0.547723 of the six, over √6, times 1.959964
    assert alone == pytest.approx([0.5 - 0.438261, 0.5 + 0.438261], abs=2e-6)


@pytest.mark.parametrize("units", [[], [0], [3, 3]])
def test_an_interval_needs_two_groups(units: list[int]) -> None:
    assert mean_interval(np.ones(len(units)), np.array(units, dtype=np.intp)) is None


def test_of_equal_models_the_first_is_the_best_single_one() -> None:
    sample: ScoredQueries = scored([[0.5, 0.5]] * 3, [[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]])
    assert best_single(sample) == 0
