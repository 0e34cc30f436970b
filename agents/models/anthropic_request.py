"""A neutral request in the words of Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from agents.types import Message, ModelRequest, ToolCall

MAX_TOKENS = 8192  # Anthropic wants a limit; this is a long answer of a desk, and none of a model of today is too small
CACHED = {"cache_control": {"type": "ephemeral"}}
EFFORTS = ("low", "medium", "high", "xhigh", "max")  # OpenAI's "none" and "minimal" have no counterpart
UNKNOWN = ("seed", "verbosity", "prediction")  # wishes that Anthropic has no word for
DEFAULTS = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}  # nor for these; so much is as good as left out
Block = dict[str, object]


def lacking(request: ModelRequest, *, takes_temperature: bool) -> tuple[str, ...]:
    """Parameters of a request, in OpenAI's names, that Anthropic has no word for."""
    wishes = request.wishes
    wanted = {
        "temperature": request.temperature not in (None, 1) and not takes_temperature,
        **{name: wishes.get(name, default) != default for name, default in DEFAULTS.items()},
        **{name: name in wishes for name in UNKNOWN},
        "reasoning_effort": wishes.get("reasoning_effort") not in (None, *EFFORTS),
        "response_format": wants_any_json(request),
    }
    return tuple(name for name, lacks in wanted.items() if lacks)


def wants_any_json(request: ModelRequest) -> bool:
    """Whether an answer in JSON is asked for without a schema of it."""
    return (request.response_format or {}).get("type") == "json_object"


def arguments(
    request: ModelRequest, *, caches_prompts: bool, takes_temperature: bool
) -> dict[str, Any]:  # Any: the SDK's own typed dictionaries, built as JSON
    """Keyword arguments of `messages.create`. What Anthropic has no word for (`lacking`) is left out: a route that falls back
    on another provider's model must not fail for a wish.
    """
    system = [_text(message.text) for message in request.messages if message.role == "system" and message.text]
    tools = _tools(request)
    if caches_prompts:
        for marked in (system, tools):
            marked[-1:] = [{**block, **CACHED} for block in marked[-1:]]
    optional = {
        "system": system or None,
        "tools": tools or None,
        "tool_choice": _tool_choice(request) if tools else None,
        "stop_sequences": list(request.stop) or None,
        "output_config": _output(request) or None,
        "metadata": {"user_id": request.user} if request.user else None,
        "temperature": request.temperature if takes_temperature else None,
    }
    return {
        "model": request.model,
        "max_tokens": MAX_TOKENS if request.max_output_tokens is None else request.max_output_tokens,
        "messages": list(_turns(request.messages)),
        "stream": True,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _turns(messages: tuple[Message, ...]) -> Iterator[Block]:
    """Turns of user and assistant; results of tools are the user's, and all of one answer stand in one turn."""
    said = [message for message in messages if message.role != "system"]
    for role, group in groupby(said, key=lambda message: "assistant" if message.role == "assistant" else "user"):
        blocks = [block for message in group for block in _blocks(message)]
        if blocks:
            yield {"role": role, "content": blocks}


def _blocks(message: Message) -> Iterator[Block]:
    """A message's blocks; an empty text has none, as Anthropic refuses one."""
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}
    elif message.text:
        yield _text(message.text)
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.call_id, "name": call.name, "input": _input(call)}


def _input(call: ToolCall) -> Block:
    """A call's arguments as an object. What a model wrote that is none stays visible to the next, under a name that says so."""
    try:
        parsed = json.loads(call.arguments or "{}")
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"unparsed_arguments": call.arguments}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _tools(request: ModelRequest) -> list[Block]:
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": dict(tool.parameters),
            **({} if tool.strict is None else {"strict": tool.strict}),
        }
        for tool in request.tools
    ]


def _tool_choice(request: ModelRequest) -> Block | None:
    words = {"auto": "auto", "none": "none", "required": "any"}
    one_at_a_time = request.wishes.get("parallel_tool_calls") is False
    choice = request.tool_choice or ("auto" if one_at_a_time else None)
    if choice is None:
        return None
    told: Block = {"type": words[choice]} if choice in words else {"type": "tool", "name": choice}
    return {**told, "disable_parallel_tool_use": True} if one_at_a_time and choice != "none" else told


def _output(request: ModelRequest) -> Block:
    """OpenAI's JSON schema and effort as Anthropic's."""
    schema = ((request.response_format or {}).get("json_schema") or {}).get("schema")
    effort = request.wishes.get("reasoning_effort")
    return {
        **({} if schema is None else {"format": {"type": "json_schema", "schema": schema}}),
        **({"effort": effort} if effort in EFFORTS else {}),
    }
