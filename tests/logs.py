"""What the tests of the decision log share: a choice, an answer, a clock at noon, and a log that is opened, used and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.gateway.choice import RouteChoice
from agents.gateway.decision_log import DecisionLog
from agents.gateway.log_file import LoggedDecision, read_log
from router.prices import Usage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOUND_S = 30.0  # no test waits longer
ANSWER: dict[str, Any] = {  # Any: the arguments of `finished`
    "served_model": "large-2026",
    "attempts": [{"route": "chat", "outcome": "overloaded"}, {"route": "expert", "outcome": "ok"}],
    "tokens": Usage(input_tokens=120, output_tokens=30, cache_read_tokens=100),
    "cost_usd": 0.00125,
    "latency_ms": 640.5,
}


class Clock:
    """Noon, until it is set."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


def choice(name: str = "d1", **changed: Any) -> RouteChoice:  # Any: a choice's own fields
    made: dict[str, Any] = {
        "decision_id": name,
        "route": "expert",
        "rule": "desk",
        "confidence": 0.75,
        "probabilities": {"domain": {"trip": 0.75, "budget": 0.25}},
        "candidates": ("chat", "expert"),
        "propensity": 0.95,
        "novelty": 0.5,
        "bundle_id": "b1",
        "policy_hash": "p1",
        "also": (),
        "explored": False,
        "cached": False,
    }
    return RouteChoice(**{**made, **changed})


def logged(path: Path, work: Callable[[DecisionLog], Awaitable[object]], **settings: Any) -> list[LoggedDecision]:
    """Open a log, do some work, close it, read it.   settings: the log's own arguments, hence Any."""

    async def session() -> None:
        log = DecisionLog(path, **{"clock": Clock(), **settings})
        try:
            async with asyncio.timeout(BOUND_S):
                await work(log)
        finally:
            await log.close()

    asyncio.run(session())
    return list(read_log(path))
