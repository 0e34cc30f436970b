"""The files that importers read, row by row. A pickle is never opened: reading one runs whatever code it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.formats.cells import Place
from router.errors import DataError
from router.rows import Fault, read_rows

Row = Mapping[str, Any]  # Any: whatever the file holds; every cell is checked where it is used
PICKLES = (".pkl", ".pickle")
PARQUET = (".parquet", ".pq")
JSONL = (".jsonl", ".ndjson")
BATCH = 1_000  # rows of a Parquet file at a time
SPLIT = re.compile(r"(?:^|[_.\-])(train|validation|val|test)(?:[_.\-]|$)")
PART_OF = {"train": "train", "validation": "train", "val": "train", "test": "test"}


def find_files(path: Path, form: str, *, suffixes: Sequence[str], names: str = "*", wanted: str) -> list[Path]:
    """The file itself, or the files below a folder whose name fits the glob `names`: test files first, then by name.

    Test comes first so that a row that stands in both files is kept where it is judged. Raises DataError for a path
    that is not there, a pickle, another suffix, and a folder without such files.
    """
    if path.is_dir():
        found = [entry for entry in path.rglob(names) if entry.suffix.lower() in suffixes and entry.is_file()]
        if not found:
            pickles = [entry for entry in path.rglob("*") if entry.suffix.lower() in PICKLES]
            if pickles:
                raise refuse_pickle(pickles[0])
            raise DataError(f"{path}: no {' or '.join(suffixes)} file in this folder; wanted {wanted}. {advice(form)}")
        return sorted(found, key=lambda entry: (split_of(entry) != "test", entry.relative_to(path).as_posix()))
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; wanted {wanted}. Look with `ls {path.parent}`.")
    if path.suffix.lower() in PICKLES:
        raise refuse_pickle(path)
    if path.suffix.lower() not in suffixes:
        raise DataError(
            f"{path}: the suffix is {path.suffix or 'missing'}; wanted {' or '.join(suffixes)}. {advice(form)}"
        )
    return [path]


def refuse_pickle(path: Path) -> DataError:
    """Why a pickle is not read, and how its table gets here all the same."""
    return DataError(
        f"{path}: a pickle runs code when it is read, so it is never opened here; wanted the same table as CSV or Parquet."
        " Convert it elsewhere: in a container or a machine without network and without anything of value, read it with"
        " pandas and write it as Parquet, then give `weighbridge data import` that file."
    )


def advice(form: str) -> str:
    """The next command for a person who gave the wrong thing."""
    return f"`weighbridge data import --help` says what {form} reads."


def split_of(path: Path) -> str | None:
    """`train` or `test`, as the file's name says; None where it says neither. Validation is for fitting: train.

    >>> split_of(Path("mbpp_test.csv")), split_of(Path("validation-00000-of-00001.parquet")), split_of(Path("latest.csv"))
    ('test', 'train', None)
    """
    found = SPLIT.search(path.stem.lower())
    return PART_OF[found.group(1)] if found else None


def text_rows(path: Path, form: str) -> Iterator[tuple[Place, Row]]:
    """The rows of a .csv or .jsonl file; an empty CSV cell is None. Raises DataError at the first unreadable row."""
    seen = False
    for line, row in read_rows(path):
        place = Place(form=form, file=str(path), number=line)
        if isinstance(row, Fault):
            raise place.fault(row.field, row.message)
        seen = True
        yield place, row
    if not seen:
        raise DataError(f"{path}: holds no row. {advice(form)}")


def parquet_rows(path: Path, form: str, *, keep: Callable[[str], bool]) -> Iterator[tuple[Place, Row]]:
    """The rows of a Parquet file, of its leaf columns (`a` or `a.b` within a struct) those that `keep` wants."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            leaves = [file.schema.column(i).path for i in range(len(file.schema))]
            for batch in file.iter_batches(batch_size=BATCH, columns=[leaf for leaf in leaves if keep(leaf)]):
                for row in batch.to_pylist():
                    number += 1
                    yield Place(form=form, file=str(path), number=number, unit="row"), row
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{path}: cannot be read as Parquet ({err}). Fetch or write it again. {advice(form)}") from err
    if number == 0:
        raise DataError(f"{path}: holds no row. {advice(form)}")


def parse_json(content: bytes, *, source: str, form: str) -> Any:  # Any: whatever JSON can hold
    """A whole JSON document. Raises DataError with the place where it breaks off."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as err:
        raise DataError(f"{source}, line {err.lineno}: not JSON ({err.msg}). Fetch it again. {advice(form)}") from err
    except (UnicodeDecodeError, RecursionError) as err:
        raise DataError(f"{source}: cannot be read as JSON ({type(err).__name__}). {advice(form)}") from err


def need(row: Row, place: Place, fields: Sequence[str]) -> None:
    """Raises DataError for a field that the row does not have."""
    for field in fields:
        if field not in row:
            raise place.fault(field, f"the row has no such field; it has {', '.join(map(repr, list(row)[:12]))}")
