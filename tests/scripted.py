"""What the gateway's tests share: models that do as they are told, and an event loop whose time costs nothing."""

from __future__ import annotations

import asyncio
import itertools
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import numpy as np

from agents.gateway.answering import (
    AnswerRecord,
    ChatRequest,
    Done,
    Gateway,
    GatewayEvent,
    Piece,
    Refused,
    Restarted,
    Started,
)
from agents.gateway.settings import Settings
from agents.models import simulated
from agents.models.protocol import Model
from agents.types import Finished, Message, TextDelta
from router.errors import ModelError
from router.prices import Price, PriceTable, Usage
from router.types import Route

T = TypeVar("T")
Step = simulated.Step
SILENT = math.inf
DAY = date(2026, 11, 30)
USAGE = Usage(input_tokens=100, output_tokens=10)


class JumpingSelector(selectors.DefaultSelector):
    """Where the loop would wait, time jumps to the moment that it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everyone waits, and nothing will ever happen"
        self.now += max(timeout, 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on its own time, which starts at 0."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields and takes is the loop's affair
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


def now() -> float:
    return asyncio.get_running_loop().time()


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _sleep(seconds: float) -> None:
    await (asyncio.Event().wait() if seconds == SILENT else asyncio.sleep(seconds))


class ScriptedModel(simulated.ScriptedModel):
    """The shipped one on the loop's own time; it plays its last script again and again. SILENT is a sleep without end."""

    def __init__(self, *scripts: Sequence[Step], provider: str = "acme") -> None:
        self.scripts = scripts
        again = itertools.repeat(scripts[-1]) if scripts else ()
        super().__init__(provider, itertools.chain(scripts, again), sleep=_sleep, clock=now)


def words(*texts: str) -> list[Step]:
    return [TextDelta(text=text) for text in texts]


def whole(*texts: str, model: str = "m-fast", usage: Usage | None = USAGE) -> list[Step]:
    return [*words(*texts), Finished(reason="stop", model=model, usage=usage)]


def a_route(
    name: str, *, model: str | None = None, provider: str | None = None, fallback: tuple[str, ...] = ()
) -> Route:
    return Route(
        name=name,
        model=model or f"m-{name}",
        provider=provider or name,
        desk=None,
        safe=False,
        input_tokens=1,
        output_tokens=1,
        latency_ms_p50=1,
        latency_ms_p95=1,
        fallback=fallback,
    )


def prices(**usd_per_token: float) -> PriceTable:
    """Input tokens at this price, output tokens at twice of it. Models are named m_fast for m-fast."""
    return PriceTable(
        where="the test",
        prices={
            name.replace("_", "-"): (
                Price(
                    model=name,
                    effective_from=date(2026, 1, 1),
                    source="made up",
                    input_cost_per_token=usd,
                    output_cost_per_token=2 * usd,
                ),
            )
            for name, usd in usd_per_token.items()
        },
    )


PRICES = prices(m_fast=1e-6, m_deep=1e-5, m_third=1e-4)


def a_chat(text: str = "How much did I spend?") -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", text=text),))


def a_gateway(
    models: Mapping[str, Model],
    *,
    settings: Settings | None = None,
    on_record: Callable[[AnswerRecord], None] | None = None,
    routes: Sequence[Route] | None = None,
) -> Gateway:
    """A route for each model, in order; the first falls back to all others. Call it inside the loop: its clock is used."""
    if routes is None:
        first, *rest = models
        routes = [a_route(first, fallback=tuple(rest)), *(a_route(name) for name in rest)]
    return Gateway(
        routes,
        models,
        prices=PRICES,
        settings=settings,
        on_record=on_record,
        clock=now,
        today=lambda: DAY,
        rng=np.random.default_rng(0),
    )


async def ask(
    gateway: Gateway, chat: ChatRequest | None = None, *, route: str = "fast", user: str = "u", reuse: bool = True
) -> list[GatewayEvent]:
    return [event async for event in gateway.answer(chat or a_chat(), route=route, user=user, reuse=reuse)]


def text_of(events: Sequence[GatewayEvent]) -> str:
    """What is left on a reader's screen."""
    shown = ""
    for event in events:
        if isinstance(event, Started | Restarted):
            shown = ""
        elif isinstance(event, Piece) and isinstance(event.delta, TextDelta):
            shown += event.delta.text
    return shown


def record_of(events: Sequence[GatewayEvent]) -> AnswerRecord:
    last = events[-1]
    assert isinstance(last, Done | Refused)
    return last.record


def broken(kind: str = "overloaded", retry_after_s: float | None = None) -> ModelError:
    return ModelError("it broke", kind=kind, retry_after_s=retry_after_s)


def answer(
    fast: ScriptedModel, *others: ScriptedModel, settings: Settings | None = None
) -> tuple[list[GatewayEvent], float]:
    """The events of one answer of a new gateway, and when the last one came."""

    async def work() -> tuple[list[GatewayEvent], float]:
        models = dict(zip(("fast", "deep", "third"), (fast, *others), strict=False))
        events = await ask(a_gateway(models, settings=settings))
        return events, now()

    return run(work())


def outcomes(record: AnswerRecord) -> list[tuple[str, str]]:
    return [(attempt.route, attempt.outcome) for attempt in record.attempts]
