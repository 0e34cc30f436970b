"""Paired comparisons of whole curves: checked draw by draw against a slow way, and on data whose truth is known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.intervals import Interval
from eval.paired import (
    Draws,
    Sampled,
    aiq_draws,
    apgr_draws,
    cost_at_matched_quality,
    curve_draws,
    difference,
    nested_best,
    operating_points,
    quality_at_matched_cost,
)
from router.curves import aiq, apgr, hull, pair_curve
from router.errors import DataError, PolicyError
from router.sweeps import choices_on, sweep

Floats = npt.NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
PROPERTY = settings(deadline=None, max_examples=25)


def draws_of(unit: npt.ArrayLike, *, seed: int = 0, draws: int = 200) -> Draws:
    return Draws(unit, np.random.default_rng(seed), draws=draws)


def pair(seed: int, n: int, *, skill: float = 0.5) -> tuple[Floats, Floats, Floats]:
    """Values of some skill, and right or wrong of a weak and a strong model on n queries of differing hardness."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    weak, strong = (rng.random(n) < 0.9 - 0.7 * hard), (rng.random(n) < 0.9 - 0.2 * hard)
    return skill * hard + (1 - skill) * rng.random(n), weak.astype(np.float64), strong.astype(np.float64)


def curve_of(n: int, *, skill: float, seed: int) -> tuple[Floats, Floats]:
    """(n, l) costs and scores of a router of some skill among three models, on the same queries for the same seed."""
    rng = np.random.default_rng(seed)
    able = np.clip(rng.random((n, 1)) * 0.6 + np.array([0.0, 0.2, 0.4]), 0, 1)
    score = (rng.random((n, 3)) < able).astype(np.float64)
    cost = rng.random((n, 3)) * np.array([0.2, 1.0, 3.0])
    p = skill * able + (1 - skill) * rng.random((n, 3))
    price = cost.mean(axis=0)
    lambdas = sweep(p, price, score, cost).grid(20)
    return operating_points(choices_on(p, price, lambdas), score, cost)


# --- draws


@PROPERTY
@given(seed=SEEDS, unit=st.lists(st.integers(0, 6), min_size=2, max_size=20))
def test_a_draw_repeats_whole_units_as_often_as_it_drew_them(seed: int, unit: list[int]) -> None:
    assume(len(set(unit)) > 1)
    draws = draws_of(unit, seed=seed, draws=5)
    values = np.random.default_rng(seed).random((len(unit), 3))
    estimate, sampled = draws.means(values)
    assert estimate == pytest.approx(values.mean(axis=0), abs=1e-12)
    names = np.unique(unit, return_inverse=True)[1]
    for times, means in zip(draws.weights, sampled, strict=True):
        assert times.sum() == len(set(unit))
        repeated = np.repeat(np.arange(len(unit)), times[names].astype(int))
        assert means == pytest.approx(values[repeated].mean(axis=0), abs=1e-12)


def test_the_same_seed_gives_the_same_draws_and_another_other_ones() -> None:
    unit = np.arange(30)
    assert (draws_of(unit).weights == draws_of(unit).weights).all()
    assert (draws_of(unit).weights != draws_of(unit, seed=1).weights).any()


def test_drawing_pairs_of_equal_queries_whole_makes_the_interval_wider() -> None:
    values = np.repeat(np.random.default_rng(1).random(100), 2)
    whole, torn = (draws_of(unit, draws=500).mean(values) for unit in (np.arange(200) // 2, np.arange(200)))
    assert whole.standard_error is not None
    assert torn.standard_error is not None
    assert whole.standard_error == pytest.approx(np.sqrt(2) * torn.standard_error, rel=0.15)


@PROPERTY
@given(seed=SEEDS)
def test_the_draws_follow_their_units_when_queries_are_reordered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit, order = rng.integers(12, size=40), rng.permutation(40)
    value, weak, strong = pair(seed, 40)
    assume(strong.mean() > weak.mean())
    first = apgr_draws(draws_of(unit), value, weak, strong)
    second = apgr_draws(draws_of(unit[order]), value[order], weak[order], strong[order])
    assert second.draws == pytest.approx(first.draws, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("unit", "draws"), [([], 10), ([3, 3, 3], 10), ([1, 2], 1)])
def test_one_unit_or_one_draw_gives_no_interval(unit: list[int], draws: int) -> None:
    with pytest.raises(DataError, match="two of each"):
        draws_of(unit, draws=draws)


# --- a figure and its draws


def test_a_missing_draw_counts_as_beyond_either_end() -> None:
    draws = np.arange(1.0, 101.0)
    whole = Sampled(estimate=50.0, draws=draws).interval
    assert whole is not None
    assert whole.to_list() == [3.475, 97.525]
    one = Sampled(estimate=50.0, draws=np.where(draws == 50, np.nan, draws)).interval
    assert one is not None
    assert one.low < 3.475
    assert one.high > 97.525
    assert Sampled(estimate=50.0, draws=np.where(draws < 5, np.nan, draws)).interval is None


def test_a_figure_that_does_not_exist_has_neither_interval_nor_p_value() -> None:
    nothing = Sampled(estimate=np.nan, draws=np.full(100, np.nan))
    assert (nothing.interval, nothing.p_value, nothing.standard_error, nothing.minimum_detectable) == (None,) * 4


@pytest.mark.parametrize(("below", "missing", "p"), [(0, 0, 2 / 101), (2, 0, 6 / 101), (0, 2, 6 / 101), (50, 0, 1.0)])
def test_the_p_value_counts_the_draws_that_are_not_on_the_estimates_side(below: int, missing: int, p: float) -> None:
    draws = np.concatenate([np.full(below, -1.0), np.full(missing, np.nan), np.ones(100 - below - missing)])
    assert Sampled(estimate=1.0, draws=draws).p_value == pytest.approx(p)


def test_figures_of_different_draws_are_not_subtracted() -> None:
    with pytest.raises(PolicyError, match="same `Draws`"):
        difference(Sampled(estimate=1.0, draws=np.ones(4)), Sampled(estimate=1.0, draws=np.ones(5)))


# --- pairs


@PROPERTY
@given(seed=SEEDS, n=st.integers(12, 80), levels=st.sampled_from([None, 4]))
def test_apgr_in_a_draw_is_that_of_the_weighted_queries(seed: int, n: int, levels: int | None) -> None:
    value, weak, strong = pair(seed, n)
    value = value if levels is None else np.round(value * levels)
    assume(strong.mean() > weak.mean())
    unit = np.random.default_rng(seed).integers(n // 2, size=n)
    assume(len(set(unit.tolist())) > 1)
    draws = draws_of(unit, seed=seed, draws=8)
    sampled = apgr_draws(draws, value, weak, strong)
    assert sampled.estimate == pytest.approx(apgr(value, weak, strong), abs=1e-9)
    names = np.unique(unit, return_inverse=True)[1]
    for times, found in zip(draws.weights, sampled.draws, strict=True):
        weights = times[names].astype(np.float64)
        if (weights * (strong - weak)).sum() > 1e-9:
            assert found == pytest.approx(pair_curve(value, weak, strong, weights=weights).apgr, abs=1e-9)
        else:
            assert np.isnan(found)


def test_the_interval_of_apgr_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = apgr(*pair(99, 400_000))
    held = 0
    for seed in range(200):
        value, weak, strong = pair(seed, 500)
        interval = apgr_draws(draws_of(np.arange(500), seed=seed), value, weak, strong).interval
        held += interval is not None and interval.low <= truth <= interval.high
    assert 0.90 <= held / 200 <= 0.99


def test_pairing_finds_a_difference_that_the_two_intervals_hide() -> None:
    value, weak, strong = pair(3, 1_500)
    noisier = value + np.random.default_rng(4).normal(scale=0.25, size=1_500)
    draws = draws_of(np.arange(1_500), draws=500)
    better, worse = (apgr_draws(draws, values, weak, strong) for values in (value, noisier))
    assert better.interval is not None
    assert worse.interval is not None
    assert better.interval.low < worse.interval.high
    found = difference(better, worse)
    assert found.interval is not None
    assert found.interval.low > 0
    assert found.p_value is not None
    assert found.p_value < 0.01
    assert found.minimum_detectable is not None
    assert found.estimate == pytest.approx(better.estimate - worse.estimate)


# --- curves


@PROPERTY
@given(seed=SEEDS, skill=st.floats(0, 1))
def test_aiq_in_a_draw_is_that_of_the_drawn_queries(seed: int, skill: float) -> None:
    cost, quality = curve_of(40, skill=skill, seed=seed)
    unit = np.arange(40) // 2
    draws = draws_of(unit, seed=seed, draws=5)
    sampled = aiq_draws(curve_draws(draws, cost, quality), max_cost=2.0)
    points = np.stack([cost.mean(axis=0), quality.mean(axis=0)], axis=1)
    assert sampled.estimate == pytest.approx(aiq(points, max_cost=2.0), abs=1e-9)
    for times, found in zip(draws.weights, sampled.draws, strict=True):
        drawn = np.repeat(np.arange(40), times[unit].astype(int))
        points = np.stack([cost[drawn].mean(axis=0), quality[drawn].mean(axis=0)], axis=1)
        assert found == pytest.approx(aiq(points, max_cost=2.0), abs=1e-9)


@PROPERTY
@given(seed=SEEDS, budget=st.floats(0.01, 3))
def test_a_router_compared_with_itself_is_exactly_a_tie(seed: int, budget: float) -> None:
    draws = draws_of(np.arange(40), draws=20)
    value, weak, strong = pair(seed, 40)
    assume(strong.mean() > weak.mean())
    curve = curve_draws(draws, *curve_of(40, skill=0.5, seed=seed))
    figures = [apgr_draws(draws, value, weak, strong), aiq_draws(curve, max_cost=2.0), draws.mean(value)]
    ties = [difference(figure, figure) for figure in figures]
    ties += [f(curve, curve, cost=budget) for f in (quality_at_matched_cost, cost_at_matched_quality)]
    for tie in ties:
        assert not np.nan_to_num(tie.draws).any()
        if not np.isnan([tie.estimate, *tie.draws]).any():
            assert tie.estimate == 0.0
            assert tie.interval == Interval(low=0.0, high=0.0)
            assert tie.p_value == 1.0


def test_matched_figures_are_read_off_the_two_hulls() -> None:
    draws = draws_of(np.arange(6))
    flat = np.ones((6, 1))
    ours = curve_draws(draws, flat * [1.0, 3.0], flat * [0.4, 0.8])
    theirs = curve_draws(draws, flat * [1.0, 5.0], flat * [0.4, 0.8])
    # for 3 dollars: ours 0.8, theirs 0.6, and ours has 0.6 for 2
    assert quality_at_matched_cost(ours, theirs, cost=3.0).estimate == pytest.approx(0.2)
    assert cost_at_matched_quality(ours, theirs, cost=3.0).estimate == pytest.approx(-1.0)
    assert cost_at_matched_quality(ours, theirs, cost=3.0).draws == pytest.approx(np.full(200, -1.0))


def test_what_cannot_be_had_for_the_money_is_missing() -> None:
    draws = draws_of(np.arange(6))
    flat = np.ones((6, 1))
    cheap, dear = curve_draws(draws, flat, flat * 0.5), curve_draws(draws, flat * 2, flat * 0.9)
    assert np.isnan(quality_at_matched_cost(cheap, dear, cost=1.5).estimate)
    assert np.isnan(cost_at_matched_quality(cheap, dear, cost=2.0).estimate)
    assert cost_at_matched_quality(dear, cheap, cost=1.0).estimate == pytest.approx(1.0)


def test_the_better_router_has_the_better_curve_beyond_chance() -> None:
    draws = draws_of(np.arange(800), draws=300)
    good, poor = (curve_draws(draws, *curve_of(800, skill=skill, seed=2)) for skill in (0.9, 0.1))
    gain = difference(aiq_draws(good, max_cost=2.0), aiq_draws(poor, max_cost=2.0))
    assert gain.interval is not None
    assert gain.interval.low > 0
    dearer = cost_at_matched_quality(good, poor, cost=1.0)
    assert dearer.interval is not None
    assert dearer.interval.high < 0


def test_a_thousand_draws_of_a_large_table_fit_into_300_megabytes() -> None:
    n, points = 14_000, 100
    rng = np.random.default_rng(0)
    cost, quality = rng.random((2, n, points))
    tracemalloc.start()
    curve_draws(draws_of(np.arange(n), draws=1_000), cost, quality)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


# --- chosen and judged on different queries


def test_the_point_of_a_fold_depends_on_the_other_folds_alone() -> None:
    rng = np.random.default_rng(0)
    cost, quality = rng.random((60, 50)), rng.random((60, 50))
    before = nested_best(cost, quality, np.arange(60), seed=1)
    points, sizes = np.unique(before.point, return_counts=True)
    alone = points[sizes == 12]  # chosen by one fold of five
    assert len(alone) > 1
    for point in alone:
        held_out = before.point == point
        changed = np.where(held_out[:, None], 1 - quality, quality)
        after = nested_best(cost, changed, np.arange(60), seed=1)
        assert (after.point[held_out] == point).all()
        assert (after.quality[held_out] == 1 - before.quality[held_out]).all()


def test_no_fold_tears_a_unit_apart() -> None:
    rng = np.random.default_rng(0)
    unit = rng.integers(15, size=60)
    chosen = nested_best(rng.random((60, 30)), rng.random((60, 30)), unit, seed=1).point
    assert all(len(set(chosen[unit == name].tolist())) == 1 for name in set(unit.tolist()))


def test_the_best_of_many_equal_points_flatters_and_the_nested_one_does_not() -> None:
    flattered, honest = [], []
    for seed in range(200):
        quality = (np.random.default_rng(seed).random((100, 40)) < 0.5).astype(np.float64)
        flattered.append(quality.mean(axis=0).max())
        honest.append(nested_best(np.ones((100, 40)), quality, np.arange(100), seed=seed).quality.mean())
    assert np.mean(flattered) > 0.57
    assert np.mean(honest) == pytest.approx(0.5, abs=0.015)  # four standard errors of 200 x 100 fair coins


def test_a_floor_takes_the_cheapest_point_that_reaches_it() -> None:
    flat = np.ones((10, 1))
    cost, quality = flat * [1.0, 2.0, 3.0, 4.0], flat * [0.5, 0.8, 0.8, 0.9]
    chosen = nested_best(cost, quality, np.arange(10), seed=0, floor=np.full(10, 0.8))
    assert chosen.reached
    assert set(chosen.point.tolist()) == {1}
    assert chosen.cost.tolist() == [2.0] * 10
    assert set(nested_best(cost, quality, np.arange(10), seed=0).point.tolist()) == {3}


def test_a_floor_that_no_point_reaches_is_said_to_be_missed() -> None:
    flat = np.ones((10, 1))
    missed = nested_best(flat * [1.0, 2.0], flat * [0.5, 0.6], np.arange(10), seed=0, floor=np.full(10, 0.8))
    assert not missed.reached
    assert missed.quality.tolist() == [0.6] * 10


def test_among_points_of_equal_quality_the_cheaper_is_chosen() -> None:
    flat = np.ones((10, 1))
    assert set(nested_best(flat * [3.0, 1.0, 2.0], flat * 0.5 * [1, 1, 1], np.arange(10), seed=0).point) == {1}


def test_operating_points_are_what_the_chosen_models_cost_and_scored() -> None:
    score, cost = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    paid, got = operating_points(np.array([[1, 0], [0, 0]], dtype=np.int8), score, cost)
    assert paid.tolist() == [[2.0, 1.0], [3.0, 3.0]]
    assert got.tolist() == [[0.2, 0.1], [0.3, 0.3]]


# --- what cannot be computed


HOLED = np.array([[1.0], [np.nan], [1.0]])
WHOLE = np.ones((3, 1))
BROKEN: dict[str, Callable[[], object]] = {
    "values of other queries": lambda: draws_of([1, 2, 3]).mean(np.ones(2)),
    "a missing cost": lambda: curve_draws(draws_of([1, 2, 3]), HOLED, WHOLE),
    "a missing score": lambda: curve_draws(draws_of([1, 2, 3]), WHOLE, HOLED),
    "costs of other points": lambda: curve_draws(draws_of([1, 2, 3]), np.ones((3, 2)), WHOLE),
    "a nested choice with a missing cost": lambda: nested_best(HOLED, WHOLE, [1, 2, 3], seed=0, folds=3),
    "a nested choice with a missing floor": lambda: nested_best(WHOLE, WHOLE, [1, 2, 3], seed=0, floor=HOLED[:, 0]),
    "a floor of other queries": lambda: nested_best(WHOLE, WHOLE, [1, 2, 3], seed=0, folds=3, floor=np.ones(2)),
    "units of other queries": lambda: nested_best(WHOLE, WHOLE, [1, 2], seed=0, folds=2),
    "one fold": lambda: nested_best(WHOLE, WHOLE, [1, 2, 3], seed=0, folds=1),
    "more folds than units": lambda: nested_best(WHOLE, WHOLE, [1, 2, 2], seed=0, folds=3),
    "a value that is missing": lambda: apgr_draws(draws_of([1, 2, 3]), HOLED[:, 0], np.zeros(3), np.ones(3)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_computed_is_refused(case: str) -> None:
    with pytest.raises((PolicyError, DataError)):
        BROKEN[case]()


def test_a_missing_cost_leaves_no_mean() -> None:
    found = draws_of([1, 2, 3]).mean(HOLED[:, 0])
    assert found.interval is None
    assert found.p_value is None


def test_the_hull_over_all_queries_stands_before_the_draws() -> None:
    cost, quality = curve_of(60, skill=0.7, seed=1)
    curve = curve_draws(draws_of(np.arange(60)), cost, quality)
    corners = hull(np.stack([cost.mean(axis=0), quality.mean(axis=0)], axis=1))
    assert curve.cost.shape[0] == 201
    assert np.unique(curve.cost[0]) == pytest.approx(corners[:, 0], abs=1e-12)
