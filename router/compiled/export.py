"""From a fitted router to its compiled form: what is written, and what is refused. `making` does the steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from router.bundlefiles import (
    SCHEMA_VERSION,
    Arrays,
    file_hashes,
    kind_of,
    library_versions,
    write_manifest,
)
from router.bundleparts import describe_features, space_to_arrays, write_words
from router.card import card_to_mapping
from router.compiled.card import card_text
from router.compiled.earlier import earlier_arrays
from router.compiled.files import KIND, Precision, named
from router.compiled.layout import stack_of
from router.compiled.making import Making, Notify, Parts
from router.compiled.sparse import sparse_weights
from router.compiled.static import MOST_LOST
from router.encoders.cache import CachedEncoder
from router.encoders.onnx import TOKENIZER_FILE
from router.encoders.open import HASHING, cache_directory, exported_directory
from router.errors import BundleError
from router.files import new_directory, write_atomic
from router.pipeline import Router
from router.routes import table_to_mapping

Manifest = dict[str, Any]  # Any: whatever JSON can hold


def export(
    router: Router,
    target: Path,
    *,
    source_id: str,
    parts: Parts,
    precisions: tuple[Precision, ...],
    static: bool,
    most_lost: float = MOST_LOST,
    notify: Notify = lambda _: None,
) -> Manifest:
    """Write the compiled form of `router` to the directory `target`, whole or not at all; returns its manifest.

    source_id: of the bundle it comes from.   static: whether to distil and fit the static tier as well (some minutes).
    most_lost: of the route accuracy, in [0, 1], by both tiers together at the upper end of its 95 % interval.
    Raises BundleError where the encoder has no graph, where a split is empty, or `target` is something else.
    """
    _require_replaceable(target)
    _require_graph(router)
    _require_queries(parts)
    stack, encoder = stack_of(router), exported_directory(router.encoder)
    fitted = replace(router, encoder=CachedEncoder(router.encoder, cache_directory()))
    with new_directory(target) as work:
        manifest = _manifest(router, source_id)
        arrays: Arrays = {
            **space_to_arrays(router.space),
            **named(sparse_weights(router.space, stack), "graph.sparse"),
            **named(earlier_arrays(router.space, stack), "graph.earlier"),
            "graph.reference": router.novelty.reference,
        }
        write_words(router.space, work)
        write_atomic(work / TOKENIZER_FILE, (encoder / TOKENIZER_FILE).read_bytes())
        making = Making(work=work, manifest=manifest, arrays=arrays, fitted=fitted, parts=parts, notify=notify)
        making.graphs(encoder, stack, precisions)
        if static:
            making.static(encoder, most_lost=most_lost)
        making.measure()
        manifest["files"] = file_hashes(work)
        write_manifest(work, manifest, card=card_text(manifest))
    return manifest


def _require_replaceable(target: Path) -> None:
    """Raise BundleError where `target` is something else than a compiled form: above all, the bundle itself."""
    if target.exists() and kind_of(target) != KIND:
        raise BundleError(
            f"{target} exists and is no compiled router; wanted a new directory or an old export to replace. Choose another --out."
        )


def _require_graph(router: Router) -> None:
    if router.encoder.spec.name == HASHING:
        raise BundleError(
            "the bundle's encoder is `hashing`, which has no graph to compile."
            " Train one with another: `weighbridge train --data D --routes FILE --out B`."
        )


def _require_queries(parts: Parts) -> None:
    for name, part in (("calibration", parts.calibration), ("test", parts.test)):
        if not len(part):
            raise BundleError(
                f"--data has no query with split = {name!r}, and an export needs some to set its thresholds and to be measured."
                " Deal the splits with `weighbridge data split --data D --out FILE`."
            )


def _manifest(router: Router, source_id: str) -> Manifest:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "source": source_id,
        "encoder": router.encoder.spec.to_mapping(),
        "features": describe_features(router.space),
        "heads": {name: list(classes) for name, classes in router.classes.items()},
        "also": [entry.head.name for entry in router.also],
        "card": card_to_mapping(router.card),
        "routes": table_to_mapping(router.table),
        "policy_hash": router.table.digest(),
        "tiers": {},
        "static": None,
        "measured": {},
        "libraries": library_versions(),
    }
