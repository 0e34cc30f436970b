"""From an outcome table's file to `Outcomes`: read, checked, models from the cheapest to the dearest, findings named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from router.errors import DataError
from router.outcome_cells import Cells, check_cells
from router.outcome_files import REQUIRED, LongTable, read_long
from router.outcome_findings import Findings, findings_of
from router.outcomes import PER_CELL, Floats, Outcomes, equal_texts

SHOWN = 3  # faults in an error message


def read_outcomes(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    models: Sequence[str] | None = None,
) -> tuple[Outcomes, Findings]:
    """Read an outcome table (.parquet, .csv or .jsonl), and say what was found in it.

    columns: our field -> the file's column, as `parse_map` reads it.   name: of the table, else the file's.
    models: only these, whose order does not matter. Null, an empty CSV cell and NaN are missing; a table has no infinity.
    Queries come in the order of their ids, so that the order of the rows changes nothing; contaminated ones are left out.
    Raises DataError with the first faults, their number and the command that lists all; for a model without any score;
    and where no query is left.
    """
    table = read_long(path, columns=columns)
    return outcomes_from(table, name=path.stem if name is None else name, models=models)


def outcomes_from(table: LongTable, *, name: str, models: Sequence[str] | None = None) -> tuple[Outcomes, Findings]:
    """Check the rows that a file or an importer holds, and turn them into outcomes; see `read_outcomes`."""
    cells, faults = check_cells(table)
    if faults:
        first = "; ".join(
            f"{table.place} {fault.line}, field {fault.field!r}: {fault.message}" for fault in faults[:SHOWN]
        )
        more = f"; and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"{table.source}: {len(faults):,} {'faults' if len(faults) > 1 else 'fault'}: {first}{more}."
            f" List all with `weighbridge data check {table.source}`."
        )
    return assemble(cells, table, name=name, models=models)


def assemble(
    cells: Cells, table: LongTable, *, name: str, models: Sequence[str] | None = None
) -> tuple[Outcomes, Findings]:
    """The outcomes that faultless cells make, models from the cheapest to the dearest; raises as `read_outcomes` does."""
    if not len(table):
        raise DataError(f"{table.source}: holds no row; wanted one per query and model, with {', '.join(REQUIRED)}.")
    shape = (len(cells.ids), len(cells.models))
    matrices = {field: np.full(shape, np.nan) for field in PER_CELL}
    for field, matrix in matrices.items():
        matrix[cells.query, cells.model] = cells.amounts[field]
    marked = np.zeros(shape[0], dtype=np.bool_)
    marked[cells.query[cells.contaminated]] = True
    texts = [text or "" for text in _per_query(cells, "query")]
    whole = Outcomes(
        name=name,
        ids=tuple(cells.ids),
        texts=tuple(texts),
        models=tuple(cells.models),
        **matrices,
        dataset=_per_query(cells, "dataset"),
        split=_per_query(cells, "split"),
        unit=equal_texts(texts),
        use="evaluation-only" if "evaluation-only" in cells.names["use"] else "train",
    )
    chosen = whole if models is None else whole.only(models)
    if marked.all():
        raise DataError(
            f"{table.source}: all {len(whole):,} queries are marked contaminated; wanted some that are not."
        )
    kept = chosen.rows(~marked)
    _require_scores(kept, table.source)
    ordered = cheapest_first(kept)
    return ordered, findings_of(ordered, contaminated=int(marked.sum()), passed_over=table.passed_over)


def _require_scores(outcomes: Outcomes, source: str) -> None:
    """Every model has a score for some query."""
    silent = [model for j, model in enumerate(outcomes.models) if not np.isfinite(outcomes.score[:, j]).any()]
    others = [model for model in outcomes.models if model not in silent]
    if not others:
        raise DataError(f"{source}: no score of any model is known; wanted numbers in [0, 1] in the column score.")
    if silent:
        raise DataError(
            f"{source}: no score of {', '.join(silent)} is known; wanted one or more of every model."
            f" Leave out what has none with `--models {','.join(others)}`."
        )


def _per_query(cells: Cells, field: str) -> tuple[str | None, ...]:
    """n names: the first that a row of the query says."""
    names: list[str | None] = [None] * len(cells.ids)
    for position, name in zip(cells.query.tolist(), cells.names[field], strict=True):
        names[position] = name if names[position] is None else names[position]
    return tuple(names)


def cheapest_first(outcomes: Outcomes) -> Outcomes:
    """The models in ascending order of mean cost, or of mean score where some model's cost is not known; then of name.

    Raises DataError where a model has no score and no cost to go by.
    """
    known = outcomes.cost_usd if outcomes.has_cost else outcomes.score
    if not np.isfinite(known).any(axis=0).all():
        raise DataError(f"outcomes {outcomes.name!r}: a model without any score cannot be placed; leave it out.")
    means = [_mean(column) for column in known.T]
    order = sorted(range(len(means)), key=lambda j: (means[j], outcomes.models[j]))
    return replace(
        outcomes,
        models=tuple(outcomes.models[j] for j in order),
        **{field: getattr(outcomes, field)[:, order] for field in PER_CELL},
    )


def _mean(column: Floats) -> float:
    """Of the known cells; exactly rounded, so that equal cells tie in whatever order they stand."""
    cells = column[np.isfinite(column)].tolist()
    return math.fsum(cells) / len(cells)
