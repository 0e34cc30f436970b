"""`weighbridge data check` and `data stats` for a file that is an outcome table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

MAX_PAIRED = 12  # models; a wider table of pairs fits no terminal, and stands in the JSON
MAX_DATASETS = 20


def check_outcomes(path: Path, columns: str | None, json: Path | None) -> None:
    """Check every row; list all faults by file, row and field, else what is peculiar. Exits with 2 if there is a fault.

    columns: the text of `--map`.   json: where to write {"queries", "models", "faults", "findings"}.
    """
    import typer

    from router.console import console, write_json
    from router.outcome_cells import check_cells
    from router.outcome_files import read_long
    from router.outcome_rows import assemble
    from router.rows import parse_map

    table = read_long(path, columns=parse_map(columns))
    cells, faults = check_cells(table)
    out = console()
    for fault in faults:
        where = f"{path}, {table.place} {fault.line}, field {fault.field!r}"
        out.print(f"{where}: {fault.message}", markup=False, soft_wrap=True)
    listed = [
        {"file": str(path), table.place: fault.line, "field": fault.field, "message": fault.message} for fault in faults
    ]
    if faults:
        write_json(json, {"queries": None, "models": None, "faults": listed, "findings": []})
        out.print(f"{len(table):,} rows, {len(faults):,} faults.")
        raise typer.Exit(2)
    outcomes, findings = assemble(cells, table, name=path.stem)
    for sentence in findings.sentences:
        out.print(f"- {sentence}", markup=False, soft_wrap=True)
    write_json(json, {"queries": len(outcomes), "models": list(outcomes.models), "faults": [], **findings.to_mapping()})
    out.print(f"{len(table):,} rows: {len(outcomes):,} good queries, {len(outcomes.models):,} models, 0 faults.")


def stats_outcomes(path: Path, columns: str | None, json: Path | None) -> None:
    """Print scores and costs of the models, data sets, splits, the oracle, and who alone is right.

    columns: the text of `--map`.   json: where to write what `describe_outcomes` gives, and the findings.
    """
    from router.console import console, write_json
    from router.outcome_rows import read_outcomes
    from router.outcome_stats import describe_outcomes
    from router.rows import parse_map

    outcomes, findings = read_outcomes(path, columns=parse_map(columns))
    figures = describe_outcomes(outcomes)
    out = console()
    out.print(
        f"{figures['queries']:,} queries ({figures['complete']:,} complete, {figures['texts']:,} different texts),"
        f" {len(figures['models']):,} models, fingerprint {figures['fingerprint'][:16]}"
    )
    for sentence in findings.sentences:
        out.print(f"- {sentence}", markup=False, soft_wrap=True)
    for shown in (_models(figures), *_datasets(figures), *_pairs(figures)):
        out.print(shown)
    write_json(json, {**figures, **findings.to_mapping()})


def _models(figures: dict[str, Any]) -> Table:  # Any: whatever JSON can hold
    from rich.markup import escape

    from router.console import table

    rows = [
        [escape(entry["model"]), _score(entry["mean_score"]), f"{entry['scores']:,}", _usd(entry["mean_cost_usd"])]
        for entry in figures["models"]
    ]
    best, oracle = figures["best_single"], figures["oracle"]
    named = f"best single: {escape(best['model'])}" if best["model"] else "best single"
    rows += [
        [name, _score(entry["score"]), f"{entry['n']:,}", _usd(entry["cost_usd"])]
        for name, entry in ((named, best), ("oracle", oracle))
    ]
    return table("Models", ["model", "mean score", "scores", "USD per query"], rows)


def _datasets(figures: dict[str, Any]) -> list[Table]:  # Any: whatever JSON can hold
    from rich.markup import escape

    from router.console import table

    shown = []
    for title, key in (("Data sets", "datasets"), ("Splits", "splits")):
        entries = list(figures[key].items())
        rows = [[escape(name), f"{count:,}"] for name, count in entries[:MAX_DATASETS]]
        if len(entries) > MAX_DATASETS:
            rows.append([f"{len(entries) - MAX_DATASETS} more", f"{sum(n for _, n in entries[MAX_DATASETS:]):,}"])
        shown.append(table(title, [key[:-1], "queries"], rows))
    return shown


def _pairs(figures: dict[str, Any]) -> list[Table]:  # Any: whatever JSON can hold
    from rich.markup import escape

    from router.console import table

    wins = figures["only_right"]
    if not 2 <= len(wins) <= MAX_PAIRED:
        return []
    rows = [
        [f"{place} {escape(model)}", *(_per_cent(wins[model].get(other)) for other in wins)]
        for place, model in enumerate(wins, start=1)
    ]
    title = "Per cent of queries on which the model of the row scored higher than that of the column"
    return [table(title, ["model", *(str(place) for place in range(1, len(wins) + 1))], rows)]


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _per_cent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f}"


def _usd(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"
