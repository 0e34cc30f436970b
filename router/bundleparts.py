"""The feature space and the heads within a bundle, for every kind of bundle that has them: as named arrays and small files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from router.bundlefiles import NGRAMS, WEIGHTS, Arrays, read_arrays
from router.calibration import calibration_from_arrays
from router.card import Card
from router.errors import BundleError
from router.features import FeatureSpace
from router.files import canonical_json, write_atomic
from router.heads import Head
from router.lexicon import lexicon_from_mapping
from router.ngrams import Ngrams
from router.surface import FEATURE_NAMES

HEADS = "heads"  # the kind of a bundle that has heads and no routes
LEXICON = "lexicon.json"
EARLIER = "space.earlier_dim"
SPACE = ("embedding_mean", "embedding_std", "surface_mean", "surface_std")


def require_routes(source: Path, manifest: Mapping[str, Any]) -> None:
    """Raise BundleError where a bundle has heads alone."""
    if manifest.get("kind") == HEADS:
        raise BundleError(
            f"{source}: has no route table, so it decides no route; `evaluate`, `route` and `inspect` work on it."
            " Train one that decides: `weighbridge train --data D --routes FILE --out B`."
        )


def space_to_arrays(space: FeatureSpace) -> Arrays:
    """The numbers of a feature space; its words go to files of their own."""
    arrays: Arrays = {f"space.{name}": getattr(space, name) for name in SPACE}
    if space.ngrams is not None:
        arrays["space.idf"] = space.ngrams.idf
    if space.earlier_dim:
        arrays[EARLIER] = np.array([space.earlier_dim], dtype=np.int64)
    return arrays


def write_words(space: FeatureSpace, work: Path) -> None:
    """Write the n-gram vocabulary and the lexicon, where the space has them."""
    if space.ngrams is not None:
        write_atomic(work / NGRAMS, canonical_json(list(space.ngrams.terms)) + "\n")
    if space.lexicon is not None:
        write_atomic(work / LEXICON, canonical_json(space.lexicon.terms, indent=1) + "\n")


def describe_features(space: FeatureSpace) -> dict[str, Any]:
    """What a manifest says of the features."""
    return {
        "surface": list(FEATURE_NAMES),
        "ngrams": len(space.ngrams.terms) if space.ngrams else 0,
        "earlier": bool(space.earlier_dim),
    }


def known_arrays(source: Path, manifest: Mapping[str, Any]) -> Arrays:
    """Every array of a bundle. Raises BundleError where it was trained with surface features that are not ours."""
    if tuple(manifest["features"]["surface"]) != FEATURE_NAMES:
        raise BundleError(
            f"{source}: was trained with other surface features than this version computes; train it again."
        )
    return read_arrays(source / WEIGHTS)


def space_from_arrays(source: Path, arrays: Arrays, card: Card) -> FeatureSpace:
    """The feature space of a bundle, its words read from their files."""
    ngrams = lexicon = None
    if (source / NGRAMS).exists():
        ngrams = Ngrams(terms=tuple(json.loads((source / NGRAMS).read_text(encoding="utf-8"))), idf=arrays["space.idf"])
    if (source / LEXICON).exists():
        raw = json.loads((source / LEXICON).read_text(encoding="utf-8"))
        lexicon = lexicon_from_mapping(raw, card, where=str(source / LEXICON))
    return FeatureSpace(
        **{name: arrays[f"space.{name}"] for name in SPACE},
        ngrams=ngrams,
        lexicon=lexicon,
        earlier_dim=int(arrays[EARLIER][0]) if EARLIER in arrays else 0,
    )


def head_to_arrays(prefix: str, head: Head) -> Arrays:
    """Weights by block, intercept and calibration of one head, under names that begin with `prefix`."""
    return {
        f"{prefix}.intercept": head.intercept,
        **{f"{prefix}.weights.{block}": weights for block, weights in head.weights.items()},
        **{f"{prefix}.calibration.{name}": array for name, array in head.calibration.to_arrays().items()},
    }


def describe_head(head: Head) -> dict[str, Any]:
    """What a manifest says of a head."""
    return {"classes": list(head.classes), "blocks": sorted(head.weights), "calibration": head.calibration.kind}


def heads_from_arrays(manifest: Mapping[str, Any], arrays: Arrays, card: Card) -> dict[str, Head]:
    """The heads of a manifest in the order of the card's. Raises BundleError where classes and weights disagree."""
    found = {
        name: head_from_arrays(f"head.{name}", name, entry, arrays) for name, entry in table(manifest, "heads").items()
    }
    return {name: found[name] for name in card.heads if name in found}


def head_from_arrays(prefix: str, name: str, entry: Mapping[str, Any], arrays: Arrays) -> Head:
    """One head, as `head_to_arrays` and `describe_head` wrote it. Raises BundleError where the two disagree."""

    def part(kind: str) -> Arrays:
        start = f"{prefix}.{kind}."
        return {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}

    classes: Sequence[str] = entry["classes"]
    weights, intercept = part("weights"), arrays[f"{prefix}.intercept"]
    if any(array.shape[-1] != len(classes) for array in (*weights.values(), intercept)):
        raise BundleError(
            f"head {name!r}: the manifest names {len(classes)} classes, the weights have {intercept.shape[-1]}; train it again."
        )
    calibration = calibration_from_arrays(entry["calibration"], part("calibration"))
    return Head(name, tuple(classes), weights, intercept, calibration)


def table(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A manifest's entry that must be a table. Raises TypeError where it is something else."""
    value = manifest[name]
    if not isinstance(value, dict):
        raise TypeError(f"{name!r} is {type(value).__name__}, wanted a table")
    return value
