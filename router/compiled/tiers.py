"""The two ways to a row of probabilities: through the graph, and through a table of token vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from router.compiled.graph import FEATURES, SENTENCE, output_names
from router.compiled.layout import Floats, Layout, Tail
from router.encoders.protocol import Matrix
from router.novelty import Novelty
from router.policy import LabelPolicy

LEADING = 64  # of the static directions: all training queries' rows then stay in a processor's cache


class Scores(Protocol):
    """One text in, all heads' probabilities out."""

    def __call__(self, ids: list[int], logits: Floats) -> tuple[Floats, Matrix]:
        """(width,) probabilities and the (d,) unit row that novelty is measured on.

        ids: the text's tokens.   logits: (width,) what the blocks outside add.
        """


class GraphScores:
    """The compiled graph in a session of one thread."""

    def __init__(self, path: Path, layout: Layout) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._outputs = [SENTENCE, *output_names(layout)]

    def __call__(self, ids: list[int], logits: Floats) -> tuple[Floats, Matrix]:
        """(width,) probabilities and the (d,) sentence embedding."""
        tokens = np.array([ids], dtype=np.int64)
        inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), FEATURES: logits[None]}
        sentence, *probabilities = self._session.run(self._outputs, inputs)
        return np.concatenate([p[0] for p in probabilities]), sentence[0]


@dataclass(frozen=True)
class StaticScores:
    """Linear heads on the mean of token vectors.

    vectors: (vocabulary, d) float16, weighted already.   mean, scale: (d,) standardise.   weights: (d, width).
    intercept: (width,).
    """

    vectors: npt.NDArray[np.float16]
    mean: Matrix
    scale: Matrix
    weights: Matrix
    intercept: Floats
    tail: Tail

    def __call__(self, ids: list[int], logits: Floats) -> tuple[Floats, Matrix]:
        """(width,) probabilities and the unit row of the leading directions."""
        row = pooled(self.vectors, ids)
        embedding = ((row - self.mean) * self.scale) @ self.weights
        return self.tail.probabilities((embedding + self.intercept + logits)[None])[0], leading(row)


def pooled(vectors: npt.NDArray[np.float16], ids: list[int]) -> Matrix:
    """(d,) the unit mean of the tokens' vectors; the first unit vector where they cancel out."""
    return _unit(vectors[ids].astype(np.float32).sum(axis=0))


def leading(row: Matrix) -> Matrix:
    """The unit row of the first directions, which tell most: what the static tier measures novelty on."""
    return _unit(row[:LEADING].copy())


def _unit(row: Matrix) -> Matrix:
    length = np.sqrt(row @ row)
    if length == 0:
        row[0] = length = np.float32(1.0)
    unit: Matrix = row / length
    return unit


@dataclass(frozen=True)
class Tier:
    """A way to probabilities with the thresholds that belong to it: another encoder's are not interchangeable.

    also: the P(yes) from which a further desk is named, in the order of the layout.
    answers_above: the confidence from which its decision stands; 0 for the tier that answers whatever is left.
    """

    name: str
    scores: Scores
    novelty: Novelty
    policy: LabelPolicy
    also: tuple[float, ...]
    answers_above: float = 0.0
