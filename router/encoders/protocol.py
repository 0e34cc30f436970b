"""What an encoder is. `tests/conformance/encoder.py` runs any implementation through these promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """Which encoder made a vector, down to the bytes.

    name: what `--encoder` took. digest: of everything that decides the vector (graph, tokenizer, cut); vectors with
    equal digests are interchangeable, others never. weights_sha256: of the source weights, None where there are none.
    dim: width of a row. sentence_dim: its first columns, which are the sentence embedding of unit length and the
    measure of likeness; the columns after them are further views from the same pass, for classifiers only.
    """

    name: str
    digest: str
    dim: int
    sentence_dim: int
    max_tokens: int
    weights_sha256: str | None = None

    def to_mapping(self) -> dict[str, Any]:
        """The JSON form that a manifest carries."""
        return asdict(self)


def sentence_part(rows: Matrix, spec: EncoderSpec) -> Matrix:
    """(n, sentence_dim) the unit-length sentence embeddings within rows of that encoder."""
    return rows[:, : spec.sentence_dim]


class Encoder(Protocol):
    """Turns n texts into an (n, dim) float32 matrix.

    A text's row depends on that text alone, bit for bit: not on its neighbours, their order, or the thread count.
    """

    @property
    def spec(self) -> EncoderSpec:
        """Who this is."""

    def encode(self, texts: Sequence[str]) -> Matrix:
        """The (n, dim) rows; (0, dim) for no texts."""
