"""A neutral request in the words of OpenAI's chat completions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.models.openai_request import arguments
from agents.types import Message, ToolCall, ToolSpec
from tests.conformance.model import REQUEST


def test_limits_formats_and_tools_are_passed_on() -> None:
    tool = ToolSpec(name="t", description="d", parameters={"type": "object"})
    asked = replace(
        REQUEST,
        tools=(tool,),
        tool_choice="t",
        max_output_tokens=5,
        temperature=0.0,
        stop=("END",),
        response_format={"type": "json_object"},
        user="u1",
    )
    body = arguments(asked)
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert (body["temperature"], body["stop"], body["user"]) == (0.0, ["END"], "u1")
    assert body["response_format"] == {"type": "json_object"}
    assert body["tools"] == [
        {"type": "function", "function": {"name": "t", "description": "d", "parameters": {"type": "object"}}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "t"}}


def test_a_conversation_with_tools_is_told_as_it_went() -> None:
    call = ToolCall(call_id="c1", name="t", arguments='{"a": 1}')
    messages = (
        Message(role="system", text="be brief"),
        Message(role="assistant", text="", tool_calls=(call,)),
        Message(role="tool", text="42", call_id="c1"),
    )
    assert arguments(replace(REQUEST, messages=messages))["messages"] == [
        {"role": "system", "content": "be brief"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]


def test_wishes_are_passed_on_under_their_own_names() -> None:
    wishes = {"top_p": 0.5, "seed": 7, "reasoning_effort": "low", "verbosity": "high", "presence_penalty": 0.25}
    body = arguments(replace(REQUEST, wishes=wishes))
    assert {name: body[name] for name in wishes} == wishes


@pytest.mark.parametrize("tools", [(), (ToolSpec(name="t", description="d", parameters={}, strict=True),)])
def test_one_tool_at_a_time_is_wished_only_where_there_are_tools(tools: tuple[ToolSpec, ...]) -> None:
    body = arguments(replace(REQUEST, tools=tools, wishes={"parallel_tool_calls": False}))
    assert ("parallel_tool_calls" in body) == bool(tools)
    assert [tool["function"]["strict"] for tool in body.get("tools", [])] == [True] * len(tools)
