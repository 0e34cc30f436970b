"""The files of a leaderboard that people open: one page that needs nothing else, and two tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from eval.board_notes import chosen_section, protocol_section, words_section
from eval.board_plots import calibration_section, curves_section
from eval.board_queries import heat_map, losses_section
from eval.board_tables import leaderboard, models_table
from eval.board_words import Board, headline, saving, standing, tie_note
from router.files import write_atomic

Details = Mapping[str, Any]  # Any: whatever JSON can hold
STYLES = ("report.css", "board.css")
LOSS_COLUMNS = ("query_id", "dataset", "chosen", "score", "best", "best_score")


def write_board_report(board: Board, details: Details, path: Path) -> None:
    """Write the page, whole or not at all: a pure function of the board and its `board_details.details`."""
    write_atomic(path, render(board, details))


def render(board: Board, details: Details) -> str:
    """The page as text. Nothing in it comes from outside, every name is escaped, and no query's text is in it."""
    style = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in STYLES)
    sections = [
        _top(board),
        leaderboard(board),
        curves_section(board, details),
        models_table(board, details),
        calibration_section(board, details),
        heat_map(board, details),
        losses_section(board, details),
        protocol_section(board),
        chosen_section(board),
        words_section(),
        f"<footer>table {escape(board['table'])} · {escape(board['fingerprint'][:16])} · made by <code>weighbridge compare</code></footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>Routers on {escape(board['table'])}</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _top(board: Board) -> str:
    said = [text for text in (tie_note(board), standing(board), saving(board)) if text]
    partial = (
        ""
        if board.get("complete", True)
        else '<p class="warning">Not all routers have finished; this is how far it has come.</p>'
    )
    return (
        f"<h1>{escape(headline(board))}</h1>{partial}<p>{escape(' '.join(said))}</p>"
        f'<p class="soft">{escape(board["table"])}: {board["n_queries"]:,} queries, {len(board["models"])} models. In-domain means that'
        " the routers learned from queries of the same sources as those they are judged on; little of it carries over to"
        " others. Brackets are 95 % intervals.</p>"
    )


def write_board_csv(board: Board, path: Path) -> None:
    """One row per router, in the board's order; an interval is two columns, a model's share of the calls one.

    What does not apply is empty.
    """
    keys = dict.fromkeys(key for row in board["rows"] for key in row)
    flat = [dict(_flat(row, keys, board["models"])) for row in board["rows"]]
    _write_csv(path, list(dict.fromkeys(key for row in flat for key in row)), flat)


def _flat(row: Mapping[str, Any], keys: Mapping[str, None], models: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        value = row.get(key)
        if key.endswith("_ci"):
            low, high = (None, None) if value is None else value
            yield f"{key}_low", low
            yield f"{key}_high", high
        elif key == "share":
            yield from ((f"share {model}", None if value is None else value[model]) for model in models)
        else:
            yield key, value


def write_losses_csv(details: Details, path: Path) -> None:
    """One row per router and query that it loses, as in `details["losses"]`; a missing data set is empty."""
    rows = [{"router": router, **entry} for router, lost in details["losses"].items() for entry in lost]
    _write_csv(path, ["router", *LOSS_COLUMNS], rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
