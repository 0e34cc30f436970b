"""Curves are what the field's own programs make of them: checked against slow second ways, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.curves import aiq, apgr, cost_save, cpt, hull, hulls, pair_curve, perf_gain, quantile_edges
from router.errors import PolicyError
from router.sweeps import choices_on, choose, sweep, threshold_sweep

Floats = npt.NDArray[np.float64]
Pair = tuple[Floats, Floats, Floats]

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.one_of(st.sampled_from([11, 21, 31, 101]), st.integers(5, 120))  # of 11, 21, ... the edges are values
PROPERTY = settings(deadline=None, max_examples=40)
WEAK, STRONG = np.array([1.0, 1.0, 0.0, 0.0]), np.ones(4)
UP = np.array([0.0, 1.0, 2.0, 3.0])


def random_pair(seed: int, n: int, *, levels: int | None = None) -> Pair:
    """Values and scores of n queries; of few different values where `levels` says so. The strong model is better."""
    rng = np.random.default_rng(seed)
    value = rng.normal(size=n) if levels is None else rng.integers(levels, size=n) / 8
    weak, strong = (rng.random((2, n)) < [[0.5], [0.7]]).astype(np.float64)
    assume(strong.mean() > weak.mean())
    return value, weak, strong


def as_routellm(value: Floats, weak: Floats, strong: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Share and accuracy in per cent, a pass per threshold, sorted by share: RouteLLM's `evaluate`."""
    points = []
    for i, edge in enumerate(edges):
        sent = value >= edge if i < len(edges) - 1 else value > edge
        results = np.where(sent, strong, weak)
        points.append((sent.sum() / len(sent) * 100, sum(results) / len(results) * 100))
    frame = pd.DataFrame(points, columns=["strong_percentage", "accuracy"])
    frame = frame.sort_values(by=["strong_percentage"], kind="stable")
    return frame["strong_percentage"].to_numpy(), frame["accuracy"].to_numpy()


def routellm_apgr(value: Floats, weak: Floats, strong: Floats, edges: Floats) -> float:
    """RouteLLM's `apgr_metric`: the area between the curve and all-weak over that between all-strong and all-weak."""
    share, accuracy = as_routellm(value, weak, strong, edges)
    flat = [np.trapezoid(np.full(len(share), level.mean() * 100), share / 100) for level in (weak, strong)]
    return float((np.trapezoid(accuracy, share / 100) - flat[0]) / (flat[1] - flat[0]))


def routellm_cpt(value: Floats, weak: Floats, strong: Floats, edges: Floats, target: float) -> float:
    """RouteLLM's `pct_call_metric`, as a share."""
    share, accuracy = as_routellm(value, weak, strong, edges)
    low, high = weak.mean() * 100, strong.mean() * 100
    return float(np.interp(target * (high - low) + low, accuracy, share)) / 100


def routerbench_aiq(points: Floats, max_cost: float) -> float:
    """RouterBench's `calc_AIQ` for one router: every pair of points, every point between them."""
    ranked = points[points[:, 0].argsort(kind="stable")]
    best: dict[float, float] = {}
    for i, (x1, y1) in enumerate(ranked):
        for x2, y2 in ranked[i:]:
            for x, y in ranked:
                if x1 < x < x2:
                    best[x] = max(best.get(x, -np.inf), y, float(np.interp(x, [x1, x2], [y1, y2])))
    found = list(best.items())
    if ranked[-1][0] not in best and ranked[-1][1] >= found[-1][1]:
        found.append((ranked[-1][0], ranked[-1][1]))
    if ranked[0][0] not in best:
        found.insert(0, (ranked[0][0], ranked[0][1]))
    table = np.array(sorted(found, key=lambda point: point[0]))
    falls = np.flatnonzero(table[1:, 1] < table[:-1, 1]) + 1
    table = np.delete(table, falls, axis=0)
    table = np.vstack([table, [max_cost, table[-1, 1]]])
    return float(np.trapezoid(table[:, 1], table[:, 0]) / max_cost)


# --- the curve of a pair


def test_apgr_of_four_queries_is_as_by_hand() -> None:
    # shares 0 to 1 by quarters; above weak (0.5): 0, 0.25, 0.5, 0.5, 0.5, whose area is 0.375 of a gap of 0.5
    assert apgr(UP, WEAK, STRONG) == pytest.approx(0.75)
    assert pair_curve(UP, WEAK, STRONG).quality[[0, -1]].tolist() == [0.5, 1.0]


def test_half_the_gap_of_four_queries_costs_a_quarter_of_the_calls() -> None:
    assert cpt(UP, WEAK, STRONG, 0.5) == pytest.approx(0.25)


@PROPERTY
@given(seed=SEEDS, n=SIZES)
def test_apgr_and_cpt_are_those_of_routellm(seed: int, n: int) -> None:
    pair = random_pair(seed, n)
    edges = np.asarray(pd.qcut(pd.Series(pair[0]), 10, retbins=True)[1], dtype=np.float64)
    assert quantile_edges(pair[0], 10).tolist() == edges.tolist()
    assert apgr(*pair) == pytest.approx(routellm_apgr(*pair, edges), abs=1e-9)
    for target in (0.2, 0.5, 0.8):
        assert cpt(*pair, target) == pytest.approx(routellm_cpt(*pair, edges, target), abs=1e-9)


@PROPERTY
@given(seed=SEEDS, n=SIZES, levels=st.integers(1, 9))
def test_equal_edges_count_once_and_add_no_area(seed: int, n: int, levels: int) -> None:
    pair = random_pair(seed, n, levels=levels)
    edges = quantile_edges(pair[0], 10)
    once = np.append(np.unique(edges[:-1]), edges[-1])
    assert apgr(*pair) == pytest.approx(routellm_apgr(*pair, edges), abs=1e-9)
    assert apgr(*pair) == pytest.approx(routellm_apgr(*pair, once), abs=1e-9)
    for target in (0.2, 0.5, 0.8):
        assert cpt(*pair, target) == pytest.approx(routellm_cpt(*pair, once, target), abs=1e-9)


def test_where_pandas_stops_at_repeated_edges_the_curve_goes_on() -> None:
    value = np.array([0.0] * 9 + [1.0])
    with pytest.raises(ValueError, match="unique"):
        pd.qcut(pd.Series(value), 10)
    assert pair_curve(value, np.zeros(10), np.ones(10)).share.tolist() == [0.0, 0.1, 1.0]


def test_values_that_tell_nothing_give_the_diagonal() -> None:
    curve = pair_curve(np.full(4, 0.3), WEAK, STRONG)
    assert curve.share.tolist() == [0.0, 1.0]
    assert curve.quality.tolist() == [0.5, 1.0]
    assert curve.apgr == pytest.approx(0.5)
    assert curve.cpt(0.8) == pytest.approx(0.8)


@PROPERTY
@given(seed=SEEDS)
def test_no_value_beats_what_the_models_really_scored(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weak = rng.permutation(np.repeat([1.0, 1.0, 0.0, 0.0], [6, 12, 16, 6]))
    strong = np.where(weak == 1, np.arange(40) % 3 > 0, np.arange(40) % 4 > 0).astype(np.float64)
    assume(strong.mean() > weak.mean())
    oracle = threshold_sweep(strong - weak, weak, strong)
    other = threshold_sweep(rng.normal(size=40), weak, strong)
    best = np.interp(other.share[::-1], oracle.share[::-1], oracle.quality[::-1])
    assert (other.quality[::-1] <= best + 1e-12).all()
    assert apgr(rng.normal(size=40), weak, strong) <= apgr(strong - weak, weak, strong) + 1e-12


@PROPERTY
@given(seed=SEEDS, n=SIZES, levels=st.sampled_from([None, 3]))
def test_the_curve_does_not_depend_on_the_order_of_the_queries(seed: int, n: int, levels: int | None) -> None:
    pair = random_pair(seed, n, levels=levels)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = pair_curve(*(column[order] for column in pair))
    assert shuffled.thresholds.tolist() == pair_curve(*pair).thresholds.tolist()
    assert shuffled.quality == pytest.approx(pair_curve(*pair).quality, abs=1e-12)


@PROPERTY
@given(seed=SEEDS, n=SIZES)
def test_a_weight_counts_a_query_that_often_and_moves_no_threshold(seed: int, n: int) -> None:
    value, weak, strong = random_pair(seed, n)
    weights = np.random.default_rng(seed).integers(0, 4, size=n).astype(np.float64)
    assume(weights.sum() > 0)
    curve = pair_curve(value, weak, strong, weights=weights)
    assert curve.thresholds.tolist() == pair_curve(value, weak, strong).thresholds.tolist()
    times = np.repeat(np.arange(n), weights.astype(int))
    for share, quality, threshold in list(zip(curve.share, curve.quality, curve.thresholds, strict=True))[1:]:
        sent = value[times] >= threshold
        assert share == pytest.approx(sent.mean(), abs=1e-12)
        assert quality == pytest.approx(np.where(sent, strong[times], weak[times]).mean(), abs=1e-12)


@pytest.mark.parametrize("strong", [WEAK, 1 - STRONG])
def test_without_a_gap_there_is_nothing_to_recover(strong: Floats) -> None:
    with pytest.raises(PolicyError, match="gap"):
        apgr(UP, WEAK, strong)
    with pytest.raises(PolicyError, match="gap"):
        cpt(UP, WEAK, strong, 0.5)


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan")])
def test_a_target_lies_between_none_and_all_of_the_gap(target: float) -> None:
    with pytest.raises(PolicyError, match="target"):
        cpt(UP, WEAK, STRONG, target)


# --- all thresholds


@PROPERTY
@given(seed=SEEDS, n=st.integers(1, 60), levels=st.sampled_from([None, 1, 4]))
def test_one_pass_over_all_thresholds_is_a_pass_per_threshold(seed: int, n: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    value = rng.normal(size=n) if levels is None else rng.integers(levels, size=n) / 3
    weak, strong, cheap, dear = rng.random((4, n))
    swept = threshold_sweep(value, weak, strong, weak_cost=cheap, strong_cost=dear)
    assert swept.cost_usd is not None
    assert len(swept.threshold) == len(np.unique(value)) + 1
    for i, threshold in enumerate(swept.threshold):
        sent = value >= threshold
        assert swept.share[i] == pytest.approx(sent.mean(), abs=1e-12)
        assert swept.quality[i] == pytest.approx(np.where(sent, strong, weak).mean(), abs=1e-12)
        assert swept.cost_usd[i] == pytest.approx(np.where(sent, dear, cheap).mean(), abs=1e-12)


@PROPERTY
@given(seed=SEEDS, asked=st.floats(-3, 3))
def test_any_threshold_finds_its_place_in_the_sweep(seed: int, asked: float) -> None:
    value, weak, strong = random_pair(seed, 20)
    swept = threshold_sweep(value, weak, strong)
    for threshold in (asked, float(value[3]), -np.inf, np.inf):
        assert swept.share[swept.index(threshold)] == pytest.approx((value >= threshold).mean())


def test_a_threshold_between_neighbouring_floats_still_parts_them() -> None:
    value = np.array([1.0, np.nextafter(1.0, 2.0), 5e-324, 0.0, 1.7e308, -1.7e308])
    swept = threshold_sweep(value, np.zeros(6), np.ones(6))
    assert [int((value >= threshold).sum()) for threshold in swept.threshold] == [6, 5, 4, 3, 2, 1, 0]


def test_a_missing_cost_stays_missing_and_is_not_free() -> None:
    swept = threshold_sweep(UP, WEAK, STRONG, weak_cost=np.ones(4), strong_cost=np.array([1.0, np.nan, 1.0, 1.0]))
    assert swept.cost_usd is not None
    assert np.isnan(swept.cost_usd).all()
    assert threshold_sweep(UP, WEAK, STRONG).cost_usd is None


# --- hull and AIQ


def test_the_hull_of_five_points_is_as_by_hand() -> None:
    points = np.array([[1, 0.2], [2, 0.6], [3, 0.5], [4, 0.8], [5, 0.7]])
    assert hull(points).tolist() == [[1, 0.2], [2, 0.6], [4, 0.8]]
    # (0.4 + 1.4 + 0.8 flat from 4 to 5) of a budget axis of 5 dollars
    assert aiq(points, max_cost=5) == pytest.approx(2.6 / 5)


@PROPERTY
@given(seed=SEEDS, n=st.integers(3, 12), shape=st.sampled_from(["random", "falling", "flat", "steps", "line"]))
def test_aiq_is_that_of_routerbench(seed: int, n: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.permutation(1 + np.arange(n) + rng.random(n) / 2)
    quality: dict[str, Callable[[], Floats]] = {
        "random": lambda: rng.random(n),
        "falling": lambda: 1 / cost,
        "flat": lambda: np.full(n, 0.4),
        "steps": lambda: rng.integers(3, size=n) / 2,
        "line": lambda: 0.1 * cost,
    }
    points = np.stack([cost, quality[shape]()], axis=1)
    for max_cost in (cost.max(), 2 * cost.max()):
        assert aiq(points, max_cost=max_cost) == pytest.approx(routerbench_aiq(points, max_cost), abs=1e-9)


@PROPERTY
@given(seed=SEEDS, n=st.integers(4, 5))
def test_of_equal_costs_the_best_counts_as_in_routerbench_in_its_best_order(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.stack([rng.integers(1, 4, size=n), rng.random(n)], axis=1)
    assume(len(np.unique(points[:, 0])) == 3)
    orders = [routerbench_aiq(points[list(order)], 4.0) for order in permutations(range(n))]
    assert aiq(points, max_cost=4.0) == pytest.approx(max(orders), abs=1e-9)


def test_one_point_is_flat_from_where_it_stands_and_so_are_equal_costs() -> None:
    one = np.array([[2.0, 0.9]])
    assert aiq(one, max_cost=8) == pytest.approx(0.9 * 6 / 8)
    assert aiq(np.array([[2.0, 0.9], [2.0, 0.1]]), max_cost=8) == aiq(one, max_cost=8)
    with pytest.raises(IndexError):
        routerbench_aiq(one, 8)


def test_points_that_only_fall_leave_the_cheapest() -> None:
    assert hull(np.array([[3, 0.1], [1, 0.9], [2, 0.5]])).tolist() == [[1, 0.9]]


def test_budgets_beyond_the_axis_do_not_count_and_those_that_buy_nothing_count_as_nothing() -> None:
    points = np.array([[1.0, 0.0], [3.0, 1.0]])
    assert aiq(points, max_cost=2) == pytest.approx(0.25 / 2)
    assert aiq(points, max_cost=0.5) == 0.0


@PROPERTY
@given(seed=SEEDS, n=st.integers(1, 40), scale=st.sampled_from([1e-12, 1.0, 1e12]))
def test_hulls_side_by_side_are_the_hulls_one_by_one(seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    cost, quality = np.round(rng.random((2, 3, n)) * 20)  # on a lattice, with ties
    cost, quality = cost * scale, quality / 20
    together = hulls(cost, quality)
    for i in range(3):
        points = np.stack([cost[i], quality[i]], axis=1)
        assert together.aiq(31 * scale)[i] == pytest.approx(aiq(points, max_cost=31 * scale), abs=1e-12)
        corners = hull(points)
        assert set(map(tuple, corners)) <= set(zip(together.cost[i], together.quality[i], strict=True))
        inside = np.linspace(corners[0, 0], corners[-1, 0] + scale, 7)
        for asked in inside:
            expected = np.interp(asked, corners[:, 0], corners[:, 1])
            assert together.quality_at(asked)[i] == pytest.approx(expected, abs=1e-12)


@PROPERTY
@given(seed=SEEDS, n=st.integers(1, 40))
def test_no_point_lies_above_the_hull_and_every_corner_is_a_point(seed: int, n: int) -> None:
    points = np.random.default_rng(seed).random((n, 2))
    corners = hull(points)
    assert {tuple(corner) for corner in corners} <= {tuple(point) for point in points}
    assert (points[:, 1] <= np.interp(points[:, 0], corners[:, 0], corners[:, 1]) + 1e-12).all()
    assert (np.diff(corners, axis=0) > 0).all()
    slopes = np.diff(corners[:, 1]) / np.diff(corners[:, 0])
    assert (np.diff(slopes) < 1e-12).all()


def test_cost_and_quality_are_read_off_the_hull_both_ways() -> None:
    curve = hulls(np.array([[1.0, 2.0, 4.0]]), np.array([[0.2, 0.6, 0.8]]))
    assert curve.quality_at(3.0)[0] == pytest.approx(0.7)
    assert curve.cost_of(0.7)[0] == pytest.approx(3.0)
    assert curve.cost_of(0.1)[0] == 1.0
    assert curve.quality_at(9.0)[0] == pytest.approx(0.8)
    assert np.isnan([curve.quality_at(0.5)[0], curve.cost_of(0.9)[0]]).all()


# --- all λ


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Floats, Floats, Floats]:
    """Values and prices on a coarse lattice, so that ties are many and arithmetic is exact."""
    n, m = draw(st.integers(1, 30)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(SEEDS))
    p = rng.integers(0, 17, size=(n, m)) / 16
    dollars = rng.integers(0, 9, size=m if draw(st.booleans()) else (n, m)).astype(np.float64)
    return p, dollars, rng.random((n, m)), rng.random((n, m))


def test_the_sweep_of_two_queries_is_as_by_hand() -> None:
    # the first leaves the dear model at λ = 0.4 / 2, the second never had it
    p = np.array([[0.5, 0.9], [0.8, 0.7]])
    score, cost = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    swept = sweep(p, np.array([1.0, 3.0]), score, cost)
    assert swept.lambdas == pytest.approx([0.0, 0.2])
    assert swept.points.tolist() == [[2.0, 1.0], [1.0, 0.5]]


@PROPERTY
@given(table=tables(), lam=st.one_of(st.just(0.0), st.floats(0, 3), st.just(1e6)))
def test_the_sweep_is_the_argmax_at_any_lambda(table: tuple[Floats, Floats, Floats, Floats], lam: float) -> None:
    p, dollars, score, cost = table
    swept = sweep(p, dollars, score, cost)
    gap = np.abs(swept.lambdas[1:] - lam)
    assume(not len(gap) or gap.min() > 1e-9)
    row, chosen = np.arange(len(p)), choose(p, dollars, lam)
    got = swept.at(lam)
    assert float(got[0]) == pytest.approx(cost[row, chosen].mean(), abs=1e-12)
    assert float(got[1]) == pytest.approx(score[row, chosen].mean(), abs=1e-12)


@PROPERTY
@given(table=tables())
def test_between_any_two_breakpoints_the_sweep_is_the_argmax(table: tuple[Floats, Floats, Floats, Floats]) -> None:
    p, dollars, score, cost = table
    swept = sweep(p, dollars, score, cost)
    grid = swept.grid(len(swept.lambdas))
    assert (np.diff(grid) > 0).all()
    assert len(grid) == len(swept.lambdas)
    chosen = choices_on(p, dollars, grid).astype(np.intp)
    assert swept.quality == pytest.approx(np.take_along_axis(score, chosen, axis=1).mean(axis=0), abs=1e-12)
    assert swept.cost == pytest.approx(np.take_along_axis(cost, chosen, axis=1).mean(axis=0), abs=1e-12)


@PROPERTY
@given(table=tables(), low=st.floats(0, 3), high=st.floats(0, 3))
def test_raising_lambda_never_raises_what_a_query_is_predicted_to_cost(
    table: tuple[Floats, Floats, Floats, Floats], low: float, high: float
) -> None:
    p, dollars, *_ = table
    whole = np.broadcast_to(dollars, p.shape)
    chosen = choices_on(p, dollars, np.sort([low, high])).astype(np.intp)
    paid = np.take_along_axis(whole, chosen, axis=1)
    assert (paid[:, 1] <= paid[:, 0]).all()


@PROPERTY
@given(table=tables())
def test_the_sweep_does_not_depend_on_the_order_of_queries(table: tuple[Floats, Floats, Floats, Floats]) -> None:
    p, dollars, score, cost = table
    order = np.arange(len(p))[::-1]
    whole = np.broadcast_to(dollars, p.shape)
    first, second = sweep(p, whole, score, cost), sweep(p[order], whole[order], score[order], cost[order])
    assert first.lambdas.tolist() == second.lambdas.tolist()
    assert first.points == pytest.approx(second.points, abs=1e-12)


def test_among_equals_the_cheaper_model_is_chosen_and_then_the_first() -> None:
    p = np.array([[0.5, 0.5, 0.5], [0.9, 0.5, 0.9]])
    assert choose(p, np.array([3.0, 1.0, 1.0]), 0.0).tolist() == [1, 2]
    assert choose(p, np.array([3.0, 1.0, 3.0]), 0.2).tolist() == [1, 1]  # 0.9 − 0.2 · 3 falls below 0.5 − 0.2 · 1


def test_more_rows_than_a_chunk_make_one_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    p, cost = rng.random((100, 4)), rng.random((100, 4))
    whole = sweep(p, cost, p, cost)
    monkeypatch.setattr("router.sweeps.CHUNK", 7)
    parts = sweep(p, cost, p, cost)
    assert parts.lambdas.tolist() == whole.lambdas.tolist()
    assert parts.points == pytest.approx(whole.points, abs=1e-12)


def test_right_and_wrong_as_booleans_and_single_precision_are_added_up_in_double() -> None:
    rng = np.random.default_rng(2)
    p, right = rng.random((300, 3)), rng.random((300, 3)) < 0.5
    cost = rng.random((300, 3)).astype(np.float32)
    exact = sweep(p, np.arange(3.0), right.astype(np.float64), cost.astype(np.float64))
    assert sweep(p, np.arange(3.0), right, cost).points == pytest.approx(exact.points, abs=1e-15)  # type: ignore[arg-type]  # what a caller may hold


def test_a_short_grid_keeps_both_ends() -> None:
    rng = np.random.default_rng(3)
    p, cost = rng.random((200, 5)), rng.random((200, 5))
    swept = sweep(p, cost, p, cost)
    grid = swept.grid(10)
    assert len(grid) == 10
    assert grid[0] == 0.0
    assert swept.at(grid[-1])[0] == pytest.approx(cost.min(axis=1).mean())


def test_choices_of_many_models_need_wider_integers() -> None:
    p = np.zeros((1, 200))
    p[0, 150] = 1.0
    assert choices_on(p, np.ones(200), np.zeros(1)).tolist() == [[150]]
    assert choices_on(p[:, :100], np.ones(100), np.zeros(1)).dtype == np.int8


# --- PerfGain and CostSave


def test_perf_gain_and_cost_save_are_relative_to_the_best_single_model() -> None:
    points = np.array([[1.0, 0.7], [2.0, 0.8], [3.0, 0.88]])
    assert perf_gain(0.88, best_quality=0.8) == pytest.approx(0.1)
    assert cost_save(points, best_quality=0.8, best_cost=8.0) == pytest.approx(0.75)
    assert cost_save(points, best_quality=0.8 + 1e-15, best_cost=8.0) == pytest.approx(0.75)


def test_a_quality_that_is_never_reached_saves_nothing_that_could_be_named() -> None:
    assert cost_save(np.array([[1.0, 0.7]]), best_quality=0.8, best_cost=8.0) is None


# --- what cannot be computed


P, D = np.full((2, 2), 0.5), np.ones(2)
BROKEN: dict[str, Callable[[], object]] = {
    "no query": lambda: apgr(np.zeros(0), np.zeros(0), np.zeros(0)),
    "other shapes": lambda: apgr(UP, WEAK[:3], STRONG),
    "a value that is not a number": lambda: apgr(np.array([0, 1, np.nan, 2]), WEAK, STRONG),
    "a missing score": lambda: apgr(UP, np.array([0, 1, np.nan, 1]), STRONG),
    "no bin": lambda: pair_curve(UP, WEAK, STRONG, cuts=0),
    "a negative weight": lambda: pair_curve(UP, WEAK, STRONG, weights=np.array([1.0, 1, 1, -1])),
    "no weight": lambda: pair_curve(UP, WEAK, STRONG, weights=np.zeros(4)),
    "one cost of two": lambda: threshold_sweep(UP, WEAK, STRONG, weak_cost=STRONG),
    "no point": lambda: hull(np.zeros((0, 2))),
    "points of three": lambda: hull(np.zeros((2, 3))),
    "a point that is not finite": lambda: hull(np.array([[1.0, np.nan]])),
    "a negative cost": lambda: hull(np.array([[-1.0, 0.5]])),
    "an axis without length": lambda: aiq(np.array([[0.0, 0.5]]), max_cost=0.0),
    "an axis without end": lambda: aiq(np.array([[0.0, 0.5]]), max_cost=np.inf),
    "no model": lambda: choose(np.zeros((2, 0)), np.zeros(0), 0.0),
    "prices of other models": lambda: choose(P, np.ones(3), 0.0),
    "a price that is missing": lambda: choose(P, np.array([1.0, np.nan]), 0.0),
    "a price below zero": lambda: choose(P, np.array([1.0, -1.0]), 0.0),
    "a negative λ": lambda: choose(P, D, -1.0),
    "an infinite λ": lambda: choices_on(P, D, np.array([np.inf])),
    "a score that is missing": lambda: sweep(P, D, np.array([[1.0, np.nan], [0, 1]]), P),
    "a cost that is missing": lambda: sweep(P, D, P, np.array([[1.0, np.nan], [0, 1]])),
    "costs of another shape": lambda: sweep(P, D, P, np.ones(2)),
    "a best model that never answers": lambda: perf_gain(0.1, best_quality=0.0),
    "a best model for nothing": lambda: cost_save(np.ones((1, 2)), best_quality=1.0, best_cost=0.0),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_computed_is_refused(case: str) -> None:
    with pytest.raises(PolicyError):
        BROKEN[case]()
