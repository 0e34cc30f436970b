"""Evidence for a promotion: the judge fills it in, the registry checks it, and neither imports the other.

It says what was compared with what, on which data, and how the difference came out. It carries no margin: how much worse
a challenger may be is the decision of who promotes.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from router.errors import DataError
from router.files import canonical_json, sha256_bytes, write_atomic

SCHEMA_VERSION = 1
REMEDY = "Compare again with `weighbridge evidence`, which writes it."


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeRecord:
    """A finite-sample bound for one bundle: P(quality loss against `against` > epsilon) <= delta at `threshold`.

    bundle: its id.   n: calibration queries.   expected_usd: dollars per query, None where the table has no cost.
    sentence: the same in words. Raises DataError for values that bound nothing.
    """

    bundle: str
    epsilon: float
    delta: float
    n: int
    threshold: float
    against: str
    expected_usd: float | None
    sentence: str

    def __post_init__(self) -> None:
        _require_text(self, "bundle", "against", "sentence")
        _require_finite(self, "epsilon", "delta", "threshold")
        if self.expected_usd is not None:
            _require_finite(self, "expected_usd")
        _require_count(self, least=1)
        if not (0 < self.epsilon < 1 and 0 < self.delta < 1):
            raise DataError(
                f"evidence: epsilon {self.epsilon}, delta {self.delta}; both must lie strictly between 0 and 1."
            )
        if self.expected_usd is not None and self.expected_usd < 0:
            raise DataError(f"evidence: expected_usd is {self.expected_usd}; wanted 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A paired comparison of a challenger with the champion, or with a named baseline where there is no champion.

    challenger, champion: bundle ids.   baseline: a router's name; exactly one of `champion` and `baseline` is given.
    challenger_fingerprint, champion_fingerprint: of the data that each side was judged on.   n: paired queries.
    estimate, low, high: challenger minus the other in `metric`, with its 95 % interval.
    Raises DataError for values that are no comparison.
    """

    challenger: str
    champion: str | None
    baseline: str | None
    challenger_fingerprint: str
    champion_fingerprint: str
    metric: str
    higher_is_better: bool
    n: int
    estimate: float
    low: float
    high: float
    guarantee: GuaranteeRecord | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        other = "baseline" if self.champion is None else "champion"
        _require_text(self, "challenger", other, "challenger_fingerprint", "champion_fingerprint", "metric")
        _require_finite(self, "estimate", "low", "high")
        _require_count(self, least=0)
        if self.champion is not None and self.baseline is not None:
            raise DataError("evidence: names a champion and a baseline; wanted one of them, the other null.")
        if not isinstance(self.higher_is_better, bool):
            raise DataError(f"evidence: higher_is_better is {self.higher_is_better!r}; wanted true or false.")
        if self.low > self.high:
            raise DataError(f"evidence: the interval [{self.low}, {self.high}] ends before it begins. {REMEDY}")
        if self.guarantee is not None and not isinstance(self.guarantee, GuaranteeRecord):
            raise DataError(f"evidence: guarantee is {type(self.guarantee).__name__}; wanted a guarantee or null.")
        _require_schema(self.schema_version)

    @property
    def least_gain(self) -> float:
        """The unfavourable end of the interval, positive where the challenger is better at that end too."""
        return self.low if self.higher_is_better else -self.high

    def summary(self) -> str:
        """The comparison in one line."""
        other = self.champion or self.baseline
        return f"{self.metric} {self.estimate:+.4g} [{self.low:+.4g}, {self.high:+.4g}] against {other}, n {self.n:,}"

    def digest(self) -> str:
        """Hex digest of the mapping."""
        return sha256_bytes(canonical_json(self.to_mapping()).encode())

    def to_mapping(self) -> dict[str, Any]:
        """The JSON form; `evidence_from_mapping` reads it back."""
        return asdict(self)


def evidence_from_mapping(raw: object, *, where: str) -> Evidence:
    """Build evidence from parsed JSON; `where` names the file in errors. Raises DataError for anything out of place."""
    try:
        body = dict(_table(raw, "it"))
        _require_schema(body.get("schema_version"))
        if body.get("guarantee") is not None:
            body["guarantee"] = GuaranteeRecord(
                **_fields(GuaranteeRecord, _table(body["guarantee"], "guarantee"), "guarantee.")
            )
        return Evidence(**_fields(Evidence, body, ""))
    except DataError as err:
        raise DataError(f"{where}: {err}") from err


def read_evidence(path: Path) -> Evidence:
    """Read evidence from a JSON file. Raises DataError with the file's name."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file; wanted evidence of a comparison. {REMEDY}") from err
    except (OSError, ValueError, RecursionError) as err:
        raise DataError(f"{path}: not evidence ({err}). {REMEDY}") from err
    return evidence_from_mapping(raw, where=str(path))


def write_evidence(evidence: Evidence, path: Path) -> None:
    """Write evidence as JSON, whole or not at all."""
    write_atomic(path, canonical_json(evidence.to_mapping(), indent=1) + "\n")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that stands twice would let one reader see another comparison than the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _table(raw: object, name: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise DataError(f"evidence: {name} is {type(raw).__name__}; wanted a table of its fields. {REMEDY}")
    return raw


def _fields(kind: type[Evidence] | type[GuaranteeRecord], raw: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The mapping, if its keys are the record's, all of them and no others."""
    names = {field.name for field in fields(kind)}
    faults = [f"lacks {prefix}{name}" for name in sorted(names - set(raw))]
    faults += [f"has an unknown {prefix}{name}" for name in sorted(map(str, set(raw) - names))]
    if faults:
        raise DataError(f"evidence: {', '.join(faults)}. {REMEDY}")
    return dict(raw)


def _require_schema(found: object) -> None:
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise DataError(f"evidence: schema_version is {found!r}; wanted {SCHEMA_VERSION}. {REMEDY}")
    if found > SCHEMA_VERSION:
        raise DataError(
            f"evidence: schema {found} is newer than this version reads ({SCHEMA_VERSION}); update Weighbridge."
        )


def _require_text(record: object, *names: str) -> None:
    for name in names:
        value = getattr(record, name)
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise DataError(f"evidence: {name} is {value!r}; wanted one line of text. {REMEDY}")


def _require_finite(record: object, *names: str) -> None:
    """Check numbers, and keep them as plain floats: 0 and 0.0 must have one digest."""
    for name in names:
        value = getattr(record, name)
        try:
            number = math.nan if isinstance(value, bool | str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"evidence: {name} is {value!r}; wanted a finite number. {REMEDY}")
        object.__setattr__(record, name, number)


def _require_count(record: Evidence | GuaranteeRecord, *, least: int) -> None:
    value = record.n
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < least:
        raise DataError(f"evidence: n is {value!r}; wanted a whole number of {least} or more. {REMEDY}")
    object.__setattr__(record, "n", count)
