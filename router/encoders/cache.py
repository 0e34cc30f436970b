"""A content-addressed store of embeddings, shared by all commands and safe for several at once.

Under `<cache>/embeddings/<encoder digest>/` lie segments: immutable safetensors files with `keys` (n, 32) uint8, the
SHA-256 of each text, and `rows` (n, dim) float32. A writer adds a segment by atomic rename and touches no other file,
so readers need no lock. When there are many, the next writer adds their union and then removes the parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from router.encoders.protocol import Encoder, EncoderSpec, Matrix
from router.files import sha256_bytes, write_atomic

MERGE_FROM = 16  # segments
CHUNK = 256  # texts embedded between two words of progress, and between two saves

logger = logging.getLogger(__name__)


def text_key(text: str) -> bytes:
    """The 32 bytes under which a text's vector is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _segment_name(content: bytes) -> str:
    """A segment is named by its content, so that a damaged one is known by its name."""
    return f"{sha256_bytes(content)[:32]}.safetensors"


class CachedEncoder:
    """Wraps an encoder: embeds each distinct text once per machine.

    progress(done, total) is called as new texts are embedded; never when all were known.
    """

    def __init__(self, encoder: Encoder, root: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        self._encoder = encoder
        self._directory = root / "embeddings" / encoder.spec.digest[:32]
        self._progress = progress
        self._known: dict[bytes, Matrix] | None = None

    @property
    def spec(self) -> EncoderSpec:
        """The wrapped encoder's."""
        return self._encoder.spec

    @property
    def inner(self) -> Encoder:
        """The wrapped encoder."""
        return self._encoder

    def encode(self, texts: Sequence[str]) -> Matrix:
        """(n, dim) rows, from the store where it has them."""
        if self._known is None:
            self._known = self._read()
        keys = [text_key(text) for text in texts]
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        self._embed(fresh)
        if not keys:
            return np.zeros((0, self.spec.dim), dtype=np.float32)
        return np.stack([self._known[key] for key in keys])

    def _embed(self, fresh: dict[bytes, str]) -> None:
        assert self._known is not None
        keys, texts = list(fresh), list(fresh.values())
        for start in range(0, len(texts), CHUNK):
            if self._progress:
                self._progress(start, len(texts))
            part = slice(start, start + CHUNK)
            rows = self._encoder.encode(texts[part])
            self._known.update(zip(keys[part], rows, strict=True))
            self._write(dict(zip(keys[part], rows, strict=True)))
        if texts and self._progress:
            self._progress(len(texts), len(texts))

    def _segments(self) -> list[Path]:
        return sorted(self._directory.glob("*.safetensors"))

    def _read(self) -> dict[bytes, Matrix]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        known: dict[bytes, Matrix] = {}
        for path in self._segments():
            try:
                content = path.read_bytes()
                if _segment_name(content) != path.name:
                    raise ValueError("its hash is not its name")
                tensors = load(content)
                keys, rows = tensors["keys"], tensors["rows"]
                if rows.dtype != np.float32 or rows.shape != (len(keys), self.spec.dim) or not np.isfinite(rows).all():
                    raise ValueError(f"rows are {rows.dtype} {rows.shape}")
                known.update(zip(map(bytes, keys), rows, strict=True))
            except FileNotFoundError:
                continue  # another process merged it while we looked; its rows stand in the union
            except (SafetensorError, KeyError, ValueError) as err:
                logger.warning("%s is damaged (%s) and was set aside; its texts are embedded again", path.name, err)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
        return known

    def _write(self, rows: dict[bytes, Matrix]) -> None:
        from safetensors.numpy import save

        old = self._segments()
        merge = len(old) >= MERGE_FROM
        if merge:
            assert self._known is not None
            rows = {**self._read(), **rows}
        keys = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 32)
        content = save({"keys": keys.copy(), "rows": np.stack(list(rows.values())).astype(np.float32)})
        target = self._directory / _segment_name(content)
        try:
            write_atomic(target, content)
        except OSError as err:
            logger.warning(
                "embeddings are not kept: %s cannot be written (%s)", self._directory, os.strerror(err.errno or 0)
            )
            return
        for path in old if merge else ():
            if path != target:
                path.unlink(missing_ok=True)
