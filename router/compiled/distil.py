"""Token vectors distilled from an encoder, and the encoder that they make: a weighted mean, no transformer.

Every token of the vocabulary runs through the encoder alone; its sentence embedding, cut to its principal directions, is
the token's vector. Frequent tokens weigh less. Sources: Arora et al., 2017 (the weights a / (a + p) and removing what all
vectors share); model2vec (tokens through the encoder, principal directions).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.compiled.tiers import pooled
from router.encoders.onnx import GRAPH_FILE, OUTPUT, TOKENIZER_FILE
from router.encoders.protocol import EncoderSpec, Matrix
from router.files import sha256_bytes

DIM = 256
RARE = 1e-3  # SIF's a: a token of this share of all tokens weighs half as much as one that never came
TOKENS_AT_ONCE = 256
NAME = "static"


class StaticEncoder:
    """Weighted means of token vectors, as an `Encoder`: what the static tier's heads are fitted on."""

    def __init__(self, vectors: npt.NDArray[np.float16], tokenizer: Any, max_tokens: int) -> None:  # Any: has no types
        self.vectors = vectors
        self._tokenizer = tokenizer
        dim = vectors.shape[1]
        self._spec = EncoderSpec(
            name=NAME, digest=sha256_bytes(vectors.tobytes()), dim=dim, sentence_dim=dim, max_tokens=max_tokens
        )

    @property
    def spec(self) -> EncoderSpec:
        """Who this is."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim) unit rows."""
        rows = [pooled(self.vectors, self._tokenizer.encode(text).ids) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._spec.dim), dtype=np.float32)


def distil(directory: Path, spec: EncoderSpec, texts: Sequence[str]) -> StaticEncoder:
    """Distil the exported encoder in `directory`; the frequencies of tokens are those of `texts`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=spec.max_tokens)
    n = tokenizer.get_vocab_size()
    frame = tokenizer.encode("").ids  # what the tokenizer puts around every text
    rows = _alone(directory / GRAPH_FILE, n, frame, spec.sentence_dim)
    counts = np.bincount([i for text in texts for i in tokenizer.encode(text).ids], minlength=n)
    vectors = _principal(rows, DIM) * _weights(counts, frame)[:, None]
    return StaticEncoder(vectors.astype(np.float16), tokenizer, spec.max_tokens)


def _alone(graph: Path, n: int, frame: list[int], width: int) -> Matrix:
    """(n, width) the sentence embedding of each token between the two halves of the frame."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    half = (len(frame) + 1) // 2
    rows = np.empty((n, width), dtype=np.float32)
    for start in range(0, n, TOKENS_AT_ONCE):
        tokens = np.arange(start, min(start + TOKENS_AT_ONCE, n))[:, None]
        before, after = (
            np.tile(np.array(part, dtype=np.int64), (len(tokens), 1)) for part in (frame[:half], frame[half:])
        )
        ids = np.hstack([before, tokens, after]).astype(np.int64)
        out = session.run([OUTPUT], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        rows[start : start + len(tokens)] = out[:, :width]
    return rows


def _principal(rows: Matrix, dim: int) -> Matrix:
    """(n, min(dim, d)) the rows without their mean, along the directions in which they differ most."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found: Matrix = (centred @ axes[:, ::-1][:, :dim]).astype(np.float32)
    return found


def _weights(counts: npt.NDArray[np.integer[Any]], frame: list[int]) -> Matrix:
    """(n,) what a token counts in a mean; the frame stands around every text and so counts nothing."""
    counts = counts.copy()
    counts[frame] = 0
    weights = RARE / (RARE + counts / max(1, counts.sum()))
    weights[frame] = 0.0
    found: Matrix = weights.astype(np.float32)
    return found
