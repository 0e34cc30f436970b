"""Axes and labels of a leaderboard's charts: dollars or calls, even or by ratio, and names that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from eval.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis

PER = 1_000  # queries that a dollar figure on an axis is for: dollars per single query are too small to read
WIDE = 20.0  # dearest over cheapest, beyond which even steps would press all but one model against the wall
TICKS = 6
LETTER, LINE = 6.6, 12.0  # about the width and height of a letter of a label, in a wide font
LONGEST = 24  # letters of a label; the whole name stands in the table of models

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostScale:
    """A cost axis. log: whether equal steps are equal ratios; then the axis runs over log10 of the cost shown."""

    axis: Axis
    log: bool
    per: float

    def at(self, cost: float) -> float:
        """A cost in the board's unit, in the units of the axis."""
        shown = cost * self.per
        return math.log10(shown) if self.log else shown

    def ticks(self) -> list[str]:
        """The tick labels of a log axis, which the frame cannot draw; none for an even one."""
        if not self.log:
            return []
        level = HEIGHT - BOTTOM + 17
        return [
            f'<text x="{_across(self.axis, math.log10(tick)):.1f}" y="{level}" text-anchor="middle">{tick:g}</text>'
            for tick in _ratio_ticks(10**self.axis.low, 10**self.axis.high)
        ]


def cost_scale(costs: Sequence[float], board: Mapping[str, Any]) -> CostScale:  # Any: whatever JSON can hold
    """The axis that holds all the costs, which are in the board's unit; by ratio where they differ by much."""
    low, high = min(costs), max(costs)
    if not board["cost_unit"].startswith("USD"):
        ticks = [k / 5 for k in range(6)]
        axis = Axis(low=0.0, high=1.04, title=f"share of calls to {board['best_single']}", ticks=ticks, form="{:.0%}")
        return CostScale(axis=axis, log=False, per=1.0)
    log = 0 < low * WIDE < high
    title = f"dollars per {PER:,} queries" + (", equal steps are equal ratios" if log else "")
    if log:
        ends = math.log10(low * PER), math.log10(high * PER)
        spare = (ends[1] - ends[0]) * 0.03
        return CostScale(axis=Axis(low=ends[0] - spare, high=ends[1] + spare, title=title, ticks=()), log=True, per=PER)
    top = high * PER * 1.03 or 1.0
    return CostScale(axis=Axis(low=0.0, high=top, title=title, ticks=even_ticks(0.0, top)), log=False, per=PER)


def quality_axis(values: Sequence[float]) -> Axis:
    """The axis that holds all the qualities, with a little air."""
    low, high = min(values), max(values)
    spare = (high - low) * 0.06 or 0.05
    low, high = max(0.0, low - spare), min(1.0, high + spare)
    return Axis(low=low, high=high, title="mean score", ticks=even_ticks(low, high))


def even_ticks(low: float, high: float) -> list[float]:
    """At most six or so round numbers within the ends.

    >>> even_ticks(0.58, 0.99)
    [0.6, 0.7, 0.8, 0.9]
    """
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _ratio_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone where those are many, and not all where they are very many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) < 5 else (1,)
    apart = math.ceil(len(powers) / TICKS)
    found = [factor * 10.0**power for power in powers[:: apart if factors == (1,) else 1] for factor in factors]
    return [tick for tick in found if low <= tick <= high]


def place(x: Axis, y: Axis, point: Point) -> Point:
    """Data units to the chart's own."""
    return _across(x, point[0]), HEIGHT - BOTTOM - y.at(point[1]) * (HEIGHT - TOP - BOTTOM)


def labels(named: Sequence[tuple[str, Point]]) -> list[str]:
    """A short name beside each of the placed dots, where one fits without covering a dot or another name."""
    taken = [(px - 4, py - 4, px + 4, py + 4) for _, (px, py) in named]
    drawn = []
    for name, (px, py) in named:
        short = short_name(name)
        width = len(short) * LETTER
        for dx, dy, anchor in (
            (8, 4, 0.0),
            (-8, 4, 1.0),
            (0, -8, 0.5),
            (0, 16, 0.5),
            (7, -6, 0.0),
            (7, 14, 0.0),
            (-7, -6, 1.0),
            (-7, 14, 1.0),
        ):
            left = px + dx - anchor * width
            box = (left, py + dy - LINE + 3, left + width, py + dy + 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                drawn.append(f'<text class="label" x="{left:.1f}" y="{py + dy:.1f}">{escape(short)}</text>')
                break
    return drawn


def short_name(model: str) -> str:
    """The last part of a path-like name, cut where it is long.

    >>> short_name("mistralai/mistral-7b-chat")
    'mistral-7b-chat'
    """
    last = model.rstrip("/").rpartition("/")[2] or model
    return last if len(last) <= LONGEST else last[: LONGEST - 1] + "…"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _across(axis: Axis, value: float) -> float:
    return LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)
