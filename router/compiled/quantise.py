"""The graph with int8 weights: the encoder's matrix products, scaled per output channel, inputs scaled as they come.

The heads stay in float32: they are small, and their logits are what the thresholds cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.compiled.graph import OURS


def quantise(source: Path, target: Path) -> None:
    """Write the int8 form of the compiled graph `source` to the file `target`."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ours = [node.name for node in onnx.load(str(source)).graph.node if node.name.startswith(OURS)]
    with _quiet():
        quantize_dynamic(
            str(source),
            str(target),
            per_channel=True,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # 7 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=ours,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs its advice to the root logger; none of it applies here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
