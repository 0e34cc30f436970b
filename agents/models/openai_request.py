"""A neutral request in the words of OpenAI's chat completions."""

from __future__ import annotations

from typing import Any

from agents.types import Message, ModelRequest, ToolSpec

WITH_TOOLS = ("parallel_tool_calls",)  # refused by OpenAI where there are none


def arguments(request: ModelRequest) -> dict[str, Any]:  # Any: the SDK's own typed dictionaries, built as JSON
    """Keyword arguments of `chat.completions.create`. Wishes have this wire's own names and go along as they came."""
    optional = {
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "stop": list(request.stop) or None,
        "response_format": request.response_format,
        "user": request.user,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice) if request.tools else None,
        **{name: wish for name, wish in request.wishes.items() if request.tools or name not in WITH_TOOLS},
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
    strict = {} if tool.strict is None else {"strict": tool.strict}
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters), **strict}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | None) -> object:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
