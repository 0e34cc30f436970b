"""The way to one provider: its model, and the breaker and the bulkhead that guard it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from agents.gateway.attempt import Attempt, Limits, not_sent
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

    async def attempt(self, turn: Turn, route: Route) -> AsyncGenerator[GatewayEvent, None]:
        """One attempt, if breaker and bulkhead let it through. Raises nothing: `turn` knows what became of it."""
        by = self._clock() + turn.limit_s(route)
        if self.breaker.state == "open":
            turn.skipped(not_sent(route, "circuit_open"))
            return
        try:
            async with self.bulkhead.slot(wait_s=by - self._clock()):
                permit = self.breaker.admit()
                if permit is None:
                    turn.skipped(not_sent(route, "circuit_open"))
                    return
                async with aclosing(self._send(turn, route, permit=permit, limit_s=by - self._clock())) as events:
                    async for event in events:
                        yield event
        except ModelError as err:  # of the bulkhead: an attempt keeps its own
            logger.info("route %s: %s", route.name, err)
            turn.skipped(not_sent(route, "bulkhead_full"))

    async def _send(
        self, turn: Turn, route: Route, *, permit: Permit, limit_s: float
    ) -> AsyncGenerator[GatewayEvent, None]:
        request = turn.chat.to_model(route.model, user=_hash(turn.user))
        attempt = Attempt(self._model, request, route=route, limits=self._limits(limit_s), clock=self._clock)
        begun = False
        try:
            async with aclosing(attempt.deltas()) as deltas:
                async for delta in deltas:
                    if not begun:
                        begun = True
                        self.breaker.speaks(permit)
                        yield self._speaks(turn, route)
                    yield turn.piece(delta)
        finally:
            self.breaker.settle(permit, self._verdict(attempt, limit_s))
            turn.after(attempt, attempt.record(self._cost))
            self._log(attempt, route)
        if attempt.finished is not None and not begun:
            yield self._speaks(turn, route)

    def _speaks(self, turn: Turn, route: Route) -> Started | Restarted:
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


def _hash(user: str) -> str | None:
    """What a provider is told of a user: enough to tell two apart, too little to know either."""
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32] if user else None
