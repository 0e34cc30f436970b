"""Policies over several models: a value and a predicted cost per query and model in, one model per query out. Pure.

    threshold          stay with one model unless a cheaper one's value comes within t of it; for a pair: strong where
                       p_strong − p_weak ≥ t
    cheapest-above     the cheapest model whose probability of being good enough is ≥ a floor
    expected-utility   the largest p − λ · cost, λ in quality per dollar
    budget             the same with the λ that spent a given mean on the calibration sample, fixed in advance

Equal costs are settled by the larger value, then by the order of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
RULES = ("kept", "close-enough", "cheapest-above", "most-probable", "best-utility", "within-budget")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutcomeChoices:
    """What a policy said of n queries: `model` (n,) indexes its models, `rule` (n,) indexes RULES."""

    model: Ints
    rule: Ints


class OutcomePolicy(Protocol):
    """One rule with its parameters; `choice.model` are columns of `models`."""

    kind: ClassVar[str]

    @property
    def models(self) -> tuple[str, ...]:
        """The columns it decides between, in order."""

    def choose(self, p: Floats, cost_usd: Floats | None) -> OutcomeChoices:
        """Decide n queries at once.

        p: (n, m) finite values, higher is better.   cost_usd: predicted dollars, (n, m), or (m,) for every query; None
        where models stand from the cheapest to the dearest and no dollars are known. Raises PolicyError on bad shapes.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Stay with `against` unless a cheaper model falls short of it by less than `threshold`; else the cheapest such model."""

    kind: ClassVar[str] = "threshold"
    models: tuple[str, ...]
    against: str
    threshold: float

    def __post_init__(self) -> None:
        _require_models(self.models)
        _require_finite("threshold", self.threshold, least=-np.inf)
        if self.against not in self.models:
            raise PolicyError(f"no model {self.against!r}; the policy knows {', '.join(self.models)}.")

    def choose(self, p: Floats, cost_usd: Floats | None) -> OutcomeChoices:
        """See OutcomePolicy."""
        p, cost = arrays(p, cost_usd, models=self.models)
        column = self.models.index(self.against)
        short: Floats = p[:, [column]] - p
        able = (short < self.threshold) & (cost < cost[:, [column]])
        able[:, column] = True
        model = cheapest(p, cost, able=able)
        return OutcomeChoices(model=model, rule=_rules(model == column, "kept", "close-enough"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheapestAbove:
    """The cheapest model with p ≥ `floor`; where none reaches it, the most probable one."""

    kind: ClassVar[str] = "cheapest-above"
    models: tuple[str, ...]
    floor: float

    def __post_init__(self) -> None:
        _require_models(self.models)
        if not 0.0 <= self.floor <= 1.0:
            raise PolicyError(f"`floor` is {self.floor}; it must lie in [0, 1].")

    def choose(self, p: Floats, cost_usd: Floats | None) -> OutcomeChoices:
        """See OutcomePolicy."""
        p, cost = arrays(p, cost_usd, models=self.models)
        able = p >= self.floor
        reached: Bools = np.logical_or.reduce(able, axis=1)
        able = np.where(reached[:, None], able, p >= p.max(axis=1, keepdims=True))
        model = cheapest(p, cost, able=able)
        return OutcomeChoices(model=model, rule=_rules(reached, "cheapest-above", "most-probable"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedUtility:
    """The model with the largest p − `quality_per_usd` · cost; 0 means the best whatever it costs."""

    kind: ClassVar[str] = "expected-utility"
    models: tuple[str, ...]
    quality_per_usd: float

    def __post_init__(self) -> None:
        _require_models(self.models)
        _require_finite("quality_per_usd", self.quality_per_usd, least=0.0)

    def choose(self, p: Floats, cost_usd: Floats | None) -> OutcomeChoices:
        """See OutcomePolicy; needs costs."""
        model = best_utility(p, cost_usd, models=self.models, quality_per_usd=self.quality_per_usd)
        return OutcomeChoices(model=model, rule=np.full(len(model), RULES.index("best-utility"), dtype=np.intp))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Expected utility at the λ that kept the mean predicted cost within `budget_usd` per query on the calibration sample.

    On a stream nothing is known of the queries to come, so λ stays as it is and the mean holds in expectation.
    """

    kind: ClassVar[str] = "budget"
    models: tuple[str, ...]
    budget_usd: float
    quality_per_usd: float

    def __post_init__(self) -> None:
        _require_models(self.models)
        _require_finite("budget_usd", self.budget_usd, least=0.0)
        _require_finite("quality_per_usd", self.quality_per_usd, least=0.0)

    def choose(self, p: Floats, cost_usd: Floats | None) -> OutcomeChoices:
        """See OutcomePolicy; needs costs."""
        model = best_utility(p, cost_usd, models=self.models, quality_per_usd=self.quality_per_usd)
        return OutcomeChoices(model=model, rule=np.full(len(model), RULES.index("within-budget"), dtype=np.intp))


AnyPolicy = Threshold | CheapestAbove | ExpectedUtility | Budget
KINDS: dict[str, type[AnyPolicy]] = {kind.kind: kind for kind in (Threshold, CheapestAbove, ExpectedUtility, Budget)}


def to_mapping(policy: AnyPolicy) -> dict[str, Any]:  # Any: what JSON can hold
    """The policy as JSON holds it: `kind`, `models` and its parameters."""
    names = [field.name for field in fields(policy) if field.name != "models"]
    return {"kind": policy.kind, "models": list(policy.models), "parameters": {n: getattr(policy, n) for n in names}}


def from_mapping(mapping: Mapping[str, Any]) -> AnyPolicy:  # Any: what JSON can hold
    """The inverse of `to_mapping`. Raises PolicyError for anything that it did not write."""
    if set(mapping) != {"kind", "models", "parameters"} or str(mapping["kind"]) not in KINDS:
        raise PolicyError(
            f"not a policy: {sorted(mapping)} with kind {mapping.get('kind')!r}; wanted kind, models and parameters, and"
            f" one of the kinds {', '.join(KINDS)}."
        )
    kind, parameters = KINDS[mapping["kind"]], mapping["parameters"]
    wanted = {field.name: field.type for field in fields(kind) if field.name != "models"}
    right = isinstance(parameters, Mapping) and set(parameters) == set(wanted)
    # JSON has one kind of number, and `True` is no threshold
    if not right or any(
        not isinstance(parameters[name], str if type_ == "str" else (int, float)) or isinstance(parameters[name], bool)
        for name, type_ in wanted.items()
    ):
        raise PolicyError(f"policy {kind.kind!r} wants the parameters {', '.join(wanted)}; found {parameters!r}.")
    models = mapping["models"]
    if not isinstance(models, list | tuple) or not all(isinstance(model, str) for model in models):
        raise PolicyError(f"policy {kind.kind!r}: `models` is {models!r}; wanted a list of names.")
    typed: dict[str, Any] = {n: value if isinstance(value, str) else float(value) for n, value in parameters.items()}
    return kind(models=tuple(models), **typed)


def arrays(p: Floats, cost_usd: Floats | None, *, models: tuple[str, ...]) -> tuple[Floats, Floats]:
    """(n, m) values and (n, m) costs, checked; without costs the columns' positions stand for them.

    Raises PolicyError where shapes disagree or a cell is not finite.
    """
    value = np.asarray(p, dtype=np.float64)
    if value.ndim != 2 or value.shape[1] != len(models):
        raise PolicyError(f"`p` is {value.shape}; wanted (n, {len(models)}) for {', '.join(models)}.")
    given = np.arange(len(models)) if cost_usd is None else cost_usd
    cost = np.asarray(given, dtype=np.float64)
    if cost.shape not in (value.shape, value.shape[1:]):
        raise PolicyError(f"`cost_usd` is {cost.shape}; wanted {value.shape} or {value.shape[1:]}, as `p`.")
    if not np.isfinite(value).all() or not np.isfinite(cost).all():
        raise PolicyError("`p` or `cost_usd` has missing or infinite cells; a policy decides on finite numbers only.")
    return value, np.broadcast_to(cost, value.shape)


def cheapest(p: Floats, cost: Floats, *, able: Bools) -> Ints:
    """(n,) the cheapest able model; among those the largest value; among those the first column."""
    price = np.where(able, cost, np.inf)
    tied = able & (price == price.min(axis=1, keepdims=True))
    worth = np.where(tied, p, -np.inf)
    choice: Ints = worth.argmax(axis=1)
    return choice


def best_utility(p: Floats, cost_usd: Floats | None, *, models: tuple[str, ...], quality_per_usd: float) -> Ints:
    """(n,) argmax of p − λ · cost; among equals the cheapest. Raises PolicyError without costs."""
    if cost_usd is None:
        raise PolicyError("this policy weighs quality against dollars; give predicted costs, or use a threshold.")
    p, cost = arrays(p, cost_usd, models=models)
    utility = p - quality_per_usd * cost
    return cheapest(p, cost, able=utility >= utility.max(axis=1, keepdims=True))


def _rules(first: Bools, where_true: str, where_false: str) -> Ints:
    chosen: Ints = np.where(first, RULES.index(where_true), RULES.index(where_false)).astype(np.intp)
    return chosen


def _require_models(models: tuple[str, ...]) -> None:
    if not models or len(set(models)) != len(models):
        raise PolicyError(f"`models` is {list(models)}; wanted one or more names, each once.")


def _require_finite(name: str, value: float, *, least: float) -> None:
    if not np.isfinite(value) or value < least:
        raise PolicyError(f"`{name}` is {value}; wanted a finite number{'' if least == -np.inf else ' of 0 or more'}.")
