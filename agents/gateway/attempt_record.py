"""What became of one attempt at one model, and what it cost: by the usage that was told, or by a rule, or not known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from agents.gateway.costs import same_model
from router.prices import Usage
from router.types import Route

Outcome = Literal[
    "ok",
    "overloaded",
    "rate_limited",
    "timeout",
    "unreachable",
    "broken_stream",
    "unauthorised",
    "bad_request",
    "cancelled",
    "circuit_open",
    "bulkhead_full",
]
NotSent = Literal["circuit_open", "bulkhead_full"]
CostRule = Literal["usage", "refused", "not_sent"]
Json = dict[str, Any]  # Any: whatever JSON can hold
NOTHING = Usage(input_tokens=0, output_tokens=0)
# Providers bill answers. What they turn away before its first piece (429, any other 4xx, 5xx), and what never reaches them,
# costs nothing; what falls silent or breaks off may have been worked on, and nobody tells how much.
REFUSALS = ("overloaded", "rate_limited", "unreachable", "unauthorised", "bad_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """What became of one attempt. model: the one asked; served_model: the one that answered, as far as it said so.

    outcome: "ok", the kind of the ModelError, "cancelled" where the reader left, or why it was never sent.   usage and
    cost_usd: None where they are not known, and cost_reason says why.   cost_rule: why they are known: "usage", since the
    provider told it; nothing, since it was "refused" before its first piece or "not_sent".   first_event_ms: None where
    nothing came.   streamed: whether anything was passed on to the reader.
    """

    route: str
    model: str
    provider: str
    outcome: Outcome
    served_model: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    cost_rule: CostRule | None = None
    cost_reason: str | None = None
    latency_ms: float = 0.0
    first_event_ms: float | None = None
    streamed: bool = False
    simulated: bool = False

    @property
    def other_model(self) -> bool:
        """Whether another model answered than the one that was asked."""
        return self.served_model is not None and not same_model(asked=self.model, served=self.served_model)


def not_sent(route: Route, outcome: NotSent) -> AttemptRecord:
    """The record of an attempt that was not made."""
    return AttemptRecord(
        route=route.name,
        model=route.model,
        provider=route.provider,
        outcome=outcome,
        usage=NOTHING,
        cost_usd=0.0,
        cost_rule="not_sent",
    )


def attempt_json(record: AttemptRecord) -> Json:
    """All of it, as the decision log keeps it."""
    found = {name: getattr(record, name) for name in ATTEMPT_FIELDS}
    found["usage"] = None if record.usage is None else usage_json(record.usage)
    return found


def usage_json(usage: Usage) -> Json:
    """Tokens of one call, or of several."""
    return {name: getattr(usage, name) for name in USAGE_FIELDS}


ATTEMPT_FIELDS = tuple(field.name for field in fields(AttemptRecord))
USAGE_FIELDS = tuple(field.name for field in fields(Usage))
