"""Encoder, standardisation, heads and calibrations as one ONNX graph.

Inputs: `input_ids`, `attention_mask` (batch, tokens) int64, and `features` (batch, width) float64: what the blocks outside
the graph add to the logits. Outputs: `sentence` (batch, sentence_dim) float32; `near` (batch, m) float32, about its cosine
with every training query; and for every head its calibrated probabilities (batch, k) float64. From the logits on it
computes in float64, which costs nothing beside the encoder, so that the steps of an isotonic curve and the logarithms of
small probabilities stay where they were fitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.calibration import FLOOR, Calibration, Isotonic, Temperature
from router.compiled.fuse import fused
from router.compiled.layout import Layout, Stack
from router.compiled.near import quantised
from router.encoders.onnx import OUTPUT
from router.encoders.protocol import EncoderSpec, Matrix
from router.errors import EncoderError
from router.features import EMBEDDING_SCALE, SMALLEST_PROBABILITY, FeatureSpace

FEATURES, SENTENCE, NEAR = "features", "sentence", "near"
OLDEST_OPSET = 13  # ReduceSum takes its axes as an input from here on
OURS = "heads/"  # begins the name of every node that is not the encoder's

Array = npt.NDArray[Any]  # Any: each constant has its own type


def output_names(layout: Layout) -> list[str]:
    """The outputs of the graph that hold probabilities, in the order of the layout."""
    return [*(f"head.{name}" for name in layout.heads), *(f"also.{name}" for name in layout.also)]


def compile_graph(  # Any: onnx.ModelProto
    encoder: Path, spec: EncoderSpec, space: FeatureSpace, stack: Stack, reference: Matrix
) -> Any:
    """The whole graph, on top of the encoder's own in the file `encoder`.

    reference: (m, sentence_dim) unit rows that novelty is measured by. Raises EncoderError where the encoder's graph is of
    an opset before 13.
    """
    import onnx
    from onnx import TensorProto, helper

    model = fused(encoder)
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
    _calibrated(nodes, stack)
    del graph.output[:]
    nodes.add("Slice", [OUTPUT, *nodes.integers(([0], [spec.sentence_dim], [1]))], SENTENCE)
    _near(nodes, reference)
    shapes = [(SENTENCE, TensorProto.FLOAT, spec.sentence_dim), (NEAR, TensorProto.FLOAT, len(reference))]
    shapes += [(name, TensorProto.DOUBLE, k) for name, k in zip(output_names(layout), layout.sizes, strict=True)]
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
        return self.add_many(kind, inputs, [output or self._name(kind)], **attributes)[0]

    def add_many(self, kind: str, inputs: list[str], outputs: list[str], **attributes: int) -> list[str]:
        """Append one node with several outputs; their names."""
        from onnx import helper

        self._graph.node.append(helper.make_node(kind, inputs, outputs, name=self._name(kind), **attributes))
        return outputs

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


def _calibrated(nodes: _Nodes, stack: Stack) -> None:
    """Probabilities of every head: the domain's first, since its logarithms enter all the others' logits."""
    layout, logits = stack.layout, OURS + "logits"
    span, own = layout.spans[layout.domain_at], stack.calibrations[layout.domain_at]
    columns = nodes.add("Slice", [logits, *nodes.integers(([span.start], [span.stop], [1]))])
    degree = nodes.constant(np.array(_degree(own)))
    domain = nodes.add("Softmax", [nodes.add("Div", [columns, degree])], axis=-1)
    if isinstance(own, Isotonic):
        domain = _isotonic(nodes, own, domain)
    likely = nodes.add("Max", [domain, nodes.constant(np.array(SMALLEST_PROBABILITY))])
    told = nodes.add("MatMul", [nodes.add("Log", [likely]), nodes.constant(stack.domain_weights)])
    whole = nodes.add("Add", [logits, told])
    _apply(nodes, stack, whole)


def _apply(nodes: _Nodes, stack: Stack, logits: str) -> None:
    """The calibrated probabilities of all heads under their names: one softmax over a row a head, short rows filled up."""
    names, sizes, calibrations = output_names(stack.layout), stack.layout.sizes, stack.calibrations
    degrees = np.repeat([_degree(calibration) for calibration in calibrations], sizes)
    heads, k, filler = len(sizes), max(sizes), stack.layout.width
    place = np.full((heads, k), filler)
    for row, span in zip(place, stack.layout.spans, strict=True):
        row[: span.stop - span.start] = np.arange(span.start, span.stop)
    scaled = nodes.add("Div", [logits, nodes.constant(degrees)])
    filled = nodes.add("Pad", [scaled, *nodes.integers(([0, 0, 0, 1],)), nodes.constant(np.array(-np.inf))])
    rows = nodes.add("Gather", [filled, nodes.constant(place)], axis=1)
    flat = nodes.add("Flatten", [nodes.add("Softmax", [rows], axis=-1)])
    p = nodes.add("Gather", [flat, nodes.constant(np.flatnonzero(place.ravel() < filler))], axis=1)
    raw = [
        f"{OURS}raw.{name}" if isinstance(c, Isotonic) else name for name, c in zip(names, calibrations, strict=True)
    ]
    nodes.add_many("Split", [p, *nodes.integers((list(sizes),))], raw, axis=1)
    for name, calibration, source in zip(names, calibrations, raw, strict=True):
        if isinstance(calibration, Isotonic):
            nodes.add("Identity", [_isotonic(nodes, calibration, source)], name)


def _degree(calibration: Calibration) -> float:
    """What logits are divided by before the softmax. Raises TypeError for a calibration that the graph does not know."""
    if isinstance(calibration, Temperature):
        return calibration.t
    if isinstance(calibration, Isotonic):
        return 1.0
    raise TypeError(f"calibration {calibration.kind!r}")


def _near(nodes: _Nodes, reference: Matrix) -> None:
    """`near`: the products of both sides' eight bits. See `near`."""
    from onnx import TensorProto

    whole, scale = quantised(reference)
    x, step, zero = nodes.add_many(
        "DynamicQuantizeLinear", [SENTENCE], [f"{OURS}near.{name}" for name in ("x", "step", "zero")]
    )
    product = nodes.add("MatMulInteger", [x, nodes.constant(whole.T), zero])
    scales = nodes.add("Mul", [step, nodes.constant(scale)])
    nodes.add("Mul", [nodes.add("Cast", [product], to=TensorProto.FLOAT), scales], NEAR)


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
