"""Anthropic's wire: what is asked, and what is understood. Over real sockets on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agents.models.anthropic_request import MAX_TOKENS
from agents.types import Message, ToolCall, ToolSpec
from router.prices import Usage
from tests.conformance import model as conformance
from tests.conformance.model import REQUEST, Check
from tests.wire_clients import KEY, Wire, WireRig, anthropic_at, wired
from tests.wire_servers import (
    anthropic_text,
    json_error,
    message_end,
    message_start,
    named,
    text_block,
    tool_block,
)

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with wired(anthropic_at) as found:
        yield found


TOOLS = (
    ToolSpec(name="t", description="d", parameters={"type": "object"}),
    ToolSpec(name="u", description="e", parameters={"type": "object"}),
)


def rig(wire: Wire) -> WireRig:
    block = tool_block(0, "toolu_a", "rv_park_search", "", '{"place": ', '"Moab"}')
    return WireRig(
        wire,
        whole=anthropic_text("Down ", "the ", "drain."),
        tool=[message_start(), *block, *message_end("tool_use")],
        begun=[message_start(), *text_block(0, "a")],
        refusals={
            "overloaded": json_error(529, {"type": "overloaded_error"}),
            "rate_limited": json_error(429, {"type": "rate_limit_error"}),
            "unauthorised": json_error(401, {"type": "authentication_error"}),
            "bad_request": json_error(400, {"type": "invalid_request_error"}),
        },
    )


@pytest.mark.parametrize("check", conformance.CHECKS)
def test_anthropic_keeps_what_a_model_promises(wire: Wire, check: Check) -> None:
    conformance.run(check, rig(wire))


# ---- what is asked ----


def test_a_plain_request_asks_for_a_stream_within_the_usual_limit(wire: Wire) -> None:
    wire.answer(*anthropic_text("a"))
    (received,) = wire.server.received
    assert received.path == "/v1/messages"
    assert KEY in received.headers.get("x-api-key", "") + received.headers.get("authorization", "")
    assert received.body == {
        "model": "asked-for",
        "max_tokens": MAX_TOKENS,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "where does the water go in winter?"}]},
        ],
        "stream": True,
    }


def test_everything_that_can_be_asked_for_reaches_the_server(wire: Wire) -> None:
    schema = {"type": "object", "properties": {}}
    asked = replace(
        REQUEST,
        messages=(Message(role="system", text="be brief"), *REQUEST.messages),
        tools=TOOLS,
        tool_choice="required",
        max_output_tokens=5,
        temperature=0.5,
        stop=("END",),
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        user="u1",
    )
    wire.answer(*anthropic_text("a"), request=asked)
    body = wire.server.received[0].body
    assert body["system"] == [{"type": "text", "text": "be brief"}]
    assert body["tools"] == [
        {"name": "t", "description": "d", "input_schema": {"type": "object"}},
        {"name": "u", "description": "e", "input_schema": {"type": "object"}},
    ]
    assert body["tool_choice"] == {"type": "any"}
    assert (body["max_tokens"], body["stop_sequences"], body["metadata"]) == (5, ["END"], {"user_id": "u1"})
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "temperature" not in body


def test_json_without_a_schema_is_refused_and_never_sent(wire: Wire) -> None:
    err = wire.failure(None, request=replace(REQUEST, response_format={"type": "json_object"}))
    assert (err.kind, "JSON without a schema" in str(err)) == ("bad_request", True)
    assert wire.server.received == []


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        ({"temperature": 0.5}, ("temperature",)),
        ({"temperature": 1.0}, ()),
        ({"response_format": {"type": "json_object"}}, ("response_format",)),
        ({"response_format": {"type": "text"}}, ()),
        ({"wishes": {"top_p": 0.5, "presence_penalty": 1}}, ("top_p", "presence_penalty")),
        ({"wishes": {"top_p": 1.0, "presence_penalty": 0, "prompt_cache_key": "k"}}, ()),
        ({"wishes": {"seed": 0, "verbosity": "low"}}, ("seed", "verbosity")),
        ({"wishes": {"reasoning_effort": "none"}}, ("reasoning_effort",)),
        ({"wishes": {"reasoning_effort": "max", "parallel_tool_calls": False}}, ()),
    ],
)
def test_what_anthropic_has_no_word_for_is_named(wire: Wire, asked: dict[str, Any], lacks: tuple[str, ...]) -> None:
    assert wire.opened().lacking(replace(REQUEST, **asked)) == lacks


def test_the_environment_changes_neither_headers_nor_address_nor_key(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-evil: 1\nauthorization: Bearer stolen")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-environment")
    wire.answer(*anthropic_text("a"))
    headers = str(wire.server.received[0].headers)
    assert KEY in headers
    assert [word for word in ("x-evil", "stolen", "of-the-environment") if word in headers] == []


# ---- what is understood ----


def test_input_tokens_hold_those_of_the_cache(wire: Wire) -> None:
    start = message_start(cache_creation_input_tokens=20, cache_read_input_tokens=300)
    finished = wire.answer(start, *text_block(0, "a"), *message_end(output_tokens=9)).finished
    assert finished.model == "claude-served"
    assert finished.usage == Usage(input_tokens=330, output_tokens=9, cache_read_tokens=300, cache_write_tokens=20)


def test_later_counts_replace_earlier_ones(wire: Wire) -> None:
    finished = wire.answer(message_start(), *text_block(0, "a"), *message_end(input_tokens=12)).finished
    assert finished.usage == Usage(input_tokens=12, output_tokens=5)


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons_are_told_in_our_words(wire: Wire, stop_reason: str, reason: str) -> None:
    assert wire.answer(*anthropic_text("a", stop_reason=stop_reason)).finished.reason == reason


def test_text_and_two_calls_are_told_apart(wire: Wire) -> None:
    blocks = [*text_block(0, "Both."), *tool_block(1, "x", "t", '{"a":', "1}"), *tool_block(2, "y", "u", "{}")]
    found = wire.answer(message_start(), *blocks, *message_end("tool_use"))
    assert found.text == "Both."
    assert found.tool_calls == (
        ToolCall(call_id="x", name="t", arguments='{"a":1}'),
        ToolCall(call_id="y", name="u", arguments="{}"),
    )


def test_thoughts_and_unknown_events_are_no_text(wire: Wire) -> None:
    thought = [
        named("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        named("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        named("content_block_delta", index=0, delta={"type": "something_new", "text": "hm"}),
        named("content_block_stop", index=0),
        named("something_new", text="hm"),
    ]
    assert wire.answer(message_start(), *thought, *text_block(1, "a"), *message_end()).text == "a"


def test_a_server_that_lingers_after_the_end_holds_nobody_up(wire: Wire) -> None:
    assert wire.answer(*anthropic_text("a"), "hang").text == "a"
