"""The on-disk form of heads without routes, in the frame of every bundle (`bundlefiles`). It executes nothing when read.

manifest.json          what it is (`kind` "heads"), and the SHA-256 of every other file
weights.safetensors    heads, calibrations, feature space
ngrams.json            the n-gram vocabulary, where there is one
lexicon.json           the data set's cue words, where it has them
CARD.md                written by `save`, never by hand
encoder/               the ONNX encoder, only where it was asked to be carried
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from router.bundlecard import heads_card_text
from router.bundlefiles import (
    ENCODER,
    MANIFEST,
    SCHEMA_VERSION,
    WEIGHTS,
    Arrays,
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
    HEADS,
    describe_features,
    describe_head,
    head_to_arrays,
    heads_from_arrays,
    known_arrays,
    space_from_arrays,
    space_to_arrays,
    table,
    write_words,
)
from router.card import card_from_mapping, card_to_mapping
from router.encoders.open import open_by_digest
from router.encoders.protocol import EncoderSpec
from router.errors import BundleError, DataError
from router.files import new_directory
from router.pipeline import HeadSet

Notify = Callable[[str], None]


def save(
    heads: HeadSet, target: Path, *, metrics: Mapping[str, Any] | None = None, carry_encoder: bool = False
) -> None:
    """Write a bundle to the directory `target`, whole or not at all; an existing bundle there is replaced.

    metrics: what `eval` measured, for manifest and card.   carry_encoder: copy the ONNX encoder in.
    Raises BundleError where `target` exists and is no bundle.
    """
    require_replaceable(target)
    with new_directory(target) as work:
        write_arrays(work / WEIGHTS, _to_arrays(heads))
        write_words(heads.space, work)
        if carry_encoder:
            carry(heads.encoder, work / ENCODER)
        manifest = _manifest(heads, metrics or {}, work)
        write_manifest(work, manifest, card=heads_card_text(manifest))


def load(source: Path, *, notify: Notify = lambda _: None) -> HeadSet:
    """Read a bundle; verify every hash; open its encoder. Needs neither torch nor scikit-learn.

    Raises BundleError for a bundle that is missing, broken, tampered with, of another kind or of a newer schema, and
    EncoderError where its encoder is not to be had here.
    """
    manifest = read_manifest(source)
    require_kind(source, manifest, HEADS)
    try:
        return _heads(source, manifest, notify)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, DataError) as err:
        if isinstance(err, BundleError):
            raise
        raise BundleError(f"{source}: the manifest does not describe heads ({err}); train it again.") from err


def _to_arrays(heads: HeadSet) -> Arrays:
    arrays = space_to_arrays(heads.space)
    for name, head in heads.heads.items():
        arrays |= head_to_arrays(f"head.{name}", head)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _manifest(heads: HeadSet, metrics: Mapping[str, Any], work: Path) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": HEADS,
        "encoder": heads.encoder.spec.to_mapping(),
        "features": describe_features(heads.space),
        "heads": {name: describe_head(head) for name, head in heads.heads.items()},
        "lead": heads.lead,
        "card": card_to_mapping(heads.card),
        "fitted": dict(heads.fitted),
        "metrics": dict(metrics),
        "libraries": library_versions(),
        "files": file_hashes(work),
    }


def _heads(source: Path, manifest: Mapping[str, Any], notify: Notify) -> HeadSet:
    arrays = known_arrays(source, manifest)
    card = card_from_mapping(manifest["card"], where=str(source / MANIFEST))
    carried = source / ENCODER
    spec = EncoderSpec(**manifest["encoder"])
    heads = HeadSet(
        card=card,
        encoder=open_by_digest(spec, carried=carried if carried.exists() else None, notify=notify),
        space=space_from_arrays(source, arrays, card),
        heads=heads_from_arrays(manifest, arrays, card),
        lead=str(manifest["lead"]),
        fitted=table(manifest, "fitted"),
    )
    heads.probabilities(["?"])  # parts that do not fit together are found now, and not by a user's query
    return heads
