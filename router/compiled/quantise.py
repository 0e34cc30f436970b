"""The graph with int8 weights: the encoder's matrix products, scaled per output column, inputs scaled as they come.

Three things keep the rounding small, all found on training queries: input columns that reach far beyond the others are
drawn in (their weights grow instead, so that the product stays), and weights are rounded one input column after the other,
the columns still to come making good for what was lost so far. Sources: Xiao et al., 2023, SmoothQuant; Frantar et al.,
2023, GPTQ. The heads stay as they are: they are small, and their logits are what the thresholds cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.compiled.fuse import FUSED_DOMAIN
from router.compiled.graph import OURS

LARGEST = 64  # 7 bits and a bit: processors without VNNI add pairs of products in 16 bits, which 8 would overflow
TYPICAL = 0.9  # quantile of the columns' reaches beyond which a column is drawn in
DAMPING = 0.01  # of the mean diagonal, added to it: columns that hardly vary must not make good for others
BLOCK = 128  # input columns between two passes over all that are still to come
TEXTS_AT_ONCE = 32
PRODUCTS = ("MatMul", "Attention")

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]  # Any: each constant has its own type


@dataclass
class Inputs:
    """What came into a matrix product.   reach: (d,) largest magnitudes.   gram: (d, d) sums of products of columns."""

    reach: Floats
    gram: Floats


def quantise(source: Path, target: Path, tokens: Sequence[list[int]]) -> None:
    """Write the int8 form of the compiled graph `source` to the file `target`.   tokens: of n > 0 training queries."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    graph = model.graph
    weights = {entry.name: entry for entry in graph.initializer if len(entry.dims) == 2}
    products = [
        node
        for node in graph.node
        if node.op_type in PRODUCTS and not node.name.startswith(OURS) and node.input[1] in weights
    ]
    seen = _inputs(model, sorted({node.input[0] for node in products}), tokens)
    made = _Made(graph)
    nodes = []
    chosen = {node.output[0] for node in products}
    for node in graph.node:
        if node.output[0] in chosen:
            entry = weights[node.input[1]]
            nodes += made.product(node, numpy_helper.to_array(entry), seen[node.input[0]])
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for entry in [entry for entry in graph.initializer if entry.name not in used]:
        graph.initializer.remove(entry)
    onnx.save(model, str(target))


def _inputs(model: Any, names: list[str], tokens: Sequence[list[int]]) -> dict[str, Inputs]:  # Any: onnx.ModelProto
    """What the products see when the graph reads the texts."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    seen: dict[str, Inputs] = {}
    for rows in _read(watched, names, tokens):
        for name, found in rows.items():
            reach, gram = np.abs(found).max(axis=0).astype(np.float64), (found.T @ found).astype(np.float64)
            if name in seen:
                seen[name] = Inputs(np.maximum(seen[name].reach, reach), seen[name].gram + gram)
            else:
                seen[name] = Inputs(reach, gram)
    return seen


def _read(model: Any, names: list[str], tokens: Sequence[list[int]]) -> Iterator[dict[str, Any]]:
    """Name -> (tokens of some texts, d), some texts at a time.   Any: onnx.ModelProto, arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    width = next(entry.shape[1] for entry in session.get_inputs() if entry.name == "features")
    for start in range(0, len(tokens), TEXTS_AT_ONCE):
        found = []
        for ids in tokens[start : start + TEXTS_AT_ONCE]:
            row = np.array([ids], dtype=np.int64)
            inputs = {"input_ids": row, "attention_mask": np.ones_like(row), "features": np.zeros((1, width))}
            found.append(session.run(names, inputs))
        yield {
            name: np.concatenate([one[j].reshape(-1, one[j].shape[-1]) for one in found])
            for j, name in enumerate(names)
        }


class _Made:
    """Makes the nodes of int8 products; what several products read is drawn in and rounded once."""

    def __init__(self, graph: Any) -> None:  # Any: onnx.GraphProto
        self._graph = graph
        self._rounded: set[str] = set()

    def product(self, node: Any, weights: Array, seen: Inputs) -> list[Any]:  # Any: onnx.NodeProto
        """The nodes that take the place of one."""
        from onnx import TensorProto, helper

        x, made = node.input[0], []
        shrink = drawn_in(seen.reach)
        if x not in self._rounded:
            self._rounded.add(x)
            made.append(
                helper.make_node("Mul", [x, self._constant(f"{x}.shrink", 1 / shrink, np.float32)], [f"{x}.drawn"])
            )
            made.append(
                helper.make_node("DynamicQuantizeLinear", [f"{x}.drawn"], [f"{x}.int", f"{x}.step", f"{x}.zero"])
            )
        whole, scale = rounded(weights * shrink[:, None], seen.gram / np.outer(shrink, shrink))
        name = node.input[1]
        whole_name, scale_name = (
            self._constant(f"{name}.int", whole, np.int8),
            self._constant(f"{name}.scale", scale, np.float32),
        )
        if node.op_type == "Attention":
            zero = self._constant(f"{name}.zero", np.zeros(len(scale)), np.int8)
            inputs = [f"{x}.int", whole_name, node.input[2], f"{x}.step", scale_name, node.input[3], f"{x}.zero", zero]
            attention = helper.make_node("QAttention", inputs, list(node.output), name=node.name, domain=FUSED_DOMAIN)
            attention.attribute.extend(node.attribute)
            return [*made, attention]
        y = node.output[0]
        return [
            *made,
            helper.make_node("MatMulInteger", [f"{x}.int", whole_name, f"{x}.zero"], [f"{y}.int"], name=node.name),
            helper.make_node("Cast", [f"{y}.int"], [f"{y}.float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{x}.step", scale_name], [f"{y}.step"]),
            helper.make_node("Mul", [f"{y}.float", f"{y}.step"], [y]),
        ]

    def _constant(self, name: str, array: Array, kind: Any) -> str:  # Any: a NumPy type
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array.astype(kind)), name))
        return name


def drawn_in(reach: Floats) -> Floats:
    """(d,) what each input column is divided by: 1, but more for one that reaches beyond the typical reach.

    >>> drawn_in(np.array([1.0] * 19 + [4.0])).tolist()[-2:]
    [1.0, 4.0]
    """
    typical = np.quantile(reach, TYPICAL)
    return np.maximum(reach / typical, 1.0) if typical > 0 else np.ones_like(reach)


def rounded(weights: Array, gram: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """(d, n) whole numbers and the (n,) scales that they are to be multiplied by.

    weights: (d, n).   gram: (d, d) of the inputs: where columns move together, one makes good for the rounding of another.
    """
    largest = np.abs(weights).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0) / LARGEST
    order = np.argsort(-np.diag(gram), kind="stable")
    left = weights[order].astype(np.float64)
    whole = np.empty(left.shape, dtype=np.int8)
    upper = _inverse_root(gram[np.ix_(order, order)])
    for start in range(0, len(left), BLOCK):
        part = slice(start, min(start + BLOCK, len(left)))
        lost = np.empty_like(left[part])
        for i in range(part.start, part.stop):
            whole[i] = np.clip(np.rint(left[i] / scale), -LARGEST, LARGEST)
            lost[i - start] = (left[i] - whole[i] * scale) / upper[i, i]
            left[i + 1 : part.stop] -= np.outer(upper[i, i + 1 : part.stop], lost[i - start])
        left[part.stop :] -= upper[part, part.stop :].T @ lost
    back = np.empty_like(whole)
    back[order] = whole
    return back, scale


def _inverse_root(gram: Floats) -> Floats:
    """The upper triangular U with UᵀU the inverse of the damped gram matrix."""
    damped = gram + np.eye(len(gram)) * (DAMPING * np.diag(gram).mean() + np.finfo(float).tiny)
    root: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T
    return root
