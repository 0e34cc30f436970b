"""Keys from the command line to the door: who made one comes in, as far as its scopes and its rate go, until it is revoked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
import typer
from typer.testing import CliRunner, Result

from agents import commands
from agents.doors.guard import DeniedError, Guard, bearer
from agents.gateway.assembly import assemble, guard_of
from agents.gateway.keys import KeyStore
from agents.gateway.limits import Admission, RateLimiter
from agents.gateway.service import Service
from router.errors import BundleError, DataError
from tests.clients import bearer as bearing
from tests.served import BOUND_S, served

pytestmark = pytest.mark.loopback

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


class Command:
    """The verbs on an application of their own. started: the host and port of each server that was opened."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.started: list[tuple[str, int]] = []
        self.trained: list[Path] = []
        self._app = typer.Typer()
        commands.register(self._app, train_demo=self.trained.append, run=self._run)

    def _run(self, service: Service, guard: Guard, host: str, port: int) -> None:
        self.started.append((host, port))
        with served(service, guard=guard):  # opened and closed, as by Ctrl-C at once
            pass

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(self._app, [*arguments, "--state", str(self.state)])

    def key(self, name: str, *arguments: str) -> str:
        done = self("keys", "create", name, *arguments)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "state")


Door = httpx2.Client


@pytest.fixture
def door(command: Command, bundle: Path) -> Iterator[Door]:
    """A server of simulated models that has at least one key."""
    command.key("first")
    service = assemble(bundle, state=command.state, simulated=True)
    guard = guard_of(command.state, host="0.0.0.0")
    with served(service, guard=guard) as server, httpx2.Client(base_url=server.url, timeout=BOUND_S) as opened:
        yield opened


def status(door: Door, key: str, path: str = "/v1/chat/completions") -> int:
    body = CHAT if path == "/v1/chat/completions" else {"input": "hello"}
    return door.post(path, json=body, headers={"authorization": f"Bearer {key}"}).status_code


def test_a_key_made_on_the_command_line_opens_the_door_of_a_running_server(command: Command, door: Door) -> None:
    key = command.key("ann")
    assert (status(door, key), status(door, key, "/v1/route")) == (200, 200)


@pytest.mark.parametrize(
    ("scopes", "statuses"),
    [("chat", (200, 403)), ("route", (403, 200)), ("chat, route", (200, 200)), ("admin", (403, 403))],
)
def test_a_key_opens_what_its_scopes_say(command: Command, door: Door, scopes: str, statuses: tuple[int, int]) -> None:
    key = command.key("ann", "--scopes", scopes)
    assert (status(door, key), status(door, key, "/v1/route")) == statuses


def test_a_revoked_key_is_refused_by_the_running_server(command: Command, door: Door) -> None:
    key = command.key("ann")
    before = status(door, key)
    assert command("keys", "revoke", "ann").exit_code == 0
    assert (before, status(door, key)) == (200, 401)


def test_a_rate_counts_all_addresses_together(command: Command, door: Door) -> None:
    key = command.key("ann", "--rate", "2")
    paths = ["/v1/route", "/v1/chat/completions", "/v1/route"]
    assert [status(door, key, path) for path in paths] == [200, 200, 429]


def test_one_keys_rate_is_not_anothers(command: Command, door: Door) -> None:
    ann, bob = command.key("ann", "--rate", "1"), command.key("bob", "--rate", "1")
    assert [status(door, key) for key in (ann, bob, ann)] == [200, 200, 429]


def test_health_needs_no_key_and_models_and_metrics_do(door: Door) -> None:
    paths = ("/healthz", "/readyz", "/v1/models", "/metrics")
    assert [door.get(path).status_code for path in paths] == [200, 200, 401, 401]


def test_who_watches_needs_the_scope_admin_and_learns_which_bundle_decides(command: Command, door: Door) -> None:
    watching, asking = (bearing(command.key(name, "--scopes", name)) for name in ("admin", "chat"))
    assert [door.get("/metrics", headers=headers).status_code for headers in (watching, asking)] == [200, 403]
    assert set(door.get("/readyz", headers=watching).json()) == {"status", "bundle", "simulated"}
    assert door.get("/readyz", headers=asking).json() == door.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(("scopes", "told"), [("chat", 204), ("route", 204), ("admin", 403)])
def test_who_may_ask_for_answers_or_for_decisions_may_say_how_good_they_were(
    command: Command, door: Door, scopes: str, told: int
) -> None:
    deciding, saying = bearing(command.key("first-of-all")), bearing(command.key("ann", "--scopes", scopes))
    (made,) = door.post("/v1/route", json={"input": "hello"}, headers=deciding).json()["data"]
    word = {"decision_id": made["decision_id"], "score": 1.0}
    assert door.post("/v1/feedback", json=word, headers=saying).status_code == told


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer wb_wrong", "wb_wrong"])
def test_without_a_valid_key_nobody_is_let_in(door: Door, header: str) -> None:
    reply = door.post("/v1/chat/completions", json=CHAT, headers={"authorization": header})
    assert (reply.status_code, reply.json()["error"]["type"]) == (401, "authentication_error")


def test_a_refused_caller_is_not_told_what_is_wrong_with_its_body(door: Door) -> None:
    assert door.post("/v1/chat/completions", json={"messages": 7}).status_code == 401


def test_the_list_shows_names_and_beginnings_and_no_secret(command: Command) -> None:
    key = command.key("ann")
    command("keys", "revoke", "ann")
    said = command("keys", "list").stdout
    assert "ann" in said
    assert f"{key[:10]}…" in said
    assert key not in said


def test_a_secret_is_printed_on_one_line_however_narrow_the_terminal_is(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    key = command.key("ann")
    found = KeyStore(command.state / "keys.sqlite").verify(key)
    assert found is not None
    assert found.name == "ann"


def test_an_unknown_scope_is_refused_and_makes_no_key(command: Command) -> None:
    done = command("keys", "create", "ann", "--scopes", "chat,root")
    assert isinstance(done.exception, DataError)
    assert "'root'" in str(done.exception)
    assert not KeyStore(command.state / "keys.sqlite").list()


def test_revoking_a_key_that_is_not_there_names_those_that_are(command: Command) -> None:
    command.key("ann")
    with pytest.raises(DataError, match="'bob'; wanted one of: ann"):
        raise command("keys", "revoke", "bob").exception or AssertionError


# ---- Where a server may listen ----


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "127.0.0.1.example.org"])
def test_a_server_that_others_can_reach_wants_a_key_and_says_how_to_make_one(
    command: Command, bundle: Path, host: str
) -> None:
    done = command("serve", "--host", host, "--bundle", str(bundle), "--simulated")
    assert isinstance(done.exception, DataError)
    assert f"weighbridge keys create NAME --state {command.state}" in str(done.exception)
    assert command.started == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_server_on_loopback_starts_without_keys(command: Command, bundle: Path, host: str) -> None:
    done = command("serve", "--host", host, "--port", "8123", "--bundle", str(bundle), "--simulated")
    assert done.exit_code == 0, done.output
    assert command.started == [(host, 8123)]
    assert "open, on this machine alone" in done.stdout


def test_keys_lock_a_loopback_server_as_well(command: Command, bundle: Path) -> None:
    command.key("ann")
    done = command("serve", "--bundle", str(bundle), "--simulated")
    assert "with API keys" in done.stdout
    assert not guard_of(command.state, host="127.0.0.1").open


def test_a_server_whose_keys_are_all_revoked_stays_locked(command: Command) -> None:
    command.key("ann")
    command("keys", "revoke", "ann")
    with pytest.raises(DeniedError):
        guard_of(command.state, host="127.0.0.1").admit(None, "chat")


def test_the_demos_bundle_is_trained_only_where_it_is_missing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(
        command("serve", "--simulated").exception, BundleError
    )  # this one trains nothing, so none is there
    assert command.trained == [commands.DEMO_BUNDLE]


# ---- The guard by itself ----


class Watchful(RateLimiter):
    """Counts how often it was asked while it was still busy with another."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.together = 0

    def admit(self, key: str, *, rate_per_minute: int) -> Admission:
        self.inside += 1
        self.together += self.inside > 1
        os.sched_yield()
        admission = super().admit(key, rate_per_minute=rate_per_minute)
        self.inside -= 1
        return admission


def test_requests_that_are_admitted_in_threads_are_counted_one_after_another() -> None:
    rates = Watchful()
    guard = Guard(keys=None, rates=rates)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: guard.admit(None, "chat"), range(500)))
    assert rates.together == 0


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("bearer  wb_1 ", "wb_1"),
        ("BEARER wb_1", "wb_1"),
        ("Basic wb_1", None),
    ],
)
def test_a_secret_is_read_from_a_bearer_header_alone(header: str | None, secret: str | None) -> None:
    assert bearer(header) == secret
