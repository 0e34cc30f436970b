"""The sections of a simulation's page that are drawn or told: bills, quality, drivers, thresholds, months, and all that is assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from eval.simulate.curves import months_chart, threshold_charts
from eval.simulate.numerals import ms, percent, plain, usd
from eval.simulate.plots import TORNADO_ROWS, Bill, bills_chart, by_ratio, tornado
from eval.simulate.printed import printed_rows
from eval.simulate.report_tables import SIMULATED, Section, months_table, table
from eval.simulate.sentences import (
    beside_others,
    break_even_sentences,
    certain,
    how_drawn,
    quality_sentences,
)
from eval.simulate.words import kind_of, spoken, target_words, threshold, value_of

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
RATIO_NOTE = " Equal steps to the right are equal ratios, so lengths do not compare; the numbers do."
FEW = 20  # assumptions that are shown without being asked for


def bills_figure(figures: Figures) -> str:
    """The one chart: dollars a month, routed and under each baseline."""
    exact = certain(figures)
    first = Bill(
        name="routing",
        usd=figures["routed_usd_per_month"],
        interval=figures["routed_usd_per_month_ci"],
        routed=True,
        exact=exact,
    )
    rows = [
        Bill(name=row["name"], usd=row["usd_per_month"], interval=row["usd_per_month_ci"], routed=False, exact=exact)
        for row in figures["baselines"]
    ]
    return bills_with_caption([first, *rows], more=beside_others(figures))


def bills_with_caption(rows: Sequence[Bill], *, more: str = "") -> str:
    """A chart of bills, and what its lines mean.   more: what else is to be said."""
    lines = " Lines: 90 of 100 drawn worlds." if any(row.interval for row in rows) else ""
    ratio = RATIO_NOTE if by_ratio(rows) else ""
    chart = bills_chart(rows, unit="Dollars a month")
    return f"<figure>{chart}<figcaption>Dollars a month {SIMULATED}{lines}{ratio} {escape(more)}</figcaption></figure>"


def quality_section(figures: Figures) -> Section:
    """How good the answers are, and what a bad one may cost."""
    said = "".join(f"<p>{escape(text)}</p>" for text in quality_sentences(figures))
    told = "".join(f"<p>{escape(text)}</p>" for text in break_even_sentences(figures))
    return f"How good the answers are, and what a bad one may cost {SIMULATED}", said + told


def drivers_section(figures: Figures) -> Section:
    """The tornado and what its bars are."""
    rows = figures["drivers"]
    if not rows:
        return "", ""
    central = figures["central_usd_per_month"]
    ranges = {row["range"] for row in rows}
    how = "each range is the scenario's own" if ranges == {"stated"} else "the scenario gives no range, so each number is moved by a fifth either way" if "stated" not in ranges else "ranges are the scenario's own, and a fifth either way where it has none"  # fmt: skip
    note = f"Routed dollars a month when one thing at a time moves from one end of its range to the other: {how}."
    if not certain(figures):
        note += " Everything else stands at its median; the line, where nothing is moved, is therefore not quite the mean above."
    more = f" The {TORNADO_ROWS} largest of {len(rows)}." if len(rows) > TORNADO_ROWS else ""
    return (
        f"What moves the bill {SIMULATED}",
        f"<figure>{tornado(rows, central)}<figcaption>{note}{more}</figcaption></figure>",
    )


def threshold_section(figures: Figures) -> Section:
    """Curves over the threshold, and which one meets what."""
    entry = figures["threshold"]
    heading = f"{'λ' if figures.get('recorded') else 'The threshold'}: more quality or fewer dollars {SIMULATED}"
    if not entry["curve"]:
        return heading, f'<p class="soft">There is no curve: {escape(str(entry["reason"]))}.</p>'
    charts = "".join(
        f"<figure><figcaption>{name}</figcaption>{chart}</figure>" for name, chart in threshold_charts(figures)
    )
    source = escape(str(entry["source"]))
    note = (
        f"Here {source}." if figures.get("recorded") else f"Where queries go at each threshold was counted: {source}."
    )
    note += " Every assumption stands at its median, so that figures differ a little from the means above."
    note += f" {escape(str(entry['reason']))}." if entry["reason"] else ""
    return heading, f'<div class="pair">{charts}</div><p class="soft">{note}</p>{_meets(figures)}'


def _meets(figures: Figures) -> str:
    """One row for the chosen threshold, one for each target's best, one for that which meets all."""
    entry = figures["threshold"]
    at = {row["threshold"]: row for row in entry["curve"]}
    judged = figures["quality"]["good_answers"] is not None
    timed = any(row.get("latency_ms_p95") is not None for row in entry["curve"])
    asked = [("chosen", entry["chosen"])] if entry["chosen"] is not None else []
    asked += [(f"meets: {target_words(name)}", best) for name, best in entry["meets"].items()]
    asked += [("meets all of them", entry["meets_all"])] if entry["meets"] else []
    rows = []
    for name, value in asked:
        row = at.get(value, {})
        cells = [name, threshold(value) if value is not None else "none", usd(row.get("usd_per_month"))]
        cells += [percent(row.get("saving")), percent(row.get("routing_accuracy"))]
        cells += [percent(row.get("good_answers"))] if judged else []
        cells += [ms(row.get("latency_ms_p95"))] if timed else []
        rows.append(cells)
    columns = ["", "threshold", "dollars a month", "saving", "right route"]
    columns += (["good answers"] if judged else []) + (["95 in 100 within"] if timed else [])
    caption = "Thresholds that meet a target; of several, the one with the most good answers"
    return table(caption, columns, rows, ours=(0,) if entry["chosen"] is not None else ()) if rows else ""


def months_section(figures: Figures) -> Section:
    """A chart and a table where there are several months."""
    if not figures["months"]:
        return "", ""
    key = (
        '<ul class="legend"><li><span class="key ours"></span>routing (dots, solid line)</li>'
        f'<li><span class="key other"></span>{escape(figures["baseline"])} (squares, dashed line)</li></ul>'
    )
    unit, drawn = months_chart(figures)
    lines = "" if certain(figures) else " Shaded: 90 of 100 drawn worlds."
    chart = f'<figure class="narrow">{drawn}{key}<figcaption>{unit}.{lines}</figcaption></figure>'
    return f"Month by month {SIMULATED}", f"{chart}{months_table(figures)}"


def printed_section(figures: Figures) -> Section:
    """What somebody printed, beside what the same assumptions give."""
    if not figures["printed"]:
        return "", ""
    rows = [[row.name, row.exact, row.printed, row.off] for row in printed_rows(figures)]
    made = table("Dollars a month, as computed and as printed", ["", "computed", "printed", "printed is off by"], rows)
    return f"Printed figures beside these {SIMULATED}", made


def checks_section(figures: Figures) -> Section:
    """The simulation beside the closed form."""
    entry = figures["checks"]
    if entry["relative_difference"] is None:
        return (
            "Check",
            f'<p class="soft">There is no closed form to check this against: {escape(str(entry["reason"] or "it costs nothing"))}.</p>',
        )
    what = (
        "the plain mean over the table"
        if figures.get("recorded")
        else "the same scenario worked out as a formula, without drawing anything"
    )
    off = abs(entry["relative_difference"])
    said = "exactly" if off < 1e-9 else f"to {plain(off * 100)} %"
    return f"Check {SIMULATED}", (
        f"<p>With every assumption at its median, a query costs {usd(entry['simulated_usd_per_query'], exact=True)} here and"
        f" {usd(entry['closed_form_usd_per_query'], exact=True)} by {what}: they agree {said}.</p>"
    )


def prices_section(figures: Figures) -> Section:
    """Dollars per million tokens, by route."""
    rows = [
        [row["route"], row["model"], row["tier"]]
        + [usd(row[f"{part}_usd_per_mtok"], exact=True) for part in ("input", "cached", "output")]
        for row in figures["prices"]
    ]
    if not rows:
        return "", ""
    columns = ["route", "model", "tier", "input", "cached input", "output"]
    return "Prices used", table(
        f"Dollars per million tokens, mean over {figures['month']}", columns, rows, texts=(1, 2)
    )


def left_out_section(figures: Figures) -> Section:
    """What the numbers do not hold."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in figures["left_out"])
    return (
        "What is left out",
        f'<ul class="notes">{notes}</ul>' if notes else '<p class="soft">The scenario names nothing.</p>',
    )


def assumptions_section(figures: Figures) -> Section:
    """Every assumption with its range, and how the worlds were drawn."""
    drawn = "".join(f"<p>{escape(text)}</p>" for text in how_drawn(figures))
    rows = [
        [spoken(row["name"]), value_of(row["name"], row["value"]), _range(row), row["name"]]
        for row in figures["assumptions"]
    ]
    factors = any(kind_of(row["name"]) == "factor" for row in figures["assumptions"])
    note = (
        '<p class="soft">“×” is a factor on the whole level of what the scenario\'s file states.</p>' if factors else ""
    )
    caption = "Ranges are believed to hold nine times in ten; the middle is the median"
    made = table(caption, ["assumption", "middle", "range", "name in the file"], rows, texts=(0, 3))
    opened = " open" if len(rows) <= FEW else ""
    return "Every assumption, and how this was made", (
        f"{drawn}<details{opened}><summary>{len(rows)} assumptions</summary>{made}{note}</details>{_settings(figures)}"
    )


def _settings(figures: Figures) -> str:
    """Amounts, rows of shares and constants, as the scenario states them; nothing where it states none."""
    rows = [[row["name"], row["value"]] for row in figures["settings"]]
    if not rows:
        return ""
    made = table("What else the scenario states, by its name in the file", ["name", "stated"], rows, texts=(0, 1))
    return f"<details><summary>{len(rows)} amounts, shares and constants</summary>{made}</details>"


def _range(row: Figures) -> str:
    """What the assumption is believed to lie between."""
    if row["low"] is None or row["high"] is None:
        return "taken as known"
    return f"{value_of(row['name'], row['low'])} to {value_of(row['name'], row['high'])}"
