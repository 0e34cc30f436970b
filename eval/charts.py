"""Small SVG charts for the report: no library, no script; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear scale with its ticks and title."""

    low: float
    high: float
    title: str
    ticks: Sequence[float]
    form: str = "{:g}"

    def at(self, value: float) -> float:
        """Where `value` lies between the ends, in [0, 1]."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


def line_chart(x: Axis, y: Axis, body: Sequence[str], *, title: str) -> str:
    """A frame with grid, ticks and axis titles around drawn shapes; `title` is read out by screen readers."""
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in y.ticks:
        level = _y(y, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{level + 4:.1f}" text-anchor="end">{y.form.format(tick)}</text>')
    for tick in x.ticks:
        parts.append(
            f'<text x="{_x(x, tick):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{x.form.format(tick)}</text>'
        )
    base = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>'
    )
    parts.append(
        f'<text transform="translate(13 {(TOP + base) / 2}) rotate(-90)" text-anchor="middle">{escape(y.title)}</text>'
    )
    return "".join([*parts, *body, "</svg>"])


def polyline(x: Axis, y: Axis, points: Sequence[tuple[float, float]], *, style: str = "stroke") -> str:
    """A line through points in data units."""
    drawn = " ".join(f"{_x(x, px):.1f},{_y(y, py):.1f}" for px, py in points)
    return f'<polyline class="{style}" points="{drawn}"/>'


def dot(x: Axis, y: Axis, point: tuple[float, float], *, radius: float, label: str) -> str:
    """A dot in data units with a tooltip."""
    return f'<circle class="mark" cx="{_x(x, point[0]):.1f}" cy="{_y(y, point[1]):.1f}" r="{radius:.1f}"><title>{escape(label)}</title></circle>'


def vertical(x: Axis, value: float, label: str) -> str:
    """A dashed line at an x value, labelled on the side that has room."""
    at = _x(x, value)
    anchor, shift = ("end", -5) if x.at(value) > 0.6 else ("start", 5)
    return (
        f'<line class="warn" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{at + shift:.1f}" y="{TOP + 11}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def interval_chart(rows: Sequence[tuple[str, float, float, float]], *, title: str, ours: str) -> str:
    """Names with a dot and its interval (all shares), one row each, best on top."""
    row_height, left, right = 26, 120, 64
    height = TOP + row_height * len(rows) + 30
    low = max(0.0, min(row[2] for row in rows) - 0.03)
    high = min(1.0, max(row[3] for row in rows) + 0.02)
    scale = (WIDTH - left - right) / (high - low)
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">']
    for tick in (k / 10 for k in range(11)):
        if low <= tick <= high:
            at = left + (tick - low) * scale
            parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - 24}"/>')
            parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{tick * 100:.0f} %</text>')
    for position, (name, value, lower, upper) in enumerate(rows):
        y = TOP + row_height * (position + 0.5)
        at, start, end = (left + (v - low) * scale for v in (value, lower, upper))
        mark, stroke, text = ("mark", "stroke", "strong") if name == ours else ("other", "otherstroke", "")
        parts.append(f'<text class="{text}" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="{stroke}" x1="{start:.1f}" x2="{end:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<circle class="{mark}" cx="{at:.1f}" cy="{y:.1f}" r="4.5"/>')
        parts.append(
            f'<text class="{text}" x="{WIDTH - 4}" y="{y + 4:.1f}" text-anchor="end">{value * 100:.1f} %</text>'
        )
    return "".join([*parts, "</svg>"])


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.at(value) * (HEIGHT - TOP - BOTTOM)
