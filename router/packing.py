"""Fitted records to what a bundle can hold and back, field by field: plain JSON, named arrays, vocabularies.

A record is any dataclass of RECORDS; its fields may be numbers, texts, None, arrays, other records, tuples of these, and
mappings of plain JSON. A new view of the success model costs its classes' names in RECORDS. Nothing is executed on the way back: a class
is looked up by name in RECORDS and must have exactly the fields that were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from router.errors import BundleError
from router.files import sha256_bytes
from router.ngrams import Ngrams
from router.novelty import Novelty
from router.outcome_router import ScoredQueries, TrainingQueries
from router.success.blend import EachBlend, JointBlend, SharedBlend
from router.success.costs import CostModel
from router.success.domain import DomainHead
from router.success.landmarks import Landmarks
from router.success.model import SuccessModel
from router.success.neighbours import Neighbours
from router.success.principal import Ridge
from router.success.solver import Heads
from router.success.space import SuccessSpace, WordSpace

RECORDS: Mapping[str, type] = {
    record.__name__: record
    for record in (
        SuccessModel,
        SuccessSpace,
        WordSpace,
        Heads,
        Neighbours,
        DomainHead,
        Landmarks,
        Ridge,
        JointBlend,
        EachBlend,
        SharedBlend,
        CostModel,
        Novelty,
        Ngrams,
        ScoredQueries,
        TrainingQueries,
    )
}
# Fields whose many texts would drown the rest of a manifest.
VOCABULARIES = frozenset({("Ngrams", "terms"), ("ScoredQueries", "ids"), ("TrainingQueries", "ids"), ("TrainingQueries", "texts")})  # fmt: skip
KINDS = "biuf"  # of arrays: truths, whole numbers, floats; nothing that would need pickle

Json = Any  # whatever JSON can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """structure: JSON that refers to the two others by name.   arrays: equal ones are kept once.   vocabularies: texts."""

    structure: Json
    arrays: dict[str, np.typing.NDArray[Any]] = field(default_factory=dict)
    vocabularies: dict[str, tuple[str, ...]] = field(default_factory=dict)


def pack(parts: Mapping[str, object]) -> Packed:
    """Name -> record, taken apart. Raises TypeError for a value of a kind that is not listed above."""
    packed = Packed(structure={})
    known: dict[str, str] = {}
    for name, part in parts.items():
        packed.structure[name] = _pack(part, name, packed, known)
    return packed


def unpack(packed: Packed) -> dict[str, Any]:
    """The inverse of `pack`. Raises BundleError for what it did not write."""
    try:
        return {name: _unpack(entry, packed) for name, entry in packed.structure.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise BundleError(
            f"the manifest's `parts` are not what this version writes ({err}); train the bundle again."
        ) from err


def _pack(value: object, at: str, packed: Packed, known: dict[str, str]) -> Json:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return {"array": _array(value, at, packed, known)}
    if is_dataclass(value) and RECORDS.get(type(value).__name__) is type(value):
        return {"record": type(value).__name__, "fields": _fields(value, at, packed, known)}
    if isinstance(value, tuple):
        return {"items": [_pack(item, f"{at}.{i}", packed, known) for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        # a mapping is JSON already: settings that were chosen, and the figures they were chosen on
        return {"json": dict(value)}
    raise TypeError(f"{at}: a {type(value).__name__} cannot be kept in a bundle; wanted one of {', '.join(RECORDS)}.")


def _fields(record: object, at: str, packed: Packed, known: dict[str, str]) -> dict[str, Json]:
    name, written = type(record).__name__, {}
    for entry in fields(record):  # type: ignore[arg-type]  # a dataclass: `_pack` has looked
        value, place = getattr(record, entry.name), f"{at}.{entry.name}"
        if (name, entry.name) in VOCABULARIES:
            packed.vocabularies[place] = tuple(value)
            written[entry.name] = {"vocabulary": place}
        else:
            written[entry.name] = _pack(value, place, packed, known)
    return written


def _array(value: np.typing.NDArray[Any], at: str, packed: Packed, known: dict[str, str]) -> str:
    """The name under which the array stands: its own, or that of an equal one (the neighbours' rows are novelty's too)."""
    if value.dtype.kind not in KINDS:
        raise TypeError(f"{at}: an array of {value.dtype} cannot be kept in a bundle; wanted numbers.")
    whole = np.ascontiguousarray(value)
    key = f"{whole.dtype.str}{whole.shape}{sha256_bytes(whole.tobytes())}"
    if key not in known:
        known[key] = at
        packed.arrays[at] = whole
    return known[key]


def _unpack(entry: Json, packed: Packed) -> Any:  # Any: a record, or a field's value
    if not isinstance(entry, dict):
        return entry
    if "array" in entry:
        return packed.arrays[entry["array"]]
    if "vocabulary" in entry:
        return packed.vocabularies[entry["vocabulary"]]
    if "items" in entry:
        return tuple(_unpack(item, packed) for item in entry["items"])
    if "json" in entry:
        return entry["json"]
    record = RECORDS[entry["record"]]
    wanted = {item.name for item in fields(record)}
    if set(entry["fields"]) != wanted:
        raise ValueError(f"{entry['record']} has the fields {sorted(entry['fields'])}, wanted {sorted(wanted)}")
    return record(**{name: _unpack(value, packed) for name, value in entry["fields"].items()})
