"""OpenAI's wire: what is asked, and what is understood. Over real sockets on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agents.types import ModelRequest, ToolCall
from router.prices import Usage
from tests.conformance import model as conformance
from tests.conformance.model import REQUEST, Check
from tests.wire_clients import KEY, Wire, WireRig, openai_at, wired
from tests.wire_servers import (
    DONE,
    chunk,
    chunk_usage,
    event,
    json_error,
    openai_text,
    tool_piece,
)

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with wired(openai_at) as found:
        yield found


def rig(wire: Wire) -> WireRig:
    call = [tool_piece(0, call_id="call_a", name="rv_park_search"), tool_piece(0, arguments='{"place": ')]
    return WireRig(
        wire,
        whole=openai_text("Down ", "the ", "drain."),
        tool=[*call, tool_piece(0, arguments='"Moab"}'), chunk(finish="tool_calls"), DONE],
        begun=[chunk({"content": "a"})],
        refusals={
            "overloaded": json_error(503, {"type": "server_error"}),
            "rate_limited": json_error(429, {"type": "requests"}),
            "unauthorised": json_error(401, {"code": "invalid_api_key"}),
            "bad_request": json_error(400, {"type": "invalid_request_error"}),
        },
    )


@pytest.mark.parametrize("check", conformance.CHECKS)
def test_openai_keeps_what_a_model_promises(wire: Wire, check: Check) -> None:
    conformance.run(check, rig(wire))


# ---- what is asked ----


def sent(wire: Wire, request: ModelRequest) -> dict[str, Any]:  # Any: JSON
    wire.answer(*openai_text("a"), request=request)
    return wire.server.received[0].body


def test_a_plain_request_asks_for_a_stream_with_usage_and_for_nothing_else(wire: Wire) -> None:
    assert sent(wire, REQUEST) == {
        "model": "asked-for",
        "messages": [{"role": "user", "content": "where does the water go in winter?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert wire.server.received[0].path == "/v1/chat/completions"
    assert wire.server.received[0].headers["authorization"] == f"Bearer {KEY}"


def test_nothing_is_lacking_on_the_wire_that_the_names_come_from(wire: Wire) -> None:
    assert wire.opened().lacking(replace(REQUEST, temperature=0.5, wishes={"seed": 7})) == ()


def test_what_the_environment_says_about_an_account_goes_to_openai_alone(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-of-mine")
    sent(wire, REQUEST)
    assert "of-mine" not in str(wire.server.received[0].headers)


def test_the_environment_changes_neither_headers_nor_address_nor_key(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-evil: 1\nauthorization: Bearer stolen")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    sent(wire, REQUEST)
    (received,) = wire.server.received
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert "x-evil" not in received.headers


# ---- what is understood ----


def test_an_answer_names_the_model_that_served_it_and_its_tokens(wire: Wire) -> None:
    usage = chunk_usage(100, 7, cached_tokens=80, cache_write_tokens=15)
    finished = wire.answer(chunk({"content": "a"}), chunk(finish="stop"), usage, DONE).finished
    assert finished.model == "gpt-served"
    assert finished.usage == Usage(input_tokens=100, output_tokens=7, cache_read_tokens=80, cache_write_tokens=15)


def test_cached_tokens_beyond_the_prompt_are_cut_to_it(wire: Wire) -> None:
    finished = wire.answer(chunk(finish="stop"), chunk_usage(10, 7, cached_tokens=30), DONE).finished
    assert finished.usage == Usage(input_tokens=10, output_tokens=7, cache_read_tokens=10)


def test_a_server_that_tells_no_usage_has_none(wire: Wire) -> None:
    assert wire.answer(chunk({"content": "a"}), chunk(finish="stop"), DONE).finished.usage is None


def test_an_answer_is_whole_with_its_finish_reason_whether_done_comes_or_not(wire: Wire) -> None:
    assert wire.answer(chunk({"content": "a"}, finish="stop")).text == "a"
    assert wire.answer(chunk({"content": "a"}, finish="stop"), "drop").text == "a"


def test_chunks_without_choices_or_with_a_role_alone_are_no_text(wire: Wire) -> None:
    odd = event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": None, "choices": [{"index": 0}]})
    steps = [chunk(), chunk({"role": "assistant"}), odd, b": a comment\n\n", chunk({"content": "a"}, finish="stop")]
    assert wire.answer(*steps).text == "a"


def test_a_refusal_is_what_the_model_said(wire: Wire) -> None:
    assert wire.answer(chunk({"refusal": "I will not."}, finish="stop")).text == "I will not."


def test_an_answer_in_bytes_that_split_its_characters_is_read(wire: Wire) -> None:
    whole = b"".join(step for step in openai_text("Zürich 🚐") if isinstance(step, bytes))
    whole = whole.replace(b"\\u00fc", "ü".encode())
    cut = whole.index("ü".encode()) + 1
    assert wire.answer(whole[:cut], 0.01, whole[cut:]).text == "Zürich 🚐"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("function_call", "tool_calls")],
)
def test_finish_reasons_are_told_in_our_words(wire: Wire, finish: str, reason: str) -> None:
    assert wire.answer(chunk({"content": "a"}), chunk(finish=finish), DONE).finished.reason == reason


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
    wire: Wire, pieces: list[bytes], calls: list[ToolCall]
) -> None:
    found = wire.answer(*pieces, chunk(finish="stop"), DONE)
    assert list(found.tool_calls) == calls
    assert found.finished.reason == "tool_calls"
