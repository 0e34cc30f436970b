"""Robustness: flips are counted on what changed, and quality is paired with the same queries unchanged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli import app
from eval import robustness_commands
from eval.intervals import wilson
from eval.perturb import PERTURBATIONS, perturb
from eval.robustness import ANY, Quality, Subject, flip_rates, label_quality, outcome_quality
from eval.robustness_commands import sampled, subject_of
from router.bundle import bundle_id
from router.dataset import Dataset, write_queries
from router.errors import DataError
from router.outcomes import Outcomes
from router.pipeline import Router
from router.policy import true_route

ROOT = Path(__file__).resolve().parent.parent
WORDS = ("campground", "propane", "refund", "weather", "awning", "Generator", "sewer hose", "My tire is flat")
TEXTS = [f"{word} number {i}" for i, word in enumerate(WORDS)]


def by_case(texts: Sequence[str]) -> list[str]:
    """Shouting goes to another route."""
    return ["loud" if text.isupper() else "calm" for text in texts]


def by_length(texts: Sequence[str]) -> list[str]:
    return ["long" if len(text) > 20 else "short" for text in texts]


def subject(
    decide: Any = by_case, *, quality: Quality | None = None, groups: Sequence[str] = ()
) -> Subject:  # Any: a stub
    return Subject(decide=decide, texts=TEXTS, groups=groups or [str(i) for i in range(len(TEXTS))], quality=quality)


def outcomes(score: list[list[float]]) -> Outcomes:
    cells = np.array(score, dtype=np.float64)
    n = len(cells)
    return Outcomes(
        name="two",
        ids=tuple(str(i) for i in range(n)),
        texts=tuple(TEXTS[:n]),
        models=("small", "large"),
        score=cells,
        cost_usd=np.full(cells.shape, np.nan),
        input_tokens=np.full(cells.shape, np.nan),
        output_tokens=np.full(cells.shape, np.nan),
        latency_ms=np.full(cells.shape, np.nan),
        dataset=(None,) * n,
        split=(None,) * n,
        unit=np.arange(n),
    )


def test_a_router_that_only_hears_shouting_flips_when_it_is_shouted_at() -> None:
    found = flip_rates(subject(), seed=0)
    assert found["upper"] == {
        "n": 8,
        "flips": 8,
        "flip_rate": 1.0,
        "flip_rate_ci": wilson(8, 8).to_list(),
        "reason": None,
        "quality": None,
    }
    assert {kind for kind, entry in found.items() if entry["flips"]} == {"upper", ANY}


def test_only_changed_texts_count() -> None:
    found = flip_rates(subject(), seed=0)
    assert found["lower"]["n"] == 2  # the two with a capital
    assert found["clauses"]["n"] == 0
    assert found["clauses"]["flip_rate"] is None
    assert "no query" in found["clauses"]["reason"]


def test_flips_are_those_that_deciding_one_by_one_finds() -> None:
    found = flip_rates(subject(by_length), seed=4)
    ever = np.zeros(len(TEXTS), dtype=bool)
    for kind in PERTURBATIONS:
        made = perturb(TEXTS, kind, seed=4)
        flips = [by_length([new]) != by_length([old]) for new, old in zip(made.texts, TEXTS, strict=True)]
        assert (found[kind]["n"], found[kind]["flips"]) == (made.changed.sum(), sum(flips))
        ever |= flips
    assert found[ANY]["flips"] == ever.sum() > 0


def test_texts_that_did_not_change_are_not_decided_again() -> None:
    asked: list[str] = []

    def counting(texts: Sequence[str]) -> list[str]:
        asked.extend(texts)
        return by_case(texts)

    flip_rates(subject(counting), seed=0, kinds=("lower",))
    assert len(asked) == len(TEXTS) + 2


def test_the_same_seed_gives_the_same_figures_and_the_order_of_kinds_does_not_matter() -> None:
    there = flip_rates(subject(by_length), seed=1)
    back = flip_rates(subject(by_length), seed=1, kinds=tuple(PERTURBATIONS)[::-1])
    assert there == back


def test_queries_of_one_person_are_drawn_together() -> None:
    groups = ["a"] * 4 + ["b"] * 4  # of the draws a quarter is all a, a quarter all b

    def only_a(texts: Sequence[str]) -> list[str]:
        return ["loud" if text.isupper() and int(text[-1]) < 4 else "calm" for text in texts]

    entry = flip_rates(subject(only_a, groups=groups), seed=0, kinds=("upper",))["upper"]
    assert (entry["flip_rate"], entry["flip_rate_ci"]) == (0.5, [0.0, 1.0])


def test_quality_is_paired_before_and_after() -> None:
    # right before: all but the last; shouted at, the last two become "loud", which is right for the last alone
    truth = ["calm"] * 7 + ["loud"]

    def last_two(texts: Sequence[str]) -> list[str]:
        return ["loud" if text.isupper() and int(text[-1]) > 5 else "calm" for text in texts]

    entry = flip_rates(subject(last_two, quality=label_quality(truth)), seed=0, kinds=("upper",))["upper"]
    quality = entry["quality"]
    assert (entry["flips"], quality["n"], quality["before"], quality["after"], quality["delta"]) == (
        2,
        8,
        0.875,
        0.875,
        0,
    )
    assert quality["delta_ci"][0] < 0 < quality["delta_ci"][1]
    # of the sum of eight deltas, +1 and −1 once each: deviation sqrt(2)/8, times 2.8
    assert quality["minimum_detectable"] == pytest.approx(2.8016 * 2**0.5 / 8, rel=0.1)


def test_quality_that_nobody_lost_is_bounded_by_what_could_have_been() -> None:
    quality = flip_rates(subject(quality=label_quality(["x"] * 8)), seed=0, kinds=("upper",))["upper"]["quality"]
    bound = wilson(0, 8).high
    assert quality["delta_ci"] == pytest.approx([-bound, bound], abs=1e-6)
    assert quality["minimum_detectable"] is None
    assert "scores differently" in quality["reason"]


@pytest.mark.parametrize("groups", [["one"] * 8, [str(i) for i in range(8)]])
def test_a_loss_on_every_query_has_no_interval(groups: list[str]) -> None:
    found = flip_rates(subject(quality=label_quality(["calm"] * 8), groups=groups), seed=0, kinds=("upper",))
    quality = found["upper"]["quality"]
    assert (quality["delta"], quality["delta_ci"], quality["minimum_detectable"]) == (-1.0, None, None)
    assert quality["reason"]


def test_open_labels_leave_the_quality_and_stay_in_the_flips() -> None:
    truth = [None] * 5 + ["calm"] * 3
    entry = flip_rates(subject(quality=label_quality(truth)), seed=0, kinds=("upper",))["upper"]
    assert (entry["n"], entry["quality"]["n"]) == (8, 3)


def test_quality_that_nobody_knows_is_null_with_a_reason() -> None:
    quality = flip_rates(subject(quality=label_quality([None] * 8)), seed=0, kinds=("upper",))["upper"]["quality"]
    assert quality.pop("reason").startswith("no changed query")
    assert quality == {"n": 0} | dict.fromkeys(("before", "after", "delta", "delta_ci", "minimum_detectable"))


def test_the_quality_of_a_model_is_its_recorded_score() -> None:
    quality = outcome_quality(outcomes([[0.2, 0.9], [1.0, np.nan], [0.0, 0.5]]))
    assert quality(["large", "small", "large"]).tolist() == [0.9, 1.0, 0.5]
    assert np.isnan(quality(["small", "large", "small"])).tolist() == [False, True, False]


def test_a_model_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="no model 'huge'"):
        outcome_quality(outcomes([[0.2, 0.9]]))(["huge"])


def test_no_queries_are_refused() -> None:
    with pytest.raises(DataError, match="no queries"):
        flip_rates(Subject(decide=by_case, texts=[], groups=[]), seed=0)


def test_a_router_that_loses_a_query_is_refused() -> None:
    with pytest.raises(DataError, match="7 decisions for 8 queries"):
        flip_rates(subject(lambda texts: by_case(texts)[1:]), seed=0)
    with pytest.raises(DataError, match="1 groups for 8 queries"):
        flip_rates(subject(groups=["a"]), seed=0)


def test_the_figures_can_be_written_as_json() -> None:
    found = flip_rates(subject(by_length, quality=label_quality(["long"] * 8)), seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.fixture(scope="module")
def tried(small: Dataset) -> Dataset:
    return sampled(small.split("test"), n=40, seed=3)


def test_a_fitted_router_is_judged_by_its_labels(router: Router, tried: Dataset) -> None:
    quality = flip_rates(subject_of(router, tried), seed=0, kinds=("upper",))["upper"]["quality"]
    truth = [true_route(router.table, query.labels) for query in tried.queries]
    changed = perturb(tried.texts, "upper", seed=0).changed
    made = router.decide_many(tried.texts)
    hits = [made[i].route == truth[i] for i in range(len(tried)) if changed[i] and truth[i] is not None]
    assert (quality["n"], quality["before"]) == (len(hits), pytest.approx(np.mean(hits), abs=1e-6))
    assert len(hits) > 20


def test_a_sample_keeps_the_order_and_depends_on_the_seed(small: Dataset) -> None:
    ids = [query.query_id for query in small.queries]
    drawn = [[query.query_id for query in sampled(small, n=30, seed=seed).queries] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(part) == 30 and sorted(part, key=ids.index) == part for part in drawn)
    assert len(sampled(small, n=10_000, seed=0)) == len(small)


@pytest.fixture(scope="module")
def said(bundle: Path, tried: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """What the verb prints and writes."""
    place = tmp_path_factory.mktemp("robustness")
    (place / "queries.jsonl").write_text(write_queries(tried.queries), encoding="utf-8")
    app = typer.Typer()
    app.callback()(lambda: None)
    robustness_commands.register(app)
    arguments = ["robustness", "--bundle", str(bundle), "--data", str(place / "queries.jsonl"), "--n", "25"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(place / "r.json")], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output, json.loads((place / "r.json").read_text(encoding="utf-8"))


def test_the_verb_shows_a_row_for_every_perturbation(said: tuple[str, Any]) -> None:
    for kind in (*PERTURBATIONS, ANY):
        assert any(line.split()[:1] == [kind] for line in said[0].splitlines())


def test_the_verb_writes_what_the_figures_are_of(said: tuple[str, Any], bundle: Path) -> None:
    written = said[1]
    assert set(written["perturbations"]) == {*PERTURBATIONS, ANY}
    assert (written["n_queries"], written["n_split"], written["split"]) == (25, 40, "test")
    assert (written["bundle"], written["seed"]) == (bundle_id(bundle), 0)
    assert written["perturbations"]["upper"]["quality"]["n"] > 0


def test_a_router_over_models_is_tried_on_its_outcome_table(tmp_path: Path) -> None:
    table, out = ROOT / "datasets" / "pam-outcomes-v1" / "simulated-outcomes.csv", tmp_path / "bundle"
    run = CliRunner()
    trained = run.invoke(
        app, ["train", "--outcomes", str(table), "--out", str(out), "--encoder", "hashing", "--no-mlflow"]
    )
    assert trained.exit_code == 0, trained.output
    found = tmp_path / "found.json"
    tried = run.invoke(
        app, ["robustness", "--bundle", str(out), "--outcomes", str(table), "--n", "40", "--json", str(found)]
    )
    assert tried.exit_code == 0, tried.output
    figures = json.loads(found.read_text(encoding="utf-8"))
    assert figures["measure"] == "mean score of the chosen model"
    assert (figures["split"], figures["n_queries"]) == ("test", 40)
    assert all(0 <= entry["flip_rate"] <= 1 for entry in figures["perturbations"].values() if entry["n"])
