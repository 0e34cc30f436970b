"""The tables of a simulation's page: targets, baselines, routes, latency, months. Whatever is text is escaped here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.simulate.numerals import DASH, change, count, kept_together, ms, percent, usd
from eval.simulate.sentences import at_thresholds, certain, would_hold
from eval.simulate.words import found, target_value, target_words, verdict, wanted, worlds

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
Section = tuple[str, str]  # heading as HTML, body as HTML; no body, no section
QUANTILES = ("p50", "p95", "p99")
SIMULATED = '<span class="simulated">simulated</span>'
INTERVAL = re.compile(r"(?<= )\[[^][<>]*\]")
KEPT_WHOLE = r'<span class="ci">\g<0></span>'  # on a phone it goes below its figure
MEAN_SCORE = "mean score"
WITH_BAD = "with_bad_answers_usd_per_month"
NO_END_OF_QUEUE = "grows without end"


class Markup(str):
    """Text that is HTML already; every other text in a table is escaped."""

    __slots__ = ()


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: Sequence[int] = (),
    ours: Sequence[int] = (),
    foot: bool = False,
) -> str:
    """A table in a box that scrolls by itself. The first cell of a row names it.

    texts: columns whose text may wrap.   ours: rows to stand out.   foot: whether the last row is a total.
    """

    def cell(tag: str, position: int, text: str, scope: str = "") -> str:
        shown = text if isinstance(text, Markup) else escape(text)
        mark = ' class="text"' if position in texts else ""
        shown = INTERVAL.sub(KEPT_WHOLE, kept_together(shown))
        return f"<{tag}{scope}{mark}>{shown}</{tag}>"

    header = "".join(cell("th", i, name, ' scope="col"') for i, name in enumerate(columns))
    body = []
    for number, row in enumerate(rows):
        cells = cell("th", 0, row[0], ' scope="row"') + "".join(cell("td", i, text) for i, text in enumerate(row) if i)
        mark = "total" if foot and number == len(rows) - 1 else "ours" if number in ours else ""
        body.append(f'<tr class="{mark}">{cells}</tr>' if mark else f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="figures">'
        f"<caption>{escape(caption)}</caption><thead><tr>{header}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _verdict(row: Figures) -> Markup:
    """Told apart by its word first and by its colour second."""
    word = escape(verdict(row))
    share = f' <span class="ci">in {escape(worlds(row["share_of_worlds"]))}</span>' if row["verdict"] else ""
    return Markup(f'<span class="verdict {word.replace(" ", "-")}">{word}</span>{share}')


def targets_section(figures: Figures) -> Section:
    """What was wanted and found, in how many worlds it holds, and what would make it hold."""
    targets = figures["targets"]
    if not targets:
        return "", ""
    counted = bool(figures["threshold"]["curve"])
    perfect = any(row.get("with_a_perfect_router") is not None for row in targets)
    columns = ["target", "wanted", "found", "verdict", "one change that would make it hold"]
    columns += ["holds at thresholds"] if counted else []
    columns += ["with no misrouting"] if perfect else []
    rows = []
    for row in targets:
        cells = [_named(row, figures), wanted(row), found(row), _verdict(row)]
        cells.append(would_hold(row, counted=counted))
        cells += [at_thresholds(row, counted=counted)] if counted else []
        cells += [target_value(row["target"], row.get("with_a_perfect_router"))] if perfect else []
        rows.append(cells)
    note = (
        "Verdict: in how many of the drawn worlds the target holds. In 95 of 100 or more it “holds”, in 5 or fewer it “fails”, in"
        " between it is “open”. A change that would make it hold is one thing moved, with everything else at its median."
    )
    if counted:
        note += " Thresholds: the lowest and the highest at which it would hold."
    return f"Targets {SIMULATED}", table("What was wanted and what was found", columns, rows, texts=(0, 4)) + _soft(
        note
    )


def _named(row: Figures, figures: Figures) -> str:
    against = f" against {figures['baseline']}" if row["target"] == "saving" else ""
    return target_words(row["target"]) + against


def baselines_section(figures: Figures) -> Section:
    """The router and every baseline: dollars, what routing costs beside it, good answers, and dollars with bad ones paid for."""
    exact, quality = certain(figures), figures["quality"]
    judged = quality["good_answers"] is not None
    priced = figures.get("routed_with_bad_answers_usd_per_month") is not None
    columns = ["", "dollars a month", "routing, beside it"]
    columns += [MEAN_SCORE if figures.get("recorded") else "good answers"] if judged else []
    columns += [f"with each bad answer paid for at {usd(figures['break_even']['stated_usd'])}"] if priced else []
    ours = {
        "name": "routing",
        **{name: figures[f"routed_{name}"] for name in ("usd_per_month", "usd_per_month_ci")},
        **{name: figures.get(f"routed_{name}") for name in (WITH_BAD, f"{WITH_BAD}_ci")},
        **{name: quality[name] for name in ("good_answers", "good_answers_ci")},
    }
    rows = []
    for row in (ours, *figures["baselines"]):
        beside = DASH if row is ours else change(row["saving"], row["saving_ci"], exact=exact)
        cells = [row["name"], usd(row["usd_per_month"], row["usd_per_month_ci"], exact=exact), beside]
        cells += [percent(row["good_answers"], row["good_answers_ci"])] if judged else []
        cells += [usd(row[WITH_BAD], row[f"{WITH_BAD}_ci"], exact=exact)] if priced else []
        rows.append(cells)
    note = f"Savings elsewhere on this page are those beside {escape(figures['baseline'])}."
    if figures["fixed_usd_per_month"]:
        note += (
            f" Routing's dollars hold {usd(figures['fixed_usd_per_month'], exact=True)} a month for the router itself."
        )
    caption = "Dollars a month, and what routing costs beside each"
    return f"What it is compared with {SIMULATED}", table(caption, columns, rows, ours=(0,)) + _soft(note)


def routes_section(figures: Figures) -> Section:
    """Where queries go, what an answer costs there and what a month does."""
    exact, total = certain(figures), figures["routed_usd_per_month"]
    columns = ["route", "model", "queries decided to go there", "answers per 100 queries", "dollars an answer", "dollars a month", "of the bill"]  # fmt: skip
    rows = []
    for row in figures["routes"]:
        decided = percent(row["share"], row["share_ci"], exact=exact) if row["share"] else "only as a fallback"
        per_hundred = None if row["answers_per_query"] is None else f"{row['answers_per_query'] * 100:.1f}"
        rows.append(
            [
                row["route"],
                row["model"] if row["provider"] in ("", row["model"]) else f"{row['model']} ({row['provider']})",
                decided,
                per_hundred or DASH,
                usd(row["usd_per_answer"], row["usd_per_answer_ci"], exact=exact),
                usd(row["usd_per_month"], row["usd_per_month_ci"], exact=exact),
                _of_bill(row["usd_per_month"], total),
            ]
        )
    if figures["fixed_usd_per_month"]:
        fixed = figures["fixed_usd_per_month"]
        rows.append(["the router itself", "", "", "", "", usd(fixed, exact=True), _of_bill(fixed, total)])
    together = usd(total, figures["routed_usd_per_month_ci"], exact=exact)
    rows.append(["together", "", "", "", usd(figures["usd_per_query"], exact=exact) + " a query", together, ""])
    note = "Answers are those that are paid for: help from a second route, further tries and second answers count, and answers from a cache do not."
    if figures["cache_hit_rate"]:
        note += f" {percent(figures['cache_hit_rate'], figures['cache_hit_rate_ci'])} of all input tokens are read from a prompt cache."
    return f"Where queries go {SIMULATED}", table("Routes", columns, rows, texts=(1,), foot=True) + _soft(note)


def _of_bill(dollars: float | None, total: float | None) -> str:
    return percent(dollars / total) if dollars is not None and total else DASH


def latency_section(figures: Figures) -> Section:
    """Quantiles over all messages and by the route that answered; the hours in which one gets more than it can serve."""
    entry = figures["latency_ms"]
    heading = f"How long an answer takes {SIMULATED}"
    if all(entry[name] is None for name in QUANTILES) and not entry["by_route"]:
        return heading, _soft(f"Latency is not simulated: {escape(str(entry['reason']))}.")

    def quantile(of: Figures, name: str) -> str:
        return NO_END_OF_QUEUE if of[name] is None else ms(of[name], of.get(f"{name}_ci"))

    rows = [["all queries", *(quantile(entry, name) for name in QUANTILES)]]
    rows += [[route, *(quantile(of, name) for name in QUANTILES)] for route, of in entry["by_route"].items()]
    columns = ["answered by", "half within", "95 in 100 within", "99 in 100 within"]
    made = table("Time to the whole answer, of all queries and by the route that answered", columns, rows, ours=(0,))
    for route, hours in entry["overloaded"].items():
        told = ", ".join(f"{hour}:00" for hour in hours)
        made += f'<p class="warning">More comes to {escape(route)} than it can serve at {told}; a queue there only grows.</p>'
    if entry["reason"] and not entry["overloaded"]:
        made += _soft(f"{escape(entry['reason'])}.")
    return heading, made


def months_table(figures: Figures) -> str:
    """Every month: queries, both bills, and the saving."""
    rows = [
        [
            row["month"],
            count(row["queries_per_month"], row["queries_per_month_ci"]),
            usd(row["routed_usd_per_month"], row["routed_usd_per_month_ci"]),
            usd(row["baseline_usd_per_month"], row["baseline_usd_per_month_ci"]),
            change(row["saving"], row["saving_ci"]),
        ]
        for row in figures["months"]
    ]
    columns = ["month", "queries", "routed", figures["baseline"], "routing, beside it"]
    return table("Month by month, with growth and the prices of each month", columns, rows)


def _soft(html: str) -> str:
    return f'<p class="soft">{html}</p>'
