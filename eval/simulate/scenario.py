"""A scenario: everything that is assumed about one month, as frozen records. `scenario_file` reads them from TOML.

Every number that may be uncertain is an `Assumption`; `assumptions` lists them all by name. What a record says of itself
is checked when it is made; what one says of another (routes that exist, shares that add up) when the scenario is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from eval.simulate.amounts import KNOWN_ONE, NOTHING, ROUNDING, Assumption, Quantity
from eval.simulate.circles import circle
from eval.simulate.counts import Counts
from eval.simulate.turns import FixedTurns, Turns
from router.errors import DataError
from router.prices import TIERS

Floats = npt.NDArray[np.float64]
HOURS = 24
KNOWN_NONE = Assumption(value=0.0, share=True)
KNOWN_ALL = Assumption(value=1.0, share=True)
TOKENS = (
    "system_tokens",
    "tool_schema_tokens",
    "history_tokens",
    "message_tokens",
    "output_tokens",
    "tool_result_tokens",
)


def sure(share: float) -> Assumption:
    """A share that is known."""
    return Assumption(value=share, share=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryClass:
    """A kind of query: its share of all, and the route that answers it well at least cost.

    also: further routes that work on it at the same time, each with the share of its queries that they are needed for.
    sends: where the router sends it, route -> share; None where counts or an accuracy say so.
    """

    name: str
    share: Assumption
    needs: str
    also: Mapping[str, float] = field(default_factory=dict)
    sends: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if any(not 0 <= part <= 1 for part in self.also.values()):
            raise DataError(
                f"queries {self.name!r}: `also` is {dict(self.also)}; wanted a share in [0, 1] for each route."
            )
        if self.sends is not None:
            _require_whole(self.sends, f"queries {self.name!r}: `sends`")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteUse:
    """A road of the scenario: its model, what one answer uses there, how long it takes, and what happens when it fails.

    Tokens: `system_tokens` and `tool_schema_tokens` stand in front of every call, `history_tokens` (only of a message that
    follows another) and `message_tokens` after them; each call writes `output_tokens`, and each but the last is followed
    by `tool_result_tokens`. usd_per_query: what one answer costs, in place of tokens and prices. good: P(good answer) by
    class, where the scenario's rule does not say it. call_ms, tool_ms: of one model call, of one round of tools; None
    where latency is not simulated. concurrency: answers that are worked on at once; None for no limit. strength: which
    of two models is the abler; None takes the price of its output. A failed attempt is one whole answer tried in vain.
    """

    name: str
    model: str
    provider: str
    tier: str = "standard"
    system_tokens: Quantity = NOTHING
    tool_schema_tokens: Quantity = NOTHING
    history_tokens: Quantity = NOTHING
    message_tokens: Quantity = NOTHING
    output_tokens: Quantity = NOTHING
    tool_result_tokens: Quantity = NOTHING
    turns: Turns = field(default_factory=lambda: FixedTurns(weights=(1.0,)))
    usd_per_query: Quantity | None = None
    caches_prompts: bool = False
    good: Mapping[str, float] = field(default_factory=dict)
    strength: float | None = None
    call_ms: Quantity | None = None
    tool_ms: Quantity = NOTHING
    concurrency: int | None = None
    failed_attempts: Assumption = KNOWN_NONE
    retries: int = 0
    failed_ms: float = 0.0
    billed_when_failed: float = 0.0
    fallback: str | None = None
    handoff: Assumption = KNOWN_NONE

    def __post_init__(self) -> None:
        where = f"route {self.name!r}"
        if self.tier not in TIERS:
            raise DataError(f"{where}: tier is {self.tier!r}; wanted one of {', '.join(TIERS)}.")
        if self.usd_per_query is not None and any(getattr(self, name) is not NOTHING for name in TOKENS):
            raise DataError(f"{where}: has `usd_per_query` and tokens; wanted one of the two.")
        if any(not 0 <= p <= 1 for p in self.good.values()):
            raise DataError(f"{where}: `good` is {dict(self.good)}; wanted a share in [0, 1] for each class.")
        if not (self.failed_attempts.share and self.handoff.share):
            raise DataError(f"{where}: failed_attempts and handoff are probabilities; wanted shares in [0, 1].")
        if self.concurrency is not None and self.concurrency < 1:
            raise DataError(f"{where}: concurrency is {self.concurrency}; wanted 1 or more.")
        if not 0 <= self.retries <= 10 or self.failed_ms < 0 or not 0 <= self.billed_when_failed <= 1:
            raise DataError(
                f"{where}: retries = {self.retries}, failed_ms = {self.failed_ms:g}, billed_when_failed ="
                f" {self.billed_when_failed:g}; wanted 0 to 10 retries, 0 ms or more, a share in [0, 1]."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """How messages follow one another.

    messages: the mean number of a conversation.   same_need: P(a message is of the class of the one before it; else it
    is drawn from the mix).   stickiness: P(a follow-up stays on the road of the message before, whatever the router says).
    """

    messages: Assumption = KNOWN_ONE
    same_need: Assumption = KNOWN_NONE
    stickiness: Assumption = KNOWN_NONE

    def __post_init__(self) -> None:
        if (self.messages.low or self.messages.value) < 1:
            raise DataError(f"[conversation]: messages is {self.messages.value:g}; wanted 1 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCache:
    """What is still in a provider's prompt cache.

    minutes: how long a prefix lives.   in_time: P(the next message of a conversation comes within that).   loop_hit: P(a
    call within one answer finds what the call before it sent).
    """

    minutes: float = 5.0
    in_time: Assumption = KNOWN_NONE
    loop_hit: Assumption = KNOWN_ALL

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise DataError(f"[prompt_cache]: minutes is {self.minutes:g}; wanted more than 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadAnswer:
    """What makes an answer good, and what a bad one leads to.

    right, weak, strong, sideways: P(good answer) on the road a query needs, on one with a less able model, on one with an
    abler one, on one with an equally able one. A message that nobody answers counts as a bad answer.   reask: P(the person asks again after a bad
    answer; the road that is needed then answers).   usd: what a bad answer costs beside the bill. Of a scenario that states
    none of it, every answer counts as good, and nothing is said of quality.
    """

    right: Assumption = KNOWN_ALL
    weak: Assumption = KNOWN_ALL
    strong: Assumption = KNOWN_ALL
    sideways: Assumption = KNOWN_ALL
    reask: Assumption = KNOWN_NONE
    usd: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.usd < math.inf:
            raise DataError(f"[bad_answer]: usd is {self.usd:g}; wanted dollars, 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterUse:
    """The router itself: how right it is where neither counts nor `sends` say so, and what it takes."""

    accuracy: Assumption = KNOWN_ALL
    threshold: float | None = None
    decision_ms: float = 0.0
    usd_per_month: float = 0.0

    def __post_init__(self) -> None:
        if self.decision_ms < 0 or self.usd_per_month < 0:
            raise DataError(
                f"[router]: decision_ms = {self.decision_ms:g}, usd_per_month = {self.usd_per_month:g}; wanted 0 or more."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What routing is compared with: every query to one `route`; or each class to the route it needs but for those in
    `sends` (class -> route -> share). A perfect router is a baseline with neither.
    """

    name: str
    route: str | None = None
    sends: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, row in self.sends.items():
            _require_whole(row, f"baseline {self.name!r}: `sends` of {name!r}")
        if self.route is not None and self.sends:
            raise DataError(f"baseline {self.name!r}: has `route` and `sends`; wanted one of the two, or neither.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything assumed about one month and what is asked of it. `month` is its first day; `chance`: whether the month's
    own luck (how many queries come, and which) is part of the interval. The first baseline is the one that savings refer to.
    counts: where the router was seen to send each class; None where `sends` or an accuracy say so.
    """

    name: str
    month: date
    queries_per_month: Assumption
    queries: tuple[QueryClass, ...]
    routes: tuple[RouteUse, ...]
    baselines: tuple[Baseline, ...]
    title: str = ""
    growth_per_month: float = 0.0
    months: int = 1
    chance: bool = True
    mix_n: float | None = None
    router: RouterUse = field(default_factory=RouterUse)
    counts: Counts | None = None
    conversation: Conversation = field(default_factory=Conversation)
    prompt_cache: PromptCache = field(default_factory=PromptCache)
    bad_answer: BadAnswer = field(default_factory=BadAnswer)
    answer_cache: Assumption = KNOWN_NONE
    outage_hours: Mapping[str, Assumption] = field(default_factory=dict)
    traffic_by_hour: tuple[float, ...] = (1.0,) * HOURS
    targets: Mapping[str, float] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._require_names()
        self._require_month()
        if circular := circle({route.name: route.fallback for route in self.routes}):
            raise DataError(f"fallbacks go in a circle: {' -> '.join(circular)}; wanted an end. Take one of them out.")
        self._require_strengths()
        providers = {route.provider for route in self.routes}
        if unknown := sorted(set(self.outage_hours) - providers):
            raise DataError(
                f"[outages] names {unknown[0]!r}; the routes' providers are {', '.join(sorted(providers))}."
            )

    def _require_names(self) -> None:
        routes, classes = [route.name for route in self.routes], [entry.name for entry in self.queries]
        for what, names in (("routes", routes), ("queries", classes), ("baselines", [b.name for b in self.baselines])):
            if not names or len(set(names)) != len(names):
                raise DataError(f"{what} are named {names}; wanted one or more, all different.")
        named = [
            (f"queries {entry.name!r}", (entry.needs, *entry.also, *(entry.sends or ()))) for entry in self.queries
        ]
        named += [(f"route {route.name!r}", (route.fallback,) if route.fallback else ()) for route in self.routes]
        for baseline in self.baselines:
            rows = tuple(name for row in baseline.sends.values() for name in row)
            named.append((f"baseline {baseline.name!r}", (*((baseline.route,) if baseline.route else ()), *rows)))
        for where, asked in named:
            if unknown := [name for name in asked if name not in routes]:
                raise DataError(f"{where}: no route {unknown[0]!r}; there are {', '.join(routes)}.")
        asked_classes = [(f"baseline {b.name!r}", tuple(b.sends)) for b in self.baselines]
        asked_classes += [(f"route {route.name!r}: `good`", tuple(route.good)) for route in self.routes]
        for where, told in asked_classes:
            if strange := [name for name in told if name not in classes]:
                raise DataError(f"{where}: no queries {strange[0]!r}; there are {', '.join(classes)}.")

    def _require_strengths(self) -> None:
        """A price per query and a price per token are no measure of one thing; who states every answer needs none."""
        needed = {entry.needs for entry in self.queries}
        told = {route.name for route in self.routes if set(self.class_names) <= set(route.good)} - needed
        open_ = [route for route in self.routes if route.strength is None and route.name not in told]
        flat = [route.name for route in open_ if route.usd_per_query is not None]
        if flat and len(flat) < len(open_) and self.bad_answer != BadAnswer():
            raise DataError(
                f"route {flat[0]!r} has a price per query, others a price per token, so which model is the abler cannot be"
                " told; wanted `strength` of each. Write strength = 1 for the least able."
            )

    def _require_month(self) -> None:
        total = sum(entry.share.value for entry in self.queries)
        known = not any(entry.share.uncertain for entry in self.queries)
        if (known and abs(total - 1.0) > ROUNDING) or total <= 0:
            raise DataError(f"the shares of [[queries]] add up to {total:.6g}; wanted 1.")
        if self.queries_per_month.value <= 0:
            raise DataError(f"queries_per_month is {self.queries_per_month.value:g}; wanted more than 0.")
        if self.month.day != 1:
            raise DataError(f"month is {self.month}; wanted the first day of a month, as {self.month.replace(day=1)}.")
        if not 1 <= self.months <= 60 or not -1 < self.growth_per_month < 10:
            raise DataError(
                f"months = {self.months}, growth_per_month = {self.growth_per_month:g}; wanted 1 to 60, and above -1."
            )
        hours = self.traffic_by_hour
        if len(hours) != HOURS or min(hours) < 0 or sum(hours) <= 0:
            raise DataError(f"traffic_by_hour has {len(hours)} weights; wanted {HOURS}, none below 0 and some above.")
        if self.mix_n is not None and self.mix_n <= 0:
            raise DataError(f"mix_n is {self.mix_n:g}; wanted the number of queries that the shares were counted on.")

    @property
    def route_names(self) -> tuple[str, ...]:
        """Routes in their order; every array of routes indexes into this."""
        return tuple(route.name for route in self.routes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of queries in their order."""
        return tuple(entry.name for entry in self.queries)

    @property
    def needs(self) -> npt.NDArray[np.intp]:
        """(k,) the route that each class needs."""
        return np.array([self.route_names.index(entry.needs) for entry in self.queries], dtype=np.intp)


def assumptions(scenario: Scenario) -> dict[str, Assumption]:
    """Every number that may be uncertain, by a name that says where it stands in the file."""
    talk, cache, bad = scenario.conversation, scenario.prompt_cache, scenario.bad_answer
    found = {
        "queries_per_month": scenario.queries_per_month,
        **{f"queries.{entry.name}.share": entry.share for entry in scenario.queries},
        "router.accuracy": scenario.router.accuracy,
        "conversation.messages": talk.messages,
        "conversation.same_need": talk.same_need,
        "conversation.stickiness": talk.stickiness,
        "prompt_cache.in_time": cache.in_time,
        "prompt_cache.loop_hit": cache.loop_hit,
        **{f"bad_answer.{name}": getattr(bad, name) for name in ("right", "weak", "strong", "sideways", "reask")},
        "answer_cache": scenario.answer_cache,
        **{f"outages.{name}": hours for name, hours in scenario.outage_hours.items()},
    }
    for route in scenario.routes:
        at = f"routes.{route.name}"
        found |= {f"{at}.{name}": getattr(route, name).level for name in TOKENS}
        found |= {f"{at}.turns": route.turns.level, f"{at}.failed_attempts": route.failed_attempts}
        found |= {f"{at}.handoff": route.handoff, f"{at}.price": KNOWN_ONE}
        found |= {f"{at}.usd_per_query": KNOWN_ONE if route.usd_per_query is None else route.usd_per_query.level}
        found |= {f"{at}.call_ms": KNOWN_ONE if route.call_ms is None else route.call_ms.level}
        found |= {f"{at}.tool_ms": route.tool_ms.level}
    return found


def _require_whole(row: Mapping[str, float], where: str) -> None:
    if not row or min(row.values()) < 0 or abs(sum(row.values()) - 1.0) > ROUNDING:
        raise DataError(f"{where} adds up to {sum(row.values()):.6g}; wanted shares, none below 0, that add up to 1.")
