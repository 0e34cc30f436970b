"""The files of outcome tables, column by column: Parquet, CSV and JSONL come out alike, unreadable rows as faults."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from router.errors import DataError
from router.rows import Fault, read_rows

REQUIRED = ("query_id", "query", "model", "score")
OPTIONAL = (
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "latency_ms",
    "dataset",
    "split",
    "contaminated",
    "use",
)
FIELDS = (*REQUIRED, *OPTIONAL)
TELLING = ("model", "score")  # no file of labelled queries has both
PARQUET = (".parquet", ".pq")
JSONL = (".jsonl", ".ndjson")
TEXTS = (".csv", *JSONL)
SNIFF_LINES = 20
SNIFF_CHARS = (
    400_000  # of one line: a query of the greatest length, every character escaped, and some columns beside it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTable:
    """N rows, one per (query, model), as a file has them: nothing is checked yet.

    columns: our field -> N cells, None where the file has null; a field that the file lacks is not there.
    place: what a fault's number counts, the lines of a text or the rows of a Parquet file.   numbers: (N,) where each
    row stands.   passed_over: the columns that are none of ours.   broken: rows that could not be read at all.
    """

    source: str
    columns: Mapping[str, Sequence[object]]
    numbers: Sequence[int]
    place: Literal["line", "row"] = "row"
    passed_over: tuple[str, ...] = ()
    broken: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)


def read_long(path: Path, *, columns: Mapping[str, str] | None = None) -> LongTable:
    """Read a .parquet, .csv or .jsonl file; other columns than ours are passed over.

    columns: our field -> the file's column. Raises DataError for a file that cannot be read, a suffix that is none of
    the three, a required column that is missing, and a mapped name that is unknown on either side.
    """
    mapped = dict(columns or {})
    unknown = [ours for ours in mapped if ours not in FIELDS]
    if unknown:
        raise DataError(
            f"--map names {unknown[0]!r}, which is no field of an outcome table; wanted some of {', '.join(FIELDS)}."
        )
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; wanted an outcome table (Parquet, CSV or JSONL). Look with `ls {path.parent}`."
        )
    theirs = {ours: mapped.get(ours, ours) for ours in FIELDS}
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _read_parquet(path, theirs, mapped)
    if suffix in TEXTS:
        return _read_text(path, theirs, mapped)
    raise DataError(
        f"{path}: the suffix is {suffix or 'missing'}; wanted .parquet, .csv or .jsonl. Save the table as one of these."
    )


def _read_parquet(path: Path, theirs: Mapping[str, str], mapped: Mapping[str, str]) -> LongTable:
    pa, pq = _pyarrow(path)
    try:
        with pq.ParquetFile(path) as file:
            names = [str(name) for name in file.schema_arrow.names]
            present = _present(path, names, theirs, mapped)
            table = file.read(columns=sorted(set(present.values())))
            cells = {ours: _parquet_cells(table.column(name)) for ours, name in present.items()}
    except (pa.ArrowException, OSError) as err:
        raise DataError(
            f"{path}: cannot be read as Parquet ({err}); wanted an outcome table. Write it again, or as CSV."
        ) from err
    return LongTable(
        source=str(path),
        columns=cells,
        numbers=range(1, table.num_rows + 1),
        passed_over=_passed_over(names, present),
    )


def _pyarrow(path: Path) -> tuple[Any, Any]:  # Any: pyarrow ships no types
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as err:
        raise DataError(f"{path}: Parquet needs pyarrow, which is not installed. Type `make setup`.") from err
    return pa, pq


def _parquet_cells(column: Any) -> list[object]:  # Any: a ChunkedArray
    """The cells as Python has them; equal texts share one object, because a query stands there once per model."""
    kind = str(column.type)
    if kind not in {"string", "large_string", "string_view"} and not kind.startswith("dictionary"):
        return list(column.to_pylist())
    cells: list[object] = []
    for chunk in column.chunks:
        coded = chunk if kind.startswith("dictionary") else chunk.dictionary_encode()
        words = coded.dictionary.to_pylist()
        cells += [None if code is None else words[code] for code in coded.indices.to_pylist()]
    return cells


def _read_text(path: Path, theirs: Mapping[str, str], mapped: Mapping[str, str]) -> LongTable:
    """CSV and JSONL. A JSONL file has the columns that some row of it has."""
    numbers: list[int] = []
    broken: list[Fault] = []
    names: dict[str, None] = {}
    cells: dict[str, list[object]] = {ours: [] for ours in FIELDS}
    same: dict[str, str] = {}  # a query stands there once per model: equal texts share one object
    for number, row in read_rows(path):
        if isinstance(row, Fault):
            broken.append(row)
            continue
        numbers.append(number)
        names.update(dict.fromkeys(row))
        for ours, column in cells.items():
            cell = row.get(theirs[ours])
            column.append(same.setdefault(cell, cell) if isinstance(cell, str) else cell)
    if not numbers:
        why = f"line {broken[0].line}: {broken[0].message}" if broken else "holds no row"
        raise DataError(f"{path}: {why}; wanted one row per query and model, with {', '.join(REQUIRED)}.")
    present = _present(path, list(names), theirs, mapped)
    return LongTable(
        source=str(path),
        columns={ours: cells[ours] for ours in present},
        numbers=numbers,
        place="line",
        passed_over=_passed_over(names, present),
        broken=tuple(broken),
    )


def _present(
    path: Path, names: Sequence[str], theirs: Mapping[str, str], mapped: Mapping[str, str]
) -> Mapping[str, str]:
    """Our field -> the file's column, for the fields that the file has."""
    has = ", ".join(repr(name) for name in names[:30])
    absent = [ours for ours, name in mapped.items() if name not in names]
    if absent:
        raise DataError(f"--map has {absent[0]}={mapped[absent[0]]}, but {path} has no such column; it has {has}.")
    lacking = [ours for ours in REQUIRED if theirs[ours] not in names]
    if lacking:
        raise DataError(
            f"{path}: no column {', '.join(lacking)}; it has {has}."
            f" Name yours with `--map {','.join(f'{ours}=YOURS' for ours in lacking)}`."
        )
    present = {ours: name for ours, name in theirs.items() if name in names}
    twice = [name for name, count in Counter(names).items() if count > 1 and name in present.values()]
    if twice:
        raise DataError(f"{path}: the column {twice[0]!r} stands twice; wanted it once. Rename one of the two.")
    return present


def _passed_over(names: Iterable[str], present: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(set(names) - set(present.values())))


def looks_like_outcomes(path: Path, *, columns: Mapping[str, str] | None = None) -> bool:
    """Whether the file's header has a model and a score, which labelled queries never have. Reads only the head.

    False for what is no file, or cannot be read: whoever reads it next says why.
    """
    if not path.is_file():
        return False
    suffix = path.suffix.lower()
    names = _parquet_names(path) if suffix in PARQUET else _text_names(path) if suffix in TEXTS else frozenset()
    return all((columns or {}).get(ours, ours) in names for ours in TELLING)


def _parquet_names(path: Path) -> frozenset[str]:
    pa, pq = _pyarrow(path)
    try:
        return frozenset(str(name) for name in pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return frozenset()


def _text_names(path: Path) -> frozenset[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in JSONL:
                return frozenset(name for line in _head(file) for name in _keys(line))
            return frozenset(next((row for row in csv.reader(file, strict=True) if row), []))
    except (OSError, ValueError, csv.Error):
        return frozenset()


def _head(file: TextIO) -> list[str]:
    """The first lines, each cut where no row could be so long: a file without line ends is not read to its end."""
    return [file.readline(SNIFF_CHARS) for _ in range(SNIFF_LINES)]


def _keys(line: str) -> list[str]:
    """The fields of a JSON object; none where the line is not one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return list(row) if isinstance(row, dict) else []
