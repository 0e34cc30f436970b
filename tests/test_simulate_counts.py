"""Where a router was seen to send queries: counted from its own run, written without a word of them, and read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.replay import replay
from eval.run import Run, write_run
from eval.simulate.counts import GRID, Counts, counts_of_run, read_counts, write_counts
from eval.simulate.draws import central, counted_at, sample
from eval.simulate.scenario import QueryClass, RouterUse, sure
from router.dataset import Dataset
from router.errors import DataError, RunError
from router.pipeline import Router
from router.policy import LabelPolicy
from tests.slow_simulation import TWO

COUNTED = Counts(
    thresholds=np.array([0.2, 0.7]),
    classes=("easy", "hard"),
    routes=("small", "large"),
    n=np.array([[[3.0, 1.0], [0.0, 4.0]], [[9.0, 1.0], [3.0, 7.0]]]),
    own=0.7,
    source="by hand",
)
HEADER = "threshold,queries,route,n\n"


@pytest.fixture(scope="module")
def run(router: Router, small: Dataset) -> Run:
    return replay(router, small.split("test"), split="test", seed=0, bundle=None)


@pytest.fixture
def counted(tmp_path: Path) -> Callable[[Run], Counts]:
    """Writes a run down and counts it."""

    def count(run: Run) -> Counts:
        header = replace(run.header, n=len(run.records))
        write_run(replace(run, header=header), tmp_path / "run.jsonl")
        return counts_of_run(tmp_path / "run.jsonl")

    return count


def sent_by(run: Run) -> Counter[tuple[str, str]]:
    """(true route, route) -> queries, as the run's own records have it."""
    return Counter((record.true_route, record.route) for record in run.records if record.true_route is not None)


def cells(counts: Counts, position: int) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (name, route): int(counts.n[position, k, r])
            for k, name in enumerate(counts.classes)
            for r, route in enumerate(counts.routes)
            if counts.n[position, k, r]
        }
    )


# --- of a run


def test_at_its_own_threshold_a_run_is_counted_as_it_went(run: Run, counted: Callable[[Run], Counts]) -> None:
    counts = counted(run)
    assert counts.own == run.header.threshold
    assert counts.thresholds[counts.nearest(None)] == run.header.threshold
    assert cells(counts, counts.nearest(None)) == sent_by(run)


def on_the_grid(run: Run) -> Run:
    """The run with each P(cheap label) rounded to a threshold that is counted."""
    cheap = run.header.classes["complexity"].index("simple")
    records = []
    for record in run.records:
        p = round(record.probabilities["complexity"][cheap] * (GRID - 1)) / (GRID - 1)
        row = [p if j == cheap else 1.0 - p for j in range(2)]
        records.append(replace(record, probabilities={**record.probabilities, "complexity": row}))
    return replace(run, records=tuple(records))


@pytest.mark.parametrize("changed", [lambda run: run, on_the_grid], ids=["as it was", "on the grid"])
def test_at_every_threshold_a_run_is_counted_as_its_policy_would_decide_there(
    changed: Callable[[Run], Run], run: Run, router: Router, counted: Callable[[Run], Counts]
) -> None:
    run = changed(run)
    counts = counted(run)
    probabilities = {head: run.probabilities(head) for head in run.header.classes}
    novelty = np.array([record.novelty for record in run.records])
    for position, threshold in enumerate(counts.thresholds.tolist()):
        policy = LabelPolicy(router.policy.table, router.policy.classes, threshold=threshold)
        sent = [policy.table.names[r] for r in policy.choose(probabilities, novelty=novelty).route.tolist()]
        again = tuple(replace(record, route=route) for record, route in zip(run.records, sent, strict=True))
        assert cells(counts, position) == sent_by(replace(run, records=again))


def test_a_run_over_data_whose_card_lists_no_further_desks_is_counted_as_it_went(
    router: Router, small: Dataset, counted: Callable[[Run], Counts]
) -> None:
    test = small.split("test")
    bare = replace(
        test,
        card=replace(test.card, also=()),
        queries=tuple(replace(query, labels=replace(query.labels, also=())) for query in test.queries),
    )
    run = replay(router, bare, split="test", seed=0, bundle=None)
    counts = counted(run)
    assert cells(counts, counts.nearest(None)) == sent_by(run)


def test_every_threshold_counts_every_labelled_query_once(run: Run, counted: Callable[[Run], Counts]) -> None:
    counts = counted(run)
    labelled = Counter(record.true_route for record in run.records if record.true_route is not None)
    assert counts.n.sum(axis=2).tolist() == [[labelled[name] for name in counts.classes]] * len(counts.thresholds)
    assert len(counts.thresholds) in (GRID, GRID + 1)
    assert (np.diff(counts.thresholds) > 0).all()


def test_a_higher_threshold_never_sends_more_to_the_cheap_road(run: Run, counted: Callable[[Run], Counts]) -> None:
    counts = counted(run)
    cheap = counts.n[:, :, counts.routes.index(run.header.cheap)]
    assert (np.diff(cheap, axis=0) <= 0).all()
    assert cheap[0].sum() > cheap[-1].sum()


def test_queries_whose_true_route_is_open_are_left_out(run: Run, counted: Callable[[Run], Counts]) -> None:
    opened = tuple(replace(record, true_route=None) if i % 2 else record for i, record in enumerate(run.records))
    kept = sum(record.true_route is not None for record in opened)
    assert counted(replace(run, records=opened)).n[0].sum() == kept


def test_the_order_of_a_run_changes_no_count(run: Run, counted: Callable[[Run], Counts]) -> None:
    turned = counted(replace(run, records=run.records[::-1]))
    assert turned.n.tolist() == counted(run).n.tolist()


def test_a_run_that_is_read_in_pieces_is_counted_as_in_one(
    run: Run, counted: Callable[[Run], Counts], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = counted(run)
    monkeypatch.setattr("eval.simulate.counts.BLOCK", 7)
    assert counted(run).n.tolist() == whole.n.tolist()


def test_a_run_without_a_labelled_query_is_refused(run: Run, counted: Callable[[Run], Counts]) -> None:
    opened = tuple(replace(record, true_route=None) for record in run.records)
    with pytest.raises(RunError, match=r"run\.jsonl: no query of it has a true route; replay over labelled queries"):
        counted(replace(run, records=opened))


def test_a_run_from_before_the_safe_route_was_written_down_is_refused(
    run: Run, counted: Callable[[Run], Counts]
) -> None:
    with pytest.raises(RunError, match="does not say which route is the safe one; replay again"):
        counted(replace(run, header=replace(run.header, safe="")))


# --- as a file


def test_what_a_run_counted_comes_back_from_its_file(
    run: Run, counted: Callable[[Run], Counts], tmp_path: Path
) -> None:
    counts = counted(run)
    write_counts(counts, tmp_path / "routing.csv")
    again = read_counts(tmp_path / "routing.csv")
    assert again.thresholds.tolist() == counts.thresholds.tolist()
    assert again.onto(counts.classes, counts.routes).tolist() == counts.n.tolist()
    assert (again.own, again.source) == (None, "routing.csv")


def test_the_file_holds_names_and_numbers_and_no_word_of_a_query(tmp_path: Path) -> None:
    write_counts(COUNTED, tmp_path / "routing.csv")
    assert (tmp_path / "routing.csv").read_text() == (
        HEADER + "0.2,easy,small,3\n0.2,easy,large,1\n0.2,hard,large,4\n"
        "0.7,easy,small,9\n0.7,easy,large,1\n0.7,hard,small,3\n0.7,hard,large,7\n"
    )


@settings(deadline=None, max_examples=30)
@given(
    n=hnp.arrays(np.int64, (3, 2, 2), elements=st.integers(0, 999)),
    thresholds=st.lists(st.integers(0, 10**6), min_size=3, max_size=3, unique=True),
)
def test_counts_survive_being_written_and_read(
    n: np.ndarray[tuple[int, ...], np.dtype[np.int64]], thresholds: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    counts = replace(COUNTED, n=n + np.eye(2), thresholds=np.sort(np.array(thresholds)) / 1e6)
    path = tmp_path_factory.mktemp("counts") / "routing.csv"
    write_counts(counts, path)
    again = read_counts(path)
    assert again.thresholds == pytest.approx(counts.thresholds)
    assert again.onto(counts.classes, counts.routes).tolist() == counts.n.tolist()


def test_millions_of_queries_are_written_to_the_last_one(tmp_path: Path) -> None:
    many = replace(COUNTED, n=COUNTED.n * 1_234_567)
    write_counts(many, tmp_path / "routing.csv")
    assert read_counts(tmp_path / "routing.csv").onto(many.classes, many.routes).tolist() == many.n.tolist()


def test_a_name_with_a_comma_comes_back_whole(tmp_path: Path) -> None:
    named = replace(COUNTED, classes=("look-ups, writes", "hard"))
    write_counts(named, tmp_path / "routing.csv")
    assert read_counts(tmp_path / "routing.csv").classes == ("look-ups, writes", "hard")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "wanted a CSV with the columns threshold, queries, route, n, one row or more"),
        (HEADER, "one row or more"),
        ("threshold,queries,n\n0.5,easy,3\n", "with the columns"),
        (HEADER + "0.5,easy,small,3\nhigh,easy,small,3\n", r"line 3: .*high.*wanted numbers under `threshold` and `n`"),
        (HEADER + "0.5,easy,small\n", "line 2: .*wanted numbers"),
        (HEADER + "0.5,easy,small,-1\n", "line 2: n is -1, or the row stands twice"),
        (HEADER + "0.5,easy,small,nan\n", "line 2: n is nan"),
        (HEADER + "0.5,easy,small,1\n0.50,easy,small,2\n", "line 3: .*the row stands twice"),
        (HEADER + "0.5,easy,small,1\n0.7,hard,small,2\n", "no query of class 'easy' was counted at some threshold"),
        (HEADER + "nan,easy,small,1\n", "no ascending numbers"),
    ],
)
def test_a_file_that_cannot_be_counted_on_is_refused_by_its_line(text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / "routing.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=wanted) as refused:
        read_counts(path)
    assert "routing.csv" in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read .*; wanted a CSV of threshold, queries, route, n"):
        read_counts(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_counts(tmp_path / "binary.csv")


# --- asked for by a scenario


def test_the_nearest_counted_threshold_is_taken_and_the_routers_own_where_none_is_asked_for() -> None:
    assert [COUNTED.nearest(asked) for asked in (0.0, 0.44, 0.46, 1.0, None)] == [0, 0, 1, 1, 1]


def test_of_counts_that_do_not_know_their_own_threshold_one_must_be_asked_for() -> None:
    with pytest.raises(DataError, match=r"which of 2 thresholds\? Set `threshold` in \[router\]"):
        replace(COUNTED, own=None).nearest(None)


def test_counts_take_the_order_of_the_scenarios_classes_and_routes() -> None:
    moved = COUNTED.onto(("hard", "easy"), ("large", "other", "small"))
    assert moved[1].tolist() == [[7.0, 0.0, 3.0], [1.0, 0.0, 9.0]]


def test_a_class_that_was_never_counted_is_refused() -> None:
    with pytest.raises(DataError, match="nothing was counted for queries 'odd'; it has easy, hard"):
        COUNTED.onto(("easy", "odd"), ("small", "large"))


def test_a_route_that_the_scenario_lacks_is_refused_only_where_something_was_sent_to_it() -> None:
    with pytest.raises(DataError, match="sends queries to 'large'; the scenario's routes are small"):
        COUNTED.onto(("easy",), ("small",))
    idle = replace(COUNTED, routes=("small", "idle"), n=COUNTED.n * [[[1.0, 0.0]]] + [[[1.0, 0.0]]])
    assert idle.onto(("easy",), ("small",)).tolist() == [[[4.0]], [[10.0]]]


def test_shapes_that_disagree_and_classes_without_a_query_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(2, 2, 2\); wanted thresholds x classes x routes"):
        replace(COUNTED, routes=("small",))
    with pytest.raises(DataError, match="no ascending numbers; wanted each once"):
        replace(COUNTED, thresholds=np.array([0.2, 0.2]))
    with pytest.raises(DataError, match="no query of class 'hard' was counted"):
        replace(COUNTED, n=COUNTED.n * [[[1.0], [0.0]]])


def test_thresholds_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(DataError, match="the lowest first"):
        replace(COUNTED, thresholds=np.array([0.7, 0.2]))


def test_a_scenario_sends_each_class_where_it_was_counted_at_its_threshold() -> None:
    counted = replace(TWO, counts=COUNTED, router=RouterUse(threshold=0.3))
    assert central(counted).sends[0].tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert central(replace(TWO, counts=COUNTED)).sends[0].tolist() == [[0.9, 0.1], [0.3, 0.7]]


def test_a_class_that_says_where_it_goes_needs_no_count_and_is_as_sure_in_every_world() -> None:
    stated = QueryClass(name="odd", share=sure(0.3), needs="large", sends={"large": 0.6, "small": 0.4})
    scenario = replace(TWO, queries=(TWO.queries[0], stated), counts=COUNTED)
    assert counted_at(scenario) is not None
    assert sample(scenario, 5, seed=0).sends[:, 1].tolist() == [[0.4, 0.6]] * 5


def test_few_counts_leave_the_shares_as_uncertain_as_a_dirichlet() -> None:
    drawn = sample(replace(TWO, counts=COUNTED), 40_000, seed=0).sends[:, 0, 0]
    # 9 and 1 counted: a Beta(9, 1), of mean 0.9 and variance 9 / (100 * 11)
    assert drawn.mean() == pytest.approx(0.9, abs=0.002)
    assert drawn.var() == pytest.approx(9 / 1_100, rel=0.05)


def test_a_road_that_was_never_taken_is_taken_in_no_world() -> None:
    scenario = replace(TWO, counts=COUNTED, router=RouterUse(threshold=0.2))
    assert sample(scenario, 100, seed=0).sends[:, 1, 0].max() == 0.0
