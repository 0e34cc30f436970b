"""What a leaderboard says in words: who won, by how much, or that it is a tie. Terminal and page say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.contest import OURS
from router.console import share

Board = Mapping[str, Any]  # Any: whatever JSON can hold
Row = Mapping[str, Any]

NAMES = {"apgr": "APGR", "aiq": "AIQ", "accuracy": "accuracy"}
DASH = "–"


def ranked(board: Board) -> list[Row]:
    """The rows from the best headline figure to the worst; those without one last; equals in the board's order."""
    metric = board["metric"]
    return sorted(board["rows"], key=lambda row: (row[metric] is None, -(row[metric] or 0.0)))


def our_row(board: Board) -> Row | None:
    """Ours, where it took part and can be judged by the headline figure."""
    return next((row for row in board["rows"] if row["router"] == OURS and row[board["metric"]] is not None), None)


def best_other(board: Board) -> Row | None:
    """The best of the other routers that may be used at decision time; None where none has a headline figure."""
    others = [row for row in ranked(board) if row["allowed"] and row["router"] != OURS]
    return next((row for row in others if row[board["metric"]] is not None), None)


def headline(board: Board) -> str:
    """One sentence: what won in-domain, and by how much, or that it is a tie."""
    ours, other, metric = our_row(board), best_other(board), board["metric"]
    name = NAMES[metric]
    if other is None:
        if ours is None:
            return f"In-domain: no router that may be used could be judged by {name}"
        return f"In-domain, {OURS} reaches {name} {figure(ours, metric)}; there is nothing to compare it with"
    if ours is None:
        return f"In-domain, {other['router']} is ahead: {name} {figure(other, metric)}; {OURS} was not judged"
    mine, theirs = f"{ours[metric]:.3f}", f"{other[metric]:.3f}"
    if other["verdict"] == "better":
        return f"In-domain, {OURS} beats {other['router']}, the best of the others: {name} {mine} against {theirs}, {delta(other)}"
    if other["verdict"] == "worse":
        return (
            f"In-domain, {other['router']} beats {OURS}: {name} {theirs} against {mine}; ours minus it {delta(other)}"
        )
    return f"In-domain, {OURS} and {other['router']}, the best of the others, tie: {name} {mine} and {theirs}, a difference of {delta(other)}"


def standing(board: Board) -> str | None:
    """How ours stands against each of the others that may be used; None where it was compared with none."""
    usable = [row for row in board["rows"] if row["allowed"] and row["verdict"] is not None]
    if not usable:
        return None
    counts = {kind: sum(row["verdict"] == kind for row in usable) for kind in ("better", "tie", "worse")}
    return (
        f"Of the {len(usable)} other routers that may be used and have a paired difference, {OURS} is better than"
        f" {counts['better'] or 'none'}, ties with {counts['tie'] or 'none'} and is worse than {counts['worse'] or 'none'}, after Holm's correction."
    )


def tie_note(board: Board) -> str | None:
    """Why ours and the best other are called a tie, and what would have been seen; None where they are not."""
    other = best_other(board)
    if other is None or other["verdict"] != "tie" or our_row(board) is None:
        return None
    seen = other["minimum_detectable"]
    would = "" if seen is None else f" A true difference of {seen:.3f} would be found four times in five."
    if one_sided(other):
        return (
            f"The interval against {other['router']} lies on one side of 0, but among as many comparisons as here chance"
            f" alone would do that too often (p {other['p_holm']:.2f} after Holm's correction), so it is called a tie.{would}"
        )
    return f"{board['n_queries']:,} queries cannot tell the two apart.{would}"


def saving(board: Board) -> str | None:
    """What routing saves at the best single model's quality; None without ours."""
    ours = our_row(board)
    if ours is None:
        return None
    best, saved = board["best_single"], ours["costsave"]
    if saved is None:
        return (
            f"What it saves is unknown: on some part of the queries {OURS} never reaches the quality of {best} alone."
        )
    dollars = board["cost_unit"].startswith("USD")
    less, of = ("less" if dollars else "fewer") if saved >= 0 else "more", "money" if dollars else f"calls of {best}"
    return f"As good as {best} alone for {abs(saved) * 100:.1f} % {less} {of} (CostSave, chosen on other queries than judged)."


def figure(row: Row, metric: str) -> str:
    """0.846 [0.830, 0.861], or a dash."""
    if row[metric] is None:
        return DASH
    bounds = row[f"{metric}_ci"]
    return f"{row[metric]:.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def delta(row: Row) -> str:
    """Ours minus the row's: +0.003 [-0.002, 0.008], or a dash."""
    if row["delta"] is None:
        return DASH
    bounds = row["delta_ci"]
    return f"{row['delta']:+.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def one_sided(row: Row) -> bool:
    """Whether the interval of the difference leaves 0 out."""
    bounds: Sequence[float] | None = row["delta_ci"]
    return bounds is not None and (bounds[0] > 0 or bounds[1] < 0)


def number(value: float | None, form: str = ".3f") -> str:
    """A figure, or a dash."""
    return DASH if value is None else format(value, form)


def dollars(value: float | None, sign: str = "") -> str:
    """Dollars to three digits, or a dash.

    >>> dollars(0.08105), dollars(5024.4), dollars(0.5, "+"), dollars(None)
    ('0.081', '5,024', '+0.5', '–')
    """
    return number(value, f"{sign},.0f" if value is not None and abs(value) >= 1_000 else f"{sign}.3g")


def percent(value: float | None) -> str:
    """A share without its interval, or a dash."""
    return share(value)


def fit_time(row: Row) -> str:
    """Seconds of all fits; what took less than the clock shows is said to be less."""
    return "< 1 ms" if row["fit_s"] == 0 else duration(None if row["fit_s"] is None else row["fit_s"] * 1e6)


def duration(microseconds: float | None) -> str:
    """Microseconds as a person says them.

    >>> duration(40.24), duration(1907), duration(31_450_000), duration(None)
    ('40 µs', '1.9 ms', '31 s', '–')
    """
    if microseconds is None:
        return DASH
    scale, unit = (1, "µs") if microseconds < 1e3 else (1e3, "ms") if microseconds < 1e6 else (1e6, "s")
    scaled = microseconds / scale
    return f"{scaled:,.0f} {unit}" if scaled >= 10 or scale == 1 else f"{scaled:.1f} {unit}"
