"""Bundles: a router survives the disk to the byte, and nothing that is broken, altered or strange is read as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.bundle import MANIFEST, SCHEMA_VERSION, bundle_id, load, read_manifest, save
from router.dataset import Dataset
from router.encoders.onnx import OnnxEncoder
from router.errors import BundleError, EncoderError
from router.files import sha256_file
from router.lexicon import Lexicon
from router.pipeline import Router
from tests.conformance.encoder import write_tiny_encoder

Manifest = dict[str, Any]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, hidden ones too."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@pytest.fixture(scope="module")
def texts(small: Dataset) -> list[str]:
    return small.split("test").texts[:40]


def rewrite(bundle: Path, change: Callable[[Manifest], object]) -> None:
    """Change the manifest as a person with an editor would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def one_line(failure: pytest.ExceptionInfo[Exception]) -> str:
    message = str(failure.value)
    assert "\n" not in message
    return message


def test_a_loaded_router_is_saved_again_as_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    save(load(bundle), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(bundle)


def test_the_same_router_makes_the_same_bytes(router: Router, bundle: Path, tmp_path: Path) -> None:
    save(router, tmp_path / "second")
    assert contents(tmp_path / "second") == contents(bundle)
    assert bundle_id(tmp_path / "second") == bundle_id(bundle)


def test_what_a_router_remembers_besides_its_weights_comes_back(router: Router, bundle: Path) -> None:
    loaded = load(bundle)
    assert loaded.training == router.training
    assert loaded.card == router.card
    assert loaded.table == router.table
    assert loaded.policy.threshold == router.policy.threshold
    assert loaded.fitted == router.fitted
    assert list(loaded.heads) == list(router.heads)


def test_a_card_whose_heads_are_not_in_alphabetical_order_changes_no_decision(
    router: Router, texts: list[str], tmp_path: Path
) -> None:
    # The columns of the lexicon stand in the order of the card's heads, so that order must survive the disk.
    assert router.space.lexicon is not None
    heads = dict(sorted(router.card.heads.items(), reverse=True))
    lexicon = Lexicon({head: router.space.lexicon.terms[head] for head in heads if head in router.space.lexicon.terms})
    turned = replace(router, card=replace(router.card, heads=heads), space=replace(router.space, lexicon=lexicon))
    save(turned, tmp_path / "turned")
    assert load(tmp_path / "turned").decide_many(texts) == turned.decide_many(texts)


def test_metrics_come_back_and_stand_on_the_card(router: Router, tmp_path: Path) -> None:
    head = {"n": 150, "accuracy": 0.875, "accuracy_ci": [0.8, 0.925], "macro_f1": 0.75, "ece": 0.0625}
    metrics = {"split": "test", "heads": {"complexity": head}}
    save(router, tmp_path / "measured", metrics=metrics)
    assert read_manifest(tmp_path / "measured")["metrics"] == metrics
    assert "| complexity | 150 | 0.875 [0.800, 0.925] | 0.750 | 0.062 |" in (tmp_path / "measured/CARD.md").read_text()


def test_an_old_bundle_is_replaced_whole(router: Router, copy: Path) -> None:
    (copy / "left-over").write_text("of an older version")
    save(router, copy)
    assert "left-over" not in contents(copy)
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@pytest.mark.parametrize("is_file", [True, False], ids=["a file", "a directory"])
def test_what_exists_and_is_no_bundle_is_never_replaced(router: Router, tmp_path: Path, is_file: bool) -> None:
    target = tmp_path / "thesis"
    precious = target if is_file else target / "chapter-1"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years of work")
    with pytest.raises(BundleError, match="Choose another --out"):
        save(router, target)
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize("before", [True, False], ids=["over an old one", "anew"])
def test_a_save_that_fails_midway_leaves_everything_as_it_was(
    router: Router, copy: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not before:
        shutil.rmtree(copy)
    was = contents(copy.parent)

    def fail(manifest: Manifest) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("router.bundle.card_text", fail)
    with pytest.raises(OSError, match="No space left"):
        save(router, copy)
    assert contents(copy.parent) == was
    assert [path.name for path in copy.parent.iterdir()] == ([copy.name] if before else [])


@pytest.mark.parametrize("file", ["weights.safetensors", "ngrams.json", "lexicon.json", "queries.jsonl", "CARD.md"])
def test_a_file_of_which_one_bit_changed_is_refused_by_name(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(bytes(content))
    with pytest.raises(BundleError, match="damaged or tampered with") as failure:
        load(copy)
    assert file in one_line(failure)


@pytest.mark.parametrize("file", ["weights.safetensors", "ngrams.json", "lexicon.json", "queries.jsonl", "CARD.md"])
def test_a_file_that_is_missing_is_named(copy: Path, file: str) -> None:
    (copy / file).unlink()
    with pytest.raises(BundleError, match=f"do not match the manifest .*{file}"):
        load(copy)


@pytest.mark.parametrize("file", ["notes.txt", "encoder/encoder.onnx", ".hidden"])
def test_a_file_that_the_manifest_does_not_name_is_refused(copy: Path, file: str) -> None:
    (copy / file).parent.mkdir(exist_ok=True)
    (copy / file).write_text("extra")
    with pytest.raises(BundleError, match=f"do not match the manifest .*{file}"):
        load(copy)


def test_no_bundle_at_all_is_answered_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="weighbridge train --data D --out"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("schema", [SCHEMA_VERSION + 1, 99, "1", None, 1.5])
def test_a_schema_that_this_version_does_not_know_is_refused(copy: Path, schema: object) -> None:
    rewrite(copy, lambda manifest: manifest.update(schema_version=schema))
    with pytest.raises(BundleError, match="update Weighbridge"):
        load(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'"text"', b"{}", b"\xff\xfe", b'{"files": {}}'])
def test_a_manifest_that_is_none_is_refused_in_one_line(copy: Path, content: bytes) -> None:
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match="not a manifest") as failure:
        load(copy)
    assert MANIFEST in one_line(failure)


NAMES = ("encoder", "features", "heads", "also", "card", "routes", "threshold", "fitted", "files")
OTHER_KINDS: tuple[object, ...] = (None, 7, "text", [], ["a"], {}, {"a": 1})
HARMLESS = [("also", []), ("also", {}), ("fitted", {}), ("fitted", {"a": 1})]  # no further desks; nothing remembered
MISFITS = [(name, value) for name in NAMES for value in OTHER_KINDS if (name, value) not in HARMLESS]


@pytest.mark.parametrize(("name", "value"), MISFITS, ids=repr)
def test_a_manifest_with_an_entry_of_another_kind_is_refused_as_a_bundle(copy: Path, name: str, value: object) -> None:
    rewrite(copy, lambda manifest: manifest.update({name: value}))
    with pytest.raises(BundleError) as failure:
        load(copy)
    one_line(failure)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_lacks_an_entry_is_refused(copy: Path, name: str) -> None:
    rewrite(copy, lambda manifest: manifest.pop(name))
    with pytest.raises(BundleError) as failure:
        load(copy)
    assert name in one_line(failure)


def test_classes_that_do_not_fit_the_weights_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["heads"]["intent"]["classes"].pop())
    with pytest.raises(BundleError, match="intent"):
        load(copy)


def test_weights_that_are_no_tensors_are_refused_although_their_hash_is_right(copy: Path) -> None:
    weights = copy / "weights.safetensors"
    weights.write_bytes(b"no tensors")
    rewrite(copy, lambda manifest: manifest["files"].update({weights.name: sha256_file(weights)}))
    with pytest.raises(BundleError):
        load(copy)


def test_training_queries_that_are_faulty_are_refused_although_their_hash_is_right(copy: Path) -> None:
    # One fewer would shift every neighbour that an explanation names.
    queries = copy / "queries.jsonl"
    queries.write_text("{}\n" + queries.read_text().split("\n", 1)[1])
    rewrite(copy, lambda manifest: manifest["files"].update({queries.name: sha256_file(queries)}))
    with pytest.raises(BundleError):
        load(copy)


def test_a_bundle_trained_with_other_surface_features_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["features"]["surface"].reverse())
    with pytest.raises(BundleError, match="other surface features"):
        load(copy)


def test_a_bundle_of_an_encoder_that_this_machine_makes_otherwise_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["encoder"].update(digest="0" * 64))
    with pytest.raises(EncoderError, match="train again here"):
        load(copy)


@pytest.fixture
def carried(router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Router, Path]:
    """A router with an ONNX encoder, and its bundle that carries it to a machine with an empty cache."""
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "cache" / "encoders" / "tiny-0"
    spec = write_tiny_encoder(directory, dim=router.encoder.spec.dim)
    with_onnx = replace(router, encoder=OnnxEncoder(directory, spec))
    save(with_onnx, tmp_path / "carried", carry_encoder=True)
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "empty"))
    return with_onnx, tmp_path / "carried"


def test_a_carried_encoder_decides_alike_where_nothing_else_is_there(
    carried: tuple[Router, Path], texts: list[str]
) -> None:
    fitted, bundle = carried
    assert load(bundle).decide_many(texts) == fitted.decide_many(texts)


@pytest.mark.parametrize("file", ["encoder.onnx", "tokenizer.json", "encoder.json"])
def test_a_carried_encoder_of_which_a_file_changed_is_refused(carried: tuple[Router, Path], file: str) -> None:
    path = carried[1] / "encoder" / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match="damaged or tampered with"):
        load(carried[1])


def test_another_encoder_in_the_place_of_the_carried_one_is_refused_although_its_hashes_are_right(
    carried: tuple[Router, Path], tmp_path: Path
) -> None:
    bundle = carried[1]
    shutil.rmtree(bundle / "encoder")
    write_tiny_encoder(bundle / "encoder", dim=carried[0].encoder.spec.dim, seed=1)
    rewrite(
        bundle,
        lambda manifest: manifest["files"].update(
            {f"encoder/{path.name}": sha256_file(path) for path in (bundle / "encoder").iterdir()}
        ),
    )
    with pytest.raises(EncoderError, match="not the one its manifest names"):
        load(bundle)


def test_a_bundle_that_carries_its_encoder_can_be_passed_on(carried: tuple[Router, Path], tmp_path: Path) -> None:
    save(load(carried[1]), tmp_path / "passed-on", carry_encoder=True)
    assert contents(tmp_path / "passed-on") == contents(carried[1])
