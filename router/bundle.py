"""The on-disk form of a router: manifest, arrays, vocabulary, neighbours and a card. It executes nothing when it is read.

manifest.json          what it is, and the SHA-256 of every other file
weights.safetensors    heads, calibrations, feature space, novelty
ngrams.json            the n-gram vocabulary, where the router has one
lexicon.json           the data set's cue words, where it has them
queries.jsonl          the training queries, for "nearest labelled queries"
CARD.md                written by `save`, never by hand
encoder/               the ONNX encoder, only where it was asked to be carried
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.bundlecard import card_text
from router.calibration import calibration_from_arrays
from router.card import Card, card_from_mapping, card_to_mapping
from router.dataset import scan, write_queries
from router.encoders.export import SPEC_FILE
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE
from router.encoders.open import HASHING, exported_directory, open_by_digest
from router.encoders.protocol import Encoder, EncoderSpec
from router.errors import BundleError, DataError
from router.features import FeatureSpace
from router.files import canonical_json, new_directory, sha256_file, write_atomic
from router.heads import Head
from router.lexicon import lexicon_from_mapping
from router.ngrams import Ngrams
from router.novelty import Novelty
from router.pipeline import AlsoHead, Router
from router.policy import LabelPolicy
from router.routes import table_from_mapping, table_to_mapping
from router.surface import FEATURE_NAMES
from router.types import Query

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
NGRAMS = "ngrams.json"
LEXICON = "lexicon.json"
QUERIES = "queries.jsonl"
ENCODER = "encoder"
CARD = "CARD.md"
LIBRARIES = ("numpy", "onnxruntime", "tokenizers", "scikit-learn", "scipy", "torch", "sentence-transformers")

Arrays = dict[str, npt.NDArray[Any]]


def save(
    router: Router, target: Path, *, metrics: Mapping[str, Any] | None = None, carry_encoder: bool = False
) -> None:
    """Write a bundle to the directory `target`, whole or not at all; an existing bundle there is replaced.

    metrics: what `eval` measured, for manifest and card. carry_encoder: copy the ONNX encoder (90 MB for MiniLM) in, so
    that a machine without torch and without the cache can load it.
    Raises BundleError where `target` exists and is no bundle.
    """
    from safetensors.numpy import save as save_tensors

    if target.exists() and not (target / MANIFEST).exists():
        raise BundleError(
            f"{target} exists and is no bundle; wanted a new directory or an old bundle to replace. Choose another --out."
        )
    with new_directory(target) as work:
        write_atomic(work / WEIGHTS, save_tensors(_to_arrays(router)))
        if router.space.ngrams is not None:
            write_atomic(work / NGRAMS, canonical_json(list(router.space.ngrams.terms)) + "\n")
        if router.space.lexicon is not None:
            write_atomic(work / LEXICON, canonical_json(router.space.lexicon.terms, indent=1) + "\n")
        write_atomic(work / QUERIES, write_queries(router.training))
        if carry_encoder:
            _carry(router.encoder, work / ENCODER)
        manifest = _manifest(router, metrics or {}, work)
        write_atomic(work / CARD, card_text(manifest))
        manifest["files"][CARD] = sha256_file(work / CARD)
        # Keys stay in order, not sorted: the heads' order on the card is that of the lexicon's columns.
        write_atomic(work / MANIFEST, json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def load(source: Path, *, notify: Callable[[str], None] = lambda _: None) -> Router:
    """Read a bundle; verify every hash; open its encoder. Needs neither torch nor scikit-learn.

    Raises BundleError for a bundle that is missing, broken, tampered with or of a newer schema, and EncoderError where
    its encoder is not to be had here.
    """
    manifest = read_manifest(source)
    try:
        return _router(source, manifest, notify)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, DataError) as err:
        if isinstance(err, BundleError):
            raise
        raise BundleError(f"{source}: the manifest does not describe a router ({err}); train it again.") from err


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


def bundle_id(source: Path) -> str:
    """The first 16 hex digits of the manifest's hash: names the bundle in runs and logs."""
    return sha256_file(source / MANIFEST)[:16]


def _to_arrays(router: Router) -> Arrays:
    arrays: Arrays = {
        "space.embedding_mean": router.space.embedding_mean,
        "space.embedding_std": router.space.embedding_std,
        "space.surface_mean": router.space.surface_mean,
        "space.surface_std": router.space.surface_std,
        "novelty.reference": router.novelty.reference,
        "novelty.calibration": router.novelty.calibration,
    }
    if router.space.ngrams is not None:
        arrays["space.idf"] = router.space.ngrams.idf
    heads = [
        *((f"head.{name}", head) for name, head in router.heads.items()),
        *((f"also.{entry.head.name}", entry.head) for entry in router.also),
    ]
    for prefix, head in heads:
        arrays[f"{prefix}.intercept"] = head.intercept
        arrays.update({f"{prefix}.weights.{block}": weights for block, weights in head.weights.items()})
        arrays.update({f"{prefix}.calibration.{name}": array for name, array in head.calibration.to_arrays().items()})
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _manifest(router: Router, metrics: Mapping[str, Any], work: Path) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "encoder": router.encoder.spec.to_mapping(),
        "features": {
            "surface": list(FEATURE_NAMES),
            "ngrams": len(router.space.ngrams.terms) if router.space.ngrams else 0,
        },
        "heads": {name: _describe(head) for name, head in router.heads.items()},
        "also": [
            {**_describe(entry.head), "desk": entry.head.name, "threshold": entry.threshold} for entry in router.also
        ],
        "card": card_to_mapping(router.card),
        "routes": table_to_mapping(router.table),
        "policy_hash": router.table.digest(),
        "threshold": router.policy.threshold,
        "fitted": dict(router.fitted),
        "metrics": dict(metrics),
        "libraries": _library_versions(),
        "files": {str(path.relative_to(work)): sha256_file(path) for path in sorted(work.rglob("*")) if path.is_file()},
    }


def _describe(head: Head) -> dict[str, Any]:
    return {"classes": list(head.classes), "blocks": sorted(head.weights), "calibration": head.calibration.kind}


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _carry(encoder: Encoder, target: Path) -> None:
    if encoder.spec.name == HASHING:
        return
    source = exported_directory(encoder)
    target.mkdir()
    for name in (GRAPH_FILE, TOKENIZER_FILE, SPEC_FILE):
        shutil.copyfile(source / name, target / name)


def _router(source: Path, manifest: Mapping[str, Any], notify: Callable[[str], None]) -> Router:
    if tuple(manifest["features"]["surface"]) != FEATURE_NAMES:
        raise BundleError(
            f"{source}: was trained with other surface features than this version computes; train it again."
        )
    arrays = _read_arrays(source / WEIGHTS)
    ngrams = None
    if (source / NGRAMS).exists():
        ngrams = Ngrams(terms=tuple(json.loads((source / NGRAMS).read_text(encoding="utf-8"))), idf=arrays["space.idf"])
    card = card_from_mapping(manifest["card"], where=str(source / MANIFEST))
    lexicon = None
    if (source / LEXICON).exists():
        raw = json.loads((source / LEXICON).read_text(encoding="utf-8"))
        lexicon = lexicon_from_mapping(raw, card, where=str(source / LEXICON))
    heads = {name: _head(f"head.{name}", name, entry, arrays) for name, entry in _mapping(manifest, "heads").items()}
    heads = {name: heads[name] for name in card.heads if name in heads}
    classes = {name: head.classes for name, head in heads.items()}
    table = table_from_mapping(manifest["routes"], where=str(source / MANIFEST))
    carried = source / ENCODER
    encoder = open_by_digest(
        EncoderSpec(**manifest["encoder"]), carried=carried if carried.exists() else None, notify=notify
    )
    return Router(
        card=card,
        encoder=encoder,
        space=FeatureSpace(
            **{
                name: arrays[f"space.{name}"]
                for name in ("embedding_mean", "embedding_std", "surface_mean", "surface_std")
            },
            ngrams=ngrams,
            lexicon=lexicon,
        ),
        heads=heads,
        also=tuple(
            AlsoHead(head=_head(f"also.{entry['desk']}", entry["desk"], entry, arrays), threshold=entry["threshold"])
            for entry in manifest["also"]
        ),
        novelty=Novelty(reference=arrays["novelty.reference"], calibration=arrays["novelty.calibration"]),
        policy=LabelPolicy(table, classes, threshold=manifest["threshold"]),
        fitted=_mapping(manifest, "fitted"),
        training=_read_training(source / QUERIES, card),
    )


def _mapping(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = manifest[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name!r} is {type(value).__name__}, wanted a table")
    return value


def _read_arrays(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        arrays: Arrays = load_tensors(path.read_bytes())
    except SafetensorError as err:
        raise BundleError(f"{path}: not tensors ({err}); fetch the bundle again, or train it.") from err
    return arrays


def _read_training(path: Path, card: Card) -> tuple[Query, ...]:
    queries, faults = scan(path, card)
    if faults:
        raise BundleError(
            f"{path}, line {faults[0].line}: not a training query ({faults[0].message}); fetch the bundle again, or train it."
        )
    return tuple(query for _, query in queries)


def _head(prefix: str, name: str, entry: Mapping[str, Any], arrays: Arrays) -> Head:
    def part(kind: str) -> Arrays:
        start = f"{prefix}.{kind}."
        return {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}

    classes: Sequence[str] = entry["classes"]
    weights, intercept = part("weights"), arrays[f"{prefix}.intercept"]
    if any(array.shape[-1] != len(classes) for array in (*weights.values(), intercept)):
        raise BundleError(
            f"head {name!r}: the manifest names {len(classes)} classes, the weights have {intercept.shape[-1]}; train it again."
        )
    return Head(
        name,
        tuple(classes),
        weights,
        intercept,
        calibration_from_arrays(entry["calibration"], part("calibration")),
    )
