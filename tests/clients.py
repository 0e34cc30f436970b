"""OpenAI's own client against the server: only its base URL is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai

from agents.gateway.held import Held
from router.errors import ModelError
from tests.served import BOUND_S, Server, Watched, a_service, served, whole

ASKED: list[Any] = [{"role": "user", "content": "where is my refund?"}]  # Any: the SDK's typed dictionaries
TOOL: Any = {
    "type": "function",
    "function": {"name": "find_trip", "description": "Trips.", "parameters": {"type": "object", "properties": {}}},
}
BROKEN = ModelError("the stream broke.", kind="broken_stream")
Calm = tuple[Server, Watched, openai.OpenAI]


def client(server: Server, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=BOUND_S)


@contextmanager
def answering(held: Held, state: Path) -> Iterator[Calm]:
    """A server whose model says "Hello, you." to the first five requests."""
    model = Watched(*(whole("Hello, ", "you.") for _ in range(5)))
    with served(a_service(held, state, model)) as server, client(server) as asking:
        yield server, model, asking


def post(server: Server, path: str, body: object, **options: Any) -> httpx2.Response:  # Any: httpx2's own
    return httpx2.post(f"{server.url}{path}", json=body, timeout=BOUND_S, **options)


def get(server: Server, path: str, **options: Any) -> httpx2.Response:  # Any: as above
    return httpx2.get(f"{server.url}{path}", timeout=BOUND_S, **options)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
