"""The files of a bundle, whatever kind of router stands in it: named, hashed, verified. Nothing here executes what it reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy.typing as npt

from router.encoders.export import SPEC_FILE
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE
from router.encoders.open import HASHING, exported_directory
from router.encoders.protocol import Encoder
from router.errors import BundleError
from router.files import sha256_file, write_atomic

SCHEMA_VERSION = 2  # 2: heads may weigh earlier messages
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
NGRAMS = "ngrams.json"
QUERIES = "queries.jsonl"
ENCODER = "encoder"
CARD = "CARD.md"
LIBRARIES = ("numpy", "onnxruntime", "tokenizers", "scikit-learn", "scipy", "torch", "sentence-transformers")

Arrays = dict[str, npt.NDArray[Any]]  # Any: each array has its own type


def require_replaceable(target: Path) -> None:
    """Raise BundleError where `target` exists and is no bundle."""
    if target.exists() and not (target / MANIFEST).exists():
        raise BundleError(
            f"{target} exists and is no bundle; wanted a new directory or an old bundle to replace. Choose another --out."
        )


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write the arrays as safetensors: the same arrays, the same bytes."""
    from safetensors.numpy import save as save_tensors

    write_atomic(path, save_tensors(arrays))


def read_arrays(path: Path) -> Arrays:
    """Read what `write_arrays` wrote. Raises BundleError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        arrays: Arrays = load_tensors(path.read_bytes())
    except SafetensorError as err:
        raise BundleError(f"{path}: not tensors ({err}); fetch the bundle again, or train it.") from err
    return arrays


def file_hashes(work: Path) -> dict[str, str]:
    """Path within `work` -> SHA-256, of every file that lies there."""
    return {str(path.relative_to(work)): sha256_file(path) for path in sorted(work.rglob("*")) if path.is_file()}


def write_manifest(work: Path, manifest: dict[str, Any], *, card: str) -> None:
    """Write the card, add its hash to the manifest's `files`, write the manifest.

    Keys stay in order, not sorted: the order of heads and models is that of columns.
    """
    write_atomic(work / CARD, card)
    manifest["files"][CARD] = sha256_file(work / CARD)
    write_atomic(work / MANIFEST, json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def read_manifest(source: Path) -> dict[str, Any]:
    """The manifest, after every file has been checked against it. Raises BundleError."""
    path = source / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema_version"]
        files = dict(manifest["files"])
    except FileNotFoundError as err:
        raise BundleError(
            f"{source}: no bundle here ({MANIFEST} is missing); make one with `weighbridge train --data D --out {source}`."
        ) from err
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise BundleError(f"{path}: not a manifest ({err}); fetch the bundle again, or train it.") from err
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: schema {schema} is newer than this version reads ({SCHEMA_VERSION}); update Weighbridge."
        )
    found = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()} - {MANIFEST}
    if found != set(files):
        strange = sorted(found ^ set(files))
        raise BundleError(
            f"{source}: files do not match the manifest ({', '.join(strange)}); fetch the bundle again, or train it."
        )
    for name, digest in files.items():
        if sha256_file(source / name) != digest:
            raise BundleError(
                f"{source / name}: its hash is not the manifest's: damaged or tampered with. Fetch the bundle again, or train it."
            )
    return manifest


def kind_of(source: Path) -> str | None:
    """Which kind of router a bundle says that it holds, before anything is verified; None where it names none."""
    try:
        manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever reads the bundle next says what is wrong with it
    found = manifest.get("kind") if isinstance(manifest, dict) else None
    return None if found is None else str(found)


def require_kind(source: Path, manifest: Mapping[str, Any], kind: str | None) -> None:
    """Raise BundleError where the bundle holds another kind of router. Those that route by labels name none."""
    found = manifest.get("kind")
    if found != kind:
        held, wanted = found or "labels", kind or "labels"
        raise BundleError(
            f"{source}: holds a router by {held}, and this needs one by {wanted}. See what it is with `weighbridge inspect {source}`."
        )


def bundle_id(source: Path) -> str:
    """The first 16 hex digits of the manifest's hash: names the bundle in runs and logs."""
    return sha256_file(source / MANIFEST)[:16]


def library_versions() -> dict[str, str]:
    """Name -> version of the libraries that decide a bundle's numbers, of those that are installed."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def carry(encoder: Encoder, target: Path) -> None:
    """Copy the ONNX form of the encoder to the directory `target`; the hashing encoder has none."""
    if encoder.spec.name == HASHING:
        return
    source = exported_directory(encoder)
    target.mkdir()
    for name in (GRAPH_FILE, TOKENIZER_FILE, SPEC_FILE):
        shutil.copyfile(source / name, target / name)
