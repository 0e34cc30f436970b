"""Bundles of heads without routes: they survive the disk to the byte, and nothing broken or of another kind is read as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router import bundle as label_bundle
from router import heads_bundle
from router.bundlefiles import CARD, MANIFEST, SCHEMA_VERSION, WEIGHTS, bundle_id, kind_of, read_manifest
from router.bundleparts import HEADS
from router.dataset import Dataset
from router.encoders.onnx import OnnxEncoder
from router.errors import BundleError, EncoderError
from router.files import sha256_file
from router.pipeline import HeadSet, Router
from tests.conformance.encoder import write_tiny_encoder

Manifest = dict[str, Any]  # Any: whatever JSON can hold
METRICS = {
    "split": "test",
    "heads": {"intent": {"n": 8, "accuracy": 0.5, "accuracy_ci": [0.25, 0.75], "macro_f1": 0.5, "ece": 0.125}},
}


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def rewrite(bundle: Path, change: Callable[[Manifest], object]) -> None:
    """Change the manifest as a person with an editor would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def one_line(failure: pytest.ExceptionInfo[Exception]) -> str:
    message = str(failure.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def heads(router: Router) -> HeadSet:
    """The heads of the small router, without its routes; what they knew of the domain head they know of the leading one."""
    lead = router.table.policy.domain_head
    renamed = {
        name: replace(
            head, weights={"finer" if block == "domain" else block: rows for block, rows in head.weights.items()}
        )
        for name, head in router.heads.items()
    }
    return HeadSet(
        card=router.card, encoder=router.encoder, space=router.space, heads=renamed, lead=lead, fitted=router.fitted
    )


@pytest.fixture(scope="module")
def saved(heads: HeadSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those heads on disk. Tests that change them take `copy`."""
    target = tmp_path_factory.mktemp("heads") / "b"
    heads_bundle.save(heads, target, metrics=METRICS)
    return target


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture(scope="module")
def texts(small: Dataset) -> list[str]:
    return small.split("test").texts[:30]


def test_loaded_heads_give_the_probabilities_of_the_fitted_ones(heads: HeadSet, saved: Path, texts: list[str]) -> None:
    loaded = heads_bundle.load(saved)
    fresh = heads.probabilities(texts)
    assert list(loaded.classes.items()) == list(heads.classes.items())
    for name, p in loaded.probabilities(texts).items():
        assert p.tobytes() == fresh[name].tobytes()


def test_what_heads_remember_besides_their_weights_comes_back(heads: HeadSet, saved: Path) -> None:
    loaded = heads_bundle.load(saved)
    assert (loaded.card, loaded.lead, loaded.fitted) == (heads.card, heads.lead, heads.fitted)


def test_loaded_heads_are_saved_again_as_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    heads_bundle.save(heads_bundle.load(saved), tmp_path / "again", metrics=METRICS)
    assert contents(tmp_path / "again") == contents(saved)
    assert bundle_id(tmp_path / "again") == bundle_id(saved)


def test_the_bundle_says_what_it_is_and_its_card_what_it_is_not(saved: Path) -> None:
    assert kind_of(saved) == HEADS
    assert read_manifest(saved)["metrics"] == METRICS
    card = (saved / CARD).read_text()
    assert "| intent | 8 | 0.500 [0.250, 0.750] | 0.500 | 0.125 |" in card
    assert "routes: none" in card


def test_the_card_of_unmeasured_heads_says_so(heads: HeadSet, tmp_path: Path) -> None:
    heads_bundle.save(heads, tmp_path / "b")
    assert "Nothing was measured" in (tmp_path / "b" / CARD).read_text()


def test_a_router_s_bundle_is_not_read_as_heads_nor_heads_as_a_router(bundle: Path, saved: Path) -> None:
    with pytest.raises(BundleError, match="holds a router by labels") as failure:
        heads_bundle.load(bundle)
    one_line(failure)
    with pytest.raises(BundleError, match=r"no route table.*weighbridge train --data D --routes FILE") as failure:
        label_bundle.load(saved)
    one_line(failure)


def test_an_old_bundle_is_replaced_whole_and_what_is_none_never(heads: HeadSet, copy: Path, tmp_path: Path) -> None:
    (copy / "left-over").write_text("of an older version")
    heads_bundle.save(heads, copy)
    assert "left-over" not in contents(copy)
    (tmp_path / "thesis").write_text("years of work")
    with pytest.raises(BundleError, match="Choose another --out"):
        heads_bundle.save(heads, tmp_path / "thesis")
    assert (tmp_path / "thesis").read_text() == "years of work"


@pytest.mark.parametrize("file", [WEIGHTS, "ngrams.json", "lexicon.json", CARD])
def test_a_file_of_which_one_bit_changed_is_refused_by_name(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(bytes(content))
    with pytest.raises(BundleError, match="damaged or tampered with") as failure:
        heads_bundle.load(copy)
    assert file in one_line(failure)


def test_a_newer_schema_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(BundleError, match="update Weighbridge"):
        heads_bundle.load(copy)


NAMES = ("kind", "encoder", "features", "heads", "lead", "card", "fitted", "files")
OTHER_KINDS: tuple[object, ...] = (None, 7, "text", [], ["a"], {}, {"a": 1})
HARMLESS = [("fitted", {}), ("fitted", {"a": 1})]  # nothing remembered
MISFITS = [(name, value) for name in NAMES for value in OTHER_KINDS if (name, value) not in HARMLESS]


@pytest.mark.parametrize(("name", "value"), MISFITS, ids=repr)
def test_a_manifest_with_an_entry_of_another_kind_is_refused_as_a_bundle(copy: Path, name: str, value: object) -> None:
    rewrite(copy, lambda manifest: manifest.update({name: value}))
    with pytest.raises(BundleError) as failure:
        heads_bundle.load(copy)
    one_line(failure)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_lacks_an_entry_is_refused(copy: Path, name: str) -> None:
    rewrite(copy, lambda manifest: manifest.pop(name))
    with pytest.raises(BundleError):
        heads_bundle.load(copy)


def test_a_head_that_leads_and_is_no_longer_there_is_refused(heads: HeadSet, copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["heads"].pop(heads.lead))
    with pytest.raises(BundleError):
        heads_bundle.load(copy)


def test_a_leading_head_that_the_others_did_not_learn_from_is_refused(heads: HeadSet, copy: Path) -> None:
    other = next(
        name for name, head in heads.heads.items() if len(head.classes) != len(heads.heads[heads.lead].classes)
    )
    rewrite(copy, lambda manifest: manifest.update(lead=other))
    with pytest.raises(BundleError):
        heads_bundle.load(copy)


def test_classes_that_do_not_fit_the_weights_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["heads"]["intent"]["classes"].pop())
    with pytest.raises(BundleError, match="intent"):
        heads_bundle.load(copy)


def test_weights_that_are_no_tensors_are_refused_although_their_hash_is_right(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(b"no tensors")
    rewrite(copy, lambda manifest: manifest["files"].update({WEIGHTS: sha256_file(copy / WEIGHTS)}))
    with pytest.raises(BundleError):
        heads_bundle.load(copy)


def test_heads_trained_with_other_surface_features_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["features"]["surface"].reverse())
    with pytest.raises(BundleError, match="other surface features"):
        heads_bundle.load(copy)


def test_heads_of_an_encoder_that_this_machine_makes_otherwise_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["encoder"].update(digest="0" * 64))
    with pytest.raises(EncoderError, match="train again here"):
        heads_bundle.load(copy)


def test_a_carried_encoder_serves_where_nothing_else_is_there(
    heads: HeadSet, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "cache" / "encoders" / "tiny-0"
    fitted = replace(heads, encoder=OnnxEncoder(directory, write_tiny_encoder(directory, dim=heads.encoder.spec.dim)))
    heads_bundle.save(fitted, tmp_path / "carried", carry_encoder=True)
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "empty"))
    expected = fitted.probabilities(texts)
    for name, p in heads_bundle.load(tmp_path / "carried").probabilities(texts).items():
        np.testing.assert_array_equal(p, expected[name])


def test_heads_without_ngrams_and_lexicon_come_back(heads: HeadSet, texts: list[str], tmp_path: Path) -> None:
    bare = replace(
        heads,
        space=replace(heads.space, ngrams=None, lexicon=None),
        heads={
            name: replace(head, weights={b: w for b, w in head.weights.items() if b not in ("ngrams", "lexicon")})
            for name, head in heads.heads.items()
        },
    )
    heads_bundle.save(bare, tmp_path / "bare")
    assert not {"ngrams.json", "lexicon.json"} & set(contents(tmp_path / "bare"))
    loaded, expected = heads_bundle.load(tmp_path / "bare").probabilities(texts), bare.probabilities(texts)
    for name, p in loaded.items():
        np.testing.assert_array_equal(p, expected[name])


def test_one_text_read_alone_has_a_probability_for_every_label(heads: HeadSet) -> None:
    read = heads.read_one("where is my refund?")
    assert {name: tuple(row) for name, row in read.items()} == heads.classes
    for row in read.values():
        assert sum(row.values()) == pytest.approx(1, abs=1e-5)
