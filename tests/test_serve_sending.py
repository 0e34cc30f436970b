"""A client that leaves, or stays and takes nothing, ends the call upstream; a server that stops completes its records."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agents.doors.chat_run import opened, streamed
from agents.doors.sending import StreamedTurn
from agents.gateway.events import ChatRequest
from agents.gateway.held import Held
from agents.gateway.settings import Settings
from agents.types import Message, TextDelta
from tests.clients import ASKED, client
from tests.loopback import listening
from tests.served import BOUND_S, Gate, Watched, a_service, logged, ran, records, served

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("asked_for", [False, True])
def test_a_client_that_closes_its_stream_ends_the_call_upstream(held: Held, tmp_path: Path, asked_for: bool) -> None:
    model = Watched([TextDelta(text="Once"), Gate(), TextDelta(text=" upon")])
    with served(a_service(held, tmp_path, model)) as server, client(server) as asking:
        stream = asking.chat.completions.create(
            model="chat", messages=ASKED, stream=True, stream_options={"include_usage": asked_for}
        )
        assert next(iter(stream)).choices[0].delta.content == ""
        stream.close()
        assert model.ended.acquire(timeout=BOUND_S)
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
        async with httpx2.AsyncClient(timeout=BOUND_S) as asking:
            body = {"model": "chat", "messages": ASKED, "stream": stream}
            task = asyncio.create_task(asking.post(f"{url}/v1/chat/completions", json=body))
            await asyncio.to_thread(gate.reached)
            task.cancel()
            await asyncio.wait({task})

    with records() as found, served(a_service(held, tmp_path, model, settings=settings)) as server:
        ran(ask_and_leave(server.url))
        assert model.ended.acquire(timeout=BOUND_S)
    assert model.cut == 1
    assert [record.getMessage() for record in found if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_stopping_the_server_completes_the_record_of_a_running_answer(held: Held, tmp_path: Path, stream: bool) -> None:
    gate = Gate()
    body = {"model": "chat", "messages": ASKED, "stream": stream}

    async def ask(url: str) -> None:
        async with httpx2.AsyncClient(timeout=BOUND_S) as asking:
            with contextlib.suppress(httpx2.HTTPError):
                await asking.post(f"{url}/v1/chat/completions", json=body)

    with served(a_service(held, tmp_path, Watched([TextDelta(text="Once"), gate]))) as server:
        asking = threading.Thread(target=lambda: ran(ask(server.url)), daemon=True)
        asking.start()
        gate.reached()
    asking.join(BOUND_S)
    assert not asking.is_alive()
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"


def test_a_client_that_takes_nothing_for_too_long_ends_the_call_upstream(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="a" * 100_000) for _ in range(200)])  # more than all buffers between the two hold
    service = a_service(held, tmp_path, model, settings=Settings(retries=0, between_events_s=60.0))

    async def answer(_: Request) -> Response:
        chat = ChatRequest(messages=(Message(role="user", text="hello"),))
        first = await opened(service.turn(chat, asked="chat", principal="ann"))
        return StreamedTurn(streamed(first, created=0, include_usage=False), first, headers={}, send_s=0.3)

    with listening(Starlette(routes=[Route("/", answer)])) as url, socket.socket() as line:
        at = urlsplit(url)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.settimeout(BOUND_S)
        line.connect((at.hostname, at.port))
        line.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert model.ended.acquire(timeout=BOUND_S)
        assert model.cut == 1
    ran(service.close())
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"
