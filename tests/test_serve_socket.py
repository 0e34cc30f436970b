"""The page's WebSocket, with a client of its own: numbered messages, and a conversation that outlives its connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agents.doors.guard import Guard
from agents.doors.session import KEPT, LONGEST_ID, Session, Sessions
from agents.doors.socket import TURNS_AT_ONCE
from agents.gateway.deciding import Held, load_held
from agents.gateway.keys import KeyStore
from agents.gateway.settings import FIXED_MESSAGE, Settings
from agents.models.simulated import Step
from agents.types import Finished, TextDelta, ToolCallDelta
from router.errors import DataError, ModelError
from tests.served import Gate, Server, Watched, a_service, logged, records, served, whole

pytestmark = pytest.mark.loopback

Said = dict[str, Any]  # Any: whatever JSON can hold
WAIT_S = 10.0
BROKEN = ModelError("the stream broke.", kind="broken_stream")
PATIENT = Settings(retries=0, first_event_s=30.0, failover_s=30.0)


@pytest.fixture(scope="module")
def held(bundle: Path) -> Held:
    return load_held(bundle)


class Page:
    """One end of the socket. Messages are read in order; `until` gives all up to one of a kind."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def says(self, kind: str, **content: object) -> None:
        self.connection.send(json.dumps({"type": kind, **content}))

    def asks(self, turn: str, text: str = "hello", route: str = "chat") -> None:
        self.says("message", turn=turn, text=text, route=route)

    def hears(self) -> Said:
        found: Said = json.loads(self.connection.recv(timeout=WAIT_S))
        return found

    def until(self, kind: str) -> list[Said]:
        heard = [self.hears()]
        while heard[-1]["type"] != kind:
            heard.append(self.hears())
        return heard


def page(
    server: Server, session: str = "s1", last_seq: object = 0, **options: Any
) -> ClientConnection:  # Any: of connect
    opened: ClientConnection = connect(
        f"{server.socket_url}?session={session}&last_seq={last_seq}", proxy=None, **options
    )
    return opened


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
        assert model.ended.acquire(timeout=WAIT_S)
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
        opened.recv(timeout=WAIT_S)
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
            his.recv(timeout=WAIT_S)
        Page(hers).says("ping")
        assert Page(hers).hears()["type"] == "pong"
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, "somebody else" in caught.value.rcvd.reason) == (4400, True)


def test_neither_words_nor_keys_stand_in_our_own_log(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    key = store.create("ann", scopes=["chat"], rate_per_minute=9)
    with (
        records() as found,
        served(a_service(held, tmp_path, Watched(whole("a"))), guard=Guard(keys=store)) as server,
        page(server, **offering(key)) as opened,
    ):
        Page(opened).asks("t1", "the zebra sleeps")
        Page(opened).until("final")
        opened.send("the zebra sleeps")
        Page(opened).hears()
    ours = [record.getMessage() for record in found if record.name.split(".")[0] in ("agents", "router", "serve")]
    assert [said for said in ours if "zebra" in said or key in said] == []


# ---- Coming back ----


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
        opened.recv(timeout=WAIT_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400
    assert len(calm[0].app.state.sessions) == 0


def test_a_session_with_an_endless_name_is_refused(calm: Calm) -> None:
    with page(calm[0], "s" * (LONGEST_ID + 1)) as opened, pytest.raises(ConnectionClosed) as caught:
        opened.recv(timeout=WAIT_S)
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


# ---- Sessions by themselves ----


class Socket:
    """Remembers the numbers that it was sent; while `slow` it does not get on."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, message: Said) -> None:
        await self.free.wait()
        self.seen.append(message["seq"])


def a_session(sessions: Sessions | None = None, name: str = "s") -> Session:
    return (Sessions() if sessions is None else sessions).open(name, principal="ann")


def test_what_is_no_longer_kept_cannot_be_resumed_and_the_rest_can() -> None:
    async def resume() -> list[int]:
        session, late = a_session(), Socket()
        for _ in range(KEPT + 2):
            await session.say("token", "t", {})
        with pytest.raises(DataError, match="messages 3 to 4002 are kept"):
            await session.attach(late.send, last_seq=1)
        await session.attach(late.send, last_seq=2)
        return late.seen

    assert asyncio.run(resume()) == list(range(3, KEPT + 3))


def test_a_newer_socket_wins_over_one_that_is_still_catching_up() -> None:
    async def meet() -> tuple[list[int], list[int]]:
        session, slow, new = a_session(), Socket(), Socket()
        for _ in range(3):
            await session.say("token", "t", {})
        slow.free.clear()
        catching_up = asyncio.create_task(session.attach(slow.send, last_seq=0))
        await asyncio.sleep(0)
        await session.attach(new.send, last_seq=0)
        slow.free.set()
        await catching_up
        await session.say("token", "t", {})
        return slow.seen, new.seen

    slow, new = asyncio.run(meet())
    assert new == [1, 2, 3, 4]
    assert 4 not in slow


def test_a_turn_that_is_cancelled_while_it_speaks_leaves_no_gap() -> None:
    async def cancel() -> list[int]:
        session, slow = a_session(), Socket()
        await session.attach(slow.send, last_seq=0)
        slow.free.clear()
        speaking = asyncio.create_task(session.say("token", "t", {}))
        await asyncio.sleep(0)
        speaking.cancel()
        await asyncio.wait({speaking})
        slow.free.set()
        await session.say("final", "t", {})
        return slow.seen

    assert asyncio.run(cancel()) == [1, 2]


def test_whoever_does_not_come_back_in_time_is_let_go_with_all_that_runs() -> None:
    async def leave() -> tuple[int, bool]:
        sessions, send = Sessions(), Socket().send
        session = a_session(sessions)
        await session.attach(send, last_seq=0)
        running: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(3_600))
        session.turns["t"] = running
        session.detach(send, gone=lambda: sessions.let_go(session), grace_s=0.0)
        await asyncio.wait({running}, timeout=WAIT_S)
        return len(sessions), running.cancelled()

    assert asyncio.run(leave()) == (0, True)


def test_the_oldest_session_without_a_socket_makes_room_and_one_with_a_socket_does_not() -> None:
    async def fill() -> bool:
        sessions = Sessions(most=2)
        busy, idle = a_session(sessions, "busy"), a_session(sessions, "idle")
        await busy.attach(Socket().send, last_seq=0)
        new = a_session(sessions, "new")
        await new.attach(Socket().send, last_seq=0)
        with pytest.raises(DataError, match="2 sessions are open"):
            a_session(sessions, "one too many")
        return a_session(sessions, "busy") is busy and a_session(sessions, "new") is new and idle.left

    assert asyncio.run(fill())
