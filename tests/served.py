"""The real server on a port of its own, in a thread, with models that do as a test tells them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agents.doors.guard import Guard
from agents.gateway.answering import Gateway
from agents.gateway.assembly import LOG, routes_of
from agents.gateway.deciding import Decider, Held
from agents.gateway.decision_log import DecisionLog, LoggedDecision, read_log
from agents.gateway.metrics import Metrics
from agents.gateway.pool import PoolLimits
from agents.gateway.service import Service
from agents.gateway.settings import Settings
from agents.gateway.tracing import Tracing
from agents.models.protocol import Model
from agents.models.simulated import ScriptedModel, Step
from agents.types import Event, Finished, ModelRequest, TextDelta
from router.prices import Usage, read_prices
from serve import create_app
from tests.loopback import listening

BOUND_S = 20.0  # nothing here waits longer, but a model at a gate that a test never opens
GATE_S = 120.0
T = TypeVar("T")
PROVIDER = "anthropic"  # of every route of the shipped table
USAGE = Usage(input_tokens=1_000, output_tokens=100)


class Watched(ScriptedModel):
    """A scripted model that can be watched from another thread. ended: one more for each stream that was closed."""

    def __init__(self, *scripts: list[Step], simulated: bool = False) -> None:
        super().__init__(PROVIDER, scripts, simulated=simulated)
        self.ended = threading.Semaphore(0)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(super().stream(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.ended.release()


class Gate:
    """A step of a script that waits until the test lets it go on."""

    def __init__(self) -> None:
        self._reached = threading.Event()

    async def __call__(self) -> None:
        self._loop, self._go = asyncio.get_running_loop(), asyncio.Event()
        self._reached.set()
        async with asyncio.timeout(GATE_S):
            await self._go.wait()

    def reached(self) -> None:
        """Wait until the model stands here."""
        assert self._reached.wait(BOUND_S), "the model never came here"

    def open(self) -> None:
        """Let it go on."""
        self.reached()
        self._loop.call_soon_threadsafe(self._go.set)


def whole(*pieces: str, model: str = "claude-haiku-5-5", usage: Usage | None = USAGE) -> list[Step]:
    """A script that says the pieces and ends well."""
    return [*(TextDelta(text=piece) for piece in pieces), Finished(reason="stop", model=model, usage=usage)]


def a_service(
    held: Held, state: Path, model: Model, *, settings: Settings | None = None, keep_text: bool = False
) -> Service:
    """A service as `assemble` makes it, with one model behind all routes. A busy machine may take its time to decide."""
    routes = routes_of(held, provider=PROVIDER)
    models = {PROVIDER: model}
    return Service(
        routes=routes,
        decider=Decider(
            held, safe=held.safe, rng=np.random.default_rng(0), limits=PoolLimits(work_s=BOUND_S, wait_s=BOUND_S)
        ),
        gateway=Gateway(routes, models, prices=read_prices(), settings=settings or Settings(retries=0)),
        models=models,
        log=DecisionLog(state / LOG, keep_text=keep_text),
        metrics=Metrics(),
        tracing=Tracing(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One that runs. url: without a trailing slash."""

    url: str
    app: Any  # Any: an ASGI application

    @property
    def socket_url(self) -> str:
        """Where its WebSocket is."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"


@contextmanager
def served(service: Service, *, guard: Guard | None = None, web: Path = Path("nowhere")) -> Iterator[Server]:
    """Run the application until the end of the block; afterwards every record is complete."""
    app = create_app(service, guard=guard or Guard(keys=None), web=web)
    with listening(app, lifespan="on", ws="auto") as url:
        yield Server(url=url, app=app)


def ran(work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields and takes is the loop's affair
    """Run it to its end, which must come."""
    return asyncio.run(asyncio.wait_for(work, BOUND_S))


def logged(state: Path) -> list[LoggedDecision]:
    """Every row of a server that has stopped."""
    return list(read_log(state / LOG))


@contextmanager
def records() -> Iterator[list[logging.LogRecord]]:
    """Every record of every thread and logger, from DEBUG on."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    root, keep = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        root.removeHandler(keep)
        root.setLevel(level)
