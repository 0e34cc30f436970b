"""Anthropic's wire: how each failure is told, and that none shows what was asked. Over real sockets on this machine."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator

import pytest

from agents.models.protocol import collect
from tests.conformance.model import REQUEST
from tests.wire_clients import HASTY, KEY, Wire, anthropic_at, wired
from tests.wire_servers import (
    Reply,
    Step,
    anthropic_text,
    event,
    json_error,
    message_end,
    message_start,
    named,
    text_block,
)

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with wired(anthropic_at) as found:
        yield found


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
def test_a_status_is_told_by_its_kind_after_one_request(wire: Wire, status: int, kind: str) -> None:
    err = wire.failure(json_error(status, {"message": "no"}, retry_after="3"))
    assert (err.kind, err.retry_after_s) == (kind, 3.0)
    assert len(wire.server.received) == 1


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
def test_an_error_within_the_stream_is_told_by_its_kind(wire: Wire, name: str, kind: str) -> None:
    error = named("error", error={"type": name, "message": "no"})
    assert wire.failure(Reply(steps=[message_start(), *text_block(0, "a"), error])).kind == kind


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
def test_a_stream_without_its_end_is_broken(wire: Wire, ending: list[Step]) -> None:
    assert wire.failure(Reply(steps=[message_start(), *text_block(0, "a"), *ending])).kind == "broken_stream"


def test_a_slow_first_byte_is_a_timeout(wire: Wire) -> None:
    assert wire.failure(Reply(steps=[2.0, *anthropic_text("a")]), timeouts=HASTY).kind == "timeout"


def test_a_failure_shows_neither_key_nor_query(wire: Wire) -> None:
    echo = f"{KEY} where does the water go in winter?"
    for reply in (
        json_error(400, {"message": echo, "type": echo}),
        Reply(steps=[message_start(), named("error", error={"type": echo, "message": echo})]),
    ):
        err = wire.failure(reply)
        shown = "".join(traceback.format_exception(err, chain=True)) + repr(err)
        assert KEY not in shown
        assert "winter" not in shown


def test_the_sdk_logs_no_query_however_much_is_logged(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        wire.answer(*anthropic_text("a"))
    assert "winter" not in caplog.text
    assert KEY not in caplog.text


def test_a_model_shows_no_key(wire: Wire) -> None:
    assert repr(wire.opened()) == f"AnthropicModel('upstream', base_url='{wire.server.url}')"


def test_a_connection_is_used_again_after_a_whole_answer(wire: Wire) -> None:
    wire.server.plays(*[Reply(steps=anthropic_text("a"))] * 2)

    async def twice() -> None:
        model = wire.opened()
        for _ in range(2):
            await collect(model.stream(REQUEST))
        await model.close()

    asyncio.run(twice())
    assert len({received.client for received in wire.server.received}) == 1
