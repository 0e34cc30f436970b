"""How sure a figure is: bootstrap over groups of queries, Wilson's interval, Holm's correction, minimum detectable effect.

Groups (one person's queries, near-duplicates) are drawn whole: queries of one person rise and fall together, and an
interval that ignores it is too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
DRAWS = 2_000
Z = 1.959963984540054  # standard normal quantile of 0.975
Z_POWER = 0.8416212335729143  # standard normal quantile of 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    def to_list(self) -> list[float]:
        """[low, high], rounded to 6 decimals."""
        return [round(self.low, 6), round(self.high, 6)]

    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def wilson(hits: int, n: int) -> Interval:
    """Wilson's score interval of a share. Raises ValueError for n = 0.

    >>> [round(bound, 3) for bound in wilson(8, 10).to_list()]
    [0.49, 0.943]
    """
    if n == 0:
        raise ValueError("the share of nothing has no interval")
    share = hits / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return Interval(low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDraws:
    """Bootstrap of a mean: its estimate, its draws (b,), and the interval between the draws' 2.5 % and 97.5 %."""

    estimate: float
    draws: Floats

    @property
    def interval(self) -> Interval:
        """The percentile interval."""
        low, high = np.quantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(low=float(low), high=float(high))

    @property
    def p_value(self) -> float:
        """Two-sided: how often a draw lies on the other side of 0, with the +1 that keeps it above 0."""
        n = len(self.draws)
        tail = min(int((self.draws <= 0).sum()), int((self.draws >= 0).sum()))
        return min(1.0, 2 * (tail + 1) / (n + 1))

    @property
    def standard_error(self) -> float:
        """The deviation of the draws."""
        return float(self.draws.std(ddof=1))


def bootstrap_mean(
    values: Floats, groups: Sequence[object], *, rng: np.random.Generator, draws: int = DRAWS
) -> MeanDraws:
    """Bootstrap the mean of n values, drawing whole groups with replacement.

    values: (n,).   groups: n names. A draw's mean is the sum of its values over the number of them, so groups of
    different sizes weigh as in the data. Raises ValueError for n = 0.
    """
    if len(values) == 0:
        raise ValueError("the mean of nothing is not a number")
    index = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    sums = np.bincount(index, weights=values)
    sizes = np.bincount(index).astype(np.float64)
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws).astype(np.float64)
    return MeanDraws(estimate=float(np.mean(values)), draws=(weights @ sums) / (weights @ sizes))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order. Source: Holm, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(np.array(p_values, dtype=float), kind="stable")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, position in enumerate(order.tolist()):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = round(running, 12)
    return adjusted


def minimum_detectable(standard_error: float) -> float:
    """The true difference that this comparison would call significant (5 %, two-sided) four times in five."""
    return float((Z + Z_POWER) * standard_error)
