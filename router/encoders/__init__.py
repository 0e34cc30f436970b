"""Text to vector. One protocol, three kinds: the ONNX form of a sentence-transformers model, hashing, and cached.

`open_encoder` is the one door: it takes the names that `--encoder` takes.
"""

from __future__ import annotations

from router.encoders.open import DEFAULT_ENCODER, HASHING, open_encoder
from router.encoders.protocol import Encoder, EncoderSpec

__all__ = ["DEFAULT_ENCODER", "HASHING", "Encoder", "EncoderSpec", "open_encoder"]
