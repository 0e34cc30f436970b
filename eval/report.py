"""One self-contained HTML page: a pure function of a run, and of the comparison where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from eval.charts import Axis, dot, interval_chart, line_chart, polyline, vertical
from eval.metrics import evaluate
from eval.report_errors import errors_section
from eval.run import Run
from router.console import share
from router.files import write_atomic
from router.scoring import Reliability, reliability
from router.thresholds import sweep

TENTHS = [k / 10 for k in range(0, 11, 2)]
SIMULATED = '<span class="simulated">simulated</span>'


def write_report(run: Run, path: Path, *, board: Mapping[str, Any] | None = None) -> None:
    """Write the page, whole or not at all."""
    write_atomic(path, render(run, board=board))


def render(run: Run, *, board: Mapping[str, Any] | None = None) -> str:
    """The page as text. Nothing in it comes from outside, and every text of a query is escaped."""
    figures = evaluate(run)
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    sections = [
        _headline(run, figures),
        _comparison(board) if board else "",
        _routes(figures),
        _threshold(run),
        _calibration(run),
        _confusions(figures),
        _languages(figures),
        errors_section(run, figures),
        _footer(run),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>{escape(run.header.router)} on {escape(run.header.dataset)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _headline(run: Run, figures: Mapping[str, Any]) -> str:
    route = figures["route"]
    saved = 1 - route["cost_usd_mean"] / route["cost_usd_all_dear"] if route["cost_usd_all_dear"] else 0.0
    cards = [_card("right route", share(route["accuracy"]), route["accuracy_ci"])]
    cards += [_card(head, share(entry["accuracy"]), entry["accuracy_ci"]) for head, entry in figures["heads"].items()]
    cards.append(
        f'<div class="card"><b>${route["cost_usd_mean"]:.5f}</b><span>a query, {saved * 100:.0f} % below every query to its desk</span>{SIMULATED}</div>'
    )
    unseen = ", none seen in training" if run.header.split == "test" else ""
    return (
        f"<h1>{share(route['accuracy'])} of {route['n']:,} queries went where a person would have sent them</h1>"
        f'<p class="soft">{escape(run.header.router)} on {escape(run.header.dataset)}, split {escape(run.header.split)}:'
        f" {run.header.n:,} queries of {figures['n_units']:,} people or groups{unseen}."
        " Brackets are 95 % intervals; people are drawn whole. Cost and latency are computed from the route table's"
        f" assumptions, not measured: {SIMULATED}</p>"
        f'<div class="cards">{"".join(cards)}</div>'
    )


def _card(name: str, value: str, interval: Sequence[float] | None) -> str:
    bounds = f"[{interval[0] * 100:.1f}, {interval[1] * 100:.1f}]" if interval else ""
    return f'<div class="card"><b>{value}</b><span>{escape(name)} {bounds}</span></div>'


def _comparison(board: Mapping[str, Any]) -> str:
    ours = board["rows"][0]["router"]
    measures = [*board["rows"][0]["heads"], "route"]
    charts = []
    for measure in measures:
        entries = [
            (row["router"], row["route"] if measure == "route" else row["heads"].get(measure)) for row in board["rows"]
        ]
        rows = [
            (name, entry["accuracy"], *entry["accuracy_ci"])
            for name, entry in entries
            if entry and entry["accuracy"] is not None
        ]
        if rows:
            chart = interval_chart(
                sorted(rows, key=lambda row: -row[1]), title=f"accuracy of {measure} by router", ours=ours
            )
            charts.append(f"<div><h3>{escape(measure)}</h3>{chart}</div>")
    header = "".join(f"<th>{escape(measure)}</th>" for measure in measures)
    body = []
    for row in board["rows"]:
        if row["delta"] is not None:
            cells = "".join(f"<td>{_delta(row, measure)}</td>" for measure in measures)
            body.append(f"<tr><td>{escape(row['router'])}</td>{cells}</tr>")
    return (
        f'<h2>Against other routers</h2><p class="soft">{escape(board["protocol"])}.</p><div class="pair">{"".join(charts)}</div>'
        "<h3>Ours minus theirs, in points of accuracy, on the same queries (* significant after Holm's correction; no star is a tie)</h3>"
        f'<div class="scroll"><table><tr><th>router</th>{header}</tr>{"".join(body)}</table></div>'
    )


def _delta(row: Mapping[str, Any], measure: str) -> str:
    if row["delta"].get(measure) is None:
        return "–"
    low, high = row["delta_ci"][measure]
    star = "" if row["verdict"][measure] == "tie" else " *"
    return f"{row['delta'][measure] * 100:+.1f} [{low * 100:+.1f}, {high * 100:+.1f}]{star}"


def _routes(figures: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in figures["by_route"].items():
        latency = (
            "–"
            if entry["latency_ms_p50"] is None
            else f"{entry['latency_ms_p50']:,.0f} / {entry['latency_ms_p95']:,.0f} ms"
        )
        rows.append(
            f"<tr><td>{escape(name)}</td>"
            f'<td><span class="bar" style="width:{entry["share"] * 90:.0f}px"></span>{share(entry["share"])}</td>'
            f"<td>{share(entry['precision'], entry['precision_ci'])}</td><td>{share(entry['recall'], entry['recall_ci'])}</td>"
            f"<td>${entry['cost_usd']:.5f}</td><td>{latency}</td></tr>"
        )
    return (
        "<h2>Routes</h2>"
        f'<p class="soft">“Rightly there”: of the queries sent to a route, those that belong. “Found”: of those that belong, the ones sent. Cost and latency {SIMULATED}</p>'
        '<div class="scroll"><table><tr><th>route</th><th>share</th><th>rightly there</th><th>found</th><th>$ a query</th><th>p50 / p95</th></tr>'
        f"{''.join(rows)}</table></div>"
    )


def _threshold(run: Run) -> str:
    spec = run.header.policy
    head, cheap = spec["complexity"]["head"], spec["complexity"]["cheap"]
    index, y = run.labelled(head)
    if not len(index):
        return ""
    column = list(run.header.classes[head]).index(cheap)
    score = run.probabilities(head)[index, column]
    swept = sweep(score, y == column, wrong_cheap_usd=spec["wrong_cheap_usd"], wrong_dear_usd=spec["wrong_dear_usd"])
    cents = swept.loss_usd * 100
    x = Axis(low=0, high=1, title=f"threshold on P({cheap})", ticks=TENTHS)
    top = float(np.ceil(cents.max() * 4) / 4) or 0.25
    y_loss = Axis(
        low=0, high=top, title="mistakes, cents a query", ticks=[top * k / 4 for k in range(5)], form="{:.2f}"
    )
    y_share = Axis(low=0, high=1, title="share on the cheap road", ticks=TENTHS)
    mark = vertical(x, run.header.threshold, f"chosen on calibration: {run.header.threshold:.2f}")
    loss = line_chart(
        x,
        y_loss,
        [polyline(x, y_loss, list(zip(swept.threshold, cents, strict=True))), mark],
        title="cost of mistakes by threshold",
    )
    part = line_chart(
        x,
        y_share,
        [polyline(x, y_share, list(zip(swept.threshold, swept.share, strict=True))), mark],
        title="cheap share by threshold",
    )
    return (
        "<h2>The threshold</h2>"
        f"<p>A wrong “{escape(cheap)}” is priced at ${spec['wrong_cheap_usd']}, the opposite at ${spec['wrong_dear_usd']}: what the route table assumes."
        " The threshold was chosen on the calibration split; these curves are of the split shown here.</p>"
        f'<div class="pair"><div>{loss}</div><div>{part}</div></div>'
    )


def _calibration(run: Run) -> str:
    charts = []
    for head in run.header.classes:
        index, y = run.labelled(head)
        if len(index):
            bins = reliability(run.probabilities(head)[index], y)
            caption = f"ECE {bins.ece:.3f}, of which {bins.ece_bias:.3f} would be there from noise alone"
            charts.append(
                f'<div><h3>{escape(head)}</h3>{_reliability_chart(bins, head)}<p class="soft">{caption}</p></div>'
            )
    return f'<h2>Do the probabilities mean what they say?</h2><p class="soft">Each dot is a bin of queries: how sure the router was, and how often it was right. Dots on the line are calibrated; larger dots hold more queries.</p><div class="pair">{"".join(charts)}</div>'


def _reliability_chart(bins: Reliability, head: str) -> str:
    x = Axis(low=0, high=1, title="probability of the predicted label", ticks=TENTHS)
    y = Axis(low=0, high=1, title="share that was right", ticks=TENTHS)
    largest = bins.count.max()
    dots = [
        dot(
            x,
            y,
            (float(sure), float(right)),
            radius=3 + 7 * float(np.sqrt(n / largest)),
            label=f"{n} queries, {sure:.2f} sure, {right:.2f} right",
        )
        for n, sure, right in zip(bins.count, bins.confidence, bins.accuracy, strict=True)
        if n
    ]
    return line_chart(
        x, y, [polyline(x, y, [(0, 0), (1, 1)], style="otherstroke"), *dots], title=f"reliability of {head}"
    )


def _confusions(figures: Mapping[str, Any]) -> str:
    tables = [
        f"<div><h3>{escape(head)}</h3>{_confusion(entry['confusion']['labels'], entry['confusion']['rows'])}</div>"
        for head, entry in figures["heads"].items()
        if entry["confusion"]
    ]
    return f'<h2>What is taken for what</h2><p class="soft">Rows: what a person said. Columns: what the router said. Shade: share of the row.</p><div class="pair">{"".join(tables)}</div>'


def _confusion(labels: Sequence[str], rows: Sequence[Sequence[int]]) -> str:
    header = "".join(f'<th class="tall">{escape(label)}</th>' for label in labels)
    body = []
    for label, counts in zip(labels, rows, strict=True):
        total = max(1, sum(counts))
        cells = "".join(
            f'<td style="background:color-mix(in srgb, var({"--accent" if i == labels.index(label) else "--warn"}) {round(70 * n / total)}%, var(--card))">{n or "·"}</td>'
            for i, n in enumerate(counts)
        )
        body.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    return f'<div class="scroll"><table class="confusion"><tr><th></th>{header}</tr>{"".join(body)}</table></div>'


def _languages(figures: Mapping[str, Any]) -> str:
    if len(figures["by_language"]) < 2:
        return ""
    heads = list(figures["heads"])
    header = "".join(f"<th>{escape(head)}</th>" for head in heads)
    rows = [
        f"<tr><td>{escape(language)}</td><td>{entry['n']:,}</td>"
        + "".join(
            f"<td>{share(entry['heads'][head]['accuracy'], entry['heads'][head]['accuracy_ci'])}</td>" for head in heads
        )
        + f"<td>{share(entry['route']['accuracy'], entry['route']['accuracy_ci'])}</td></tr>"
        for language, entry in figures["by_language"].items()
    ]
    return f'<h2>By language</h2><div class="scroll"><table><tr><th>language</th><th>n</th>{header}<th>route</th></tr>{"".join(rows)}</table></div>'


def _footer(run: Run) -> str:
    header = run.header
    return (
        f"<footer>bundle {escape(str(header.bundle))} · data {escape(header.fingerprint[:16])} · policy {escape(header.policy_hash[:16])} ·"
        f" prices of {escape(header.price_date)} · seed {header.seed} · made by <code>weighbridge report</code></footer>"
    )
