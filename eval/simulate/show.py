"""Simulations as a person reads them in a terminal: the sentence, what it is compared with, what holds, what moves the bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from eval.simulate.numerals import DASH, change, kept_together, ms, percent, usd
from eval.simulate.printed import printed_rows
from eval.simulate.sentences import (
    break_even_sentences,
    certain,
    comparison,
    headline,
    labels,
    ways,
)
from eval.simulate.words import found as found_words
from eval.simulate.words import spoken, target_words, value_of, verdict, wanted, worlds
from router.console import table

if TYPE_CHECKING:
    from rich.console import Console

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
TOP_DRIVERS = 6
NAME_WIDTH = 14  # of a name, in a terminal too narrow for all
NEEDED = 2  # columns that are always shown
BETWEEN = 2  # blanks between columns
SIMULATED = "simulated"


def show_simulation(out: Console, found: Sequence[Figures]) -> None:
    """Each scenario in short; of several, all of them beside each other first."""
    if len(found) > 1:
        _say(out, comparison(found), style="bold")
        _compared(out, found)
    for figures, name in zip(found, labels(found), strict=True):
        if len(found) > 1:
            from rich.markup import escape

            out.rule(escape(name), align="left", style="dim")
        _one(out, figures)


def show_arithmetic(out: Console, figures: Figures) -> None:
    """A scenario without intervals: what its arithmetic gives beside what was printed, and what it leaves out."""
    _printed(out, figures)
    _left_out(out, figures)


def _one(out: Console, figures: Figures) -> None:
    _say(out, headline(figures), style="bold")
    _baselines(out, figures)
    if figures["printed"]:
        _printed(out, figures)
    _targets(out, figures)
    _drivers(out, figures)
    for sentence in break_even_sentences(figures):
        _say(out, sentence)
    _left_out(out, figures)


def _compared(out: Console, found: Sequence[Figures]) -> None:
    rows = []
    for figures, name in zip(found, labels(found), strict=True):
        exact = certain(figures)
        rows.append(
            [
                name,
                usd(figures["routed_usd_per_month"], exact=exact),
                usd(figures["baseline_usd_per_month"], exact=exact),
                change(figures["saving"], figures["saving_ci"], exact=exact),
                usd(figures["usd_per_query"]),
                ms(figures["latency_ms"]["p95"]),
                percent(figures["quality"]["good_answers"]),
                _held(figures),
            ]
        )
    columns = ["scenario", "routed", "baseline", "routing costs", "$ a query", "p95", "good", "held"]
    _table(out, f"Side by side, dollars a month ({SIMULATED}); held: targets that hold", columns, rows)


def _held(figures: Figures) -> str:
    rows = figures["targets"]
    return f"{sum(row['verdict'] == 'holds' for row in rows)} of {len(rows)}" if rows else DASH


def _baselines(out: Console, figures: Figures) -> None:
    exact, judged = certain(figures), figures["quality"]["good_answers"] is not None
    quality = figures["quality"]
    good = [percent(quality["good_answers"], quality["good_answers_ci"])] if judged else []
    ours = ["routing", usd(figures["routed_usd_per_month"], figures["routed_usd_per_month_ci"], exact=exact), "", *good]
    rows = [
        [
            row["name"],
            usd(row["usd_per_month"], row["usd_per_month_ci"], exact=exact),
            change(row["saving"], row["saving_ci"], exact=exact),
            *([percent(row["good_answers"], row["good_answers_ci"])] if judged else []),
        ]
        for row in figures["baselines"]
    ]
    columns = ["", "$ a month", "routing, beside it", *(["good answers"] if judged else [])]
    brackets = "" if exact else "; brackets: 5 to 95 % of the drawn worlds"
    _table(out, f"Dollars a month ({SIMULATED}{brackets})", columns, [ours, *rows])


def _targets(out: Console, figures: Figures) -> None:
    """Verdicts in a table, and under it what would have to change for those that do not hold."""
    rows = [
        [target_words(row["target"]), verdict(row), wanted(row), found_words(row), worlds(row["share_of_worlds"])]
        for row in figures["targets"]
    ]
    if not rows:
        return
    _table(out, f"Targets ({SIMULATED})", ["target", "verdict", "wanted", "found", "of worlds"], rows)
    counted = bool(figures["threshold"]["curve"])
    for row in figures["targets"]:
        if row["verdict"] in ("open", "fails"):
            _say(out, ways(row, counted=counted), indent="  ")


def _drivers(out: Console, figures: Figures) -> None:
    rows = [
        [
            spoken(row["assumption"]),
            f"{value_of(row['assumption'], row['low'])} to {value_of(row['assumption'], row['high'])}",
            f"{usd(row['usd_per_month_at_low'])} to {usd(row['usd_per_month_at_high'])}",
            usd(row["swing_usd"]),
        ]
        for row in figures["drivers"][:TOP_DRIVERS]
    ]
    if rows:
        columns = ["one thing moved", "from low to high", "$ a month", "apart"]
        _table(out, f"What moves the bill, of {len(figures['drivers'])} assumptions ({SIMULATED})", columns, rows)


def _printed(out: Console, figures: Figures) -> None:
    rows = [[row.name, row.exact, row.printed, row.off or DASH] for row in printed_rows(figures)]
    columns = ["", "exact" if certain(figures) else "computed", "printed", "off by"]
    _table(out, f"Scenario {figures['scenario']}, dollars a month ({SIMULATED})", columns, rows)


def _left_out(out: Console, figures: Figures) -> None:
    for note in figures["left_out"]:
        _say(out, f"left out: {note}", indent="  ")


def _table(out: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Names come from files: what looks like markup in them is text. In a narrow terminal the last columns are left out."""
    from rich.markup import escape

    widths = [max(len(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    kept = len(columns)
    while kept > NEEDED and NAME_WIDTH + sum(BETWEEN + width for width in widths[1:kept]) > out.width:
        kept -= 1
    cells = [[escape(cell) for cell in row[:kept]] for row in rows]
    made = table(escape(title), [escape(name) for name in columns[:kept]], cells)
    made.collapse_padding, made.show_edge, made.caption_justify = True, False, "left"
    if left_out := ", ".join(columns[kept:]):
        made.caption = escape(f"no room for: {left_out}")
    made.columns[0].min_width = NAME_WIDTH
    for column in made.columns[1:]:
        column.no_wrap = True  # a long name is broken; a figure never is
    out.print(made)
    out.print()


def _say(out: Console, text: str, *, style: str = "", indent: str = "") -> None:
    """A paragraph as wide as the terminal; its further lines stand two blanks further in where its first is indented."""
    more = indent + "  " if indent else ""
    lines = fill(kept_together(text), out.width, initial_indent=indent, subsequent_indent=more, break_on_hyphens=False)
    out.print(lines.replace("\u00a0", " "), markup=False, style=style, soft_wrap=True)
