"""One message from door to record: decide, put the decision on record, answer, complete the record. Doors only translate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agents.gateway.answering import AnswerRecord, ChatRequest, Gateway, GatewayEvent
from agents.gateway.attempt_record import attempt_json
from agents.gateway.deciding import Decider, DeciderView, RouteChoice, parse_alias
from agents.gateway.decision_log import DecisionLog, NotRecordedError, UnknownDecisionError
from agents.gateway.loops import KEPT_S, loop_of
from agents.gateway.metrics import Metrics
from agents.gateway.recent import Recent, key_of
from agents.gateway.tracing import Tracing
from agents.models.protocol import Model
from router.errors import DataError
from router.rows import text_problem
from router.types import Route

__all__ = ["AUTO", "Decided", "NotRecordedError", "Service", "TurnEvent", "UnknownDecisionError"]

AUTO = "auto"
CONVERSATION_S = 3_600.0  # a pause after which nobody minds another voice, and no prompt cache is left
END_S = 2.0  # closing a stream upstream is a matter of milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The first event of a turn: where it goes. The decision is on record when this is told."""

    choice: RouteChoice


TurnEvent = Decided | GatewayEvent


class Service:
    """What all doors share. routes: of the bundle that was loaded first.   followed: the link it was loaded by,
    whose changes `watch` follows.   timer: seconds of which differences are taken."""

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        decider: Decider,
        gateway: Gateway,
        models: Mapping[str, Model],
        log: DecisionLog,
        metrics: Metrics,
        tracing: Tracing,
        followed: Path | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.routes = tuple(routes)
        self.decider, self.gateway, self.log = decider, gateway, log
        self.models = dict(models)
        self.metrics, self.tracing, self.followed = metrics, tracing, followed
        self._timer = timer
        self._loops = Recent[RouteChoice](kept_s=KEPT_S)
        self._last_routes = Recent[str](kept_s=CONVERSATION_S)
        self._answering, self._idle = 0, asyncio.Event()
        self._idle.set()

    @property
    def simulated(self) -> bool:
        """Whether every model behind it is made up."""
        return all(model.simulated for model in self.models.values())

    def model_names(self) -> list[str]:
        """What a client may ask for: the router, then every route by name."""
        return [AUTO, *(route.name for route in self.routes)]

    async def decide(self, texts: Sequence[str], *, asked: str, principal: str) -> list[RouteChoice]:
        """Decide messages without answering them; each is put on record.

        Raises DataError for a text that is no query, NotRecordedError where the disk fails.
        """
        for position, text in enumerate(texts, start=1):
            if problem := text_problem(text):
                raise DataError(f"message {position} of {len(texts)} {problem}.")
        chooser, pinned = self._chooser(asked)
        started = self._timer()
        choices = await chooser.choose_many(texts, pinned=pinned)
        await self._recorded(choices, texts, principal=principal, started=started)
        return choices

    async def turn(
        self, chat: ChatRequest, *, asked: str, principal: str, restarts: bool = True
    ) -> AsyncGenerator[TurnEvent, None]:
        """Decide the last user message, then answer. The first event is `Decided`; see `Gateway.answer` for the others.

        restarts: whether the reader takes a new beginning where an answer breaks off.   Raises DataError for a model name
        that is nobody's, and a conversation without a user's message.
        """
        choice = await self._decide_last(chat, asked=asked, principal=principal)
        yield Decided(choice=choice)
        answer = self.gateway.answer(
            chat,
            route=choice.route,
            user=principal,
            restarts=restarts,
            on_record=partial(self._finish, choice.decision_id),
        )
        self._answering += 1
        self._idle.clear()
        try:
            async with aclosing(answer) as events:
                async for event in events:
                    yield event
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def feedback(self, decision_id: str, *, score: float | None, labels: Mapping[str, str] | None) -> None:
        """Join a person's word to a decision.

        Raises UnknownDecisionError, DataError for a word that is none, NotRecordedError where the disk fails.
        """
        await self.log.feedback(decision_id, score=score, labels=labels)

    async def watch(self) -> None:
        """Swap the bundle whenever the followed link leads to another; ends only where none is followed."""
        if self.followed is not None:
            await self.decider.watch(self.followed)

    async def close(self) -> None:
        """Complete every record, then let go of log, workers and connections.

        Answers that were cancelled just now, as a server does when it stops, get `END_S` to come to their end.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self._idle.wait()
        await self.log.close()
        self.decider.close()
        for model in self.models.values():
            await model.close()

    async def _decide_last(self, chat: ChatRequest, *, asked: str, principal: str) -> RouteChoice:
        """The decision on the user's last message, on record; a tool loop's is the one that it began with."""
        said = [message.text for message in chat.messages if message.role == "user"]
        if not said:
            raise DataError("the conversation holds no message of role user; wanted one to decide on.")
        if problem := text_problem(said[-1]):
            raise DataError(f"the last message of role user {problem}.")
        chooser, pinned = self._chooser(asked)
        started = self._timer()
        loop = loop_of(chat, asked=asked, principal=principal)
        begun_with = self._loops.of(loop.key) if loop is not None else None
        if begun_with is not None:
            choice = replace(begun_with, decision_id=self.decider.new_id(), cached=True)
        else:  # of a loop that began elsewhere nobody knows what was drawn: it is not drawn again
            fresh = loop is None or not loop.begun
            follows = pinned is None and len(said) > 1
            previous = self._last_routes.of(key_of(principal, asked, said[:-1])) if follows else None
            choice = await chooser.choose(said[-1], said[:-1], pinned=pinned, explore=fresh, previous=previous)
        if loop is not None:
            self._loops.put(loop.key, choice)
        if pinned is None:
            self._last_routes.put(key_of(principal, asked, said), choice.route)
        await self._recorded([choice], said[-1:], principal=principal, started=started)
        return choice

    async def _recorded(
        self, choices: Sequence[RouteChoice], texts: Sequence[str], *, principal: str, started: float
    ) -> None:
        """Put decisions on record, all in one commit where that can be, and count them."""
        rows = [
            self.log.decided(choice, user=principal, query=text) for choice, text in zip(choices, texts, strict=True)
        ]
        await (rows[0] if len(rows) == 1 else asyncio.gather(*rows))
        each = (self._timer() - started) / max(1, len(choices))
        for choice in choices:
            self.metrics.decided(choice.route, choice.rule, each)

    def _chooser(self, asked: str) -> tuple[Decider | DeciderView, str | None]:
        """Who decides, and the route that was asked for by name."""
        if asked == AUTO:
            return self.decider, None
        if alias := parse_alias(asked):
            return self.decider.at(alias), None
        if asked in {route.name for route in self.routes}:
            return self.decider, asked
        raise DataError(
            f"no model is called {asked!r}; ask for {', '.join(self.model_names())}, or router-current-0.7."
        )

    def _finish(self, decision_id: str, record: AnswerRecord) -> None:
        """Complete the row; nobody waits for the disk."""
        self.metrics.answered(record)
        self.tracing.record(decision_id, record)
        self.log.finished(
            decision_id,
            served_model=record.served_model,
            attempts=[attempt_json(attempt) for attempt in record.attempts],
            tokens=record.usage,
            cost_usd=record.cost_usd,
            latency_ms=record.latency_ms,
        )
