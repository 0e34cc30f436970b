"""OpenAI's wire: how each failure is told, and that none shows what was asked. Over real sockets on this machine."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import httpx2
import pytest

from agents.models.openai_wire import OpenAIModel
from agents.models.protocol import Model, collect
from agents.models.upstream import Upstream
from agents.types import Message
from router.errors import ModelError
from tests.conformance.model import REQUEST
from tests.wire_clients import HASTY, KEY, Wire, openai_at, wired
from tests.wire_servers import (
    DONE,
    Reply,
    chunk,
    event,
    json_error,
    openai_text,
)

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with wired(openai_at) as found:
        yield found


@asynccontextmanager
async def closing(model: Model) -> AsyncIterator[Model]:
    try:
        yield model
    finally:
        await model.close()


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
def test_a_status_is_told_by_its_kind_after_one_request(wire: Wire, status: int, kind: str) -> None:
    err = wire.failure(json_error(status, {"message": "no"}))
    assert err.kind == kind
    assert f"upstream: HTTP {status}" in str(err)
    assert len(wire.server.received) == 1


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
def test_an_error_within_the_stream_is_told_by_its_kind(wire: Wire, body: Mapping[str, object], kind: str) -> None:
    assert wire.failure(Reply(steps=[chunk({"content": "a"}), event({"error": body}), DONE])).kind == kind


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
def test_a_stream_that_cannot_be_read_is_broken(wire: Wire, broken: bytes) -> None:
    assert wire.failure(Reply(steps=[chunk({"content": "a"}), broken])).kind == "broken_stream"


def test_a_slow_first_byte_is_a_timeout(wire: Wire) -> None:
    assert wire.failure(Reply(steps=[2.0, *openai_text("a")]), timeouts=HASTY).kind == "timeout"


def test_an_address_that_nobody_listens_at_is_unreachable(wire: Wire) -> None:
    with pytest.raises(ModelError) as caught:
        asyncio.run(collect(wire.nowhere().stream(REQUEST)))
    err = caught.value
    assert err.kind == "unreachable"
    assert "check `base_url`" in str(err)


def test_a_name_that_no_one_knows_is_unreachable() -> None:
    def unknown(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("[Errno -2] Name or service not known", request=request)

    async def asked() -> None:
        nowhere = Upstream(base_url="https://nowhere.example/v1", transport=httpx2.MockTransport(unknown))
        async with aclosing(OpenAIModel("upstream", nowhere).stream(REQUEST)) as stream:
            await anext(stream)

    with pytest.raises(ModelError) as caught:
        asyncio.run(asked())
    assert caught.value.kind == "unreachable"


def test_a_reader_that_is_cancelled_before_the_first_byte_lets_go(wire: Wire) -> None:
    wire.server.plays(Reply(steps=[4.0, *openai_text("a")]))

    async def impatient() -> None:
        async with closing(wire.opened()) as model:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(collect(model.stream(REQUEST)), 0.2)

    asyncio.run(impatient())
    assert wire.server.received[0].gone.wait(2)


def test_text_that_is_no_unicode_is_a_bad_request_that_is_never_sent(wire: Wire) -> None:
    err = wire.failure(None, request=replace(REQUEST, messages=(Message(role="user", text="\ud800"),)))
    assert err.kind == "bad_request"
    assert wire.server.received == []


def test_a_failure_shows_neither_key_nor_header_nor_query(wire: Wire) -> None:
    echo = f"{KEY} where does the water go in winter? set-cookie"
    replies = [json_error(400, {"message": echo, "type": echo, "code": echo}), Reply(steps=[event({"error": echo})])]
    for reply in replies:
        err = wire.failure(reply)
        shown = "".join(traceback.format_exception(err, chain=True)) + repr(err)
        assert KEY not in shown
        assert "winter" not in shown
        assert "set-cookie" not in shown


def test_a_model_shows_no_key(wire: Wire) -> None:
    model = wire.opened()
    assert repr(model) == f"OpenAIModel('upstream', base_url='{wire.server.url}/v1')"


def test_a_provider_that_asks_to_wait_is_heard(wire: Wire) -> None:
    err = wire.failure(json_error(429, {"message": "slow down"}, retry_after="7"))
    assert (err.kind, err.retry_after_s) == ("rate_limited", 7.0)


def test_a_connection_is_used_again_after_a_whole_answer(wire: Wire) -> None:
    wire.server.plays(*[Reply(steps=openai_text("a"))] * 2)

    async def twice() -> set[str]:
        async with closing(wire.opened()) as model:
            return {(await collect(model.stream(REQUEST))).text for _ in range(2)}

    assert asyncio.run(twice()) == {"a"}
    assert len({received.client for received in wire.server.received}) == 1
