"""From the rows of a JSONL or CSV file to queries, with every fault named by file, line and field."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.card import Card
from router.errors import DataError
from router.types import MAX_TEXT_CHARS, Labels, Query

PLAIN_FIELDS = ("language", "persona", "group", "split", "source")
SPLITS = ("train", "calibration", "test")
ALLOWED_CONTROLS = "\n\r\t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a file of queries."""

    line: int
    field: str
    message: str


def parse_map(text: str | None) -> dict[str, str]:
    """Read `--map text=prompt,id=key`: our field = their column.

    >>> parse_map("text=prompt,id=key")
    {'text': 'prompt', 'id': 'key'}
    """
    pairs = [part.lstrip().partition("=") for part in (text or "").split(",") if part.strip()]
    broken = [ours for ours, equals, theirs in pairs if not (ours and equals and theirs)]
    if broken:
        raise DataError(f"--map has {broken[0]!r}; wanted pairs such as `--map text=prompt,id=key`.")
    return {ours: theirs for ours, _, theirs in pairs}


def read_rows(
    path: Path, *, columns: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Mapping[str, Any] | Fault]]:
    """Yield (line number, row) of a .jsonl or .csv file; an unreadable row comes as a Fault in its place.

    `columns` maps our field names to the file's: a CSV has its further desks in one cell, cut at semicolons.
    Raises DataError if the file cannot be opened or is not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as err:
        raise DataError(
            f"{path}: no such file; wanted labelled queries (JSONL or CSV). Look with `ls {path.parent}`."
        ) from err
    except UnicodeDecodeError as err:
        raise DataError(
            f"{path}: not UTF-8 at byte {err.start}; save it as UTF-8, then `weighbridge data check {path}`."
        ) from err
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); wanted labelled queries (JSONL or CSV).") from err
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(text, also=(columns or {}).get("also", "also"))
    else:
        yield from _jsonl_rows(text)


def _jsonl_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | Fault]]:
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw, object_pairs_hook=_no_repeats)
        except (ValueError, RecursionError) as err:
            yield line, Fault(line=line, field="-", message=f"not a JSON object ({err})")
            continue
        if isinstance(row, dict):
            yield line, row
        else:
            yield line, Fault(line=line, field="-", message=f"a JSON {type(row).__name__}, wanted an object")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a field stands twice")
    return row


def _csv_rows(text: str, *, also: str) -> Iterator[tuple[int, Mapping[str, Any] | Fault]]:
    header: list[str] = []
    for line, row in _csv_cells(text):
        if isinstance(row, Fault):
            yield line, row
            if not header:
                return
        elif not header:
            header = row
            twice = [name for name, count in Counter(header).items() if count > 1]
            if twice:
                yield line, Fault(line=line, field=twice[0], message="this column stands twice; wanted it once")
                return
        elif len(row) != len(header):
            yield line, Fault(line=line, field="-", message="has more or fewer cells than the header")
        else:
            cells: dict[str, Any] = {name: cell or None for name, cell in zip(header, row, strict=True)}
            if cells.get(also):
                cells[also] = [part for part in str(cells[also]).split(";") if part]
            yield line, cells


def _csv_cells(text: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """Yield (number of the last line, cells) of every row that is not blank, the header's among them."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            yield reader.line_num, Fault(line=reader.line_num, field="-", message=f"broken CSV ({err})")
            continue
        if row:
            yield reader.line_num, row


def parse_row(
    row: Mapping[str, Any], *, line: int, card: Card, columns: Mapping[str, str], strict: bool
) -> Query | list[Fault]:
    """Turn one row into a Query, or say everything that is wrong with it.

    `columns` maps our field names to the file's. With `strict` false, unknown fields are passed over (other
    people's files); labels are checked all the same.
    """
    faults: list[Fault] = []

    def fault(field: str, message: str) -> None:
        faults.append(Fault(line=line, field=field, message=message))

    ours: dict[str, Any] = {
        name: row.get(columns.get(name, name)) for name in ("id", "text", "also", "context", *PLAIN_FIELDS, *card.heads)
    }
    known = {columns.get(name, name) for name in ours}
    if strict:
        for name in sorted(set(row) - known):
            fault(name, f"unknown field; wanted some of {', '.join(sorted(known))}")
    for field, message in (
        *_text_faults("id", ours["id"], limit=200),
        *_text_faults("text", ours["text"], limit=MAX_TEXT_CHARS),
        *(found for name in PLAIN_FIELDS for found in _plain_faults(name, ours[name])),
    ):
        fault(field, message)
    if ours["split"] is not None and ours["split"] not in SPLITS:
        fault("split", f"is {ours['split']!r}; wanted one of {', '.join(SPLITS)} or null")
    for head, labels in card.heads.items():
        if ours[head] is not None and ours[head] not in labels:
            fault(head, f"unknown label {ours[head]!r}; wanted one of {', '.join(labels)} or null")
    for field, message in (
        *_list_faults("also", ours["also"], allowed=card.also),
        *_list_faults("context", ours["context"], allowed=None),
    ):
        fault(field, message)
    if faults:
        return faults
    return Query(
        query_id=ours["id"],
        text=ours["text"],
        labels=Labels(heads={head: ours[head] for head in card.heads}, also=tuple(ours["also"] or ())),
        context=tuple(ours["context"] or ()),
        **{name: ours[name] for name in PLAIN_FIELDS},
    )


def _text_faults(field: str, value: object, *, limit: int) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str):
        yield field, f"is {'missing' if value is None else repr(value)}; wanted text"
        return
    problem = text_problem(value, limit=limit)
    if problem:
        yield field, problem


def _plain_faults(field: str, value: object) -> Iterator[tuple[str, str]]:
    """An empty text is let through: it says as little as null."""
    if value is None or value == "":
        return
    if not isinstance(value, str):
        yield field, f"is {value!r}; wanted text or null"
        return
    problem = text_problem(value)
    if problem:
        yield field, problem


def text_problem(text: str, *, limit: int = MAX_TEXT_CHARS) -> str | None:
    """What makes `text` no query, or None: empty, too long, control characters, half a surrogate pair.

    >>> text_problem("where is my refund?") is None
    True
    >>> text_problem("  ")
    'is empty; wanted text'
    """
    if not text.strip():
        return "is empty; wanted text"
    if len(text) > limit:
        return f"has {len(text):,} characters; wanted at most {limit:,}"
    if text.isprintable():
        return None
    for position, char in enumerate(text):
        category = unicodedata.category(char)
        if category == "Cc" and char not in ALLOWED_CONTROLS:
            return f"has the control character U+{ord(char):04X} at {position}; wanted printable text"
        if category == "Cs":
            return f"has the lone surrogate U+{ord(char):04X} at {position}; wanted valid Unicode"
    return None


def _list_faults(field: str, value: object, *, allowed: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        yield field, f"is {value!r}; wanted a list of texts"
        return
    for item in value:
        if allowed is not None and item not in allowed:
            yield field, f"unknown label {item!r}; wanted some of {', '.join(allowed) or 'none (the card lists none)'}"
        problem = None if allowed is not None else text_problem(item)
        if problem:
            yield field, problem
