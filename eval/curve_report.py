"""Learning curves as one self-contained page: a pure function of the JSON of `weighbridge data curve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from eval.board_axes import even_ticks, quality_axis
from eval.charts import Axis, dot, line_chart, polyline, vertical
from router.console import share
from router.files import write_atomic

STEPS = 60  # along the drawn law
COLUMNS = ("labels", "people", "accuracy", "log-loss", "gain, points")

Figures = Mapping[str, Any]  # Any: JSON's leaves


def write_curve_report(figures: Figures, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_atomic(path, render(figures))


def render(figures: Figures) -> str:
    """The page as text. Nothing in it comes from outside, and it holds no query."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    sections = "".join(_head(name, entry) for name, entry in figures["heads"].items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f"<title>How many labels: {escape(figures['dataset'])}</title><style>{style}</style></head><body><main>"
        f"<h1>How many labels does {escape(figures['dataset'])} need?</h1>"
        f'<p class="soft">{figures["n_queries"]:,} queries of {figures["n_units"]:,} people or groups, split'
        f" {escape(figures['split'])}. {escape(figures['protocol'])}. Beyond the last dot the line is foretold.</p>"
        f"{sections}<footer>{escape(figures['fingerprint'][:16])} · encoder {escape(figures['encoder'])} · seed"
        f" {figures['seed']} · made by <code>weighbridge data curve</code></footer></main></body></html>\n"
    )


def _head(name: str, entry: Figures) -> str:
    if entry["reason"]:
        return f"<h2>{escape(name)}</h2><p>{escape(entry['reason'])}</p>"
    said = entry["outlook"]["said"]
    return (
        f"<h2>{escape(name)}</h2><p>{escape(said[0].upper() + said[1:])}.</p>"
        f'<div class="pair"><div>{_chart(name, entry)}</div><div class="scroll">{_table(entry["points"])}</div></div>'
    )


def _chart(name: str, entry: Figures) -> str:
    points, law = entry["points"], entry["outlook"]["law"]
    end = 2 * entry["n"] if law else points[-1]["n"]
    x = Axis(low=0, high=end, title="labels", ticks=even_ticks(0, end), form="{:,.0f}")
    line = _law(law, start=points[0]["n"], end=end) if law else []
    bounds = [bound for point in points for bound in point["accuracy_ci"]]
    y = replace(quality_axis([*bounds, *(value for _, value in line)]), title="accuracy")
    body = [polyline(x, y, line, style="otherstroke")] if line else []
    if law:
        body.append(vertical(x, entry["n"], "labels there are"))
    for point in points:
        body.append(polyline(x, y, [(point["n"], bound) for bound in point["accuracy_ci"]]))
        label = f"{point['n']:,.0f} labels: {share(point['accuracy'], point['accuracy_ci'])}"
        body.append(dot(x, y, (point["n"], point["accuracy"]), radius=4, label=label))
    return line_chart(x, y, body, title=f"Accuracy of {name} by number of labels. {entry['outlook']['said']}")


def _law(law: Figures, *, start: float, end: float) -> list[tuple[float, float]]:
    """The fitted curve as accuracy, drawn from the first point to the end of the axis."""
    steps = np.geomspace(start, end, STEPS)
    return [(float(n), float(1 - law["a"] - law["b"] * n ** -law["c"])) for n in steps]


def _table(points: Sequence[Figures]) -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(point))}</tr>" for point in points)
    return f"<table><tr>{header}</tr>{rows}</table>"


def _cells(point: Figures) -> list[str]:
    low, high = point["log_loss_ci"]
    gain = (
        ""
        if point["gain"] is None
        else f"{point['gain'] * 100:+.1f} [{point['gain_ci'][0] * 100:+.1f}, {point['gain_ci'][1] * 100:+.1f}]"
    )
    return [
        f"{point['n']:,.0f}",
        f"{point['units']:,.0f}",
        share(point["accuracy"], point["accuracy_ci"]),
        f"{point['log_loss']:.3f} [{low:.3f}, {high:.3f}]",
        gain,
    ]
