"""OpenAI's chat completions as they go out: whole, in pieces, and as errors. Pure: records in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.types import ToolCall, ToolCallDelta
from router.prices import Usage

Json = dict[str, Any]  # Any: whatever JSON can hold
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What all pieces of one answer share. created: seconds since 1970."""

    reply_id: str
    created: int
    model: str

    def chunk(
        self,
        delta: Json | None = None,
        *,
        index: int = 0,
        finish: str | None = None,
        extra: Json | None = None,
    ) -> Json:
        """One `chat.completion.chunk`; without a delta and a finish it carries no choice."""
        choices = (
            []
            if delta is None and finish is None
            else [{"index": index, "delta": delta or {}, "finish_reason": finish}]
        )
        return {
            "id": self.reply_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **(extra or {}),
        }

    def whole(self, text: str, calls: tuple[ToolCall, ...], *, finish: str, usage: Usage | None, extra: Json) -> Json:
        """A `chat.completion`."""
        message: Json = {"role": "assistant", "content": text if text or not calls else None}
        if calls:
            message["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        return {
            "id": self.reply_id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": usage_json(usage),
            **extra,
        }


def tool_delta(piece: ToolCallDelta) -> Json:
    """The delta of a piece of a tool call."""
    function: Json = {"arguments": piece.arguments}
    call: Json = {"index": piece.index, "function": function}
    if piece.name is not None:
        function["name"] = piece.name
    if piece.call_id is not None:
        call |= {"id": piece.call_id, "type": "function"}
    return {"tool_calls": [call]}


def usage_json(usage: Usage | None) -> Json | None:
    """OpenAI's usage, cached tokens in its own place; null where the provider told none."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def written(content: Mapping[str, Any]) -> bytes:
    """JSON in plain ASCII: a model may split an emoji between two pieces, and half of one is no UTF-8."""
    return json.dumps(content, separators=(",", ":")).encode()


def sse(content: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + written(content) + b"\n\n"


def error_json(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Json:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
