"""Labelled queries: read, checked, cut into splits, and named by a fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from router.card import CARD_ADVICE, CARD_FILE, QUERIES_FILE, QUERIES_GLOB, Card, read_card
from router.errors import DataError
from router.files import canonical_json, sha256_bytes
from router.rows import PLAIN_FIELDS, Fault, parse_row, read_rows
from router.types import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Queries in file order, with the card that says what their labels may be."""

    card: Card
    queries: tuple[Query, ...]

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def texts(self) -> list[str]:
        """The n messages."""
        return [query.text for query in self.queries]

    @property
    def contexts(self) -> list[tuple[str, ...]]:
        """The n tuples of what the user had said before, oldest first; empty where a conversation begins."""
        return [query.context for query in self.queries]

    @property
    def conversations(self) -> list[str]:
        """The n messages with what was said before them: "why?" after two things is two queries."""
        return [query.conversation for query in self.queries]

    @property
    def groups(self) -> list[str]:
        """The n group names that no split tears apart (a query without one is its own group)."""
        return [query.group or query.query_id for query in self.queries]

    def labels(self, head: str) -> list[str | None]:
        """The n labels of one head, None where a query has none."""
        return [query.labels.heads.get(head) for query in self.queries]

    def where(self, keep: Callable[[Query], bool]) -> Dataset:
        """The queries for which `keep` holds, in order."""
        return replace(self, queries=tuple(query for query in self.queries if keep(query)))

    def split(self, name: str) -> Dataset:
        """The queries of one split; empty where the set has no such split."""
        return self.where(lambda query: query.split == name)

    def fingerprint(self) -> str:
        """Hex digest of ids, texts, contexts, labels, groups and splits: the same for any order of the rows."""
        rows = sorted(canonical_json(query_to_row(query)) for query in self.queries)
        return sha256_bytes("\n".join(rows).encode("utf-8"))


def query_to_row(query: Query) -> dict[str, Any]:
    """The JSON object of one query, optional fields only where they say something."""
    row: dict[str, Any] = {
        "id": query.query_id,
        "text": query.text,
        **query.labels.heads,
        "also": list(query.labels.also),
    }
    row.update({name: value for name in PLAIN_FIELDS if (value := getattr(query, name)) is not None})
    if query.context:
        row["context"] = list(query.context)
    return row


def find_card(data: Path, *, card: Path | None = None, default: Card | None = None) -> Card:
    """The card given, else the one beside the data, else `default` (a bundle's own), else a DataError."""
    if card is not None:
        return read_card(card)
    beside = (data if data.is_dir() else data.parent) / CARD_FILE
    if beside.exists():
        return read_card(beside)
    if default is not None:
        return default
    if not data.exists():
        raise DataError(f"{data}: no such file or directory; wanted labelled queries. Try `--data datasets/pam-v1`.")
    raise DataError(f"{beside}: no such file; the labels a query may have stand in a card. {CARD_ADVICE}")


def queries_files(data: Path) -> list[Path]:
    """The files behind `--data`: itself, or every `queries*.jsonl` inside a directory, in the order of their names."""
    return (sorted(data.glob(QUERIES_GLOB)) or [data / QUERIES_FILE]) if data.is_dir() else [data]


def scan(
    path: Path, card: Card, *, columns: Mapping[str, str] | None = None
) -> tuple[list[tuple[int, Query]], list[Fault]]:
    """Read every row of one file; return the good queries with their lines, and all faults."""
    queries, faults = [], []
    for line, row in read_rows(path, columns=columns):
        parsed = (
            [row]
            if isinstance(row, Fault)
            else parse_row(row, line=line, card=card, columns=columns or {}, strict=not columns)
        )
        if isinstance(parsed, list):
            faults.extend(parsed)
        else:
            queries.append((line, parsed))
    return queries, faults


def scan_all(
    paths: Sequence[Path], card: Card, *, columns: Mapping[str, str] | None = None
) -> tuple[list[Query], list[tuple[Path, Fault]]]:
    """Read every file; return the good queries and all faults in order, an id that stands twice among them."""
    queries: list[Query] = []
    faults: list[tuple[Path, Fault]] = []
    first: dict[str, str] = {}
    for path in paths:
        rows, broken = scan(path, card, columns=columns)
        for line, query in rows:
            if query.query_id in first:
                again = f"duplicate id {query.query_id!r}, first in {first[query.query_id]}"
                broken.append(Fault(line=line, field="id", message=again))
            else:
                first[query.query_id] = f"{path.name} on line {line}"
                queries.append(query)
        faults.extend((path, fault) for fault in sorted(broken, key=lambda fault: fault.line))
    return queries, faults


def load_dataset(
    data: Path, *, card: Path | None = None, columns: Mapping[str, str] | None = None, default_card: Card | None = None
) -> Dataset:
    """Read a directory (card.toml + queries.jsonl) or one file of labelled queries.

    columns: our field names -> the file's, for other people's files (unknown columns are then passed over).
    Raises DataError naming the first fault's file, line and field, and the command that lists them all.
    """
    found = find_card(data, card=card, default=default_card)
    queries, faults = scan_all(queries_files(data), found, columns=columns)
    if faults:
        (path, first), more = faults[0], len(faults) - 1
        rest = f" ({more} more)" if more else ""
        raise DataError(
            f"{path}, line {first.line}, field {first.field!r}: {first.message}{rest}."
            f" List all with `weighbridge data check {data}`."
        )
    if not queries:
        raise DataError(f"{data}: holds no query; wanted one JSON object a line. See datasets/pam-v1/CARD.md.")
    return Dataset(card=found, queries=tuple(queries))


def write_queries(queries: Sequence[Query]) -> str:
    """The JSONL text of queries, one object a line."""
    return "".join(canonical_json(query_to_row(query)) + "\n" for query in queries)
