"""An encoder small enough to read: its graph and its tokenizer; and how decisions are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from router.encoders.export import SPEC_FILE, graph_digest
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE
from router.encoders.protocol import EncoderSpec
from router.files import canonical_json, sha256_file
from router.types import Decision

DIM = 24


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


def furthest(ours: list[Decision], theirs: list[Decision]) -> float:
    """The largest difference between two probabilities of the same query, head and label."""
    return max(
        abs(p - two.probabilities[head][label])
        for one, two in zip(ours, theirs, strict=True)
        for head, row in one.probabilities.items()
        for label, p in row.items()
    )


def ways(decisions: list[Decision]) -> list[tuple[Any, ...]]:
    """What two decisions must share to be the same for whoever acts on them."""
    return [(entry.route, entry.rule, entry.also, entry.novelty) for entry in decisions]
