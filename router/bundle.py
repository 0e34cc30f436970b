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

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from router.bundlecard import card_text
from router.bundlefiles import (
    CARD,
    ENCODER,
    MANIFEST,
    QUERIES,
    SCHEMA_VERSION,
    WEIGHTS,
    Arrays,
    bundle_id,
    carry,
    file_hashes,
    library_versions,
    read_manifest,
    require_kind,
    require_replaceable,
    write_arrays,
    write_manifest,
)
from router.bundleparts import (
    describe_features,
    describe_head,
    head_from_arrays,
    head_to_arrays,
    heads_from_arrays,
    known_arrays,
    require_routes,
    space_from_arrays,
    space_to_arrays,
    table,
    write_words,
)
from router.card import Card, card_from_mapping, card_to_mapping
from router.dataset import scan, write_queries
from router.encoders.open import open_by_digest
from router.encoders.protocol import EncoderSpec
from router.errors import BundleError, DataError
from router.files import new_directory, write_atomic
from router.novelty import Novelty
from router.pipeline import AlsoHead, Router
from router.policy import LabelPolicy
from router.routes import table_from_mapping, table_to_mapping
from router.types import Query

__all__ = ["CARD", "MANIFEST", "SCHEMA_VERSION", "WEIGHTS", "bundle_id", "load", "read_manifest", "save"]


def save(
    router: Router, target: Path, *, metrics: Mapping[str, Any] | None = None, carry_encoder: bool = False
) -> None:
    """Write a bundle to the directory `target`, whole or not at all; an existing bundle there is replaced.

    metrics: what `eval` measured, for manifest and card. carry_encoder: copy the ONNX encoder (90 MB for MiniLM) in, so
    that a machine without torch and without the cache can load it.
    Raises BundleError where `target` exists and is no bundle.
    """
    require_replaceable(target)
    with new_directory(target) as work:
        write_arrays(work / WEIGHTS, _to_arrays(router))
        write_words(router.space, work)
        write_atomic(work / QUERIES, write_queries(router.training))
        if carry_encoder:
            carry(router.encoder, work / ENCODER)
        manifest = _manifest(router, metrics or {}, work)
        write_manifest(work, manifest, card=card_text(manifest))


def load(source: Path, *, notify: Callable[[str], None] = lambda _: None) -> Router:
    """Read a bundle; verify every hash; open its encoder. Needs neither torch nor scikit-learn.

    Raises BundleError for a bundle that is missing, broken, tampered with or of a newer schema, and EncoderError where
    its encoder is not to be had here.
    """
    manifest = read_manifest(source)
    require_routes(source, manifest)
    require_kind(source, manifest, None)
    try:
        return _router(source, manifest, notify)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, DataError) as err:
        if isinstance(err, BundleError):
            raise
        raise BundleError(f"{source}: the manifest does not describe a router ({err}); train it again.") from err


def _to_arrays(router: Router) -> Arrays:
    arrays = {
        **space_to_arrays(router.space),
        "novelty.reference": router.novelty.reference,
        "novelty.calibration": router.novelty.calibration,
    }
    for name, head in router.heads.items():
        arrays |= head_to_arrays(f"head.{name}", head)
    for entry in router.also:
        arrays |= head_to_arrays(f"also.{entry.head.name}", entry.head)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _manifest(router: Router, metrics: Mapping[str, Any], work: Path) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "encoder": router.encoder.spec.to_mapping(),
        "features": describe_features(router.space),
        "heads": {name: describe_head(head) for name, head in router.heads.items()},
        "also": [
            {**describe_head(entry.head), "desk": entry.head.name, "threshold": entry.threshold}
            for entry in router.also
        ],
        "card": card_to_mapping(router.card),
        "routes": table_to_mapping(router.table),
        "policy_hash": router.table.digest(),
        "threshold": router.policy.threshold,
        "fitted": dict(router.fitted),
        "metrics": dict(metrics),
        "libraries": library_versions(),
        "files": file_hashes(work),
    }


def _router(source: Path, manifest: Mapping[str, Any], notify: Callable[[str], None]) -> Router:
    arrays = known_arrays(source, manifest)
    card = card_from_mapping(manifest["card"], where=str(source / MANIFEST))
    space = space_from_arrays(source, arrays, card)
    heads = heads_from_arrays(manifest, arrays, card)
    classes = {name: head.classes for name, head in heads.items()}
    routes = table_from_mapping(manifest["routes"], where=str(source / MANIFEST))
    carried = source / ENCODER
    encoder = open_by_digest(
        EncoderSpec(**manifest["encoder"]), carried=carried if carried.exists() else None, notify=notify
    )
    return Router(
        card=card,
        encoder=encoder,
        space=space,
        heads=heads,
        also=tuple(
            AlsoHead(
                head=head_from_arrays(f"also.{entry['desk']}", entry["desk"], entry, arrays),
                threshold=entry["threshold"],
            )
            for entry in manifest["also"]
        ),
        novelty=Novelty(reference=arrays["novelty.reference"], calibration=arrays["novelty.calibration"]),
        policy=LabelPolicy(routes, classes, threshold=manifest["threshold"]),
        fitted=table(manifest, "fitted"),
        training=_read_training(source / QUERIES, card),
    )


def _read_training(path: Path, card: Card) -> tuple[Query, ...]:
    queries, faults = scan(path, card)
    if faults:
        raise BundleError(
            f"{path}, line {faults[0].line}: not a training query ({faults[0].message}); fetch the bundle again, or train it."
        )
    return tuple(query for _, query in queries)
