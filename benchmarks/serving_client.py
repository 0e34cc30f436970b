"""What the serving benchmarks share: the processes of serving_parts.py, a client that trusts nothing, a table of figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

from eval.intervals import wilson

PARTS = Path(__file__).resolve().with_name("serving_parts.py")
CLIENTS = 16
ALL = httpx2.Limits(max_connections=None)  # who waits, waits for the server
START_S, ANSWER_S = 60.0, 30.0  # processes and clients wait no longer
RULE, ROUTE, ID = "x-weighbridge-reason", "x-weighbridge-route", "x-weighbridge-decision-id"
Json = dict[str, Any]  # Any: whatever JSON can hold
Mode = Literal["whole", "stream", "restarts", "route"]
Ended = Literal["whole", "broken", "cut", "refused", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One figure and what was wanted of it; a share has `hits` of `n`."""

    what: str
    wanted: str
    measured: str
    met: bool
    n: int

    @classmethod
    def share(cls, what: str, hits: int, n: int, *, least: float) -> Found:
        """A share that should not be below `least`."""
        at = wilson(hits, n)
        measured = f"{hits / n:.2%} [{at.low:.2%}, {at.high:.2%}]"
        return cls(what=what, wanted=f">= {least:.1%}", measured=measured, met=hits >= least * n, n=n)

    @classmethod
    def none(cls, what: str, hits: int, n: int) -> Found:
        """Something that must not happen."""
        at = wilson(hits, n)
        return cls(what=what, wanted="0", measured=f"{hits} (share <= {at.high:.2%})", met=not hits, n=n)


@dataclass(slots=True, kw_only=True)
class Heard:
    """What a client had of one request. text: what is left on a reader's screen; ending: how the answer came, if told."""

    question: str
    mode: Mode
    model: str
    ended: Ended = "lost"
    text: str = ""
    ending: str = ""
    route: str = ""
    rule: str = ""
    decision_id: str = ""
    seconds: float = 0.0
    bundle: str = ""


@dataclass(slots=True, kw_only=True)
class Client:
    """Asks one server. begun: one item for each answer whose headers have come."""

    url: str
    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def all(
        self,
        asked: Iterable[Heard],
        *,
        clients: int = CLIENTS,
        at: int = -1,
        then: Callable[[], None] = lambda: None,
    ) -> list[Heard]:
        """Ask everything, so many at once; `then` is called once `at` answers are there."""
        waiting, heard = iter(list(asked)), list[Heard]()
        async with httpx2.AsyncClient(base_url=self.url, timeout=ANSWER_S, limits=ALL, trust_env=False) as http:

            async def work() -> None:
                for one in waiting:
                    await self.ask(http, one)
                    heard.append(one)
                    if len(heard) == at:
                        then()

            await asyncio.gather(*(work() for _ in range(clients)))
        return heard

    async def ask(self, http: httpx2.AsyncClient, one: Heard) -> None:
        """Fill in what comes back."""
        began = time.perf_counter()
        try:
            await (self._route(http, one) if one.mode == "route" else self._chat(http, one))
        except httpx2.HTTPError:
            one.ended = "cut" if one.decision_id else "lost"
        one.seconds = time.perf_counter() - began

    async def _route(self, http: httpx2.AsyncClient, one: Heard) -> None:
        reply = await http.post("/v1/route", json={"input": one.question})
        one.ended = "whole" if reply.status_code == 200 else "refused"
        if one.ended == "whole":
            (said,) = reply.json()["data"]
            one.route, one.rule, one.decision_id, one.bundle = (
                said[name] for name in ("route", "rule", "decision_id", "bundle")
            )

    async def _chat(self, http: httpx2.AsyncClient, one: Heard) -> None:
        form: dict[str, Any] = {
            "model": one.model,
            "messages": [{"role": "user", "content": one.question}],
        }  # Any: JSON
        if one.mode != "whole":
            form |= {"stream": True, "stream_options": {"include_restarts": one.mode == "restarts"}}
        async with http.stream("POST", "/v1/chat/completions", json=form) as reply:
            one.route, one.rule, one.decision_id = (reply.headers.get(name, "") for name in (ROUTE, RULE, ID))
            self.begun.put_nowait(one.decision_id)
            if reply.status_code != 200:
                one.ended = "refused"
            elif one.mode == "whole":
                said = json.loads(await reply.aread())
                one.text, one.ending = said["choices"][0]["message"]["content"], said["weighbridge"]["ending"]
                one.ended = "whole"
            else:
                await _read(reply.aiter_lines(), one)


async def _read(lines: AsyncIterator[str], one: Heard) -> None:
    """A stream up to its end. Only `[DONE]` after a finish reason makes it whole."""
    finish, one.ended = None, "cut"
    async for line in lines:
        told = line.removeprefix("data: ")
        if told == "[DONE]":
            one.ended = "whole" if finish == "stop" else "cut"
        elif told and "error" in (said := json.loads(told)):
            one.ended = "broken"
        elif told:
            for choice in said["choices"]:
                finish = choice["finish_reason"]
                one.text = "" if finish == "restarted" else one.text + choice["delta"].get("content", "")
            one.ending = said.get("weighbridge", {}).get("ending", one.ending)


class Wire:
    """One kept connection that posts JSON and reads the whole reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, secret: str) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"host: 127.0.0.1\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\n"

    @classmethod
    async def to(cls, url: str, *, secret: str = "") -> Wire:
        """Connect."""
        at = urlsplit(url)
        return cls(*await asyncio.open_connection(at.hostname, at.port), secret=secret)

    async def ask(self, path: str, form: Json | None) -> bytes:
        """The body of a reply that is well; without a form it is a GET. Raises RuntimeError for any other status."""
        body = b"" if form is None else json.dumps(form).encode()
        method = "GET" if form is None else "POST"
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n".encode() + body
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        content = await (self._pieces() if b"transfer-encoding: chunked" in head else self._whole(head))
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"{path}: {head[:40]!r} {content[:200]!r}")
        return content

    async def _whole(self, head: bytes) -> bytes:
        return await self._reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))

    async def _pieces(self) -> bytes:
        content = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            content += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return content

    def close(self) -> None:
        """Let the connection go."""
        self._writer.close()


@contextmanager
def part(*arguments: object, command: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of serving_parts.py and its address; it is ended by its id, whatever happens."""
    told = command or [sys.executable, str(PARTS), *map(str, arguments)]
    process = subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        until, port = time.monotonic() + START_S, b""
        while not port.endswith(b"\n"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{told[2:]} did not start; run it by hand to see why.")
            time.sleep(0.02)
            port += process.stdout.read() or b""
        yield process, f"http://127.0.0.1:{int(port)}"
    finally:
        process.kill()
        process.communicate()


def awaited(process: subprocess.Popen[bytes], url: str) -> str:
    """The address, once somebody answers there."""
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return url
        time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not start; run it by hand to see why.")


def show(found: Sequence[Found]) -> bool:
    """Print the table; whether all that was wanted was measured."""
    width = max(len(one.what) for one in found)
    print(f"{'':<{width}}  {'n':>6}  {'wanted':<12}measured")
    for one in found:
        print(f"{one.what:<{width}}  {one.n:>6,}  {one.wanted:<12}{one.measured}{'' if one.met else '   MISSED'}")
    return all(one.met for one in found)
