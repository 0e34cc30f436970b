"""From a sentence-transformers model to its ONNX form, once per model and machine, kept in the cache by content.

This is the only module that imports torch, and only inside the functions that export.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from router.encoders.onnx import GRAPH_FILE, OUTPUT, TOKENIZER_FILE, OnnxEncoder
from router.encoders.protocol import EncoderSpec, sentence_part
from router.errors import EncoderError
from router.files import canonical_json, new_directory, sha256_bytes, sha256_file, write_atomic

SPEC_FILE = "encoder.json"
OPSET = 17
PARITY = 1e-4  # largest difference of a coordinate between the exported graph and the model itself
MAX_TOKENS = 256
MIDDLE = 2 / 3  # of the depth: layers nearer the middle keep more of the wording than the last one
FAR = 1e4  # pushes padding out of a maximum
PROBES = (
    "where is my refund?",
    "Plan two weeks from SF to Seattle, under $2000 🚐",
    "¿Cuánto gasté en diésel en marzo?",
)

logger = logging.getLogger(__name__)


def graph_digest(graph_sha256: str, tokenizer_sha256: str, max_tokens: int) -> str:
    """The encoder's name by content: equal digests give equal vectors."""
    return sha256_bytes(f"onnx {graph_sha256} {tokenizer_sha256} {max_tokens}".encode())


def read_exported(directory: Path) -> EncoderSpec | None:
    """The spec of an exported encoder whose files hash to what it says; None where there is none or it is damaged."""
    try:
        spec = EncoderSpec(**json.loads((directory / SPEC_FILE).read_text(encoding="utf-8")))
        digest = graph_digest(
            sha256_file(directory / GRAPH_FILE), sha256_file(directory / TOKENIZER_FILE), spec.max_tokens
        )
    except (OSError, ValueError, TypeError):
        return None
    return spec if digest == spec.digest else None


def graph_width(path: Path) -> int:
    """The number of columns of an exported graph's rows, read off one short text's."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ones = np.ones((1, 2), dtype=np.int64)
    return int(session.run([OUTPUT], {"input_ids": ones, "attention_mask": ones})[0].shape[1])


def source_digest(source: Path) -> str:
    """Hex digest of all files of a model directory that can change its vectors (weights, tokenizer, configuration)."""
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and path.suffix in {".json", ".safetensors", ".bin", ".txt", ".model"}
    )
    return sha256_bytes("".join(f"{path.relative_to(source)} {sha256_file(path)}\n" for path in files).encode())


def export(
    source: Path, target: Path, *, name: str, weights_sha256: str | None, notify: Callable[[str], None]
) -> EncoderSpec:
    """Write the ONNX form of the sentence-transformers model in `source` to the directory `target`.

    The graph takes `input_ids` and `attention_mask` and gives one row a text: the model's own sentence embedding
    (through its whole module list: pooling, dense, normalise), then the mean of a middle layer's token vectors and the
    maximum of the last layer's. The sentence part is compared with the model's own before anything is kept.
    Raises EncoderError where torch is missing, the model cannot be loaded, or the parity check fails.
    """
    notify(f"exporting {name} to ONNX, once")
    with quiet_libraries():
        model = _load(source, name)
        limit = min(int(model.max_seq_length or MAX_TOKENS), MAX_TOKENS)
        with new_directory(target) as work:
            _write_tokenizer(model, work, name)
            _write_graph(model, work / GRAPH_FILE, name)
            digest = graph_digest(sha256_file(work / GRAPH_FILE), sha256_file(work / TOKENIZER_FILE), limit)
            model.max_seq_length = limit
            expected = model.encode(list(PROBES), normalize_embeddings=True, show_progress_bar=False)
            spec = EncoderSpec(
                name=name,
                digest=digest,
                dim=graph_width(work / GRAPH_FILE),
                sentence_dim=expected.shape[1],
                max_tokens=limit,
                weights_sha256=weights_sha256,
            )
            error = float(np.abs(sentence_part(OnnxEncoder(work, spec).encode(PROBES), spec) - expected).max())
            if not error <= PARITY:
                raise EncoderError(
                    f"{name}: its ONNX form differs from the model by {error:.1e} (allowed {PARITY:.0e});"
                    " choose another encoder with --encoder."
                )
            logger.info("exported %s, parity %.1e, torch %s", name, error, version("torch"))
            write_atomic(work / SPEC_FILE, canonical_json(spec.to_mapping(), indent=2) + "\n")
    return spec


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """The exporter's tracing warnings and the loaders' progress bars say nothing that a user can act on."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")}
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def require_torch(name: str, *, also: str | None = None) -> None:
    """Raise EncoderError with the command to type where the exporting libraries, or the one in `also`, are not installed."""
    for library in ("torch", "sentence_transformers", "onnx", *([also] if also else [])):
        if importlib.util.find_spec(library) is None:
            raise EncoderError(
                f"{name} is not in the cache and {library} is not installed, so it cannot be exported."
                " Install the `train` extra (`make setup`), or use a bundle that carries its encoder (`train --carry-encoder`)."
            )


def _load(source: Path, name: str) -> Any:  # Any: SentenceTransformer, untyped here to keep torch out of the checker
    require_torch(name)
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        return SentenceTransformer(str(source), device="cpu", model_kwargs={"attn_implementation": "eager"}).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as err:
        raise EncoderError(
            f"{name}: {source} holds no sentence-transformers model ({str(err).splitlines()[0]})."
        ) from err


def _write_tokenizer(model: Any, work: Path, name: str) -> None:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EncoderError(f"{name} has no fast tokenizer, which the ONNX form needs; choose another with --encoder.")
    write_atomic(work / TOKENIZER_FILE, backend.to_str())


def _write_graph(model: Any, path: Path, name: str) -> None:
    import torch

    class Graph(torch.nn.Module):  # type: ignore[misc]  # torch is kept out of the checker
        def __init__(self) -> None:
            super().__init__()
            self.transformer = model[0].auto_model
            self.after = torch.nn.ModuleList(list(model)[1:])

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            layers = self.transformer(
                input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True, return_dict=True
            ).hidden_states
            features = {"token_embeddings": layers[-1], "attention_mask": attention_mask}
            for module in self.after:
                features = module(features)
            sentence = torch.nn.functional.normalize(features["sentence_embedding"], p=2, dim=1)
            mask = attention_mask.unsqueeze(-1).to(sentence.dtype)
            middle = layers[round((len(layers) - 1) * MIDDLE)]
            mean = (middle * mask).sum(dim=1) / mask.sum(dim=1)
            peak = (layers[-1] - (1 - mask) * FAR).max(dim=1).values
            return torch.cat([sentence, mean, peak], dim=1)

    sample = model.tokenizer(["a query", "a somewhat longer query"], padding=True, return_tensors="pt")
    axes = {0: "batch", 1: "tokens"}
    try:
        with torch.no_grad():
            torch.onnx.export(
                Graph(),
                (sample["input_ids"], sample["attention_mask"]),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=[OUTPUT],
                dynamic_axes={"input_ids": axes, "attention_mask": axes, OUTPUT: {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,  # the new exporter fixes the sequence length of this graph
            )
    except (RuntimeError, TypeError, ValueError, AttributeError) as err:
        raise EncoderError(
            f"{name} cannot be exported to ONNX ({str(err).splitlines()[0]}); choose another with --encoder."
        ) from err
