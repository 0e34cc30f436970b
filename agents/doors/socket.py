"""The page's WebSocket: JSON messages with a turn and a number each; a conversation survives a broken connection."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from agents.doors.decision_json import beginning_json
from agents.doors.guard import KEY_PROTOCOL, DeniedError, Guard
from agents.doors.session import Json, Session, Sessions
from agents.gateway.answering import AnswerRecord, ChatRequest, Done, Piece, Refused, Restarted, Started
from agents.gateway.deciding import RouteChoice
from agents.gateway.service import AUTO, Decided, Service
from agents.types import Message, TextDelta, ToolCallDelta
from router.errors import WeighbridgeError
from router.types import MAX_TEXT_CHARS

logger = logging.getLogger(__name__)

PROTOCOL = "weighbridge"
TURNS_AT_ONCE = 4  # of one session
UNAUTHORISED, TOO_MANY, BAD_SESSION = 4401, 4429, 4400  # close codes
NUMBER = re.compile("[0-9]{1,18}")
Turn = Annotated[str, Field(min_length=1, max_length=64)]


class Form(BaseModel):
    """What comes in is exactly one of the forms below."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MessageForm(Form):
    """A user's message; `route` is auto, a route's name, or router-<bundle>-<threshold>."""

    type: Literal["message"]
    turn: Turn
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
    route: Annotated[str, Field(min_length=1, max_length=200)] = AUTO


class CancelForm(Form):
    """Stop a running turn."""

    type: Literal["cancel"]
    turn: Turn


class FeedbackForm(Form):
    """A thumb: 1 up, −1 down."""

    type: Literal["feedback"]
    decision_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    score: Literal[1, -1]


class PingForm(Form):
    """Are you there?"""

    type: Literal["ping"]


Incoming = MessageForm | CancelForm | FeedbackForm | PingForm
INCOMING: TypeAdapter[Incoming] = TypeAdapter(Annotated[Incoming, Field(discriminator="type")])


def talk(service: Service, guard: Guard, sessions: Sessions) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint `WS /ws?session=ID&last_seq=N`."""

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
            await _turn_away(socket, err)
            return
        try:
            service.metrics.open_sockets.inc()
            await _converse(socket, service, sessions, principal, admit)
        finally:
            service.metrics.open_sockets.dec()
            guard.sockets.leave(principal)

    return endpoint


async def _converse(
    socket: WebSocket, service: Service, sessions: Sessions, principal: str, admit: Callable[[], Awaitable[str]]
) -> None:
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
    last = socket.query_params.get("last_seq", "0")
    writing = asyncio.Lock()  # two turns must not write at once

    async def send(message: Json) -> None:
        async with writing:
            try:
                await socket.send_text(json.dumps(message))  # ASCII: a piece may end in half an emoji
            except (WebSocketDisconnect, RuntimeError):  # gone; the session keeps it for the next socket
                return

    try:
        session = sessions.open(socket.query_params.get("session") or uuid.uuid4().hex, principal=principal)
    except WeighbridgeError as err:
        await socket.close(BAD_SESSION, _reason(err))
        return
    try:
        await session.attach(send, last_seq=int(last) if NUMBER.fullmatch(last) else -1)
        while True:
            await _handle(await _frame(socket), service, session, admit)
    except WeighbridgeError as err:
        if session.left and not session.sequence:  # made just now, for a number that it never gave
            sessions.let_go(session)
        await socket.close(BAD_SESSION, _reason(err))
    except (WebSocketDisconnect, RuntimeError):  # RuntimeError: of a socket that broke while something was sent
        return
    finally:
        session.detach(send, gone=partial(sessions.let_go, session), grace_s=sessions.grace_s)


async def _frame(socket: WebSocket) -> str:
    """The next text; a binary frame reads as one that is no message."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return message.get("text") or ""


async def _handle(raw: str, service: Service, session: Session, admit: Callable[[], Awaitable[str]]) -> None:
    try:
        form = INCOMING.validate_json(raw)
    except ValidationError as err:
        told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in err.errors()[:3])
        await session.say("error", None, {"code": "bad_message", "message": told})
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


async def _begin(form: MessageForm, service: Service, session: Session, admit: Callable[[], Awaitable[str]]) -> None:
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
    teller = _Teller(session, form)
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


class _Teller:
    """Turns a turn's events into the page's messages."""

    def __init__(self, session: Session, form: MessageForm) -> None:
        self._session, self._form = session, form
        self._choice: RouteChoice | None = None
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}

    async def tell(self, event: object) -> None:
        """Say one event."""
        say, turn = self._session.say, self._form.turn
        if isinstance(event, Decided):
            self._choice = event.choice
        elif isinstance(event, Started | Restarted):
            assert self._choice is not None
            self._text, self._calls = [], {}
            await say("decision", turn, beginning_json(self._choice, event))
        elif isinstance(event, Piece) and isinstance(event.delta, TextDelta):
            self._text.append(event.delta.text)
            await say("token", turn, {"text": event.delta.text})
        elif isinstance(event, Piece):
            assert isinstance(event.delta, ToolCallDelta)
            call = self._calls.setdefault(event.delta.index, ["", ""])
            call[0] += event.delta.name or ""
            call[1] += event.delta.arguments
        elif isinstance(event, Refused):
            await say("error", turn, {"code": "refused", "message": event.why})
        elif isinstance(event, Done):
            await self._done(event.record)

    async def _done(self, record: AnswerRecord) -> None:
        for name, arguments in self._calls.values():
            await self._session.say("tool_call", self._form.turn, {"name": name, "arguments": arguments})
        text = "".join(self._text)
        self._session.history.extend([("user", self._form.text), ("assistant", text)])
        await self._final(text, record, cancelled=False)

    async def cancelled(self) -> None:
        """The reader stopped it, or left."""
        await self._final("".join(self._text), None, cancelled=True)

    async def _final(self, text: str, record: AnswerRecord | None, *, cancelled: bool) -> None:
        content: dict[str, Any] = {  # Any: JSON
            "decision_id": self._choice.decision_id if self._choice else None,
            "text": text,
            "route": record.route if record else self._choice.route if self._choice else None,
            "model": record.attempts[-1].model if record and record.attempts else None,
            "served_model": record.served_model if record else None,
            "cost_usd": record.cost_usd if record else None,
            "latency_ms": record.latency_ms if record else None,
            "first_token_ms": record.first_token_ms if record else None,
            "cached": bool(record and record.cached),
            "fixed": bool(record and record.fixed),
            "simulated": bool(record and record.simulated),
            "cancelled": cancelled,
        }
        await self._session.say("final", self._form.turn, content)


async def _feedback(form: FeedbackForm, service: Service, session: Session) -> None:
    try:
        await service.feedback(form.decision_id, score=float(form.score > 0), labels=None)
    except WeighbridgeError as err:
        await session.say("error", None, {"code": "bad_feedback", "message": str(err)})


def _secret(socket: WebSocket) -> str | None:
    offered = socket.scope.get("subprotocols", [])
    return next((name.removeprefix(KEY_PROTOCOL) for name in offered if name.startswith(KEY_PROTOCOL)), None)


async def _turn_away(socket: WebSocket, err: DeniedError) -> None:
    """A browser learns a close code only from an accepted socket; a foreign page gets none."""
    if err.code in ("bad_origin", "bad_host"):
        await socket.close(1008)
        return
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
    await socket.close(UNAUTHORISED if err.status in (401, 403) else TOO_MANY, _reason(err))


def _reason(err: Exception) -> str:
    """A close frame holds 123 bytes of reason."""
    return str(err).encode()[:120].decode(errors="ignore")
