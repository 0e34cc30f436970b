"""The page's WebSocket: JSON messages with a turn and a number each; a conversation survives a broken connection."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial

import anyio
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from agents.doors.guard import KEY_PROTOCOL, DeniedError, Guard
from agents.doors.session import Session, Sessions
from agents.doors.socket_forms import INCOMING, CancelForm, FeedbackForm, MessageForm, PingForm, faults
from agents.doors.teller import Teller
from agents.gateway.answering import ChatRequest
from agents.gateway.service import Service
from agents.types import Message
from router.errors import WeighbridgeError

logger = logging.getLogger(__name__)

PROTOCOL = "weighbridge"
TURNS_AT_ONCE = 4  # of one session
SEND_S = (
    10.0  # a page that takes nothing for so long is gone: its answers must not wait for it, nor a server that stops
)
UNAUTHORISED, TOO_MANY, BAD_SESSION = 4401, 4429, 4400  # close codes
NUMBER = re.compile("[0-9]{1,18}")

Admit = Callable[[], Awaitable[str]]


def talk(
    service: Service, guard: Guard, sessions: Sessions, *, send_s: float = SEND_S
) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint `WS /ws?session=ID&last_seq=N`. send_s: how long a page may take nothing."""

    async def endpoint(socket: WebSocket) -> None:
        async def admit() -> str:  # in a thread: keys are read from a file
            return await asyncio.to_thread(guard.admit, _secret(socket), "chat")

        try:
            guard.require_host(socket.headers.get("host"))
            guard.require_origin(socket.headers.get("origin"), socket.headers.get("host"))
            principal = await admit()
            if not guard.sockets.enter(principal):
                raise DeniedError(429, "too many open connections.", code="too_many_connections")
        except DeniedError as err:
            service.metrics.refused.labels(str(err.status)).inc()
            await _turn_away(socket, err)
            return
        try:
            service.metrics.open_sockets.inc()
            await _converse(_Line(socket, send_s=send_s), service, sessions, principal, admit)
        finally:
            service.metrics.open_sockets.dec()
            guard.sockets.leave(principal)

    return endpoint


class _Line:
    """One socket, from which whoever takes nothing for `send_s` is dropped. while_open: what ends with it."""

    def __init__(self, socket: WebSocket, *, send_s: float) -> None:
        self.socket = socket
        self.while_open = anyio.CancelScope()
        self._send_s = send_s
        self._writing = asyncio.Lock()  # two turns must not write at once

    async def send(self, text: str) -> None:
        """Say something, or nothing where the other end is gone: the session keeps it for the next socket."""
        async with self._writing:
            if self.while_open.cancel_called:
                return
            try:
                async with asyncio.timeout(self._send_s):
                    await self.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                return
            except TimeoutError:
                logger.info("a page took nothing for %g s; its connection is dropped", self._send_s)
                self.while_open.cancel()

    async def hear(self) -> str:
        """The next text; a binary frame reads as one that is no message."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return message.get("text") or ""


async def _converse(line: _Line, service: Service, sessions: Sessions, principal: str, admit: Admit) -> None:
    socket, send = line.socket, line.send  # one `send`: a session knows a socket by it
    await socket.accept(subprotocol=_protocol(socket))
    last = socket.query_params.get("last_seq", "0")
    try:
        session = sessions.open(socket.query_params.get("session") or uuid.uuid4().hex, principal=principal)
    except WeighbridgeError as err:
        await socket.close(BAD_SESSION, _reason(err))
        return
    try:
        with line.while_open:
            await session.attach(send, last_seq=int(last) if NUMBER.fullmatch(last) else -1)
            while True:
                await _handle(await line.hear(), service, session, admit)
    except WeighbridgeError as err:
        if session.left and not session.sequence:  # made just now, for a number that it never gave
            sessions.let_go(session)
        await socket.close(BAD_SESSION, _reason(err))
    except (WebSocketDisconnect, RuntimeError):  # RuntimeError: of a socket that broke while something was sent
        return
    finally:
        session.detach(send, gone=partial(sessions.let_go, session), grace_s=sessions.grace_s)


async def _handle(raw: str, service: Service, session: Session, admit: Admit) -> None:
    try:
        form = INCOMING.validate_json(raw)
    except ValidationError as err:
        await session.say("error", None, {"code": "bad_message", "message": faults(err)})
        return
    if isinstance(form, PingForm):
        await session.pong()
    elif isinstance(form, CancelForm):
        if (running := session.turns.get(form.turn)) is not None:
            running.cancel()
    elif isinstance(form, FeedbackForm):
        await _feedback(form, service, session)
    else:
        await _begin(form, service, session, admit)


async def _begin(form: MessageForm, service: Service, session: Session, admit: Admit) -> None:
    """Start a turn, if the key still holds and its rate allows: an open socket is no way around either."""
    if form.turn in session.seen:  # sent again by a page that did not hear of it: what it said is kept, and comes
        return
    try:
        principal = await admit()
    except DeniedError as err:
        await session.say("error", form.turn, {"code": err.code, "message": str(err)})
        return
    if len(session.turns) >= TURNS_AT_ONCE:
        message = f"{len(session.turns)} turns are running; wait, or cancel one."
        await session.say("error", form.turn, {"code": "too_many_turns", "message": message})
        return
    task = asyncio.get_running_loop().create_task(_answer(form, service, session, principal))
    session.turns[form.turn] = task
    session.seen.append(form.turn)
    task.add_done_callback(lambda _: session.turns.pop(form.turn, None))
    await asyncio.sleep(0)  # a task that is cancelled before its first step would end without a word


async def _answer(form: MessageForm, service: Service, session: Session, principal: str) -> None:
    """One turn, from the message to `final`. What was said before goes along."""
    messages = [Message(role="user" if role == "user" else "assistant", text=text) for role, text in session.history]
    chat = ChatRequest(messages=(*messages, Message(role="user", text=form.text)))
    teller = Teller(session, turn=form.turn, asked=form.text)
    try:
        async with aclosing(service.turn(chat, asked=form.route, principal=principal)) as events:
            async for event in events:
                await teller.tell(event)
    except asyncio.CancelledError:
        await teller.cancelled()
    except WeighbridgeError as err:
        await session.say("error", form.turn, {"code": "refused", "message": str(err)})
    except Exception as err:  # whatever broke, the page must not wait for ever
        logger.error("a turn broke off: %s", type(err).__qualname__)
        await session.say("error", form.turn, {"code": "failed", "message": "something failed here; ask again."})


async def _feedback(form: FeedbackForm, service: Service, session: Session) -> None:
    try:
        await service.feedback(form.decision_id, score=float(form.score > 0), labels=None)
    except WeighbridgeError as err:
        await session.say("error", None, {"code": "bad_feedback", "message": str(err)})


def _secret(socket: WebSocket) -> str | None:
    offered = socket.scope.get("subprotocols", [])
    return next((name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)), None)


def _protocol(socket: WebSocket) -> str | None:
    return PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None


async def _turn_away(socket: WebSocket, err: DeniedError) -> None:
    """A browser learns a close code only from an accepted socket; a foreign page gets none."""
    if err.code in ("bad_origin", "bad_host"):
        await socket.close(1008)
        return
    await socket.accept(subprotocol=_protocol(socket))
    await socket.close(UNAUTHORISED if err.status in (401, 403) else TOO_MANY, _reason(err))


def _reason(err: Exception) -> str:
    """A close frame holds 123 bytes of reason."""
    return str(err).encode()[:120].decode(errors="ignore")
