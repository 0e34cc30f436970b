"""The processes that `serving_load.py` and `serving_faults.py` start: an upstream, our server, and a naive handler.

    python benchmarks/serving_parts.py upstream [--piece-ms 10]
    python benchmarks/serving_parts.py server --bundle DIR --state DIR [--providers FILE] [--hasty] [--broken]
    python benchmarks/serving_parts.py naive --bundle DIR

Each listens on a port of 127.0.0.1 that the system picks, prints it, and ends when its standard input does: so none
outlives the benchmark that started it, whatever becomes of that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from agents.gateway.held import Held
    from agents.gateway.service import Service
    from agents.models.protocol import Model
    from router.types import Decision

PIECES = 8  # of every answer of an upstream
STALL_S = 30.0  # silence that no client here waits for
HANG_S = 0.7  # longer than a classifier may work on one message
FAULT = re.compile(r"(?P<name>\w+)!(?P<kind>\w+)@(?P<at>\d+)")  # in a question: "east!stall@3"
ASGI = Any  # ASGI's dictionaries and callables


def main() -> None:
    """Play one part until standard input ends, or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["upstream", "server", "naive"])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--form", default="auto", help="of the bundle, as `weighbridge serve --form`")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--piece-ms", type=float, default=0.0, help="before each piece of an answer")
    parser.add_argument("--providers", type=Path, help="the first serves the first route, the last one all others")
    parser.add_argument("--hasty", action="store_true", help="short limits in time, and breakers that never open")
    parser.add_argument("--broken", action="store_true", help="a bundle that raises, or hangs where it reads `hang`")
    asked = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parts: dict[str, Callable[[argparse.Namespace], ASGI]] = {"upstream": Upstream, "server": server, "naive": naive}
    serve_app(parts[asked.part](asked))


def serve_app(app: ASGI) -> None:
    """Run an application as `weighbridge serve` does, on a port of its own."""
    import uvicorn

    # asyncio sends small pieces at once only over a socket that is told to be TCP's
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="critical", access_log=False, ws_max_size=1_000_000, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


class Upstream:
    """Speaks OpenAI's chat completions at /NAME/v1, and breaks where the question says so.

    The answer to "q7 …" by NAME is "NAME/q7/0 NAME/q7/1 …": each piece tells whose it is, so that nothing can be spliced
    unseen.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self._piece_s = asked.piece_ms / 1e3

    async def __call__(self, scope: ASGI, receive: ASGI, send: ASGI) -> None:
        """One answer."""
        if scope["type"] != "http":
            return
        name, body = scope["path"].split("/")[1], b""
        while (part := await receive())["type"] == "http.request":
            body += part["body"]
            if not part["more_body"]:
                break
        form = json.loads(body)
        question = form["messages"][-1]["content"]
        faults = {found["name"]: (found["kind"], int(found["at"])) for found in FAULT.finditer(question)}
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        kind, at = faults.get(name, ("", PIECES + 1))
        for number in range(PIECES + 1):
            await asyncio.sleep(self._piece_s)
            if number == at:
                await _break(kind, receive, send)
                return
            text = f"{name}/{question.split()[0]}/{number} " if number < PIECES else None
            await _send(send, _chunk(form["model"], text))
        usage = {"prompt_tokens": 20, "completion_tokens": PIECES, "total_tokens": 20 + PIECES}
        await _send(send, {**_chunk(form["model"], ""), "choices": [], "usage": usage})
        await _send(send, "[DONE]")
        await send({"type": "http.response.body", "body": b""})


async def _break(kind: str, receive: ASGI, send: ASGI) -> None:
    """Fail as upstreams do. Without an end of the body uvicorn closes the connection."""
    if kind == "stall":
        await asyncio.wait([asyncio.ensure_future(receive())], timeout=STALL_S)
    elif kind == "malformed":
        await _send(send, '{"id": "c", "object": "chat.comp')
        await asyncio.sleep(0.01)
    elif kind == "overload":
        await _send(send, {"error": {"type": "overloaded_error", "message": "too many requests"}})
        await send({"type": "http.response.body", "body": b""})
    elif kind == "early_end":
        await send({"type": "http.response.body", "body": b""})
    else:
        assert kind == "disconnect", kind


def _chunk(model: str, text: str | None) -> dict[str, object]:
    """A piece of an answer; None is its end."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": None if text else "stop"}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}


async def _send(send: ASGI, content: dict[str, object] | str) -> None:
    told = content if isinstance(content, str) else json.dumps(content)
    await send({"type": "http.response.body", "body": f"data: {told}\n\n".encode(), "more_body": True})


def server(asked: argparse.Namespace) -> FastAPI:
    """Ours, as assembled for `weighbridge serve`; with providers of a benchmark's own, where it names some."""
    from agents.gateway.assembly import assemble, guard_of
    from agents.gateway.pool import share_interpreter
    from agents.models.providers import open_providers, read_providers
    from agents.models.simulated import SimulatedModel
    from serve import create_app

    share_interpreter()
    service = assemble(asked.bundle, state=asked.state, simulated=True, form=asked.form)
    if asked.providers:
        names = [provider.name for provider in read_providers(asked.providers)]
        opened = open_providers(names, environ={}, simulated=False, file=asked.providers)
        _answered_by(service, opened, hasty=asked.hasty)
    elif asked.piece_ms:
        slow = {name: SimulatedModel(name, piece_delay_s=asked.piece_ms / 1e3) for name in service.models}
        _answered_by(service, slow, hasty=asked.hasty)
    if asked.broken:
        _break_bundle(service)
    return create_app(service, guard=guard_of(asked.state, host="127.0.0.1"))


def _answered_by(service: Service, models: Mapping[str, Model], *, hasty: bool) -> None:
    """Other models than the table's: the first provider has the first route, the last one all others."""
    from agents.gateway.answering import Gateway
    from agents.gateway.settings import Settings
    from router.prices import read_prices

    names = list(models)
    service.routes = tuple(
        replace(route, provider=names[0 if position == 0 else -1]) for position, route in enumerate(service.routes)
    )
    settings = Settings()
    if hasty:
        settings = replace(
            settings, first_event_s=1.5, between_events_s=0.5, failover_s=3.0, failover_reserve_s=1.0,
            breaker_min_attempts=1_000_000,
        )  # fmt: skip
    service.gateway = Gateway(service.routes, models, prices=read_prices(), settings=settings)
    service.models = dict(models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A bundle that has loaded and decides nothing. See Held."""

    bundle_id: str
    stamp: str
    form: str
    policy_hash: str
    routes: tuple[str, ...]
    safe: str
    looks_back: int = 0

    def verdict(self, text: str, context: Sequence[str] = ()) -> Decision:
        """Never any."""
        del context
        if "hang" in text:
            time.sleep(HANG_S)
        raise RuntimeError("the classifier is broken")

    def at(self, threshold: float) -> Held:
        """As broken with any threshold."""
        del threshold
        return self


def _break_bundle(service: Service) -> None:
    import numpy as np

    from agents.gateway.deciding import Decider

    held = service.decider.held
    assert held is not None
    broken = Broken(
        bundle_id=held.bundle_id, stamp=held.stamp, form=held.form, policy_hash=held.policy_hash, routes=held.routes,
        safe=held.safe,
    )  # fmt: skip
    service.decider.close()
    service.decider = Decider(broken, safe=held.safe, rng=np.random.default_rng(0))


def naive(asked: argparse.Namespace) -> FastAPI:
    """What one writes first: the bundle decides within the handler; and an endpoint that has a fixed answer at hand."""
    from fastapi import FastAPI, Response, WebSocket

    from agents.gateway.loading import load_held

    app = FastAPI()
    held = load_held(asked.bundle, form=asked.form) if asked.bundle else None

    @app.post("/v1/route")
    async def route(form: dict[str, str]) -> dict[str, object]:
        assert held is not None
        said = held.verdict(form["input"])
        return {"object": "list", "data": [{"route": said.route, "rule": said.rule, "confidence": said.confidence}]}

    @app.post("/fixed/{size}")
    async def fixed(size: int, form: dict[str, Any]) -> Response:  # Any: whatever JSON can hold
        del form
        return Response(b'{"text":"' + b"x" * (size - 11) + b'"}', media_type="application/json")

    @app.websocket("/ws")
    async def echo(opened: WebSocket) -> None:
        await opened.accept()
        async for told in opened.iter_text():
            await opened.send_text(told)

    return app


if __name__ == "__main__":
    main()
