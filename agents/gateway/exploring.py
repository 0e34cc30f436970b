"""Exploration: with a small probability another route than the policy's, so that the log can judge other policies later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.errors import PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """With probability `rate` a route is drawn uniformly, for what the policy sends to one of `routes`, among those.

    routes: None allows all.   spared: rules whose messages are never drawn away; "danger" is an urgent call for help.
    """

    rate: float = 0.0
    routes: tuple[str, ...] | None = None
    spared: tuple[str, ...] = ("danger",)

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise PolicyError(f"the exploration rate is {self.rate}; it must lie in [0, 1]. 0 explores nothing.")

    def propensities(self, candidates: Sequence[str], *, route: str, rule: str) -> dict[str, float]:
        """Candidate -> the probability that it is taken, where the policy said `route` by `rule`. They sum to 1."""
        allowed = [name for name in candidates if self.routes is None or name in self.routes]
        rate = self.rate if route in allowed and rule not in self.spared and len(allowed) > 1 else 0.0
        share = rate / len(allowed) if rate else 0.0
        return {name: (1.0 - rate) * (name == route) + share * (name in allowed) for name in candidates}


NOTHING = Exploration()
