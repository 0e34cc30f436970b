"""One attempt at one model: watched by the clock, closed for certain, and put on record whatever becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from agents.gateway.attempt_record import NOTHING, REFUSALS, AttemptRecord, CostRule, Outcome, not_sent
from agents.gateway.costs import Cost
from agents.gateway.inbox import Inbox
from agents.models.protocol import Model
from agents.types import Event, Finished, ModelRequest, TextDelta, ToolCallDelta
from router.errors import ModelError
from router.prices import Usage
from router.types import Route

__all__ = ["Attempt", "AttemptRecord", "Delta", "Limits", "not_sent"]

logger = logging.getLogger(__name__)

Delta = TextDelta | ToolCallDelta
READ_AHEAD = 16  # events: what may lie between the provider and a slow reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait for the provider, in seconds: for the first event, between two, and in total."""

    first_event_s: float
    between_events_s: float
    total_s: float
    close_s: float


class Attempt:
    """One attempt: read `deltas` to their end, or close them; then `error` and `record` say what happened.

    clock: seconds, never going back. The stream is read, and closed, by one task of its own: so a provider's library sees
    one task from begin to end whoever reads us, and one that will not be cancelled cannot hold us up.
    """

    def __init__(
        self, model: Model, request: ModelRequest, *, route: Route, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._model = model
        self._request = request
        self._route = route
        self._limits = limits
        self._clock = clock
        self._inbox: Inbox[Event | ModelError] = Inbox(READ_AHEAD)
        self._closing = False
        self._waited_s = 0.0
        self._first_event_s: float | None = None
        self._latency_s = 0.0
        self.finished: Finished | None = None
        self.error: ModelError | None = None
        self.streamed = False

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        """The pieces of the answer that say something. Ends, without raising, at the answer's end or at a failure."""
        began = self._clock()
        reader = asyncio.create_task(self._read())
        try:
            while self._inbox or await self._something():
                event = self._inbox.take()
                if isinstance(event, ModelError):
                    self.error = event
                    break
                if isinstance(event, Delta) and not _says_something(event):
                    continue
                if self._first_event_s is None:
                    self._first_event_s = self._clock() - began
                if isinstance(event, Finished):
                    self.finished = event
                    break
                self.streamed = True
                yield event
        finally:
            self._latency_s = self._clock() - began
            self._inbox.close()
            await self._close(reader)

    def record(self, cost: Cost) -> AttemptRecord:
        """What became of it."""
        served = self.finished.model if self.finished else None
        usage, cost_usd, rule, reason = self._paid(cost, served)
        return AttemptRecord(
            route=self._route.name,
            model=self._route.model,
            provider=self._route.provider,
            outcome=self.outcome,
            served_model=served,
            usage=usage,
            cost_usd=cost_usd,
            cost_rule=rule,
            cost_reason=reason,
            latency_ms=self._latency_s * 1e3,
            first_event_ms=None if self._first_event_s is None else self._first_event_s * 1e3,
            streamed=self.streamed,
            simulated=self._model.simulated,
        )

    @property
    def outcome(self) -> Outcome:
        """How it ended; "cancelled" where the reader left before that."""
        if self.finished is not None:
            return "ok"
        if self.error is None:
            return "cancelled"
        outcome: Outcome = self.error.kind  # type: ignore[assignment]  # ModelError.KINDS are all among them
        return outcome

    def _paid(self, cost: Cost, served: str | None) -> tuple[Usage | None, float | None, CostRule | None, str | None]:
        """Usage and dollars, why they are known, and why not."""
        if self.error is not None and self.error.kind in REFUSALS and self._first_event_s is None:
            return NOTHING, 0.0, "refused", None
        usage = self.finished.usage if self.finished else None
        cost_usd, reason = cost.of(usage, asked=self._route.model, served=served, tier=self._route.tier)
        return usage, cost_usd, None if cost_usd is None else "usage", reason

    async def _something(self) -> bool:
        """Wait for the provider, which is all that counts as time: what the reader does in between does not.

        False where it takes too long; `error` then says so.
        """
        limits, before = self._limits, self._clock()
        first = self._first_event_s is None
        usual_s = limits.first_event_s - self._waited_s if first else limits.between_events_s
        limit_s = min(usual_s, limits.total_s - self._waited_s)
        came = await self._inbox.item(limit_s)
        self._waited_s += self._clock() - before
        if not came:
            what = "the end" if limit_s < usual_s else "a first event" if first else "the next event"
            self.error = self._failure(f"silent for {limit_s:.1f} s, waiting for {what}", kind="timeout")
        return came

    async def _read(self) -> None:
        """Read the stream to its end and close it; hand over the events, then why there are no more."""
        try:
            async with aclosing(self._model.stream(self._request)) as stream:
                async for event in stream:
                    if self._inbox.full:
                        await self._inbox.room()
                    self._inbox.put(event)
                    if isinstance(event, Finished):
                        return
            failure = self._failure("the stream ended before the answer did", kind="broken_stream")
        except ModelError as err:
            failure = err
        except asyncio.CancelledError:
            if self._closing:
                raise
            failure = self._failure("the provider's library cancelled the stream", kind="broken_stream")
        except Exception as err:  # a provider's library may raise anything; for the person it is all one: no answer
            logger.error("route %s: %s raised %s", self._route.name, self._route.provider, type(err).__qualname__)
            failure = self._failure(f"{type(err).__qualname__} in the stream", kind="broken_stream")
        self._inbox.put(failure)

    async def _close(self, reader: asyncio.Task[None]) -> None:
        """Close the stream upstream. A stream that is at its end closes itself; neither may take long."""
        self._closing = True
        if self.finished is None:
            reader.cancel()
        if not reader.done():
            await asyncio.wait({reader}, timeout=self._limits.close_s)
        if not reader.done():
            reader.cancel()
            logger.warning("route %s: %s does not let go of a stream", self._route.name, self._route.provider)

    def _failure(self, what: str, *, kind: str) -> ModelError:
        return ModelError(f"route {self._route.name} ({self._route.provider} {self._route.model}): {what}.", kind=kind)


def _says_something(delta: Delta) -> bool:
    """Whether a person or a tool gets anything from it: keep-alives and opening chunks are no first event."""
    if isinstance(delta, TextDelta):
        return delta.text != ""
    return bool(delta.call_id or delta.name or delta.arguments)
