"""A conversation that outlives its connection, over real sockets; and pages that read nothing."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.exceptions import ConnectionClosed

from agents.doors.guard import Guard
from agents.doors.kept import KEPT_BYTES
from agents.doors.session import LONGEST_ID, Session, Sessions
from agents.doors.socket import talk
from agents.gateway.deciding import Held
from agents.gateway.settings import Settings
from agents.models.simulated import Step
from agents.types import TextDelta
from router.errors import ModelError
from tests.loopback import listening
from tests.pages import Page, deaf, page
from tests.served import BOUND_S, Gate, Server, Watched, a_service, logged, ran, served, whole

pytestmark = pytest.mark.loopback

PATIENT = Settings(retries=0, first_event_s=60.0, failover_s=60.0, between_events_s=60.0)
BROKEN = ModelError("the stream broke.", kind="broken_stream")
STOPS_S = 20.0  # 1 s for connections, 2 for turns and 2 for answers, on a busy machine


@pytest.fixture
def calm(held: Held, tmp_path: Path) -> Iterator[tuple[Server, Watched]]:
    """A server whose model says "Hello, you." to the first two messages."""
    model = Watched(*(whole("Hello, ", "you.") for _ in range(2)))
    with served(a_service(held, tmp_path, model)) as server:
        yield server, model


Calm = tuple[Server, Watched]


def test_a_dropped_connection_resumes_in_the_middle_of_a_turn_without_loss_or_repeats(
    held: Held, tmp_path: Path
) -> None:
    gates = [Gate(), Gate()]
    steps: list[Step] = [TextDelta(text="a"), TextDelta(text="b"), gates[0], TextDelta(text="c"), gates[1], *whole("d")]
    with served(a_service(held, tmp_path, Watched(steps))) as server:
        with page(server) as opened:
            Page(opened).asks("t1")
            heard = [Page(opened).hears(), Page(opened).hears()]  # decision and "a"; "b" is lost on the way
            gates[0].reached()
            opened.socket.close()
        gates[0].open()  # "c" is said to nobody
        gates[1].reached()
        with page(server, last_seq=heard[-1]["seq"]) as opened:
            heard += [Page(opened).hears(), Page(opened).hears()]
            gates[1].open()
            heard += Page(opened).until("final")
    assert [said["seq"] for said in heard] == [1, 2, 3, 4, 5, 6]
    assert "".join(said["text"] for said in heard if said["type"] == "token") == heard[-1]["text"] == "abcd"


def test_a_session_that_was_not_asked_anything_meanwhile_is_as_it_was(calm: Calm) -> None:
    with page(calm[0]) as opened:
        Page(opened).asks("t1", "one")
        last = Page(opened).until("final")[-1]["seq"]
    with page(calm[0], last_seq=last) as opened:
        Page(opened).asks("t2", "two")
        heard = Page(opened).until("final")
    assert heard[0]["seq"] == last + 1
    assert len(calm[1].requests[1].messages) == 3


@pytest.mark.parametrize("last_seq", [7, -1, "x", "²", "9" * 5_000])
def test_a_number_that_was_never_given_closes_the_socket_and_leaves_no_session_behind(
    calm: Calm, last_seq: object
) -> None:
    with page(calm[0], last_seq=last_seq) as opened, pytest.raises(ConnectionClosed) as caught:
        opened.recv(timeout=BOUND_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert len(calm[0].app.state.sessions) == 0


def test_a_session_with_an_endless_name_is_refused(calm: Calm) -> None:
    with page(calm[0], "s" * (LONGEST_ID + 1)) as opened, pytest.raises(ConnectionClosed) as caught:
        opened.recv(timeout=BOUND_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400


def test_stopping_the_server_completes_the_record_of_a_running_turn(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="Once"), Gate()])
    with served(a_service(held, tmp_path, model)) as server, page(server) as opened:
        Page(opened).asks("t1")
        Page(opened).until("token")
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"


def test_who_asks_for_what_is_no_longer_kept_is_told_so(held: Held, tmp_path: Path) -> None:
    long = "a" * (KEPT_BYTES * 2 // 3)  # as a piece, and again in the end: together too much
    with served(a_service(held, tmp_path, Watched(whole(long)))) as server:
        with page(server, max_size=None) as opened:
            Page(opened).asks("t1")
            Page(opened).until("final")
        with page(server, last_seq=1) as opened, pytest.raises(ConnectionClosed) as caught:
            opened.recv(timeout=BOUND_S)
        with page(server, last_seq=2, max_size=None) as opened:
            assert Page(opened).hears()["type"] == "final"
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert "last_seq is 1; messages 3 to 3 are kept" in caught.value.rcvd.reason


FLOOD: list[Step] = [TextDelta(text="a" * 100_000) for _ in range(200)]  # more than all buffers between the two hold


def stuck(session: Session) -> None:
    """Wait until nothing more is said: the page's end takes no more."""
    by, still, last = time.monotonic() + BOUND_S, 0, 0
    while still < 20:
        assert time.monotonic() < by, "it never came to a halt"
        time.sleep(0.02)
        still, last = (still + 1 if session.sequence == last > 0 else 0), session.sequence


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the page's, which never takes its last bytes
def test_a_page_that_reads_nothing_does_not_keep_the_server_from_stopping(held: Held, tmp_path: Path) -> None:
    model = Watched(FLOOD)
    with contextlib.ExitStack() as later:
        with served(a_service(held, tmp_path, model, settings=PATIENT)) as server:
            later.enter_context(deaf(server, "t1"))
            stuck(server.app.state.sessions.open("s1", principal="local"))
            began = time.monotonic()
        assert time.monotonic() - began < STOPS_S
    assert model.ended.acquire(timeout=BOUND_S)
    (row,) = logged(tmp_path)
    assert row.attempts is not None
    assert row.attempts[0]["outcome"] == "cancelled"
    gc.collect()  # here, where the warning is expected


def test_a_page_that_takes_nothing_for_too_long_is_dropped_and_its_answer_goes_on(held: Held, tmp_path: Path) -> None:
    model, sessions = Watched([*FLOOD, BROKEN], whole("the end")), Sessions()
    service = a_service(held, tmp_path, model, settings=PATIENT)
    app = Starlette(routes=[WebSocketRoute("/ws", talk(service, Guard(keys=None), sessions, send_s=0.5))])
    with listening(app, ws="auto") as url:
        with deaf(Server(url=url, app=app), "t1"):
            session = sessions.open("s1", principal="local")
            until(lambda: session.sequence > 0)
            until(lambda: session.left and not session.turns)
        with page(Server(url=url, app=app), last_seq=session.sequence - 1) as opened:
            assert Page(opened).hears()["text"] == "the end"
    ran(service.close())


def until(holds: Callable[[], bool]) -> None:
    by = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < by
        time.sleep(0.01)
