"""The two ways from tokens to a row of probabilities: through the graph, and through a table of token vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from router.compiled.choosing import OneByOne
from router.compiled.earlier import EarlierLogits
from router.compiled.fuse import LEFT_APART
from router.compiled.graph import FEATURES, NEAR, SENTENCE, output_names
from router.compiled.layout import Floats, Layout, Tail
from router.compiled.near import reference_slack, slack
from router.encoders.protocol import Matrix
from router.novelty import SLACK, Novelty
from router.policy import LabelPolicy

LEADING = 64  # of the static directions: all training queries' rows then stay in a processor's cache


class Seen(NamedTuple):
    """What a tier makes of one text.

    probabilities: (width,) of all heads.   sentence: the embedding, which messages after it are told of.   row: (d,) of
    unit length, what novelty is measured on.   about: (m,) its cosines with the training queries, each within `slack`.
    """

    probabilities: Floats
    sentence: Matrix
    row: Matrix
    about: Matrix
    slack: float


class Scores(Protocol):
    """One text in, all heads' probabilities out. Two threads may ask at once."""

    def __call__(self, ids: list[int], logits: Floats) -> Seen:
        """What is seen in a text.   ids: its tokens.   logits: (width,) what the blocks outside add."""

    def sentence(self, ids: list[int]) -> Matrix:
        """The embedding alone."""


class GraphScores:
    """The compiled graph in a session of one thread.

    reference: (m, d) the rows that novelty is measured by, of which the graph holds an eight-bit copy.
    """

    def __init__(self, path: Path, layout: Layout, reference: Matrix) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=LEFT_APART
        )
        self._outputs = [SENTENCE, NEAR, *output_names(layout)]
        self._nothing = np.zeros(layout.width)
        self._slack = reference_slack(reference)

    def __call__(self, ids: list[int], logits: Floats) -> Seen:
        """See Scores."""
        sentence, near, *probabilities = self._run(self._outputs, ids, logits)
        row = sentence[0]
        return Seen(np.concatenate(probabilities, axis=1)[0], row, row, near[0], slack(row, self._slack))

    def sentence(self, ids: list[int]) -> Matrix:
        """See Scores."""
        row: Matrix = self._run([SENTENCE], ids, self._nothing)[0][0]
        return row

    def _run(self, outputs: list[str], ids: list[int], logits: Floats) -> list[npt.NDArray[np.floating]]:
        tokens = np.array([ids], dtype=np.int64)
        inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), FEATURES: logits[None]}
        found: list[npt.NDArray[np.floating]] = self._session.run(outputs, inputs)
        return found


@dataclass(frozen=True)
class StaticScores:
    """Linear heads on the mean of token vectors.

    vectors: (vocabulary, d) float16, weighted already.   mean, scale: (d,) standardise.   weights: (d, width).
    intercept: (width,).   reference: (m, LEADING) the rows that novelty is measured by.
    """

    vectors: npt.NDArray[np.float16]
    mean: Matrix
    scale: Matrix
    weights: Matrix
    intercept: Floats
    tail: Tail
    reference: Matrix

    @cached_property
    def _folded(self) -> tuple[Matrix, Floats]:
        """Weights and intercept for a row that was not standardised."""
        weights = self.scale[:, None] * self.weights
        return weights, self.intercept - (self.mean @ weights)

    def __call__(self, ids: list[int], logits: Floats) -> Seen:
        """See Scores."""
        row, (weights, intercept) = self.sentence(ids), self._folded
        lead = leading(row)
        whole = (row @ weights + intercept + logits)[None]
        return Seen(self.tail.probabilities(whole)[0], row, lead, self.reference @ lead, SLACK)

    def sentence(self, ids: list[int]) -> Matrix:
        """See Scores."""
        return pooled(self.vectors, ids)


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

    also: the P(yes) from which a further desk is named, in the order of the layout.   earlier: what earlier messages add;
    None where it learned without.   answers_above: the confidence from which its decision stands; 0 for the tier that
    answers whatever is left.
    """

    name: str
    layout: Layout
    scores: Scores
    novelty: Novelty
    policy: LabelPolicy
    also: tuple[float, ...]
    earlier: EarlierLogits | None = None
    answers_above: float = 0.0

    @cached_property
    def choosing(self) -> OneByOne:
        """The policy for one query at a time."""
        return OneByOne(self.layout, self.policy, self.also)
