"""Anthropic's wire: what is asked, what is understood, and how each failure is told. Over real sockets on this machine."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agents.models.anthropic_request import MAX_TOKENS, arguments
from agents.models.anthropic_wire import AnthropicModel
from agents.models.protocol import Answer, Model, collect
from agents.models.wire import Timeouts
from agents.types import Message, ModelRequest, ToolCall, ToolSpec
from router.errors import ModelError
from router.prices import Usage
from tests.conformance import model as conformance
from tests.conformance.model import REQUEST, Check
from tests.wire_servers import (
    Reply,
    Step,
    WireServer,
    anthropic_text,
    event,
    json_error,
    message_end,
    message_start,
    named,
    refused_url,
    text_block,
    tool_block,
    wire_server,
)

pytestmark = pytest.mark.loopback

KEY = "sk-ant-not-to-be-seen"
HASTY = Timeouts(connect_s=1.0, silence_s=0.15)
TOOLS = (
    ToolSpec(name="t", description="d", parameters={"type": "object"}),
    ToolSpec(name="u", description="e", parameters={"type": "object"}),
)


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    with wire_server() as running:
        yield running


def opened(url: str, timeouts: Timeouts | None = None) -> AnthropicModel:
    return AnthropicModel("upstream", base_url=url, api_key=KEY, timeouts=timeouts, local=True)


def answer(server: WireServer, *steps: Step, request: ModelRequest = REQUEST) -> Answer:
    """What is understood of one reply."""
    server.plays(Reply(steps=steps))
    return asyncio.run(_asked(server.url, None, request))


def failure(url: str, timeouts: Timeouts | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        asyncio.run(_asked(url, timeouts, REQUEST))
    return caught.value


def failure_of(server: WireServer, reply: Reply, *, timeouts: Timeouts | None = None) -> ModelError:
    """How one failure is told."""
    server.plays(reply)
    return failure(server.url, timeouts)


async def _asked(url: str, timeouts: Timeouts | None, request: ModelRequest) -> Answer:
    model = opened(url, timeouts)
    try:
        return await collect(model.stream(request))
    finally:
        await model.close()


class AnthropicRig:
    def __init__(self, server: WireServer) -> None:
        self.server = server

    def answers(self) -> Model:
        self.server.plays(*[Reply(steps=anthropic_text("Down ", "the ", "drain."))] * 3)
        return opened(self.server.url)

    def calls_a_tool(self) -> Model:
        block = tool_block(0, "toolu_a", "rv_park_search", "", '{"place": ', '"Moab"}')
        self.server.plays(Reply(steps=[message_start(), *block, *message_end("tool_use")]))
        return opened(self.server.url)

    def hangs(self) -> Model:
        self.server.plays(Reply(steps=[message_start(), *text_block(0, "a"), "hang"]))
        return opened(self.server.url)

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        begun = [message_start(), *text_block(0, "a")]
        replies = {
            "overloaded": json_error(529, {"type": "overloaded_error"}),
            "rate_limited": json_error(429, {"type": "rate_limit_error"}),
            "unauthorised": json_error(401, {"type": "authentication_error"}),
            "bad_request": json_error(400, {"type": "invalid_request_error"}),
            "broken_stream": Reply(steps=[*begun, "drop"]),
            "timeout": Reply(steps=[*begun, "hang"]),
        }
        models = {kind: self._failing(reply) for kind, reply in replies.items()}
        return {**models, "unreachable": lambda: opened(refused_url())}

    def _failing(self, reply: Reply) -> Callable[[], Model]:
        def failing() -> Model:
            self.server.plays(reply)
            return opened(self.server.url, HASTY)

        return failing

    def let_go(self) -> bool:
        return self.server.received[0].gone.wait(2)


@pytest.mark.parametrize("check", conformance.CHECKS)
def test_anthropic_keeps_what_a_model_promises(server: WireServer, check: Check) -> None:
    conformance.run(check, AnthropicRig(server))


# ---- what is asked ----


def written(request: ModelRequest, *, caches_prompts: bool = False) -> dict[str, Any]:  # Any: JSON
    return arguments(request, caches_prompts=caches_prompts, takes_temperature=False)


def test_a_plain_request_asks_for_a_stream_within_the_usual_limit(server: WireServer) -> None:
    answer(server, *anthropic_text("a"))
    (received,) = server.received
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


def test_everything_that_can_be_asked_for_reaches_the_server(server: WireServer) -> None:
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
    answer(server, *anthropic_text("a"), request=asked)
    body = server.received[0].body
    assert body["system"] == [{"type": "text", "text": "be brief"}]
    assert body["tools"] == [
        {"name": "t", "description": "d", "input_schema": {"type": "object"}},
        {"name": "u", "description": "e", "input_schema": {"type": "object"}},
    ]
    assert body["tool_choice"] == {"type": "any"}
    assert (body["max_tokens"], body["stop_sequences"], body["metadata"]) == (5, ["END"], {"user_id": "u1"})
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("choice", "told"),
    [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("t", {"type": "tool", "name": "t"})],
)
def test_a_choice_of_tools_is_told_in_anthropics_words(choice: str, told: dict[str, str]) -> None:
    assert written(replace(REQUEST, tools=TOOLS, tool_choice=choice))["tool_choice"] == told


def test_a_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in written(replace(REQUEST, tool_choice="auto"))


def test_json_without_a_schema_is_left_out() -> None:
    assert "output_config" not in written(replace(REQUEST, response_format={"type": "json_object"}))


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


# ---- what is understood ----


def test_input_tokens_hold_those_of_the_cache(server: WireServer) -> None:
    start = message_start(cache_creation_input_tokens=20, cache_read_input_tokens=300)
    finished = answer(server, start, *text_block(0, "a"), *message_end(output_tokens=9)).finished
    assert finished.model == "claude-served"
    assert finished.usage == Usage(input_tokens=330, output_tokens=9, cache_read_tokens=300, cache_write_tokens=20)


def test_later_counts_replace_earlier_ones(server: WireServer) -> None:
    finished = answer(server, message_start(), *text_block(0, "a"), *message_end(input_tokens=12)).finished
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
def test_stop_reasons_are_told_in_our_words(server: WireServer, stop_reason: str, reason: str) -> None:
    assert answer(server, *anthropic_text("a", stop_reason=stop_reason)).finished.reason == reason


def test_text_and_two_calls_are_told_apart(server: WireServer) -> None:
    blocks = [*text_block(0, "Both."), *tool_block(1, "x", "t", '{"a":', "1}"), *tool_block(2, "y", "u", "{}")]
    found = answer(server, message_start(), *blocks, *message_end("tool_use"))
    assert found.text == "Both."
    assert found.tool_calls == (
        ToolCall(call_id="x", name="t", arguments='{"a":1}'),
        ToolCall(call_id="y", name="u", arguments="{}"),
    )


def test_thoughts_and_unknown_events_are_no_text(server: WireServer) -> None:
    thought = [
        named("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        named("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        named("content_block_delta", index=0, delta={"type": "something_new", "text": "hm"}),
        named("content_block_stop", index=0),
        named("something_new", text="hm"),
    ]
    assert answer(server, message_start(), *thought, *text_block(1, "a"), *message_end()).text == "a"


def test_a_server_that_lingers_after_the_end_holds_nobody_up(server: WireServer) -> None:
    assert answer(server, *anthropic_text("a"), "hang").text == "a"


# ---- how failures are told ----


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (401, "unauthorised"),
        (402, "unauthorised"),
        (403, "unauthorised"),
        (404, "bad_request"),
        (413, "bad_request"),
        (429, "rate_limited"),
        (500, "overloaded"),
        (503, "overloaded"),
        (529, "overloaded"),
    ],
)
def test_a_status_is_told_by_its_kind_after_one_request(server: WireServer, status: int, kind: str) -> None:
    err = failure_of(server, json_error(status, {"message": "no"}, retry_after="3"))
    assert (err.kind, err.retry_after_s) == (kind, 3.0)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overloaded_error", "overloaded"),
        ("api_error", "overloaded"),
        ("rate_limit_error", "rate_limited"),
        ("timeout_error", "timeout"),
        ("invalid_request_error", "bad_request"),
        ("something_new", "broken_stream"),
    ],
)
def test_an_error_within_the_stream_is_told_by_its_kind(server: WireServer, name: str, kind: str) -> None:
    error = named("error", error={"type": name, "message": "no"})
    assert failure_of(server, Reply(steps=[message_start(), *text_block(0, "a"), error])).kind == kind


@pytest.mark.parametrize(
    "ending",
    [
        [],
        message_end()[:1],
        [event('{"type": ', name="message_delta")],
        [event("7", name="message_delta")],
        [named("content_block_delta", index=0)],
        [named("error", error="no")],
        [event("no", name="error")],
        ["drop"],
    ],
)
def test_a_stream_without_its_end_is_broken(server: WireServer, ending: list[Step]) -> None:
    assert failure_of(server, Reply(steps=[message_start(), *text_block(0, "a"), *ending])).kind == "broken_stream"


def test_a_slow_first_byte_is_a_timeout(server: WireServer) -> None:
    assert failure_of(server, Reply(steps=[2.0, *anthropic_text("a")]), timeouts=HASTY).kind == "timeout"


def test_a_failure_shows_neither_key_nor_query(server: WireServer) -> None:
    echo = f"{KEY} where does the water go in winter?"
    for reply in (
        json_error(400, {"message": echo, "type": echo}),
        Reply(steps=[message_start(), named("error", error={"type": echo, "message": echo})]),
    ):
        err = failure_of(server, reply)
        shown = "".join(traceback.format_exception(err, chain=True)) + repr(err)
        assert KEY not in shown
        assert "winter" not in shown


def test_the_sdk_logs_no_query_however_much_is_logged(server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer(server, *anthropic_text("a"))
    assert "winter" not in caplog.text
    assert KEY not in caplog.text


def test_a_model_shows_no_key(server: WireServer) -> None:
    assert repr(opened(server.url)) == f"AnthropicModel('upstream', base_url='{server.url}')"


def test_a_connection_is_used_again_after_a_whole_answer(server: WireServer) -> None:
    server.plays(*[Reply(steps=anthropic_text("a"))] * 2)

    async def twice() -> None:
        model = opened(server.url)
        for _ in range(2):
            await collect(model.stream(REQUEST))
        await model.close()

    asyncio.run(twice())
    assert len({received.client for received in server.received}) == 1
