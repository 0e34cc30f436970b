"""Choosing a threshold: the one pass must price every cut as a slow pass per threshold does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.alsoheads import _best_f1_threshold
from router.errors import PolicyError
from router.thresholds import Floats, for_prices, sweep

Bools = npt.NDArray[np.bool_]
# Routers give probabilities rounded to 6 decimals, 0 and 1 among them; few values, so that many queries tie.
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 10**6).map(lambda i: i / 10**6))
QUERIES = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30)
PRICES = st.sampled_from([0.001, 0.01, 0.02, 0.5, 1.0, 3.0])


def arrays(queries: list[tuple[float, bool]]) -> tuple[Floats, Bools]:
    return np.array([score for score, _ in queries]), np.array([cheap for _, cheap in queries])


def slow_loss(score: Floats, cheap: Bools, threshold: float, wrong_cheap: float, wrong_dear: float) -> float:
    """Dollars per query at one threshold, query by query, with the policy's own comparison."""
    total = 0.0
    for p, belongs in zip(score.tolist(), cheap.tolist(), strict=True):
        sent = p >= threshold
        total += wrong_cheap if sent and not belongs else wrong_dear if belongs and not sent else 0.0
    return total / len(score)


def test_three_queries_priced_by_hand() -> None:
    swept = sweep(np.array([0.8, 0.2, 0.4]), np.array([True, False, True]), wrong_cheap_usd=3.0, wrong_dear_usd=0.9)
    assert swept.threshold.tolist() == pytest.approx([0.0, 0.3, 0.6, 1.0])
    assert swept.loss_usd.tolist() == pytest.approx([1.0, 0.0, 0.3, 0.6])
    assert swept.share.tolist() == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])


def test_no_cut_stands_between_queries_of_the_same_score() -> None:
    swept = sweep(np.array([0.5, 0.5, 0.5]), np.array([True, False, True]), wrong_cheap_usd=1.0, wrong_dear_usd=1.0)
    assert swept.threshold.tolist() == [0.0, 1.0]


@settings(deadline=None, max_examples=50)
@given(queries=QUERIES, wrong_cheap=PRICES, wrong_dear=PRICES)
def test_every_threshold_is_priced_as_a_slow_pass_prices_it(
    queries: list[tuple[float, bool]], wrong_cheap: float, wrong_dear: float
) -> None:
    score, cheap = arrays(queries)
    swept = sweep(score, cheap, wrong_cheap_usd=wrong_cheap, wrong_dear_usd=wrong_dear)
    slow = [slow_loss(score, cheap, float(t), wrong_cheap, wrong_dear) for t in swept.threshold]
    assert swept.loss_usd.tolist() == pytest.approx(slow)


@settings(deadline=None, max_examples=50)
@given(queries=QUERIES)
def test_the_share_is_that_of_the_queries_at_or_above_the_threshold(queries: list[tuple[float, bool]]) -> None:
    score, cheap = arrays(queries)
    swept = sweep(score, cheap, wrong_cheap_usd=1.0, wrong_dear_usd=1.0)
    assert swept.share.tolist() == pytest.approx([float((score >= t).mean()) for t in swept.threshold])


@settings(deadline=None, max_examples=50)
@example(queries=[(1.0, False), (1.0, False), (0.5, True)], wrong_cheap=1.0, wrong_dear=1.0)
@given(queries=QUERIES, wrong_cheap=PRICES, wrong_dear=PRICES)
def test_no_threshold_at_all_loses_less_than_the_one_chosen(
    queries: list[tuple[float, bool]], wrong_cheap: float, wrong_dear: float
) -> None:
    score, cheap = arrays(queries)
    chosen = for_prices(score, cheap, wrong_cheap_usd=wrong_cheap, wrong_dear_usd=wrong_dear)
    anywhere = [0.0, 1.0, *score.tolist(), *np.nextafter(score, 2.0).clip(max=1.0).tolist()]
    best = min(slow_loss(score, cheap, t, wrong_cheap, wrong_dear) for t in anywhere)
    assert slow_loss(score, cheap, chosen, wrong_cheap, wrong_dear) == pytest.approx(best)


@settings(deadline=None, max_examples=50)
@given(queries=QUERIES, data=st.data())
def test_the_threshold_chosen_does_not_depend_on_the_order_of_the_queries(
    queries: list[tuple[float, bool]], data: st.DataObject
) -> None:
    score, cheap = arrays(queries)
    order = data.draw(st.permutations(range(len(queries))))
    moved = for_prices(score[order], cheap[order], wrong_cheap_usd=2.0, wrong_dear_usd=1.0)
    assert moved == for_prices(score, cheap, wrong_cheap_usd=2.0, wrong_dear_usd=1.0)


@settings(deadline=None, max_examples=50)
@given(queries=QUERIES, wrong_cheap=PRICES, wrong_dear=PRICES, factor=st.sampled_from([1e-6, 0.1, 7.0, 1e6]))
def test_the_threshold_chosen_is_the_same_in_any_currency(
    queries: list[tuple[float, bool]], wrong_cheap: float, wrong_dear: float, factor: float
) -> None:
    score, cheap = arrays(queries)
    in_dollars = for_prices(score, cheap, wrong_cheap_usd=wrong_cheap, wrong_dear_usd=wrong_dear)
    elsewhere = for_prices(score, cheap, wrong_cheap_usd=wrong_cheap * factor, wrong_dear_usd=wrong_dear * factor)
    assert elsewhere == in_dollars


def test_among_equal_thresholds_the_nearest_to_that_of_the_two_prices_is_taken() -> None:
    # 0.1 | 0.3 | 0.7 without one cheap query between: cuts at 0.5 and at 1 lose the same, the prices' own stands at 0.6.
    score, cheap = np.array([0.1, 0.3, 0.7, 0.7]), np.array([False, False, True, False])
    assert for_prices(score, cheap, wrong_cheap_usd=1.5, wrong_dear_usd=1.0) == 1.0
    assert for_prices(score, cheap, wrong_cheap_usd=1.0, wrong_dear_usd=1.0) == pytest.approx(0.5)


def test_queries_that_are_all_cheap_need_no_threshold() -> None:
    score = np.array([0.2, 0.6])
    assert for_prices(score, np.array([True, True]), wrong_cheap_usd=9.0, wrong_dear_usd=1.0) < 0.2


@pytest.mark.parametrize(("n", "m"), [(0, 0), (2, 3)])
def test_scores_that_are_none_or_do_not_fit_their_labels_are_refused(n: int, m: int) -> None:
    with pytest.raises(PolicyError, match="calibration split"):
        sweep(np.full(n, 0.5), np.zeros(m, dtype=bool), wrong_cheap_usd=1.0, wrong_dear_usd=1.0)


def f1(score: Floats, yes: Bools, threshold: float) -> float:
    said = score >= threshold
    return 2 * float((said & yes).sum()) / float(said.sum() + yes.sum())


@settings(deadline=None, max_examples=50)
@example(queries=[(0.25, True), (0.75, True), (0.5, False), (0.75, False)])
@example(queries=[(0.0, False), (1e-06, True)])
@given(queries=QUERIES.filter(lambda queries: any(yes for _, yes in queries)))
def test_no_threshold_finds_further_desks_better_than_the_one_chosen(queries: list[tuple[float, bool]]) -> None:
    score, yes = arrays(queries)
    best = max(f1(score, yes, t) for t in (0.0, *score.tolist()))
    assert f1(score, yes, _best_f1_threshold(score, yes)) == pytest.approx(best)
