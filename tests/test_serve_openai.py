"""OpenAI's own client against the server: whole answers, streams, tools, and faults upstream."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import openai
import pytest

from agents.gateway.held import Held
from agents.gateway.settings import FIXED_MESSAGE
from agents.models.openai_wire import OpenAIModel
from agents.models.simulated import Step
from agents.models.upstream import Upstream
from agents.types import Finished, TextDelta, ToolCall, ToolCallDelta
from router.errors import ModelError
from tests.clients import ASKED, BROKEN, TOOL, Calm, client, post
from tests.served import BOUND_S, Watched, a_service, ran, served, whole
from tests.wire_servers import Reply, openai_text, wire_server

pytestmark = pytest.mark.loopback


# ---- Whole answers ----


def test_a_whole_answer_comes_with_its_text_its_model_and_its_usage(calm: Calm) -> None:
    reply = calm[2].chat.completions.create(model="chat", messages=ASKED)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("Hello, you.", "stop")
    assert reply.model == "claude-haiku-5-5"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (1_000, 100, 1_100)


def test_the_headers_tell_route_model_reason_decision_and_price(calm: Calm) -> None:
    raw = calm[2].chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    found = {
        name: raw.headers[f"x-weighbridge-{name}"] for name in ("route", "model", "confidence", "reason", "cost-usd")
    }
    # 1,000 tokens at 0.10 and 100 at 0.50 dollars a million
    assert found == {
        "route": "chat",
        "model": "claude-haiku-5-5",
        "confidence": "none",
        "reason": "asked-for",
        "cost-usd": "0.000150000",
    }
    assert raw.parse().id == f"chatcmpl-{raw.headers['x-weighbridge-decision-id']}"
    assert "x-weighbridge-degraded" not in raw.headers


def test_auto_goes_where_a_decision_alone_says(calm: Calm) -> None:
    server, _, asking = calm
    raw = asking.chat.completions.with_raw_response.create(model="auto", messages=ASKED)
    told = post(server, "/v1/route", {"input": "where is my refund?"}).json()["data"][0]
    assert raw.headers["x-weighbridge-route"] == told["route"]
    assert raw.headers["x-weighbridge-reason"] == told["rule"]
    assert math.isclose(float(raw.headers["x-weighbridge-confidence"]), told["confidence"], abs_tol=1e-6)


@pytest.mark.parametrize("name", ["router-current-0", "router-current-1"])
def test_a_threshold_may_stand_in_the_model_name(calm: Calm, name: str) -> None:
    raw = calm[2].chat.completions.with_raw_response.create(model=name, messages=[{"role": "user", "content": "hello"}])
    assert (raw.headers["x-weighbridge-route"] == "chat") == (name == "router-current-0")


def test_the_async_client_works_as_well(calm: Calm) -> None:
    async def ask() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(
            base_url=f"{calm[0].url}/v1", api_key="none", max_retries=0, timeout=BOUND_S
        ) as asking:
            reply = await asking.chat.completions.create(model="chat", messages=ASKED)
            stream = await asking.chat.completions.create(model="trip", messages=ASKED, stream=True)
            async with stream:
                pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return reply.choices[0].message.content, "".join(pieces)

    assert ran(ask()) == ("Hello, you.", "Hello, you.")


def test_options_reach_the_model(calm: Calm) -> None:
    calm[2].chat.completions.create(
        model="chat", messages=ASKED, max_completion_tokens=7, temperature=0.5, stop=["END"], tool_choice="none", tools=[TOOL]
    )  # fmt: skip
    (request,) = calm[1].requests
    assert (request.max_output_tokens, request.temperature, request.stop, request.tool_choice) == (
        7,
        0.5,
        ("END",),
        "none",
    )


def test_the_models_are_the_router_and_every_route(calm: Calm) -> None:
    names = [model.id for model in calm[2].models.list()]
    assert names[0] == "auto"
    assert {"chat", "dashboard", "trip", "budget"} < set(names)


# ---- Streams ----


def test_a_stream_tells_role_pieces_and_end_in_order(calm: Calm) -> None:
    with calm[2].chat.completions.create(model="chat", messages=ASKED, stream=True) as stream:
        chunks = list(stream)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hello, ", "you.", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1


def test_usage_is_the_last_chunk_where_it_was_asked_for(calm: Calm) -> None:
    with calm[2].chat.completions.create(
        model="chat", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert [chunk.usage.total_tokens if chunk.usage else None for chunk in chunks] == [None, None, None, None, 1_100]
    assert chunks[-1].choices == []


def test_the_headers_of_a_stream_name_who_answers(calm: Calm) -> None:
    with calm[2].chat.completions.with_streaming_response.create(model="trip", messages=ASKED, stream=True) as raw:
        raw.read()
        told = (raw.headers["x-weighbridge-route"], raw.headers["x-weighbridge-model"], raw.headers["content-type"])
    assert told == ("trip", "claude-sonnet-5-5", "text/event-stream; charset=utf-8")


def test_half_an_emoji_in_a_piece_does_not_break_the_stream(held: Held, tmp_path: Path) -> None:
    model = Watched(whole("ok \ud83d", "\ude00"), whole("ok \ud83d", "\ude00"))
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        with asking.chat.completions.create(model="chat", messages=ASKED, stream=True) as stream:
            said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        reply = asking.chat.completions.create(model="trip", messages=ASKED)
    assert said.encode("utf-16", "surrogatepass").decode("utf-16") == "ok 😀"
    assert (reply.choices[0].message.content or "").encode("utf-16", "surrogatepass").decode("utf-16") == "ok 😀"


# ---- Tools ----


def test_a_tool_call_comes_out_and_its_result_goes_in(held: Held, tmp_path: Path) -> None:
    calls: list[Step] = [
        ToolCallDelta(index=0, call_id="c1", name="find_trip"),
        ToolCallDelta(index=0, arguments='{"to": '),
        ToolCallDelta(index=0, arguments='"Rome"}'),
        Finished(reason="tool_calls", model="claude-sonnet-5-5", usage=None),
    ]
    model = Watched([*calls], [*calls], whole("Rome it is."))
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        with asking.chat.completions.create(model="trip", messages=ASKED, tools=[TOOL], stream=True) as stream:
            pieces = [piece for chunk in stream for piece in chunk.choices[0].delta.tool_calls or ()]
        reply = asking.chat.completions.create(model="trip", messages=ASKED, tools=[TOOL])
        said = reply.choices[0].message
        history = [
            *ASKED,
            said.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": "c1", "content": "12:40"},
        ]
        last = asking.chat.completions.create(model="trip", messages=history, tools=[TOOL])
    assert [piece.id for piece in pieces] == ["c1", None, None]
    assert "".join(piece.function.arguments or "" for piece in pieces if piece.function) == '{"to": "Rome"}'
    assert reply.choices[0].finish_reason == "tool_calls"
    assert said.tool_calls is not None
    assert said.content is None
    assert last.choices[0].message.content == "Rome it is."
    assert model.requests[0].tools[0].name == "find_trip"
    assert model.requests[2].messages[1].tool_calls == (
        ToolCall(call_id="c1", name="find_trip", arguments='{"to": "Rome"}'),
    )
    assert (model.requests[2].messages[2].call_id, model.requests[2].messages[2].text) == ("c1", "12:40")


# ---- Faults upstream ----


def test_a_model_that_fails_midway_ends_the_stream_in_an_error_and_splices_nothing(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="Half of"), BROKEN], whole("Another one."))
    said: list[str] = []
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        stream = asking.chat.completions.create(model="chat", messages=ASKED, stream=True)
        with stream, pytest.raises(openai.APIError, match="broke off: broken_stream"):
            said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "Another" not in "".join(said)


def test_a_client_that_takes_restarts_gets_the_new_answer_whole_under_the_next_index(
    held: Held, tmp_path: Path
) -> None:
    model = Watched([TextDelta(text="Half of"), BROKEN], whole("Another", " one.", model="claude-sonnet-5-5"))
    options: Any = {"include_restarts": True}  # Any: ours, not the SDK's
    with (
        served(a_service(held, tmp_path, model)) as server,
        client(server) as asking,
        asking.chat.completions.create(model="chat", messages=ASKED, stream=True, stream_options=options) as stream,
    ):
        choices = [(chunk.model, chunk.choices[0]) for chunk in stream]
    said = {index: "".join(c.delta.content or "" for _, c in choices if c.index == index) for index in (0, 1)}
    assert said == {0: "Half of", 1: "Another one."}
    assert [(c.index, c.finish_reason) for _, c in choices if c.finish_reason] == [(0, "restarted"), (1, "stop")]
    assert {model for model, c in choices if c.index == 1} == {"claude-sonnet-5-5"}


def test_a_whole_answer_of_the_fallback_holds_nothing_of_the_broken_one(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="Half of"), BROKEN], whole("Another one.", model="claude-sonnet-5-5"))
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        raw = asking.chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    assert raw.parse().choices[0].message.content == "Another one."
    assert raw.headers["x-weighbridge-route"] == "dashboard"
    assert raw.headers["x-weighbridge-degraded"] == "fallback"


@pytest.mark.parametrize("stream", [False, True])
def test_less_than_what_was_decided_is_marked_in_the_headers(held: Held, tmp_path: Path, stream: bool) -> None:
    down = ModelError("down.", kind="overloaded")
    model = Watched(whole("From before."), [down], whole("From another."), [down], [down])
    marks, texts = [], []
    with served(a_service(held, tmp_path, model)) as server:
        for words in ("one", "one", "two", "three"):
            body = {"model": "chat", "messages": [{"role": "user", "content": words}], "stream": stream}
            reply = post(server, "/v1/chat/completions", body)
            marks.append((reply.status_code, reply.headers.get("x-weighbridge-degraded")))
            texts.append(reply.text)
    assert marks == [(200, None), (200, "cached"), (200, "fallback"), (200, "fixed")]
    wanted = ("From before.", "From before.", "From another.", FIXED_MESSAGE)
    assert all(want in text for want, text in zip(wanted, texts, strict=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_no_model_takes_is_a_400_of_its_own(held: Held, tmp_path: Path, stream: bool) -> None:
    model = Watched([ModelError("anthropic: HTTP 400; check the tools.", kind="bad_request")])
    with (
        served(a_service(held, tmp_path, model)) as server,
        client(server) as asking,
        pytest.raises(openai.BadRequestError, match="check the tools"),
    ):
        asking.chat.completions.create(model="chat", messages=ASKED, stream=stream)
    assert len(model.requests) == 1


def test_the_real_model_on_a_real_wire_is_passed_through_unchanged(held: Held, tmp_path: Path) -> None:
    with wire_server() as upstream:
        upstream.plays(Reply(steps=openai_text("Straight ", "through.")))
        model = OpenAIModel("anthropic", Upstream(base_url=upstream.url, local=True))
        with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
            reply = asking.chat.completions.create(model="chat", messages=ASKED, tools=[TOOL])
    (received,) = upstream.received
    assert reply.choices[0].message.content == "Straight through."
    assert received.body["model"] == "claude-haiku-5-5"
    assert received.body["messages"] == ASKED
    assert received.body["tools"] == [TOOL]
    assert "local" not in json.dumps(received.body)


def test_a_model_named_in_letters_that_no_header_takes_does_not_break_the_answer(held: Held, tmp_path: Path) -> None:
    model = Watched(whole("Да.", model="модель\r\nx-evil: 1"))
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        raw = asking.chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    assert raw.parse().choices[0].message.content == "Да."
    assert "x-evil" not in raw.headers
