"""How error falls with labels: error = a + b n^-c, fitted to a learning curve and read beyond its end, with intervals.

Source of the form: Hestness et al., 2017, Deep Learning Scaling is Predictable, Empirically. `a` is what no number of such
labels would take away, and the hardest of the three to know: the intervals come from fitting every bootstrap draw of the
curve anew, and where they say little so do we.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.intervals import LEVEL, Interval

Floats = npt.NDArray[np.float64]

EXPONENTS = np.geomspace(0.05, 3.0, 60)
FEWEST_POINTS = 4  # three numbers are fitted to them


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """error = a + b (n / n0)^-c, row by row: one row per curve. n0 is the last point's n, so b is what more labels can take."""

    n0: float
    a: Floats
    b: Floats
    c: Floats

    def error(self, n: float) -> Floats:
        """(rows,) at n labels."""
        fallen: Floats = self.a + self.b * (n / self.n0) ** -self.c
        return fallen

    def labels_for(self, error: Floats) -> Floats:
        """(rows,) how many labels in all bring each row down to its error; infinity where none do."""
        reach = (error > self.a) & (self.b > 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            n = self.n0 * ((error - self.a) / self.b) ** (-1 / self.c)
        return np.where(reach, n, np.inf)


def fit_power_law(n: Floats, errors: Floats, weights: Floats) -> PowerLaw:
    """Weighted least squares with a, b >= 0, the exponent from a grid.

    n, weights: (p,) of the p points.   errors: (rows, p). A row that does not fall gets b = 0. Raises ValueError for
    fewer than two points or n <= 0.
    """
    if len(n) < 2 or (n <= 0).any():
        raise ValueError(f"n is {n.tolist()}; wanted two or more positive numbers of labels")
    w = weights / weights.sum()
    best = np.full(len(errors), np.inf)
    a, b, c = (np.zeros(len(errors)) for _ in range(3))
    for exponent in EXPONENTS:
        x = (n / n[-1]) ** -exponent
        try_a, try_b = _line(x, errors, w)
        loss = ((errors - try_a[:, None] - try_b[:, None] * x) ** 2) @ w
        better = loss < best
        best[better], a[better], b[better], c[better] = loss[better], try_a[better], try_b[better], exponent
    return PowerLaw(n0=float(n[-1]), a=a, b=b, c=c)


def fit_draws(n: Floats, draws: Floats, weights: Floats) -> PowerLaw:
    """The law of each bootstrap draw, every second one fitted without the first point where enough others are left.

    Nobody knows where the law begins to hold, and intervals that pretend to know it are too narrow.
    """
    if len(n) <= FEWEST_POINTS:
        return fit_power_law(n, draws, weights)
    early, late = fit_power_law(n, draws[::2], weights), fit_power_law(n[1:], draws[1::2, 1:], weights[1:])
    a, b, c = (np.empty(len(draws)) for _ in range(3))
    for law, part in ((early, slice(0, None, 2)), (late, slice(1, None, 2))):
        a[part], b[part], c[part] = law.a, law.b, law.c
    return PowerLaw(n0=float(n[-1]), a=a, b=b, c=c)


def _line(x: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats]:
    """The a, b >= 0 of y = a + b x with the least weighted squares, for each row of y."""
    mean_x, mean_y = float(w @ x), y @ w
    spread = float(w @ (x - mean_x) ** 2)
    slope = np.maximum(((y - mean_y[:, None]) * (x - mean_x)) @ w / spread, 0.0)
    level = mean_y - slope * mean_x
    through_zero = (y @ (w * x)) / float(w @ x**2)
    return np.maximum(level, 0.0), np.where(level < 0, through_zero, slope)


def quantiles(draws: Floats) -> Interval:
    """The 95 % interval of draws, some of which may be infinite."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="higher")
    return Interval(low=float(low), high=float(high))
