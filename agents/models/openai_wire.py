"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, Ollama and many others, by their base URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.models.wire import Timeouts, closing, failures, http_client, model_error, sdk_timeout, told
from agents.types import Event, Finished, FinishReason, Message, ModelRequest, TextDelta, ToolCallDelta, ToolSpec
from router.prices import Usage

if TYPE_CHECKING:
    import httpx2
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall
    from openai.types.completion_usage import CompletionUsage

BASE_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # servers of one's own ask for no key, and the SDK insists on one
REASONS: dict[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
CUT_REASONS = ("error", "abort", "cancelled")  # how some servers close an answer that they gave up


class OpenAIModel:
    """Chat completions as a stream, over the OpenAI SDK; one attempt a request, and no retry inside.

    Works with servers that tell no usage, send chunks without choices, or number all tool calls 0.   api_key: None for a
    server that asks for none.   transport: another road than the network.   local: the server stands on this machine or
    beside it, past any proxy.
    """

    simulated = False

    def __init__(
        self,
        provider: str,
        *,
        base_url: str = BASE_URL,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        local: bool = False,
    ) -> None:
        from openai import AsyncOpenAI, OpenAIError

        limits = timeouts or Timeouts()
        self.provider = provider
        self._base_url = base_url
        self._failures: tuple[type[Exception], ...] = (OpenAIError, *failures())
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or NO_KEY,
            max_retries=0,
            timeout=sdk_timeout(limits),
            http_client=http_client(limits, transport=transport, local=local),
        )
        self._completions = self._client.chat.completions  # loads a second's worth of modules: here, not in a request
        if not _is_openai(base_url):  # the SDK takes them from the environment; they are nobody else's to know
            self._client.organization = self._client.project = self._client.admin_api_key = None

    def __repr__(self) -> str:
        return f"OpenAIModel({self.provider!r}, base_url={self._base_url!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer; see `Model.stream`. An answer is whole once its finish reason has come."""
        reading = _Reading(model=request.model)
        started = False
        try:
            chunks = await self._completions.create(**_arguments(request))
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


def _arguments(request: ModelRequest) -> dict[str, Any]:  # Any: the SDK's own typed dictionaries, built as JSON
    optional = {
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "stop": list(request.stop) or None,
        "response_format": request.response_format,
        "user": request.user,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice) if request.tools else None,
    }
    return {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in optional.items() if value is not None},
    }


def _message(message: Message) -> dict[str, object]:
    written: dict[str, object] = {"role": message.role, "content": message.text}
    if message.call_id is not None:
        written["tool_call_id"] = message.call_id
    if message.tool_calls:
        written["content"] = message.text or None
        written["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return written


def _tool(tool: ToolSpec) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | None) -> object:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
