"""What does serving cost? Each way beside an alternative in one run: ratios and medians, for machines differ and are shared.

    python benchmarks/serving_load.py [--bundle out/demo/bundle] [--form auto] [--n 1000] [--sockets 1000] [--calls 5000]
                                      [--only abced]

    a  decisions over HTTP, 8 clients: ours (a pool of threads, a cache, a log) against deciding in the handler, with the same
       form of the bundle
    b  a whole chat completion, route pinned, simulated model without delay, against an endpoint with an answer at hand
    c  the WebSocket against HTTP: ping and pong, a message and its final answer (streamed by both)
    d  idle WebSockets: what the server's process holds with and without them
    e  chat calls after a warm-up that fills every cache: what the process keeps of each

Ways are interleaved: every round has a lot of each. A ratio is the median of the rounds' ratios, with their range. The
client writes bare HTTP/1.1 on kept connections, so that little of what is measured is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from agents.gateway.assembly import KEYS
from agents.gateway.choice import CLASSIFIER_BUSY, CLASSIFIER_FAILED
from agents.gateway.keys import KeyStore
from router.dataset import load_dataset

sys.path.append(str(Path(__file__).resolve().parent.parent))  # last, so that it hides nothing that is installed
from benchmarks.serving_client import Found, Json, Wire, part, show

QUERIES = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
CLIENTS = 8
REPEATED = 20  # texts that are asked again and again
REPLY_BYTES = 700  # what a short answer takes as a chat completion
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a directory that no disk stands behind
PER_KEY = 200  # sockets that the server allows one key
ANY_RATE = 10_000_000  # requests a minute
WARM_CALLS = 2_500  # more than the answers that the gateway keeps
TURNS = 20  # of one WebSocket: an answer is given with what was said before
MOST_MB, MOST_KB = 600.0, 1.0
TIMES, MOST_TIMES = 2.0, 3.0  # decisions a second to those of the handler, and a chat's latency to an empty endpoint's


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of doing it. form: the body of the i-th request."""

    url: str
    path: str
    form: Callable[[int], Json | None]
    secret: str = ""


async def lot(way: Way, numbers: Sequence[int], *, clients: int) -> tuple[float, float]:
    """Send a lot, so many at once: the seconds of all, and the median of each."""
    waiting, took = iter(numbers), list[float]()

    async def work() -> None:
        wire = await Wire.to(way.url, secret=way.secret)
        for number in waiting:
            began = time.perf_counter()
            await wire.ask(way.path, way.form(number))
            took.append(time.perf_counter() - began)
        wire.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    return time.perf_counter() - began, median(took)


def ratios(
    what: str, ours: Way, other: Way, *, n: int, clients: int = CLIENTS, rounds: int = 5, first: int = 0
) -> dict[str, list[float]]:
    """Both in turn, `n` requests of each in all: ours per second and latency, as ratios to the other's, per round."""
    found: dict[str, list[float]] = {f"{what}: requests per second": [], f"{what}: median latency": []}
    for part_of in np.array_split(np.arange(first, first + n), rounds):
        pair = [asyncio.run(lot(way, part_of.tolist(), clients=clients)) for way in (ours, other)]
        (all_s, each_s), (other_all_s, other_each_s) = pair
        ours_to_other = (other_all_s / all_s, each_s / other_each_s)
        for column, ratio in zip(found.values(), ours_to_other, strict=True):
            column.append(ratio)
    return found


def told(
    found: dict[str, list[float]], *, n: int, least: float | None = None, most: float | None = None
) -> Iterator[Found]:
    """Ratios as figures; `least` is wanted of requests per second, `most` of the latency."""
    for what, each in found.items():
        middle, wanted, met = median(each), "", True
        if "per second" in what and least is not None:
            wanted, met = f">= {least:g} x", middle >= least
        elif "latency" in what and most is not None:
            wanted, met = f"<= {most:g} x", middle <= most
        measured = f"{middle:.2f} x ({min(each):.2f} to {max(each):.2f} in {len(each)} rounds)"
        yield Found(what=what, wanted=wanted, n=n, measured=measured, met=met)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Ours, open and with keys (and a log in memory), and the naive one; and the process id of the one with keys."""

    ours: str
    keyed: str
    pid: int
    naive: str
    secrets: tuple[str, ...]


def decisions(at: Servers, asked: argparse.Namespace) -> list[Found]:
    """(a) Texts that nobody asked before, then a few again and again. The handler keeps no log; ours waits for its disk."""
    texts = list(dict.fromkeys(query.text for query in load_dataset(QUERIES).queries))
    n = min(asked.n, len(texts) - CLIENTS)
    found: list[Found] = []
    for log, url, secret in (("log in memory", at.keyed, at.secrets[0]), ("log on disk", at.ours, "")):
        for what, chosen in (("texts that differ", texts), ("texts that repeat", texts[:REPEATED] * n)):
            ours = Way(url=url, path="/v1/route", form=messages(chosen), secret=secret)
            naive = replace(ours, url=at.naive, secret="")
            for way in (ours, naive):
                asyncio.run(lot(way, range(CLIENTS), clients=1))
            least = TIMES if chosen is texts else 1.0
            found += told(ratios(f"a  {what}, {log}, to inline", ours, naive, n=n, first=CLIENTS), n=n, least=least)
        late, asked_for = asyncio.run(undecided(url, secret)), 2 * (n + CLIENTS)
        found.append(Found.share(f"a  {log}: decided by the bundle in time", asked_for - late, asked_for, least=0.99))
    return found


async def undecided(url: str, secret: str) -> int:
    """How many decisions took the safe route because the bundle failed, was too slow, or had too many before it."""
    wire = await Wire.to(url, secret=secret)
    lines = (await wire.ask("/metrics", None)).decode().splitlines()
    wire.close()
    counted = [
        line
        for line in lines
        if line.startswith("weighbridge_decisions_total") and (CLASSIFIER_FAILED in line or CLASSIFIER_BUSY in line)
    ]
    return sum(int(float(line.split()[-1])) for line in counted)


def messages(texts: Sequence[str]) -> Callable[[int], Json]:
    """Bodies of requests for decisions."""
    return lambda number: {"input": texts[number]}


def chats(about: str) -> Callable[[int], Json]:
    """Questions that were not asked before, to a pinned route."""

    def form(number: int) -> Json:
        return {"model": "chat", "messages": [{"role": "user", "content": f"how are you, {about} {number}?"}]}

    return form


def overhead(at: Servers, asked: argparse.Namespace) -> list[Found]:
    """(b) The gateway without the encoder. Of a log on disk every call waits for the disk, once."""
    found: list[Found] = []
    for clients in (1, CLIENTS):
        for name, url, secret in (("log on disk", at.ours, ""), ("log in memory", at.keyed, at.secrets[0])):
            path, form = "/v1/chat/completions", chats(f"{name} {clients}")
            way = Way(url=url, path=path, secret=secret, form=form)
            empty = Way(url=at.naive, path=f"/fixed/{REPLY_BYTES}", form=form)
            what = f"b  chat, {name}, {clients} client{'s' * (clients > 1)}, to an empty endpoint"
            most = MOST_TIMES if clients == CLIENTS and name == "log in memory" else None
            found += told(ratios(what, way, empty, n=asked.n, clients=clients), n=asked.n, most=most)
    return found


def sockets(at: Servers, asked: argparse.Namespace) -> list[Found]:
    """(c) One socket against one kept connection."""
    rounds = max(1, asked.n // (5 * TURNS))
    each: dict[str, list[float]] = {
        "c  ping to pong, to GET /healthz": [],
        "c  message to final, to a streamed POST chat": [],
    }
    for number in range(rounds):
        took = asyncio.run(_turns(at.ours, f"round {number}"))
        for column, (by_socket, by_http) in zip(each.values(), took, strict=True):
            column.append(by_socket / by_http)
    return list(told({f"{what}: median latency": column for what, column in each.items()}, n=rounds * TURNS))


async def _turns(url: str, name: str) -> list[tuple[float, float]]:
    """Median seconds by socket and by HTTP: of pings, and of messages."""
    wire = await Wire.to(url)
    found = []
    async with connect(f"{url.replace('http', 'ws')}/ws", proxy=None) as socket:
        for kind, last in (("ping", "pong"), ("message", "final")):
            by_socket, by_http = list[float](), list[float]()
            for number in range(TURNS):
                asked: Json = {"type": kind}
                form = None if kind == "ping" else {**chats(name)(number), "stream": True}
                if kind == "message":
                    asked |= {"turn": f"{number}", "text": f"how are you, {name} {number}?", "route": "chat"}
                began = time.perf_counter()
                await _said(socket, asked, last)
                between = time.perf_counter()
                await wire.ask("/v1/chat/completions" if form else "/healthz", form)
                by_socket.append(between - began)
                by_http.append(time.perf_counter() - between)
            found.append((median(by_socket), median(by_http)))
    wire.close()
    return found


async def _said(socket: ClientConnection, asked: Json, last: str) -> None:
    """Say something and read until its last answer."""
    await socket.send(json.dumps(asked))
    while json.loads(await socket.recv())["type"] != last:
        pass


def idle(at: Servers, asked: argparse.Namespace) -> list[Found]:
    """(d) Many sockets that have said one ping each, all open at once."""
    before = rss_mb(at.pid)
    held = asyncio.run(_held(at, asked.sockets))
    measured = f"{held:.0f} MB ({before:.0f} before: {(held - before) * 1e3 / asked.sockets:.0f} kB each)"
    met = held < MOST_MB
    return [Found(what="d  idle WebSockets", wanted=f"< {MOST_MB:g} MB", measured=measured, met=met, n=asked.sockets)]


async def _held(at: Servers, n: int) -> float:
    async with AsyncExitStack() as opened:
        for number in range(n):
            protocols: Any = ["weighbridge", f"key.{at.secrets[number // PER_KEY]}"]  # Any: websockets' own str type
            address = f"{at.keyed.replace('http', 'ws')}/ws?session=s{number}"
            socket = await opened.enter_async_context(connect(address, subprotocols=protocols, proxy=None))
            await _said(socket, {"type": "ping"}, "pong")
        return rss_mb(at.pid)


def retained(at: Servers, asked: argparse.Namespace) -> list[Found]:
    """(e) The slope of the resident memory over calls, by least squares."""
    path, form = "/v1/chat/completions", chats("memory")
    way = Way(url=at.keyed, path=path, secret=at.secrets[-1], form=form)
    asyncio.run(lot(way, range(WARM_CALLS), clients=CLIENTS))
    done, held = [0], [rss_mb(at.pid)]
    for numbers in np.array_split(np.arange(WARM_CALLS, WARM_CALLS + asked.calls), 20):
        asyncio.run(lot(way, numbers.tolist(), clients=CLIENTS))
        done.append(done[-1] + len(numbers))
        held.append(rss_mb(at.pid))
    slope_kb = float(np.polyfit(done, held, 1)[0]) * 1e3
    measured = f"{slope_kb:.2f} kB ({held[0]:.1f} to {held[-1]:.1f} MB)"
    return [
        Found(what="e  kept per chat call", wanted=f"< {MOST_KB:g} kB", measured=measured, met=slope_kb < MOST_KB, n=asked.calls)
    ]  # fmt: skip


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("out/demo/bundle"))
    parser.add_argument("--form", default="auto", help="of the bundle, as `weighbridge serve --form`, for both sides")
    parser.add_argument("--n", type=int, default=1_000, help="requests of each way")
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--only", default="abced", help="d last: sockets leave memory behind")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    cases = {"a": decisions, "b": overhead, "c": sockets, "d": idle, "e": retained}
    with ExitStack() as stack:
        states = [Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place))) for place in (None, MEMORY)]
        store = KeyStore(states[1] / KEYS)
        secrets = tuple(
            store.create(f"k{number}", scopes=["chat", "route", "admin"], rate_per_minute=ANY_RATE)
            for number in range(2 + asked.sockets // PER_KEY)
        )
        bundle = ("--bundle", asked.bundle, "--form", asked.form)
        _, ours = stack.enter_context(part("server", *bundle, "--state", states[0]))
        process, keyed = stack.enter_context(part("server", *bundle, "--state", states[1]))
        _, naive = stack.enter_context(part("naive", *bundle))
        at = Servers(ours=ours, keyed=keyed, pid=process.pid, naive=naive, secrets=secrets)
        found = [one for case in asked.only for one in cases[case](at, asked)]
    raise SystemExit(0 if show(found) else 1)


if __name__ == "__main__":
    main()
