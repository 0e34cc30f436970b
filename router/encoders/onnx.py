"""An encoder as an ONNX graph: what training, replay and serving all embed with. Needs no torch.

Each text runs through the graph alone. Batches would save little on two cores (the graph is bound by arithmetic),
and their padding would make a text's vector depend on its neighbours in the last bits; so two threads each take one
text at a time, and a vector is the same bytes whoever stood beside it (docs/decisions/0003-onnx-is-the-encoder.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from router.encoders.protocol import EncoderSpec, Matrix

GRAPH_FILE = "encoder.onnx"
TOKENIZER_FILE = "tokenizer.json"
OUTPUT = "embedding"
IN_PARALLEL_FROM = 4  # texts; below that a thread pool costs more than it saves


class OnnxEncoder:
    """Runs `encoder.onnx` of a directory, with the `tokenizer.json` beside it. Whoever opens it has checked the hashes."""

    def __init__(self, directory: Path, spec: EncoderSpec) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.directory = directory
        self._spec = spec
        self._session = onnxruntime.InferenceSession(
            str(directory / GRAPH_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=spec.max_tokens)

    @property
    def spec(self) -> EncoderSpec:
        """Who this is."""
        return self._spec

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim) rows, in the order of `texts`."""
        if not texts:
            return np.zeros((0, self._spec.dim), dtype=np.float32)
        if len(texts) < IN_PARALLEL_FROM:
            return np.stack([self._one(text) for text in texts])
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            return np.stack(list(pool.map(self._one, texts)))

    def _one(self, text: str) -> Matrix:
        encoding = self._tokenizer.encode(text)
        inputs = {
            "input_ids": np.array([encoding.ids], dtype=np.int64),
            "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
        }
        row: Matrix = self._session.run([OUTPUT], inputs)[0][0]
        return row
