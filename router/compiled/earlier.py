"""What a conversation's earlier messages add to the logits, one query at a time: the numbers of `FeatureSpace`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from router.bundlefiles import Arrays
from router.compiled.layout import Floats, Stack
from router.compiled.memory import Memory
from router.earlier import brevity
from router.encoders.protocol import EncoderSpec, Matrix
from router.features import EARLIER_SCALE, PRESENT_SCALE, FeatureSpace

BLOCK = "earlier"
REMEMBERED = 4_000  # messages; 6 MB


@dataclass(frozen=True)
class EarlierLogits:
    """mean, scale: (d,) standardise what was said.   weights: (2 (d + 1), width), as the heads learned them."""

    mean: Matrix
    scale: Matrix
    weights: Matrix

    def of(self, text: str, said: Matrix) -> Floats:
        """(width,) what was said before a text adds.   said: (d,) as `earlier_rows` gives it; zeros for nothing said."""
        if not said.any():
            return np.zeros(self.weights.shape[1])
        told = np.append((said - self.mean) * self.scale, np.float32(PRESENT_SCALE)).astype(np.float64)
        often = np.concatenate([told, told * brevity([text])[0, 0]])
        added: Floats = often @ self.weights
        return added


def earlier_arrays(space: FeatureSpace, stack: Stack) -> Arrays:
    """The numbers of `EarlierLogits`; none for a router that learned without context."""
    d = space.earlier_dim
    if not d:
        return {}
    return {
        "mean": space.embedding_mean[:d],
        "scale": (np.float32(EARLIER_SCALE / np.sqrt(d)) / space.embedding_std[:d]).astype(np.float32),
        "weights": stack.block(BLOCK, 2 * (d + 1)).astype(np.float32),
    }


class Sentences:
    """A tier's sentence embeddings as an `Encoder`: each text's once, as long as it is remembered.

    embed: one text -> (dim,).
    """

    def __init__(self, embed: Callable[[str], Matrix], dim: int) -> None:
        self._embed = embed
        self._known: Memory[str, Matrix] = Memory(REMEMBERED)
        self._spec = EncoderSpec(name="tier", digest="", dim=dim, sentence_dim=dim, max_tokens=0)

    @property
    def spec(self) -> EncoderSpec:
        """Its width; it is nobody's to name."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim) for n > 0 texts."""
        return np.stack([self._one(text) for text in texts])

    def remember(self, text: str, row: Matrix) -> None:
        """Keep what is known already: a message that was decided is what the next one follows."""
        self._known.put(text, row)

    def _one(self, text: str) -> Matrix:
        row = self._known.get(text)
        if row is None:
            row = self._embed(text)
            self._known.put(text, row)
        return row
