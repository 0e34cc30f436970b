"""Charts over thresholds and over months: lines with what was wanted and what was chosen marked in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from eval.board_axes import even_ticks, place
from eval.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, line_chart, polyline
from eval.simulate.numerals import SECOND_MS, usd
from eval.simulate.words import target_value, threshold

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
Numbers = Sequence[float]
LINE = 14.0  # between two lines of text
WORDS = 0.35  # of the width, about what a mark's words take
KINDS = ("baseline", "routed")
MOST_MONTHS = 6  # names on the axis; with more months, some stay without
BELOW = 0.5  # of the smallest λ above 0: where 0 stands on an axis of equal ratios
STEPS = (1.0, 2.0, 5.0)


def threshold_charts(figures: Figures) -> list[tuple[str, str]]:
    """(heading, chart) of dollars, good answers and latency over the threshold, as far as each is known."""
    rows, targets = figures["threshold"]["curve"], {row["target"]: row["wanted"] for row in figures["targets"]}
    charts = []
    for name, heading in (
        ("usd_per_month", "Routed bill"),
        ("good_answers", "Good answers"),
        ("latency_ms_p95", "95 in 100 answered within"),
    ):
        points = [(row["threshold"], row[name]) for row in rows if row.get(name) is not None]
        unjudged = name == "good_answers" and figures["quality"]["good_answers"] is None
        if points and not unjudged:
            charts.append(_curve(figures, name, heading, points, targets.get(name)))
    return charts


def _curve(
    figures: Figures, name: str, heading: str, points: Sequence[tuple[float, float]], wanted: float | None
) -> tuple[str, str]:
    x, at, ticks = across([point[0] for point in points])
    y, scaled, unit = _upward(name, [point[1] for point in points] + ([wanted] if wanted is not None else []))
    drawn = [(at(t), scaled(value)) for t, value in points]
    body = [*ticks, polyline(x, y, drawn)]
    if wanted is not None:
        body.append(_level(x, y, scaled(wanted), f"wanted: {target_value(name, wanted, exact=True)}"))
    chosen, best = figures["threshold"]["chosen"], figures["threshold"]["meets_all"]
    marks = [(t, word) for t, word in ((chosen, "chosen"), (best, "meets all targets")) if t is not None]
    for line, (t, word) in enumerate(marks):
        taken = drawn if wanted is None else [*drawn, (at(t), scaled(wanted))]
        body.append(_marked(x, y, at(t), f"{word}: {threshold(t)}", line=line, taken=taken))
    low, high = (end(points, key=lambda point: point[1]) for end in (min, max))
    said = f"{_at(name, low)} to {_at(name, high)}"
    here = next((f"; chosen: {_at(name, point)}" for point in points if point[0] == chosen), "")
    return f"{heading}, {unit}", line_chart(x, y, body, title=f"{heading} by threshold: {said}{here}.")


def _at(name: str, point: tuple[float, float]) -> str:
    return f"{target_value(name, point[1])} at {threshold(point[0])}"


def across(thresholds: Numbers) -> tuple[Axis, Callable[[float], float], list[str]]:
    """The axis of thresholds, where each one stands on it, and ticks that the frame cannot draw.

    Probabilities stand evenly from 0 to 1. λ, which has no upper end, stands by ratio, and 0 at the very left.
    """
    if max(thresholds) <= 1.0:
        tenths = [k / 10 for k in range(0, 11, 2)]
        return Axis(low=0.0, high=1.0, title="threshold", ticks=tenths), lambda t: t, []
    least, most = min(t for t in thresholds if t > 0), max(thresholds)
    floor = least * BELOW if min(thresholds) <= 0 else least

    def at(t: float) -> float:
        return math.log10(max(t, floor))

    title = "λ, quality per dollar; equal steps are equal ratios"
    x = Axis(low=at(floor), high=at(most), title=title, ticks=())
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    shown = [step * 10.0**power for power in powers for step in (STEPS if len(powers) < 4 else STEPS[:1])]
    named = [(at(t), f"{t:g}") for t in shown if least <= t <= most]
    return x, at, _named_ticks(x, [(at(0.0), "0"), *named] if floor < least else named)


def _upward(name: str, values: Numbers) -> tuple[Axis, Callable[[float], float], str]:
    """The vertical axis, a value in its units, and what these are."""
    if name.startswith("usd"):
        return money_axis(max(values))
    if name == "good_answers":
        low, high = min(values), max(values)
        air = max((high - low) * 0.15, 0.005)
        low, high = max(0.0, low - air), min(1.0, high + air)
        form = "{:.0%}" if high - low > 0.06 else "{:.1%}"
        return Axis(low=low, high=high, title="", ticks=even_ticks(low, high), form=form), float, "share of all"
    top = max(values) / SECOND_MS * 1.08 or 1.0
    return Axis(low=0.0, high=top, title="", ticks=even_ticks(0.0, top)), lambda value: value / SECOND_MS, "seconds"


def money_axis(most: float) -> tuple[Axis, Callable[[float], float], str]:
    """An axis of dollars a month from 0, in thousands or millions where those are many; a value in them; their name."""
    sizes = ((1e6, "millions of dollars a month"), (1e3, "thousands of dollars a month"))
    size, unit = next(((size, unit) for size, unit in sizes if most >= 10 * size), (1.0, "dollars a month"))
    top = most / size * 1.08 or 1.0
    return (
        Axis(low=0.0, high=top, title="", ticks=even_ticks(0.0, top), form="${:,g}"),
        lambda value: value / size,
        unit,
    )


def _level(x: Axis, y: Axis, value: float, label: str) -> str:
    level = place(x, y, (x.low, value))[1]
    return (
        f'<line class="warn" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>'
        f'<text class="over" x="{WIDTH - RIGHT}" y="{level - 5:.1f}" text-anchor="end">{escape(label)}</text>'
    )


def _marked(x: Axis, y: Axis, value: float, label: str, *, line: int, taken: Sequence[tuple[float, float]]) -> str:
    """A dashed line with its words, on a line of text of its own, above or below wherever there is room beside `taken`."""
    at = LEFT + x.at(value) * (WIDTH - LEFT - RIGHT)
    sign = -1 if x.at(value) > 0.6 else 1
    near = [y.at(py) for px, py in taken if 0 <= sign * (x.at(px) - x.at(value)) <= WORDS] or [0.5]
    level = TOP + 11 + line * LINE if 1 - max(near) > min(near) else HEIGHT - BOTTOM - 8 - line * LINE
    anchor = "end" if sign < 0 else "start"
    return (
        f'<line class="chosen" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="over" x="{at + 5 * sign:.1f}" y="{level:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def _named_ticks(x: Axis, named: Sequence[tuple[float, str]]) -> list[str]:
    level, width = HEIGHT - BOTTOM + 17, WIDTH - LEFT - RIGHT
    return [
        f'<text x="{LEFT + x.at(value) * width:.1f}" y="{level}" text-anchor="middle">{escape(text)}</text>'
        for value, text in named
    ]


def months_chart(figures: Figures) -> tuple[str, str]:
    """(heading, chart) of each month's dollars, routed and under the first baseline, with bands where there are intervals."""
    rows = figures["months"]
    ends = [end for row in rows for kind in KINDS for end in _ends(row, kind)]
    y, scaled, unit = money_axis(max(ends))
    every = math.ceil(len(rows) / MOST_MONTHS)
    x = Axis(low=-0.3, high=len(rows) - 0.7, title="", ticks=())
    body = _named_ticks(x, [(float(i), row["month"]) for i, row in enumerate(rows) if i % every == 0])
    for kind in KINDS:
        low, high = ([(float(i), scaled(_ends(row, kind)[end])) for i, row in enumerate(rows)] for end in (0, 1))
        corners = " ".join("{:.1f},{:.1f}".format(*place(x, y, point)) for point in [*low, *reversed(high)])
        points = [(float(i), scaled(row[f"{kind}_usd_per_month"])) for i, row in enumerate(rows)]
        body.append(f'<polygon class="band {kind}" points="{corners}"/>')
        body += [polyline(x, y, points, style=f"month {kind}"), *(_dot(x, y, point, kind) for point in points)]
    said = "; ".join(
        f"{row['month']} {usd(row['routed_usd_per_month'])} routed, {usd(row['baseline_usd_per_month'])} {figures['baseline']}"
        for row in rows
    )
    return unit.capitalize(), line_chart(x, y, body, title=f"Dollars by month: {said}.")


def _ends(row: Figures, kind: str) -> tuple[float, float]:
    """The interval, or the figure twice."""
    low, high = row[f"{kind}_usd_per_month_ci"] or (row[f"{kind}_usd_per_month"],) * 2
    return float(low), float(high)


def _dot(x: Axis, y: Axis, point: tuple[float, float], kind: str) -> str:
    px, py = place(x, y, point)
    if kind == "routed":
        return f'<circle class="bill ours" cx="{px:.1f}" cy="{py:.1f}" r="4"/>'
    return f'<rect class="bill other" x="{px - 3.5:.1f}" y="{py - 3.5:.1f}" width="7" height="7"/>'
