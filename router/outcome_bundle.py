"""The on-disk form of a router over models, in the frame of every bundle (`bundlefiles`). It executes nothing when read.

manifest.json          what it is (`kind` "outcomes"), and the SHA-256 of every other file
weights.safetensors    views, blend, costs, novelty; values and scores of the calibration queries; training scores
ngrams.json            the vocabulary of words, where the texts share enough of them
boilerplate.json       the lines that are taken out of long prompts, where there are any
queries.jsonl          the training queries, for "nearest labelled queries"
calibration.json       the ids of the calibration queries
CARD.md                written by `save`, never by hand
encoder/               the ONNX encoder, only where it was asked to be carried
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from router import bundle as label_bundle
from router import heads_bundle
from router.boilerplate import Boilerplate
from router.bundlefiles import (
    ENCODER,
    NGRAMS,
    QUERIES,
    SCHEMA_VERSION,
    WEIGHTS,
    carry,
    file_hashes,
    kind_of,
    library_versions,
    read_arrays,
    read_manifest,
    require_kind,
    require_replaceable,
    write_arrays,
    write_manifest,
)
from router.bundleparts import HEADS
from router.encoders.open import open_by_digest
from router.encoders.protocol import EncoderSpec
from router.errors import BundleError
from router.files import canonical_json, new_directory, sha256_bytes, write_atomic
from router.outcome_card import outcome_card
from router.outcome_policy import Threshold, from_mapping, to_mapping
from router.outcome_router import ModelRouter
from router.packing import Packed, pack, unpack
from router.pipeline import HeadSet, Router
from router.surface import FEATURE_NAMES

KIND = "outcomes"
BOILERPLATE = "boilerplate.json"
CALIBRATION = "calibration.json"
PARTS = ("success", "costs", "novelty", "training", "calibration")
IDS, TEXTS, HELD = "training.ids", "training.texts", "calibration.ids"

Notify = Callable[[str], None]
Manifest = Mapping[str, Any]  # Any: whatever JSON can hold


def save(
    router: ModelRouter, target: Path, *, metrics: Mapping[str, Any] | None = None, carry_encoder: bool = False
) -> None:
    """Write a bundle to the directory `target`, whole or not at all; an existing bundle there is replaced.

    metrics: `outcome_figures` of its policy with the `split` they were measured on, for manifest and card.
    carry_encoder: copy the ONNX encoder in. Raises BundleError where `target` exists and is no bundle.
    """
    require_replaceable(target)
    packed = pack({name: getattr(router, name) for name in PARTS})
    vocabularies = dict(packed.vocabularies)
    ids, texts, held = (vocabularies.pop(name) for name in (IDS, TEXTS, HELD))
    with new_directory(target) as work:
        write_arrays(work / WEIGHTS, packed.arrays)
        write_atomic(work / CALIBRATION, canonical_json(list(held)) + "\n")
        rows = (canonical_json({"id": name, "text": text}) + "\n" for name, text in zip(ids, texts, strict=True))
        write_atomic(work / QUERIES, "".join(rows))
        if vocabularies:
            write_atomic(work / NGRAMS, canonical_json(vocabularies) + "\n")
        if router.boilerplate.lines:
            write_atomic(work / BOILERPLATE, canonical_json(sorted(router.boilerplate.lines), indent=1) + "\n")
        if carry_encoder:
            carry(router.encoder, work / ENCODER)
        manifest = _manifest(router, packed.structure, metrics or {}, work)
        write_manifest(work, manifest, card=outcome_card(manifest))


def load(source: Path, *, notify: Notify = lambda _: None) -> ModelRouter:
    """Read a bundle; verify every hash; open its encoder. Needs neither torch nor scikit-learn.

    Raises BundleError for a bundle that is missing, broken, tampered with, of another kind or of a newer schema, and
    EncoderError where its encoder is not to be had here.
    """
    manifest = read_manifest(source)
    require_kind(source, manifest, KIND)
    return _from_manifest(source, manifest, notify)


def load_any(source: Path, *, notify: Notify = lambda _: None) -> Router | ModelRouter | HeadSet:
    """Read a bundle of any kind: by labels, over models, or of heads alone. Raises as the three `load` do."""
    kind = kind_of(source)
    if kind is None:
        return label_bundle.load(source, notify=notify)
    if kind == HEADS:
        return heads_bundle.load(source, notify=notify)
    return load(source, notify=notify)


def _manifest(router: ModelRouter, structure: Manifest, metrics: Mapping[str, Any], work: Path) -> dict[str, Any]:
    policy = to_mapping(router.policy)
    words = router.success.word_space
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "encoder": router.encoder.spec.to_mapping(),
        "features": {
            "surface": list(FEATURE_NAMES),
            "ngrams": len(words.ngrams.terms) if words is not None else 0,
            "views": list(router.success.blend.views),
            "blend": type(router.success.blend).__name__,
        },
        "models": list(router.models),
        "policy": policy,
        "policy_hash": sha256_bytes(canonical_json(policy).encode()),
        "threshold": router.policy.threshold if isinstance(router.policy, Threshold) else None,
        "guarantee": None if router.guarantee is None else dict(router.guarantee),
        "use": "train",
        "fitted": dict(router.fitted),
        "metrics": dict(metrics),
        "parts": structure,
        "libraries": library_versions(),
        "files": file_hashes(work),
    }


def _from_manifest(source: Path, manifest: Manifest, notify: Notify) -> ModelRouter:
    try:
        if tuple(manifest["features"]["surface"]) != FEATURE_NAMES:
            raise BundleError(
                f"{source}: was trained with other surface features than this version computes; train it again."
            )
        packed = Packed(
            structure=manifest["parts"], arrays=read_arrays(source / WEIGHTS), vocabularies=_vocabularies(source)
        )
        carried = source / ENCODER
        spec = EncoderSpec(**manifest["encoder"])
        lines = _json(source / BOILERPLATE) if (source / BOILERPLATE).exists() else []
        parts = unpack(packed)
        router = ModelRouter(
            name=manifest["fitted"]["table"],
            encoder=open_by_digest(spec, carried=carried if carried.exists() else None, notify=notify),
            boilerplate=Boilerplate(frozenset(lines)),
            policy=from_mapping(manifest["policy"]),
            fitted=manifest["fitted"],
            guarantee=manifest["guarantee"],
            **{name: parts[name] for name in PARTS},
        )
        if router.guarantee is not None and not isinstance(router.guarantee, dict):
            raise TypeError(f"its guarantee is {router.guarantee!r}")
        if list(router.models) != manifest["models"]:
            raise ValueError(f"its models are {list(router.models)}, the manifest's {manifest['models']}")
        _try_out(router)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as err:
        if isinstance(err, BundleError):
            raise
        raise BundleError(
            f"{source}: the manifest does not describe a router over models ({err}); train it again."
        ) from err
    return router


def _vocabularies(source: Path) -> dict[str, tuple[str, ...]]:
    rows = [json.loads(line) for line in (source / QUERIES).read_text(encoding="utf-8").split("\n") if line]
    found = _json(source / NGRAMS) if (source / NGRAMS).exists() else {}
    return {
        **{name: tuple(terms) for name, terms in found.items()},
        IDS: tuple(row["id"] for row in rows),
        TEXTS: tuple(row["text"] for row in rows),
        HELD: tuple(_json(source / CALIBRATION)),
    }


def _json(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


def _try_out(router: ModelRouter) -> None:
    """Let every part read one query, so that parts which do not fit together are found now and not by a user's query."""
    spec, columns = router.encoder.spec, len(router.models)
    row = np.zeros((1, spec.dim), dtype=np.float32)
    row[0, 0] = 1.0
    p = router.success.probabilities(["?"], row, row[:, : spec.sentence_dim])
    expected = None
    if router.costs is not None:
        expected = router.costs.expected_usd(router.success.space.dense(["?"], row))
    router.novelty.rank(row[:, : spec.sentence_dim])
    router.policy.choose(p, expected)
    held = router.calibration
    wanted = [(len(router.training), columns), *[(len(held), columns)] * 3]
    if [table.shape for table in (router.training.score, held.p, held.score, held.paid_usd)] != wanted:
        raise ValueError("the recorded scores do not have one row per query and one column per model")
