"""How many model calls one answer takes: the length of an agent's loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eval.simulate.amounts import KNOWN_ONE, ROUNDING, Assumption
from router.errors import DataError

Floats = npt.NDArray[np.float64]
MOST_TURNS = 40  # model calls of one answer: an agent that needs more is lost


class Turns(Protocol):
    """How many model calls one answer takes: 1 to `most`."""

    @property
    def most(self) -> int:
        """The largest number of calls."""

    @property
    def level(self) -> Assumption:
        """What is believed of it: the mean, or a known 1 where the distribution itself is known."""

    def pmf(self, level: Floats) -> Floats:
        """(s, most) probability of 1, 2, ... calls at each of the levels (s,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedTurns:
    """A known distribution: `weights` of 1, 2, ... calls, adding up to 1."""

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.weights) <= MOST_TURNS or min(self.weights) < 0:
            raise DataError(f"found weights of {len(self.weights)} turns; wanted 1 to {MOST_TURNS}, none below 0.")
        if abs(sum(self.weights) - 1) > ROUNDING:
            raise DataError(f"the weights of the turns add up to {sum(self.weights):.6g}; wanted 1.")

    @property
    def most(self) -> int:
        """The largest number of calls."""
        return len(self.weights)

    @property
    def level(self) -> Assumption:
        """Known."""
        return KNOWN_ONE

    def pmf(self, level: Floats) -> Floats:
        """(s, most) the weights, whatever the level."""
        return np.broadcast_to(np.array(self.weights), (len(level), self.most))


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonTurns:
    """One call and Poisson more, cut off at `most`; `mean` is that before the cut."""

    mean: Assumption
    most: int = 12

    def __post_init__(self) -> None:
        if (
            not 1 <= self.most <= MOST_TURNS
            or not 1 <= (self.mean.low or self.mean.value) <= self.mean.value <= self.most
        ):
            raise DataError(
                f"found a mean of {self.mean.value:g} turns, at most {self.most}; wanted 1 <= mean <= most <= {MOST_TURNS}."
            )

    @property
    def level(self) -> Assumption:
        """The mean."""
        return self.mean

    def pmf(self, level: Floats) -> Floats:
        """(s, most) of 1 + Poisson(level − 1), cut off and made whole."""
        more = np.arange(self.most)
        rate = np.maximum(level - 1.0, 0.0)[:, None]
        logs = np.array([math.lgamma(k + 1) for k in more])
        weight = np.where(rate > 0, np.exp(more * np.log(np.maximum(rate, 1e-300)) - logs), more == 0)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))
