"""A stage for the chat page: serves web/ under the real content policy, and says over its socket what a test tells it to."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.loopback import listening

Json = dict[str, Any]  # Any: whatever JSON can hold
WEB = Path(__file__).resolve().parent.parent / "web"
POLICY = b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
WAIT_S = 20.0  # for the page: a busy machine takes its time
MODELS = ("auto", "router-pam-0.62", "chat", "trip", "budget")


class Stage:
    """The other end of the page's socket, driven step by step from a test.

    key: what the page must give as its subprotocol, or None where the server asks for none.   openings: what each socket
    asked for. Messages are numbered per session and kept, as the server does, and a new socket gets what it has not seen.
    """

    def __init__(self) -> None:
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reset()

    def reset(self) -> None:
        """As new: nobody has said anything."""
        self.key: str | None = None
        self.openings: list[Json] = []
        self._heard: queue.Queue[Json] = queue.Queue()
        self._kept: dict[str, list[Json]] = {}
        self._open: WebSocket | None = None
        self._session = ""

    def hears(self, kind: str) -> Json:
        """The next message of the page of this kind; earlier ones of other kinds are passed over."""
        by = time.monotonic() + WAIT_S
        while True:
            message = self._heard.get(timeout=max(0.0, by - time.monotonic()))
            if message["type"] == kind:
                return message

    def silent(self) -> bool:
        """Whether the page has said nothing that a test has not asked for."""
        return self._heard.empty()

    def say(self, kind: str, turn: str | None, **content: Any) -> Json:  # Any: whatever JSON can hold
        """Number a message, keep it, and send it if a socket is open."""
        kept = self._kept[self._session]
        message = {"type": kind, "turn": turn, "seq": len(kept) + 1, **content}
        kept.append(message)
        self.send(message)
        return message

    def send(self, message: Json) -> None:
        """Send exactly this, if a socket is open."""
        if self._open is not None:
            self._run(self._open.send_json(message))

    def drop(self, code: int = 1012) -> None:
        """Close the socket."""
        if self._open is not None:
            opened, self._open = self._open, None
            self._run(opened.close(code=code))

    def forget(self) -> None:
        """Lose the sessions, as after a restart."""
        self._kept.clear()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:  # Any: typing's own unused slots
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=WAIT_S)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})

    async def _socket(self, opened: WebSocket) -> None:
        self._loop = asyncio.get_running_loop()
        offered = opened.scope["subprotocols"]
        await opened.accept(subprotocol="weighbridge")
        session, last_seq = opened.query_params["session"], int(opened.query_params["last_seq"])
        self.openings.append({"session": session, "last_seq": last_seq, "subprotocols": offered})
        if self.key is not None and f"key.{self.key}" not in offered:
            await opened.close(code=4401)
            return
        kept = self._kept.setdefault(session, [])
        if last_seq > len(kept):
            await opened.close(code=4400)
            return
        at = last_seq
        while at < len(kept):  # a test may say more while earlier messages are sent
            await opened.send_json(kept[at])
            at += 1
        self._session, self._open = session, opened
        try:
            await self._listen(opened)
        except WebSocketDisconnect:
            if self._open is opened:
                self._open = None

    async def _listen(self, opened: WebSocket) -> None:
        while True:
            message = await opened.receive_json()
            if message["type"] == "ping":
                await opened.send_json({"type": "pong", "turn": None, "seq": None})
            else:
                self._heard.put(message)

    def app(self) -> Any:  # Any: an ASGI application
        """What is served: the page, the names of its routes, and the socket."""
        routes = [
            Route("/v1/models", self._models),
            WebSocketRoute("/ws", self._socket),
            Mount("/", StaticFiles(directory=WEB, html=True)),
        ]
        return _with_policy(Starlette(routes=routes))


@contextmanager
def staged() -> Iterator[Stage]:
    """A stage that serves until the end of the block. url: with a trailing slash."""
    stage = Stage()
    with listening(stage.app(), ws="auto") as url:
        stage.url = f"{url}/"
        yield stage


def _with_policy(app: Starlette) -> Any:  # Any: an ASGI application
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        async def policed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await app(scope, receive, policed if scope["type"] == "http" else send)

    return served


def decision(**changed: Any) -> Json:  # Any: whatever JSON can hold
    """A decision for the trip desk, as the server sends one."""
    made: Json = {
        "decision_id": "d-1",
        "route": "trip",
        "model": "claude-sonnet-5-5",
        "provider": "anthropic",
        "simulated": False,
        "confidence": 0.62,
        "rule": "desk",
        "probabilities": {
            "complexity": {"simple": 0.26, "complex": 0.74},
            "domain": {"budget": 0.11, "trip": 0.84, "out_of_scope": 0.05},
        },
        "novelty": 0.41,
        "restarted": False,
        "why": None,
    }
    return made | changed


def final(text: str, **changed: Any) -> Json:  # Any: whatever JSON can hold
    """The end of an answer, as the server sends it."""
    made: Json = {
        "decision_id": "d-1",
        "text": text,
        "route": "trip",
        "model": "claude-sonnet-5-5",
        "served_model": "claude-sonnet-5-5",
        "cost_usd": 0.004321,
        "latency_ms": 1874.0,
        "first_token_ms": 412.0,
        "cached": False,
        "fixed": False,
        "simulated": False,
        "cancelled": False,
    }
    return made | changed
