"""What `doctor` looks at: versions, the encoder, keys by name only, the cache."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from router.encoders.export import read_exported
from router.encoders.open import DEFAULT_ENCODER, MINILM_SHA256, cache_directory, minilm_directory
from router.errors import EncoderError

CORE = ("numpy", "onnxruntime", "tokenizers", "safetensors", "typer")
TRAIN = ("torch", "scikit-learn", "sentence-transformers", "mlflow", "genai-prices")
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def findings() -> list[Finding]:
    """Everything the doctor looked at; a key's value is never read beyond whether it is set."""
    return [
        Finding(name="Python", ok=True, found=platform.python_version()),
        *(_package(name, "core", "pip install -c constraints.txt -e .") for name in CORE),
        *(_package(name, "train", "make setup") for name in TRAIN),
        _weights(),
        _exported(),
        *(_key(name) for name in KEYS),
    ]


def _package(name: str, extra: str, advice: str) -> Finding:
    try:
        return Finding(name=name, ok=True, found=f"{version(name)} ({extra})")
    except PackageNotFoundError:
        return Finding(name=name, ok=False, found=f"not installed ({extra})", advice=advice)


def _weights() -> Finding:
    name = f"{DEFAULT_ENCODER} weights"
    try:
        minilm_directory()
    except EncoderError as err:
        return Finding(
            name=name, ok=False, found="not here, or not the official files", advice=str(err).split(": ", 1)[-1]
        )
    return Finding(name=name, ok=True, found="official files, hashes match")


def _exported() -> Finding:
    directory = cache_directory() / "encoders" / f"{DEFAULT_ENCODER}-{MINILM_SHA256['model.safetensors'][:16]}"
    spec = read_exported(directory)
    if spec is None:
        return Finding(
            name=f"{DEFAULT_ENCODER} as ONNX",
            ok=False,
            found="not exported yet",
            advice="the first `weighbridge train` does it",
        )
    return Finding(name=f"{DEFAULT_ENCODER} as ONNX", ok=True, found=f"digest {spec.digest[:16]}, in the cache")


def _key(name: str) -> Finding:
    is_set = bool(os.environ.get(name))
    return Finding(
        name=name,
        ok=is_set,
        found="set" if is_set else "not set",
        advice="" if is_set else "only needed to call real models",
    )
