"""The verb that turns a decision log into data: `weighbridge data from-log`. What it needs is imported inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from router.commands import Json


def register(data_app: typer.Typer) -> None:
    """Add the verb to `weighbridge data`."""
    data_app.command("from-log")(data_from_log)


def data_from_log(
    log: Annotated[Path, typer.Argument(help="The decision log that `weighbridge serve` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The JSONL file to write.")],
    kind: Annotated[
        Literal["labelled", "outcomes"],
        typer.Option(
            help="labelled: queries with the labels people gave. outcomes: one row per answer, with its score."
        ),
    ] = "labelled",
    json: Json = None,
) -> None:
    """Make labelled queries or an outcome table of what was served; needs a log that kept the texts."""
    from agents.gateway.from_log import write_from_log
    from router.console import console, write_json

    extract = write_from_log(log, out, kind=kind)
    judged = _judged(extract.rows, kind)
    figures = {
        "kind": kind,
        "out": str(out),
        "rows": len(extract.rows),
        "judged": judged,
        "without_text": extract.without_text,
        "without_answer": extract.without_answer,
    }
    said = "a score" if kind == "outcomes" else "a label"
    console().print(f"wrote {out}: {len(extract.rows):,} rows, {judged:,} with {said}", markup=False, soft_wrap=True)
    for count, why in ((extract.without_text, "no text was kept"), (extract.without_answer, "no model answered")):
        if count:
            console().print(f"- left out: {count:,}, because {why}", markup=False, soft_wrap=True)
    following = f"weighbridge data check {out}" + ("" if kind == "outcomes" else " --card CARD")
    console().print(f"next: {following}", markup=False, soft_wrap=True)
    write_json(json, figures)


def _judged(rows: tuple[dict[str, Any], ...], kind: str) -> int:  # Any: whatever JSON can hold
    """How many rows say something that a person said."""
    beside = {"id", "text", "also", "source"}
    if kind == "outcomes":
        return sum(row["score"] is not None for row in rows)
    return sum(any(value is not None for name, value in row.items() if name not in beside) for row in rows)
