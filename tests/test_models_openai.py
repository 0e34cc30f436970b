"""OpenAI's wire: what is asked, what is understood, and how each failure is told. Over real sockets on this machine."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from agents.models.openai_wire import OpenAIModel
from agents.models.protocol import Answer, Model, collect
from agents.models.wire import Timeouts
from agents.types import Message, ModelRequest, ToolCall, ToolSpec
from router.errors import ModelError
from router.prices import Usage
from tests.conformance import model as conformance
from tests.conformance.model import REQUEST, Check
from tests.wire_servers import (
    DONE,
    Reply,
    Step,
    WireServer,
    chunk,
    chunk_usage,
    event,
    json_error,
    openai_text,
    refused_url,
    tool_piece,
    wire_server,
)

pytestmark = pytest.mark.loopback

KEY = "sk-not-to-be-seen"
HASTY = Timeouts(connect_s=1.0, silence_s=0.15)


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    with wire_server() as running:
        yield running


def opened(url: str, timeouts: Timeouts | None = None) -> OpenAIModel:
    return OpenAIModel("upstream", base_url=f"{url}/v1", api_key=KEY, timeouts=timeouts, local=True)


@asynccontextmanager
async def model_of(url: str, timeouts: Timeouts | None = None) -> AsyncIterator[OpenAIModel]:
    model = opened(url, timeouts)
    try:
        yield model
    finally:
        await model.close()


def answer(server: WireServer, *steps: Step, request: ModelRequest = REQUEST) -> Answer:
    """What is understood of one reply."""
    server.plays(Reply(steps=steps))

    async def asked() -> Answer:
        async with model_of(server.url) as model:
            return await collect(model.stream(request))

    return asyncio.run(asked())


def failure(url: str, *, timeouts: Timeouts | None = None, request: ModelRequest = REQUEST) -> ModelError:
    """How one failure is told."""

    async def asked() -> None:
        async with model_of(url, timeouts) as model:
            await collect(model.stream(request))

    with pytest.raises(ModelError) as caught:
        asyncio.run(asked())
    return caught.value


def failure_of(server: WireServer, reply: Reply, *, timeouts: Timeouts | None = None) -> ModelError:
    server.plays(reply)
    return failure(server.url, timeouts=timeouts)


class OpenAIRig:
    def __init__(self, server: WireServer) -> None:
        self.server = server

    def answers(self) -> Model:
        self.server.plays(*[Reply(steps=openai_text("Down ", "the ", "drain."))] * 3)
        return opened(self.server.url)

    def calls_a_tool(self) -> Model:
        pieces = [tool_piece(0, call_id="call_a", name="rv_park_search"), tool_piece(0, arguments='{"place": ')]
        ending = [tool_piece(0, arguments='"Moab"}'), chunk(finish="tool_calls"), DONE]
        self.server.plays(Reply(steps=[*pieces, *ending]))
        return opened(self.server.url)

    def hangs(self) -> Model:
        self.server.plays(Reply(steps=[chunk({"content": "a"}), "hang"]))
        return opened(self.server.url)

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        replies = {
            "overloaded": json_error(503, {"type": "server_error"}),
            "rate_limited": json_error(429, {"type": "requests"}),
            "unauthorised": json_error(401, {"code": "invalid_api_key"}),
            "bad_request": json_error(400, {"type": "invalid_request_error"}),
            "broken_stream": Reply(steps=[chunk({"content": "a"}), "drop"]),
            "timeout": Reply(steps=[chunk({"content": "a"}), "hang"]),
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
def test_openai_keeps_what_a_model_promises(server: WireServer, check: Check) -> None:
    conformance.run(check, OpenAIRig(server))


# ---- what is asked ----


def sent(server: WireServer, request: ModelRequest) -> dict[str, Any]:  # Any: JSON
    answer(server, *openai_text("a"), request=request)
    return server.received[0].body


def test_a_plain_request_asks_for_a_stream_with_usage_and_for_nothing_else(server: WireServer) -> None:
    assert sent(server, REQUEST) == {
        "model": "asked-for",
        "messages": [{"role": "user", "content": "where does the water go in winter?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_limits_formats_and_tools_are_passed_on(server: WireServer) -> None:
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
    body = sent(server, asked)
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert (body["temperature"], body["stop"], body["user"]) == (0.0, ["END"], "u1")
    assert body["response_format"] == {"type": "json_object"}
    assert body["tools"] == [
        {"type": "function", "function": {"name": "t", "description": "d", "parameters": {"type": "object"}}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "t"}}


def test_a_conversation_with_tools_is_told_as_it_went(server: WireServer) -> None:
    call = ToolCall(call_id="c1", name="t", arguments='{"a": 1}')
    messages = (
        Message(role="system", text="be brief"),
        Message(role="assistant", text="", tool_calls=(call,)),
        Message(role="tool", text="42", call_id="c1"),
    )
    assert sent(server, replace(REQUEST, messages=messages))["messages"] == [
        {"role": "system", "content": "be brief"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]


def test_what_the_environment_says_about_an_account_goes_to_openai_alone(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    sent(server, REQUEST)
    assert "openai-organization" not in server.received[0].headers


# ---- what is understood ----


def test_an_answer_names_the_model_that_served_it_and_its_tokens(server: WireServer) -> None:
    usage = chunk_usage(100, 7, cached_tokens=80, cache_write_tokens=15)
    finished = answer(server, chunk({"content": "a"}), chunk(finish="stop"), usage, DONE).finished
    assert finished.model == "gpt-served"
    assert finished.usage == Usage(input_tokens=100, output_tokens=7, cache_read_tokens=80, cache_write_tokens=15)


def test_cached_tokens_beyond_the_prompt_are_cut_to_it(server: WireServer) -> None:
    finished = answer(server, chunk(finish="stop"), chunk_usage(10, 7, cached_tokens=30), DONE).finished
    assert finished.usage == Usage(input_tokens=10, output_tokens=7, cache_read_tokens=10)


def test_a_server_that_tells_no_usage_has_none(server: WireServer) -> None:
    assert answer(server, chunk({"content": "a"}), chunk(finish="stop"), DONE).finished.usage is None


def test_an_answer_is_whole_with_its_finish_reason_whether_done_comes_or_not(server: WireServer) -> None:
    assert answer(server, chunk({"content": "a"}, finish="stop")).text == "a"
    assert answer(server, chunk({"content": "a"}, finish="stop"), "drop").text == "a"


def test_chunks_without_choices_or_with_a_role_alone_are_no_text(server: WireServer) -> None:
    odd = event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": None, "choices": [{"index": 0}]})
    steps = [chunk(), chunk({"role": "assistant"}), odd, b": a comment\n\n", chunk({"content": "a"}, finish="stop")]
    assert answer(server, *steps).text == "a"


def test_a_refusal_is_what_the_model_said(server: WireServer) -> None:
    assert answer(server, chunk({"refusal": "I will not."}, finish="stop")).text == "I will not."


def test_an_answer_in_bytes_that_split_its_characters_is_read(server: WireServer) -> None:
    whole = b"".join(step for step in openai_text("Zürich 🚐") if isinstance(step, bytes))
    whole = whole.replace(b"\\u00fc", "ü".encode())
    cut = whole.index("ü".encode()) + 1
    assert answer(server, whole[:cut], 0.01, whole[cut:]).text == "Zürich 🚐"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("function_call", "tool_calls")],
)
def test_finish_reasons_are_told_in_our_words(server: WireServer, finish: str, reason: str) -> None:
    assert answer(server, chunk({"content": "a"}), chunk(finish=finish), DONE).finished.reason == reason


def call(call_id: str, name: str, arguments: str) -> ToolCall:
    return ToolCall(call_id=call_id, name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [
                tool_piece(0, call_id="a", name="f"),
                tool_piece(1, call_id="b", name="g"),
                tool_piece(0, arguments="{}"),
                tool_piece(1, arguments="[]"),
            ],
            [call("a", "f", "{}"), call("b", "g", "[]")],
            id="interleaved",
        ),
        pytest.param(
            [
                tool_piece(0, call_id="a", name="f", arguments="{}"),
                tool_piece(0, call_id="b", name="f", arguments="[]"),
            ],
            [call("a", "f", "{}"), call("b", "f", "[]")],
            id="all numbered 0",
        ),
        pytest.param(
            [tool_piece(None, call_id="a", name="f"), tool_piece(None, arguments="{"), tool_piece(None, arguments="}")],
            [call("a", "f", "{}")],
            id="not numbered",
        ),
        pytest.param(
            [tool_piece(0, call_id="a", name="f", arguments="{"), tool_piece(0, call_id="a", name="f", arguments="}")],
            [call("a", "f", "{}")],
            id="named in every piece",
        ),
        pytest.param([tool_piece(0, name="f", arguments="{}")], [call("call_0", "f", "{}")], id="without an id"),
    ],
)
def test_tool_calls_are_put_together_as_servers_number_them(
    server: WireServer, pieces: list[bytes], calls: list[ToolCall]
) -> None:
    found = answer(server, *pieces, chunk(finish="stop"), DONE)
    assert list(found.tool_calls) == calls
    assert found.finished.reason == "tool_calls"


# ---- how failures are told ----


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, "bad_request"),
        (400, "bad_request"),
        (401, "unauthorised"),
        (403, "unauthorised"),
        (404, "bad_request"),
        (408, "timeout"),
        (409, "overloaded"),
        (413, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (500, "overloaded"),
        (502, "overloaded"),
        (503, "overloaded"),
        (504, "overloaded"),
        (529, "overloaded"),
    ],
)
def test_a_status_is_told_by_its_kind_after_one_request(server: WireServer, status: int, kind: str) -> None:
    err = failure_of(server, json_error(status, {"message": "no"}))
    assert err.kind == kind
    assert f"upstream: HTTP {status}" in str(err)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "x", "type": "overloaded_error"}, "overloaded"),
        ({"message": "x", "type": "server_error", "code": None}, "overloaded"),
        ({"message": "x", "code": 502}, "overloaded"),
        ({"message": "x", "type": "BadRequestError", "code": 400}, "bad_request"),
        ({"message": "x", "code": "rate_limit_exceeded"}, "rate_limited"),
        ({"message": "x"}, "broken_stream"),
    ],
)
def test_an_error_within_the_stream_is_told_by_its_kind(
    server: WireServer, body: Mapping[str, object], kind: str
) -> None:
    assert failure_of(server, Reply(steps=[chunk({"content": "a"}), event({"error": body}), DONE])).kind == kind


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices": [\n\n',
        b"data: 5\n\n",
        b"data: null\n\n",
        b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": [3]}}]}\n\n',
        b"data: [DONE]\n\n",
        b"<html>a proxy's page</html>",
        chunk(finish="error"),
    ],
)
def test_a_stream_that_cannot_be_read_is_broken(server: WireServer, broken: bytes) -> None:
    assert failure_of(server, Reply(steps=[chunk({"content": "a"}), broken])).kind == "broken_stream"


def test_a_slow_first_byte_is_a_timeout(server: WireServer) -> None:
    assert failure_of(server, Reply(steps=[2.0, *openai_text("a")]), timeouts=HASTY).kind == "timeout"


def test_an_address_that_nobody_listens_at_is_unreachable() -> None:
    err = failure(refused_url())
    assert err.kind == "unreachable"
    assert "check `base_url`" in str(err)


def test_a_name_that_no_one_knows_is_unreachable() -> None:
    def unknown(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("[Errno -2] Name or service not known", request=request)

    async def asked() -> None:
        async with aclosing(OpenAIModel("upstream", transport=httpx2.MockTransport(unknown)).stream(REQUEST)) as stream:
            await anext(stream)

    with pytest.raises(ModelError) as caught:
        asyncio.run(asked())
    assert caught.value.kind == "unreachable"


def test_a_reader_that_is_cancelled_before_the_first_byte_lets_go(server: WireServer) -> None:
    server.plays(Reply(steps=[4.0, *openai_text("a")]))

    async def impatient() -> None:
        async with model_of(server.url) as model:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(collect(model.stream(REQUEST)), 0.2)

    asyncio.run(impatient())
    assert server.received[0].gone.wait(2)


def test_text_that_is_no_unicode_is_a_bad_request_that_is_never_sent(server: WireServer) -> None:
    server.plays()
    err = failure(server.url, request=replace(REQUEST, messages=(Message(role="user", text="\ud800"),)))
    assert err.kind == "bad_request"
    assert server.received == []


def test_a_failure_shows_neither_key_nor_header_nor_query(server: WireServer) -> None:
    echo = f"{KEY} where does the water go in winter? set-cookie"
    replies = [json_error(400, {"message": echo, "type": echo, "code": echo}), Reply(steps=[event({"error": echo})])]
    for reply in replies:
        err = failure_of(server, reply)
        shown = "".join(traceback.format_exception(err, chain=True)) + repr(err)
        assert KEY not in shown
        assert "winter" not in shown
        assert "set-cookie" not in shown


def test_a_model_shows_no_key(server: WireServer) -> None:
    model = opened(server.url)
    assert repr(model) == f"OpenAIModel('upstream', base_url='{server.url}/v1')"


def test_a_provider_that_asks_to_wait_is_heard(server: WireServer) -> None:
    err = failure_of(server, json_error(429, {"message": "slow down"}, retry_after="7"))
    assert (err.kind, err.retry_after_s) == ("rate_limited", 7.0)


def test_a_connection_is_used_again_after_a_whole_answer(server: WireServer) -> None:
    server.plays(*[Reply(steps=openai_text("a"))] * 2)

    async def twice() -> set[str]:
        async with model_of(server.url) as model:
            return {(await collect(model.stream(REQUEST))).text for _ in range(2)}

    assert asyncio.run(twice()) == {"a"}
    assert len({received.client for received in server.received}) == 1
