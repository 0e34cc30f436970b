"""One self-contained HTML page that a manager can read: a pure function of the figures of one or several simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from eval.simulate.numerals import DASH, change, count, kept_together, ms, percent, usd
from eval.simulate.plots import Bill
from eval.simulate.report_parts import (
    assumptions_section,
    bills_figure,
    bills_with_caption,
    checks_section,
    drivers_section,
    left_out_section,
    months_section,
    prices_section,
    printed_section,
    quality_section,
    threshold_section,
)
from eval.simulate.report_tables import (
    SIMULATED,
    Markup,
    Section,
    baselines_section,
    latency_section,
    routes_section,
    table,
    targets_section,
)
from eval.simulate.sentences import certain, comparison, headline, labels, targets_held
from router.files import write_atomic

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
STYLES = (Path(__file__).parent.parent / "report.css", Path(__file__).parent / "report.css")


def write_simulation_report(found: Sequence[Figures], path: Path) -> None:
    """Write the page, whole or not at all.   found: the JSON of one or more simulations, in the order to show them."""
    write_atomic(path, render(found))


def render(found: Sequence[Figures]) -> str:
    """The page as text. Nothing in it comes from outside, nothing in it runs, and every name is escaped."""
    if not found:
        raise ValueError("found no simulation; wanted the figures of one or more.")
    style = "".join(path.read_text(encoding="utf-8") for path in STYLES)
    body = _alone(found[0]) if len(found) == 1 else _side_by_side(found)
    title = f"What routing would cost: {', '.join(labels(found))}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}<footer>{_footer(found)}</footer></main></body></html>\n"
    )


def _alone(figures: Figures) -> str:
    return f"{_of(figures)}<h1>{kept_together(escape(headline(figures)))}</h1>{_meant([figures])}{bills_figure(figures)}{_sections(figures, level=2)}"


def _side_by_side(found: Sequence[Figures]) -> str:
    """The comparison, then every scenario under a heading of its own."""
    names = labels(found)
    parts = [
        f'<p class="of">{len(found)} scenarios side by side</p><h1>{kept_together(escape(comparison(found)))}</h1>{_meant(found)}',
        bills_with_caption(_pairs(found, names)),
        f"<h2>Side by side {SIMULATED}</h2>{_compared(found, names)}",
    ]
    for position, (figures, name) in enumerate(zip(found, names, strict=True), start=1):
        parts.append(
            f'<section class="scenario" id="scenario-{position}"><h2>{position}. {escape(name)}</h2>{_of(figures)}'
            f'<p class="sentence">{kept_together(escape(headline(figures)))}</p>{bills_figure(figures)}{_sections(figures, level=3)}</section>'
        )
    return "".join(parts)


def _of(figures: Figures) -> str:
    volume = count(figures["queries_per_month"], figures["queries_per_month_ci"])
    return f'<p class="of">{escape(figures["title"])} · {escape(figures["month"])} · {volume} queries a month</p>'


def _meant(found: Sequence[Figures]) -> str:
    """What kind of figures these are, before anything else is read."""
    recorded = [name for figures, name in zip(found, labels(found), strict=True) if figures.get("recorded")]
    what = "Everything here is a projection from assumptions, and nothing of it was measured on this traffic"
    if recorded:
        where = f" in {escape(', '.join(recorded))}" if len(found) > 1 else ""
        what = f"What calls cost and how good they were was recorded{where}; all else is a projection from assumptions"
    return (
        f'<p class="soft">{SIMULATED} {what}. Brackets: nine in ten of the worlds that the stated ranges allow.'
        " What is left out and every assumption stand at the end.</p>"
    )


def _sections(figures: Figures, *, level: int) -> str:
    """The one table first (targets, where there are any), then the detail; what a scenario has nothing of is left away."""
    made: list[Section] = [
        targets_section(figures),
        baselines_section(figures),
        printed_section(figures),
        routes_section(figures),
        quality_section(figures),
        latency_section(figures),
        drivers_section(figures),
        threshold_section(figures),
        months_section(figures),
        checks_section(figures),
        prices_section(figures),
        left_out_section(figures),
        assumptions_section(figures),
    ]
    return "".join(f"<h{level}>{heading}</h{level}>{body}" for heading, body in made if body)


def _pairs(found: Sequence[Figures], names: Sequence[str]) -> list[Bill]:
    """Two bars for each scenario: routed, and under its first baseline."""
    rows = []
    for figures, name in zip(found, names, strict=True):
        for kind, label in (("routed", "routing"), ("baseline", figures["baseline"])):
            dollars = figures[f"{kind}_usd_per_month"]
            ends = figures[f"{kind}_usd_per_month_ci"]
            routed, exact = kind == "routed", certain(figures)
            rows.append(Bill(name=label, usd=dollars, interval=ends, routed=routed, group=name, exact=exact))
    return rows


def _compared(found: Sequence[Figures], names: Sequence[str]) -> str:
    columns = ["scenario", "routed, a month", "first baseline, a month", "routing, beside it", "dollars a query", "95 in 100 within", "good answers", "targets"]  # fmt: skip
    rows = []
    for position, (figures, name) in enumerate(zip(found, names, strict=True), start=1):
        exact, quality, latency = certain(figures), figures["quality"], figures["latency_ms"]
        rows.append(
            [
                Markup(f'<a href="#scenario-{position}">{escape(name)}</a>'),
                usd(figures["routed_usd_per_month"], figures["routed_usd_per_month_ci"], exact=exact),
                _with_name(
                    usd(figures["baseline_usd_per_month"], figures["baseline_usd_per_month_ci"], exact=exact),
                    figures["baseline"],
                ),
                change(figures["saving"], figures["saving_ci"], exact=exact),
                usd(figures["usd_per_query"], exact=exact),
                ms(latency["p95"]),
                percent(quality["good_answers"]),
                targets_held(figures),
            ]
        )
    made = table("Scenarios", columns, rows)
    return f'{made}<p class="soft">{DASH}: the scenario does not say enough to know. Scenarios may differ in volume, month and baseline.</p>'


def _with_name(figure: str, name: str) -> Markup:
    return Markup(f'{escape(figure)}<span class="below">{escape(name)}</span>')


def _footer(found: Sequence[Figures]) -> str:
    seeds = ", ".join(dict.fromkeys(str(figures["seed"]) for figures in found))
    return f"{', '.join(escape(name) for name in labels(found))} · seed {seeds} · made by <code>weighbridge simulate</code>"
