"""A turn's events as the page's messages."""

from __future__ import annotations

from typing import Any

from agents.doors.decision_json import beginning_json
from agents.doors.session import Session
from agents.gateway.answering import AnswerRecord, Done, Piece, Refused, Restarted, Started
from agents.gateway.deciding import RouteChoice
from agents.gateway.service import Decided
from agents.types import TextDelta, ToolCallDelta


class Teller:
    """Tells one turn to a session. asked: the user's message."""

    def __init__(self, session: Session, *, turn: str, asked: str) -> None:
        self._session, self._turn, self._asked = session, turn, asked
        self._choice: RouteChoice | None = None
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}

    async def tell(self, event: object) -> None:
        """Say one event."""
        say, turn = self._session.say, self._turn
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

    async def cancelled(self) -> None:
        """The reader stopped it, or left."""
        await self._final("".join(self._text), None, cancelled=True)

    async def _done(self, record: AnswerRecord) -> None:
        for name, arguments in self._calls.values():
            await self._session.say("tool_call", self._turn, {"name": name, "arguments": arguments})
        text = "".join(self._text)
        self._session.remember(self._asked, text)
        await self._final(text, record, cancelled=False)

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
        await self._session.say("final", self._turn, content)
