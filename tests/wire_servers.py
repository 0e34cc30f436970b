"""Loopback servers that speak the providers' true wire formats, one scripted reply a request, and remember what came."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.loopback import listening

BOUND_S = 5.0  # nothing here waits longer, whatever a client does

# hang: say nothing until the client goes away.   drop: close the connection in the middle of the body.
Step = bytes | float | Literal["hang", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted reply: pieces of a body, sent one by one; a number is a pause in seconds."""

    steps: Sequence[Step]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


@dataclass(slots=True, kw_only=True)
class Received:
    """One request as it came. client: its port, one a connection.   gone: set once the client left before the end."""

    path: str
    client: int
    headers: dict[str, str]
    body: dict[str, Any]  # Any: a JSON request
    gone: threading.Event = field(default_factory=threading.Event)


class WireServer:
    """Plays its replies in order. `url` has no trailing slash and no path."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self._replies: deque[Reply] = deque()

    def plays(self, *replies: Reply) -> None:
        """From now on these replies, and nothing that was left of others."""
        self._replies = deque(replies)
        self.received.clear()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # Any: the ASGI interface
        body = b""
        while (part := await receive())["type"] == "http.request":
            body += part["body"]
            if not part["more_body"]:
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        received = Received(path=scope["path"], client=scope["client"][1], headers=headers, body=json.loads(body))
        self.received.append(received)
        reply = self._replies.popleft() if self._replies else Reply(status=599, steps=[b"no reply is left"])
        left = asyncio.ensure_future(_left(receive, received))
        try:
            await asyncio.wait_for(_play(reply, send, left), BOUND_S)
        finally:
            left.cancel()


async def _left(receive: Any, received: Received) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    received.gone.set()


async def _play(reply: Reply, send: Any, left: asyncio.Future[None]) -> None:
    if reply.steps and isinstance(reply.steps[0], float):  # a slow first byte: not even the headers come
        await asyncio.wait([left], timeout=reply.steps[0])
    names = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": names})
    for step in reply.steps:
        if step == "drop":
            return  # uvicorn closes a connection whose reply was not ended
        if step == "hang":
            await left
            return
        if isinstance(step, float):
            await asyncio.wait([left], timeout=step)
        else:
            await send({"type": "http.response.body", "body": step, "more_body": True})
    left.cancel()  # the end of the reply is no leaving
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def wire_server() -> Iterator[WireServer]:
    """A server on a port of its own, in a thread, until the end of the block."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a dropped reply is meant here
    app = WireServer()
    with listening(app) as app.url:
        yield app


def refused_url() -> str:
    """An address on this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as briefly:
        return f"http://127.0.0.1:{briefly.getsockname()[1]}"


def event(data: object, *, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def json_error(status: int, error: Mapping[str, object], **headers: str) -> Reply:
    """A refusal before any stream. Underscores in header names stand for hyphens."""
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Reply(status=status, headers=named, steps=[json.dumps({"error": dict(error)}).encode()])


# ---- OpenAI chat completions ----

DONE = event("[DONE]")


def chunk(delta: Mapping[str, object] | None = None, *, finish: str | None = None, **more: object) -> bytes:
    """One chunk; without a delta and a finish reason its list of choices is empty."""
    choices = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-served"}
    return event({**head, "choices": choices, **more})


def chunk_usage(input_tokens: int, output_tokens: int, **details: int) -> bytes:
    """The last chunk of a stream whose usage was asked for. details: of the prompt's tokens."""
    counts = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return chunk(usage={**counts, "total_tokens": sum(counts.values()), "prompt_tokens_details": details})


def tool_piece(index: int | None, *, arguments: str = "", call_id: str | None = None, name: str | None = None) -> bytes:
    """A piece of a tool call."""
    function = {"arguments": arguments, **({"name": name} if name else {})}
    piece: dict[str, object] = {"function": function, **({} if index is None else {"index": index})}
    return chunk({"tool_calls": [{**piece, **({"id": call_id, "type": "function"} if call_id else {})}]})


def openai_text(*pieces: str, finish: str = "stop") -> list[Step]:
    """A whole answer as OpenAI streams it: the role, the pieces, the finish reason, usage, [DONE]."""
    said = [chunk({"content": piece}) for piece in pieces]
    return [chunk({"role": "assistant", "content": ""}), *said, chunk(finish=finish), chunk_usage(7, 2), DONE]


# ---- Anthropic messages ----


def named(kind: str, **fields: object) -> bytes:
    """One event of an Anthropic stream."""
    return event({"type": kind, **fields}, name=kind)


def message_start(**usage: int) -> bytes:
    """The first event. usage: counts besides ten fresh input tokens."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-served"}
    counts = {"input_tokens": 10, "output_tokens": 1, **usage}
    return named("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": counts})


def text_block(index: int, *pieces: str) -> list[Step]:
    """A block of text in pieces."""
    start = named("content_block_start", index=index, content_block={"type": "text", "text": ""})
    deltas = [named("content_block_delta", index=index, delta={"type": "text_delta", "text": p}) for p in pieces]
    return [start, named("ping"), *deltas, named("content_block_stop", index=index)]


def tool_block(index: int, call_id: str, name: str, *pieces: str) -> list[Step]:
    """A tool call whose arguments come in pieces."""
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    deltas = [
        named("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": p}) for p in pieces
    ]
    start = named("content_block_start", index=index, content_block=block)
    return [start, *deltas, named("content_block_stop", index=index)]


def message_end(stop_reason: str = "end_turn", **usage: int) -> list[Step]:
    """The last two events."""
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [named("message_delta", delta=delta, usage={"output_tokens": 5, **usage}), named("message_stop")]


def anthropic_text(*pieces: str, stop_reason: str = "end_turn") -> list[Step]:
    """A whole answer as Anthropic streams it."""
    return [message_start(), *text_block(0, *pieces), *message_end(stop_reason)]
