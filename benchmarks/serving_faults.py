"""What becomes of people's requests when things break? Upstreams killed and broken, the classifier, the server, its bundle.

    python benchmarks/serving_faults.py [--bundle out/demo/bundle] [--n 1000] [--only abcdef]

    a  an upstream is killed (SIGKILL) under load; the other provider is the fallback
    b  every request meets a fault amid the stream: disconnect, early end, malformed chunk, overload error, silence
    c  the classifier raises, or hangs
    d  the server is killed (SIGKILL) under load, three times; its decision log is read afterwards
    e  the server is told to stop (SIGTERM) while it streams
    f  the bundle that it follows is replaced under load

Everything is on this machine's loopback. Every piece of an upstream's answer tells whose it is and which, so nothing can
be spliced or cut unseen. Shares have Wilson's 95 % interval. Exits 1 where something that is wanted was not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agents.gateway.assembly import LOG
from agents.gateway.choice import CLASSIFIER_BUSY, CLASSIFIER_FAILED
from agents.gateway.loading import load_held
from agents.gateway.log_file import read_log
from agents.gateway.settings import FIXED_MESSAGE
from router.bundle import load, save
from router.policy import LabelPolicy

sys.path.append(str(Path(__file__).resolve().parent.parent))  # last, so that it hides nothing that is installed
from benchmarks.serving_client import Client, Found, Heard, Mode, awaited, part, show

PIECES = 8  # of an upstream's answer, as in serving_parts.py
PIECE_MS = 10
FAULTS = ("disconnect", "early_end", "malformed", "overload", "stall")
KILLS = 3
SWAPS = 4
FEW = 4  # clients while bundles are replaced: what is late should be late by that, not by a crowd
SEEN_S = 4.0  # a server looks every two seconds where its link leads
STOP_S = 30.0
COMMAND = "from cli import main; main()"  # what the installed script `weighbridge` does
SLOW_MS = 150  # between the pieces of streams that a stop interrupts: they last over a second


def answer_of(name: str, question: str) -> str:
    """The only text that provider `name` has for a question; see serving_parts.py."""
    return "".join(f"{name}/{question.split()[0]}/{number} " for number in range(PIECES))


def spliced(one: Heard) -> bool:
    """Whether it shows anything but the beginning, or the whole, of one known text."""
    known = [answer_of(name, one.question) for name in ("east", "west")]
    fixed = one.ended != "whole" or one.ending == "fixed"
    return not any(text.startswith(one.text) for text in [*known, *([FIXED_MESSAGE] if fixed else [])])


def served_by(one: Heard) -> str | None:
    """The provider whose answer it is, whole and called whole."""
    names = [name for name in ("east", "west") if one.text == answer_of(name, one.question)]
    return names[0] if names and one.ended == "whole" and one.ending in ("model", "cached") else None


def providers(state: Path, **url: str) -> Path:
    """A file of providers: name -> the address of its upstream."""
    path = state / "providers.toml"
    tables = [
        f'[[providers]]\nname = "{name}"\nkind = "openai"\nbase_url = "{at}/{name}/v1"\n' for name, at in url.items()
    ]
    path.write_text("\n".join(tables))
    return path


def questions(n: int, modes: Sequence[Mode], *, models: Sequence[str] = ("auto",), text: str = "") -> list[Heard]:
    """n requests that differ, each mode with each model in turn."""
    return [
        Heard(
            question=f"q{number} {text}".strip(),
            mode=modes[number % len(modes)],
            model=models[number // len(modes) % len(models)],
        )
        for number in range(n)
    ]


def killed_upstream(bundle: Path, n: int, state: Path) -> list[Found]:
    """(a) Two providers, each the other's fallback; one is killed when a third is answered."""
    upstream = ("upstream", "--piece-ms", PIECE_MS)
    asked = questions(n, ("whole", "restarts"), models=("chat", "dashboard"))
    with part(*upstream) as (_, east), part(*upstream) as (victim, west):
        file = providers(state, east=east, west=west)
        with part("server", "--bundle", bundle, "--state", state, "--providers", file) as (_, url):
            heard = asyncio.run(Client(url=url).all(asked, at=n // 3, then=victim.kill))
    moved = [one for one in heard if one.model == "dashboard" and served_by(one) == "east"]
    slowest = max((one.seconds for one in moved), default=float("nan"))
    return [
        Found.share("a  upstream killed: answered", sum(served_by(one) is not None for one in heard), n, least=0.995),
        Found.none("a  upstream killed: spliced", sum(map(spliced, heard)), n),
        Found(
            what="a  upstream killed: slowest failover, to its end", wanted="< 5 s", measured=f"{slowest:.2f} s",
            met=slowest < 5, n=len(moved),
        ),
    ]  # fmt: skip


def broken_streams(bundle: Path, n: int, state: Path) -> list[Found]:
    """(b) Each request meets a fault after 0 to 8 pieces; every fourth meets one at the fallback as well."""
    asked = questions(n, ("whole", "stream", "restarts"), models=("chat",))
    for number, one in enumerate(asked):
        kind, at = FAULTS[number // 3 % len(FAULTS)], number // 15 % (PIECES + 1)
        other = f" west!{FAULTS[number % len(FAULTS)]}@{number % (PIECES + 1)}" if number % 4 == 0 else ""
        one.question += f" east!{kind}@{at}{other}"
    with part("upstream", "--piece-ms", 1) as (_, url):
        file = providers(state, east=url, west=url)
        with part("server", "--bundle", bundle, "--state", state, "--providers", file, "--hasty") as (_, ours):
            heard = asyncio.run(Client(url=ours).all(asked))
    faulty = [one for one in heard if served_by(one) and f"{served_by(one)}!" in one.question]
    short = [one for one in heard if one.ended == "whole" and one.ending != "fixed" and not served_by(one)]
    silent = [one for one in heard if one.ended not in ("whole", "broken")]
    return [
        Found.none("b  faults amid streams: spliced", sum(map(spliced, heard)), n),
        Found.none("b  faults amid streams: cut short, called complete", len({id(one) for one in faulty + short}), n),
        Found.none("b  faults amid streams: ended without a word, or refused", len(silent), n),
    ]


def broken_classifier(bundle: Path, n: int, state: Path) -> list[Found]:
    """(c) The bundle raises for every message, and hangs before it does for one in fifty."""
    asked = questions(n, ("whole", "route", "stream"))
    for one in asked[::50]:
        one.question += " hang"
    with part("server", "--bundle", bundle, "--state", state, "--broken") as (_, url):
        heard = asyncio.run(Client(url=url).all(asked))
        safe = load_held(bundle).safe
    well = [one for one in heard if (one.ended, one.route, one.rule) == ("whole", safe, CLASSIFIER_FAILED)]
    return [Found.share("c  classifier broken: answered by the safe route, and said so", len(well), n, least=1.0)]


def killed_server(bundle: Path, n: int, state: Path, *, kills: int = KILLS) -> list[Found]:
    """(d) Ours is killed when half of each lot is answered, and started again on the same log."""
    received: list[str] = []
    for lot in range(kills):
        asked = questions(n // kills, ("stream", "route", "whole"), text=f"lot {lot}")
        with part("server", "--bundle", bundle, "--state", state) as (victim, url):
            heard = asyncio.run(Client(url=url).all(asked, at=len(asked) // 2, then=victim.kill))
        received += [one.decision_id for one in heard if one.decision_id]
    logged = {row.decision_id for row in read_log(state / LOG)}
    kept = sum(one in logged for one in received)
    return [
        Found.share(f"d  server killed {kills} times: received decisions in the log", kept, len(received), least=1.0)
    ]


def stopped_server(bundle: Path, n: int, state: Path) -> list[Found]:
    """(e) `weighbridge serve` gets SIGTERM when `n` answers have begun."""
    asked = questions(n, ("stream",), models=("chat",))
    with part("upstream", "--piece-ms", SLOW_MS) as (_, url):
        file = providers(state, anthropic=url)
        with weighbridge(bundle, state, "--providers", file) as (process, ours):
            heard = asyncio.run(_stopped(Client(url=ours), asked, process))
            code = process.wait(STOP_S)
    whole = sum(one.ended == "whole" and one.text == answer_of("anthropic", one.question) for one in heard)
    return [
        Found.share("e  SIGTERM: running streams that ended whole", whole, n, least=1.0),
        Found(what="e  SIGTERM: exit status", wanted="0", measured=f"{code}", met=code == 0, n=1),
    ]


async def _stopped(client: Client, asked: list[Heard], process: subprocess.Popen[bytes]) -> list[Heard]:
    running = asyncio.create_task(client.all(asked, clients=len(asked)))
    for _ in asked:
        await asyncio.wait_for(client.begun.get(), STOP_S)
    process.send_signal(signal.SIGTERM)
    return await running


def swapped_bundle(bundle: Path, n: int, state: Path) -> list[Found]:
    """(f) The link that `weighbridge serve` follows is pointed at another bundle again and again, under load."""
    router = load(bundle)
    policy = LabelPolicy(router.table, router.classes, threshold=router.policy.threshold / 2)
    save(replace(router, policy=policy), state / "other")
    shutil.copytree(bundle, state / "first")
    link = state / "current"
    _point(link, "first")
    with weighbridge(link, state, "--simulated") as (_, url):
        heard = asyncio.run(_swapped(Client(url=url), n, link))
    ids = {one.bundle for one in heard if one.bundle}
    failed = sum(one.ended != "whole" for one in heard)
    sure = sum(one.rule not in (CLASSIFIER_FAILED, CLASSIFIER_BUSY) for one in heard)
    return [
        Found.none(f"f  bundle replaced {SWAPS} times: requests that failed", failed, len(heard)),
        Found.share("f  of them, decided by a bundle in time", sure, len(heard), least=0.99),
        Found(what="f  bundles that decided", wanted="2", measured=f"{len(ids)}", met=len(ids) == 2, n=len(heard)),
    ]


async def _swapped(client: Client, n: int, link: Path) -> list[Heard]:
    """As many requests as asked for, and more until the last replacement was long enough ago to be seen."""
    heard: list[Heard] = []
    for swap in range(SWAPS):
        until = asyncio.get_running_loop().time() + SEEN_S
        _point(link, "other" if swap % 2 == 0 else "first")
        while asyncio.get_running_loop().time() < until or len(heard) < n * (swap + 1) // SWAPS:
            heard += await client.all(questions(50, ("route",), text=f"{len(heard)}"), clients=FEW)
    return heard


def _point(link: Path, target: str) -> None:
    """Point a link elsewhere in one step."""
    made = link.with_name("made")
    made.symlink_to(target)
    made.replace(link)


@contextmanager
def weighbridge(bundle: Path, state: Path, *options: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The server as people start it."""
    with socket.create_server(("127.0.0.1", 0)) as briefly:
        port = briefly.getsockname()[1]
    told = ["serve", "--port", port, "--bundle", bundle, "--state", state, *options]
    command = [sys.executable, "-c", COMMAND, *map(str, told)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process, awaited(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


CASES: dict[str, Callable[[Path, int, Path], list[Found]]] = {
    "a": killed_upstream,
    "b": broken_streams,
    "c": broken_classifier,
    "d": killed_server,
    "e": stopped_server,
    "f": swapped_bundle,
}


def main() -> None:
    """Break everything in turn; print what was wanted and what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("out/demo/bundle"))
    parser.add_argument("--n", type=int, default=1_000, help="requests of each case; (e) has a fiftieth")
    parser.add_argument("--only", default="abcdef")
    asked = parser.parse_args()
    found: list[Found] = []
    for case in asked.only:
        with tempfile.TemporaryDirectory() as state:
            n = max(5, asked.n // 50) if case == "e" else asked.n
            found += CASES[case](asked.bundle.resolve(), n, Path(state))
    raise SystemExit(0 if show(found) else 1)


if __name__ == "__main__":
    main()
