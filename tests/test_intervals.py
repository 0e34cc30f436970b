"""Intervals say how sure a figure is: checked by hand, by a second way, and on data whose truth is known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.intervals import Interval, MeanDraws, Z, bootstrap_mean, holm, minimum_detectable, wilson

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
SHARES = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def draws_of(values: list[float], groups: list[str], *, seed: int = 0, draws: int = 400) -> MeanDraws:
    return bootstrap_mean(np.array(values, dtype=np.float64), groups, rng=np.random.default_rng(seed), draws=draws)


def coverage(*, whole: bool) -> float:
    """How often the interval holds the true mean, 0.8: 40 people of ability Beta(4, 1), ten queries each."""
    rng = np.random.default_rng(11)
    person = np.repeat(np.arange(40), 10)
    held = 0
    for _ in range(300):
        hit = (rng.random(400) < rng.beta(4, 1, size=40)[person]).astype(np.float64)
        groups = person if whole else np.arange(400)
        interval = bootstrap_mean(hit, groups.tolist(), rng=rng, draws=300).interval
        held += interval.low <= 0.8 <= interval.high
    return held / 300


def test_wilson_of_two_in_four_is_as_by_hand() -> None:
    # middle 1/2 by symmetry; half = 1.959964 / 1.960365 * sqrt(0.0625 + 0.060023) = 0.349961
    assert wilson(2, 4).to_list() == pytest.approx([0.150039, 0.849961], abs=2e-6)


@settings(deadline=None, max_examples=50)
@given(share=SHARES)
def test_wilson_is_where_the_score_test_just_rejects(share: tuple[int, int]) -> None:
    hits, n = share
    found = np.sort(np.roots([1 + Z**2 / n, -(2 * hits / n + Z**2 / n), (hits / n) ** 2]).real)
    assert wilson(hits, n).low == pytest.approx(found[0], abs=1e-7)
    assert wilson(hits, n).high == pytest.approx(found[1], abs=1e-7)


@settings(deadline=None, max_examples=50)
@given(share=SHARES)
def test_wilson_of_the_misses_mirrors_wilson_of_the_hits(share: tuple[int, int]) -> None:
    hits, n = share
    assert wilson(hits, n).low == pytest.approx(1 - wilson(n - hits, n).high, abs=1e-12)


def test_the_interval_of_no_hit_starts_at_a_zero_without_a_sign() -> None:
    assert {str(wilson(0, n).to_list()[0]) for n in range(1, 200)} == {"0.0"}


def test_the_share_of_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="share of nothing"):
        wilson(0, 0)


def test_groups_are_drawn_whole() -> None:
    # a a, b b or one of each: means 0, 1 and (0 + 0 + 0 + 1) / 4; half of the draws are one of each
    found = draws_of([0, 0, 0, 1], ["a", "a", "a", "b"], draws=4_000).draws
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == [0.0, 0.25, 1.0]
    assert (counts / 4_000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_the_estimate_is_the_plain_mean_whatever_the_groups() -> None:
    assert draws_of([1, 0, 0, 1, 1], ["a", "a", "a", "a", "b"]).estimate == pytest.approx(0.6)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    assert 0.90 <= coverage(whole=True) <= 0.98


def test_intervals_that_tear_people_apart_are_too_narrow() -> None:
    assert coverage(whole=False) < 0.87


def test_the_standard_error_of_single_queries_is_the_textbook_one() -> None:
    values = np.random.default_rng(3).normal(size=400)
    found = bootstrap_mean(values, [str(i) for i in range(400)], rng=np.random.default_rng(4)).standard_error
    assert found == pytest.approx(values.std() / 20, rel=0.05)


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(6)), seed=st.integers(0, 5))
def test_the_draws_do_not_depend_on_the_order_of_the_queries(order: list[int], seed: int) -> None:
    values, groups = [0.0, 1.0, 0.5, 0.25, 1.0, 0.0], ["a", "b", "a", "c", "c", "d"]
    shuffled = draws_of([values[i] for i in order], [groups[i] for i in order], seed=seed)
    assert shuffled.draws == pytest.approx(draws_of(values, groups, seed=seed).draws)


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="mean of nothing"):
        draws_of([], [])


@pytest.mark.parametrize(
    ("draws", "p"),
    [
        ([1.0] * 9, 0.2),  # none beyond 0: 2 (0 + 1) / (9 + 1)
        ([-1.0] + [1.0] * 8, 0.4),  # one beyond 0: 2 (1 + 1) / 10
        ([0.0] * 9, 1.0),  # a tie lies on both sides
        ([-1.0] * 4 + [1.0] * 5, 1.0),
    ],
)
def test_the_p_value_counts_the_draws_on_the_other_side_of_zero(draws: list[float], p: float) -> None:
    assert MeanDraws(estimate=0.0, draws=np.array(draws)).p_value == pytest.approx(p)


@settings(deadline=None, max_examples=40)
@given(draws=st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_swapping_the_two_sides_leaves_the_p_value(draws: list[float]) -> None:
    there = MeanDraws(estimate=0.0, draws=np.array(draws))
    back = MeanDraws(estimate=0.0, draws=-np.array(draws))
    assert there.p_value == back.p_value


@pytest.mark.parametrize(
    ("low", "high", "excluded"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_an_interval_that_touches_zero_does_not_exclude_it(low: float, high: float, excluded: bool) -> None:
    assert Interval(low=low, high=high).excludes_zero() is excluded


def test_holm_is_as_in_the_worked_example() -> None:
    # in order: 4 * 0.005 = 0.02, 3 * 0.01 = 0.03, 2 * 0.03 = 0.06, and 1 * 0.04 rises to the 0.06 before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_no_tests_is_no_tests() -> None:
    assert holm([]) == []


@settings(deadline=None, max_examples=50)
@given(p=P_VALUES, data=st.data())
def test_holm_follows_its_tests_when_they_are_reordered(p: list[float], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(p))))
    assert holm([p[i] for i in order]) == [holm(p)[i] for i in order]


@settings(deadline=None, max_examples=50)
@given(p=P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    for raw, adjusted in zip(p, holm(p), strict=True):
        assert raw - 1e-9 <= adjusted <= min(1.0, len(p) * raw) + 1e-9


def test_the_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    shift = minimum_detectable(0.01) / 0.01  # in standard errors
    assert 1 - NormalDist(mu=shift).cdf(1.96) == pytest.approx(0.8, abs=1e-4)
