"""Routers side by side: paired over the same queries, corrected over the whole table, and a tie called a tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.compare import OURS, Bench, baseline_run, choose_baselines, leaderboard
from eval.intervals import bootstrap_mean, holm
from eval.replay import replay
from eval.run import Run
from router.baselines import BASELINES
from router.dataset import Dataset
from router.encoders.hashing import HashingEncoder
from router.errors import DataError
from router.lexicon import Lexicon
from router.pipeline import Router
from router.routes import RouteTable
from router.training import splits_for_training
from router.types import Labels

MEASURES = ("complexity", "domain", "intent", "urgency", "route")

Row = dict[str, Any]  # Any: whatever JSON can hold


@pytest.fixture(scope="module")
def bench(small: Dataset, table: RouteTable, lexicon: Lexicon) -> Bench:
    return Bench(
        splits=splits_for_training(small),
        test=small.split("test"),
        table=table,
        encoder=HashingEncoder(),
        lexicon=lexicon,
        seed=0,
    )


@pytest.fixture(scope="module")
def ours(router: Router, bench: Bench) -> Run:
    return replay(router, bench.test, split="test", seed=0, bundle=None)


@pytest.fixture(scope="module")
def majority(bench: Bench) -> Run:
    return baseline_run("majority", bench)


def called(run: Run, name: str) -> Run:
    return replace(run, header=replace(run.header, router=name))


def against(ours: Run, *others: Run) -> Sequence[Row]:
    """The rows of the others."""
    rows: Sequence[Row] = leaderboard(ours, others)["rows"]
    return rows[1:]


def hits(run: Run, measure: str) -> list[float]:
    """Slowly, record by record: 1 where the labelled query was read, or sent, rightly."""
    if measure == "route":
        return [float(record.route == record.true_route) for record in run.records if record.true_route is not None]
    labels = run.header.classes[measure]
    return [
        float(labels[int(np.argmax(record.probabilities[measure]))] == record.labels[measure])
        for record in run.records
        if record.labels[measure] is not None
    ]


def test_a_run_compared_with_itself_is_a_tie(ours: Run) -> None:
    (row,) = against(ours, called(ours, "twin"))
    assert row["delta"] == dict.fromkeys(MEASURES, 0.0)
    assert row["delta_ci"] == {measure: [0.0, 0.0] for measure in MEASURES}
    assert row["verdict"] == dict.fromkeys(MEASURES, "tie")
    assert row["p_holm"] == dict.fromkeys(MEASURES, 1.0)


def test_queries_are_paired_by_name_not_by_place(ours: Run) -> None:
    (row,) = against(ours, replace(called(ours, "backwards"), records=ours.records[::-1]))
    assert row["delta_ci"] == {measure: [0.0, 0.0] for measure in MEASURES}


def test_a_worse_router_is_worse(ours: Run, majority: Run) -> None:
    (row,) = against(ours, majority)
    assert (row["verdict"]["route"], row["delta"]["route"] > 0) == ("better", True)


def test_a_better_router_is_better(ours: Run, majority: Run) -> None:
    (row,) = against(majority, ours)
    assert (row["verdict"]["route"], row["delta"]["route"] < 0) == ("worse", True)


def test_a_difference_that_holm_does_not_confirm_is_a_tie(ours: Run) -> None:
    # four queries of four people go astray: some 2 % of the draws hold none of them, so p is near 0.04, times five 0.2
    right = {record.unit: record.query_id for record in ours.records if record.route == record.true_route == "chat"}
    four = set(list(right.values())[:4])
    astray = [replace(record, route="trip") if record.query_id in four else record for record in ours.records]
    (row,) = against(ours, replace(called(ours, "astray"), records=tuple(astray)))
    assert row["delta_ci"]["route"][0] > 0
    assert row["verdict"]["route"] == "tie"


def test_swapping_the_sides_mirrors_every_difference(ours: Run, majority: Run) -> None:
    (there,), (back,) = against(ours, majority), against(majority, ours)
    for measure in MEASURES:
        low, high = there["delta_ci"][measure]
        assert back["delta"][measure] == -there["delta"][measure]
        assert back["delta_ci"][measure] == pytest.approx([-high, -low], abs=2e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_difference_is_ours_minus_theirs(ours: Run, majority: Run, measure: str) -> None:
    (row,) = against(ours, majority)
    difference = np.mean(hits(ours, measure)) - np.mean(hits(majority, measure))
    assert row["delta"][measure] == pytest.approx(difference, abs=1e-6)


def test_runs_over_different_queries_are_refused_by_name(ours: Run, majority: Run) -> None:
    elsewhere = replace(majority, header=replace(majority.header, fingerprint="0" * 64))
    with pytest.raises(DataError, match="'majority' is over other queries than 'weighbridge'"):
        leaderboard(ours, [elsewhere])


def test_p_values_are_corrected_over_the_whole_table(ours: Run, majority: Run) -> None:
    twin = called(ours, "twin")
    units = {
        measure: [record.unit for record in ours.records if labelled(ours, record.query_id, measure)]
        for measure in MEASURES
    }
    raw = [
        bootstrap_mean(
            np.array(hits(ours, measure)) - np.array(hits(other, measure)), units[measure], rng=np.random.default_rng(0)
        ).p_value
        for other in (majority, twin)
        for measure in MEASURES
    ]
    rows = against(ours, majority, twin)
    assert [row["p_holm"][measure] for row in rows for measure in MEASURES] == pytest.approx(holm(raw), abs=1e-6)


def labelled(run: Run, query_id: str, measure: str) -> bool:
    record = next(record for record in run.records if record.query_id == query_id)
    return (record.true_route if measure == "route" else record.labels[measure]) is not None


def test_ours_has_no_difference_to_itself_and_says_why(ours: Run, majority: Run) -> None:
    first = leaderboard(ours, [majority])["rows"][0]
    assert (first["router"], first["delta"], first["delta_ci"], first["verdict"]) == (OURS, None, None, None)
    assert first["reason"]


def test_ours_has_no_difference_to_itself_even_beside_another_router_of_its_name(ours: Run, majority: Run) -> None:
    first = leaderboard(ours, [called(majority, OURS)])["rows"][0]
    assert first["delta"] is None


def test_two_routers_of_one_name_keep_their_own_differences(ours: Run, majority: Run) -> None:
    worse, twin = against(ours, majority, called(ours, "majority"))
    assert (worse["verdict"]["route"], twin["verdict"]["route"]) == ("better", "tie")


def test_every_row_has_the_same_keys(ours: Run, majority: Run) -> None:
    rows = leaderboard(ours, [majority, called(ours, "twin")])["rows"]
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}


def test_a_leaderboard_of_ours_alone_has_one_row(ours: Run) -> None:
    assert len(leaderboard(ours, [])["rows"]) == 1


def test_a_measure_without_labels_is_a_null_not_a_missing_key(ours: Run) -> None:
    blank = replace(
        ours, records=tuple(replace(record, labels={**record.labels, "urgency": None}) for record in ours.records)
    )
    (row,) = against(blank, called(blank, "twin"))
    assert set(row["delta"]) == set(MEASURES)
    assert row["delta"]["urgency"] is None


def test_a_baseline_is_judged_on_the_queries_of_the_test_split(bench: Bench, majority: Run) -> None:
    assert [record.query_id for record in majority.records] == [query.query_id for query in bench.test.queries]
    assert (majority.header.router, majority.header.bundle) == ("majority", None)


def test_a_baseline_says_the_most_frequent_labels_of_training(bench: Bench, majority: Run) -> None:
    labels = [label for label in bench.splits.train.labels("domain") if label is not None]
    share = [round(labels.count(label) / len(labels), 6) for label in majority.header.classes["domain"]]
    assert {tuple(record.probabilities["domain"]) for record in majority.records} == {tuple(share)}


def test_nothing_of_the_test_split_reaches_what_a_baseline_learns(bench: Bench) -> None:
    unread = tuple(replace(query, labels=Labels()) for query in bench.test.queries[:10])
    blind = baseline_run("length", replace(bench, test=replace(bench.test, queries=unread)))
    seen = baseline_run("length", bench)
    assert blind.header.threshold == seen.header.threshold
    assert [record.route for record in blind.records] == [record.route for record in seen.records[:10]]


def test_all_names_every_baseline(bench: Bench) -> None:
    assert choose_baselines("all", bench.lexicon) == list(BASELINES)


def test_all_leaves_keywords_out_where_there_is_no_lexicon(bench: Bench) -> None:
    assert "keywords" not in choose_baselines("all", None)


def test_named_baselines_come_in_the_order_given_and_ours_is_always_there(bench: Bench) -> None:
    assert choose_baselines("length,weighbridge,majority", bench.lexicon) == ["length", "majority"]


def test_an_unknown_baseline_is_refused_with_the_known_ones(bench: Bench) -> None:
    with pytest.raises(DataError, match="has 'knn'; wanted `all` or some of majority, length"):
        choose_baselines("majority,knn", bench.lexicon)


def test_a_baseline_named_twice_is_judged_once(bench: Bench) -> None:
    assert choose_baselines("majority,majority", bench.lexicon) == ["majority"]
