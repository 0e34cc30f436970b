"""The route table: where queries can go, what a wrong decision costs, and which labels mean which road."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.card import Card
from router.errors import DataError
from router.files import canonical_json, read_toml, sha256_bytes
from router.prices import PriceTable, Usage
from router.types import Route

ADVICE = "See datasets/pam-v1/routes.toml for the form."


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPolicySpec:
    """Which heads and labels the label policy reads, and the prices of its two mistakes.

    `wrong_cheap_usd`: a query that needed a desk got the cheap route. `wrong_dear_usd`: the reverse. `switch_usd`: another
    route than the conversation's last: the prompt cache that is lost, and the change of voice.
    """

    complexity_head: str
    cheap_label: str
    domain_head: str
    out_of_scope_label: str | None
    urgency_head: str | None
    high_label: str | None
    wrong_cheap_usd: float
    wrong_dear_usd: float
    min_confidence: float
    max_novelty: float
    switch_usd: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.wrong_cheap_usd < math.inf and 0 < self.wrong_dear_usd < math.inf):
            raise DataError(
                f"[policy]: wrong_cheap_usd = {self.wrong_cheap_usd}, wrong_dear_usd = {self.wrong_dear_usd}; wanted both above 0 and finite. {ADVICE}"
            )
        if not 0 <= self.switch_usd < math.inf:
            raise DataError(
                f"[policy]: switch_usd = {self.switch_usd}; wanted dollars a change of route, at least 0 and finite. {ADVICE}"
            )
        for name in ("min_confidence", "max_novelty"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"[policy]: {name} = {getattr(self, name)}; wanted a number in [0, 1]. {ADVICE}")

    @property
    def bayes_threshold(self) -> float:
        """The P(cheap label) at which both mistakes cost the same, for probabilities that mean what they say."""
        return self.wrong_cheap_usd / (self.wrong_cheap_usd + self.wrong_dear_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """All routes in table order; exactly one is cheap and exactly one is safe (see design of the label policy)."""

    routes: tuple[Route, ...]
    cheap: str
    policy: LabelPolicySpec
    price_date: date

    def __post_init__(self) -> None:
        names = [route.name for route in self.routes]
        if len(set(names)) != len(names):
            raise DataError(f"route table: names are {names}; wanted all different. {ADVICE}")
        if sum(route.safe for route in self.routes) != 1 or self.cheap not in names:
            raise DataError(
                f"route table: wanted exactly one route with `safe = true` and one with `cheap = true`. {ADVICE}"
            )
        for route in self.routes:
            unknown = sorted(set(route.fallback) - set(names) | (set(route.fallback) & {route.name}))
            if unknown:
                raise DataError(
                    f"route {route.name!r}: fallback names {unknown}; wanted other routes of the table. {ADVICE}"
                )

    @property
    def names(self) -> list[str]:
        """Route names in table order; arrays of routes index into this."""
        return [route.name for route in self.routes]

    @property
    def safe(self) -> str:
        """The route for what nobody is sure of."""
        return next(route.name for route in self.routes if route.safe)

    def desk_index(self, labels: tuple[str, ...]) -> npt.NDArray[np.intp]:
        """For each domain label, the index of the first route whose desk owns it, or -1 where no desk does."""
        desks = {route.desk: index for index, route in reversed(list(enumerate(self.routes))) if route.desk}
        return np.array([desks.get(label, -1) for label in labels], dtype=np.intp)

    def cost_usd(self, prices: PriceTable) -> dict[str, float]:
        """Dollars per query on each route, from its assumed tokens and its model's price on the table's date."""
        return {
            route.name: prices.on(route.model, self.price_date).cost_usd(
                Usage(input_tokens=route.input_tokens, output_tokens=route.output_tokens), tier=route.tier
            )
            for route in self.routes
        }

    def check_against(self, card: Card) -> None:
        """Raise DataError where the policy reads a head or label that the data set's card does not have."""
        spec = self.policy
        reads = (
            (spec.complexity_head, spec.cheap_label),
            (spec.domain_head, spec.out_of_scope_label),
            (spec.urgency_head, spec.high_label),
        )
        for head, label in reads:
            if head is None:
                continue
            if head not in card.heads:
                raise DataError(
                    f"route table: [policy] reads head {head!r}; card {card.name!r} has {', '.join(card.heads)}."
                )
            if label is not None and label not in card.heads[head]:
                raise DataError(
                    f"route table: label {label!r} is not one of head {head!r}: {', '.join(card.heads[head])}."
                )

    def digest(self) -> str:
        """Hex digest of everything that decides: routes, policy and price date."""
        return sha256_bytes(canonical_json(table_to_mapping(self)).encode())


def table_to_mapping(table: RouteTable) -> dict[str, Any]:
    """The JSON form that a bundle carries; `table_from_mapping` reads it back."""
    spec = table.policy
    optional = {
        "urgency": {"head": spec.urgency_head, "high": spec.high_label} if spec.urgency_head else None,
        "switch_usd": spec.switch_usd,
    }
    return {
        "price_date": table.price_date.isoformat(),
        "policy": {
            "complexity": {"head": spec.complexity_head, "cheap": spec.cheap_label},
            "domain": {"head": spec.domain_head, "out_of_scope": spec.out_of_scope_label},
            **{name: value for name, value in optional.items() if value},
            **{
                name: getattr(spec, name)
                for name in ("wrong_cheap_usd", "wrong_dear_usd", "min_confidence", "max_novelty")
            },
        },
        "routes": [
            {**asdict(route), "fallback": list(route.fallback), "cheap": route.name == table.cheap}
            for route in table.routes
        ],
    }


def table_from_mapping(raw: Mapping[str, Any], *, where: str) -> RouteTable:
    """Build a route table from parsed TOML or JSON. Raises DataError naming `where` and what is missing."""
    try:
        policy = dict(raw["policy"])
        urgency = policy.get("urgency") or {}
        spec = LabelPolicySpec(
            complexity_head=policy["complexity"]["head"],
            cheap_label=policy["complexity"]["cheap"],
            domain_head=policy["domain"]["head"],
            out_of_scope_label=policy["domain"].get("out_of_scope"),
            urgency_head=urgency.get("head"),
            high_label=urgency.get("high"),
            wrong_cheap_usd=float(policy["wrong_cheap_usd"]),
            wrong_dear_usd=float(policy["wrong_dear_usd"]),
            min_confidence=float(policy.get("min_confidence", 0.0)),
            max_novelty=float(policy.get("max_novelty", 1.0)),
            switch_usd=float(policy.get("switch_usd", 0.0)),
        )
        cheap = [entry["name"] for entry in raw["routes"] if entry.get("cheap")]
        routes = tuple(_route(entry) for entry in raw["routes"])
        return RouteTable(
            routes=routes,
            cheap=cheap[0] if len(cheap) == 1 else "",
            policy=spec,
            price_date=_day(raw["price_date"]),
        )
    except (KeyError, TypeError, AttributeError) as err:
        raise DataError(f"{where}: the route table lacks or misspells {err}. {ADVICE}") from err
    except DataError as err:
        raise DataError(f"{where}: {err}") from err
    except ValueError as err:
        raise DataError(f"{where}: {err}. {ADVICE}") from err


def _day(found: Any) -> date:  # Any: TOML has dates, with and without a time of day; JSON has text
    if isinstance(found, datetime):
        return found.date()
    return found if isinstance(found, date) else date.fromisoformat(str(found))


def _route(entry: Mapping[str, Any]) -> Route:
    fields = {name: value for name, value in entry.items() if name != "cheap"}
    fields["fallback"] = tuple(fields.get("fallback", ()))
    return Route(**{"desk": None, "safe": False, **fields})


def read_routes(path: Path) -> RouteTable:
    """Read a `routes.toml`. Raises DataError with the file's name."""
    return table_from_mapping(read_toml(path, what="a route table", make=ADVICE), where=str(path))
