"""Bundles of routers over models: they survive the disk to the byte, and nothing broken, altered or strange is read as one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import bundle as label_bundle
from router.boilerplate import Boilerplate
from router.bundlefiles import (
    CARD,
    MANIFEST,
    NGRAMS,
    QUERIES,
    SCHEMA_VERSION,
    WEIGHTS,
    bundle_id,
    read_arrays,
    read_manifest,
)
from router.encoders.hashing import HashingEncoder
from router.encoders.onnx import OnnxEncoder
from router.errors import BundleError
from router.files import sha256_file
from router.outcome_bundle import BOILERPLATE, CALIBRATION, load, load_any, save
from router.outcome_figures import outcome_figures
from router.outcome_policy import CheapestAbove, Threshold
from router.outcome_router import ModelRouter
from router.outcome_training import fit_outcome_router
from router.packing import Packed, pack, unpack
from router.pipeline import Router
from router.success.solver import Heads
from tests.conformance.encoder import write_tiny_encoder
from tests.outcome_tables import MODELS, fitted, table

Manifest = dict[str, Any]
FILES = (WEIGHTS, NGRAMS, QUERIES, CALIBRATION, CARD, BOILERPLATE)
LONG = "Answer with one letter. " * 60
HEAVY = {"mlflow", "onnxruntime", "pandas", "pyarrow", "scipy", "sentence_transformers", "sklearn", "torch"}
DECIDE = """
import json, sys
from pathlib import Path
from router.outcome_bundle import load_any
from router.outcome_explain import explain_outcome
router = load_any(Path({bundle!r}))
assert router.decide("prove the theorem about prime gaps").model
assert explain_outcome(router, "prove the theorem about prime gaps").neighbours
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def words() -> ModelRouter:
    """With boilerplate, so that a bundle has every file it can have."""
    return replace(fitted(), boilerplate=Boilerplate(frozenset({LONG.strip(), "Example: 2 + 2 = 4."})))


@pytest.fixture(scope="module")
def saved(words: ModelRouter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("outcome-bundles") / "words"
    save(words, target)
    return target


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    found = list(table(30, seed=3).texts)
    return [*found, f"{LONG}\nprove the theorem about prime gaps", "ein Wort, das niemand kennt"]


def rewrite(bundle: Path, change: Callable[[Manifest], object]) -> None:
    """Change the manifest as a person with an editor would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def refused(bundle: Path, said: str) -> str:
    with pytest.raises(BundleError, match=said) as failure:
        load(bundle)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_a_loaded_router_decides_as_the_fitted_one(words: ModelRouter, saved: Path, texts: list[str]) -> None:
    assert load(saved).decide_many(texts) == words.decide_many(texts)


@pytest.mark.parametrize("costs", [True, False])
def test_so_does_one_over_a_pair_with_and_without_costs(costs: bool, tmp_path: Path, texts: list[str]) -> None:
    pair = fitted(costs=costs, models=("small", "large"))
    save(pair, tmp_path / "pair")
    assert load(tmp_path / "pair").decide_many(texts) == pair.decide_many(texts)


def test_what_it_remembers_besides_its_weights_comes_back(words: ModelRouter, saved: Path) -> None:
    loaded = load(saved)
    assert loaded.policy == words.policy
    assert loaded.fitted == words.fitted
    assert loaded.success.fitted == words.success.fitted
    assert loaded.boilerplate == words.boilerplate
    assert (loaded.training.ids, loaded.training.texts) == (words.training.ids, words.training.texts)
    for name in ("p", "expected_usd", "score", "paid_usd", "unit"):
        assert np.array_equal(getattr(loaded.calibration, name), getattr(words.calibration, name), equal_nan=True)
    assert loaded.calibration.ids == words.calibration.ids


def test_a_loaded_router_is_saved_again_as_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save(load(saved), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(saved)


def test_the_same_table_and_seed_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(fit_outcome_router(table(120), HashingEncoder(), seed=7), tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert bundle_id(tmp_path / "one") == bundle_id(tmp_path / "two")


def test_texts_with_any_line_separator_come_back(tmp_path: Path) -> None:
    router = fitted()
    texts = ("a\u2028b", "c\x85d\r\ne", *router.training.texts[2:])
    save(replace(router, training=replace(router.training, texts=texts)), tmp_path / "b")
    assert load(tmp_path / "b").training.texts == texts


def test_equal_arrays_are_kept_once(saved: Path) -> None:
    arrays = read_arrays(saved / WEIGHTS)
    assert "success.neighbours.sentence" in arrays
    assert not {"novelty.reference", "training.score"} & set(arrays)


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_which_one_bit_changed_is_refused_by_name(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(bytes(content))
    assert file in refused(copy, "damaged or tampered with")


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_missing_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    assert file in refused(copy, "do not match the manifest")


def test_a_file_that_the_manifest_does_not_name_is_refused(copy: Path) -> None:
    (copy / "extra.py").write_text("raise SystemExit")
    assert "extra.py" in refused(copy, "do not match the manifest")


def test_a_newer_schema_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1))
    refused(copy, "newer than this version reads")


def test_an_unknown_kind_is_refused_and_not_taken_for_one_of_ours(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(kind="oracles"))
    refused(copy, "holds a router by oracles")
    with pytest.raises(BundleError, match="holds a router by oracles"):
        load_any(copy)


PLACES = ("parts", "policy", "encoder", "models", "fitted", "features")
NOTHINGS: tuple[object, ...] = (None, 3, [], {}, "x")
NONSENSE = [(key, value) for key in PLACES for value in NOTHINGS]


@pytest.mark.parametrize(("key", "value"), [*NONSENSE, ("guarantee", 3), ("guarantee", []), ("guarantee", "x")])
def test_a_manifest_of_which_a_part_is_nonsense_is_refused_in_one_line(copy: Path, key: str, value: object) -> None:
    rewrite(copy, lambda manifest: manifest.update({key: value}))
    refused(copy, "train it again|train the bundle again")


def test_parts_of_which_one_has_the_wrong_shape_are_found_at_the_door(copy: Path) -> None:
    # another array under the name of the intercepts: every hash is right, and yet it is no router
    def swap(manifest: Manifest) -> None:
        manifest["parts"]["success"]["fields"]["linear"]["fields"]["weights"] = {"array": "success.space.surface_mean"}

    rewrite(copy, swap)
    refused(copy, "does not describe a router over models")


def test_a_record_that_this_version_does_not_know_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["parts"]["novelty"].update(record="Path"))
    refused(copy, "not what this version writes")


def test_a_record_with_a_field_too_many_or_too_few_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["parts"]["novelty"]["fields"].pop("calibration"))
    refused(copy, "Novelty has the fields")


def test_models_under_other_names_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(models=["a", "b", "c"]))
    refused(copy, "its models are")


def test_other_surface_features_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["features"]["surface"].pop())
    refused(copy, "other surface features")


def test_what_exists_and_is_no_bundle_is_never_replaced(words: ModelRouter, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1").write_text("years of work")
    with pytest.raises(BundleError, match="Choose another --out"):
        save(words, tmp_path / "thesis")
    assert contents(tmp_path / "thesis") == {"chapter-1": b"years of work"}


def test_an_old_bundle_is_replaced_whole(words: ModelRouter, copy: Path, saved: Path) -> None:
    (copy / "left-over").write_text("of an older version")
    save(words, copy)
    assert contents(copy) == contents(saved)


# Two kinds


def test_either_kind_is_opened_by_what_its_manifest_says(bundle: Path, saved: Path) -> None:
    assert isinstance(load_any(bundle), Router)
    assert isinstance(load_any(saved), ModelRouter)


def test_neither_kind_is_taken_for_the_other(bundle: Path, saved: Path) -> None:
    with pytest.raises(BundleError, match="holds a router by outcomes, and this needs one by labels"):
        label_bundle.load(saved)
    with pytest.raises(BundleError, match="holds a router by labels, and this needs one by outcomes"):
        load(bundle)


def test_where_no_bundle_is_the_way_to_one_is_named(tmp_path: Path) -> None:
    for opened in (load, load_any):
        with pytest.raises(BundleError, match="no bundle here"):
            opened(tmp_path / "nothing")


# Manifest and card


def test_the_manifest_says_what_decides_and_what_it_was_trained_on(words: ModelRouter, saved: Path) -> None:
    manifest = read_manifest(saved)
    assert (manifest["kind"], manifest["models"]) == ("outcomes", list(MODELS))
    assert manifest["policy"]["kind"] == words.policy.kind
    assert isinstance(words.policy, Threshold)
    assert manifest["threshold"] == words.policy.threshold
    assert manifest["fitted"]["train_fingerprint"] == words.fitted["train_fingerprint"]
    assert manifest["fitted"]["costs"]["small"]["recorded"] == len(words.training)
    assert manifest["libraries"]["numpy"] == np.__version__
    assert manifest["files"][WEIGHTS] == sha256_file(saved / WEIGHTS)
    assert manifest["guarantee"] is None


def test_a_policy_without_a_threshold_leaves_it_null(words: ModelRouter, tmp_path: Path) -> None:
    save(words.with_policy(CheapestAbove(models=MODELS, floor=0.7), why="wanted"), tmp_path / "floor")
    assert read_manifest(tmp_path / "floor")["threshold"] is None
    assert "takes the cheapest model whose P(good answer) is at least 0.7000" in (tmp_path / "floor" / CARD).read_text()


def test_the_card_says_in_domain_only_and_names_data_sets_and_models(saved: Path) -> None:
    card = " ".join((saved / CARD).read_text().split())
    assert "does not transfer to another (measured between public ones: 0.44 to 0.55 APGR" in card
    assert "data sets: proof 55, rhyme" in card or "data sets: proof 5" in card
    assert all(f"| {model} |" in card for model in MODELS)
    assert "Nothing was measured" in card
    assert "Guarantee" not in card


def test_figures_and_guarantee_stand_on_the_card(words: ModelRouter, tmp_path: Path) -> None:
    figures = {"split": "calibration", **outcome_figures(words.policy, words.calibration)}
    guarantee = {"sentence": "with probability ≥ 0.95 the loss is ≤ 0.02", "calibration": {"source": "the table other"}}
    save(words.with_policy(words.policy, why="certified", guarantee=guarantee), tmp_path / "b", metrics=figures)
    card = (tmp_path / "b" / CARD).read_text()
    assert "## Guarantee" in card
    assert "With probability ≥ 0.95 the loss is ≤ 0.02.\nCertified on the table other." in card
    assert f"mean score: {figures['score']:.4f} [{figures['score_ci'][0]:.4f}" in card
    assert "(the policy was chosen on these queries)" in card
    assert load(tmp_path / "b").guarantee == guarantee


def test_a_name_with_a_bar_or_a_line_break_does_not_tear_the_cards_table(tmp_path: Path) -> None:
    made = fit_outcome_router(replace(table(120), models=("a|b", "c", "d"), name="tab\nle"), HashingEncoder(), seed=0)
    save(made, tmp_path / "b")
    card = (tmp_path / "b" / CARD).read_text()
    assert "| a\\|b |" in card
    assert "outcomes tab le" in card


# What it needs


def test_a_bundle_is_loaded_decides_and_explains_with_arrays_alone(saved: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DECIDE.format(bundle=str(saved))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    modules = set(json.loads(done.stdout))
    assert {"numpy", "safetensors"} <= modules
    assert not modules & HEAVY


def test_a_carried_encoder_decides_alike_where_nothing_else_is_there(
    words: ModelRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "cache" / "encoders" / "tiny-0"
    spec = write_tiny_encoder(directory, dim=words.encoder.spec.dim)
    with_onnx = replace(words, encoder=OnnxEncoder(directory, spec))
    save(with_onnx, tmp_path / "carried", carry_encoder=True)
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "empty"))
    loaded = load(tmp_path / "carried")
    assert loaded.decide_many(texts) == with_onnx.decide_many(texts)
    save(loaded, tmp_path / "passed-on", carry_encoder=True)
    assert contents(tmp_path / "passed-on") == contents(tmp_path / "carried")


# Packing


@settings(deadline=None, max_examples=40)
@given(
    weights=hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_dims=2, max_dims=2, min_side=0)),
    repeated=st.booleans(),
)
def test_whatever_arrays_hold_comes_back_bit_for_bit(weights: Any, repeated: bool) -> None:
    head = Heads(weights=weights, intercept=weights if repeated else weights[:1])
    packed = pack({"head": head, "none": None, "number": 0.1 + 0.2, "pair": ("a", head)})
    again = Packed(structure=json.loads(json.dumps(packed.structure)), arrays=packed.arrays, vocabularies={})
    found = unpack(again)
    assert found["head"].weights.tobytes() == weights.tobytes()
    assert found["head"].weights.dtype == weights.dtype
    assert found["pair"][1].intercept.shape == head.intercept.shape
    assert (found["none"], found["number"], found["pair"][0]) == (None, 0.1 + 0.2, "a")


@pytest.mark.parametrize("value", [object(), Path("x"), np.array([object()]), np.array(["a"]), {1, 2}])
def test_what_a_bundle_cannot_hold_is_refused_when_it_is_saved(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be kept in a bundle"):
        pack({"part": value})
