"""The leaderboard of outcome routers as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eval.board_words import (
    DASH,
    NAMES,
    Board,
    Row,
    delta,
    duration,
    figure,
    fit_time,
    headline,
    number,
    one_sided,
    ranked,
    saving,
    standing,
    tie_note,
)
from eval.contest import OURS
from router.console import table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Column = tuple[str, Callable[[Row], str]]

NEEDED = 3  # columns beside the name: the figure, the difference, the verdict
BETWEEN = 2  # blanks between columns
NAME_WIDTH = 14  # of the longest name that the project ships, in its brackets


def show_board(out: Console, board: Board) -> None:
    """One table, the best first, ours marked; then what it says in plain sentences.

    On a terminal too narrow for all columns the last ones are left out and named; no figure is cut.
    """
    columns = _columns(board["metric"])
    shown = len(columns)
    while shown > NEEDED and _width(board, columns[:shown]) > out.width:
        shown -= 1
    made = _leaderboard(board, columns[:shown])
    left_out = [title for title, _ in columns[shown:]]
    made.caption = _legend(board) + (f"; no room for {', '.join(left_out)}" if left_out else "")
    out.print(made)
    out.print()
    for sentence in _sentences(board):
        out.print(sentence, markup=False)


def _width(board: Board, columns: Sequence[Column]) -> int:
    """What the columns need beside a name of the usual length."""
    needed = [max([len(title), *(len(cell(row)) for row in board["rows"])]) for title, cell in columns]
    return NAME_WIDTH + sum(BETWEEN + width for width in needed)


def _leaderboard(board: Board, columns: Sequence[Column]) -> Table:
    from rich.markup import escape

    title = (
        f"{board['table']}: {board['n_queries']:,} queries, {len(board['models'])} models, in-domain; 95 % intervals"
    )
    rows = ranked(board)
    cells = [[_name(row), *(cell(row) for _, cell in columns)] for row in rows]
    made = table(escape(title), ["router", *(title for title, _ in columns)], cells)
    made.collapse_padding, made.show_edge, made.caption_justify = True, False, "left"
    for drawn, row in zip(made.rows, rows, strict=True):
        drawn.style = "bold" if row["router"] == OURS else "" if row["allowed"] else "dim"
    made.columns[0].min_width = NAME_WIDTH
    for column in made.columns[1:]:
        column.no_wrap = True  # a long name is broken; a figure never is
    return made


def _columns(metric: str) -> list[Column]:
    """Titles and cells, the least needed last; the first three are always shown."""
    return [
        (NAMES[metric], lambda row: figure(row, metric)),
        ("ours minus it", lambda row: "" if row["router"] == OURS else delta(row)),
        ("verdict", _verdict),
        *([("CPT50", lambda row: number(row["cpt50"], ".0%"))] if metric == "apgr" else []),
        ("CostSave", lambda row: number(row["costsave"], ".0%")),
        ("ECE (noise)", lambda row: DASH if row["ece"] is None else f"{row['ece']:.3f} ({number(row['ece_bias'])})"),
        ("fit", fit_time),
        ("decide", lambda row: duration(row["decide_us"])),
    ]


def _name(row: Row) -> str:
    from rich.markup import escape

    if row["router"] == OURS:
        return f"► {OURS}"
    return escape(row["router"] if row["allowed"] else f"({row['router']})")


def _verdict(row: Row) -> str:
    if row["router"] == OURS:
        return "ours"
    if row["verdict"] is None:
        return DASH
    return "tie *" if row["verdict"] == "tie" and one_sided(row) else str(row["verdict"])


def _legend(board: Board) -> str:
    """What the marks in this table mean, those that it has."""
    said = []
    if any(row["verdict"] is not None for row in board["rows"]):
        said.append("verdict: ours against the row, after Holm's correction")
    if any(_verdict(row) == "tie *" for row in board["rows"]):
        said.append("* the interval alone leaves 0 out")
    if any(not row["allowed"] for row in board["rows"]):
        said.append("in brackets: knows what nobody knows at decision time")
    return "; ".join(said)


def _sentences(board: Board) -> list[str]:
    """Who won, how ours stands, what it saves, and who took no part and why."""
    said = [f"{headline(board)}.", *(text for text in (tie_note(board), standing(board), saving(board)) if text)]
    absent = [row for row in board["rows"] if row["accuracy"] is None]
    return [*said, *(f"{row['router']} took no part: {row['reason']}" for row in absent)]
