"""A long table to a file, whole or not at all: Parquet, JSONL or CSV. A missing cell is null, or an empty CSV cell."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from router.errors import DataError
from router.files import canonical_json, write_atomic

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".jsonl", ".csv")


def check_suffix(path: Path) -> None:
    """Raises DataError for a suffix that says no form, before anything is read."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"--out {path}: the suffix is {path.suffix or 'missing'}; wanted one of {', '.join(SUFFIXES)}.")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write the table in the form that the suffix names; the same table gives the same bytes."""
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        write_atomic(path, buffer.getvalue())
    elif suffix == ".csv":
        # RFC 4180's line ends: with "\n" alone, a text with a bare "\r" would go unquoted and be read as two rows.
        write_atomic(path, frame.to_csv(index=False, lineterminator="\r\n"))
    else:
        plain = frame.astype(object).where(frame.notna(), None)
        write_atomic(path, "".join(canonical_json(row) + "\n" for row in plain.to_dict("records")))
