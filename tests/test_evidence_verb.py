"""Evidence as the judge fills it in: paired figures that a slow way confirms, unfair comparisons refused, ties called so."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from eval.evidence import (
    FEWEST_UNITS,
    ROUTE_ACCURACY,
    Comparison,
    Valued,
    compare_labels,
    compare_outcomes,
    guarantee_of,
    require_same,
    require_unseen,
)
from eval.evidence_commands import judged_rows, register
from eval.intervals import bootstrap_mean
from eval.replay import replay
from eval.run import Run
from router import registry_commands
from router.bundle import bundle_id, save
from router.curves import pair_curve
from router.dataset import Dataset, write_queries
from router.encoders.hashing import HashingEncoder
from router.errors import BundleError, DataError, WeighbridgeError
from router.evidence import GuaranteeRecord, read_evidence
from router.gate import PromotionError, shortcomings
from router.outcome_bundle import save as save_models
from router.outcome_policy import Threshold
from router.outcome_router import ModelRouter
from router.outcome_rows import read_outcomes
from router.outcome_training import fit_outcome_router
from router.outcomes import Outcomes
from router.pipeline import Router
from router.policy import LabelPolicy

ROOT = Path(__file__).resolve().parent.parent
PAM = ROOT / "datasets" / "pam-v1"
SIMULATED = ROOT / "datasets" / "pam-outcomes-v1" / "simulated-outcomes.csv"
GUARANTEE = {
    "epsilon": 0.02, "delta": 0.05, "n": 2_800, "threshold": 0.62, "against": "big", "expected_usd": None,
    "sentence": "with probability ≥ 0.95 the quality loss against big is ≤ 0.02", "share": {"big": 0.4},
}  # fmt: skip
COMPARISON = Comparison(
    challenger="a" * 16, other="b" * 16, other_is_bundle=True, metric=ROUTE_ACCURACY, fingerprint="f", n=300, n_units=57,
    ours=0.6, theirs=0.5, estimate=0.1, low=0.02, high=0.18, minimum_detectable=0.11,
)  # fmt: skip


@dataclass(frozen=True)
class Shelf:
    """A data set on disk and bundles of routers fitted on its train split.

    twin: decides as `first` does.   lazy: another threshold, so other routes.
    """

    data: Path
    first: Path
    twin: Path
    lazy: Path


@pytest.fixture(scope="module")
def shelf(router: Router, bundle: Path, small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    place = tmp_path_factory.mktemp("evidence")
    (place / "data").mkdir()
    (place / "data" / "queries.jsonl").write_text(write_queries(small.queries), encoding="utf-8")
    for name in ("card.toml", "routes.toml", "lexicon.toml"):
        shutil.copy(PAM / name, place / "data" / name)
    save(replace(router, fitted={**router.fitted, "variant": 1}), place / "twin")
    save(with_threshold(router, 0.999), place / "lazy")
    return Shelf(data=place / "data", first=bundle, twin=place / "twin", lazy=place / "lazy")


@pytest.fixture(scope="module")
def run(router: Router, small: Dataset) -> Run:
    return replay(router, small.split("test"), split="test", seed=0, bundle="a" * 16)


@pytest.fixture(scope="module")
def lazy(router: Router, small: Dataset) -> Run:
    return replay(with_threshold(router, 0.999), small.split("test"), split="test", seed=0, bundle="b" * 16)


def with_threshold(router: Router, threshold: float) -> Router:
    return replace(router, policy=LabelPolicy(router.table, router.classes, threshold=threshold))


def called(run: Run, **changed: Any) -> Run:  # Any: fields of the header
    return replace(run, header=replace(run.header, **changed))


# --- routers by labels


def test_the_difference_is_that_of_the_queries_whose_true_route_is_known(run: Run, lazy: Run) -> None:
    judged = [(mine, theirs) for mine, theirs in zip(run.records, lazy.records, strict=True) if mine.true_route]
    delta = [float(mine.route == mine.true_route) - float(theirs.route == mine.true_route) for mine, theirs in judged]
    draws = bootstrap_mean(np.array(delta), [mine.unit for mine, _ in judged], rng=np.random.default_rng(0))
    made = compare_labels(run, lazy)
    assert (made.n, made.metric, made.fingerprint) == (len(judged), ROUTE_ACCURACY, run.header.fingerprint)
    assert made.n < len(run.records)  # some labels leave the route open
    assert made.estimate == pytest.approx(sum(delta) / len(delta), abs=1e-6)
    assert made.estimate == pytest.approx(made.ours - made.theirs, abs=2e-6)
    assert [made.low, made.high] == draws.interval.to_list()
    assert sum(delta) != 0  # or all of this says nothing


def test_a_router_against_its_twin_is_a_tie_without_width(run: Run) -> None:
    made = compare_labels(run, called(run, bundle="b" * 16))
    assert (made.estimate, made.low, made.high, made.verdict) == (0, 0, 0, "tie")
    assert "a tie" in made.sentence()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_seen_from_the_other_side_the_difference_is_its_mirror_image(run: Run, seed: int) -> None:
    other = _shuffled(run, seed)
    there, back = compare_labels(run, other), compare_labels(other, run)
    assert back.estimate == pytest.approx(-there.estimate, abs=2e-6)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=2e-6)
    assert {there.verdict, back.verdict} in ({"tie"}, {"better", "worse"})


def _shuffled(run: Run, seed: int) -> Run:
    """The same queries in another order, each on a route drawn among all."""
    rng = np.random.default_rng(seed)
    names = list(run.header.routes)
    records = [replace(record, route=names[rng.integers(len(names))]) for record in run.records]
    return called(replace(run, records=tuple(records[i] for i in rng.permutation(len(records)))), bundle="b" * 16)


def test_a_baseline_goes_by_its_name(run: Run, lazy: Run) -> None:
    made = compare_labels(run, called(lazy, bundle=None, router="knn-15"))
    record = made.evidence()
    assert (record.challenger, record.champion, record.baseline) == ("a" * 16, None, "knn-15")


def test_other_data_is_refused_with_both_fingerprints(run: Run, lazy: Run) -> None:
    with pytest.raises(DataError, match=r"fingerprint eeee.*judge both at once"):
        compare_labels(run, called(lazy, fingerprint="e" * 64))
    with pytest.raises(DataError, match="judge both at once"):
        compare_labels(run, replace(lazy, records=lazy.records[1:]))


def test_other_heads_are_refused(run: Run, lazy: Run) -> None:
    fewer = {head: labels for head, labels in lazy.header.classes.items() if head != "urgency"}
    with pytest.raises(DataError, match="other heads: only the challenger knows urgency"):
        compare_labels(run, called(lazy, classes=fewer))


def test_another_idea_of_the_right_route_is_refused(run: Run, lazy: Run) -> None:
    first = lazy.records[0]
    moved = replace(lazy, records=(replace(first, true_route="elsewhere"), *lazy.records[1:]))
    with pytest.raises(
        DataError, match=rf"another route right for 1 of {len(run.records)} queries, as '{first.query_id}'"
    ):
        compare_labels(run, moved)


def test_labels_that_leave_every_route_open_are_refused(run: Run, lazy: Run) -> None:
    open_ended = [
        replace(side, records=tuple(replace(record, true_route=None) for record in side.records))
        for side in (run, lazy)
    ]
    with pytest.raises(DataError, match="true route of every judged query open"):
        compare_labels(*open_ended)


@pytest.mark.parametrize(("units", "enough"), [(FEWEST_UNITS - 1, False), (FEWEST_UNITS, True)])
def test_an_interval_over_a_handful_of_people_is_refused(run: Run, lazy: Run, units: int, enough: bool) -> None:
    def crowd(side: Run) -> Run:
        return replace(side, records=tuple(replace(r, unit=str(i % units)) for i, r in enumerate(side.records)))

    if enough:
        assert compare_labels(crowd(run), crowd(lazy)).n_units == units
    else:
        with pytest.raises(DataError, match=f"of {units} units.*Judge on more queries"):
            compare_labels(crowd(run), crowd(lazy))


# --- what both kinds share


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "better"), (-0.2, -0.01, "worse"), (-0.1, 0.1, "tie"), (0.0, 0.1, "tie"), (-0.1, 0.0, "tie")],
)
def test_only_an_interval_without_zero_is_a_verdict(low: float, high: float, verdict: str) -> None:
    made = replace(COMPARISON, low=low, high=high)
    assert made.verdict == verdict
    assert ("tie" in made.sentence()) == (verdict == "tie")


def test_a_tie_says_what_would_have_been_found() -> None:
    assert "one of 0.11 would be found four times in five" in replace(COMPARISON, low=-0.02).sentence()


@settings(deadline=None, max_examples=40)
@given(low=st.floats(-1, 1), width=st.floats(0, 1), margin=st.floats(0, 1))
def test_the_gate_takes_what_the_judge_writes_unless_it_may_be_worse_than_the_margin(
    low: float, width: float, margin: float
) -> None:
    record = replace(COMPARISON, estimate=low + width / 2, low=low, high=low + width).evidence()
    lacks = shortcomings(
        record, name="router", bundle=COMPARISON.challenger, champion=COMPARISON.other, threshold=0.5, margin=margin,
        require_guarantee=False,
    )  # fmt: skip
    assert bool(lacks) == (low < -margin)
    assert all("weighbridge evidence --bundle B --against models:/router@champion" in command for _, command in lacks)


def test_without_a_champion_the_gate_says_to_compare_with_a_baseline() -> None:
    lacks = shortcomings(
        COMPARISON.evidence(), name="router", bundle=COMPARISON.challenger, champion=None, threshold=None, margin=0.0,
        require_guarantee=False,
    )  # fmt: skip
    assert [command for _, command in lacks] == [
        "weighbridge evidence --bundle B --against BASELINE (--data D | --outcomes O) --out FILE"
    ]


def test_a_judged_query_that_was_learned_is_found_whatever_its_case_and_white_space() -> None:
    with pytest.raises(DataError, match=r"bundle x learned from 2 of the 3 judged queries \(q1, q3\)"):
        require_unseen(["Where is  it?", "b"], ["where is it? ", "c", "B"], who="bundle x", ids=["q1", "q2", "q3"])


@settings(deadline=None, max_examples=50)
@given(
    learned=st.lists(st.text("aB c", min_size=1), max_size=6), judged=st.lists(st.text("aB c", min_size=1), max_size=6)
)
def test_queries_pass_exactly_where_no_text_is_shared(learned: list[str], judged: list[str]) -> None:
    def folded(texts: list[str]) -> set[str]:
        return {" ".join(text.lower().split()) for text in texts}

    ids = [f"q{i}" for i in range(len(judged))]
    if folded(learned) & folded(judged):
        with pytest.raises(DataError, match="learned from"):
            require_unseen(learned, judged, who="it", ids=ids)
    else:
        require_unseen(learned, judged, who="it", ids=ids)


def test_sides_that_know_other_models_are_refused_with_what_each_knows_alone() -> None:
    require_same("models", ("a", "b"), ("b", "a"), other="bundle y")
    with pytest.raises(DataError, match="other models: only the challenger knows c; only bundle y knows d, e"):
        require_same("models", ("a", "c"), ("e", "a", "d"), other="bundle y")


def test_a_manifests_guarantee_becomes_that_bundles_record() -> None:
    record = guarantee_of({"guarantee": GUARANTEE}, "a" * 16)
    assert record is not None
    assert (record.bundle, record.epsilon, record.n, record.threshold) == ("a" * 16, 0.02, 2_800, 0.62)
    assert COMPARISON.evidence(record).guarantee == record
    assert guarantee_of({}, "a" * 16) is None
    assert guarantee_of({"guarantee": None}, "a" * 16) is None


@pytest.mark.parametrize("broken", [{**GUARANTEE, "n": 0}, {"epsilon": 0.1}, "yes", [1]])
def test_a_guarantee_that_bounds_nothing_is_not_passed_on(broken: object) -> None:
    with pytest.raises((BundleError, DataError), match=r"guarantee|n is 0"):
        guarantee_of({"guarantee": broken}, "a" * 16)


# --- routers by outcomes


def outcomes_of(score: Any, *, cost: Any = None, **changed: Any) -> Outcomes:  # Any: rows of numbers; fields
    cells = np.array(score, dtype=np.float64)
    n, m = cells.shape
    unknown = np.full((n, m), np.nan)
    fields: dict[str, Any] = {  # Any: fields of the record
        "name": "toy", "ids": tuple(f"q{i}" for i in range(n)), "texts": tuple(f"text {i}" for i in range(n)),
        "models": tuple("abcdefgh"[:m]), "score": cells, "cost_usd": unknown if cost is None else np.asarray(cost),
        **dict.fromkeys(("input_tokens", "output_tokens", "latency_ms"), unknown), "dataset": (None,) * n,
        "split": (None,) * n, "unit": np.arange(n),
    }  # fmt: skip
    return Outcomes(**{**fields, **changed})


def played(m: int, *, seed: int = 0, n: int = 200, cost: bool = False) -> tuple[Outcomes, Valued, Valued]:
    """A table whose dearer models are better, a router of skill, and one that guesses."""
    rng = np.random.default_rng(seed)
    able = np.clip(rng.random((n, 1)) * 0.7 + np.linspace(0.0, 0.3, m), 0, 1)
    score = (rng.random((n, m)) < able).astype(np.float64)
    usd = rng.uniform(0.5, 1.5, (n, m)) * 2.0 ** np.arange(m) if cost else None
    expected = None if usd is None else np.broadcast_to(usd.mean(axis=0), usd.shape)
    knows = np.clip(0.5 * score + 0.5 * rng.random((n, m)), 0, 1)
    skilled = Valued(name="a" * 16, is_bundle=True, value=knows, expected_usd=expected)
    guess = Valued(name="random", is_bundle=False, value=rng.random((n, m)), expected_usd=expected)
    return outcomes_of(score, cost=usd), skilled, guess


def compared(table: Outcomes, ours: Valued, other: Valued) -> Comparison:
    return compare_outcomes(ours, other, table, fingerprint="f" * 64, seed=0)


def test_a_pair_is_compared_by_apgr() -> None:
    table, skilled, guess = played(2)
    made = compared(table, skilled, guess)
    weak, strong = table.score.T
    slow = [pair_curve(side.value[:, 1] - side.value[:, 0], weak, strong).apgr for side in (skilled, guess)]
    assert weak.mean() < strong.mean()
    assert (made.metric, made.n, made.other) == ("apgr", 200, "random")
    assert (made.ours, made.theirs) == pytest.approx(slow, abs=1e-6)
    assert made.estimate == pytest.approx(slow[0] - slow[1], abs=1e-6)
    assert made.verdict == "better"


def test_several_models_with_costs_are_compared_by_aiq_and_without_by_accuracy() -> None:
    assert compared(*played(3, cost=True)).metric == "aiq"
    table, skilled, guess = played(3)
    made = compared(table, skilled, guess)
    n = np.arange(len(table))
    slow = [table.score[n, side.value.argmax(axis=1)].mean() for side in (skilled, guess)]
    assert made.metric == "accuracy"
    assert (made.ours, made.theirs) == pytest.approx(slow, abs=1e-6)


def test_a_side_that_expects_no_costs_cannot_be_weighed_in_dollars() -> None:
    table, skilled, guess = played(3, cost=True)
    assert compared(table, skilled, replace(guess, expected_usd=None)).metric == "accuracy"


def test_each_side_weighs_its_values_against_the_costs_it_expects() -> None:
    table, skilled, _ = played(3, cost=True)
    assert skilled.expected_usd is not None
    deluded = replace(skilled, name="b" * 16, expected_usd=skilled.expected_usd[:, ::-1].copy())
    made = compared(table, skilled, deluded)
    assert made.verdict == "better"
    assert compared(table, deluded, skilled).estimate == -made.estimate


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(2, 4), cost=st.booleans())
def test_an_outcome_router_against_itself_is_a_tie(seed: int, m: int, cost: bool) -> None:
    table, skilled, _ = played(m, seed=seed, cost=cost)
    made = compared(table, skilled, replace(skilled, name="b" * 16))
    assert (made.estimate, made.low, made.high, made.verdict) == (0, 0, 0, "tie")


def test_a_constant_choice_has_no_curve_over_a_pair() -> None:
    table, skilled, guess = played(2)
    with pytest.raises(DataError, match=r"best-single chooses one model.*--against random"):
        compared(table, skilled, replace(guess, name="best-single"))


def test_models_that_cannot_be_told_apart_give_no_evidence() -> None:
    table, skilled, guess = played(2)
    same = replace(table, score=table.score[:, [0, 0]])
    with pytest.raises(DataError, match="no better than the weaker"):
        compared(same, skilled, guess)


def test_a_handful_of_texts_asked_often_gives_no_evidence() -> None:
    table, skilled, guess = played(2)
    with pytest.raises(DataError, match="9 units"):
        compared(replace(table, unit=np.arange(200) % 9), skilled, guess)


def test_judged_are_the_complete_queries_of_the_split() -> None:
    table = outcomes_of([[1, 0], [np.nan, 1], [0, 1], [1, 1]], split=("test", "test", "train", "test"))
    assert (judged_rows(table, None)[0].tolist(), judged_rows(table, None)[1]) == ([0, 3], "test")
    assert judged_rows(table, "all")[0].tolist() == [0, 2, 3]
    assert judged_rows(replace(table, split=(None,) * 4), None)[1] == "all"
    with pytest.raises(DataError, match="no query of split 'calibration'"):
        judged_rows(table, "calibration")


# --- the verb


def invoke(*arguments: str | Path) -> Any:  # Any: typer's result
    app = typer.Typer()
    register(app)
    registry_commands.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def said(*arguments: str | Path) -> str:
    done = invoke(*arguments)
    assert done.exception is None, done.exception
    return str(done.stdout)


def refused(*arguments: str | Path) -> WeighbridgeError:
    """The error that `cli.main` prints on one line before it leaves with 2."""
    error = invoke(*arguments).exception
    assert isinstance(error, WeighbridgeError), error
    return error


def judge(shelf: Shelf, against: str | Path, out: Path, *more: str | Path, bundle: Path | None = None) -> list[str]:
    chosen = ("evidence", "--bundle", bundle or shelf.first, "--against", against, "--data", shelf.data, "--out", out)
    return [str(part) for part in (*chosen, *more)]


def test_against_a_baseline_the_verb_writes_evidence_for_a_first_champion(shelf: Shelf, tmp_path: Path) -> None:
    told = said(*judge(shelf, "majority", tmp_path / "e.json", "--json", tmp_path / "f.json"))
    record = read_evidence(tmp_path / "e.json")
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert (record.challenger, record.champion, record.baseline) == (bundle_id(shelf.first), None, "majority")
    assert (figures["verdict"], figures["estimate"], figures["against"]) == ("better", record.estimate, "majority")
    assert "the challenger is better" in told
    assert f"weighbridge promote --bundle {shelf.first} --evidence {tmp_path / 'e.json'} --why TEXT" in told


def test_against_a_bundle_that_decides_alike_the_verb_says_it_is_a_tie(shelf: Shelf, tmp_path: Path) -> None:
    assert "a tie" in said(*judge(shelf, shelf.twin, tmp_path / "e.json"))
    record = read_evidence(tmp_path / "e.json")
    assert (record.champion, record.baseline) == (bundle_id(shelf.twin), None)
    assert (record.estimate, record.low, record.high) == (0, 0, 0)


def test_a_challenger_that_may_be_worse_is_told_what_promote_will_say(shelf: Shelf, tmp_path: Path) -> None:
    told = said(*judge(shelf, shelf.first, tmp_path / "e.json", bundle=shelf.lazy))
    record = read_evidence(tmp_path / "e.json")
    assert record.low < 0
    assert f"promote will refuse it: it may be worse by {-record.low:.6g}" in told


def test_same_inputs_and_seed_give_the_same_bytes(shelf: Shelf, tmp_path: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        said(*judge(shelf, shelf.lazy, tmp_path / name, "--seed", seed))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.parametrize(
    ("split", "why"),
    [("train", "learned from 3"), ("all", "learned from 3"), ("calibration", "chose its threshold on 1")],
)
def test_queries_that_a_side_has_seen_are_refused(shelf: Shelf, tmp_path: Path, split: str, why: str) -> None:
    assert why in str(refused(*judge(shelf, shelf.lazy, tmp_path / "e.json", "--split", split)))
    assert not (tmp_path / "e.json").exists()


def test_a_champion_that_learned_from_a_judged_query_is_refused_too(
    shelf: Shelf, router: Router, small: Dataset, tmp_path: Path
) -> None:
    leaked = small.split("test").queries[0]
    save(replace(router, training=(*router.training[1:], replace(leaked, text=leaked.text.upper()))), tmp_path / "b")
    error = refused(*judge(shelf, tmp_path / "b", tmp_path / "e.json"))
    assert f"bundle {bundle_id(tmp_path / 'b')} learned from 1 of" in str(error)
    assert leaked.query_id in str(error)


def test_a_baseline_must_not_learn_from_what_it_is_judged_on_either(
    shelf: Shelf, small: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(shelf.data, tmp_path / "data")
    leaked = replace(small.split("test").queries[0], query_id="again", split="calibration", persona=None, group=None)
    (tmp_path / "data" / "queries.jsonl").write_text(write_queries([*small.queries, leaked]), encoding="utf-8")
    error = refused(*judge(replace(shelf, data=tmp_path / "data"), "length", tmp_path / "e.json"))
    assert "length learned from 1 of" in str(error)


@pytest.mark.parametrize("against", ["nobody", "models:/router@", "itself"])
def test_an_opponent_that_is_none_is_refused(shelf: Shelf, tmp_path: Path, against: str) -> None:
    chosen = shelf.first if against == "itself" else against
    assert str(against).split(":")[0] in str(refused(*judge(shelf, chosen, tmp_path / "e.json")))


def test_a_directory_that_is_named_like_a_baseline_is_meant_by_its_path(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shelf.lazy, "length")
    said(*judge(shelf, "./length", tmp_path / "e.json"))
    assert read_evidence(tmp_path / "e.json").champion == bundle_id(shelf.lazy)
    said(*judge(shelf, "length", tmp_path / "e.json"))
    assert read_evidence(tmp_path / "e.json").baseline == "length"


@pytest.mark.parametrize("which", [("--data", "d", "--outcomes", "o"), ()])
def test_one_kind_of_data_is_asked_for(shelf: Shelf, tmp_path: Path, which: tuple[str, ...]) -> None:
    done = invoke("evidence", "--bundle", shelf.first, "--against", "lr", "--out", tmp_path / "e.json", *which)
    assert done.exit_code == 2
    assert "exactly one of --data and --outcomes" in " ".join(done.stderr.replace("│", " ").split())


def guaranteed(bundle: Path) -> None:
    """Write a guarantee into a bundle's manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "guarantee": GUARANTEE}), encoding="utf-8")


def test_the_guarantee_that_a_bundle_carries_is_in_the_evidence(shelf: Shelf, tmp_path: Path) -> None:
    shutil.copytree(shelf.first, tmp_path / "b")
    guaranteed(tmp_path / "b")
    told = said(*judge(shelf, shelf.lazy, tmp_path / "e.json", bundle=tmp_path / "b"))
    record = read_evidence(tmp_path / "e.json").guarantee
    assert isinstance(record, GuaranteeRecord)
    assert (record.bundle, record.threshold) == (bundle_id(tmp_path / "b"), 0.62)
    assert str(GUARANTEE["sentence"]) in told


# --- the verb, on an outcome table


@dataclass(frozen=True)
class Lab:
    """A simulated outcome table on disk, a router of its models fitted on a part of it, and that router's bundle."""

    table: Path
    outcomes: Outcomes
    router: ModelRouter
    bundle: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    place = tmp_path_factory.mktemp("lab")
    rows = read(SIMULATED)
    every_other = set(list(dict.fromkeys(row["query_id"] for row in rows))[::2])
    table = written([row for row in rows if row["query_id"] in every_other], place / "table.csv")
    outcomes, _ = read_outcomes(table)
    router = fit_outcome_router(outcomes, HashingEncoder(), seed=0)
    save_models(router, place / "b")
    return Lab(table=table, outcomes=outcomes, router=router, bundle=place / "b")


def read(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(rows: list[dict[str, str]], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def contest(lab: Lab, against: str | Path, out: Path, *more: str | Path, table: Path | None = None) -> list[str]:
    chosen = ("evidence", "--bundle", lab.bundle, "--against", against, "--outcomes", table or lab.table, "--out", out)
    return [str(part) for part in (*chosen, *more)]


def test_a_router_over_models_is_judged_on_the_complete_test_queries(lab: Lab, tmp_path: Path) -> None:
    told = said(*contest(lab, "random", tmp_path / "e.json", "--json", tmp_path / "f.json"))
    record = read_evidence(tmp_path / "e.json")
    test = lab.outcomes.rows(np.array([name == "test" for name in lab.outcomes.split]) & lab.outcomes.complete)
    assert (record.metric, record.baseline, record.n) == ("aiq", "random", len(test))
    assert record.challenger_fingerprint == record.champion_fingerprint == test.fingerprint()
    decided = [test.models.index(decision.model) for decision in lab.router.decide_many(test.texts)]
    score = test.score[np.arange(len(test)), decided].mean()
    assert f"own policy has score {score:.4f} at $" in told
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert figures["our_point"]["score"] == pytest.approx(score, abs=1e-6)
    assert figures["their_point"] is None


def test_two_bundles_over_models_are_compared_whoever_is_named_first(lab: Lab, tmp_path: Path) -> None:
    flat = replace(
        lab.router.success, blend=replace(lab.router.success.blend, weights=lab.router.success.blend.weights * 0)
    )
    save_models(replace(lab.router, success=flat), tmp_path / "flat")
    said(*contest(lab, tmp_path / "flat", tmp_path / "there.json"))
    said(*contest(replace(lab, bundle=tmp_path / "flat"), lab.bundle, tmp_path / "back.json"))
    there, back = read_evidence(tmp_path / "there.json"), read_evidence(tmp_path / "back.json")
    assert (there.champion, back.champion) == (bundle_id(tmp_path / "flat"), bundle_id(lab.bundle))
    assert (there.estimate, there.low, there.high) == (-back.estimate, -back.high, -back.low)
    assert there.low > 0  # a router that says the same of every query


def test_a_bundle_over_models_that_learned_from_a_judged_text_is_refused(lab: Lab, tmp_path: Path) -> None:
    leaked = lab.outcomes.split.index("test")
    learned = lab.router.training
    texts = (lab.outcomes.texts[leaked].upper() + " ", *learned.texts[1:])
    save_models(replace(lab.router, training=replace(learned, texts=texts)), tmp_path / "b")
    error = refused(*contest(lab, tmp_path / "b", tmp_path / "e.json"))
    assert f"bundle {bundle_id(tmp_path / 'b')} learned from 1 of" in str(error)
    assert "learned from" in str(refused(*contest(lab, "random", tmp_path / "e.json", "--split", "train")))


def test_bundles_that_know_other_models_are_refused(lab: Lab, tmp_path: Path) -> None:
    fewer = lab.outcomes.only(lab.outcomes.models[1:])
    save_models(fit_outcome_router(fewer, HashingEncoder(), seed=0), tmp_path / "b")
    error = refused(*contest(lab, tmp_path / "b", tmp_path / "e.json"))
    assert f"other models: only the challenger knows {lab.outcomes.models[0]}" in str(error)


def test_a_text_in_train_and_test_is_refused_to_a_baseline_or_dropped_from_train(lab: Lab, tmp_path: Path) -> None:
    rows = read(lab.table)
    leaked = next(row["query_id"] for row in rows if row["split"] == "test")
    torn = [{**row, "query_id": "copy", "split": "train"} for row in rows if row["query_id"] == leaked]
    written([*rows, *torn], tmp_path / "torn.csv")
    arguments = contest(lab, "knn-5", tmp_path / "e.json", table=tmp_path / "torn.csv")
    error = str(refused(*arguments))
    assert "knn-5 learned from 1 of" in error
    assert "--on-straddle drop-train" in error
    said(*arguments, "--on-straddle", "drop-train")
    kept = read_evidence(tmp_path / "e.json")
    said(*contest(lab, "knn-5", tmp_path / "whole.json"))
    assert kept == read_evidence(tmp_path / "whole.json")


def test_a_baseline_needs_training_queries_of_its_own(lab: Lab, tmp_path: Path) -> None:
    written([row for row in read(lab.table) if row["split"] == "test"], tmp_path / "t.csv")
    assert "random cannot be fitted" in str(refused(*contest(lab, "random", tmp_path / "e", table=tmp_path / "t.csv")))


def test_a_guarantee_of_a_router_over_models_is_in_the_evidence(lab: Lab, tmp_path: Path) -> None:
    policy = Threshold(models=lab.router.models, against=lab.router.models[-1], threshold=0.62)
    save_models(replace(lab.router, policy=policy), tmp_path / "b")
    guaranteed(tmp_path / "b")
    said(*contest(replace(lab, bundle=tmp_path / "b"), "random", tmp_path / "e.json"))
    record = read_evidence(tmp_path / "e.json").guarantee
    assert record is not None
    assert (record.bundle, record.threshold) == (bundle_id(tmp_path / "b"), 0.62)


def test_a_baseline_of_the_other_kind_is_refused_with_those_there_are(lab: Lab, tmp_path: Path) -> None:
    assert "one of lr, lr-cv, knn-5" in str(refused(*contest(lab, "knn-15", tmp_path / "e.json")))


def test_a_router_of_the_other_kind_is_refused(lab: Lab, shelf: Shelf, tmp_path: Path) -> None:
    assert "by labels" in str(refused(*contest(lab, shelf.first, tmp_path / "e.json")))
    assert "by outcomes" in str(refused(*judge(shelf, lab.bundle, tmp_path / "e.json")))


# --- the whole story


@pytest.mark.filterwarnings("ignore")  # MLflow's calls of SQLAlchemy warn: not ours to mend
def test_from_a_first_champion_to_its_successor_and_back(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow keeps artefacts of a SQLite store in the working directory
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    crown: Callable[..., tuple[str, ...]] = lambda bundle, proof: (  # noqa: E731
        "promote", "--bundle", str(bundle), "--evidence", proof, "--why", "w", "--who", "ada", "--link", "current",
    )  # fmt: skip
    said(*judge(shelf, "majority", Path("lazy.json"), bundle=shelf.lazy))
    said(*crown(shelf.lazy, "lazy.json"))
    said(*judge(shelf, "models:/router@champion", Path("first.json")))
    assert read_evidence(Path("first.json")).champion == bundle_id(shelf.lazy)

    other = refused(*crown(shelf.twin, "first.json"))
    assert isinstance(other, PromotionError)
    assert f"the evidence is about bundle {bundle_id(shelf.first)}" in str(other)

    said(*crown(shelf.first, "first.json"))
    assert bundle_id(Path("current")) == bundle_id(shelf.first)
    said(*judge(shelf, shelf.lazy, Path("old.json"), bundle=shelf.twin))
    older = refused(*crown(shelf.twin, "old.json"))
    assert f"which is not the champion now: that is {bundle_id(shelf.first)}" in str(older)
    assert "Next: `weighbridge evidence --bundle B --against models:/router@champion" in str(older)

    said("registry", "rollback", "router", "--why", "w", "--who", "ada", "--link", "current")
    assert bundle_id(Path("current")) == bundle_id(shelf.lazy)
