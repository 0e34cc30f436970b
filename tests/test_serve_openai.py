"""OpenAI's own client against the server: only its base URL is changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agents.doors.guard import MAX_BODY_BYTES, Guard
from agents.gateway.deciding import Held, load_held
from agents.gateway.keys import KeyStore
from agents.gateway.settings import FIXED_MESSAGE, Settings
from agents.models.openai_wire import OpenAIModel
from agents.models.simulated import Step
from agents.types import Finished, TextDelta, ToolCall, ToolCallDelta
from router.errors import ModelError
from tests.served import Gate, Server, Watched, a_service, logged, records, served, whole
from tests.wire_servers import Reply, openai_text, wire_server

pytestmark = pytest.mark.loopback

ASKED: list[Any] = [{"role": "user", "content": "where is my refund?"}]  # Any: the SDK's typed dictionaries
TOOL: Any = {
    "type": "function",
    "function": {"name": "find_trip", "description": "Trips.", "parameters": {"type": "object", "properties": {}}},
}
SECRET_WORDS = "the zebra sleeps at 4711"
BROKEN = ModelError("the stream broke.", kind="broken_stream")


@pytest.fixture(scope="module")
def held(bundle: Path) -> Held:
    return load_held(bundle)


def client(server: Server, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=10)


@pytest.fixture
def calm(held: Held, tmp_path: Path) -> Iterator[tuple[Server, Watched, openai.OpenAI]]:
    """A server whose model says "Hello, you." to the first five requests."""
    model = Watched(*(whole("Hello, ", "you.") for _ in range(5)))
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        yield server, model, asking


Calm = tuple[Server, Watched, openai.OpenAI]


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
    told = httpx2.post(f"{server.url}/v1/route", json={"input": "where is my refund?"}).json()["data"][0]
    assert raw.headers["x-weighbridge-route"] == told["route"]
    assert raw.headers["x-weighbridge-reason"] == told["rule"]
    assert math.isclose(float(raw.headers["x-weighbridge-confidence"]), told["confidence"], abs_tol=1e-6)


@pytest.mark.parametrize("name", ["router-current-0", "router-current-1"])
def test_a_threshold_may_stand_in_the_model_name(calm: Calm, name: str) -> None:
    raw = calm[2].chat.completions.with_raw_response.create(model=name, messages=[{"role": "user", "content": "hello"}])
    assert (raw.headers["x-weighbridge-route"] == "chat") == (name == "router-current-0")


def test_the_async_client_works_as_well(calm: Calm) -> None:
    async def ask() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(base_url=f"{calm[0].url}/v1", api_key="none", max_retries=0) as asking:
            reply = await asking.chat.completions.create(model="chat", messages=ASKED)
            stream = await asking.chat.completions.create(model="trip", messages=ASKED, stream=True)
            async with stream:
                pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return reply.choices[0].message.content, "".join(pieces)

    assert asyncio.run(ask()) == ("Hello, you.", "Hello, you.")


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


@pytest.mark.parametrize("asked_for", [False, True])
def test_a_client_that_closes_its_stream_ends_the_call_upstream(held: Held, tmp_path: Path, asked_for: bool) -> None:
    model = Watched([TextDelta(text="Once"), Gate(), TextDelta(text=" upon")])
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        stream = asking.chat.completions.create(
            model="chat", messages=ASKED, stream=True, stream_options={"include_usage": asked_for}
        )
        assert next(iter(stream)).choices[0].delta.content == ""
        stream.close()
        assert model.ended.acquire(timeout=5)
        assert model.cut == 1
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_first_piece_ends_the_call_upstream(
    held: Held, tmp_path: Path, stream: bool
) -> None:
    gate = Gate()
    model = Watched([gate, TextDelta(text="late")])
    settings = Settings(retries=0, first_event_s=30.0, failover_s=30.0)

    async def ask_and_leave(url: str) -> None:
        async with httpx2.AsyncClient(timeout=10) as asking:
            body = {"model": "chat", "messages": ASKED, "stream": stream}
            task = asyncio.create_task(asking.post(f"{url}/v1/chat/completions", json=body))
            await asyncio.to_thread(gate.reached)
            task.cancel()
            await asyncio.wait({task})

    with records() as found, served(a_service(held, tmp_path, model, settings=settings)) as server:
        asyncio.run(ask_and_leave(server.url))
        assert model.ended.acquire(timeout=5)
    assert model.cut == 1
    assert [record.getMessage() for record in found if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_stopping_the_server_completes_the_record_of_a_running_answer(held: Held, tmp_path: Path, stream: bool) -> None:
    gate = Gate()
    body = {"model": "chat", "messages": ASKED, "stream": stream}

    async def ask(url: str) -> None:
        async with httpx2.AsyncClient(timeout=10) as asking:
            with contextlib.suppress(httpx2.HTTPError):
                await asking.post(f"{url}/v1/chat/completions", json=body)

    with served(a_service(held, tmp_path, Watched([TextDelta(text="Once"), gate]))) as server:
        asking = threading.Thread(target=lambda: asyncio.run(ask(server.url)))
        asking.start()
        gate.reached()
    asking.join(10)
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"


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
            reply = httpx2.post(f"{server.url}/v1/chat/completions", json=body)
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
        model = OpenAIModel("anthropic", base_url=upstream.url, local=True)
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


# ---- Errors ----


@pytest.mark.parametrize("name", ["gpt-9", "router-other-0.7"])
def test_a_model_that_is_nobodys_is_not_found(calm: Calm, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        calm[2].chat.completions.create(model=name, messages=ASKED)
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": []},
        {"messages": [{"role": "system", "content": "be kind"}]},
        {"messages": [{"role": "user", "content": " "}]},
        {"messages": [{"role": "tool", "content": "12:40"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example"}}]}]},
        {"n": 2},
        {"temperature": 3},
        {"model": "router-current-7"},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_cannot_be_served_is_a_bad_request(calm: Calm, changed: dict[str, Any], stream: bool) -> None:
    asked: Any = {"model": "chat", "messages": ASKED, "stream": stream, **changed}  # Any: wrong on purpose
    with pytest.raises(openai.BadRequestError) as caught:
        calm[2].chat.completions.create(**asked)
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'"text"',
        b"[" * 100_000,
        b'{"input": "a", "\\ud800": 1}',
        b'{"input": "\\ud800"}',
        b'{"input": NaN}',
    ],
)
def test_a_body_that_is_no_request_is_a_400_in_openais_form(calm: Calm, body: bytes) -> None:
    reply = httpx2.post(f"{calm[0].url}/v1/route", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("DELETE", "/v1/models", 405)])
def test_a_wrong_address_is_told_in_openais_form(calm: Calm, method: str, path: str, status: int) -> None:
    reply = httpx2.request(method, f"{calm[0].url}{path}")
    assert (reply.status_code, set(reply.json())) == (status, {"error"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""])
def test_an_open_server_does_not_answer_to_a_foreign_name_that_points_at_it(calm: Calm, host: str) -> None:
    reply = httpx2.get(f"{calm[0].url}/v1/models", headers={"host": host})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "bad_host")


def test_a_foreign_pages_form_is_no_request(calm: Calm) -> None:
    """A page may send text/plain anywhere without asking first."""
    body = json.dumps({"input": "hello"})
    reply = httpx2.post(f"{calm[0].url}/v1/route", content=body, headers={"content-type": "text/plain"})
    assert reply.status_code == 400


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(calm: Calm, announced: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    content = body if announced else (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    reply = httpx2.post(
        f"{calm[0].url}/v1/chat/completions", content=content, headers={"content-type": "application/json"}, timeout=10
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


def test_a_conversation_that_is_too_large_is_openais_413(calm: Calm) -> None:
    long: Any = [{"role": "user", "content": "a" * 30_000}] * 70
    with pytest.raises(openai.APIStatusError) as caught:
        calm[2].chat.completions.create(model="chat", messages=long)
    assert caught.value.status_code == 413


def test_keys_scopes_and_rates_are_openais_exceptions(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    deciding = store.create("decides", scopes=["route"], rate_per_minute=10)
    slow = store.create("slow", scopes=["chat"], rate_per_minute=1)
    service = a_service(held, tmp_path, Watched(whole("Hello.")))
    with served(service, guard=Guard(keys=store)) as server:
        with client(server, "wb_wrong") as asking, pytest.raises(openai.AuthenticationError):
            asking.models.list()
        with client(server, deciding) as asking, pytest.raises(openai.PermissionDeniedError, match="'chat'"):
            asking.chat.completions.create(model="chat", messages=ASKED)
        with client(server, slow) as asking:
            asking.chat.completions.create(model="chat", messages=ASKED)
            with pytest.raises(openai.RateLimitError) as caught:
                asking.chat.completions.create(model="chat", messages=ASKED)
    assert 58 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_a_decision_that_cannot_be_recorded_is_a_503_and_nobody_is_asked(held: Held, tmp_path: Path) -> None:
    model = Watched(whole("Hello."))
    service = a_service(held, tmp_path, model)
    with served(service) as server, client(server) as asking:
        asyncio.run(service.log.close())
        with pytest.raises(openai.InternalServerError) as caught:
            asking.chat.completions.create(model="chat", messages=ASKED)
    assert caught.value.status_code == 503
    assert model.requests == []


# ---- Decisions, feedback, health ----


def test_many_messages_are_decided_as_each_alone_and_put_on_record(calm: Calm, tmp_path: Path) -> None:
    texts = ["hello", "plan my trip to Rome", "how much did I spend on food?"]
    url = f"{calm[0].url}/v1/route"
    many = httpx2.post(url, json={"input": texts}).json()["data"]
    alone = [httpx2.post(url, json={"input": text}).json()["data"][0] for text in texts]
    assert [row["route"] for row in many] == [row["route"] for row in alone]
    assert len({row["decision_id"] for row in (*many, *alone)}) == 6
    assert {row.decision_id for row in logged(tmp_path)} == {row["decision_id"] for row in (*many, *alone)}


def test_an_explained_decision_shows_probabilities_that_sum_to_one(calm: Calm) -> None:
    url = f"{calm[0].url}/v1/route"
    (plain,) = httpx2.post(url, json={"input": "hello"}).json()["data"]
    (told,) = httpx2.post(url, json={"input": "hello", "explain": True}).json()["data"]
    assert "probabilities" not in plain
    sums = {head: sum(row.values()) for head, row in told["probabilities"].items()}
    assert sums == pytest.approx(dict.fromkeys(sums, 1.0), abs=1e-5)
    assert told["route"] in told["candidates"]


def test_feedback_is_joined_to_its_decision(calm: Calm, tmp_path: Path) -> None:
    server, _, asking = calm
    raw = asking.chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    decision_id = raw.headers["x-weighbridge-decision-id"]
    said = {"decision_id": decision_id, "score": 0.75, "labels": {"complexity": "simple"}}
    assert httpx2.post(f"{server.url}/v1/feedback", json=said).status_code == 204
    (row,) = logged(tmp_path)
    assert row.feedback is not None
    assert (row.feedback.score, dict(row.feedback.labels)) == (0.75, {"complexity": "simple"})


@pytest.mark.parametrize("said", [{"score": 0.5}, {"score": 2}, {}, {"labels": {}}])
def test_feedback_on_nothing_or_of_nothing_is_refused(calm: Calm, said: dict[str, Any]) -> None:
    reply = httpx2.post(f"{calm[0].url}/v1/feedback", json={"decision_id": "0" * 32, **said})
    assert reply.status_code == 400


def test_the_log_keeps_what_was_answered_and_what_it_cost(held: Held, tmp_path: Path) -> None:
    with served(a_service(held, tmp_path, Watched(whole("Hello.")))) as server, client(server) as asking:
        asking.chat.completions.create(model="chat", messages=ASKED)
    (row,) = logged(tmp_path)
    assert (row.route, row.rule, row.served_model) == ("chat", "asked-for", "claude-haiku-5-5")
    assert row.cost_usd == pytest.approx(0.00015)
    assert row.tokens is not None
    assert row.tokens.output_tokens == 100


def test_health_says_alive_ready_and_which_bundle(calm: Calm, held: Held) -> None:
    url = calm[0].url
    assert httpx2.get(f"{url}/healthz").json() == {"status": "ok"}
    ready = httpx2.get(f"{url}/readyz")
    assert (ready.status_code, ready.json()["bundle"]) == (200, held.bundle_id)


def test_metrics_count_what_was_decided_answered_and_refused(calm: Calm) -> None:
    server, _, asking = calm
    asking.chat.completions.create(model="chat", messages=ASKED)
    with pytest.raises(openai.NotFoundError):
        asking.chat.completions.create(model="gpt-9", messages=ASKED)
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    assert 'weighbridge_decisions_total{route="chat",rule="asked-for"} 1.0' in lines
    assert 'weighbridge_answers_total{kind="model",route="chat"} 1.0' in lines
    assert 'weighbridge_refused_total{status="404"} 1.0' in lines


def test_no_words_and_no_key_leave_their_request(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    key = store.create("ann", scopes=["chat", "route"], rate_per_minute=100)
    model = Watched(whole("fine"), [TextDelta(text="half"), BROKEN], [ModelError("no.", kind="bad_request")])
    headers = {"authorization": f"Bearer {key}"}
    with (
        records() as found,
        served(a_service(held, tmp_path, model), guard=Guard(keys=store)) as server,
        httpx2.Client(base_url=server.url, headers=headers) as asking,
    ):
        for number, stream in enumerate((False, True, False)):
            body = {"messages": [{"role": "user", "content": f"{SECRET_WORDS} {number}"}], "stream": stream}
            asking.post("/v1/chat/completions", json=body)
        asking.post("/v1/route", json={"input": SECRET_WORDS, "explain": True})
        asking.post("/v1/route", json={"input": SECRET_WORDS, SECRET_WORDS: 1})
        told = asking.get("/metrics").text
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    said = "\n".join(f"{record.getMessage()} {record.exc_info} {record.exc_text}" for record in found)
    assert [where for where, text in (("log", said), ("metrics", told)) if SECRET_WORDS in text or key in text] == []
    assert SECRET_WORDS.encode() not in kept
    assert key.encode() not in kept


def test_words_are_kept_where_that_was_switched_on(held: Held, tmp_path: Path) -> None:
    service = a_service(held, tmp_path, Watched(whole("fine")), keep_text=True)
    with served(service) as server, client(server) as asking:
        asking.chat.completions.create(model="auto", messages=ASKED)
    assert [row.query for row in logged(tmp_path)] == ["where is my refund?"]
