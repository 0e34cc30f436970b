"""A BERT encoder's graph with its embeddings, attentions and activations in one node each: the same rows, less overhead.

ONNX Runtime's own session optimiser misses these patterns; its offline tool for transformers finds them. Sums and biases
before a normalisation or an activation stay apart: the joint nodes are slower on one thread, and int8 products take in the
bias. What the tool makes is used only where its rows are those of the graph as exported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from router.encoders.onnx import OUTPUT
from router.encoders.protocol import Matrix

FUSED_DOMAIN = "com.microsoft"
LEFT_APART = ["SkipLayerNormFusion"]  # what a session must not join again
SAME = 1e-5  # largest difference of a coordinate; unit rows of 384 columns differ by 1e-7 where only the order of sums changed
HEAD_WIDTHS = (32, 64)  # of one attention head, in small and in full models; the wrong one changes the rows
LENGTHS = (3, 8, 21)  # tokens of the probes
SMALLEST_VOCABULARY = 1_000  # tokens that every encoder has; the probes are drawn from them


def fused(path: Path) -> Any:  # Any: onnx.ModelProto
    """The encoder in the file `path`, fused where its kind is known and nothing changes; else as it stands there."""
    import onnx

    plain = onnx.load(str(path))
    hidden = _hidden(plain)
    for width in HEAD_WIDTHS if hidden else ():
        found = _optimised(path, hidden, hidden // width)
        if found.get_fused_operator_statistics()["Attention"] and _furthest(plain, found.model) <= SAME:
            found.model.opset_import.append(onnx.helper.make_opsetid(FUSED_DOMAIN, 1))
            return found.model
    return plain


def _optimised(path: Path, hidden: int, heads: int) -> Any:  # Any: onnxruntime.transformers.onnx_model.OnnxModel
    with quiet():
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_model

        options = FusionOptions("bert")
        options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = options.enable_bias_gelu = False
        return optimize_model(
            str(path),
            model_type="bert",
            num_heads=heads,
            hidden_size=hidden,
            optimization_options=options,
            opt_level=0,
        )


def _hidden(model: Any) -> int:  # Any: onnx.ModelProto
    """The width of the first normalisation; 0 where there is none."""
    sizes = {entry.name: entry.dims for entry in model.graph.initializer}
    scales = (node.input[1] for node in model.graph.node if node.op_type == "LayerNormalization")
    return next((int(sizes[name][0]) for name in scales if name in sizes), 0)


def _furthest(one: Any, other: Any) -> float:  # Any: onnx.ModelProto
    """The largest difference between two graphs' rows for a batch of random texts of several lengths."""
    rng = np.random.default_rng(0)
    mask = np.tril(np.ones((max(LENGTHS), max(LENGTHS)), dtype=np.int64))[[length - 1 for length in LENGTHS]]
    ids = rng.integers(0, SMALLEST_VOCABULARY, size=mask.shape) * mask
    return float(np.abs(_rows(one, ids, mask) - _rows(other, ids, mask)).max())


def _rows(model: Any, ids: Any, mask: Any) -> Matrix:  # Any: onnx.ModelProto; integers
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows: Matrix = session.run([OUTPUT], {"input_ids": ids, "attention_mask": mask})[0]
    return rows


@contextmanager
def quiet() -> Iterator[None]:
    """ONNX Runtime's tools log their advice to the root logger; none of it applies here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
