"""The way of one answer: the route's model, its fallbacks, an answer from before, a fixed message; always one of them.

An answer is one upstream's whole or it is void: where a stream breaks after its first piece, `Restarted` says so and
the next one begins from nothing. An upstream's fault never raises.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from datetime import UTC, date, datetime

import numpy as np

from agents.gateway.answers import AnswerCache, CachedAnswer
from agents.gateway.costs import Cost
from agents.gateway.events import (
    AnswerRecord,
    Broken,
    ChatOptions,
    ChatRequest,
    Done,
    Ending,
    GatewayEvent,
    Piece,
    Refused,
    Restarted,
    Started,
)
from agents.gateway.lanes import Lane
from agents.gateway.retries import RetryBudget, retry_wait_s
from agents.gateway.settings import Settings
from agents.gateway.turn import Turn
from agents.models.protocol import Model
from router.errors import DataError, ModelError
from router.prices import PriceTable
from router.types import Route

__all__ = [
    "AnswerRecord",
    "Broken",
    "ChatOptions",
    "ChatRequest",
    "Done",
    "Gateway",
    "GatewayEvent",
    "Lane",
    "Piece",
    "Refused",
    "Restarted",
    "Started",
]

logger = logging.getLogger(__name__)


class Gateway:
    """Answers requests through the models of a route table. For one event loop; share it between all requests.

    models: by the provider's name, as routes name it.   clock: seconds, never going back; sleep: the waits of retries.
    today: the day whose prices hold.   on_record: called once per answer, with its record, however it ended.
    Raises DataError where a route's provider has no model.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        models: Mapping[str, Model],
        *,
        prices: PriceTable,
        settings: Settings | None = None,
        on_record: Callable[[AnswerRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        rng: np.random.Generator | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._routes = {route.name: route for route in routes}
        lacking = sorted({route.provider for route in self._routes.values()} - set(models))
        if lacking:
            raise DataError(
                f"no model for provider {', '.join(lacking)}; there is one for {', '.join(models) or 'none'}."
            )
        self.cost = Cost(prices, today=today)
        self.lanes: Mapping[str, Lane] = {
            provider: Lane(model, provider=provider, settings=self.settings, cost=self.cost, clock=clock)
            for provider, model in models.items()
        }
        self.answers = AnswerCache(self.settings, clock=clock)
        self.budget = RetryBudget(self.settings, clock=clock)
        self._on_record = on_record
        self._clock = clock
        self._sleep = sleep
        self._rng = np.random.default_rng() if rng is None else rng

    async def answer(
        self,
        chat: ChatRequest,
        *,
        route: str,
        user: str,
        reuse: bool = True,
        restarts: bool = True,
        on_record: Callable[[AnswerRecord], None] | None = None,
    ) -> AsyncGenerator[GatewayEvent, None]:
        """The events of one answer: Started, pieces, Done; or Refused, or Broken. Close it to stop paying for it.

        user: whose cache is asked; "" has none. A provider is told its hash only.   reuse: whether a repeat may be
        served from the cache.   restarts: whether an answer that breaks off may begin anew; else it ends in Broken, and
        nobody is asked, or paid, for another.   on_record: called with the record, however the answer ended, beside the gateway's own.
        Raises DataError where there is no such route, and nothing for a fault of the upstreams.
        """
        turn = Turn(
            chat, user=user, routes=self._chain(route), settings=self.settings, clock=self._clock, restarts=restarts
        )
        with self._recorded(turn, on_record):
            async with aclosing(self._events(turn, reuse=reuse)) as events:
                async for event in events:
                    yield event
        yield self._end(turn, on_record)

    def _chain(self, name: str) -> tuple[Route, ...]:
        if name not in self._routes:
            raise DataError(f"there is no route {name!r}; wanted one of {', '.join(self._routes)}.")
        route = self._routes[name]
        return (route, *(self._routes[fallback] for fallback in route.fallback))

    async def _events(self, turn: Turn, *, reuse: bool) -> AsyncGenerator[GatewayEvent, None]:
        """A repeat's answer, where it was given a moment ago; else what the models say, and at last what is said for them."""
        repeat = self.answers.fresh(turn.chat, user=turn.user, route=turn.requested.name) if reuse else None
        if repeat is not None:
            for event in turn.from_cache(repeat):
                yield event
            return
        async with aclosing(self._tries(turn)) as tries:
            async for route in tries:
                async with self.lanes[route.provider].attempt(turn, route) as events:
                    async for event in events:
                        yield event
        if turn.ending is None:
            for event in self._last_resort(turn):
                yield event

    def _last_resort(self, turn: Turn) -> Iterator[GatewayEvent]:
        """What is said where no model answered: an answer from before, or that nobody answers."""
        answer = self.answers.stale(turn.chat, user=turn.user)
        return turn.fixed() if answer is None else turn.from_cache(answer)

    async def _tries(self, turn: Turn) -> AsyncGenerator[Route, None]:
        """The routes to try until the turn has an ending, each when its time has come: the requested one, again where that
        makes sense and the budget has it, then its fallbacks.
        """
        self.budget.request()
        for route in turn.routes:
            for retry in itertools.count(1):
                if turn.limit_s(route) < self.settings.attempt_min_s:
                    break
                yield route
                if turn.ending is not None:
                    return
                if turn.error is None or route is not turn.requested:
                    break
                wait_s = self._retry_wait_s(turn, route, error=turn.error, retry=retry)
                if wait_s is None:
                    break
                await self._sleep(wait_s)

    def _retry_wait_s(self, turn: Turn, route: Route, *, error: ModelError, retry: int) -> float | None:
        wait_s = retry_wait_s(error, retry=retry, settings=self.settings, rng=self._rng)
        if wait_s is None or wait_s + self.settings.attempt_min_s > turn.limit_s(route):
            return None
        if self.lanes[route.provider].breaker.state == "open" or not self.budget.take():
            return None
        return wait_s

    def _keep(self, turn: Turn) -> None:
        """Store a whole answer in words of the model that was asked for, as it would come again."""
        answered = turn.attempts[-1]
        if answered.route != turn.requested.name or answered.other_model or turn.text is None:
            return
        answer = CachedAnswer(
            route=answered.route,
            model=answered.served_model or answered.model,
            provider=answered.provider,
            text=turn.text,
            simulated=answered.simulated,
        )
        self.answers.store(turn.chat, answer, user=turn.user)

    @contextmanager
    def _recorded(self, turn: Turn, on_record: Callable[[AnswerRecord], None] | None) -> Iterator[None]:
        """Put an answer on record that does not come to its end."""
        try:
            yield
        except (GeneratorExit, asyncio.CancelledError):
            self._finish(turn, "cancelled", on_record)
            raise
        except BaseException:
            self._finish(turn, "failed", on_record)
            raise

    def _end(self, turn: Turn, on_record: Callable[[AnswerRecord], None] | None) -> Done | Refused | Broken:
        """Put an answer on record that has come to its end; the event that says which."""
        assert turn.ending is not None
        record = self._finish(turn, turn.ending, on_record)
        if record.ending == "refused":
            return Refused(why=str(turn.error), record=record)
        if record.ending == "broken":
            return Broken(why=turn.why, record=record)
        return Done(record=record)

    def _finish(self, turn: Turn, ending: Ending, on_record: Callable[[AnswerRecord], None] | None) -> AnswerRecord:
        if ending == "model":
            self._keep(turn)
        record = turn.record(ending)
        for taker in (self._on_record, on_record):
            if taker is None:
                continue
            try:
                taker(record)
            except Exception:  # whoever keeps the records must not cost a person the answer
                logger.exception("the record of an answer on route %s could not be taken", record.route)
        return record
