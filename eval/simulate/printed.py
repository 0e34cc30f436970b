"""Figures that somebody printed, beside what the simulation finds for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.simulate.numerals import DASH, percent, plain, usd

Figures = Mapping[str, Any]  # Any: whatever JSON can hold
SHARES = ("saving", "share", "quality", "cache_hit_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What it is, the figure found, the figure printed or a dash, and how far that one is off."""

    name: str
    exact: str
    printed: str
    off: str


def printed_rows(figures: Figures) -> list[Printed]:
    """The first baseline, every road, their sum and the saving, printed or not; then whatever else was printed."""
    paths = ["baseline_usd_per_month", *(f"spend_usd_per_month.{name}" for name in figures["spend_usd_per_month"])]
    paths += ["routed_usd_per_month", "saving"]
    return [_row(figures, path) for path in dict.fromkeys([*paths, *figures["printed"]])]


def figure_at(figures: Figures, path: str) -> float | None:
    """The number at a path of keys joined by dots, which a key may hold itself; None where there is none."""
    if path in figures:
        value = figures[path]
        return float(value) if isinstance(value, int | float) else None
    parts = path.split(".")
    for size in range(1, len(parts)):
        inner = figures.get(".".join(parts[:size]))
        if isinstance(inner, Mapping):
            return figure_at(inner, ".".join(parts[size:]))
    return None


def _row(figures: Figures, path: str) -> Printed:
    value, printed = figure_at(figures, path), figures["printed"].get(path)
    exact = figures.get(f"{path}_ci") is None
    return Printed(
        name=_name(figures, path),
        exact=_said(path, value, exact=exact),
        printed=_said(path, printed, exact=True),
        off=_off(path, value, printed),
    )


def _name(figures: Figures, path: str) -> str:
    known = {"baseline_usd_per_month": f"baseline: {figures['baseline']}", "routed_usd_per_month": "routed, together"}
    return known.get(path, path.removeprefix("spend_usd_per_month."))


def _said(path: str, value: float | None, *, exact: bool) -> str:
    if value is None:
        return DASH
    if path.partition(".")[0] in SHARES:
        return percent(value, exact=exact)
    return usd(value, exact=exact) if "usd" in path else plain(value)


def _off(path: str, value: float | None, printed: float | None) -> str:
    """In points for a share, else relative to what was found."""
    if value is None or printed is None:
        return ""
    if path.partition(".")[0] in SHARES:
        return f"{(printed - value) * 100:+.1f} points".replace("-", "−")
    return f"{(printed / value - 1) * 100:+.1f} %".replace("-", "−") if value else DASH
