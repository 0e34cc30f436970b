"""What is refused at the door, and how OpenAI's own client is told."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from agents.doors.guard import MAX_BODY_BYTES, BodyLimit, Guard
from agents.gateway.held import Held
from agents.gateway.keys import KeyStore
from tests.clients import ASKED, Calm, client, get, post
from tests.loopback import listening
from tests.served import BOUND_S, Watched, a_service, ran, records, served, whole

pytestmark = pytest.mark.loopback

JSON = {"content-type": "application/json"}


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
    reply = httpx2.post(f"{calm[0].url}/v1/route", content=body, headers=JSON, timeout=BOUND_S)
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("DELETE", "/v1/models", 405)])
def test_a_wrong_address_is_told_in_openais_form(calm: Calm, method: str, path: str, status: int) -> None:
    reply = httpx2.request(method, f"{calm[0].url}{path}", timeout=BOUND_S)
    assert (reply.status_code, set(reply.json())) == (status, {"error"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""])
def test_an_open_server_does_not_answer_to_a_foreign_name_that_points_at_it(calm: Calm, host: str) -> None:
    for path in ("/v1/models", "/metrics"):
        reply = get(calm[0], path, headers={"host": host})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "bad_host")


def test_a_foreign_pages_form_is_no_request(calm: Calm) -> None:
    """A page may send text/plain anywhere without asking first."""
    body = json.dumps({"input": "hello"})
    reply = httpx2.post(
        f"{calm[0].url}/v1/route", content=body, headers={"content-type": "text/plain"}, timeout=BOUND_S
    )
    assert reply.status_code == 400


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(calm: Calm, announced: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    content = body if announced else (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    reply = httpx2.post(f"{calm[0].url}/v1/chat/completions", content=content, headers=JSON, timeout=BOUND_S)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")
    assert 'weighbridge_refused_total{status="413"} 1.0' in get(calm[0], "/metrics").text.splitlines()


def test_a_body_that_never_comes_is_not_waited_for() -> None:
    """Ten bytes are announced, one comes."""
    refused: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # Any: the ASGI interface
        while (part := await receive())["type"] == "http.request" and part["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    with listening(BodyLimit(app, body_s=0.2, refused=refused.append)) as url:
        at = urlsplit(url)
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=BOUND_S) as line:
            line.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n1")
            reply = b""
            while not reply.endswith(b"}") and (part := line.recv(65_536)):
                reply += part
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 0.2 s" in reply
    assert refused == [408]


def test_who_waits_for_a_long_answer_is_not_cut_off_by_the_limit_of_bodies() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # Any: the ASGI interface
        while (await receive())["more_body"]:
            pass
        left = asyncio.ensure_future(receive())
        await asyncio.wait({left}, timeout=0.3)
        assert not left.done(), "the client is said to have left"
        left.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    with listening(BodyLimit(app, body_s=0.1)) as url:
        assert httpx2.post(url, content=b"{}", timeout=BOUND_S).text == "late"


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
        ran(service.log.close())
        with pytest.raises(openai.InternalServerError) as caught:
            asking.chat.completions.create(model="chat", messages=ASKED)
    assert caught.value.status_code == 503
    assert model.requests == []


def test_a_fault_of_ours_is_told_in_openais_form_and_without_its_words(held: Held, tmp_path: Path) -> None:
    service = a_service(held, tmp_path, Watched())

    async def trip(*_: object, **__: object) -> None:
        raise RuntimeError("over the zebra")

    service.decide = trip  # type: ignore[assignment,method-assign]  # broken on purpose
    with records() as found, served(service) as server:
        reply = post(server, "/v1/route", {"input": "hello"})
        metrics = get(server, "/metrics").text.splitlines()
    assert (reply.status_code, reply.json()["error"]["type"]) == (500, "server_error")
    assert "zebra" not in reply.text
    assert [said.getMessage() for said in found if "zebra" in f"{said.getMessage()} {said.exc_info}"] == []
    assert next(said.getMessage() for said in found if said.levelname == "ERROR").startswith(
        "RuntimeError in trip, test_serve"
    )
    assert 'weighbridge_refused_total{status="500"} 1.0' in metrics
