"""What a command loads is what it needs: heavy libraries cost seconds, and a server should not need them at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"mlflow", "onnxruntime", "pandas", "scipy", "sentence_transformers", "sklearn", "torch", "transformers"}
WATCH = """
import json, sys
before = set(sys.modules)
{body}
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
names -= set(sys.stdlib_module_names) | {{"cli", "serve", "router", "eval", "agents"}}
print(json.dumps(sorted(name for name in names if not name.startswith("_"))), file=sys.stderr)
"""
VERB = """
sys.argv = {argv}
import cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
"""
DECIDE = """
from pathlib import Path
from router.bundle import load
assert load(Path({bundle!r})).decide("where is my refund?").route
"""
EMBED = """
from pathlib import Path
from router.encoders.onnx import OnnxEncoder
from router.encoders.protocol import EncoderSpec
spec = EncoderSpec(name="tiny", digest="0", dim=2, sentence_dim=2, max_tokens=8)
assert OnnxEncoder(Path({directory!r}), spec).encode(["a b"]).tolist() == [[0.5, 1.0]]
"""


def third_party(body: str) -> tuple[set[str], str]:
    """The top-level modules of others that a fresh interpreter loads for `body`, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(body=body)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    return set(json.loads(done.stderr.splitlines()[-1])), done.stdout


def verb(*arguments: str) -> tuple[set[str], str]:
    return third_party(VERB.format(argv=["weighbridge", *arguments]))


@pytest.fixture(scope="module")
def tiny_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX encoder of two words: the mean of their vectors, [1, 0] and [0, 2]."""
    import onnx
    from onnx import TensorProto, helper
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    directory = tmp_path_factory.mktemp("tiny")
    sizes = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, sizes) for name in ("input_ids", "attention_mask")]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["vectors", "input_ids"], ["words"]),
            helper.make_node("ReduceMean", ["words"], ["embedding"], axes=[1], keepdims=0),
        ],
        "tiny",
        inputs,
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor("vectors", TensorProto.FLOAT, [2, 2], [1.0, 0.0, 0.0, 2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, str(directory / "encoder.onnx"))
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory


def test_help_loads_nothing_but_the_command_line() -> None:
    modules, _ = verb("--help")
    assert modules == {"annotated_doc", "shellingham", "typer"}


def test_help_answers_with_the_verbs() -> None:
    _, said = verb("--help")
    assert {"train", "evaluate", "route", "demo"} <= set(said.split())


@pytest.mark.parametrize("name", ["train", "evaluate", "replay", "verify", "compare", "report", "route", "doctor"])
def test_the_help_of_a_verb_loads_no_arrays(name: str) -> None:
    modules, _ = verb(name, "--help")
    assert not modules & (HEAVY | {"numpy"})


def test_a_bundle_is_loaded_and_decides_with_arrays_alone(bundle: Path) -> None:
    modules, _ = third_party(DECIDE.format(bundle=str(bundle)))
    assert modules == {"numpy", "safetensors"}


def test_the_encoder_needs_the_onnx_runtime_and_its_tokenizer_alone(tiny_graph: Path) -> None:
    modules, _ = third_party(EMBED.format(directory=str(tiny_graph)))
    assert modules == {"numpy", "onnxruntime", "tokenizers"}


@pytest.mark.parametrize("arguments", [["route", "where is my refund?", "--explain"], ["inspect"]])
def test_a_decision_on_the_command_line_loads_nothing_heavy(bundle: Path, arguments: list[str]) -> None:
    place = [str(bundle)] if arguments == ["inspect"] else ["--bundle", str(bundle)]
    modules, _ = verb(*arguments, *place)
    assert not modules & HEAVY


def test_replaying_loads_nothing_heavy(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"id": "a", "text": "where is my refund?"}\n', encoding="utf-8")
    modules, _ = verb(
        "replay", "--bundle", str(bundle), "--data", str(tmp_path / "one.jsonl"), "--out", str(tmp_path / "run")
    )
    assert not modules & HEAVY
