"""What people say, and their keys, stand in no log, whichever level is asked for, and in no file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from agents.doors.guard import Guard
from agents.gateway.held import Held
from agents.gateway.keys import KeyStore
from agents.models.anthropic_wire import AnthropicModel
from agents.models.openai_wire import OpenAIModel
from agents.models.protocol import Model
from agents.models.upstream import Upstream
from agents.types import TextDelta
from router.errors import ModelError
from tests.clients import BROKEN, bearer, post
from tests.pages import Page, page
from tests.served import BOUND_S, Watched, a_service, records, served, whole
from tests.wire_servers import Reply, WireServer, anthropic_text, openai_text, wire_server

pytestmark = pytest.mark.loopback

WORDS = "the zebra sleeps at 4711"
UPSTREAM_KEY = "sk-not-to-be-seen"
THEIRS = (
    "websockets.client",
    "httpx2",
    "httpcore2",
    "asyncio",
)  # of this test's own clients; none of them is a server's


@pytest.fixture(autouse=True)
def talkative() -> Iterator[None]:
    """Every logger that a server's libraries have, as loud as its variable or its option makes it."""
    names = ("openai", "openai._base_client", "anthropic", "httpx2", "httpcore2", "websockets", "uvicorn.error")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def told(found: list[logging.LogRecord], *secrets: str) -> list[str]:
    """The loggers that told one of the secrets."""
    said = [
        (record.name, f"{record.getMessage()} {record.exc_info} {record.exc_text}")
        for record in found
        if record.name != "websockets.client"  # the test's own end of the line
    ]
    return sorted({name for name, text in said if any(secret in text for secret in secrets)})


def test_no_words_and_no_key_leave_their_request(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    key = store.create("ann", scopes=["chat", "route", "admin"], rate_per_minute=100)
    model = Watched(whole("fine"), [TextDelta(text="half"), BROKEN], [ModelError("no.", kind="bad_request")])
    with (
        records() as found,
        served(a_service(held, tmp_path, model), guard=Guard(keys=store)) as server,
        httpx2.Client(base_url=server.url, headers=bearer(key), timeout=BOUND_S) as asking,
    ):
        for number, stream in enumerate((False, True, False)):
            body = {"messages": [{"role": "user", "content": f"{WORDS} {number}"}], "stream": stream}
            asking.post("/v1/chat/completions", json=body)
        asking.post("/v1/route", json={"input": WORDS, "explain": True})
        asking.post("/v1/route", json={"input": WORDS, WORDS: 1})
        metrics = asking.get("/metrics").text
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert told(found, WORDS, key) == []
    assert "weighbridge_decisions_total" in metrics
    assert [secret for secret in (WORDS, key) if secret in metrics or secret.encode() in kept] == []


def test_no_words_and_no_key_of_a_page_stand_in_the_log(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    key = store.create("ann", scopes=["chat"], rate_per_minute=9)
    with (
        records() as found,
        served(a_service(held, tmp_path, Watched(whole("a"))), guard=Guard(keys=store)) as server,
        page(server, subprotocols=["weighbridge", f"key.{key}"]) as opened,
    ):
        Page(opened).asks("t1", WORDS)
        Page(opened).until("final")
        opened.send(WORDS)
        Page(opened).hears()
    assert told(found, WORDS, key) == []


def openai_upstream(upstream: WireServer, at: Upstream) -> Model:
    upstream.plays(Reply(steps=openai_text("Straight ", "through.")))
    return OpenAIModel("anthropic", at)


def anthropic_upstream(upstream: WireServer, at: Upstream) -> Model:
    upstream.plays(Reply(steps=anthropic_text("Straight ", "through.")))
    return AnthropicModel("anthropic", at)


@pytest.mark.parametrize("loud", ["by the root logger", "by the SDK's variable"])
@pytest.mark.parametrize("kind", [openai_upstream, anthropic_upstream])
def test_a_providers_sdk_tells_neither_words_nor_keys(
    held: Held, tmp_path: Path, kind: Callable[[WireServer, Upstream], Model], loud: str
) -> None:
    if loud != "by the root logger":
        for name in ("openai", "anthropic"):
            logging.getLogger(name).setLevel(logging.DEBUG)  # as OPENAI_LOG=debug and ANTHROPIC_LOG=debug do on import
    with records() as found, wire_server() as upstream:
        model = kind(upstream, Upstream(base_url=upstream.url, api_key=UPSTREAM_KEY, local=True))
        with served(a_service(held, tmp_path, model)) as server:
            body = {"model": "chat", "messages": [{"role": "user", "content": WORDS}]}
            assert post(server, "/v1/chat/completions", body).status_code == 200
    assert WORDS in str(upstream.received[0].body)
    assert told(found, WORDS, UPSTREAM_KEY) == []
