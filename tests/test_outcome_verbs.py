"""The verbs of routers over models: what they write and say, what they leave out, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.bundlefiles import CARD, bundle_id, read_manifest
from router.commands import inspect
from router.errors import BundleError, DataError, PolicyError, WeighbridgeError
from router.outcome_bundle import load, save
from router.outcome_calibration import OWN, table_calibration
from router.outcome_policy import Budget, CheapestAbove, ExpectedUtility, Threshold
from router.outcome_verbs import route_outcomes, threshold_verb, train_outcomes
from router.outcomes import Outcomes
from tests.outcome_tables import MODELS, fitted, table, write_table

Json = dict[str, Any]
PROOF = "prove the theorem about prime gaps again"


def train(source: Path, out: Path, **changed: Any) -> None:
    options: Json = {
        "encoder": "hashing",
        "columns": None,
        "models": None,
        "on_straddle": "refuse",
        "seed": 0,
        "carry_encoder": False,
        "json": None,
        "mlflow": False,
    }
    train_outcomes(source, out, **(options | changed))


def choose(bundle: Path, target: str, **changed: Any) -> Json:
    """Run `threshold` and return what it wrote."""
    where = bundle.parent / "chosen.json"
    options: Json = {"against": None, "epsilon": 0.25, "delta": 0.1, "outcomes": None, "seed": 0, "out": None}
    threshold_verb(bundle, target=target, json=where, **(options | changed))
    written: Json = json.loads(where.read_text(encoding="utf-8"))
    return written


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("verbs") / "words"
    save(fitted(), target)
    return target


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A table of 300 queries of which some stood in training, by text or by id, and some are for the test."""
    outcomes = table(seed=9)
    return write_table(outcomes, tmp_path / "others.jsonl")


# train


def test_training_writes_a_bundle_that_decides_and_says_what_it_measured_on_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_table(table(), tmp_path / "words.jsonl")
    train(source, tmp_path / "b", json=tmp_path / "f.json")
    figures, said = json.loads((tmp_path / "f.json").read_text()), " ".join(capsys.readouterr().out.split())
    router = load(tmp_path / "b")
    assert figures["bundle"] == bundle_id(tmp_path / "b")
    assert f"wrote bundle {figures['bundle']}" in said
    assert (figures["models"], figures["metrics"]["split"], figures["metrics"]["n"]) == (list(MODELS), "test", 102)
    assert figures["metrics"] == read_manifest(tmp_path / "b")["metrics"]
    assert figures["settings"] == router.success.fitted
    assert "On 102 test queries, in-domain:" in said
    assert "Measured in-domain on 102 test queries" in (tmp_path / "b" / CARD).read_text()
    assert router.decide(PROOF).model == "large"


def test_figures_on_test_are_those_of_the_decisions(tmp_path: Path) -> None:
    outcomes = table()
    train(write_table(outcomes, tmp_path / "words.jsonl"), tmp_path / "b", json=tmp_path / "f.json")
    metrics = json.loads((tmp_path / "f.json").read_text())["metrics"]
    rows = [i for i, split in enumerate(outcomes.split) if split == "test"]
    decided = [
        MODELS.index(entry.model) for entry in load(tmp_path / "b").decide_many([outcomes.texts[i] for i in rows])
    ]
    assert metrics["score"] == pytest.approx(np.mean(outcomes.score[rows, decided]), abs=1e-6)
    assert metrics["recorded_usd"] == pytest.approx(np.mean(outcomes.cost_usd[rows, decided]), abs=1e-11)


def test_without_test_rows_the_figures_say_that_the_policy_was_chosen_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_table(table(120, splits=False), tmp_path / "words.jsonl")
    train(source, tmp_path / "b", models=["small", "large"])
    assert "no test rows: the very queries the policy was chosen on" in " ".join(capsys.readouterr().out.split())
    assert read_manifest(tmp_path / "b")["models"] == ["small", "large"]
    assert "(the policy was chosen on these queries)" in (tmp_path / "b" / CARD).read_text()


def test_other_column_names_and_straddling_texts_are_handled_as_asked(tmp_path: Path) -> None:
    outcomes = table(120)
    texts = (outcomes.texts[3], *outcomes.texts[1:])  # the first query is a test row, the fourth too; the tenth trains
    torn = replace(outcomes, texts=(*texts[:9], texts[0], *texts[10:]))
    source = write_table(torn, tmp_path / "words.jsonl")
    source.write_text(source.read_text().replace('"query":', '"prompt":'))
    with pytest.raises(DataError, match="stands in more than one split"):
        train(source, tmp_path / "b", columns="query=prompt")
    train(source, tmp_path / "b", columns="query=prompt", on_straddle="drop-train")
    assert torn.texts[0] not in load(tmp_path / "b").training.texts


def test_a_run_is_recorded_with_the_bundle_and_without_figures_named_after_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Json] = []
    monkeypatch.setattr("router.registry.log_run", lambda name, **what: runs.append({"name": name, **what}))
    source = write_table(replace(table(120), models=("a@1", "b(2)", "c d")), tmp_path / "words.jsonl")
    train(source, tmp_path / "b", mlflow=True)
    assert len(runs) == 1
    assert (runs[0]["name"], runs[0]["bundle"]) == ("train", tmp_path / "b")
    assert runs[0]["params"]["bundle"] == bundle_id(tmp_path / "b")
    assert runs[0]["metrics"]["test.n"] == 42
    assert not [name for name in runs[0]["metrics"] if "a@1" in name]


@pytest.mark.parametrize(
    ("change", "error"), [({"use": "evaluation-only"}, DataError), ({"split": ("test",) * 120}, DataError)]
)
def test_a_table_that_cannot_train_leaves_no_bundle(tmp_path: Path, change: Json, error: type[Exception]) -> None:
    source = write_table(replace(table(120), **change), tmp_path / "words.jsonl")
    with pytest.raises(error):
        train(source, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_place_that_must_not_be_replaced_is_refused_before_the_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(BundleError, match="Choose another --out"):
        train(tmp_path / "no-such-table.jsonl", tmp_path / "thesis")


# threshold


def test_a_share_of_the_calls_stays_with_the_model_that_is_named(bundle: Path) -> None:
    written = choose(bundle, "share=0.3", against="large")
    assert written["policy"]["kind"] == "threshold"
    assert written["threshold"] == written["policy"]["parameters"]["threshold"]
    assert written["figures"]["share"]["large"] == pytest.approx(0.3, abs=0.025)
    assert (written["guarantee"], written["bundle"]) == (None, None)
    assert written["calibration"]["source"] == OWN


@pytest.mark.parametrize(
    ("target", "kind"),
    [("budget=0.002", Budget), ("floor=0.6", ExpectedUtility), ("each=0.7", CheapestAbove), ("lambda=50", ExpectedUtility)],
)  # fmt: skip
def test_every_target_writes_a_bundle_that_decides_by_it(bundle: Path, tmp_path: Path, target: str, kind: type) -> None:
    written = choose(bundle, target, out=tmp_path / "chosen")
    chosen = load(tmp_path / "chosen")
    assert isinstance(chosen.policy, kind)
    assert written["bundle"] == bundle_id(tmp_path / "chosen")
    sample = chosen.calibration
    counts = np.bincount(chosen.policy.choose(sample.p, sample.expected_usd).model, minlength=3) / len(sample)
    assert written["figures"]["share"] == pytest.approx(dict(zip(MODELS, counts.tolist(), strict=True)), abs=1e-6)
    assert chosen.fitted["policy"].startswith(f"target {target} met on")
    if target == "budget=0.002":
        assert written["figures"]["expected_usd"] <= 0.002
    if target == "floor=0.6":
        assert written["figures"]["score"] >= 0.6


def test_a_new_policy_changes_the_policy_alone(bundle: Path, tmp_path: Path) -> None:
    choose(bundle, "share=0.5", out=tmp_path / "b")
    before, after = read_manifest(bundle), read_manifest(tmp_path / "b")
    for key in ("parts", "models", "encoder", "features"):
        assert after[key] == before[key]
    assert {name for name, digest in after["files"].items() if before["files"].get(name) != digest} == {CARD}


def test_a_bundle_may_be_replaced_by_itself_with_another_policy(bundle: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(bundle, tmp_path / "own"))
    choose(own, "each=0.9", out=own)
    assert load(own).policy == CheapestAbove(models=MODELS, floor=0.9)


def test_a_guarantee_is_said_recorded_and_written_on_the_card(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = choose(bundle, "guarantee", against="large", out=tmp_path / "sure")
    guarantee, said = written["guarantee"], " ".join(capsys.readouterr().out.split())
    assert guarantee["sentence"].startswith("with probability ≥ 0.9 the quality loss against large is ≤ 0.25; n = ")
    assert guarantee["sentence"][1:] in said
    assert f"Chosen on {OWN}: 40 queries" in said
    assert (guarantee["epsilon"], guarantee["delta"], guarantee["against"]) == (0.25, 0.1, "large")
    assert guarantee["calibration"]["source"] == OWN
    chosen, manifest = load(tmp_path / "sure"), read_manifest(tmp_path / "sure")
    assert isinstance(chosen.policy, Threshold)
    assert chosen.policy.threshold == guarantee["threshold"] == manifest["threshold"]
    assert manifest["guarantee"] == guarantee == chosen.guarantee
    card = (tmp_path / "sure" / CARD).read_text()
    assert f"Certified on {OWN}" in card
    assert guarantee["sentence"][1:] in card
    choose(tmp_path / "sure", "share=0.5", out=tmp_path / "sure")
    assert read_manifest(tmp_path / "sure")["guarantee"] is None


def test_a_guarantee_that_so_few_queries_cannot_give_is_refused_and_nothing_is_written(
    bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError, match=r"it takes about n = |no n will do"):
        choose(bundle, "guarantee", against="large", epsilon=0.01, delta=0.05, out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("target", "against", "said"),
    [
        ("guarantee", None, "name it with --against"),
        ("guarantee", "huge", "no model 'huge'"),
        ("guarantee", "small", "name a dearer one"),
        ("share=2", None, "must lie in"),
        ("floor=1.5", None, "no policy reaches the floor"),
        ("budget=0", None, "no choice costs"),
        ("speed=1", None, "wanted one of share"),
    ],
)
def test_a_target_that_cannot_be_had_is_refused_in_one_line(
    bundle: Path, target: str, against: str | None, said: str
) -> None:
    with pytest.raises(PolicyError, match=said) as failure:
        choose(bundle, target, against=against)
    assert "\n" not in str(failure.value)


# threshold, on another table


def test_of_a_table_what_trained_the_router_and_what_is_for_the_test_is_left_out_and_counted(tmp_path: Path) -> None:
    router, outcomes = fitted(), table(12, seed=9)
    ids = ("new0", router.training.ids[0], *(f"new{i}" for i in range(2, 12)))  # the second by its id
    texts = (
        f"  {router.training.texts[5].upper()} ",
        *outcomes.texts[1:],
    )  # the first by its text, as texts are compared
    split = tuple("test" if i in (10, 11) else None for i in range(12))
    score = outcomes.score.copy()
    score[4, 1] = np.nan
    other = replace(outcomes, ids=ids, texts=texts, split=split, score=score, unit=np.arange(12))
    held = table_calibration(router, write_table_nan(other, tmp_path / "o.jsonl"), columns={})
    assert sorted(held.queries.ids) == sorted(f"new{i}" for i in (2, 3, 5, 6, 7, 8, 9))
    facts = {key: held.facts[key] for key in ("source", "n", "in_training", "for_the_test", "incomplete")}
    assert facts == {"source": "the table o", "n": 7, "in_training": 2, "for_the_test": 2, "incomplete": 1}
    assert held.sentence() == (
        "the table o: 7 queries; left out: 2 trained the router, 2 are of the test split, 1 lack the score of some model"
    )


def test_a_copy_of_a_test_text_in_another_split_does_not_calibrate(tmp_path: Path) -> None:
    outcomes = replace(table(6, seed=9), ids=tuple("abcdef"), split=(None, "test", None, None, None, None))
    copied = replace(outcomes, texts=(outcomes.texts[1].upper(), *outcomes.texts[1:]))
    held = table_calibration(fitted(), write_table(copied, tmp_path / "o.jsonl"), columns={})
    assert held.queries.ids == ("c", "d", "e", "f")
    assert held.facts["for_the_test"] == 2


def write_table_nan(outcomes: Outcomes, path: Path) -> Path:
    """`write_table`, with null for a missing score."""
    written = write_table(outcomes, path)
    written.write_text(written.read_text().replace('"score": NaN', '"score": null'))
    return written


@settings(deadline=None, max_examples=25)
@given(which=st.sets(st.integers(0, 199), max_size=12))
def test_no_query_that_trained_the_router_ever_calibrates_it(
    tmp_path_factory: pytest.TempPathFactory, which: set[int]
) -> None:
    router, outcomes = fitted(), table(9, seed=21, splits=False)
    known = sorted(i for i in which if i < len(router.training))
    texts = (*outcomes.texts, *(router.training.texts[i] for i in known))
    n = len(texts)
    grown = replace(
        outcomes,
        ids=tuple(f"z{i}" for i in range(n)),
        texts=texts,
        dataset=(None,) * n,
        split=(None,) * n,
        unit=np.arange(n),
        score=np.ones((n, 3)),
        cost_usd=np.ones((n, 3)),
        input_tokens=np.ones((n, 3)),
        output_tokens=np.ones((n, 3)),
        latency_ms=np.ones((n, 3)),
    )
    path = tmp_path_factory.mktemp("grown") / "t.jsonl"
    held = table_calibration(router, write_table(grown, path), columns={})
    assert sorted(held.queries.ids) == [f"z{i}" for i in range(9)]
    assert held.facts["in_training"] == len(known)


def test_the_table_that_trained_it_calibrates_with_the_rows_it_held_out_and_no_others(
    bundle: Path, tmp_path: Path
) -> None:
    written = choose(bundle, "share=0.5", outcomes=write_table(table(), tmp_path / "words.jsonl"))
    router = load(bundle)
    assert written["calibration"]["n"] == len(router.calibration)
    assert written["calibration"]["in_training"] == len(router.training)
    assert written["calibration"]["for_the_test"] == 102
    assert written["threshold"] == choose(bundle, "share=0.5")["threshold"]


def test_a_table_of_which_nothing_can_calibrate_is_refused(bundle: Path, tmp_path: Path) -> None:
    outcomes = table()
    seen = set(fitted().training.ids)
    kept = outcomes.rows(np.array([name in seen or split == "test" for name, split in zip(outcomes.ids, outcomes.split, strict=True)]))  # fmt: skip
    with pytest.raises(
        DataError, match=rf"none of its .* queries can calibrate: {len(seen)} trained .* 102 are of the test split"
    ):
        choose(bundle, "share=0.5", outcomes=write_table(kept, tmp_path / "words.jsonl"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda outcomes: replace(outcomes, use="evaluation-only"), "must not fit"),
        (lambda outcomes: outcomes.only(["small", "large"]), "nothing of middle"),
    ],
)
def test_a_table_that_must_not_or_cannot_calibrate_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[Outcomes], Outcomes], said: str
) -> None:
    fresh = replace(table(30, seed=9, splits=False), ids=tuple(f"new{i}" for i in range(30)))
    with pytest.raises(DataError, match=said):
        choose(bundle, "share=0.5", outcomes=write_table(change(fresh), tmp_path / "o.jsonl"))


# route and inspect


def test_routing_says_the_model_the_reason_and_the_dollars(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    route_outcomes(bundle, PROOF, False, tmp_path / "r.json")
    said, written = " ".join(capsys.readouterr().out.split()), json.loads((tmp_path / "r.json").read_text())
    decision = fitted().decide(PROOF)
    assert written["model"] == decision.model == "large"
    assert written["probabilities"] == dict(decision.probabilities)
    assert written["expected_cost_usd"] == dict(decision.expected_cost_usd or {})
    assert f"→ large, P(good answer) {decision.confidence:.2f}: no cheaper model comes close enough" in said


def test_explaining_says_views_words_neighbours_and_flips(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    route_outcomes(bundle, PROOF, True, tmp_path / "r.json")
    said, written = " ".join(capsys.readouterr().out.split()), json.loads((tmp_path / "r.json").read_text())
    assert {"model", "against", "blend", "views", "neighbours", "parameter", "price"} <= set(written)
    assert "large against middle:" in said
    assert "word “prove”" in said
    assert "flip: threshold beyond" in said
    assert len(written["neighbours"]) == 3
    assert set(written["neighbours"][0]["scores"]) == set(MODELS)


def test_markup_in_a_query_or_a_name_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_table(replace(table(120), models=("[a]", "[b]", "[/c]")), tmp_path / "words.jsonl")
    train(source, tmp_path / "b")
    capsys.readouterr()
    route_outcomes(tmp_path / "b", "[bold]prove[/bold] the theorem [/x]", True, None)
    said = capsys.readouterr().out
    assert "[bold]prove[/bold] the theorem [/x]" in said
    assert "[/c]" in said


def test_a_text_that_is_no_query_is_refused(bundle: Path) -> None:
    with pytest.raises(WeighbridgeError, match="is empty"):
        route_outcomes(bundle, "  ", False, None)


def test_inspecting_shows_the_card(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(bundle)
    said = " ".join(capsys.readouterr().out.split())
    assert f"bundle {bundle_id(bundle)}" in said
    assert "Router over 3 models" in said
    assert "does not transfer to another" in said
