"""What the tests of deciding share: a bundle that does as it is told, and a decider of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from agents.gateway.choice import RouteChoice
from agents.gateway.deciding import Decider
from agents.gateway.held import Held
from agents.gateway.pool import PoolLimits
from router.types import Decision

T = TypeVar("T")
ROUTES = ("chat", "budget", "trip", "expert")
TEXTS = ["where is my refund?", "hi", "plan a week from Yuma to Moab with dump stations", "hi"]
BOUND_S = 30.0  # no test waits longer
PATIENT = PoolLimits(work_s=BOUND_S, wait_s=BOUND_S)


@dataclass
class FakeBundle:
    """Sends a text to the route that it names; counts its reads; trips where it is told to."""

    name: str = "fake"
    fails: Callable[[str], bool] = lambda text: text == "trip over this"
    gate: threading.Event | None = None
    read: list[str] = field(default_factory=list)
    contexts: list[tuple[str, ...]] = field(default_factory=list)
    policy_hash: str = "p"
    routes: tuple[str, ...] = ROUTES
    safe: str = "expert"
    rule: str = "desk"
    form: str = "fitted"
    looks_back: int = 0

    @property
    def bundle_id(self) -> str:
        return self.name

    @property
    def stamp(self) -> str:
        return self.name

    def verdict(self, text: str, context: Sequence[str] = ()) -> Decision:
        if self.gate is not None:
            assert self.gate.wait(BOUND_S)
        if self.fails(text):
            raise ZeroDivisionError
        self.read.append(text)
        self.contexts.append(tuple(context))
        return Decision(
            route=text if text in self.routes else "chat",
            rule=self.rule,
            confidence=0.75,
            probabilities={"domain": {"budget": 0.75, "trip": 0.25}},
            also=("trip",),
            novelty=0.5,
        )

    def at(self, threshold: float) -> FakeBundle:
        return replace(self, policy_hash=f"p at {threshold}", rule=f"at {threshold}")


def decider(held: Held | None, **settings: Any) -> Decider:  # Any: the Decider's own arguments
    numbers = iter(range(10_000))
    made = {"safe": "expert", "rng": np.random.default_rng(0), "limits": PATIENT, "new_id": lambda: f"d{next(numbers)}"}
    return Decider(held, **{**made, **settings})


def run(made: Decider, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine is sent
    async def bounded() -> T:
        async with asyncio.timeout(BOUND_S):
            return await work

    try:
        return asyncio.run(bounded())
    finally:
        made.close()


def choices(held: Held | None, texts: Sequence[str], **settings: Any) -> list[RouteChoice]:  # Any: as above
    made = decider(held, **settings)
    return run(made, made.choose_many(texts))
