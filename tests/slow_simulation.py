"""The cost simulator a second, slower way: one message after another, one call after another, nothing but events.

Written from what the records of `eval.simulate.scenario` say of themselves. Everything is drawn, whole tokens too; a call
costs what `router.prices` says that such a call costs. Where the records leave it open: a second try meets other outages
than the first one did, a road that stands in for another hands nothing over, and what nobody answers is a bad answer.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import numpy as np

from eval.simulate.amounts import Assumption, Constant, Empirical, Lognormal, Quantity
from eval.simulate.scenario import Baseline, QueryClass, RouteUse, Scenario, sure
from eval.simulate.turns import FixedTurns, PoissonTurns
from router.prices import Price, PriceTable, Usage

Tally = defaultdict[str, float]  # of one conversation: messages, dollars, tokens, and so on, by name
FIRST, SAME, SWITCHED = "first", "same", "switched"
MONTH = date(2026, 11, 1)  # of 30 days


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A ratio of two sums over conversations, and its standard error."""

    value: float
    error: float

    def agrees(self, expected: float, *, errors: float = 4.0, slack: float = 1e-9) -> bool:
        """Whether `expected` lies within so many standard errors; slack: of the expectation itself, relative."""
        return abs(self.value - expected) <= errors * self.error + slack * max(abs(expected), 1e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowOutcome:
    """What came of many conversations, per message; accuracy and good, of the messages that no answer cache caught.

    roads: where messages were decided to go. answers: paid for. Both by route.
    """

    usd: Seen
    good: Seen
    accuracy: Seen
    reasks: Seen
    unanswered: Seen
    cached: Seen
    roads: dict[str, Seen]
    answers: dict[str, Seen]


def play_slowly(
    scenario: Scenario, prices: PriceTable, *, conversations: int, seed: int, baseline: Baseline | None = None
) -> SlowOutcome:
    """Play so many conversations under the router, or under a baseline, every assumption at its median.

    They are played twice: how warm traffic keeps a prompt depends on how many answers a message takes, which the first
    pass counts.
    """
    counting = _Play(scenario, prices, Random(seed), baseline=baseline, load=None)
    counted = [counting.conversation() for _ in range(2 * conversations)]
    load = {route.name: _ratio(counted, f"answers {route.name}", "messages").value for route in scenario.routes}
    playing = _Play(scenario, prices, Random(seed + 1), baseline=baseline, load=load)
    rows = [playing.conversation() for _ in range(conversations)]
    return SlowOutcome(
        usd=_ratio(rows, "usd", "messages"),
        good=_ratio(rows, "good", "arrived"),
        accuracy=_ratio(rows, "right", "arrived"),
        reasks=_ratio(rows, "reasks", "messages"),
        unanswered=_ratio(rows, "unanswered", "messages"),
        cached=_ratio(rows, "read", "sent"),
        roads={route.name: _ratio(rows, f"road {route.name}", "messages") for route in scenario.routes},
        answers={route.name: _ratio(rows, f"answers {route.name}", "messages") for route in scenario.routes},
    )


def _ratio(rows: Sequence[Tally], over: str, under: str) -> Seen:
    """Conversations are independent, messages of one are not: the error is that of a ratio of means of conversations."""
    top, bottom = (np.array([row[name] for row in rows], dtype=np.float64) for name in (over, under))
    if not bottom.any():
        return Seen(value=0.0, error=0.0)
    value = float(top.sum() / bottom.sum())
    left = top - value * bottom
    return Seen(value=value, error=float(np.sqrt((left**2).sum()) / bottom.sum()))


class _Play:
    """One policy at work. `load`: route -> answers per message, None to count them and draw no tokens."""

    def __init__(
        self,
        scenario: Scenario,
        prices: PriceTable,
        rng: Random,
        *,
        baseline: Baseline | None,
        load: dict[str, float] | None,
    ) -> None:
        self.scenario, self.prices, self.rng, self.baseline, self.load = scenario, prices, rng, baseline, load
        self.routes = {route.name: route for route in scenario.routes}
        self.days = [scenario.month + timedelta(days=k) for k in range(monthrange(*scenario.month.timetuple()[:2])[1])]
        self.dated = {
            route.name: [prices.on(route.model, day) for day in self.days]
            for route in scenario.routes
            if route.usd_per_query is None
        }
        self.hour = 0
        self.dark: set[str] = set()
        self.tally: Tally = defaultdict(float)

    # --- who asks, and where it goes

    def conversation(self) -> Tally:
        """Messages of one person, one after the other."""
        talk, self.tally = self.scenario.conversation, defaultdict(float)
        asked, road = self._class(), ""
        state = FIRST
        while True:
            if state == FIRST or self.baseline is not None or not self._happens(talk.stickiness.value):
                decided = self._decide(asked)
                state = state if state == FIRST else SAME if decided == road else SWITCHED
                road = decided
            else:
                state = SAME
            self._message(asked, road, state)
            if self._happens(1.0 / talk.messages.value):
                return self.tally
            state = SAME
            if not self._happens(talk.same_need.value):
                asked = self._class()

    def _class(self) -> QueryClass:
        queries = self.scenario.queries
        return self.rng.choices(queries, weights=[entry.share.value for entry in queries])[0]

    def _decide(self, asked: QueryClass) -> str:
        if self.baseline is not None:
            row = {self.baseline.route: 1.0} if self.baseline.route else self.baseline.sends.get(asked.name)
            return asked.needs if row is None else self._one_of({str(name): share for name, share in row.items()})
        if asked.sends is not None:
            return self._one_of(dict(asked.sends))
        counts = self.scenario.counts
        if counts is not None:
            at = counts.nearest(self.scenario.router.threshold)
            row_of_class = counts.n[at, counts.classes.index(asked.name)].tolist()
            return self._one_of(dict(zip(counts.routes, row_of_class, strict=True)))
        others = [entry for entry in self.scenario.queries if entry.needs != asked.needs and entry.share.value > 0]
        if not others or self._happens(self.scenario.router.accuracy.value):
            return asked.needs
        return self.rng.choices(others, weights=[entry.share.value for entry in others])[0].needs

    # --- what becomes of a message

    def _message(self, asked: QueryClass, road: str, state: str) -> None:
        scenario, tally = self.scenario, self.tally
        tally["messages"] += 1
        if self._happens(scenario.answer_cache.value):
            return
        tally["arrived"] += 1
        tally["right"] += road == asked.needs
        tally[f"road {road}"] += 1
        self.hour = self.rng.choices(range(24), weights=scenario.traffic_by_hour)[0]
        by, good = self._serve(asked, road, state)
        tally["unanswered"] += by is None
        tally["good"] += good
        while not good and self._happens(scenario.bad_answer.reask.value):
            tally["reasks"] += 1
            again = road if self.baseline is not None else asked.needs
            _, good = self._serve(asked, again, SAME if again == road else SWITCHED)
            road = again

    def _serve(self, asked: QueryClass, road: str, state: str) -> tuple[str | None, bool]:
        """One try: the road that took it up, None for none, and whether what came of it in the end is good."""
        hours = 24 * len(self.days)
        outages = self.scenario.outage_hours
        self.dark = {name for name, lasts in outages.items() if self._happens(lasts.value / hours)}
        elsewhere = FIRST if state == FIRST else SWITCHED
        first = by = self._try(road, state)
        if by == road != asked.needs and self._happens(self.routes[road].handoff.value):
            road, by = asked.needs, self._try(asked.needs, elsewhere)
        if road == asked.needs:
            for helper, share in asked.also.items():
                if self._happens(share):
                    self._try(helper, elsewhere)
        return first, self._good(asked, by)

    def _try(self, road: str, state: str) -> str | None:
        """The road that answers in the end; None where its fallbacks end as well."""
        at: str | None = road
        while at is not None:
            route = self.routes[at]
            here = state if at == road or state == FIRST else SWITCHED
            for _ in range(0 if route.provider in self.dark else route.retries + 1):
                if not self._happens(route.failed_attempts.value):
                    self._pay(route, here, part=1.0)
                    return at
                self._pay(route, here, part=route.billed_when_failed)
            at = route.fallback
        return None

    def _good(self, asked: QueryClass, by: str | None) -> bool:
        if by is None:
            return False
        rule = self.scenario.bad_answer
        there, wanted = self._strength(self.routes[by]), self._strength(self.routes[asked.needs])
        if asked.name in self.routes[by].good:
            return self._happens(self.routes[by].good[asked.name])
        if by == asked.needs:
            return self._happens(rule.right.value)
        return self._happens((rule.weak if there < wanted else rule.strong if there > wanted else rule.sideways).value)

    def _strength(self, route: RouteUse) -> float:
        if route.strength is not None:
            return route.strength
        if route.usd_per_query is not None:
            return route.usd_per_query.mean
        return self.dated[route.name][0].output_cost_per_token

    # --- what an answer costs

    def _pay(self, route: RouteUse, state: str, *, part: float) -> None:
        self.tally[f"answers {route.name}"] += part
        if self.load is None or part == 0:
            return
        if route.usd_per_query is not None:
            self.tally["usd"] += part * self._draw(route.usd_per_query)
            return
        usd, sent, read = self._answer(route, state)
        for name, value in (("usd", usd), ("sent", sent), ("read", read)):
            self.tally[name] += part * value

    def _answer(self, route: RouteUse, state: str) -> tuple[float, int, int]:
        """Dollars, tokens sent and tokens read from a cache, of all the calls of one answer."""
        cache, price = self.scenario.prompt_cache, self.rng.choice(self.dated[route.name])
        fixed = self._tokens(route.system_tokens) + self._tokens(route.tool_schema_tokens)
        history = 0 if state == FIRST else self._tokens(route.history_tokens)
        size, held = fixed + history + self._tokens(route.message_tokens), 0
        if route.caches_prompts and state == SAME and self._happens(cache.in_time.value):
            held = fixed + history
        elif route.caches_prompts and self._warm(route):
            held = fixed
        usd, sent, read, calls = 0.0, 0, 0, self._calls(route)
        for call in range(calls):
            output = self._tokens(route.output_tokens)
            written = size - held if route.caches_prompts else 0
            usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=held, cache_write_tokens=written)
            usd, sent, read = usd + price.cost_usd(usage, tier=route.tier), sent + size, read + held
            if call < calls - 1:
                held = size if route.caches_prompts and self._happens(cache.loop_hit.value) else 0
                size += output + self._tokens(route.tool_result_tokens)
        return usd, sent, read

    def _warm(self, route: RouteUse) -> bool:
        """Whether somebody else's answer on this road ended less than the cache's minutes ago."""
        assert self.load is not None
        hours = self.scenario.traffic_by_hour
        per_day = self.scenario.queries_per_month.value * self.load[route.name] / len(self.days)
        per_minute = per_day * hours[self.hour] / sum(hours) / 60
        return per_minute > 0 and self.rng.expovariate(per_minute) < self.scenario.prompt_cache.minutes

    def _calls(self, route: RouteUse) -> int:
        turns = route.turns
        if isinstance(turns, FixedTurns):
            return self.rng.choices(range(1, len(turns.weights) + 1), weights=turns.weights)[0]
        assert isinstance(turns, PoissonTurns)
        while True:  # what is cut off is drawn again
            calls, left = 1, self.rng.expovariate(1.0)
            while left < turns.mean.value - 1.0:
                calls, left = calls + 1, left + self.rng.expovariate(1.0)
            if calls <= turns.most:
                return calls

    def _tokens(self, quantity: Quantity) -> int:
        return round(self._draw(quantity))

    def _draw(self, quantity: Quantity) -> float:
        amount = quantity.amount
        if isinstance(amount, Lognormal):
            return amount.median * math.exp(self.rng.gauss(0.0, math.log(amount.p95 / amount.median) / 1.6448536))
        if isinstance(amount, Empirical):
            return self.rng.choice(amount.values)
        assert isinstance(amount, Constant)
        return amount.value

    def _one_of(self, shares: dict[str, float]) -> str:
        return self.rng.choices(list(shares), weights=list(shares.values()))[0]

    def _happens(self, probability: float) -> bool:
        return self.rng.random() < probability


# --- a small scenario of whole numbers, which tests change


def price(
    model: str,
    usd_per_mtok: tuple[float, float],
    *,
    read: float | None = None,
    write: float | None = None,
    batch: tuple[float, float] | None = None,
    long: tuple[int, float, float] | None = None,
    since: date = date(2026, 1, 1),
) -> Price:
    """A price in dollars per million tokens: input and output; `long` is a limit, then input and output above it."""
    return Price(
        model=model,
        effective_from=since,
        source="by hand",
        input_cost_per_token=usd_per_mtok[0] * 1e-6,
        output_cost_per_token=usd_per_mtok[1] * 1e-6,
        cache_read_input_token_cost=None if read is None else read * 1e-6,
        cache_creation_input_token_cost=None if write is None else write * 1e-6,
        input_cost_per_token_batches=None if batch is None else batch[0] * 1e-6,
        output_cost_per_token_batches=None if batch is None else batch[1] * 1e-6,
        long_context_above_tokens=None if long is None else long[0],
        input_cost_per_token_long_context=None if long is None else long[1] * 1e-6,
        output_cost_per_token_long_context=None if long is None else long[2] * 1e-6,
    )


def price_table(*prices: Price) -> PriceTable:
    """Those prices, by their models and in the order of their days."""
    models = dict.fromkeys(entry.model for entry in prices)
    return PriceTable(
        prices={
            name: tuple(
                sorted((entry for entry in prices if entry.model == name), key=lambda entry: entry.effective_from)
            )
            for name in models
        },
        where="by hand",
    )


def known(value: float) -> Assumption:
    """A number that is known and no share."""
    return Assumption(value=value)


def tokens(count: float) -> Quantity:
    """The same number of tokens (or milliseconds, or dollars) for every query."""
    return Quantity.of(Constant(value=count))


def spread(median: float, p95: float, *, off_by: float = 1.0) -> Quantity:
    """A number of tokens that differs from query to query."""
    return Quantity.of(Lognormal(median=median, p95=p95), off_by=off_by)


SMALL_PRICE = price("small", (1.0, 4.0), read=0.1, write=1.25, batch=(0.5, 2.0))
LARGE_PRICE = price("large", (10.0, 50.0), read=1.0, batch=(5.0, 25.0), long=(2_000, 20.0, 75.0))
OTHER_PRICE = price("other", (2.0, 8.0))
PRICES = price_table(SMALL_PRICE, LARGE_PRICE, OTHER_PRICE)
SMALL = RouteUse(
    name="small",
    model="small",
    provider="one",
    system_tokens=tokens(1_000),
    history_tokens=tokens(400),
    message_tokens=tokens(60),
    output_tokens=tokens(150),
)
LARGE = RouteUse(
    name="large",
    model="large",
    provider="two",
    system_tokens=tokens(1_000),
    history_tokens=tokens(400),
    message_tokens=tokens(60),
    output_tokens=tokens(250),
)
OTHER = RouteUse(
    name="other",
    model="other",
    provider="three",
    system_tokens=tokens(500),
    message_tokens=tokens(60),
    output_tokens=tokens(150),
)
TWO = Scenario(
    name="two",
    month=MONTH,
    queries_per_month=known(30_000),
    queries=(
        QueryClass(name="easy", share=sure(0.7), needs="small"),
        QueryClass(name="hard", share=sure(0.3), needs="large"),
    ),
    routes=(SMALL, LARGE),
    baselines=(Baseline(name="large for all", route="large"),),
    chance=False,
)
