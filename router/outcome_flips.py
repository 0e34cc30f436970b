"""The smallest change that sends one query to another model: of the policy's own number, or of what a model charges.

A choice changes only where two values or two costs are level, so the candidates are finite: each crossing, and a hair to
either side of it. The policy itself is asked at every one, so what is said to flip a decision flips it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from router.outcome_policy import AnyPolicy, Budget, CheapestAbove, ExpectedUtility, Threshold
from router.outcome_router import Floats

HAIRS = (
    1e-9,
    1e-6,
)  # relative: beyond a crossing; the wider one where sums are so large that the finer is lost in them
NAMES = {
    "threshold": "threshold",
    "cheapest-above": "floor",
    "expected-utility": "λ (quality per dollar)",
    "budget": "λ (quality per dollar)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """With `value` in place of `now`, the query goes to `model`.   what: the policy's parameter, or "price of MODEL" (USD)."""

    what: str
    now: float
    value: float
    model: str

    def sentence(self) -> str:
        """In words."""
        return f"{self.what} beyond {self.value:.6g} (now {self.now:.6g}) sends it to {self.model}"


def parameter_flip(policy: AnyPolicy, p: Floats, cost_usd: Floats | None) -> Flip | None:
    """The nearest value of the policy's number at which it chooses another model; None where no value does.

    p: (m,) values of one query.   cost_usd: (m,) predicted dollars, or None.
    """
    chosen, now = _choose(policy, p, cost_usd), _parameter(policy)
    found = [
        (abs(value - now), value, model)
        for value in _parameter_candidates(policy, p, cost_usd, chosen)
        if (model := _choose(_with_parameter(policy, value), p, cost_usd)) != chosen
    ]
    if not found:
        return None
    _, value, model = min(found)
    return Flip(what=NAMES[policy.kind], now=now, value=value, model=policy.models[model])


def price_flip(policy: AnyPolicy, p: Floats, cost_usd: Floats | None) -> Flip | None:
    """The change of one model's predicted price, smallest as a ratio, at which the policy chooses another model.

    None where no price does (down to a price of 0), or no dollars are known.
    """
    if cost_usd is None:
        return None
    chosen, found = _choose(policy, p, cost_usd), []
    for j in range(len(p)):
        for value in _price_candidates(policy, p, cost_usd, j):
            changed = cost_usd.copy()
            changed[j] = value
            model = _choose(policy, p, changed)
            if model != chosen:
                found.append((_ratio(value, float(cost_usd[j])), j, value, model))
    if not found:
        return None
    _, j, value, model = min(found)
    return Flip(what=f"price of {policy.models[j]}", now=float(cost_usd[j]), value=value, model=policy.models[model])


def _choose(policy: AnyPolicy, p: Floats, cost_usd: Floats | None) -> int:
    return int(policy.choose(p[None, :], None if cost_usd is None else cost_usd[None, :]).model[0])


def _parameter(policy: AnyPolicy) -> float:
    if isinstance(policy, Threshold):
        return policy.threshold
    return policy.floor if isinstance(policy, CheapestAbove) else policy.quality_per_usd


def _with_parameter(policy: AnyPolicy, value: float) -> AnyPolicy:
    if isinstance(policy, Threshold):
        return replace(policy, threshold=value)
    return replace(policy, floor=value) if isinstance(policy, CheapestAbove) else replace(policy, quality_per_usd=value)


def _parameter_candidates(policy: AnyPolicy, p: Floats, cost_usd: Floats | None, chosen: int) -> Iterable[float]:
    if isinstance(policy, Threshold):
        short = p[policy.models.index(policy.against)] - p
        return [value for level in short.tolist() for value in (level, math.nextafter(level, math.inf))]
    if isinstance(policy, CheapestAbove):
        return [value for level in p.tolist() for value in (level, math.nextafter(level, math.inf)) if 0 <= value <= 1]
    assert cost_usd is not None
    levels = [
        float((p[chosen] - p[j]) / (cost_usd[chosen] - cost_usd[j]))
        for j in range(len(p))
        if cost_usd[j] != cost_usd[chosen]
    ]
    return [0.0, *_around(levels)]


def _price_candidates(policy: AnyPolicy, p: Floats, cost_usd: Floats, j: int) -> Iterable[float]:
    """Prices of model j at which its cost is level with another's, or its utility is."""
    levels = [float(cost) for k, cost in enumerate(cost_usd) if k != j]
    if isinstance(policy, ExpectedUtility | Budget) and policy.quality_per_usd > 0:
        with np.errstate(over="ignore", invalid="ignore"):  # at a λ near 0 quality is worth more dollars than there are
            dollars = p / policy.quality_per_usd
            levels += (dollars[j] - dollars + cost_usd)[np.arange(len(p)) != j].tolist()
    return [0.0, *_around(levels)]


def _around(levels: Iterable[float]) -> list[float]:
    """Each level of 0 or more, and a hair to either side."""
    inside = [level for level in levels if level >= 0 and math.isfinite(level)]
    sides = (1.0, *(1 + sign * hair for hair in HAIRS for sign in (-1, 1)))
    return [level * side for level in inside for side in sides]


def _ratio(value: float, now: float) -> float:
    if value == now:
        return 0.0
    return math.inf if not value or not now else float(abs(np.log(value / now)))
