"""Importers: other people's outcome files to our long form, one small file per source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval.formats import llmrouter, llmrouterbench, routellm, routerarena, routerbench, sprout
from eval.formats.cells import Imported
from router.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """One source's form: what it wants to be given, and the function that reads it."""

    wants: str
    load: Callable[[Path], Imported]


FORMATS: dict[str, Importer] = {
    module.FORM: Importer(wants=module.WANTED, load=module.load)
    for module in (routerbench, routellm, llmrouterbench, llmrouter, sprout, routerarena)
}


def load(name: str, path: Path) -> Imported:
    """Read `path` in the form `name`; say what was dropped, chosen or computed on the way.

    Raises DataError for an unknown form and for whatever the file has wrong, by file, row and field.
    """
    if name not in FORMATS:
        raise DataError(
            f"{name!r} is no format; wanted one of {', '.join(FORMATS)}. `weighbridge data import --help` lists them."
        )
    return FORMATS[name].load(path)


def read(name: str, path: Path) -> pd.DataFrame:
    """The table alone, one row per (query, model): query_id, query, model, score, and those that the source has of
    cost_usd, input_tokens, output_tokens, latency_ms, dataset, split, contaminated, use. Raises as `load` does.
    """
    return load(name, path).frame
