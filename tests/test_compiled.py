"""Compiled forms: the fitted router's decisions from one graph, verified when loaded, fast where that loses nothing."""

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

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import router.compiled.static as static_tier
from router.bundle import load as load_bundle
from router.bundle import save
from router.calibration import Isotonic
from router.compiled import CompiledRouter, load
from router.compiled.export import export
from router.compiled.files import STATIC
from router.compiled.making import Parts
from router.compiled_commands import register
from router.dataset import Dataset
from router.encoders.export import SPEC_FILE, graph_digest
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE, OnnxEncoder
from router.encoders.protocol import EncoderSpec
from router.errors import BundleError, PolicyError
from router.files import canonical_json, sha256_file
from router.heads import Head
from router.lexicon import Lexicon
from router.pipeline import Router
from router.routes import RouteTable
from router.training import fit, splits_for_training
from router.types import Decision
from tests.conftest import PAM

DIM = 24
ALONE = """
import json, sys
before = set(sys.modules)
from pathlib import Path
from router.compiled import load
assert load(Path({form!r})).decide("where is my refund?").route
names = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names) - {{"router"}}
print(json.dumps(sorted(name for name in names if not name.startswith("_"))))
"""


def write_encoder(directory: Path, texts: list[str]) -> EncoderSpec:
    """A graph with one matrix product over random word vectors: unit mean, then maximum, as an exported encoder's rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    splitter = Whitespace()
    words = sorted({word for text in texts for word, _ in splitter.pre_tokenize_str(text)})
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(words) + 1, DIM)).astype(np.float32)
    mixing = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].astype(np.float32)
    steps = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["words"]),
        helper.make_node("MatMul", ["words", "mixing"], ["mixed"], name="mix"),
        helper.make_node("ReduceMean", ["mixed"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("ReduceL2", ["mean"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Div", ["mean", "length"], ["unit"]),
        helper.make_node("ReduceMax", ["mixed"], ["peak"], axes=[1], keepdims=0),
        helper.make_node("Concat", ["unit", "peak"], ["embedding"], axis=1),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    rows = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 2 * DIM])]
    constants = [numpy_helper.from_array(vectors, "vectors"), numpy_helper.from_array(mixing, "mixing")]
    graph = helper.make_graph(steps, "tiny", ids, rows, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(directory / GRAPH_FILE)
    )
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0} | {word: i + 1 for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.save(str(directory / TOKENIZER_FILE))
    digest = graph_digest(sha256_file(directory / GRAPH_FILE), sha256_file(directory / TOKENIZER_FILE), 64)
    spec = EncoderSpec(name="tiny", digest=digest, dim=2 * DIM, sentence_dim=DIM, max_tokens=64)
    (directory / SPEC_FILE).write_text(canonical_json(spec.to_mapping()))
    return spec


@pytest.fixture(scope="module")
def fitted(small: Dataset, table: RouteTable, lexicon: Lexicon, tmp_path_factory: pytest.TempPathFactory) -> Router:
    """Fitted on the small data with an encoder that has a graph."""
    directory = tmp_path_factory.mktemp("tiny")
    encoder = OnnxEncoder(directory, write_encoder(directory, small.split("train").texts))
    return fit(splits_for_training(small), table, encoder, lexicon=lexicon, seed=0)


@pytest.fixture(scope="module")
def parts(small: Dataset) -> Parts:
    return Parts(calibration=small.split("calibration"), test=small.split("test"))


@pytest.fixture(scope="module")
def form(fitted: Router, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled form with everything in it; so few queries resolve no loss, so the static tier is let in by hand."""
    target = tmp_path_factory.mktemp("forms") / "form"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_tier, "MOST_LOST", 1.0)
        export(fitted, target, source_id="small", parts=parts, precisions=("fp32", "int8"), static=True)
    return target


@pytest.fixture
def copy(form: Path, tmp_path: Path) -> Path:
    """A form that a test may spoil."""
    return Path(shutil.copytree(form, tmp_path / "copy"))


@pytest.fixture(scope="module")
def exact(form: Path) -> CompiledRouter:
    """The form in single precision, without the static tier."""
    return load(form, precision="fp32", static=False)


@pytest.fixture(scope="module")
def texts(parts: Parts) -> list[str]:
    return parts.test.texts


def furthest(ours: list[Decision], theirs: list[Decision]) -> float:
    """The largest difference between two probabilities of the same query, head and label."""
    return max(
        abs(p - two.probabilities[head][label])
        for one, two in zip(ours, theirs, strict=True)
        for head, row in one.probabilities.items()
        for label, p in row.items()
    )


def ways(decisions: list[Decision]) -> list[tuple[Any, ...]]:
    return [(entry.route, entry.rule, entry.also, entry.novelty) for entry in decisions]


def stepped(head: Head) -> Head:
    """The same head with a curve of three knots a class: neither flat nor straight."""
    k = len(head.classes)
    x = np.tile([0.1, 0.45, 0.9], k)
    y = np.tile([0.0, 0.3, 0.95], k) + np.repeat(np.arange(k), 3) * 0.01
    return replace(head, calibration=Isotonic(x, y, np.arange(3, 3 * k + 1, 3)))


def test_the_graph_decides_every_query_as_the_fitted_router_does(
    fitted: Router, exact: CompiledRouter, texts: list[str]
) -> None:
    ours, theirs = exact.decide_many(texts), fitted.decide_many(texts)
    assert ways(ours) == ways(theirs)
    assert furthest(ours, theirs) <= 1e-5


def test_isotonic_curves_are_followed_in_the_graph_the_domains_among_them(
    fitted: Router, parts: Parts, texts: list[str], tmp_path: Path
) -> None:
    curved = replace(fitted, heads={name: stepped(head) for name, head in fitted.heads.items()})
    export(curved, tmp_path / "curved", source_id="x", parts=parts, precisions=("fp32",), static=False)
    ours, theirs = load(tmp_path / "curved").decide_many(texts), curved.decide_many(texts)
    assert ways(ours) == ways(theirs)
    assert furthest(ours, theirs) <= 1e-5


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_decision_depends_on_its_own_text_alone(form: Path, texts: list[str], precision: Any) -> None:
    order = np.random.default_rng(0).permutation(len(texts)).tolist()
    together = load(form, precision=precision, remember=0).decide_many([texts[i] for i in order])
    alone = load(form, precision=precision, remember=0)
    assert together == [alone.decide(texts[i]) for i in order]


def test_the_static_tier_answers_where_it_is_sure_and_the_graph_everywhere_else(form: Path, texts: list[str]) -> None:
    both, graph = load(form, precision="fp32"), load(form, precision="fp32", static=False)
    first = both.decisions(both.read(texts, tier=0))
    sure = [decision.confidence >= both.tiers[0].answers_above for decision in first]
    careful = [decision.rule in ("novel", "danger", "unsure") for decision in first]
    expected = [
        one if kept and not care else other
        for one, other, kept, care in zip(first, graph.decide_many(texts), sure, careful, strict=True)
    ]
    assert both.decide_many(texts) == expected
    assert 0 < sum(sure) < len(texts)


def test_a_static_tier_that_may_lose_too_much_is_left_out_and_the_card_says_so(
    fitted: Router, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_tier, "MOST_LOST", -1.0)
    manifest = export(fitted, tmp_path / "f", source_id="x", parts=parts, precisions=("fp32",), static=True)
    assert STATIC not in manifest["tiers"]
    assert "static tier: left out" in (tmp_path / "f" / "CARD.md").read_text()
    assert len(load(tmp_path / "f").tiers) == 1


def test_int8_has_thresholds_and_novelty_of_its_own(form: Path, fitted: Router, parts: Parts) -> None:
    quick = load(form, precision="int8", static=False)
    rows = quick.rows(parts.calibration.texts)
    own = np.sort(fitted.novelty.distance(rows.rows))
    assert np.array_equal(quick.tiers[0].novelty.calibration, own)
    assert quick.tiers[0].policy.threshold != fitted.policy.threshold


def test_the_card_gives_agreement_and_accuracy_with_intervals(form: Path) -> None:
    card = (form / "CARD.md").read_text()
    for name in ("fitted", "fp32", "int8", "static+fp32", "static+int8"):
        assert f"| {name} | 150 |" in card or f"| {name} | 15" in card
        assert f"| {name} | route |" in card
    assert "| fp32 | route | " in card
    assert "0.000 [0.000, 0.000]" in card


def test_a_decision_is_remembered_by_its_text_and_the_oldest_is_forgotten(form: Path) -> None:
    router = load(form, remember=2)
    first = router.decide("where is my refund?")
    assert router.decide("where is my refund?") is first
    router.decide("plan a trip")
    router.decide("hello")
    again = router.decide("where is my refund?")
    assert again is not first
    assert again == first


def test_a_text_that_is_no_query_is_refused(exact: CompiledRouter) -> None:
    with pytest.raises(PolicyError, match="query 2 of 2 is empty"):
        exact.decide_many(["hello", "  "])


def test_no_texts_give_no_decisions(exact: CompiledRouter) -> None:
    assert exact.decide_many([]) == []


def test_a_form_loads_without_any_training_library(form: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(form=str(form))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    assert set(json.loads(done.stdout)) == {"numpy", "onnxruntime", "safetensors", "tokenizers"}


def test_the_same_router_compiles_to_the_same_bytes(fitted: Router, parts: Parts, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(fitted, tmp_path / name, source_id="x", parts=parts, precisions=("fp32", "int8"), static=False)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_every_file_is_one_that_executes_nothing(form: Path) -> None:
    assert {path.suffix for path in form.iterdir()} == {".json", ".md", ".onnx", ".safetensors"}


@pytest.mark.parametrize(
    "file", ["graph-int8.onnx", "graph-fp32.onnx", "weights.safetensors", "tokenizer.json", "ngrams.json", "CARD.md"]
)
def test_a_changed_byte_is_refused(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(BundleError, match="damaged or tampered with"):
        load(copy)


def rewrite(form: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((form / "manifest.json").read_text())
    change(manifest)
    (form / "manifest.json").write_text(json.dumps(manifest))


def test_a_newer_schema_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(schema_version=99))
    with pytest.raises(BundleError, match="schema 99 is newer"):
        load(copy)


@pytest.mark.parametrize("key", ["tiers", "heads", "routes", "also", "card", "static"])
def test_a_manifest_that_lacks_a_part_is_refused(copy: Path, key: str) -> None:
    rewrite(copy, lambda manifest: manifest.pop(key))
    with pytest.raises(BundleError, match="export"):
        load(copy)


def test_a_precision_that_is_not_there_is_refused_with_the_command(
    fitted: Router, parts: Parts, tmp_path: Path
) -> None:
    export(fitted, tmp_path / "f", source_id="x", parts=parts, precisions=("int8",), static=False)
    with pytest.raises(BundleError, match=r"no graph in fp32 \(there is int8\).*--precision both"):
        load(tmp_path / "f", precision="fp32")


def test_a_bundle_and_a_form_are_not_taken_for_each_other(bundle: Path, form: Path) -> None:
    with pytest.raises(BundleError, match="holds a router by labels"):
        load(bundle)
    with pytest.raises(BundleError, match="holds a router by compiled"):
        load_bundle(form)


def test_a_router_whose_encoder_has_no_graph_is_refused(router: Router, parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="`hashing`, which has no graph"):
        export(router, tmp_path / "f", source_id="x", parts=parts, precisions=("fp32",), static=False)


def test_a_bundle_is_not_overwritten_by_its_own_form(fitted: Router, parts: Parts, bundle: Path) -> None:
    with pytest.raises(BundleError, match="is no compiled router"):
        export(fitted, bundle, source_id="x", parts=parts, precisions=("fp32",), static=False)


def test_an_empty_split_is_refused(fitted: Router, parts: Parts, tmp_path: Path) -> None:
    empty = replace(parts, calibration=parts.calibration.split("none"))
    with pytest.raises(BundleError, match="no query with split = 'calibration'"):
        export(fitted, tmp_path / "f", source_id="x", parts=empty, precisions=("fp32",), static=False)


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_the_command_compiles_a_bundle_and_writes_its_figures(
    command: typer.Typer, fitted: Router, small: Dataset, tmp_path: Path
) -> None:
    from router.dataset import write_queries

    save(fitted, tmp_path / "bundle", carry_encoder=True)
    (tmp_path / "some.jsonl").write_text(write_queries(small.queries), encoding="utf-8")
    shutil.copyfile(PAM / "card.toml", tmp_path / "card.toml")
    arguments = ["export", str(tmp_path / "bundle"), "--out", str(tmp_path / "f"), "--precision", "fp32", "--no-static"]
    arguments += ["--data", str(tmp_path / "some.jsonl"), "--json", str(tmp_path / "figures.json")]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["measured"]["fp32"]["decisions_equal"]["share"] == 1.0


def test_the_command_refuses_a_router_over_models(command: typer.Typer, copy: Path, tmp_path: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(kind="outcomes"))
    done = CliRunner().invoke(command, ["export", str(copy), "--out", str(tmp_path / "f")])
    assert isinstance(done.exception, BundleError)
    assert "holds a router by outcomes; `export` compiles one by labels" in str(done.exception)
