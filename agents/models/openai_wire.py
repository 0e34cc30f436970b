"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama and many others, by their base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents.models.openai_request import arguments
from agents.models.upstream import Upstream, tame
from agents.models.wire import closing, failures, model_error, told
from agents.types import Event, Finished, FinishReason, ModelRequest, TextDelta, ToolCallDelta
from router.prices import Usage

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall
    from openai.types.completion_usage import CompletionUsage

REASONS: dict[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
CUT_REASONS = ("error", "abort", "cancelled")  # how some servers close an answer that they gave up


class OpenAIModel:
    """Chat completions as a stream, over the OpenAI SDK; one attempt a request, and no retry inside.

    Works with servers that tell no usage, send chunks without choices, or number all tool calls 0.
    """

    simulated = False

    def __init__(self, provider: str, upstream: Upstream) -> None:
        from openai import AsyncOpenAI, OpenAIError

        self.provider = provider
        self._base_url = upstream.base_url
        self._failures: tuple[type[Exception], ...] = (OpenAIError, *failures())
        self._client = AsyncOpenAI(**upstream.client_arguments())
        self._client.admin_api_key = None  # the SDK takes it from the environment
        self._completions = self._client.chat.completions  # loads a second's worth of modules: here, not in a request
        if not _is_openai(upstream.base_url):  # from the environment too; they are nobody else's to know
            self._client.organization = self._client.project = None
        tame(self._client)

    def __repr__(self) -> str:
        return f"OpenAIModel({self.provider!r}, base_url={self._base_url!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer; see `Model.stream`. An answer is whole once its finish reason has come."""
        reading = _Reading(model=request.model)
        started = False
        try:
            chunks = await self._completions.create(**arguments(request))
            started = True  # the request was taken: what is unreadable from here on is the provider's
            async with closing(chunks):
                async for chunk in chunks:
                    for event in reading.take(chunk):
                        yield event
        except self._failures as err:
            if reading.reason is None:  # what breaks after it, breaks nothing but the count of tokens
                raise model_error(err, provider=self.provider, started=started) from None
        if reading.reason is None or reading.reason in CUT_REASONS:
            raise told(self.provider, kind="broken_stream", found="a stream that ended before its answer did")
        yield reading.finished()

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        """None: it is the wire that these names come from. What a model refuses of them, its server says."""
        del request
        return ()

    async def close(self) -> None:
        """Give back connections."""
        await self._client.close()


def _is_openai(base_url: str) -> bool:
    return f".{urlsplit(base_url).hostname}".endswith(".api.openai.com")


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What has been read of one answer."""

    model: str
    reason: str | None = None
    usage: Usage | None = None
    calls: int = 0
    by_id: dict[str, int] = field(default_factory=dict)
    by_index: dict[int | None, int] = field(default_factory=dict)
    named: set[int] = field(default_factory=set)

    def take(self, chunk: ChatCompletionChunk) -> Iterator[Event]:
        """The events of one chunk. Raises ValueError for one of another shape."""
        try:
            events = list(self._events(chunk))
        except (AttributeError, TypeError) as err:  # the SDK builds chunks without checking what they hold
            raise ValueError("a chunk of another shape") from err
        yield from events

    def _events(self, chunk: ChatCompletionChunk) -> Iterator[Event]:
        self.model = chunk.model or self.model
        self.usage = _usage(chunk.usage) or self.usage
        for choice in chunk.choices or ():
            delta: ChoiceDelta | None = getattr(
                choice, "delta", None
            )  # required by the SDK's types, not by every server
            self.reason = choice.finish_reason or self.reason
            if delta is None:
                continue
            for text in (delta.content, delta.refusal):
                if text:
                    yield TextDelta(text=text)
            for piece in delta.tool_calls or ():
                yield self._call(piece)

    def _call(self, piece: ChoiceDeltaToolCall) -> ToolCallDelta:
        """A piece of a tool call under an index of our own: an id that is new begins a call, whatever its number."""
        name = (piece.function.name if piece.function else None) or None
        number = self.by_id.get(piece.id) if piece.id else self.by_index.get(piece.index)
        if number is None and not piece.id and not name and self.calls:
            number = self.calls - 1
        new = number is None
        if number is None:
            number, self.calls = self.calls, self.calls + 1
            self.by_id[piece.id or f"call_{number}"] = number
        self.by_index[piece.index] = number
        first_name = name if number not in self.named else None
        if first_name:
            self.named.add(number)
        return ToolCallDelta(
            index=number,
            call_id=(piece.id or f"call_{number}") if new else None,
            name=first_name,
            arguments=(piece.function.arguments if piece.function else None) or "",
        )

    def finished(self) -> Finished:
        """The end. Some servers say "stop" after calling tools, or a word of their own."""
        assert self.reason is not None
        reason = REASONS.get(self.reason, "tool_calls" if self.calls else "stop")
        return Finished(reason=reason, model=self.model, usage=self.usage)


def _usage(told_usage: CompletionUsage | None) -> Usage | None:
    """Tokens as the provider counts them; None where it does not. Cached tokens never exceed what holds them."""
    if told_usage is None or told_usage.prompt_tokens is None:
        return None
    details = told_usage.prompt_tokens_details
    read = (details.cached_tokens if details else None) or 0
    written = (details.cache_write_tokens if details else None) or 0
    read = min(read, told_usage.prompt_tokens)
    return Usage(
        input_tokens=told_usage.prompt_tokens,
        output_tokens=told_usage.completion_tokens or 0,
        cache_read_tokens=read,
        cache_write_tokens=min(written, told_usage.prompt_tokens - read),
    )
