"""The blend: what it says of joint outcomes, of missing cells and of certainty, and the measure that it is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.success.blend import Blend, EachBlend, Floats, JointBlend, fit_blend, log_odds, routing_error

N = 300


def views_of(n: int = N, models: int = 2, *, seed: int = 0) -> dict[str, Floats]:
    """A view that is right about each model's chance, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    return {"good": rng.uniform(0.05, 0.95, size=(n, models)), "idle": rng.uniform(0.05, 0.95, size=(n, models))}


def outcomes(p: Floats, *, seed: int = 1) -> Floats:
    return (np.random.default_rng(seed).uniform(size=p.shape) < p).astype(np.float64)


def blended(views: dict[str, Floats], score: Floats) -> Blend:
    return fit_blend(views, score, np.arange(len(score)) % 5)[0]


def constant(score: Floats) -> Floats:
    return np.tile(np.nanmean(score, axis=0), (len(score), 1))


# The measure


def test_the_routing_error_is_what_is_left_of_the_squared_error_once_the_rows_own_mean_is_taken_off() -> None:
    # errors −0.2 and 0.2, their mean 0: (0.04 + 0.04) / 2;   errors −0.5 and 0.1, their mean −0.2: (0.09 + 0.09) / 2
    assert routing_error(np.array([[0.8, 0.2]]), np.array([[1.0, 0.0]])) == pytest.approx(0.04)
    assert routing_error(np.array([[0.5, 0.1]]), np.array([[1.0, 0.0]])) == pytest.approx(0.09)


def test_a_missing_score_counts_neither_in_the_rows_mean_nor_in_the_error() -> None:
    # errors −0.5 and 0.9, their mean 0.2: (0.49 + 0.49) / 2, whatever is said of the third
    score = np.array([[1.0, 0.0, np.nan]])
    for said in (0.1, 0.9):
        assert routing_error(np.array([[0.5, 0.9, said]]), score) == pytest.approx(0.49)


def test_a_row_with_one_known_score_decides_nothing_and_adds_no_error() -> None:
    p, score = np.array([[0.5, 0.9], [0.3, 0.3]]), np.array([[1.0, 0.0], [1.0, np.nan]])
    assert routing_error(p, score) == pytest.approx(2 * 0.49 / 3)


def test_with_one_model_there_is_nothing_to_route_and_no_error() -> None:
    assert routing_error(np.array([[0.1], [0.9]]), np.array([[1.0], [0.0]])) == 0.0


@settings(deadline=None, max_examples=50)
@given(
    p=hnp.arrays(float, (4, 3), elements=st.floats(0, 1)),
    score=hnp.arrays(float, (4, 3), elements=st.sampled_from([0.0, 0.5, 1.0])),
    shift=hnp.arrays(float, (4, 1), elements=st.floats(-1, 1)),
)
def test_telling_easy_queries_from_hard_ones_for_all_models_alike_changes_no_error(
    p: Floats, score: Floats, shift: Floats
) -> None:
    assert routing_error(p + shift, score) == pytest.approx(routing_error(p, score), abs=1e-12)
    assert routing_error(score + shift, score) == pytest.approx(0.0, abs=1e-12)


# What a blend says


def test_the_difference_of_a_pair_is_the_chance_of_only_one_less_that_of_only_the_other() -> None:
    chances = np.array([0.1, 0.2, 0.3, 0.4])  # neither, only the second, only the first, both
    blend = JointBlend(("a",), np.zeros((2, 4)), np.log(chances))
    p = blend.probabilities({"a": np.array([[0.3, 0.6]])})[0]
    assert p.tolist() == pytest.approx([0.3 + 0.4, 0.2 + 0.4])
    assert p[0] - p[1] == pytest.approx(chances[2] - chances[1])


def test_each_model_adds_up_its_own_views() -> None:
    # log-odds of 0.8 and 0.5 are ln 4 and 0; half of one plus the intercept ln 2 is ln 4
    views = {"a": np.array([[0.8, 0.8]]), "b": np.array([[0.5, 0.5]])}
    blend = EachBlend(("a", "b"), np.array([[1.0, 0.5], [1.0, 3.0]]), np.array([0.0, np.log(2.0)]))
    assert blend.probabilities(views)[0].tolist() == pytest.approx([0.8, 0.8])


def test_log_odds_are_odd_around_one_half_and_never_infinite() -> None:
    p = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    assert log_odds(p)[1:4].tolist() == pytest.approx([np.log(0.25), 0.0, np.log(9.0)])
    np.testing.assert_allclose(log_odds(1 - p), -log_odds(p), atol=1e-12)
    assert np.isfinite(log_odds(p)).all()


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 1_000),
    models=st.integers(1, 4),
    said=hnp.arrays(float, (6, 4), elements=st.floats(0, 1)),
)
def test_a_blend_says_probabilities_whatever_its_views_say(seed: int, models: int, said: Floats) -> None:
    views = views_of(40, models, seed=seed)
    blend = blended(views, outcomes(views["good"], seed=seed))
    p = blend.probabilities(dict.fromkeys(views, said[:, :models]))
    assert p.shape == (6, models)
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.max() <= 1


def test_rounding_lifts_no_probability_above_one() -> None:
    rng = np.random.default_rng(26)
    blend = JointBlend(("a",), rng.normal(size=(2, 4)) * 3, rng.normal(size=4) * 3)
    assert blend.probabilities({"a": rng.uniform(size=(20_000, 2))}).max() <= 1.0


# What it learns


@pytest.mark.parametrize("models", [1, 2, 3])
def test_a_query_that_is_hard_for_every_model_gets_small_probabilities(models: int) -> None:
    # No decision between models turns on it, but `cheapest above a floor` does, and so does the risk that is told.
    hard = np.random.default_rng(0).uniform(0.05, 0.95, size=(600, 1))
    view = np.tile(hard, (1, models))
    p = blended({"view": view}, outcomes(view)).probabilities({"view": view})
    assert np.abs(p - view).mean() < 0.1


@pytest.mark.parametrize("models", [2, 3])
def test_views_that_say_nothing_leave_each_model_its_mean_score(models: int) -> None:
    score = np.random.default_rng(0).uniform(size=(N, models))
    blend = blended({"idle": np.full((N, models), 0.5)}, score)
    p = blend.probabilities({"idle": np.full((1, models), 0.5)})[0]
    assert p.tolist() == pytest.approx(score.mean(axis=0).tolist(), abs=0.005)


@pytest.mark.parametrize("models", [2, 3])
def test_a_view_that_knows_is_weighed_above_one_that_does_not(models: int) -> None:
    views = views_of(models=models)
    score = outcomes(views["good"])
    blend = blended(views, score)
    fresh = views_of(models=models, seed=5)
    errors = [routing_error(p, fresh["good"]) for p in (blend.probabilities(fresh), fresh["idle"], constant(score))]
    assert errors[0] < 0.2 * min(errors[1:])


def test_scores_that_are_a_mix_of_the_views_are_met() -> None:
    views = views_of(models=3)
    score = 0.5 * views["good"] + 0.25 * views["idle"] + np.array([0.05, 0.15, 0.2])
    blend, errors = fit_blend(views, score, np.arange(N) % 5)
    assert min(errors.values()) < 1e-4
    np.testing.assert_allclose(blend.probabilities(views), score, atol=0.005)


def test_too_bold_a_view_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 0.7, size=(4_000, 3))
    bold = 1 / (1 + np.exp(-3 * log_odds(p)))
    found = blended({"bold": bold}, outcomes(p)).probabilities({"bold": bold})
    assert np.abs(found - p).mean() < 0.03 < np.abs(bold - p).mean()


@pytest.mark.parametrize("models", [2, 3])
def test_the_views_are_taken_by_name_in_whatever_order_they_come(models: int) -> None:
    views = views_of(models=models)
    score = outcomes(views["good"])
    blend = blended(views, score)
    turned = dict(reversed(list(views.items())))
    assert blend.probabilities(turned).tobytes() == blend.probabilities(views).tobytes()
    np.testing.assert_allclose(blended(turned, score).probabilities(views), blend.probabilities(views), atol=1e-4)


@pytest.mark.parametrize("models", [2, 3])
def test_a_query_that_no_model_answered_teaches_nothing(models: int) -> None:
    views = views_of(models=models)
    score = outcomes(views["good"])
    score[::3] = np.nan
    part = np.arange(N) % 5
    known = np.isfinite(score[:, 0])
    with_it, errors = fit_blend(views, score, part)
    without, again = fit_blend({name: v[known] for name, v in views.items()}, score[known], part[known])
    assert errors == pytest.approx(again, abs=1e-9)
    np.testing.assert_allclose(with_it.probabilities(views), without.probabilities(views), atol=1e-6)


def test_missing_cells_are_left_out_and_nothing_is_read_into_them() -> None:
    views = views_of(900, models=3)
    score = outcomes(views["good"])
    score[np.random.default_rng(3).uniform(size=score.shape) < 0.5] = np.nan
    p = blended(views, score).probabilities(views)
    assert np.abs(p - views["good"]).mean() < 0.06


def test_the_form_is_the_one_with_the_smallest_error_on_folds_it_did_not_learn_from() -> None:
    views = views_of(models=3)
    score = outcomes(views["good"])
    _, errors = fit_blend(views, score, np.arange(N) % 5)
    assert min(errors.values()) < routing_error(constant(score), score)
    assert min(errors.values()) > 0.9 * routing_error(views["good"], score)  # no view knows more than the truth


def test_the_error_of_a_blend_of_noise_is_not_below_the_constants() -> None:
    gaps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        views = {name: rng.uniform(0.2, 0.8, size=(100, 2)) for name in "abcdefgh"}
        score = rng.choice([0.0, 1.0], size=(100, 2))
        errors = fit_blend(views, score, np.arange(100) % 5)[1]
        gaps.append(min(errors.values()) / routing_error(constant(score), score))
    assert np.mean(gaps) > 0.99


@pytest.mark.parametrize("models", [2, 3])
@pytest.mark.parametrize("always", [0.0, 1.0])
def test_a_model_that_always_does_the_same_is_nearly_certain(models: int, always: float) -> None:
    views = views_of(models=models)
    score = outcomes(views["good"])
    score[:, 1] = always
    p = blended(views, score).probabilities(views)
    assert np.abs(p[:, 1] - always).max() < 0.02
    assert p[:, 0].std() > 0.1


def test_two_models_that_are_never_scored_together_are_learned_one_by_one() -> None:
    views = views_of()
    score = outcomes(views["good"])
    score[::2, 0], score[1::2, 1] = np.nan, np.nan
    p = blended(views, score).probabilities(views)
    assert np.corrcoef(p[:, 0], views["good"][:, 0])[0, 1] > 0.5
    assert np.corrcoef(p[:, 1], views["good"][:, 1])[0, 1] > 0.5


def test_a_pair_with_few_queries_in_common_keeps_what_the_others_say_of_each() -> None:
    score = np.column_stack([np.tile([1.0, 1.0, 1.0, 0.0], 100), np.full(400, np.nan)])
    score[:8] = [[1, 1], [0, 1], [0, 0], [0, 1], [0, 0], [1, 0], [0, 1], [0, 1]]  # the first model's bad day
    p = blended({"idle": np.full((400, 2), 0.5)}, score).probabilities({"idle": np.full((1, 2), 0.5)})[0]
    assert p[0] == pytest.approx(np.nanmean(score[:, 0]), abs=0.02)


def test_one_recorded_success_is_less_sure_than_hundreds() -> None:
    score = np.column_stack([np.ones(N), np.full(N, np.nan), outcomes(np.full((N, 1), 0.5))[:, 0]])
    score[0, 1] = 1.0
    p = blended({"idle": np.full((N, 3), 0.5)}, score).probabilities({"idle": np.full((1, 3), 0.5)})[0]
    assert p[1] < p[0] - 0.02


def test_a_model_without_any_score_gets_the_mean_of_all() -> None:
    score = np.column_stack([np.tile([1.0, 0.0, 1.0, 1.0], 75), np.full(N, np.nan), np.tile([0.0, 0.0, 1.0, 1.0], 75)])
    p = blended(views_of(models=3), score).probabilities(views_of(models=3))
    assert p[:, 1] == pytest.approx(np.full(N, 0.625))


def test_the_same_values_give_the_same_bytes() -> None:
    for models in (2, 4):
        views = views_of(models=models)
        p, again = (blended(views, outcomes(views["good"])).probabilities(views) for _ in range(2))
        assert p.tobytes() == again.tobytes()
