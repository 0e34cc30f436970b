"""The outcome routers to compare with: each keeps the protocol, and says what its docstring says on problems worked by hand."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.baselines.outcomes import ROUTERS, Queries
from router.baselines.outcomes.avengers import Avengers
from router.baselines.outcomes.bestlabel import BestLabel, best_models
from router.baselines.outcomes.clusters import ClusterMeans, shrunk_means
from router.baselines.outcomes.constant import BestSingle, Cheapest, RandomMix
from router.baselines.outcomes.datasetmean import DatasetMean
from router.baselines.outcomes.factorisation import MatrixFactorisation
from router.baselines.outcomes.forest import ForestOutcomes
from router.baselines.outcomes.learning import choose, stopping_early
from router.baselines.outcomes.linear import fit_logistic
from router.baselines.outcomes.logistic import LogisticOutcomes
from router.baselines.outcomes.mlp import NeuralOutcomes
from router.baselines.outcomes.neighbours import KS, NearestOutcomes, SearchedNeighbours
from router.baselines.outcomes.protocol import OutcomeRouter
from router.baselines.outcomes.ridge import ALPHAS, RidgeOutcomes
from router.baselines.outcomes.rowwise import BLOCK, product, settled
from router.baselines.outcomes.softlabels import MARGINALS, joint_shares, single_shares
from router.baselines.outcomes.svm import SupportVectors
from router.errors import FitError
from tests.conformance import flawed_outcome_routers as flawed
from tests.conformance import outcome_router as conformance
from tests.conformance.outcome_router import Check, fresh, outcomes_of, problem

CONSTANT = ("cheapest", "best-single", "random")
EVERY = pytest.mark.parametrize("name", list(ROUTERS))
NAN = math.nan
LIGHT = "import router.baselines.outcomes, sys; print(*(set(sys.modules) & {'sklearn', 'scipy', 'pandas', 'torch'}))"


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@EVERY
def test_every_router_keeps_every_promise(name: str, check: Check) -> None:
    check(ROUTERS[name])


@pytest.mark.parametrize("name", [name for name in ROUTERS if name not in CONSTANT])
def test_every_router_that_looks_at_the_query_learns_what_its_words_say(name: str) -> None:
    conformance.it_learns_what_the_words_say(ROUTERS[name])


@pytest.mark.parametrize("check", [*conformance.CHECKS, *conformance.LEARNS], ids=lambda check: check.__name__)
def test_every_promise_is_checked_so_that_a_router_which_breaks_it_fails(check: Check) -> None:
    with pytest.raises(AssertionError):
        check(flawed.ROUTERS[check])


def queries(embedding: Sequence[Sequence[float]], dataset: Sequence[str | None] | None = None) -> Queries:
    rows = np.array(embedding, dtype=np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Queries(
        texts=[f"text {i}" for i in range(len(rows))], embedding=unit, sentence_dim=rows.shape[1], dataset=dataset
    )


def fitted(router: OutcomeRouter, known: Queries, score: Sequence[Sequence[float]]) -> OutcomeRouter:
    return router.fit(known, outcomes_of(known, np.array(score, dtype=np.float64)), seed=0)


def said(router: OutcomeRouter, *embedding: Sequence[float]) -> list[list[float]]:
    return [[float(value) for value in row] for row in router.predict(queries(embedding))]


def test_the_leaderboard_has_its_routers_in_order() -> None:
    assert list(ROUTERS) == [
        *("lr", "lr-cv", "knn-5", "knn-20", "knn-40", "knn-100", "knn-cv", "ridge", "svm", "mlp", "forest"),
        "kmeans-60",
        *("avengers", "mf", "best-label", "dataset-mean", "cheapest", "best-single", "random"),
    ]


def test_only_the_mean_of_a_known_dataset_is_not_allowed() -> None:
    assert [name for name, make in ROUTERS.items() if not make().allowed] == ["dataset-mean"]


def test_importing_the_routers_loads_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.split() == []


@EVERY
def test_a_table_without_a_single_score_is_refused(name: str) -> None:
    known, outcomes = problem(12)
    with pytest.raises(FitError, match="none of 12 training queries has a score"):
        ROUTERS[name]().fit(known, replace(outcomes, score=np.full((12, 2), NAN)), seed=0)


@EVERY
def test_a_table_for_evaluation_only_is_refused(name: str) -> None:
    known, outcomes = problem(12)
    with pytest.raises(FitError, match="evaluation-only"):
        ROUTERS[name]().fit(known, replace(outcomes, use="evaluation-only"), seed=0)


@EVERY
def test_queries_that_are_not_the_rows_of_the_table_are_refused(name: str) -> None:
    known, outcomes = problem(12)
    with pytest.raises(FitError, match="11 queries and 12 rows"):
        ROUTERS[name]().fit(known.rows(np.arange(11)), outcomes, seed=0)


@EVERY
def test_one_row_and_one_model_are_enough_to_say_something(name: str) -> None:
    known, outcomes = problem(1, models=1)
    assert np.isfinite(ROUTERS[name]().fit(known, outcomes, seed=0).predict(fresh(9))).all()


@EVERY
def test_a_model_that_nobody_scored_is_no_reason_to_fail(name: str) -> None:
    known, outcomes = problem(30, models=3)
    score = outcomes.score.copy()
    score[:, 1] = NAN
    values = ROUTERS[name]().fit(known, replace(outcomes, score=score), seed=0).predict(fresh(9))
    assert values.shape == (9, 3)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", ["lr", "knn-cv", "svm", "mlp", "forest", "kmeans-60", "mf", "best-label"])
def test_texts_that_are_all_the_same_leave_nothing_to_choose_by_and_are_accepted(name: str) -> None:
    known, outcomes = problem(20)
    same = np.zeros(20, dtype=np.intp)
    again = known.rows(same)
    values = ROUTERS[name]().fit(again, outcomes_of(again, outcomes.score), seed=0).predict(again)
    assert np.isfinite(values).all()


# --- nearest neighbours -----------------------------------------------------------------------------------------------


def test_the_value_is_the_mean_score_of_the_nearest() -> None:
    # Cosines to [1, 0]: 1, 0.8, 0, -1. Of two neighbours: (1 + 0) / 2 and (0.5 + 1) / 2.
    router = fitted(
        NearestOutcomes(2), queries([[0, 1], [1, 0], [-1, 0], [4, 3]]), [[9e-1, 0], [1, 0.5], [1, 1], [0, 1]]
    )
    assert said(router, [1, 0]) == [[0.5, 0.75]]


def test_equally_near_queries_count_in_the_order_of_the_table() -> None:
    router = fitted(NearestOutcomes(1), queries([[3, 4], [3, -4]]), [[0.25], [0.75]])
    assert said(router, [1, 0]) == [[0.25]]


def test_a_missing_score_has_no_voice_and_without_any_voice_the_mean_speaks() -> None:
    # Neighbours of [1, 0]: rows 0 and 1. Model 0 has one score there, model 1 none; model 1's mean is (1 + 0) / 2.
    known = queries([[1, 0], [4, 3], [0, 1], [-1, 0]])
    router = fitted(NearestOutcomes(2), known, [[1, NAN], [NAN, NAN], [0, 1], [0, 0]])
    assert said(router, [1, 0]) == [[1.0, 0.5]]


def test_more_neighbours_than_rows_are_all_of_them() -> None:
    router = fitted(NearestOutcomes(100), queries([[1, 0], [0, 1], [1, 1], [1, 2]]), [[1], [0], [0], [0]])
    assert said(router, [5, 1], [1, 9]) == [[0.25], [0.25]]


def test_inner_validation_prefers_few_neighbours_where_few_are_alike_and_many_where_all_are_noise() -> None:
    rng = np.random.default_rng(0)
    angle = np.repeat(np.arange(60), 8) * (2 * np.pi / 60) + rng.normal(0, 0.005, 480)
    circle = queries(np.column_stack([np.cos(angle), np.sin(angle)]).tolist())
    patches = (np.repeat(np.arange(60), 8) % 2).astype(float)[:, None]
    noise = rng.permutation(np.arange(480) % 2).astype(float)[:, None]
    few, many = SearchedNeighbours(), SearchedNeighbours()
    fitted(few, circle, patches.tolist())
    fitted(many, circle, noise.tolist())
    assert few.k == 5
    assert many.k == KS[-1]


# --- logistic regression ----------------------------------------------------------------------------------------------


def test_a_pair_is_one_multinomial_whose_difference_is_only_strong_minus_only_weak() -> None:
    known, outcomes = problem(90)
    router = LogisticOutcomes().fit(known, outcomes, seed=0)
    asked = fresh(30)
    assert router.pair_ is not None
    p = router.pair_.probabilities(asked.sentence)  # neither, weak only, strong only, both
    values = router.predict(asked)
    assert values[:, 1] - values[:, 0] == pytest.approx(p[:, 2] - p[:, 1], abs=1e-8)
    assert values[:, 0] == pytest.approx(p[:, 1] + p[:, 3], abs=1e-8)


def test_more_models_get_a_binary_regression_each() -> None:
    from sklearn.linear_model import LogisticRegression

    known, outcomes = problem(90, models=3)
    router = LogisticOutcomes().fit(known, outcomes, seed=0)
    alone = router.models_[1]
    assert alone is not None
    slow = min(
        (
            LogisticRegression(C=C, max_iter=300).fit(known.sentence.astype(float), outcomes.score[:, 1])
            for C in (0.1, 0.3, 1.0, 3.0, 10.0)
        ),
        key=lambda model: float(
            np.abs(model.predict_proba(fresh().sentence)[:, 1] - router.predict(fresh())[:, 1]).max()
        ),
    )
    assert router.predict(fresh())[:, 1] == pytest.approx(slow.predict_proba(fresh().sentence)[:, 1], abs=1e-3)


def test_a_graded_score_weighs_its_row_as_so_many_successes_and_failures() -> None:
    rows = queries([[1, 0], [0, 1], [1, 1]]).sentence
    graded = fit_logistic(rows, single_shares(np.array([0.75, 0.25, 0.5])), C=1.0)
    four = np.repeat(rows, 4, axis=0)
    counted = fit_logistic(four, single_shares(np.array([1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0.0])), C=0.25)
    assert graded.probabilities(rows) == pytest.approx(counted.probabilities(rows), abs=1e-3)


def test_a_class_that_never_occurred_has_probability_0_and_one_alone_1() -> None:
    rows = queries([[1, 0], [0, 1], [1, 1]]).sentence
    two_of_three = fit_logistic(rows, np.eye(3)[[0, 2, 2]], C=1.0).probabilities(rows)
    assert two_of_three[:, 1].tolist() == [0, 0, 0]
    assert two_of_three.sum(axis=1) == pytest.approx([1, 1, 1])
    assert fit_logistic(rows, np.eye(3)[[1, 1, 1]], C=1.0).probabilities(rows).tolist() == [[0, 1, 0]] * 3


@settings(deadline=None, max_examples=40)
@given(score=hnp.arrays(np.float64, (5, 2), elements=st.floats(0, 1)))
def test_joint_shares_are_a_distribution_with_the_scores_as_its_margins(score: np.typing.NDArray[np.float64]) -> None:
    shares = joint_shares(score)
    assert shares.min() >= 0
    assert shares.sum(axis=1) == pytest.approx(np.ones(5))
    assert shares @ MARGINALS == pytest.approx(score)


def test_of_settings_that_do_equally_well_the_first_is_taken_and_one_unit_alone_takes_the_middle() -> None:
    many = np.arange(8)
    assert choose((1, 2, 3), lambda *_: 0.0, many, seed=0, k=2) == 1
    assert choose((1, 2, 3), lambda setting, *_: -setting, many, seed=0, k=2) == 3
    assert choose((1, 2, 3), lambda setting, *_: -setting, np.zeros(8, dtype=np.intp), seed=0, k=2) == 2


def test_equal_texts_are_never_held_out_from_each_other() -> None:
    unit = np.array([0, 1, 0, 2, 1, 3, 3, 0])

    def loss(_: int, seen: np.typing.NDArray[np.intp], held: np.typing.NDArray[np.intp]) -> float:
        assert not set(unit[seen]) & set(unit[held])
        return 0.0

    assert choose((1, 2), loss, unit, seed=3, k=2) == 1


# --- ridge, support vectors, network, forest --------------------------------------------------------------------------


def test_ridge_is_scikit_learns_at_the_alpha_that_a_hat_matrix_chooses() -> None:
    from sklearn.linear_model import Ridge

    known, outcomes = problem(50, models=3)
    X, Y = known.sentence.astype(np.float64), outcomes.score
    centred = X - X.mean(axis=0)

    def slow_gcv(alpha: float) -> float:
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(X.shape[1]), centred.T) + 1 / len(X)
        left = Y - hat @ Y
        return float(len(X) * (left**2).sum() / (len(X) - np.trace(hat)) ** 2)

    router = RidgeOutcomes().fit(known, outcomes, seed=0)
    assert router.alpha_ == min(ALPHAS, key=slow_gcv)
    assert router.predict(fresh()) == pytest.approx(Ridge(router.alpha_).fit(X, Y).predict(fresh().sentence), abs=1e-6)


def test_a_missing_score_leaves_its_models_row_out_of_the_ridge() -> None:
    from sklearn.linear_model import Ridge

    known, outcomes = problem(50)
    score, odd = outcomes.score.copy(), np.arange(1, 50, 2)
    score[::2, 1] = NAN
    router = RidgeOutcomes().fit(known, replace(outcomes, score=score), seed=0)
    slow = Ridge(router.alpha_).fit(known.sentence[odd].astype(np.float64), score[odd, 1])
    assert router.predict(fresh())[:, 1] == pytest.approx(slow.predict(fresh().sentence), abs=1e-6)


def test_platts_sigmoid_gives_the_share_of_successes_where_the_margin_says_nothing() -> None:
    # The rows are all one: every margin is the same, and 15 of 20 successes are smoothed to (15 · 16/17 + 5 · 1/7) / 20.
    known = queries([[1, 0]] * 20)
    router = fitted(SupportVectors(), known, [[float(i % 4 > 0)] for i in range(20)])
    assert said(router, [1, 0])[0][0] == pytest.approx((15 * 16 / 17 + 5 / 7) / 20, abs=2e-3)


def test_support_vectors_rank_by_their_margin() -> None:
    known, outcomes = problem(90)
    router = SupportVectors().fit(known, outcomes, seed=0)
    margin, sigmoid = router.models_[1]
    assert sigmoid.slope > 0
    order = np.argsort(margin.of(fresh().sentence), kind="stable")
    assert (np.diff(router.predict(fresh())[order, 1]) >= 0).all()


def test_the_network_says_what_scikit_learns_would() -> None:
    from sklearn.neural_network import MLPRegressor

    known, outcomes = problem(240)
    slow = MLPRegressor(hidden_layer_sizes=(100,), max_iter=60, early_stopping=True, random_state=3)
    with stopping_early():
        slow.fit(known.sentence.astype(float), outcomes.score)
    router = NeuralOutcomes().fit(known, outcomes, seed=3)
    assert router.predict(fresh()) == pytest.approx(slow.predict(fresh().sentence.astype(float)), abs=1e-6)


def test_a_forest_on_the_joint_classes_is_the_classifier_of_rorf() -> None:
    from sklearn.ensemble import RandomForestClassifier

    known, outcomes = problem(120)
    label = joint_shares(outcomes.score).argmax(axis=1)
    slow = RandomForestClassifier(100, max_depth=20, max_features="sqrt", min_samples_leaf=5, random_state=0)
    p = slow.fit(known.sentence, label).predict_proba(fresh().sentence) @ MARGINALS[np.unique(label)]
    router = ForestOutcomes().fit(known, outcomes, seed=0)
    assert float(np.abs(router.predict(fresh()) - p).mean()) < 0.05  # other draws, the same model


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_a_cluster_of_two_rows_moves_a_fifth_of_the_way_from_the_mean_of_all() -> None:
    # Overall means 0.5 and 0.25. First cluster: (1 + 1 + 8 · 0.5) / 10 and (0 + 0 + 8 · 0.25) / 10.
    known = queries([[1, 0.01], [1, -0.01], [-1, 0.01], [-1, -0.01]])
    router = fitted(ClusterMeans(2), known, [[1, 0], [1, 0], [0, 1], [0, 0]])
    assert said(router, [5, 1], [-3, 1]) == [pytest.approx([0.6, 0.2]), pytest.approx([0.4, 0.3])]


def test_a_missing_score_counts_neither_in_a_clusters_sum_nor_in_its_size() -> None:
    values = shrunk_means(np.array([[1.0], [NAN], [NAN]]), np.array([0, 0, 1]), np.array([0.4]), k=2, shrink=8.0)
    assert values == pytest.approx(np.array([[(1 + 8 * 0.4) / 9], [0.4]]))
    assert shrunk_means(np.array([[1.0], [NAN]]), np.array([0, 1]), np.array([0.4]), k=2, shrink=0.0).tolist() == [
        [1.0],
        [0.4],
    ]


@settings(deadline=None, max_examples=40)
@given(
    score=hnp.arrays(np.float64, (6, 2), elements=st.floats(0, 1) | st.just(NAN)),
    label=hnp.arrays(np.intp, 6, elements=st.integers(0, 3)),
    shrink=st.floats(0, 100),
)
def test_a_shrunk_mean_stays_within_the_scores(
    score: np.typing.NDArray[np.float64], label: np.typing.NDArray[np.intp], shrink: float
) -> None:
    values = shrunk_means(score, label, np.array([0.3, 0.7]), k=4, shrink=shrink)
    assert -1e-12 <= values.min() <= values.max() <= 1 + 1e-12


def test_the_three_nearest_clusters_of_the_avengers_vote_by_distance_with_the_inverse_of_the_rank() -> None:
    # Four rows, four clusters of one. Distances of [1, 0]: 0, 0.2, 1, 2; the last has no vote.
    # Ranks of (model 0, model 1): (1, 2), (2, 1), (1, 2: equal, the cheaper first).
    router = fitted(Avengers(), queries([[1, 0], [4, 3], [0, 1], [-1, 0]]), [[1, 0], [0, 1], [1, 1], [0, 1]])
    weight = np.exp(-9.0 * np.array([0.0, 0.2, 1.0]))
    first, second, third = weight / weight.sum()
    wanted = [first + second / 2 + third, first / 2 + second + third / 2]
    assert said(router, [1, 0]) == [pytest.approx(wanted, abs=1e-6)]


# --- matrix factorisation, best label, datasets, constants ------------------------------------------------------------


def test_matrix_factorisation_learns_a_table_of_rank_one() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    logits = (
        6 * rows[:, :1] * np.array([[1.0, -0.5, 0.25]])
    )  # ability of a query in one direction × what a model makes of it
    router = fitted(MatrixFactorisation(), queries(rows.tolist()), (1 / (1 + np.exp(-logits))).tolist())
    asked = np.eye(8)[[0, 0, 1]] * np.array([[1], [-1], [1]])
    wanted = 1 / (1 + np.exp(-6 * asked[:, :1] * np.array([[1.0, -0.5, 0.25]])))
    assert np.array(said(router, *asked.tolist())) == pytest.approx(wanted, abs=0.08)


def test_a_missing_cell_teaches_the_factorisation_nothing() -> None:
    known, outcomes = problem(60)
    score = outcomes.score.copy()
    score[::3, 0] = NAN
    hidden = MatrixFactorisation().fit(known, replace(outcomes, score=score), seed=0).predict(fresh(9))
    filled_in = np.where(np.isnan(score), 0.0, score)
    assert (
        hidden[:, 0].mean()
        > MatrixFactorisation().fit(known, replace(outcomes, score=filled_in), seed=0).predict(fresh(9))[:, 0].mean()
    )


def test_the_best_label_is_the_cheapest_of_the_best_that_answered() -> None:
    known = queries([[1, 0]] * 5)
    score = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0], [NAN, 0, 1], [NAN, NAN, NAN]])
    plain = outcomes_of(known, score)
    index, label = best_models(plain)
    assert (index.tolist(), label.tolist()) == ([0, 1, 2, 3], [0, 1, 0, 2])
    dear_first = replace(plain, cost_usd=np.tile([[3.0, 2.0, 1.0]], (5, 1)))
    assert best_models(dear_first)[1].tolist() == [1, 2, 2, 2]


def test_a_model_that_did_not_answer_is_not_named_the_best_of_those_that_failed() -> None:
    known = queries([[1, 0], [0, 1]])
    assert best_models(outcomes_of(known, np.array([[NAN, 0, 0], [1, 0, 0]])))[1].tolist() == [1, 0]


def test_the_best_label_gives_the_probability_of_the_name_not_of_a_good_answer() -> None:
    # Both models are always right: the label is always the first, and the second never is named.
    router = fitted(BestLabel(), queries([[1, 0], [0, 1], [1, 1]]), [[1, 1]] * 3)
    assert said(router, [1, 2]) == [[1.0, 0.0]]
    assert not BestLabel.probabilities


def test_the_mean_of_the_known_dataset_and_the_overall_mean_for_one_not_seen() -> None:
    known = queries([[1, 0]] * 5, dataset=["law", "law", "art", "art", None])
    router = fitted(DatasetMean(), known, [[1, 0], [0, NAN], [1, NAN], [1, NAN], [0, 1]])
    asked = queries([[1, 0]] * 4, dataset=["law", "art", "geology", None])
    # Overall: 3 of 5 and 1 of 2. Law: 1 of 2 and 0 of 1. Art: 2 of 2, and no score of the second model.
    assert router.predict(asked).tolist() == [[0.5, 0.0], [1.0, 0.5], [0.6, 0.5], [0.6, 0.5]]


def test_a_table_without_datasets_is_refused_with_what_to_leave_out() -> None:
    known, outcomes = problem(12, told=False)
    with pytest.raises(FitError, match="leave `dataset-mean` out of --routers"):
        DatasetMean().fit(known, outcomes, seed=0)


def test_the_cheapest_and_the_best_single_are_the_same_for_every_query() -> None:
    known = queries([[1, 0], [0, 1]])
    assert said(fitted(Cheapest(), known, [[0, 1, 1], [0, 1, 1]]), [1, 0], [0, 1]) == [[1, 0, 0]] * 2
    best = fitted(BestSingle(), known, [[0, 1, 1], [0.5, NAN, 1]])
    assert said(best, [1, 0], [0, 1]) == [[0.25, 1, 1]] * 2
    assert int(np.argmax(said(best, [1, 0])[0])) == 1  # of two equals the cheaper


def test_a_random_mix_holds_the_cheapest_and_the_best_single_alone_and_in_any_share() -> None:
    known, outcomes = problem(30, models=3)
    score = np.tile([0.0, 0.5, 1.0], (30, 1))
    values = RandomMix().fit(known, replace(outcomes, score=score), seed=0).predict(fresh(2000))
    assert set(values[:, 0]) == {0.0}
    assert set(values[:, 1]) == {-1.0}
    for share in (0.1, 0.5, 0.9):  # five standard errors of a share of 2,000 draws are 0.056
        assert float((values[:, 2] >= 1 - share).mean()) == pytest.approx(share, abs=0.056)


def test_a_random_draw_hangs_on_the_seed_and_the_text_and_on_nothing_else() -> None:
    known, outcomes = problem(30)
    score = np.tile([0.0, 1.0], (30, 1))
    first, second = (
        RandomMix().fit(known, replace(outcomes, score=score), seed=seed).predict(fresh(50)) for seed in (0, 1)
    )
    assert (first[:, 1] != second[:, 1]).all()
    texts = ["hello", "hello", "\ud800 half a character"]
    twice = Queries(texts=texts, embedding=np.eye(3, dtype=np.float32), sentence_dim=3)
    drawn = RandomMix().fit(known, replace(outcomes, score=score), seed=0).predict(twice)[:, 1]
    assert drawn[0] == drawn[1] != drawn[2]


def test_where_the_cheapest_is_the_best_the_random_mix_is_always_that() -> None:
    known, outcomes = problem(30)
    values = RandomMix().fit(known, replace(outcomes, score=np.ones((30, 2))), seed=0).predict(fresh(50))
    assert (values.argmax(axis=1) == 0).all()


# --- rows that are their own ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(n=st.integers(0, 2 * BLOCK + 3), seed=st.integers(0, 99))
def test_a_product_in_blocks_is_the_product_and_every_row_is_its_own_to_the_last_bit(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, weights = rng.normal(size=(n, 7)).astype(np.float32), rng.normal(size=(7, 3))
    whole = product(rows, weights)
    assert whole == pytest.approx(rows.astype(np.float64) @ weights, abs=1e-12)
    for i in {0, n // 2, n - 1} if n else ():
        assert settled(product(rows[i : i + 1], weights)).tobytes() == settled(whole[i : i + 1]).tobytes()


def test_settled_values_have_nine_decimals_and_no_negative_zero() -> None:
    assert settled(np.array([-1e-12, 0.12345678949])).tolist() == [0.0, 0.123456789]
    assert math.copysign(1, float(settled(np.array([-1e-12]))[0])) == 1
