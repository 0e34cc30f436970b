"""The charts of a simulation: bills as bars with intervals, and what moves the bill as a tornado. Names stand over their bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from eval.board_axes import even_ticks
from eval.simulate.numerals import bounds, exact_number, short_number, usd
from eval.simulate.words import spoken, value_of

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
WIDTH = 380  # about a phone's: words keep their size there
LETTER = 6.7  # about the width of a letter at 12 pixels, in a wide font
ROW, BAR, GROUP = 38, 11, 22  # heights: of a row, of its bar, of a group's heading
FOOT = 34  # below the rows, for ticks
WIDE = 40.0  # largest over smallest bill of a router, beyond which bars would show nothing of the small one
TORNADO_ROWS = 12
GAP = 6.0  # between a bar and the words at its end
AIR = 6.0  # beside the ends of a scale by ratio, for half a dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One bar: dollars with the ends of their interval, or without; `group` is a heading over all that share it."""

    name: str
    usd: float | None
    interval: Sequence[float] | None
    routed: bool
    group: str = ""
    exact: bool = False

    @property
    def said(self) -> str:
        """The dollars in words."""
        return usd(self.usd, exact=self.exact) + bounds(self.interval, exact_number if self.exact else short_number)


def bills_chart(rows: Sequence[Bill], *, unit: str) -> str:
    """Bars from 0 with a line for the interval; dots on a scale of equal ratios where a bar would show nothing.

    The chart says in its own text and in its label when it is on such a scale. unit: what the dollars are of.
    """
    log = by_ratio(rows)
    scale = _scale(rows, log=log)
    groups = list(dict.fromkeys(row.group for row in rows))
    height = ROW * len(rows) + GROUP * sum(bool(group) for group in groups) + FOOT
    said = f"{unit}{', on a scale of equal ratios' if log else ''}: " + "; ".join(
        f"{f'{row.group}, ' if row.group else ''}{row.name} {row.said}" for row in rows
    )
    parts = [_svg(height, said), *_ticks(scale, height)]
    y = 0.0
    for group in groups:
        if group:
            y += GROUP
            parts.append(f'<text class="strong" x="0" y="{y - 7:.0f}">{escape(_cut(group, WIDTH))}</text>')
        for row in (row for row in rows if row.group == group):
            parts += _bill(row, y, scale)
            y += ROW
    return "".join([*parts, "</svg>"])


def by_ratio(rows: Sequence[Bill]) -> bool:
    """Whether a router's bill is so small beside the largest that the scale goes by ratio."""
    known = [row.usd for row in rows if row.usd]
    ours = [row.usd for row in rows if row.usd and row.routed]
    return bool(ours) and max(known) > WIDE * min(ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        low, high, x = self._even(self.low), self._even(self.high), self._even(max(value, self.low))
        return (x - low) / (high - low) * (WIDTH - 2 * self.start) + self.start

    @property
    def start(self) -> float:
        """Where its low end stands."""
        return AIR if self.log else 1.0

    def _even(self, value: float) -> float:
        return math.log10(value) if self.log else value


def _scale(rows: Sequence[Bill], *, log: bool) -> _Scale:
    ends = [end for row in rows if row.usd for end in (row.usd, *(row.interval or ())) if end > 0]
    top = max(ends, default=1.0) * 1.02
    return _Scale(low=10 ** math.floor(math.log10(min(ends))) if log else 0.0, high=top, log=log)


def _ticks(scale: _Scale, height: float) -> list[str]:
    if scale.log:
        powers = range(math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high)) + 1)
        ticks = [10.0**power for power in powers]
    else:
        ticks = even_ticks(0.0, scale.high)
    parts = []
    for tick in ticks:
        x = scale.at(tick)
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - FOOT + 4}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 12}" text-anchor="{anchor}">{usd(tick, exact=True)}</text>')
    return parts


def _bill(row: Bill, y: float, scale: _Scale) -> list[str]:
    part, strong = ("ours", ' class="strong"') if row.routed else ("other", "")
    room = WIDTH - (len(row.said) + 2) * LETTER
    drawn = [
        f'<text{strong} x="0" y="{y + 13:.1f}">{escape(_cut(row.name, room))}</text>',
        f'<text{strong} x="{WIDTH}" y="{y + 13:.1f}" text-anchor="end">{escape(row.said)}</text>',
    ]
    middle = y + 20 + BAR / 2
    if row.usd is not None and not scale.log:
        width = scale.at(row.usd) - scale.at(0.0)
        drawn.append(
            f'<rect class="bill {part}" x="{scale.start}" y="{middle - BAR / 2:.1f}" width="{width:.1f}" height="{BAR}"/>'
        )
    if row.interval:
        drawn.append(_whisker(scale.at(row.interval[0]), scale.at(row.interval[1]), middle))
    if row.usd and scale.log:
        drawn.append(f'<circle class="bill {part}" cx="{scale.at(row.usd):.1f}" cy="{middle:.1f}" r="5"/>')
    return drawn


def _whisker(start: float, end: float, y: float) -> str:
    return (
        f'<path class="whisker" d="M{start:.1f} {y - 4:.1f}V{y + 4:.1f}M{start:.1f} {y:.1f}H{end:.1f}'
        f'M{end:.1f} {y - 4:.1f}V{y + 4:.1f}"/>'
    )


def tornado(drivers: Sequence[Figures], central: float | None) -> str:
    """The largest drivers, one bar each from the bill at one end of its range to the bill at the other.

    At each end stand the dollars and the value that brings them about. central: the bill when nothing is moved, where it
    is known: a line across every bar.
    """
    rows = [_Moved.of(row) for row in drivers[:TORNADO_ROWS]]
    known = [] if central is None else [central]
    low, high = min([*known, *(row.low for row in rows)]), max([*known, *(row.high for row in rows)])
    left, right = (max(len(row.ends[i]) for row in rows) * LETTER + GAP for i in (0, 1))
    per_dollar = (WIDTH - left - right) / ((high - low) or 1.0)

    def at(dollars: float) -> float:
        return left + (dollars - low) * per_dollar

    height = ROW * len(rows) + FOOT
    told = "; ".join(f"{row.name} {row.ends[0]}, {row.ends[1]}" for row in rows)
    parts = [_svg(height, f"Routed dollars a month, one assumption moved at a time: {told}")]
    for position, row in enumerate(rows):
        parts += _moved(row, ROW * position, at)
    for x in map(at, known):
        lines = "".join(f"M{x:.1f} {ROW * k + 17}V{ROW * k + 34}" for k in range(len(rows)))
        parts.append(f'<path class="unmoved" d="{lines}"/>')
        parts.append(_centred(x, height - 14, f"nothing moved: {usd(central)}", "axis-note"))
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """One driver: its lower and its higher bill, and what stands at these ends of its bar."""

    name: str
    low: float
    high: float
    ends: tuple[str, str]

    @classmethod
    def of(cls, row: Figures) -> _Moved:
        low, high = sorted(("low", "high"), key=lambda end: float(row[f"usd_per_month_at_{end}"]))
        said = [
            f"{usd(row[f'usd_per_month_at_{end}'])} at {value_of(row['assumption'], row[end])}" for end in (low, high)
        ]
        return cls(
            name=spoken(row["assumption"]),
            low=float(row[f"usd_per_month_at_{low}"]),
            high=float(row[f"usd_per_month_at_{high}"]),
            ends=(said[0], said[1]),
        )


def _moved(row: _Moved, y: float, at: Callable[[float], float]) -> list[str]:
    left, right, level = at(row.low), at(row.high), y + 20 + BAR / 2 + 4
    return [
        _centred((left + right) / 2, y + 13, _cut(row.name, WIDTH), "strong"),
        f'<rect class="bill ours" x="{left:.1f}" y="{y + 20}" width="{max(right - left, 1.0):.1f}" height="{BAR}"/>',
        f'<text x="{left - GAP:.1f}" y="{level:.1f}" text-anchor="end">{escape(row.ends[0])}</text>',
        f'<text x="{right + GAP:.1f}" y="{level:.1f}">{escape(row.ends[1])}</text>',
    ]


def _centred(x: float, y: float, text: str, style: str) -> str:
    """Words around x, moved inward where they would stand out over an end."""
    half = len(text) * LETTER / 2
    inside = min(max(x, half), WIDTH - half)
    return f'<text class="{style}" x="{inside:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'


def _svg(height: float, said: str) -> str:
    return f'<svg class="bars" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(said)}">'


def _cut(name: str, room: float) -> str:
    """What fits, with an ellipsis where something does not.

    >>> _cut("every query to its desk", 70)
    'every que…'
    """
    most = max(4, int(room / LETTER))
    return name if len(name) <= most else f"{name[: most - 1]}…"
