"""Dollars of a whole month: what a message costs, times how many come, with the month's own luck where it counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.simulate.draws import Draws
from eval.simulate.engine import Outcome

Floats = npt.NDArray[np.float64]
LEVEL = (0.05, 0.95)  # the interval of every simulated figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Month:
    """usd: (s,) dollars of the bill and the fixed costs.   queries: (s,) messages that came.   usd_per_query: (s,)."""

    usd: Floats
    queries: Floats

    @property
    def usd_per_query(self) -> Floats:
        """(s,) dollars per message; NaN for a month in which none came."""
        return np.divide(self.usd, self.queries, out=np.full_like(self.usd, np.nan), where=self.queries > 0)


def arrivals(draws: Draws) -> Floats:
    """(s, k) messages of each class that came: Poisson where luck counts, else as expected. The same for every policy."""
    expected = draws.values["queries_per_month"][:, None] * draws.mix
    if draws.luck is None:
        return expected
    rng = np.random.default_rng([draws.luck, 4])
    return rng.poisson(np.minimum(expected, 1e15)).astype(np.float64)


def month_of(draws: Draws, outcome: Outcome, came: Floats, *, fixed_usd: float) -> Month:
    """The bill of the messages that came.   came: (s, k) from `arrivals`.

    Within a class, the answers' own differences add a normal deviation with their variance: the same deviate for every
    policy, as a message that is long for one is long for all.
    """
    share = np.maximum(draws.mix, np.finfo(np.float64).tiny)
    each = outcome.usd / share
    usd = (came * each).sum(axis=1)
    if draws.luck is not None:
        spread = np.maximum(outcome.square / share - each**2, 0.0)
        rng = np.random.default_rng([draws.luck, 5])
        deviation = np.sqrt((came * spread).sum(axis=1))
        usd = np.maximum(usd + deviation * rng.standard_normal(len(usd)), 0.0)
    return Month(usd=usd + fixed_usd, queries=came.sum(axis=1))


def mean_and_interval(values: Floats) -> tuple[float, list[float] | None]:
    """The mean of the draws, and the 5-95 % interval; None for it where every draw is the same."""
    mean = float(values.mean())
    if values.max() - values.min() <= 1e-12 * max(abs(mean), 1e-300):
        return float(values[0]), None
    low, high = np.quantile(values, LEVEL)
    return mean, [float(low), float(high)]
