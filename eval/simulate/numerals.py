"""Numbers of a simulation as people read them: dollars, shares, times, each with its interval, and savings in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

DASH = "–"
NO_END = "no end"  # of an interval whose upper end is no number: a queue that only grows
Interval = Sequence[float | None] | None
LEAST_SHARE = 0.0005  # what would read as 0.0 %
ROUNDING = 1e-12  # a share below it is a sum of floats, not something that happens
SIGNIFICANT, SIGNIFICANT_EXACT = 3, 6  # digits of dollars below one
UNITS = ((1e9, "B"), (1e6, "M"))
SECOND_MS = 1_000.0
UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s)(?![\w%]))|(?<=×) (?=\d)")
BRACKETS = re.compile(r"\[[^][<>]*\]")


def usd(value: float | None, interval: Interval = None, *, exact: bool = False) -> str:
    """Dollars, short enough to read; `exact` keeps the fractions of a cent that a known figure has.

    >>> usd(235.704, [173.3, 310.54]), usd(0.00233728), usd(1_043_782.0), usd(26.5875, exact=True), usd(None)
    ('$236 [173, 311]', '$0.00234', '$1.04M', '$26.5875', '–')
    """
    if value is None:
        return DASH
    form = exact_number if exact else short_number
    return f"{'−' if value < 0 else ''}${form(abs(value))}{bounds(interval, form)}"


def bounds(interval: Interval, form: Callable[[float], str]) -> str:
    """An interval in brackets, with a blank in front; nothing where there is none.

    >>> bounds([1.0, None], short_number)
    ' [1.00, no end]'
    """
    if interval is None:
        return ""
    low, high = (NO_END if end is None else f"{'−' if end < 0 else ''}{form(abs(end))}" for end in interval)
    return f" [{low}, {high}]"


def short_number(value: float) -> str:
    """Three digits that count, cents from a dollar on, and no cents from a hundred on.

    >>> [short_number(value) for value in (12_345_678.0, 1042.8, 8.316, 0.02, 0.0000850067, 0.0)]
    ['12.3M', '1,043', '8.32', '0.02', '0.000085', '0']
    """
    for size, unit in UNITS:
        if value >= size * 0.9995:
            return f"{value / size:.{max(0, SIGNIFICANT - 1 - math.floor(math.log10(value / size) + 1e-3))}f}{unit}"
    if value >= 99.995:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.995 else _fraction(value, SIGNIFICANT)


def exact_number(value: float) -> str:
    """All of a known figure, up to four decimals, or six digits below one.

    >>> [exact_number(value) for value in (212.5, 26.5875, 213.0, 0.000265875)]
    ['212.50', '26.5875', '213', '0.000265875']
    """
    if value < 1:
        return _fraction(value, SIGNIFICANT_EXACT)
    whole, _, rest = f"{value:,.4f}".partition(".")
    rest = rest.rstrip("0")
    return f"{whole}.{rest:0<2}" if rest else whole


def _fraction(value: float, digits: int) -> str:
    if value <= 0:
        return "0"
    whole, _, rest = f"{value:.{digits - 1 - math.floor(math.log10(value))}f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"


def percent(value: float | None, interval: Interval = None, *, exact: bool = False) -> str:
    """A share.

    >>> percent(0.9497, [0.918, 0.971]), percent(0.874882352, exact=True), percent(0.95, exact=True), percent(5e-6)
    ('95.0 % [91.8, 97.1]', '87.488 %', '95 %', '<0.1 %')
    """
    if value is None:
        return DASH
    if exact:
        return f"{_stripped(value * 100, 3)} %"
    if ROUNDING < value < LEAST_SHARE and interval is None:
        return "<0.1 %"
    return f"{value * 100:.1f} %".replace("-", "−") + bounds(interval, lambda end: f"{end * 100:.1f}")


def one_in(value: float) -> str:
    """A rare share as `1 in 180,000`; `none` for what is rounding.

    >>> one_in(5.5376e-06), one_in(0.012), one_in(1e-17)
    ('1 in 180,000', '1.2 %', 'none')
    """
    if value < ROUNDING:
        return "none"
    if value >= 0.01:
        return percent(value)
    digits = math.floor(math.log10(1 / value)) - 1
    return f"1 in {round(1 / value, -digits):,.0f}"


def ms(value: float | None, interval: Interval = None, *, exact: bool = False) -> str:
    """Milliseconds, or seconds from a thousand on; interval in the unit of the value.

    >>> ms(422.8, [345.5, 510.3]), ms(5338.4, [4823.6, None]), ms(2000, exact=True), ms(None)
    ('423 ms [346, 510]', '5.3 s [4.8, no end]', '2 s', '–')
    """
    if value is None:
        return DASH
    if exact:
        return f"{_stripped(value, 3)} ms" if value < SECOND_MS else f"{_stripped(value / SECOND_MS, 3)} s"
    if value < SECOND_MS - 0.5:
        return f"{value:.0f} ms{bounds(interval, lambda end: f'{end:,.0f}')}"
    return f"{value / SECOND_MS:,.1f} s{bounds(interval, lambda end: f'{end / SECOND_MS:,.1f}')}"


def count(value: float | None, interval: Interval = None) -> str:
    """How many.

    >>> count(101012.777, [80381.05, 124896.15])
    '101,013 [80,381, 124,896]'
    """
    return DASH if value is None else f"{value:,.0f}{bounds(interval, lambda end: f'{end:,.0f}')}"


def change(saving: float | None, interval: Interval = None, *, exact: bool = False) -> str:
    """What routing costs beside something else, from the part of it that routing saves.

    >>> change(0.7732, [0.7377, 0.8049]), change(0.874882, exact=True), change(-27.92, [-37.4, -20.3])
    ('77 % less [74, 80]', '87.488 % less', '29 × as much [21, 38]')
    >>> change(-0.234, [-0.639, 0.1003]), change(-0.3, [-0.4, -0.2]), change(0.0)
    ('23 % more [64 % more to 10 % less]', '30 % more [20, 40]', 'the same')
    """
    if saving is None:
        return DASH
    if saving == 0 and interval is None:
        return "the same"
    if saving <= -1:
        low, high = (None if end is None else 1 - end for end in interval) if interval else (None, None)
        return f"{_times(1 - saving)} × as much{bounds([high, low], _times) if interval else ''}"
    said = _less(saving, exact=exact)
    if interval is None or interval[0] is None or interval[1] is None:
        return said
    low, high = interval[0], interval[1]
    if low < 0 < high:
        return f"{said} [{_less(low)} to {_less(high)}]"
    return said + bounds(sorted((abs(low), abs(high))), _points)


def _less(saving: float, *, exact: bool = False) -> str:
    size = _stripped(abs(saving) * 100, 3) if exact else _points(abs(saving))
    return f"{size} % {'more' if saving < 0 else 'less'}"


def _points(share: float) -> str:
    """Whole percents, but near the ends, where a decimal tells something from nothing and from all."""
    return f"{share * 100:.1f}" if 0 < share < 0.01 or 0.99 < share < 1 else f"{share * 100:,.0f}"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _stripped(value: float, decimals: int) -> str:
    """No more decimals than it has.

    >>> _stripped(95.0, 3), _stripped(100.0, 1), _stripped(87.4882, 3)
    ('95', '100', '87.488')
    """
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def plain(value: float, *, decimals: int = 2) -> str:
    """A number without more decimals than it needs.

    >>> plain(2.5), plain(0.193032), plain(4.0), plain(0.000123)
    ('2.5', '0.19', '4', '0.000123')
    """
    if 0 < abs(value) < 10.0 ** (1 - decimals):
        return f"{value:.3g}"
    return _stripped(value, decimals)


def kept_together(text: str) -> str:
    r"""The same text, but with no line to end between a number and its unit or within a pair of brackets.

    >>> kept_together("77 % less [74, 80] at × 2") == "77\u00a0% less [74,\u00a080] at ×\u00a02"
    True
    """
    return BRACKETS.sub(lambda found: found[0].replace(" ", "\u00a0"), UNIT.sub("\u00a0", text))
