"""One attempt at one model: watched by the clock, closed for certain, and put on record whatever becomes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from agents.gateway.costs import Cost, same_model
from agents.models.protocol import Model
from agents.types import Event, Finished, ModelRequest, TextDelta, ToolCallDelta
from router.errors import ModelError
from router.prices import Usage
from router.types import Route

logger = logging.getLogger(__name__)

Delta = TextDelta | ToolCallDelta
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
NOT_SENT = ("circuit_open", "bulkhead_full")
READ_AHEAD = 16  # events: what may lie between the provider and a slow reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait for the provider, in seconds: for the first event, between two, and in total."""

    first_event_s: float
    between_events_s: float
    total_s: float
    close_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """What became of one attempt. model: the one asked; served_model: the one that answered, as far as it said so.

    outcome: "ok", the kind of the ModelError, "cancelled" where the reader left, or why it was never sent. usage and
    cost_usd: None where they are not known, with cost_reason saying why; only what was not sent is known to cost nothing.
    first_event_ms: None where nothing came.   streamed: whether anything was passed on to the reader.
    """

    route: str
    model: str
    provider: str
    outcome: Outcome
    served_model: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    cost_reason: str | None = None
    latency_ms: float = 0.0
    first_event_ms: float | None = None
    streamed: bool = False
    simulated: bool = False

    @property
    def other_model(self) -> bool:
        """Whether another model answered than the one that was asked."""
        return self.served_model is not None and not same_model(asked=self.model, served=self.served_model)


def not_sent(route: Route, outcome: Literal["circuit_open", "bulkhead_full"]) -> AttemptRecord:
    """The record of an attempt that was not made."""
    none = Usage(input_tokens=0, output_tokens=0)
    return AttemptRecord(
        route=route.name, model=route.model, provider=route.provider, outcome=outcome, usage=none, cost_usd=0.0
    )


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
        self._events: asyncio.Queue[Event | ModelError] = asyncio.Queue(READ_AHEAD)
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
            while self.finished is None:
                event = await self._next()
                if not isinstance(event, Finished) and not _says_something(event):
                    continue
                if self._first_event_s is None:
                    self._first_event_s = self._clock() - began
                if isinstance(event, Finished):
                    self.finished = event
                else:
                    self.streamed = True
                    yield event
        except ModelError as err:
            self.error = err
        finally:
            self._latency_s = self._clock() - began
            await self._close(reader)

    def record(self, cost: Cost) -> AttemptRecord:
        """What became of it."""
        usage = self.finished.usage if self.finished else None
        served = self.finished.model if self.finished else None
        cost_usd, reason = cost.of(usage, asked=self._route.model, served=served, tier=self._route.tier)
        return AttemptRecord(
            route=self._route.name,
            model=self._route.model,
            provider=self._route.provider,
            outcome=self.outcome,
            served_model=served,
            usage=usage,
            cost_usd=cost_usd,
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

    async def _next(self) -> Event:
        """The next event. Only waiting for the provider counts as time, not what the reader does in between."""
        item = await self._wait() if self._events.empty() else self._events.get_nowait()
        if isinstance(item, ModelError):
            raise item
        return item

    async def _wait(self) -> Event | ModelError:
        if self._first_event_s is None:
            what, limit_s = "for a first event", self._limits.first_event_s - self._waited_s
        else:
            what, limit_s = "for the next event", self._limits.between_events_s
        left_s = self._limits.total_s - self._waited_s
        if left_s < limit_s:
            what, limit_s = "for the end", left_s
        before = self._clock()
        try:
            async with asyncio.timeout(limit_s):
                return await self._events.get()
        except TimeoutError as err:
            raise self._failure(f"silent for {limit_s:.1f} s, waiting {what}", kind="timeout") from err
        finally:
            self._waited_s += self._clock() - before

    async def _read(self) -> None:
        """Read the stream to its end and close it; hand over the events, then why there are no more."""
        try:
            async with aclosing(self._model.stream(self._request)) as stream:
                async for event in stream:
                    await self._events.put(event)
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
        await self._events.put(failure)

    async def _close(self, reader: asyncio.Task[None]) -> None:
        """Close the stream upstream. A stream that is at its end closes itself; neither may take long."""
        self._closing = True
        if self.finished is None:
            reader.cancel()
        done, _ = await asyncio.wait({reader}, timeout=self._limits.close_s)
        if not done:
            reader.cancel()
            logger.warning("route %s: %s does not let go of a stream", self._route.name, self._route.provider)

    def _failure(self, what: str, *, kind: str) -> ModelError:
        return ModelError(f"route {self._route.name} ({self._route.provider} {self._route.model}): {what}.", kind=kind)


def _says_something(delta: Delta) -> bool:
    """Whether a person or a tool gets anything from it: keep-alives and opening chunks are no first event."""
    if isinstance(delta, TextDelta):
        return delta.text != ""
    return bool(delta.call_id or delta.name or delta.arguments)
