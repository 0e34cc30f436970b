"""The verbs for other people's tables: data import, data fetch. Heavy libraries wait inside the functions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from router.commands import Json

if TYPE_CHECKING:
    import pandas as pd

    from eval.formats.cells import Imported
    from eval.sources import Source

Form = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="routerbench (wide CSV or Parquet; never its pickle), routellm (its evals folder, or one csv of it), "
        "llmrouterbench (its bench folder or bench-release.tar.gz), llmrouter (routing data, JSONL), "
        "sprout (Parquet or JSONL), routerarena (prediction files; evaluation only).",
    ),
]


def register(data_app: typer.Typer) -> None:
    """Add the verbs to `weighbridge data`."""
    data_app.command("import")(data_import)
    data_app.command("fetch")(data_fetch)


def data_import(
    form: Form,
    path: Annotated[Path, typer.Argument(help="The source's file or folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write: .parquet, .jsonl or .csv.")],
    json: Json = None,
) -> None:
    """Turn another project's outcome files into one table, a row per query and model; say what was dropped or chosen."""
    from eval.formats import load
    from eval.formats.written import check_suffix, write_table
    from router.console import console, progress, write_json

    check_suffix(out)
    with progress() as told:
        told.notify(f"reading {path}")
        imported = load(form, path)
        told.notify(f"writing {out}")
        write_table(imported.frame, out)
    figures = describe(imported, form=form, out=out)
    _show_import(figures)
    console().print(figures["next"], markup=False, soft_wrap=True)
    write_json(json, figures)


def describe(imported: Imported, *, form: str, out: Path) -> dict[str, Any]:  # Any: JSON's leaves
    """Counts of a table: queries, models, cells that are missing, splits. Dollars are a mean over the known costs."""
    frame = imported.frame
    queries = int(frame["query_id"].nunique())
    use = str(frame["use"].iloc[0]) if "use" in frame else None
    models = {
        str(model): {
            "scores": int(rows["score"].notna().sum()),
            "missing_scores": queries - int(rows["score"].notna().sum()),
            "missing_costs": queries - (int(rows["cost_usd"].notna().sum()) if "cost_usd" in rows else 0),
            "score_mean": _mean(rows["score"]),
            "cost_usd_mean": _mean(rows["cost_usd"]) if "cost_usd" in rows else None,
        }
        for model, rows in frame.groupby("model", sort=False)
    }
    return {
        "format": form,
        "out": str(out),
        "queries": queries,
        "cells": queries * len(models),
        "missing_scores": sum(entry["missing_scores"] for entry in models.values()),
        "missing_costs": sum(entry["missing_costs"] for entry in models.values()),
        "contaminated_queries": _contaminated(frame),
        "splits": _splits(frame),
        "use": use,
        "models": models,
        "notes": list(imported.notes),
        "next": (
            f"{use}: nothing may be fitted on this table; `weighbridge compare` refuses to."
            if use
            else f"next: weighbridge compare --outcomes {out} --out reports/{out.stem}"
        ),
    }


def _mean(values: pd.Series[float]) -> float | None:
    return round(float(values.mean()), 9) if values.notna().any() else None


def _contaminated(frame: pd.DataFrame) -> int | None:
    if "contaminated" not in frame:
        return None
    marked = frame["contaminated"].fillna(False).astype(bool)
    return int(frame.loc[marked, "query_id"].nunique())


def _splits(frame: pd.DataFrame) -> dict[str, int] | None:
    if "split" not in frame:
        return None
    counts = frame.groupby("split")["query_id"].nunique()
    return {str(name): int(count) for name, count in counts.items()}


def _show_import(figures: dict[str, Any]) -> None:  # Any: as `describe` made them
    from router.console import console, table

    rows = [
        [
            model,
            f"{entry['scores']:,}",
            f"{entry['missing_scores']:,}",
            "–" if entry["score_mean"] is None else f"{entry['score_mean']:.3f}",
            "–" if entry["cost_usd_mean"] is None else f"{entry['cost_usd_mean']:.6f}",
        ]
        for model, entry in figures["models"].items()
    ]
    out = console()
    out.print(table("Imported", ["model", "scores", "missing", "mean score", "mean dollars"], rows))
    for note in figures["notes"]:
        out.print(f"note: {note}", markup=False, soft_wrap=True)
    marked = figures["contaminated_queries"]
    told = "" if marked is None else f", {marked:,} marked contaminated"
    splits = "".join(f", {name} {count:,}" for name, count in (figures["splits"] or {}).items())
    out.print(
        f"wrote {figures['out']}: {figures['queries']:,} queries by {len(figures['models'])} models,"
        f" {figures['missing_scores']:,} of {figures['cells']:,} scores and {figures['missing_costs']:,} costs"
        f" missing{splits}{told}",
        markup=False,
        soft_wrap=True,
    )


def data_fetch(
    name: Annotated[str | None, typer.Argument(help="One of those that --list shows.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say what there is, its licence and its use.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Put the source's folder here. Default: `sources` in the cache.")
    ] = None,
    json: Json = None,
) -> None:
    """Get a public table: resumed where it stopped, checked by its hash, not fetched twice."""
    from eval.fetch import fetch
    from eval.sources import SOURCES
    from router.console import console, progress, write_json
    from router.encoders.open import cache_directory
    from router.errors import DataError

    if listed == (name is not None):
        raise DataError(
            "`data fetch` takes one name, or --list; wanted one of the two. Try `weighbridge data fetch --list`."
        )
    if name is None:
        _show_sources(SOURCES.values())
        write_json(json, {"sources": [_as_json(source) for source in SOURCES.values()]})
        return
    with progress() as told:
        home = fetch(name, cache=out or cache_directory() / "sources", notify=told.notify, advance=told.advance)
    source = SOURCES[name]
    told_next = next_step(source, home)
    console().print(f"{source.name} lies in {home}. Licence: {source.licence}.", markup=False, soft_wrap=True)
    console().print(told_next, markup=False, soft_wrap=True)
    write_json(json, {**_as_json(source), "directory": str(home), "next": told_next})


def next_step(source: Source, home: Path) -> str:
    """What to type once the files are here."""
    if source.form is None:
        return source.then
    place = home / source.files[0].path if len(source.files) == 1 else home
    return f"next: weighbridge data import {source.form} {place} --out {source.name}.parquet"


def _as_json(source: Source) -> dict[str, Any]:  # Any: JSON's leaves
    return {
        "name": source.name,
        "what": source.what,
        "licence": source.licence,
        "use": source.use,
        "format": source.form,
        "files": [
            {"url": file.url, "path": file.path, "sha256": file.sha256, "max_bytes": file.max_bytes}
            for file in source.files
        ],
    }


def _show_sources(sources: Iterable[Source]) -> None:
    from router.console import console, table

    rows = [[entry.name, entry.what, entry.licence, entry.use, entry.form or "–"] for entry in sources]
    console().print(table("Public sources", ["name", "what", "licence", "use", "format"], rows, left=5))
    console().print("next: weighbridge data fetch NAME", markup=False)
