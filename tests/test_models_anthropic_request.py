"""A neutral request in the words of Anthropic's messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.models.anthropic_request import arguments
from agents.types import Message, ModelRequest, ToolCall, ToolSpec
from tests.conformance.model import REQUEST

TOOLS = (
    ToolSpec(name="t", description="d", parameters={"type": "object"}),
    ToolSpec(name="u", description="e", parameters={"type": "object"}),
)


def written(request: ModelRequest, *, caches_prompts: bool = False) -> dict[str, Any]:  # Any: JSON
    return arguments(request, caches_prompts=caches_prompts, takes_temperature=False)


@pytest.mark.parametrize(
    ("choice", "told"),
    [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("t", {"type": "tool", "name": "t"})],
)
def test_a_choice_of_tools_is_told_in_anthropics_words(choice: str, told: dict[str, str]) -> None:
    assert written(replace(REQUEST, tools=TOOLS, tool_choice=choice))["tool_choice"] == told


def test_a_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in written(replace(REQUEST, tool_choice="auto"))


def test_effort_stands_beside_the_schema_and_what_has_no_counterpart_is_left_out() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    asked = replace(REQUEST, response_format=form, wishes={"reasoning_effort": "high", "seed": 7, "top_p": 0.5})
    body = written(asked)
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}},
        "effort": "high",
    }
    assert not {"seed", "top_p", "reasoning_effort"} & set(body)
    assert "output_config" not in written(replace(REQUEST, wishes={"reasoning_effort": "minimal"}))


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("t", {"type": "tool", "name": "t", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_one_tool_at_a_time_is_part_of_the_choice(choice: str | None, told: dict[str, object]) -> None:
    asked = replace(REQUEST, tools=TOOLS, tool_choice=choice, wishes={"parallel_tool_calls": False})
    assert written(asked)["tool_choice"] == told


def test_a_strict_tool_is_told_as_one() -> None:
    strict = replace(TOOLS[0], strict=True)
    assert [tool.get("strict") for tool in written(replace(REQUEST, tools=(strict, TOOLS[1])))["tools"]] == [True, None]


def test_results_of_tools_stand_together_in_the_turn_after_their_calls() -> None:
    calls = (ToolCall(call_id="c1", name="t", arguments='{"a": 1}'), ToolCall(call_id="c2", name="u", arguments=""))
    messages = (
        Message(role="user", text="ask both"),
        Message(role="assistant", text="", tool_calls=calls),
        Message(role="tool", text="one", call_id="c1"),
        Message(role="tool", text="two", call_id="c2"),
        Message(role="user", text="and now?"),
    )
    assert written(replace(REQUEST, messages=messages))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "ask both"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "t", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "u", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                {"type": "text", "text": "and now?"},
            ],
        },
    ]


@pytest.mark.parametrize("arguments_text", ["{oops", "[1]", "7"])
def test_arguments_that_are_no_object_stay_visible(arguments_text: str) -> None:
    call = ToolCall(call_id="c", name="t", arguments=arguments_text)
    turns = written(replace(REQUEST, messages=(Message(role="assistant", text="", tool_calls=(call,)),)))["messages"]
    assert turns[0]["content"][0]["input"] == {"unparsed_arguments": arguments_text}


def test_prompts_are_marked_for_the_cache_at_the_end_of_system_and_tools() -> None:
    system = (Message(role="system", text="one"), Message(role="system", text="two"))
    asked = replace(REQUEST, messages=(*system, *REQUEST.messages), tools=TOOLS)
    body = written(asked, caches_prompts=True)
    marks = [["cache_control" in block for block in body[part]] for part in ("system", "tools")]
    assert marks == [[False, True], [False, True]]
    assert body["system"][1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in str(written(asked))


def test_there_is_nothing_to_mark_without_system_and_tools() -> None:
    assert written(REQUEST, caches_prompts=True) == written(REQUEST)
