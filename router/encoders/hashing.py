"""An encoder without weights: signed hashing of words and character 3-grams. For tests, and for the curious."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from router.encoders.protocol import EncoderSpec, Matrix
from router.files import sha256_bytes


class HashingEncoder:
    """Deterministic on every machine, needs no download, knows no meaning: only which words and trigrams occur."""

    def __init__(self, *, dim: int = 256) -> None:
        digest = sha256_bytes(f"hashing-v1-{dim}".encode())
        self._spec = EncoderSpec(name="hashing", digest=digest, dim=dim, sentence_dim=dim, max_tokens=0)

    @property
    def spec(self) -> EncoderSpec:
        """Who this is."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim) unit rows; a text without any character that counts gets the first unit vector."""
        rows = np.zeros((len(texts), self._spec.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            words = re.findall(r"\w+", text.casefold())
            padded = f" {' '.join(words)} "
            for token in (*words, *(padded[i : i + 3] for i in range(len(padded) - 2))):
                value = zlib.crc32(token.encode("utf-8", "surrogatepass"))
                row[value % self._spec.dim] += 1.0 if value & 0x80000000 else -1.0
            if not row.any():
                row[0] = 1.0
            row /= np.linalg.norm(row)
        return rows
