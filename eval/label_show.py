"""Curves and audits of labels as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from router.console import share, table

if TYPE_CHECKING:
    from rich.console import Console

Figures = Mapping[str, Any]  # Any: JSON's leaves
BAR = 20  # characters
LONGEST = 160  # characters of a query shown; the id finds the rest
WHOLE = "all"


def show_curve(out: Console, figures: Figures) -> None:
    """A row for every head and share, then a sentence a head."""
    used = "" if figures["n_used"] == figures["n_queries"] else f" (the curve uses {figures['n_used']:,} of them)"
    out.print(
        f"{figures['dataset']}, {_part(figures)}: {figures['n_queries']:,} queries{used} of {figures['n_units']:,} people"
        f" or groups; judged by {figures['folds']} folds over them, so the last point leaves a fold out; 95 % intervals",
        markup=False,
        soft_wrap=True,
    )
    for head, entry in figures["heads"].items():
        if entry["points"]:
            out.print(table(f"{head}: {entry['n']:,} labels", COLUMNS, _rows(entry["points"])))
        out.print(f"{head}: {entry['reason'] or entry['outlook']['said']}\n", markup=False, soft_wrap=True)


COLUMNS = ("labels", "people", "share", "accuracy", "log-loss", "gain, points", "")


def _rows(points: list[Figures]) -> list[list[str]]:
    low, high = (pick(point["accuracy"] for point in points) for pick in (min, max))
    return [
        [
            f"{point['n']:,.0f}",
            f"{point['units']:,.0f}",
            f"{point['share'] * 100:.0f} %",
            share(point["accuracy"], point["accuracy_ci"]),
            f"{point['log_loss']:.3f} [{point['log_loss_ci'][0]:.3f}, {point['log_loss_ci'][1]:.3f}]",
            "" if point["gain"] is None else _points(point["gain"], point["gain_ci"]),
            _bar((point["accuracy"] - low) / (high - low) if high > low else 1.0),
        ]
        for point in points
    ]


def _bar(share_of_range: float) -> str:
    """From one block for the least accurate point to a full bar for the best."""
    filled = round(1 + (BAR - 1) * share_of_range)
    return "█" * filled + "·" * (BAR - filled)


def _points(value: float, interval: list[float]) -> str:
    return f"{value * 100:+.1f} [{interval[0] * 100:+.1f}, {interval[1] * 100:+.1f}]"


def _part(figures: Figures) -> str:
    return "all queries (no splits)" if figures["split"] == WHOLE else f"split {figures['split']}"


def show_audit(out: Console, figures: Figures) -> None:
    """How many labels are doubted, which, and which queries to label next."""
    out.print(
        f"{figures['dataset']}, split {figures['split']}: {figures['n_queries']:,} queries of {figures['n_units']:,} people"
        " or groups; each judged by a model that has seen none of its person's; 95 % intervals",
        markup=False,
        soft_wrap=True,
    )
    rows = [
        [
            head,
            f"{entry['n']:,}",
            share(entry["accuracy"]),
            "–" if entry["suspects"] is None else f"{entry['suspects']:,}",
            share(entry["suspect_share"], entry["suspect_share_ci"]),
            share(entry["noise_share"], entry["noise_share_ci"]),
            _pairs(entry),
        ]
        for head, entry in figures["heads"].items()
    ]
    names = ["head", "n", "model agrees", "suspects", "share", "noise, hard ones in it", "most often"]
    out.print(table("Labels that the model doubts", names, rows))
    out.print(
        "A suspect is a wrong label or a query that is hard for the model; only a person can tell. The noise share counts"
        " both, so the less often the model agrees the more it is too high; and no model sees a mistake that all labels share.",
        markup=False,
        soft_wrap=True,
    )
    for head, entry in figures["heads"].items():
        if entry["reason"]:
            out.print(f"{head}: {entry['reason']}", markup=False, soft_wrap=True)
        elif entry["top"]:
            _suspects(out, head, entry)
    if figures["next"] is not None:
        _next(out, figures["next"])


def _pairs(entry: Figures) -> str:
    return ", ".join(f"{pair['given']} → {pair['suggested']} {pair['n']}" for pair in (entry["pairs"] or ())[:2])


def _suspects(out: Console, head: str, entry: Figures) -> None:
    rows = [
        [suspect["id"], told(suspect), suspect["given"], suspect["suggested"], _two(suspect["probability"]), _two(suspect["margin"])]
        for suspect in entry["top"]
    ]  # fmt: skip
    names = ["id", "query", "given", "suggested", "p", "margin"]
    out.print(table(f"{head}: the first {len(rows)} of {entry['suspects']:,} suspects", names, rows, left=4))


def _next(out: Console, figures: Figures) -> None:
    rows = [
        [
            query["id"],
            told(query),
            ", ".join(f"{head}: {guess['label']} {_two(guess['probability'])}" for head, guess in query["guesses"].items()),
            _two(query["doubt"]),
            _two(query["distance"]),
        ]
        for query in figures["queries"]
    ]  # fmt: skip
    if rows:
        title = f"Label these next: {len(rows)} of {figures['candidates']:,} ({figures['source']})"
        out.print(table(title, ["id", "query", "the model's guess", "doubt", "distance"], rows, left=3))
    if figures["reason"]:
        out.print(f"next: {len(rows)} of the {figures['asked']} asked for: {figures['reason']}", markup=False)


def told(query: Figures) -> str:
    """A query in a cell, what was said before it first; square brackets are no markup."""
    from rich.markup import escape

    text = " » ".join(" ".join(part.split()) for part in (*query["context"], query["text"]))
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _two(value: float) -> str:
    return f"{value:.2f}"
