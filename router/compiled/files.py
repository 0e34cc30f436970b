"""A compiled router on disk: every file hashed in a manifest and verified at load; nothing is executed.

manifest.json                       what it is, its thresholds, what was measured, and the SHA-256 of every other file
graph-fp32.onnx, graph-int8.onnx    encoder, heads and calibrations; one of them or both
tokenizer.json                      the encoder's
weights.safetensors                 the blocks outside the graph, novelty, the static tier
ngrams.json, lexicon.json           where the router has them
CARD.md                             written by the export, never by hand
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from router.bundlefiles import MANIFEST, Arrays, read_manifest, require_kind
from router.bundleparts import known_arrays, space_from_arrays, table
from router.calibration import calibration_from_arrays
from router.card import card_from_mapping
from router.compiled.earlier import EarlierLogits
from router.compiled.layout import Layout, Tail
from router.compiled.router import REMEMBER, CompiledRouter
from router.compiled.sparse import SparseLogits
from router.compiled.tiers import GraphScores, Scores, StaticScores, Tier
from router.compiled.tokens import Tokens
from router.encoders.onnx import TOKENIZER_FILE
from router.errors import BundleError, DataError
from router.novelty import Novelty
from router.policy import LabelPolicy
from router.routes import RouteTable, table_from_mapping

KIND = "compiled"
STATIC = "static"
PRECISIONS: tuple[Precision, ...] = ("int8", "fp32")  # the faster first: what `load` takes where nothing is asked for

Precision = Literal["fp32", "int8"]


def graph_file(precision: str) -> str:
    """The name of a graph's file."""
    return f"graph-{precision}.onnx"


def load(
    source: Path, *, precision: Precision | None = None, static: bool = True, remember: int = REMEMBER
) -> CompiledRouter:
    """Read a compiled router; verify every hash. Needs NumPy, ONNX Runtime, tokenizers and safetensors alone.

    precision: which graph, the faster of those there if None.   static: let the static tier answer first, where there is
    one.   remember: how many decisions are kept by their text. Raises BundleError for a form that is missing, broken,
    tampered with, of a newer schema or another kind, or without the precision asked for.
    """
    manifest = read_manifest(source)
    require_kind(source, manifest, KIND)
    try:
        return open_form(source, manifest, precision=precision, static=static, remember=remember)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, DataError) as err:
        if isinstance(err, BundleError):
            raise
        raise BundleError(
            f"{source}: the manifest does not describe a compiled router ({err}); `weighbridge export` it again."
        ) from err


def open_form(
    source: Path, manifest: Mapping[str, Any], *, precision: Precision | None, static: bool, remember: int
) -> CompiledRouter:
    """What `load` does once the hashes are verified. Raises BundleError for a precision that is not there."""
    card = card_from_mapping(manifest["card"], where=str(source / MANIFEST))
    arrays = known_arrays(source, manifest)
    space = space_from_arrays(source, arrays, card)
    layout = layout_of(manifest)
    routes = table_from_mapping(manifest["routes"], where=str(source / MANIFEST))
    graph = _precision(source, manifest, precision)
    names = [STATIC, graph] if static and STATIC in manifest["tiers"] else [graph]
    sparse = SparseLogits(
        [part(arrays, f"{STATIC if name == STATIC else 'graph'}.sparse") for name in names],
        surface_mean=space.surface_mean,
        surface_std=space.surface_std,
        ngrams=space.ngrams,
        lexicon=space.lexicon,
    )
    tiers = []
    for name in names:
        scores: Scores
        if name == STATIC:
            scores = _static_scores(manifest, arrays, layout)
        else:
            scores = GraphScores(source / graph_file(name), layout, arrays["graph.reference"])
        tiers.append(_tier(name, scores, manifest["tiers"][name], arrays, (layout, routes)))
    tokens = Tokens(source / TOKENIZER_FILE, int(manifest["encoder"]["max_tokens"]))
    return CompiledRouter(layout, tiers, tokens=tokens, sparse=sparse, remember=remember)


def layout_of(manifest: Mapping[str, Any]) -> Layout:
    """The layout that a manifest names."""
    heads = {str(name): tuple(classes) for name, classes in table(manifest, "heads").items()}
    return Layout(heads=heads, domain=manifest["routes"]["policy"]["domain"]["head"], also=tuple(manifest["also"]))


def part(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with a prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def named(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    """The other way: the same arrays under names that begin with a prefix."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _precision(source: Path, manifest: Mapping[str, Any], asked: Precision | None) -> str:
    there = [name for name in PRECISIONS if name in table(manifest, "tiers")]
    if asked is None and there:
        return there[0]
    if asked not in there:
        raise BundleError(
            f"{source}: has no graph in {asked or 'any precision'} (there is {_listed(there)});"
            " make one with `weighbridge export BUNDLE --out DIR --precision both`."
        )
    return asked


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _tier(
    name: str, scores: Scores, entry: Mapping[str, Any], arrays: Arrays, shared: tuple[Layout, RouteTable]
) -> Tier:
    """One tier, `shared` being what all have in common. A graph's precisions are measured against the same reference."""
    layout, routes = shared
    encoder = STATIC if name == STATIC else "graph"
    reference, earlier = arrays[f"{encoder}.reference"], part(arrays, f"{encoder}.earlier")
    return Tier(
        name=name,
        layout=layout,
        scores=scores,
        novelty=Novelty(reference=reference, calibration=arrays[f"novelty.{name}"]),
        policy=LabelPolicy(routes, layout.heads, threshold=float(entry["threshold"])),
        also=tuple(float(value) for value in entry["also"]),
        earlier=EarlierLogits(**earlier) if earlier else None,
        answers_above=float(entry["answers_above"]),
    )


def _static_scores(manifest: Mapping[str, Any], arrays: Arrays, layout: Layout) -> StaticScores:
    own = part(arrays, STATIC)
    kinds = manifest["static"]["calibrations"]
    calibrations = tuple(
        calibration_from_arrays(kind, part(own, f"calibration.{place}")) for place, kind in enumerate(kinds)
    )
    tail = Tail(layout, own["domain_weights"], calibrations)
    return StaticScores(
        vectors=own["vectors"],
        mean=own["mean"],
        scale=own["scale"],
        weights=own["weights"],
        intercept=own["intercept"],
        tail=tail,
        reference=own["reference"],
    )
