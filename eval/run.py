"""The run: what a replay recorded. Every table, JSON and plot is a pure function of runs.

One JSON object a line: first the header, then one record per query, keys sorted, probabilities with 6 decimals, no
clock and no host name; so the same inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.errors import RunError
from router.files import canonical_json, write_atomic

SCHEMA_VERSION = 1
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)  # what a broken file raises


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What was replayed, by whom, with which prices.

    router: a name. bundle: the bundle's id, None for a baseline. classes: head -> labels in column order.
    routes: name -> {"cost_usd", "latency_ms_p50", "latency_ms_p95"}, all assumptions of the route table (`simulated`).
    agreement: head -> the share of the data set's queries on which two labellings agree, for heads that have one.
    served_by: domain label -> the route of what is not cheap there (its desk's, or the safe one).   safe: that one.
    """

    router: str
    bundle: str | None
    dataset: str
    fingerprint: str
    split: str
    n: int
    seed: int
    threshold: float
    classes: Mapping[str, Sequence[str]]
    desks: Sequence[str]
    policy: Mapping[str, Any]
    policy_hash: str
    cheap: str
    routes: Mapping[str, Mapping[str, float]]
    price_date: str
    served_by: Mapping[str, str] = field(default_factory=dict)
    safe: str = ""
    agreement: Mapping[str, float] = field(default_factory=dict)
    simulated: bool = True
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One query's decision beside its labels. probabilities: head -> list in the header's column order.

    true_route is None where the labels leave it open. cost and latency are simulated from the route's assumptions.
    """

    query_id: str
    text: str
    route: str
    rule: str
    confidence: float
    novelty: float
    probabilities: Mapping[str, Sequence[float]]
    also: Sequence[str]
    labels: Mapping[str, str | None]
    also_label: Sequence[str]
    true_route: str | None
    language: str | None
    persona: str | None
    unit: str
    cost_usd: float
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A header and n records, in the order of the data."""

    header: Header
    records: tuple[Record, ...]

    def to_text(self) -> str:
        """The bytes of the file, as text."""
        lines = [canonical_json(asdict(self.header)), *(canonical_json(asdict(record)) for record in self.records)]
        return "\n".join(lines) + "\n"

    def probabilities(self, head: str) -> npt.NDArray[np.float64]:
        """(n, k) in the header's column order."""
        rows = [record.probabilities[head] for record in self.records]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.header.classes[head]))

    def labelled(self, head: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """(positions of the records that have a label of this head, their class numbers)."""
        classes = {label: j for j, label in enumerate(self.header.classes[head])}
        pairs = [
            (i, classes[label])
            for i, record in enumerate(self.records)
            if (label := record.labels.get(head)) is not None
        ]
        table = np.array(pairs, dtype=np.intp).reshape(len(pairs), 2)
        return table[:, 0], table[:, 1]

    @property
    def units(self) -> list[str]:
        """The n names of what the bootstrap draws whole."""
        return [record.unit for record in self.records]


def write_run(run: Run, path: Path) -> None:
    """Write the run, whole or not at all."""
    write_atomic(path, run.to_text())


def read_run(path: Path) -> Run:
    """Read a run. Raises RunError naming file and line."""
    header, records = stream_run(path)
    return Run(header=header, records=tuple(records))


def stream_run(path: Path) -> tuple[Header, Iterator[Record]]:
    """A run's header, and its records one by one as they are asked for: a run may be larger than memory.

    Raises RunError naming file and line: at once for the header, later for a record that does not fit it or is missing.
    """
    try:
        lines = _lines(path)
        header = json.loads(next(lines, ""))
        if header["schema_version"] > SCHEMA_VERSION:
            raise RunError(
                f"{path}: schema {header['schema_version']} is newer than this version reads ({SCHEMA_VERSION}); update Weighbridge."
            )
        head = Header(**header)
    except UNREADABLE as err:
        raise _unreadable(path, 1, err) from err
    return head, _records(path, head, lines)


def _lines(path: Path) -> Iterator[str]:
    """Lines without their ends. Only a line feed ends one: a text may hold other characters that end lines elsewhere."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n")


def _records(path: Path, head: Header, lines: Iterator[str]) -> Iterator[Record]:
    number, read = 1, 0
    try:
        for number, raw in enumerate(lines, start=2):  # noqa: B007  # the handler below names it
            yield _fitting(Record(**json.loads(raw)), head)
            read += 1
    except UNREADABLE as err:
        raise _unreadable(path, number, err) from err
    if read != head.n:
        raise RunError(f"{path}: holds {read} records, its header says {head.n}; replay again.")


def _unreadable(path: Path, line: int, err: Exception) -> RunError:
    if isinstance(err, RunError):
        return err
    if isinstance(err, FileNotFoundError):
        return RunError(f"{path}: no such run; make one with `weighbridge replay --bundle B --data D --out {path}`.")
    return RunError(f"{path}, line {line}: not a run ({err}); replay again with `weighbridge replay`.")


def _fitting(record: Record, header: Header) -> Record:
    """The record, if it speaks of the header's heads, labels and routes. Raises ValueError naming what does not fit."""
    for head, classes in header.classes.items():
        if len(record.probabilities[head]) != len(classes):
            raise ValueError(f"{len(record.probabilities[head])} probabilities of head {head!r}, wanted {len(classes)}")
        label = record.labels.get(head)
        if label is not None and label not in classes:
            raise ValueError(f"unknown label {label!r} of head {head!r}")
    for route in (record.route, record.true_route):
        if route is not None and route not in header.routes:
            raise ValueError(f"unknown route {route!r}")
    return record
