"""From a directory to what decides: a bundle is read and verified, its compiled form is taken where it has one, and it decides once.

The compiled form of BUNDLE stands beside it, in BUNDLE.compiled, where `weighbridge export BUNDLE --out BUNDLE.compiled`
puts it. It is of this bundle where its manifest names the bundle's id; one of another bundle is told and left alone. A form
may also be served by itself: it carries its encoder.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Literal

from agents.gateway.held import FITTED, Held, LabelBundle, ModelBundle, policy_digest
from router.bundlefiles import MANIFEST, bundle_id, kind_of, read_manifest
from router.compiled import CompiledRouter
from router.compiled.files import KIND, STATIC, load
from router.errors import BundleError, WeighbridgeError
from router.outcome_bundle import load_any
from router.outcome_router import ModelRouter
from router.pipeline import NO_ROUTES, HeadSet

logger = logging.getLogger(__name__)

Form = Literal["auto", "fitted", "fp32", "int8", "static"]
SUFFIX = ".compiled"
PROBE = "where is my refund?"


def compiled_beside(bundle: Path) -> Path:
    """Where the compiled form of a bundle is looked for."""
    return bundle.with_name(bundle.name + SUFFIX)


def stamp_of(bundle: Path, form: Form = "auto") -> str | None:
    """Names what stands at a path, a link's target included: the bundle's id and its form's; None where no bundle does."""
    place = bundle.resolve()
    ids = [_id(place), None if form == FITTED else _id(compiled_beside(place))]
    return "+".join(found for found in ids if found) if ids[0] else None


def load_held(source: Path, *, form: Form = "auto") -> Held:
    """Read and verify a bundle, and let it decide once.

    form: "auto" takes int8 where it was exported, else fp32, else the fitted router; "static" asks the static tier first,
    then as "auto". Any other is taken or refused. Raises BundleError or EncoderError for a bundle that cannot be served,
    OSError where the disk fails.
    """
    place = source.resolve()  # a link may lead elsewhere while its bundle is read
    stamp = stamp_of(place, form) or ""
    try:
        held = _opened(place, form, stamp=stamp)
    except (WeighbridgeError, OSError):
        raise
    except (
        Exception
    ) as err:  # a running server must outlive whatever a strange bundle does to the libraries that read it
        raise BundleError(f"{source}: cannot be read ({type(err).__name__}: {err}); train it again.") from err
    try:
        held.verdict(PROBE)
    except Exception as err:  # as above
        raise BundleError(f"{source}: it loads but decides nothing ({type(err).__name__}); train it again.") from err
    if stamp_of(place, form) != stamp:
        raise BundleError(f"{source}: it changed while it was read; load it again.")
    return held


def _opened(place: Path, form: Form, *, stamp: str) -> Held:
    if kind_of(place) == KIND:
        return _labels(_compiled(place, form), _id(place) or "", stamp)
    compiled = None if form == FITTED else _of_bundle(place, form)
    if compiled is not None:
        return _labels(compiled, _id(place) or "", stamp)
    router = load_any(place)
    if isinstance(router, HeadSet):
        raise BundleError(f"{place}: {NO_ROUTES}, so there is nothing to serve. Train one with `--routes FILE`.")
    identity = _id(place) or ""
    if isinstance(router, ModelRouter):
        return ModelBundle.of(router, bundle_id=identity, stamp=stamp)
    return LabelBundle(router=router, bundle_id=identity, stamp=stamp, policy_hash=policy_digest(router))


def _labels(router: CompiledRouter, identity: str, stamp: str) -> LabelBundle:
    return LabelBundle(router=router, bundle_id=identity, stamp=stamp, policy_hash=policy_digest(router))


def _of_bundle(place: Path, form: Form) -> CompiledRouter | None:
    """The compiled form beside a bundle; None where "auto" finds none of it. Raises BundleError where one was asked for."""
    beside = compiled_beside(place)
    named, identity = _manifest(beside).get("source"), _id(place)
    if named is None or named != identity:
        problem = "there is no compiled form" if named is None else f"is the compiled form of bundle {named}"
        advice = f"`weighbridge export {place} --out {beside}{' --static' if form == STATIC else ''}`"
        if form != "auto":
            raise BundleError(f"{beside}: {problem}; wanted one of {identity} to serve {form}. Type {advice}.")
        if named is not None:
            logger.warning(
                "%s: %s, not of %s: the fitted router is served. Type %s.", beside, problem, identity, advice
            )
        return None
    read_manifest(place)  # nobody serves a form of what was tampered with
    return _compiled(beside, form)


def _compiled(place: Path, form: Form) -> CompiledRouter:
    """A form in the precision asked for. It remembers nothing: the decider's cache stands before it."""
    if form == FITTED:
        raise BundleError(f"{place}: is a compiled form, and the fitted router was asked for; name its bundle.")
    if form == STATIC and STATIC not in _manifest(place).get("tiers", {}):
        raise BundleError(f"{place}: has no static tier; make one with `weighbridge export BUNDLE --out DIR --static`.")
    precision = form if form in ("fp32", "int8") else None
    return load(place, precision=precision, static=form == STATIC, remember=0)


def _manifest(place: Path) -> dict[str, Any]:  # Any: whatever JSON can hold
    """What a form says of itself, before anything is verified; nothing where there is none."""
    try:
        found = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("kind") == KIND else {}


def _id(place: Path) -> str | None:
    return bundle_id(place) if (place / MANIFEST).is_file() else None
