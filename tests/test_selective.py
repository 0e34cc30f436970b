"""Risk, coverage and AUROC: worked by hand, counted slowly, and held to what must not change them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.selective import Bools, Floats, auroc, bootstrap_auroc, risk_coverage, selective_figures

CONFIDENCE = np.array([0.8, 0.9, 0.5, 0.8])
LOSS = np.array([1.0, 0.0, 1.0, 0.0])
JUDGED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12)
SCORED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25).filter(
    lambda rows: len({kind for _, kind in rows}) == 2
)


def columns(rows: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    return np.array([row[0] for row in rows], dtype=np.float64), np.array([row[1] for row in rows], dtype=np.float64)


def scored(rows: list[tuple[int, bool]]) -> tuple[Floats, Bools]:
    return np.array([row[0] for row in rows], dtype=np.float64), np.array([row[1] for row in rows], dtype=bool)


def pairs_won(score: Floats, positive: Bools) -> float:
    """Every positive against every negative, one at a time."""
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in score[positive] for n in score[~positive]]
    return sum(wins) / len(wins)


def area_of(loss: Floats) -> float:
    """AURC of queries already in order: the mean of the mean losses of the first 1, 2, ... n."""
    return float(np.mean([loss[: i + 1].mean() for i in range(len(loss))]))


def test_queries_that_tie_are_answered_together() -> None:
    curve = risk_coverage(CONFIDENCE, LOSS)
    assert curve.threshold.tolist() == [0.9, 0.8, 0.5]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 3, 1 / 2])


def test_the_area_is_as_by_hand() -> None:
    # the tie is entered half wrong: risks 0, 0.5/2, 1/3 and 2/4
    assert risk_coverage(CONFIDENCE, LOSS).aurc == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4)


@settings(deadline=None, max_examples=40)
@given(rows=JUDGED.filter(lambda rows: len(rows) <= 6))
def test_the_area_is_the_mean_over_all_orders_of_the_ties(rows: list[tuple[int, int]]) -> None:
    confidence, loss = columns(rows)
    orders = [list(order) for order in permutations(range(len(rows))) if (np.diff(confidence[list(order)]) <= 0).all()]
    assert risk_coverage(confidence, loss).aurc == pytest.approx(np.mean([area_of(loss[order]) for order in orders]))


@settings(deadline=None, max_examples=40)
@given(rows=JUDGED, data=st.data())
def test_the_curve_does_not_depend_on_the_order_of_the_queries(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    confidence, loss = columns(rows)
    order = data.draw(st.permutations(range(len(rows))))
    there, back = risk_coverage(confidence, loss), risk_coverage(confidence[order], loss[order])
    assert there.risk.tolist() == back.risk.tolist()
    assert there.aurc == pytest.approx(back.aurc)


@settings(deadline=None, max_examples=40)
@given(rows=JUDGED)
def test_no_confidence_has_a_smaller_area_than_the_loss_itself(rows: list[tuple[int, int]]) -> None:
    confidence, loss = columns(rows)
    best, worst = risk_coverage(-loss, loss).aurc, risk_coverage(loss, loss).aurc
    assert best - 1e-12 <= risk_coverage(confidence, loss).aurc <= worst + 1e-12


def test_a_confidence_that_knows_nothing_has_the_mean_loss_as_area() -> None:
    assert risk_coverage(np.full(4, 0.7), LOSS).aurc == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("coverage", "risk"), [(0.1, 0), (0.25, 0), (0.26, 1 / 3), (0.75, 1 / 3), (0.8, 0.5), (1, 0.5)]
)
def test_a_coverage_is_reached_by_whole_blocks(coverage: float, risk: float) -> None:
    assert risk_coverage(CONFIDENCE, LOSS).risk_at(coverage) == pytest.approx(risk)


@pytest.mark.parametrize(("risk", "coverage"), [(0.0, 0.25), (0.33, 0.25), (1 / 3, 0.75), (0.5, 1.0), (-0.1, 0.0)])
def test_a_risk_is_held_at_the_largest_coverage_that_keeps_it(risk: float, coverage: float) -> None:
    assert risk_coverage(CONFIDENCE, LOSS).coverage_at(risk) == coverage


def test_a_risk_that_falls_again_is_held_behind_the_bump() -> None:
    # risks 1, 1/2, 1/3, 1/4: only the whole set keeps a quarter
    assert risk_coverage(np.array([4.0, 3, 2, 1]), np.array([1.0, 0, 0, 0])).coverage_at(0.25) == 1.0


@pytest.mark.parametrize("coverage", [0.0, -0.5, 1.01, float("nan")])
def test_a_coverage_outside_its_range_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage"):
        risk_coverage(CONFIDENCE, LOSS).risk_at(coverage)


@pytest.mark.parametrize(
    ("confidence", "loss"),
    [([], []), ([0.5], [0.5, 0.5]), ([float("nan")], [0.5]), ([0.5], [float("nan")]), ([float("inf")], [0.5])],
)
def test_what_is_empty_or_no_number_has_no_curve(confidence: list[float], loss: list[float]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        risk_coverage(np.array(confidence), np.array(loss))


def test_an_area_under_the_roc_curve_is_as_by_hand() -> None:
    # 3 beats 1 and 2, 2 beats 1 and ties with 2: 3.5 of 4 pairs
    assert auroc(np.array([1.0, 2, 2, 3]), np.array([False, False, True, True])) == 3.5 / 4


@settings(deadline=None, max_examples=50)
@given(rows=SCORED)
def test_it_is_the_share_of_pairs_won(rows: list[tuple[int, bool]]) -> None:
    score, positive = scored(rows)
    assert auroc(score, positive) == pytest.approx(pairs_won(score, positive), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(rows=SCORED, scale=st.sampled_from([1e-200, 1e-3, 1.0, 1e200]))
def test_it_only_sees_the_order_of_the_scores(rows: list[tuple[int, bool]], scale: float) -> None:
    score, positive = scored(rows)
    assert auroc(score**3 * scale, positive) == auroc(score, positive)
    assert auroc(np.exp(score), positive) == auroc(score, positive)
    assert auroc(-score, positive) == pytest.approx(1 - auroc(score, positive))


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_one_kind_alone_has_no_auroc(positive: list[bool]) -> None:
    with pytest.raises(ValueError, match="one of each"):
        auroc(np.array([1.0, 2.0]), np.array(positive))


def drawn_rows(groups: list[str], *, seed: int, draws: int) -> list[list[int]]:
    """The positions that each draw of whole groups holds, written out one by one."""
    names = sorted(set(groups))
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return [
        [
            i
            for name, times in zip(names, count, strict=True)
            for i in times * [j for j, g in enumerate(groups) if g == name]
        ]
        for count in counts
    ]


def test_every_draw_is_the_auroc_of_the_queries_it_holds() -> None:
    rng = np.random.default_rng(5)
    score, positive = rng.integers(0, 6, size=30).astype(float), rng.random(30) < 0.4
    groups = [f"g{i % 11:02d}" for i in range(30)]
    found = bootstrap_auroc(score, positive, groups, rng=np.random.default_rng(3), draws=250)
    slow = [pairs_won(score[rows], positive[rows]) for rows in drawn_rows(groups, seed=3, draws=250)]
    assert found.draws == pytest.approx(slow)
    assert found.estimate == auroc(score, positive)


def test_a_draw_without_one_of_the_kinds_is_left_out() -> None:
    # two groups of one kind each: half of the draws hold both, and in those every pair is won
    found = bootstrap_auroc(
        np.array([0.0, 1.0]), np.array([False, True]), ["a", "b"], rng=np.random.default_rng(0), draws=400
    )
    assert set(found.draws.tolist()) == {1.0}
    assert 150 < len(found.draws) < 250


def test_groups_that_no_draw_can_mix_are_refused() -> None:
    with pytest.raises(ValueError, match="more groups"):
        bootstrap_auroc(
            np.array([0.0, 1.0]), np.array([False, True]), ["a", "b"], rng=np.random.default_rng(0), draws=1
        )


def test_the_standard_error_is_that_of_delong() -> None:
    rng = np.random.default_rng(8)
    positive = np.arange(600) < 200
    score = rng.normal(size=600) + positive
    wins = (score[positive][:, None] > score[~positive]).astype(float)
    delong = np.sqrt(wins.mean(axis=1).var(ddof=1) / 200 + wins.mean(axis=0).var(ddof=1) / 400)
    found = bootstrap_auroc(score, positive, list(range(600)), rng=rng, draws=1500)
    assert found.standard_error == pytest.approx(delong, rel=0.1)


def test_a_score_does_not_differ_from_itself_in_any_draw() -> None:
    score, positive = np.array([1.0, 4, 2, 3]), np.array([False, True, True, False])
    found = bootstrap_auroc(score, positive, list("abcd"), against=score * 2, rng=np.random.default_rng(0), draws=300)
    assert found.estimate == 0
    assert set(found.draws.tolist()) == {0.0}


def test_a_difference_is_paired_draw_by_draw() -> None:
    rng = np.random.default_rng(2)
    one, other, positive = rng.normal(size=40), rng.normal(size=40), np.arange(40) % 3 == 0
    groups = [str(i) for i in range(40)]
    apart = [
        bootstrap_auroc(each, positive, groups, rng=np.random.default_rng(1), draws=200).draws for each in (one, other)
    ]
    found = bootstrap_auroc(one, positive, groups, against=other, rng=np.random.default_rng(1), draws=200)
    assert found.draws == pytest.approx(apart[0] - apart[1])


def test_a_group_per_query_is_wanted() -> None:
    with pytest.raises(ValueError, match="3 groups for 4 queries"):
        selective_figures(CONFIDENCE, LOSS, list("abc"), rng=np.random.default_rng(0))


def test_the_figures_are_those_of_the_curve() -> None:
    rng = np.random.default_rng(0)
    found = selective_figures(CONFIDENCE, LOSS, list("abcd"), rng=rng, coverages=(0.5, 1.0), risks=(0.0, 0.4), draws=50)
    assert (found["n"], found["n_units"], found["risk"]) == (4, 4, 0.5)
    assert (found["aurc"], found["aurc_random"]) == (0.270833, 0.5)
    assert found["aurc_oracle"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4, abs=1e-6)
    assert [entry["risk"] for entry in found["risk_at"]] == [0.333333, 0.5]
    assert [(entry["risk"], entry["coverage"]) for entry in found["coverage_at"]] == [(0.0, 0.25), (0.4, 0.75)]


def test_the_intervals_are_the_quantiles_of_the_resampled_curves() -> None:
    rng = np.random.default_rng(4)
    confidence, loss = rng.integers(0, 8, size=40) / 8, (rng.random(40) < 0.3).astype(float)
    groups = [f"g{i % 13:02d}" for i in range(40)]
    found = selective_figures(
        confidence, loss, groups, rng=np.random.default_rng(9), coverages=(0.5,), risks=(0.25,), draws=220
    )
    curves = [risk_coverage(confidence[rows], loss[rows]) for rows in drawn_rows(groups, seed=9, draws=220)]
    for ci, slow in (
        (found["aurc_ci"], [curve.aurc for curve in curves]),
        (found["risk_ci"], [curve.risk[-1] for curve in curves]),
        (found["risk_at"][0]["risk_ci"], [curve.risk_at(0.5) for curve in curves]),
        (found["coverage_at"][0]["coverage_ci"], [curve.coverage_at(0.25) for curve in curves]),
    ):
        assert ci == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=1e-6)


def test_one_query_has_its_own_loss_as_every_figure() -> None:
    found = selective_figures(np.array([1e308]), np.array([0.25]), ["a"], rng=np.random.default_rng(0), draws=10)
    assert (found["aurc"], found["aurc_ci"], found["risk_at"][0]["risk"]) == (0.25, [0.25, 0.25], 0.25)
