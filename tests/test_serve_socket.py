"""The page's WebSocket, with a client of its own: one turn after another, and who may come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agents.doors.guard import Guard
from agents.doors.socket import TURNS_AT_ONCE
from agents.gateway.deciding import Held
from agents.gateway.keys import KeyStore
from agents.gateway.settings import FIXED_MESSAGE, Settings
from agents.models.simulated import Step
from agents.types import Finished, TextDelta, ToolCallDelta
from router.errors import ModelError
from tests.pages import Page, page
from tests.served import BOUND_S, Gate, Server, Watched, a_service, logged, served, whole

pytestmark = pytest.mark.loopback

BROKEN = ModelError("the stream broke.", kind="broken_stream")
PATIENT = Settings(retries=0, first_event_s=60.0, failover_s=60.0)


@pytest.fixture
def calm(held: Held, tmp_path: Path) -> Iterator[tuple[Server, Watched]]:
    """A server whose model says "Hello, you." to the first three messages."""
    model = Watched(*(whole("Hello, ", "you.") for _ in range(3)))
    with served(a_service(held, tmp_path, model)) as server:
        yield server, model


Calm = tuple[Server, Watched]


def test_a_message_is_followed_by_its_decision_its_pieces_and_the_whole_numbered_from_one(calm: Calm) -> None:
    with page(calm[0]) as opened:
        Page(opened).asks("t1")
        heard = Page(opened).until("final")
    assert [said["type"] for said in heard] == ["decision", "token", "token", "final"]
    assert [said["seq"] for said in heard] == [1, 2, 3, 4]
    assert {said["turn"] for said in heard} == {"t1"}
    assert (heard[0]["route"], heard[0]["rule"], heard[0]["restarted"]) == ("chat", "asked-for", False)
    assert heard[3]["text"] == heard[1]["text"] + heard[2]["text"] == "Hello, you."
    assert heard[3]["cost_usd"] == pytest.approx(0.00015)
    assert heard[3]["decision_id"] == heard[0]["decision_id"]


def test_what_was_said_before_goes_along_with_the_next_message(calm: Calm) -> None:
    with page(calm[0]) as opened:
        for turn in ("first", "second"):
            Page(opened).asks(turn, f"the {turn} question")
            Page(opened).until("final")
    said = [(message.role, message.text) for message in calm[1].requests[1].messages]
    assert said == [("user", "the first question"), ("assistant", "Hello, you."), ("user", "the second question")]


def test_a_ping_is_answered(calm: Calm) -> None:
    with page(calm[0]) as opened:
        Page(opened).says("ping")
        assert Page(opened).hears() == {"type": "pong", "turn": None, "seq": None}


@pytest.mark.parametrize(
    "raw", ["{", '"hello"', "[]", '{"type": "shout"}', '{"type": "message", "turn": "t", "text": ""}', b"\x00\x01"]
)
def test_what_is_no_message_is_told_and_the_socket_stays(calm: Calm, raw: str | bytes) -> None:
    with page(calm[0]) as opened:
        opened.send(raw)
        told = Page(opened).hears()
        Page(opened).says("ping")
        assert (told["type"], told["code"], Page(opened).hears()["type"]) == ("error", "bad_message", "pong")


def test_a_message_for_a_model_that_is_nobodys_is_an_error_of_its_turn(calm: Calm) -> None:
    with page(calm[0]) as opened:
        Page(opened).asks("t1", route="gpt-9")
        told = Page(opened).hears()
    assert (told["type"], told["turn"], told["code"]) == ("error", "t1", "refused")


def test_a_thumb_is_joined_to_its_decision(calm: Calm, tmp_path: Path) -> None:
    with page(calm[0]) as opened:
        Page(opened).asks("t1")
        decision_id = Page(opened).until("final")[-1]["decision_id"]
        Page(opened).says("feedback", decision_id=decision_id, score=-1)
        Page(opened).says("feedback", decision_id="0" * 32, score=1)
        assert Page(opened).hears()["code"] == "bad_feedback"
    with page(calm[0], "other") as opened:  # written by now: the second was refused after it
        Page(opened).says("ping")
        Page(opened).hears()
    (row,) = [row for row in logged(tmp_path) if row.decision_id == decision_id]
    assert row.feedback is not None
    assert row.feedback.score == 0.0


# ---- Turns ----


def test_cancelling_ends_the_call_upstream_and_says_what_there_is(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="Once"), Gate(), TextDelta(text=" upon")])
    with served(a_service(held, tmp_path, model)) as server, page(server) as opened:
        Page(opened).asks("t1")
        Page(opened).until("token")
        Page(opened).says("cancel", turn="t1")
        final = Page(opened).until("final")[-1]
        assert model.ended.acquire(timeout=BOUND_S)
    assert (final["cancelled"], final["text"]) == (True, "Once")
    assert model.cut == 1


def test_a_turn_that_is_cancelled_at_once_still_ends(held: Held, tmp_path: Path) -> None:
    with served(a_service(held, tmp_path, Watched([Gate()]), settings=PATIENT)) as server, page(server) as opened:
        Page(opened).asks("t1")
        Page(opened).says("cancel", turn="t1")
        assert Page(opened).until("final")[-1]["cancelled"] is True


def test_two_turns_run_at_once_and_do_not_mix(held: Held, tmp_path: Path) -> None:
    gate = Gate()
    first: list[Step] = [
        TextDelta(text="slow "),
        gate,
        TextDelta(text="one"),
        Finished(reason="stop", model="m", usage=None),
    ]
    with served(a_service(held, tmp_path, Watched(first, whole("quick one")))) as server, page(server) as opened:
        Page(opened).asks("slow", "a")
        heard = Page(opened).until("token")
        Page(opened).asks("quick", "b")
        heard += Page(opened).until("final")
        gate.open()
        heard += Page(opened).until("final")
    assert [(said["turn"], said["text"]) for said in heard if said["type"] == "final"] == [
        ("quick", "quick one"),
        ("slow", "slow one"),
    ]
    assert [said["seq"] for said in heard] == list(range(1, len(heard) + 1))


def test_one_turn_too_many_is_refused_and_takes_no_other_with_it(held: Held, tmp_path: Path) -> None:
    gates = [Gate() for _ in range(TURNS_AT_ONCE)]
    model = Watched(*([gate, *whole("done")] for gate in gates))
    with served(a_service(held, tmp_path, model, settings=PATIENT)) as server, page(server) as opened:
        for number in range(TURNS_AT_ONCE + 1):
            Page(opened).asks(f"t{number}", f"question {number}")
        told = Page(opened).hears()
        for gate in gates:
            gate.open()
        finals = [Page(opened).until("final")[-1]["turn"] for _ in gates]
    assert (told["code"], told["turn"]) == ("too_many_turns", f"t{TURNS_AT_ONCE}")
    assert sorted(finals) == [f"t{number}" for number in range(TURNS_AT_ONCE)]


def test_a_model_that_fails_midway_makes_its_text_void(held: Held, tmp_path: Path) -> None:
    model = Watched([TextDelta(text="Half of"), BROKEN], whole("Another one."))
    with served(a_service(held, tmp_path, model)) as server, page(server) as opened:
        Page(opened).asks("t1")
        heard = Page(opened).until("final")
    decisions = [(said["route"], said["restarted"], said["why"]) for said in heard if said["type"] == "decision"]
    assert decisions == [("chat", False, None), ("dashboard", True, "broken_stream")]
    assert (heard[-1]["text"], heard[-1]["route"]) == ("Another one.", "dashboard")


def test_where_nobody_answers_the_fixed_message_is_marked(held: Held, tmp_path: Path) -> None:
    down = ModelError("down.", kind="overloaded")
    with served(a_service(held, tmp_path, Watched([down], [down]))) as server, page(server) as opened:
        Page(opened).asks("t1")
        final = Page(opened).until("final")[-1]
    assert (final["text"], final["fixed"], final["served_model"]) == (FIXED_MESSAGE, True, None)


def test_a_tool_call_is_told_whole(held: Held, tmp_path: Path) -> None:
    call: list[Step] = [ToolCallDelta(index=0, call_id="c", name="find"), ToolCallDelta(index=0, arguments='{"to":')]
    rest: list[Step] = [
        ToolCallDelta(index=0, arguments='"Rome"}'),
        Finished(reason="tool_calls", model="m", usage=None),
    ]
    with served(a_service(held, tmp_path, Watched([*call, *rest]))) as server, page(server) as opened:
        Page(opened).asks("t1")
        heard = Page(opened).until("final")
    assert [(said["name"], said["arguments"]) for said in heard if said["type"] == "tool_call"] == [
        ("find", '{"to":"Rome"}')
    ]


def test_half_an_emoji_in_a_piece_arrives(held: Held, tmp_path: Path) -> None:
    with served(a_service(held, tmp_path, Watched(whole("\ud83d", "\ude00")))) as server, page(server) as opened:
        Page(opened).asks("t1")
        assert Page(opened).until("final")[-1]["text"].encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


# ---- Who may come in ----


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_gets_no_socket(calm: Calm, origin: Any) -> None:  # Any: websockets' own string
    with pytest.raises(InvalidStatus) as caught:
        page(calm[0], origin=origin)
    assert caught.value.response.status_code == 403


def test_its_own_page_gets_a_socket(calm: Calm) -> None:
    own: Any = calm[0].url  # Any: websockets' own string
    with page(calm[0], origin=own) as opened:
        Page(opened).says("ping")
        assert Page(opened).hears()["type"] == "pong"


@pytest.fixture
def locked(held: Held, tmp_path: Path) -> Iterator[tuple[Server, KeyStore]]:
    store = KeyStore(tmp_path / "keys.sqlite")
    store.create("first", scopes=["chat"], rate_per_minute=9)  # without any the server is open
    with served(a_service(held, tmp_path, Watched(whole("a"), whole("b"))), guard=Guard(keys=store)) as server:
        yield server, store


Locked = tuple[Server, KeyStore]


def offering(key: str) -> dict[str, Any]:  # Any: websockets' own strings
    return {"subprotocols": ["weighbridge", f"key.{key}"]}


def test_a_key_comes_as_a_subprotocol_and_is_not_sent_back(locked: Locked) -> None:
    key = locked[1].create("ann", scopes=["chat"], rate_per_minute=9)
    with page(locked[0], **offering(key)) as opened:
        Page(opened).asks("t1")
        assert Page(opened).until("final")[-1]["text"] == "a"
        assert opened.subprotocol == "weighbridge"


@pytest.mark.parametrize("key", ["wb_wrong", ""])
def test_a_wrong_key_closes_with_4401(locked: Locked, key: str) -> None:
    with page(locked[0], **offering(key)) as opened, pytest.raises(ConnectionClosed) as caught:
        opened.recv(timeout=BOUND_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401


def test_an_open_socket_is_no_way_around_the_rate(locked: Locked) -> None:
    key = locked[1].create("slow", scopes=["chat"], rate_per_minute=2)  # one for the socket, one for a message
    with page(locked[0], **offering(key)) as opened:
        Page(opened).asks("t1")
        Page(opened).until("final")
        Page(opened).asks("t2")
        told = Page(opened).hears()
    assert (told["type"], told["turn"], told["code"]) == ("error", "t2", "rate_limit_exceeded")


def test_a_revoked_key_asks_nothing_more_on_an_open_socket(locked: Locked) -> None:
    key = locked[1].create("ann", scopes=["chat"], rate_per_minute=9)
    with page(locked[0], **offering(key)) as opened:
        locked[1].revoke("ann")
        Page(opened).asks("t1")
        assert Page(opened).hears()["code"] == "invalid_api_key"


def test_nobody_takes_over_anothers_session(locked: Locked) -> None:
    ann, bob = (locked[1].create(name, scopes=["chat"], rate_per_minute=9) for name in ("ann", "bob"))
    with page(locked[0], **offering(ann)) as hers:
        Page(hers).asks("t1")
        Page(hers).until("final")
        with page(locked[0], **offering(bob)) as his, pytest.raises(ConnectionClosed) as caught:
            his.recv(timeout=BOUND_S)
        Page(hers).says("ping")
        assert Page(hers).hears()["type"] == "pong"
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, "somebody else" in caught.value.rcvd.reason) == (4400, True)
