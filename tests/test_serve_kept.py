"""Sessions by themselves: what is kept for a socket that comes back, for how long, and how much."""

from __future__ import annotations

import asyncio
import json

import pytest

from agents.doors.kept import KEPT_BYTES, KEPT_S
from agents.doors.session import HISTORY_CHARACTERS, Session, Sessions
from router.errors import DataError
from tests.scripted import FakeClock
from tests.served import BOUND_S, ran


class Socket:
    """Remembers the numbers that it was sent; while it is not `free` it does not get on."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, text: str) -> None:
        await self.free.wait()
        self.seen.append(json.loads(text)["seq"])


def a_session(sessions: Sessions | None = None, name: str = "s") -> Session:
    return (Sessions() if sessions is None else sessions).open(name, principal="ann")


def test_what_is_no_longer_kept_cannot_be_resumed_and_the_rest_can() -> None:
    async def resume() -> list[int]:
        clock, late = FakeClock(), Socket()
        session = a_session(Sessions(clock=clock))
        for at in (
            0.0,
            1.0,
            1.0 + KEPT_S,
            1.5 + KEPT_S,
        ):  # the first is too old by the end, the second is not by a second
            clock.now = at
            await session.say("token", "t", {})
        with pytest.raises(DataError, match="last_seq is 1; messages 3 to 4 are kept"):
            await session.attach(late.send, last_seq=1)
        await session.attach(late.send, last_seq=2)
        return late.seen

    assert ran(resume()) == [3, 4]


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

    slow, new = ran(meet())
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

    assert ran(cancel()) == [1, 2]


def test_whoever_does_not_come_back_in_time_is_let_go_with_all_that_runs() -> None:
    async def leave() -> tuple[int, bool]:
        sessions, send = Sessions(), Socket().send
        session = a_session(sessions)
        await session.attach(send, last_seq=0)
        running: asyncio.Task[None] = asyncio.create_task(asyncio.sleep(3_600))
        session.turns["t"] = running
        session.detach(send, gone=lambda: sessions.let_go(session), grace_s=0.0)
        await asyncio.wait({running}, timeout=BOUND_S)
        return len(sessions), running.cancelled()

    assert ran(leave()) == (0, True)


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

    assert ran(fill())


def test_of_one_session_the_newest_megabyte_is_kept() -> None:
    async def fill() -> tuple[list[int], int]:
        sessions, late = Sessions(), Socket()
        session = a_session(sessions)
        for _ in range(5):
            await session.say("token", "t", {"text": "a" * 300_000})
        with pytest.raises(DataError, match="messages 3 to 5 are kept"):
            await session.attach(late.send, last_seq=1)
        await session.attach(late.send, last_seq=2)
        return late.seen, sessions.kept_bytes

    seen, kept_bytes = ran(fill())
    assert seen == [3, 4, 5]
    assert 900_000 < kept_bytes <= KEPT_BYTES


def test_of_all_sessions_together_the_oldest_are_the_first_that_cannot_be_resumed() -> None:
    async def fill() -> tuple[int, list[int]]:
        sessions = Sessions(kept_bytes=1_000)
        old, new = a_session(sessions, "old"), a_session(sessions, "new")
        for session in (old, new, old):
            await session.say("token", "t", {"text": "a" * 400})
        with pytest.raises(DataError, match="messages 3 to 2 are kept"):
            await old.attach(Socket().send, last_seq=1)
        late = Socket()
        await new.attach(late.send, last_seq=0)
        return sessions.kept_bytes, late.seen

    kept_bytes, seen = ran(fill())
    assert kept_bytes < 1_000
    assert seen == [1]


def test_a_session_that_was_let_go_keeps_nothing_whatever_it_still_says() -> None:
    async def leave() -> int:
        sessions = Sessions()
        session = a_session(sessions)
        await session.say("token", "t", {})
        sessions.let_go(session)
        await session.say("final", "t", {"text": "a" * 400})
        return sessions.kept_bytes

    assert ran(leave()) == 0


def test_what_is_kept_goes_while_a_slow_socket_catches_up_and_it_is_told() -> None:
    async def catch_up() -> list[int]:
        sessions, slow = Sessions(kept_bytes=1_000), Socket()
        session = a_session(sessions)
        for _ in range(2):
            await session.say("token", "t", {})
        slow.free.clear()
        catching_up = asyncio.create_task(session.attach(slow.send, last_seq=0))
        await asyncio.sleep(0)
        for _ in range(2):
            await session.say("token", "t", {"text": "a" * 1_000})  # too much for all together
        slow.free.set()
        with pytest.raises(DataError, match="last_seq is 2; messages 5 to 4 are kept"):
            await catching_up
        return slow.seen

    assert ran(catch_up()) == [1, 2]


def test_what_goes_along_with_the_next_message_is_bounded_in_characters() -> None:
    session = a_session()
    for number in range(4):
        session.remember(f"{number}", "a" * (HISTORY_CHARACTERS // 2))
    assert [text for role, text in session.history if role == "user"] == ["3"]
    session.remember("short", "answer")
    assert [text for role, text in session.history if role == "user"] == ["3", "short"]
