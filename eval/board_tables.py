"""The tables of a leaderboard's page: the routers, the single models, the data sets, and the queries that were lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from eval.board_axes import PER
from eval.board_words import (
    DASH,
    NAMES,
    Board,
    Row,
    delta,
    dollars,
    duration,
    figure,
    fit_time,
    number,
    one_sided,
    percent,
    ranked,
)
from eval.contest import OURS

Details = Mapping[str, Any]  # Any: whatever JSON can hold


def leaderboard(board: Board) -> str:
    """Every router, the best first; columns without any figure are left out, and notes say why others are missing."""
    columns = {title: cell for key, title, cell in _columns(board["metric"]) if key is None or _any(board, key)}
    notes = _notes(board)
    body = "".join(
        f'<tr class="{_kind(row)}"><th scope="row">{escape(row["router"])}{_mark(notes, row)}</th>'
        + "".join(f"<td>{cell(row)}</td>" for cell in columns.values())
        + "</tr>"
        for row in ranked(board)
    )
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("router", *columns))
    table = f'<table class="board"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        "<h2>Leaderboard</h2>"
        + f'<div class="wide">{scroll("Leaderboard", table)}</div>'
        + (f'<ol class="notes">{listed}</ol>' if notes else "")
        + f'<p class="soft">{_dashes(board)}</p>'
        + _matched(board)
    )


def _columns(metric: str) -> list[tuple[str | None, str, Callable[[Row], str]]]:
    """Per column the key that must have a figure for it to be shown (None: always), its title and its cells."""
    second = [(name, NAMES[name], _figure_of(name)) for name in ("apgr", "aiq", "accuracy") if name != metric]
    return [
        (None, "usable", lambda row: "yes" if row["allowed"] else "no"),
        (metric, NAMES[metric], _figure_of(metric)),
        (None, "ours minus it", lambda row: "" if row["router"] == OURS else delta(row)),
        (None, "ours is", _verdict),
        ("cpt50", "CPT 50 %", lambda row: percent(row["cpt50"])),
        ("cpt80", "CPT 80 %", lambda row: percent(row["cpt80"])),
        ("costsave", "CostSave", lambda row: percent(row["costsave"])),
        ("perfgain", "PerfGain", lambda row: percent(row["perfgain"])),
        ("ece", "ECE (noise)", _ece),
        (None, "fit", fit_time),
        (None, "a decision", lambda row: duration(row["decide_us"])),
        *second,
        ("regret", "regret", lambda row: number(row["regret"])),
        ("cost_usd_mean", "$ per 1,000", lambda row: dollars(_per_thousand(row))),
    ]


def scroll(name: str, inside: str, *, tall: bool = False) -> str:
    """A box of its own for what may be wider than a phone; reachable by keyboard."""
    kind = "scroll tall-box" if tall else "scroll"
    return f'<div class="{kind}" role="region" aria-label="{escape(name)}" tabindex="0">{inside}</div>'


def _any(board: Board, key: str) -> bool:
    return any(row[key] is not None for row in board["rows"])


def _figure_of(metric: str) -> Callable[[Row], str]:
    return lambda row: figure(row, metric)


def _per_thousand(row: Row) -> float | None:
    return None if row["cost_usd_mean"] is None else row["cost_usd_mean"] * PER


def _kind(row: Row) -> str:
    return "ours" if row["router"] == OURS else "" if row["allowed"] else "mark"


def _ece(row: Row) -> str:
    return DASH if row["ece"] is None else f"{row['ece']:.3f} ({number(row['ece_bias'])})"


def _verdict(row: Row) -> str:
    """Better, worse or a tie; a tie with the difference that would have been seen."""
    if row["router"] == OURS:
        return ""
    if row["verdict"] is None:
        return DASH
    verdict, seen = str(row["verdict"]), row["minimum_detectable"]
    if verdict != "tie":
        return f'<span class="verdict {escape(verdict)}">{escape(verdict)}</span>'
    star = " *" if one_sided(row) else ""
    return f'<span class="verdict tie">a tie{star}</span>' + ("" if seen is None else f" (sees {seen:.3f})")


def _notes(board: Board) -> list[str]:
    """The distinct reasons for what is missing; that ours is not compared with itself needs no note."""
    return list(dict.fromkeys(row["reason"] for row in ranked(board) if row["reason"] and not _self(row)))


def _self(row: Row) -> bool:
    return bool(row["router"] == OURS and row["accuracy"] is not None)


def _mark(notes: Sequence[str], row: Row) -> str:
    return "" if row["reason"] not in notes else f"<sup>{notes.index(row['reason']) + 1}</sup>"


def _dashes(board: Board) -> str:
    """What a dash means in each column that has one, and which columns are left out."""
    said = ["Not usable: knows what nobody knows at decision time; a mark to measure by."]
    if any(row["verdict"] == "tie" for row in board["rows"]):
        said.append("“Sees”: the true difference that would be found four times in five.")
    if any(row["verdict"] == "tie" and one_sided(row) for row in board["rows"]):
        said.append("* The interval alone leaves 0 out, but not after Holm's correction for all comparisons here.")
    left_out = {"apgr": "APGR and CPT need a pair of models", "aiq": "AIQ needs the cost of every model's calls"}
    said += [f"{why}." for key, why in left_out.items() if not _any(board, key)]
    present = [row for row in board["rows"] if row["accuracy"] is not None]
    if any(row["costsave"] is None for row in present):
        said.append(
            f"No CostSave: on some part of the queries no operating point is as good as {board['best_single']} alone."
        )
    if any(row["ece"] is None for row in present):
        said.append("No ECE: the router's values are not meant as probabilities.")
    return escape(" ".join(said))


def _matched(board: Board) -> str:
    """Ours against each other router at one price, and at one quality."""
    rows = [row for row in ranked(board) if row["delta_quality"] is not None or row["delta_cost"] is not None]
    if not rows:
        return ""
    usd = board["cost_unit"].startswith("USD")
    unit = f"dollars per {PER:,} queries" if usd else "share of calls to the strong model"
    body = "".join(
        f'<tr class="{_kind(row)}"><th scope="row">{escape(row["router"])}</th><td>{_bounded(row, "delta_quality", _signed)}</td>'
        f"<td>{_bounded(row, 'delta_cost', _saved_usd if usd else _signed)}</td></tr>"
        for row in rows
    )
    head = f'<tr><th scope="col">router</th><th scope="col">score for the same money</th><th scope="col">{unit} for the same score</th></tr>'
    return (
        "<details><summary>Ours minus each, half way between the cheapest and the best single model</summary>"
        '<p class="soft">Below 0 in the last column, ours saves. Not corrected for the number of comparisons.</p>'
        + scroll(
            "Ours minus each at matched cost and score",
            f'<table class="board"><thead>{head}</thead><tbody>{body}</tbody></table>',
        )
        + "</details>"
    )


def _bounded(row: Row, key: str, said: Callable[[float], str]) -> str:
    if row[key] is None:
        return DASH
    bounds = row[f"{key}_ci"]
    return said(row[key]) + ("" if bounds is None else f" [{said(bounds[0])}, {said(bounds[1])}]")


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _saved_usd(value: float) -> str:
    return dollars(value * PER, "+")


def models_table(board: Board, details: Details) -> str:
    """The single models, from the cheapest to the dearest."""
    usd = board["cost_unit"].startswith("USD")
    body = "".join(
        f'<tr><th scope="row">{escape(model["model"])}</th><td>{figure(model, "accuracy")}</td>'
        f"<td>{dollars(model['cost'] * PER) if usd else DASH}</td></tr>"
        for model in details["models"]
    )
    head = '<tr><th scope="col">model</th><th scope="col">mean score</th><th scope="col">$ per 1,000 queries</th></tr>'
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f"<details><summary>The single models</summary>{scroll('Single models', table)}</details>"
