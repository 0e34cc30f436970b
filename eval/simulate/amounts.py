"""The numbers of a scenario: what is believed of one (an assumption), and how it differs from query to query (an amount)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from router.errors import DataError

Floats = npt.NDArray[np.float64]
Z95 = 1.6448536269514722  # standard normal quantile of 0.95
ROUNDING = 1e-6  # of shares that a person wrote down and that add up to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One number, known, or believed to lie between `low` and `high` in nine cases of ten.

    share: it is a probability, and its belief is normal on the log-odds; else it is positive, and normal on the log.
    A belief's `value` is its median. Raises DataError for bounds that do not enclose such a number.

    >>> Assumption.between(50.0, 200.0).value
    100.0
    >>> Assumption.between(50.0, 200.0).at(np.array([-Z95, 0.0, Z95])).round(6).tolist()
    [50.0, 100.0, 200.0]
    """

    value: float
    low: float | None = None
    high: float | None = None
    share: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0 or (self.share and self.value > 1):
            raise DataError(
                f"found {self.value:g}; wanted {'a share in [0, 1]' if self.share else '0 or more, finite'}."
            )
        if self.low is None and self.high is None:
            return
        top = 1.0 if self.share else math.inf
        if self.low is None or self.high is None or not 0 < self.low <= self.value <= self.high < top:
            raise DataError(
                f"found low = {self.low}, high = {self.high}; wanted 0 < low <= high{' < 1' if self.share else ''} around"
                f" {self.value:g}, which nine cases of ten lie between."
            )

    @classmethod
    def between(cls, low: float, high: float, *, share: bool = False) -> Assumption:
        """The belief with these 5 % and 95 % points."""
        if not 0 < low <= high < (1.0 if share else math.inf):
            raise DataError(
                f"found low = {low:g}, high = {high:g}; wanted 0 < low <= high{' < 1' if share else ''}, which nine cases"
                " of ten lie between."
            )
        middle = _expit((_logit(low) + _logit(high)) / 2) if share else math.sqrt(low * high)
        # rounding may put the middle of a narrow range a hair outside it
        return cls(value=min(max(middle, low), high), low=low, high=high, share=share)

    @property
    def uncertain(self) -> bool:
        """Whether it is a belief and not a known number."""
        return self.low is not None and self.high is not None and self.low < self.high

    def at(self, z: Floats) -> Floats:
        """(s,) its values at standard normal deviates z (s,): the median at 0, low and high at ∓1.645."""
        if not self.uncertain:
            return np.full(z.shape, self.value)
        assert self.low is not None
        assert self.high is not None
        if self.share:
            middle, width = _logit(self.value), _logit(self.high) - _logit(self.low)
            return np.asarray(1.0 / (1.0 + np.exp(-(middle + z * width / (2 * Z95)))))
        return np.asarray(self.value * np.exp(z * math.log(self.high / self.low) / (2 * Z95)))


KNOWN_ONE = Assumption(value=1.0)


class Amount(Protocol):
    """How a quantity (tokens, milliseconds, dollars) differs from one query to the next."""

    @property
    def mean(self) -> float:
        """The expectation."""

    @property
    def mean_square(self) -> float:
        """The expectation of the square."""

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """(n,) independent values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """The same for every query."""

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise DataError(f"found {self.value:g}; wanted 0 or more, finite.")

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    @property
    def mean_square(self) -> float:
        """Its square."""
        return self.value**2

    def draw(self, n: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002  # the protocol's argument
        """(n,) the value; nothing is drawn."""
        return np.full(n, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """A long right tail, given by the median and the 95th percentile.

    >>> round(Lognormal(median=100, p95=100).mean, 6)
    100.0
    """

    median: float
    p95: float

    def __post_init__(self) -> None:
        if not 0 < self.median <= self.p95 < math.inf:
            raise DataError(f"found median = {self.median:g}, p95 = {self.p95:g}; wanted 0 < median <= p95.")

    @property
    def sigma(self) -> float:
        """The deviation of the logarithm."""
        return math.log(self.p95 / self.median) / Z95

    @property
    def mean(self) -> float:
        """median·exp(σ²/2)."""
        return self.median * math.exp(self.sigma**2 / 2)

    @property
    def mean_square(self) -> float:
        """median²·exp(2σ²)."""
        return self.median**2 * math.exp(2 * self.sigma**2)

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """(n,) values."""
        return np.asarray(self.median * np.exp(self.sigma * rng.standard_normal(n)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Empirical:
    """Values that were seen, each as likely as the next."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or any(not math.isfinite(value) or value < 0 for value in self.values):
            raise DataError(
                "found a list of values that is empty or holds one below 0; wanted one or more, each 0 or more."
            )

    @property
    def mean(self) -> float:
        """Of the values."""
        return math.fsum(self.values) / len(self.values)

    @property
    def mean_square(self) -> float:
        """Of their squares."""
        return math.fsum(value**2 for value in self.values) / len(self.values)

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """(n,) of the values, with replacement."""
        return rng.choice(np.array(self.values, dtype=np.float64), size=n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """An amount, and how far its whole level may be off: by a factor of at most `level.high` in nine cases of ten."""

    amount: Amount
    level: Assumption = field(default_factory=lambda: Assumption(value=1.0))

    @classmethod
    def of(cls, amount: Amount, *, off_by: float = 1.0) -> Quantity:
        """An amount whose level may be off by the factor `off_by` either way. Raises DataError for a factor below 1."""
        if not 1.0 <= off_by < math.inf:
            raise DataError(
                f"found off_by = {off_by:g}; wanted a factor of 1 or more, as 1.3 for thirty per cent either way."
            )
        level = Assumption(value=1.0) if off_by == 1.0 else Assumption.between(1.0 / off_by, off_by)
        return cls(amount=amount, level=level)

    @property
    def mean(self) -> float:
        """Of the amount, at its central level."""
        return self.amount.mean


NOTHING = Quantity(amount=Constant(value=0.0))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
