"""Anthropic's messages, as a stream of neutral events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING

from agents.models.anthropic_request import arguments, lacking, wants_any_json
from agents.models.upstream import Upstream, tame
from agents.models.wire import closing, failures, model_error, told
from agents.types import Event, Finished, FinishReason, ModelRequest, TextDelta, ToolCallDelta
from router.prices import Usage

if TYPE_CHECKING:
    from anthropic.types import RawMessageStreamEvent

DRAIN_S = 0.1  # reading to the end keeps the connection; a server that lingers after the end loses it
REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class AnthropicModel:
    """Messages as a stream, over the Anthropic SDK; one attempt a request, and no retry inside.

    caches_prompts: mark the end of the system message and of the tools, so that a following request reads them from the
    provider's cache at its lower price.
    """

    simulated = False

    def __init__(self, provider: str, upstream: Upstream, *, caches_prompts: bool = False) -> None:
        from anthropic import AnthropicError, AsyncAnthropic

        self.provider = provider
        self._base_url = upstream.base_url
        self._caches_prompts = caches_prompts
        self._failures: tuple[type[Exception], ...] = (AnthropicError, *failures())
        # no spans of its own: the gateway makes one an attempt, for every provider alike
        self._client = AsyncAnthropic(**upstream.client_arguments(), open_telemetry=False)
        self._messages = self._client.messages
        self._takes_temperature = "temperature" in signature(self._messages.create).parameters
        tame(self._client)

    def __repr__(self) -> str:
        return f"AnthropicModel({self.provider!r}, base_url={self._base_url!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer; see `Model.stream`. An answer is whole once `message_stop` has come."""
        if wants_any_json(request):
            raise told(
                self.provider, kind="bad_request", found="JSON without a schema, for which Anthropic has no word"
            )
        reading = _Reading(model=request.model)
        started = False
        try:
            written = arguments(request, caches_prompts=self._caches_prompts, takes_temperature=self._takes_temperature)
            events = await self._messages.create(**written)
            started = True  # the request was taken: what is unreadable from here on is the provider's
            async with closing(events):
                async for raw in events:
                    for event in reading.take(raw):
                        yield event
                    if reading.stopped:
                        await _drain(events)
                        break
        except self._failures as err:
            if not reading.stopped:
                raise model_error(err, provider=self.provider, started=started) from None
        if not reading.stopped:
            raise told(self.provider, kind="broken_stream", found="a stream that ended before its answer did")
        yield reading.finished()

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        """Parameters, in OpenAI's names, that Anthropic has no word for; `temperature` is among them from SDK 2 on."""
        return lacking(request, takes_temperature=self._takes_temperature)

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()


async def _drain(events: AsyncIterator[object]) -> None:
    import anyio

    with anyio.move_on_after(DRAIN_S):
        async for _ in events:
            pass


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What has been read of one answer. calls: block number to the number of its tool call, in order."""

    model: str
    reason: str = "end_turn"
    stopped: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)

    def take(self, raw: RawMessageStreamEvent) -> Iterator[Event]:
        """The events of one raw event. Raises ValueError for one of another shape."""
        try:
            events = list(self._events(raw))
        except (AttributeError, KeyError, TypeError) as err:  # the SDK builds events without checking what they hold
            raise ValueError("an event of another shape") from err
        yield from events

    def _events(self, raw: RawMessageStreamEvent) -> Iterator[Event]:
        if raw.type == "message_start":
            self.model = raw.message.model or self.model
            self._count(raw.message.usage)
        elif raw.type == "content_block_start" and raw.content_block.type == "tool_use":
            number = self.calls.setdefault(raw.index, len(self.calls))
            yield ToolCallDelta(index=number, call_id=raw.content_block.id, name=raw.content_block.name)
        elif raw.type == "content_block_delta" and raw.delta.type == "text_delta":
            if raw.delta.text:
                yield TextDelta(text=raw.delta.text)
        elif raw.type == "content_block_delta" and raw.delta.type == "input_json_delta":
            # A block that is no call of ours (a tool that the provider runs itself) has arguments too.
            if raw.index in self.calls and raw.delta.partial_json:
                yield ToolCallDelta(index=self.calls[raw.index], arguments=raw.delta.partial_json)
        elif raw.type == "message_delta":
            self.reason = raw.delta.stop_reason or self.reason
            self._count(raw.usage)
        elif raw.type == "message_stop":
            self.stopped = True

    def _count(self, usage: object) -> None:
        """Counts are running totals, and an event leaves out what it has nothing new about."""
        told_counts = {name: getattr(usage, name, None) for name in COUNTS}
        self.counts |= {name: count for name, count in told_counts.items() if isinstance(count, int)}

    def finished(self) -> Finished:
        """The end. Anthropic's input tokens leave out what was read from or written to its cache; ours hold all."""
        usage = None
        if "input_tokens" in self.counts:
            fresh, output, read, written = (self.counts.get(name, 0) for name in COUNTS)
            usage = Usage(
                input_tokens=fresh + read + written,
                output_tokens=output,
                cache_read_tokens=read,
                cache_write_tokens=written,
            )
        return Finished(reason=REASONS.get(self.reason, "stop"), model=self.model, usage=usage)
