"""The records that travel between the rooms: frozen, keyword-only, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from router.errors import DataError

MAX_TEXT_CHARS = 32_000  # ~8k tokens; a longer message is a document, not a query


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a person gave for one query: `heads` maps a head's name to its label, None where it was left open.

    `also` names the further desks whose tools the answer needs.
    """

    heads: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One user message. `group` ties near-duplicates together, so that no split tears them apart.

    context: the user's own earlier messages of the conversation, oldest first.
    """

    query_id: str
    text: str
    labels: Labels = field(default_factory=Labels)
    language: str | None = None
    persona: str | None = None
    group: str | None = None
    split: str | None = None
    source: str | None = None
    context: tuple[str, ...] = ()

    @property
    def conversation(self) -> str:
        """What was said, context and all: two queries are the same where this is."""
        return "\n".join((*self.context, self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A named destination: a model, perhaps a desk, and what one query is assumed to use there.

    Tokens are per query, latency is the assumed median and 95th percentile; both are assumptions of the route
    table, not measurements, and are marked as simulated wherever they are shown.
    """

    name: str
    model: str
    provider: str
    desk: str | None
    safe: bool
    input_tokens: int
    output_tokens: int
    latency_ms_p50: float
    latency_ms_p95: float
    fallback: tuple[str, ...] = ()
    tier: str = "standard"

    def __post_init__(self) -> None:
        if self.input_tokens < 0 or self.output_tokens < 0:
            raise DataError(f"route {self.name!r}: tokens are {self.input_tokens}/{self.output_tokens}; wanted >= 0.")
        if not 0 < self.latency_ms_p50 <= self.latency_ms_p95:
            raise DataError(
                f"route {self.name!r}: latency is {self.latency_ms_p50}/{self.latency_ms_p95} ms;"
                " wanted 0 < p50 <= p95."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where one query goes, and why.

    `probabilities` maps head -> label -> probability. `confidence` is the probability in [0, 1] that the policy's
    reading of the query (complexity, and domain where a desk was chosen) is right. `rule` names the rule that fired.
    `novelty` is the share of calibration queries that lie nearer to the training data than this one.
    """

    route: str
    rule: str
    confidence: float
    probabilities: Mapping[str, Mapping[str, float]]
    also: tuple[str, ...]
    novelty: float

    def label(self, head: str) -> str:
        """The most probable label of one head (first in the card's order where two tie)."""
        probabilities = self.probabilities[head]
        return max(probabilities, key=lambda name: probabilities[name])
