"""Encoder, standardisation, heads and calibrations as one ONNX graph.

Inputs: `input_ids`, `attention_mask` (batch, tokens) int64, and `features` (batch, width) float64: what the blocks outside
the graph add to the logits. Outputs: `sentence` (batch, sentence_dim) float32, and for every head its calibrated
probabilities (batch, k) float64. From the logits on it computes in float64, which costs nothing beside the encoder, so
that the steps of an isotonic curve and the logarithms of small probabilities stay where they were fitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.calibration import FLOOR, Calibration, Isotonic, Temperature
from router.compiled.layout import Layout, Stack
from router.encoders.onnx import OUTPUT
from router.encoders.protocol import EncoderSpec
from router.errors import EncoderError
from router.features import EMBEDDING_SCALE, SMALLEST_PROBABILITY, FeatureSpace

FEATURES, SENTENCE = "features", "sentence"
OLDEST_OPSET = 13  # ReduceSum takes its axes as an input from here on
OURS = "heads/"  # begins the name of every node that is not the encoder's

Array = npt.NDArray[Any]  # Any: each constant has its own type


def output_names(layout: Layout) -> list[str]:
    """The outputs of the graph that hold probabilities, in the order of the layout."""
    return [*(f"head.{name}" for name in layout.heads), *(f"also.{name}" for name in layout.also)]


def compile_graph(encoder: Path, spec: EncoderSpec, space: FeatureSpace, stack: Stack) -> Any:  # Any: onnx.ModelProto
    """The whole graph, on top of the encoder's own in the file `encoder`.

    Raises EncoderError where that graph is of an opset before 13.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(encoder))
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise EncoderError(
            f"{encoder}: the encoder's graph is of opset {opset}; wanted {OLDEST_OPSET} or newer. Train again to export it anew."
        )
    graph, layout = model.graph, stack.layout
    nodes = _Nodes(graph)
    width = [helper.make_tensor_value_info(FEATURES, TensorProto.DOUBLE, ["batch", layout.width])]
    graph.input.extend(width)
    _logits(nodes, space, stack)
    probabilities = _calibrated(nodes, stack)
    del graph.output[:]
    nodes.add("Slice", [OUTPUT, *nodes.integers(([0], [spec.sentence_dim], [1]))], SENTENCE)
    shapes = [(SENTENCE, TensorProto.FLOAT, spec.sentence_dim)]
    shapes += [(name, TensorProto.DOUBLE, k) for name, k in zip(output_names(layout), layout.sizes, strict=True)]
    for value, name in zip(probabilities, output_names(layout), strict=True):
        nodes.add("Identity", [value], name)
    graph.output.extend(helper.make_tensor_value_info(name, kind, ["batch", k]) for name, kind, k in shapes)
    onnx.checker.check_model(model)
    return model


class _Nodes:
    """Appends nodes and constants to a graph under names that do not meet the encoder's."""

    def __init__(self, graph: Any) -> None:  # Any: onnx.GraphProto
        self._graph = graph
        self._count = 0

    def constant(self, array: Array) -> str:
        """The name of a constant."""
        from onnx import numpy_helper

        name = self._name("constant")
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, values: tuple[list[int], ...]) -> list[str]:
        """The names of constant int64 vectors: axes, starts, ends."""
        return [self.constant(np.array(value, dtype=np.int64)) for value in values]

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: int) -> str:
        """Append one node; the name of its output."""
        from onnx import helper

        name = self._name(kind)
        self._graph.node.append(helper.make_node(kind, inputs, [output or name], name=name, **attributes))
        return output or name

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{OURS}{what}.{self._count}"


def _logits(nodes: _Nodes, space: FeatureSpace, stack: Stack) -> None:
    """`logits` (batch, width) of all blocks but the domain's: float32 for the embedding, as it was fitted."""
    from onnx import TensorProto

    d = len(space.embedding_mean)
    centred = nodes.add("Sub", [OUTPUT, nodes.constant(space.embedding_mean)])
    scale = np.float32(EMBEDDING_SCALE / np.sqrt(d))
    rows = nodes.add("Mul", [centred, nodes.constant((scale / space.embedding_std).astype(np.float32))])
    weights = nodes.constant(stack.block("embedding", d).astype(np.float32))
    embedding = nodes.add("Cast", [nodes.add("MatMul", [rows, weights])], to=TensorProto.DOUBLE)
    with_intercept = nodes.add("Add", [embedding, nodes.constant(stack.intercept)])
    nodes.add("Add", [with_intercept, FEATURES], OURS + "logits")


def _calibrated(nodes: _Nodes, stack: Stack) -> list[str]:
    """Probabilities of every head: the domain's first, since its logarithms enter all the others' logits."""
    layout = stack.layout

    def columns(logits: str, at: int) -> str:
        span = layout.spans[at]
        return nodes.add("Slice", [logits, *nodes.integers(([span.start], [span.stop], [1]))])

    logits, at = OURS + "logits", layout.domain_at
    domain = _apply(nodes, stack.calibrations[at], columns(logits, at))
    likely = nodes.add("Max", [domain, nodes.constant(np.array(SMALLEST_PROBABILITY))])
    told = nodes.add("MatMul", [nodes.add("Log", [likely]), nodes.constant(stack.domain_weights)])
    whole = nodes.add("Add", [logits, told])
    return [
        domain if j == at else _apply(nodes, calibration, columns(whole, j))
        for j, calibration in enumerate(stack.calibrations)
    ]


def _apply(nodes: _Nodes, calibration: Calibration, logits: str) -> str:
    """A calibration's nodes. Raises TypeError for one that the graph does not know."""
    if isinstance(calibration, Temperature):
        scaled = nodes.add("Div", [logits, nodes.constant(np.array(calibration.t))])
        return nodes.add("Softmax", [scaled], axis=-1)
    if isinstance(calibration, Isotonic):
        return _isotonic(nodes, calibration, nodes.add("Softmax", [logits], axis=-1))
    raise TypeError(f"calibration {calibration.kind!r}")


def _isotonic(nodes: _Nodes, calibration: Isotonic, raw: str) -> str:
    """Each curve as its first height and the part of every rise that lies below the probability."""
    first, left, run, rise = _curves(calibration)
    last = nodes.integers(([2], [1]))
    along = nodes.add("Unsqueeze", [raw, last[0]])
    passed = nodes.add("Div", [nodes.add("Sub", [along, nodes.constant(left)]), nodes.constant(run)])
    part = nodes.add("Clip", [passed, nodes.constant(np.array(0.0)), nodes.constant(np.array(1.0))])
    risen = nodes.add("ReduceSum", [nodes.add("Mul", [part, nodes.constant(rise)]), last[0]], keepdims=0)
    height = nodes.add("Add", [risen, nodes.constant(first)])
    steps = nodes.add("Max", [height, nodes.constant(np.array(FLOOR))])
    return nodes.add("Div", [steps, nodes.add("ReduceSum", [steps, last[1]], keepdims=1)])


def _curves(calibration: Isotonic) -> tuple[Array, Array, Array, Array]:
    """(k,) first heights and (k, m) left ends, runs and rises of the pieces, short curves filled with flat ones."""
    ends = calibration.ends.tolist()
    xs, ys = (
        [knots[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)] for knots in (calibration.x, calibration.y)
    )
    shape = (len(ends), max(1, *(len(x) - 1 for x in xs)))
    left, run, rise = np.zeros(shape), np.ones(shape), np.zeros(shape)
    for j, (x, y) in enumerate(zip(xs, ys, strict=True)):
        left[j, : len(x) - 1], run[j, : len(x) - 1], rise[j, : len(x) - 1] = x[:-1], np.diff(x), np.diff(y)
    return np.array([y[0] for y in ys]), left, run, rise
