"""Who decides: the router at one of its thresholds, or a baseline that needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eval.simulate.draws import Draws, counted_at
from eval.simulate.scenario import Baseline, Scenario

Floats = npt.NDArray[np.float64]


class Policy(Protocol):
    """Where queries of each class go in each world."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def sticky(self) -> bool:
        """Whether the scenario's stickiness holds for it."""

    def sends(self, scenario: Scenario, draws: Draws) -> Floats:
        """(s, k, r) shares of each class."""

    def again(self, scenario: Scenario, draws: Draws) -> Floats:
        """(k, r, r) from the road of a bad answer to the road of a person's second try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """The router, as the draws have it. After a bad answer, the road that the class needs."""

    name: str = "routed"
    sticky: bool = True

    def sends(self, scenario: Scenario, draws: Draws) -> Floats:  # noqa: ARG002  # the protocol's argument
        """(s, k, r) as drawn."""
        return draws.sends

    def again(self, scenario: Scenario, draws: Draws) -> Floats:  # noqa: ARG002  # the protocol's argument
        """(k, r, r) to the road that is needed, from every other."""
        return np.repeat(_needed(scenario)[:, None, :], len(scenario.routes), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtThresholds:
    """The router at each of its counted thresholds, one to a world: the draws must be as many, and equal otherwise."""

    name: str = "routed"
    sticky: bool = True

    def sends(self, scenario: Scenario, draws: Draws) -> Floats:
        """(p, k, r) as counted, threshold by threshold."""
        out = draws.sends.copy()
        for position in range(len(draws)):
            counted = counted_at(scenario, position)
            assert counted is not None
            for k, entry in enumerate(scenario.queries):
                if entry.sends is None:
                    out[position, k] = counted[k] / counted[k].sum()
        return out

    def again(self, scenario: Scenario, draws: Draws) -> Floats:  # noqa: ARG002  # the protocol's argument
        """(k, r, r) to the road that is needed, from every other."""
        return np.repeat(_needed(scenario)[:, None, :], len(scenario.routes), axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A baseline: the same road for all, or fixed shares per class. A second try goes where its first one went."""

    baseline: Baseline
    sticky: bool = False

    @property
    def name(self) -> str:
        """The baseline's."""
        return self.baseline.name

    def sends(self, scenario: Scenario, draws: Draws) -> Floats:
        """(s, k, r) the same in every world."""
        return np.repeat(self._rows(scenario)[None], len(draws), axis=0)

    def again(self, scenario: Scenario, draws: Draws) -> Floats:  # noqa: ARG002  # the protocol's argument
        """(k, r, r) to the same road once more."""
        return np.repeat(np.eye(len(scenario.routes))[None], len(scenario.queries), axis=0)

    def _rows(self, scenario: Scenario) -> Floats:
        names = scenario.route_names
        rows = _needed(scenario)
        for k, entry in enumerate(scenario.queries):
            row = {self.baseline.route: 1.0} if self.baseline.route else self.baseline.sends.get(entry.name)
            if row is not None:
                rows[k] = 0.0
                for name, share in row.items():
                    rows[k, names.index(str(name))] = share
        return rows


def _needed(scenario: Scenario) -> Floats:
    rows = np.zeros((len(scenario.queries), len(scenario.routes)))
    rows[np.arange(len(rows)), scenario.needs] = 1.0
    return rows
