"""The way to one provider: its model, and the breaker and the bulkhead that guard it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from agents.gateway.attempt import Attempt, Limits
from agents.gateway.attempt_record import not_sent
from agents.gateway.breaker import Breaker, Permit, Verdict
from agents.gateway.bulkhead import Bulkhead
from agents.gateway.costs import Cost
from agents.gateway.events import GatewayEvent, Restarted, Started
from agents.gateway.settings import Settings
from agents.gateway.turn import Turn
from agents.models.protocol import Model
from router.errors import ModelError
from router.types import Route

logger = logging.getLogger(__name__)


class Lane:
    """Attempts at one provider. `breaker.state`, `breaker.openings`, `bulkhead.active` and `.waiting` are for metrics."""

    def __init__(
        self, model: Model, *, provider: str, settings: Settings, cost: Cost, clock: Callable[[], float]
    ) -> None:
        self.breaker = Breaker(settings, clock=clock)
        self.bulkhead = Bulkhead(settings, provider=provider)
        self._model = model
        self._settings = settings
        self._cost = cost
        self._clock = clock
        self._locked_out = False

    @asynccontextmanager
    async def attempt(self, turn: Turn, route: Route) -> AsyncGenerator[AsyncIterator[GatewayEvent], None]:
        """The events of one attempt, to be read within the block: none where breaker or bulkhead do not let it through.

        `turn` knows at the end of the block what became of it.
        """
        by = self._clock() + turn.limit_s(route)
        permit = await self._admitted(turn, route, by=by)
        if permit is None:
            yield _none()
            return
        limit_s = by - self._clock()
        request = turn.chat.to_model(route.model, user=_hash(turn.user))
        attempt = Attempt(self._model, request, route=route, limits=self._limits(limit_s), clock=self._clock)
        try:
            async with aclosing(self._events(attempt, turn, route, permit)) as events:
                yield events
        finally:
            self.bulkhead.leave()
            self.breaker.settle(permit, self._verdict(attempt, limit_s))
            turn.after(attempt, attempt.record(self._cost))
            self._log(attempt, route)

    async def _events(
        self, attempt: Attempt, turn: Turn, route: Route, permit: Permit
    ) -> AsyncGenerator[GatewayEvent, None]:
        """Who speaks, with the first piece or at the end of an answer without any, and the pieces."""
        begun = False
        async with aclosing(attempt.deltas()) as deltas:
            async for delta in deltas:
                if not begun:
                    begun = True
                    yield self._begins(turn, route, permit)
                yield turn.piece(delta)
        if attempt.finished is not None and not begun:
            yield self._begins(turn, route, permit)

    async def _admitted(self, turn: Turn, route: Route, *, by: float) -> Permit | None:
        """Leave to make one attempt, with a slot of the bulkhead; None, and `turn` knows why, where there is none."""
        if self.breaker.state == "open":
            turn.skipped(not_sent(route, "circuit_open"))
            return None
        try:
            await self.bulkhead.enter(wait_s=by - self._clock())
        except ModelError as err:
            logger.info("route %s: %s", route.name, err)
            turn.skipped(not_sent(route, "bulkhead_full"))
            return None
        permit = self.breaker.admit()
        if permit is None:
            self.bulkhead.leave()
            turn.skipped(not_sent(route, "circuit_open"))
        return permit

    def _begins(self, turn: Turn, route: Route, permit: Permit) -> Started | Restarted:
        self.breaker.speaks(permit)
        return turn.speaks(route.name, model=route.model, provider=route.provider, simulated=self._model.simulated)

    def _limits(self, first_event_s: float) -> Limits:
        return Limits(
            first_event_s=first_event_s,
            between_events_s=self._settings.between_events_s,
            total_s=self._settings.total_s,
            close_s=self._settings.close_s,
        )

    def _verdict(self, attempt: Attempt, limit_s: float) -> Verdict:
        """What an attempt says about the provider. One is not to blame for the time that others have used up."""
        if attempt.finished is not None:
            return "success"
        if attempt.error is None or not attempt.error.retryable:
            return "neutral"
        hurried = not attempt.streamed and limit_s < self._settings.failover_reserve_s
        return "neutral" if attempt.error.kind == "timeout" and hurried else "failure"

    def _log(self, attempt: Attempt, route: Route) -> None:
        """A locked door is logged once until it opens again: it is the same for every request, and someone must act."""
        if attempt.error is not None and attempt.error.kind == "unauthorised":
            if not self._locked_out:
                logger.error("%s does not accept our key; see `weighbridge doctor`.", route.provider)
            self._locked_out = True
        elif attempt.error is not None:
            logger.info("route %s: %s", route.name, attempt.outcome)
        elif attempt.finished is not None:
            self._locked_out = False


async def _none() -> AsyncGenerator[GatewayEvent, None]:
    """No event."""
    nothing: tuple[GatewayEvent, ...] = ()
    for event in nothing:
        yield event


def _hash(user: str) -> str | None:
    """What a provider is told of a user: enough to tell two apart, too little to know either."""
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32] if user else None
