"""A turn's events as OpenAI's wire: whole, or piece by piece. An answer is one model's whole, or it is no answer.

OpenAI's stream knows no new beginning. Where a model fails after its first piece, a stream therefore ends in an error, so
that nobody takes two halves for one answer; a client that asked for `stream_options.include_restarts` gets the new answer
as the next choice index instead, and the old one's finish reason says "restarted".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from urllib.parse import quote

from agents.doors.chat_reply import DONE, Json, Reply, error_json, sse, tool_delta, usage_json
from agents.gateway.answering import AnswerRecord, Broken, Done, Piece, Refused, Restarted, Started
from agents.gateway.deciding import RouteChoice
from agents.gateway.service import Decided, TurnEvent
from agents.types import TextDelta, ToolCall

Events = AsyncGenerator[TurnEvent, None]
RESTARTED = "restarted"
BROKEN = "broken_off"
PLAIN = "".join(map(chr, range(0x20, 0x7F)))  # what a header's value may hold as it is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """A turn up to its first answer. refused: the error, where no model takes the request."""

    choice: RouteChoice
    started: Started | None
    refused: Json | None
    events: Events


async def opened(events: Events) -> Opened:
    """Read up to `Started`, so that a stream's headers can name who answers; what cannot begin is refused before it does."""
    choice: RouteChoice | None = None
    async for event in events:
        if isinstance(event, Decided):
            choice = event.choice
        elif isinstance(event, Refused):
            assert choice is not None
            await events.aclose()
            return Opened(choice=choice, started=None, refused=_refusal(event), events=events)
        elif isinstance(event, Started):
            assert choice is not None
            return Opened(choice=choice, started=event, refused=None, events=events)
    raise AssertionError("a turn ends in Done or Refused")


async def whole(events: Events, *, created: int) -> tuple[Json, dict[str, str], int]:
    """(body, headers, status) of the whole answer; pieces that a restart made void are thrown away."""
    first = await opened(events)
    if first.refused is not None or first.started is None:
        return first.refused or {}, headers_of(first.choice, None), 400
    text: list[str] = []
    calls: dict[int, list[str]] = {}
    begun: Started | Restarted = first.started
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Restarted):
                begun, text, calls = event, [], {}
            elif isinstance(event, Piece):
                _take(event, text, calls)
            elif isinstance(event, Refused):
                return _refusal(event), headers_of(first.choice, None), 400
            elif isinstance(event, Done):
                record = event.record
                reply = Reply(
                    reply_id=f"chatcmpl-{first.choice.decision_id}", created=created, model=_model(record, begun)
                )
                found = tuple(
                    ToolCall(call_id=i, name=name, arguments=rest) for _, (i, name, rest) in sorted(calls.items())
                )
                answered = record.answered_by
                body = reply.whole(
                    "".join(text), found, finish=record.finish_reason or "stop",
                    usage=answered.usage if answered else None, extra={"weighbridge": extra_json(first.choice, record)},
                )  # fmt: skip
                return body, headers_of(first.choice, begun, record), 200
    raise AssertionError("a turn ends in Done or Refused")


async def streamed(first: Opened, *, created: int, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """Server-sent events of an opened turn. Closing it closes the turn, and with it the call upstream."""
    assert first.started is not None
    reply = Reply(
        reply_id=f"chatcmpl-{first.choice.decision_id}",
        created=created,
        model=first.started.model or first.started.route,
    )
    index = 0
    async with aclosing(first.events) as events:
        yield sse(reply.chunk({"role": "assistant", "content": ""}, index=index))
        async for event in events:
            if isinstance(event, Restarted):
                yield sse(reply.chunk({}, index=index, finish=RESTARTED))
                index, reply = index + 1, replace(reply, model=event.model or event.route)
                marked = {"weighbridge": {"restarted": True, "route": event.route, "why": event.why}}
                yield sse(reply.chunk({"role": "assistant", "content": ""}, index=index, extra=marked))
            elif isinstance(event, Piece):
                delta = event.delta
                content = {"content": delta.text} if isinstance(delta, TextDelta) else tool_delta(delta)
                yield sse(reply.chunk(content, index=index))
            elif isinstance(event, Refused):
                yield sse(_refusal(event))
                return
            elif isinstance(event, Broken):
                yield sse(error_json(f"the answer broke off: {event.why}", kind="upstream_error", code=BROKEN))
                return
            elif isinstance(event, Done):
                for chunk in _ending(reply, first.choice, event.record, index=index, include_usage=include_usage):
                    yield sse(chunk)
                yield DONE


def headers_of(
    choice: RouteChoice, begun: Started | Restarted | None, record: AnswerRecord | None = None
) -> dict[str, str]:
    """What the decision was, in headers; of a stream, what is known before it begins."""
    found = {
        "x-weighbridge-route": record.route if record else begun.route if begun else choice.route,
        "x-weighbridge-model": (record.served_model if record else begun.model if begun else None) or "none",
        "x-weighbridge-confidence": "none" if choice.confidence is None else f"{choice.confidence:.6f}",
        "x-weighbridge-reason": choice.rule,
        "x-weighbridge-decision-id": choice.decision_id,
        "x-weighbridge-simulated": str(bool(begun and begun.simulated)).lower(),
    }
    if (degraded := _degraded(choice, begun)) is not None:
        found["x-weighbridge-degraded"] = degraded
    if record is not None:
        found["x-weighbridge-cost-usd"] = "unknown" if record.cost_usd is None else f"{record.cost_usd:.9f}"
    # a provider names its model as it likes
    return {name: quote(value, safe=PLAIN, errors="replace") for name, value in found.items()}


def _degraded(choice: RouteChoice, begun: Started | Restarted | None) -> str | None:
    """How an answer is less than what was decided: cached, fixed, or another route's; None where it is not."""
    if begun is None or (begun.source == "model" and begun.route == choice.route):
        return None
    return {"cache": "cached", "fixed": "fixed", "model": "fallback"}[begun.source]


def extra_json(choice: RouteChoice, record: AnswerRecord) -> Json:
    """What only Weighbridge tells of an answer."""
    return {
        "decision_id": choice.decision_id,
        "route": record.route,
        "requested_route": record.requested,
        "ending": record.ending,
        "simulated": record.simulated,
        "cost_usd": record.cost_usd,
        "cost_reason": record.cost_reason,
        "attempts": len(record.attempts),
        "other_model": record.other_model,
        "latency_ms": record.latency_ms,
    }


def _ending(reply: Reply, choice: RouteChoice, record: AnswerRecord, *, index: int, include_usage: bool) -> list[Json]:
    ended = reply.chunk(
        {}, index=index, finish=record.finish_reason or "stop", extra={"weighbridge": extra_json(choice, record)}
    )
    if not include_usage:
        return [ended]
    answered = record.answered_by
    return [ended, reply.chunk(extra={"usage": usage_json(answered.usage if answered else None)})]


def _take(piece: Piece, text: list[str], calls: dict[int, list[str]]) -> None:
    delta = piece.delta
    if isinstance(delta, TextDelta):
        text.append(delta.text)
        return
    call = calls.setdefault(delta.index, ["", "", ""])
    for position, part in enumerate((delta.call_id, delta.name, delta.arguments)):
        call[position] += part or ""


def _refusal(event: Refused) -> Json:
    return error_json(event.why, kind="invalid_request_error")


def _model(record: AnswerRecord, begun: Started | Restarted) -> str:
    return record.served_model or begun.model or record.route
