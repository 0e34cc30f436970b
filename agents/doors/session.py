"""A page's conversation over a socket that may break: numbered messages, kept until a reconnection has asked for them.

A session outlives its socket by `grace_s`; what is said meanwhile is kept, and the next socket gets what the last one did
not see, in order, once. Whoever does not come back within the grace is taken to be gone, and running turns are cancelled.
How much is kept, and for how long, is bounded (`kept`); who asks for more is told that it is gone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agents.doors.kept import Kept, Tally
from router.errors import DataError

Send = Callable[[str], Awaitable[None]]
GRACE_S = 30.0
SEEN_TURNS = 200  # whose repetition is known as such: a page that lost its socket may send a message again
HISTORY_MESSAGES = 40  # that go along with the next one
HISTORY_CHARACTERS = 100_000  # of them together: some 25,000 tokens
MOST_SESSIONS = 4_000  # twice as many as sockets: whose page has gone waits half a minute
ALL_KEPT_BYTES = 64_000_000  # of all sessions together
LONGEST_ID = 100  # characters
END_S = 2.0  # that cancelled turns get to come to their end


class Session:
    """One conversation of one principal. history: (role, text) of what was said, oldest first.   seen: turns that came.

    spill: called after each message, to keep all sessions together within their limit.
    """

    def __init__(
        self,
        session_id: str,
        *,
        principal: str,
        tally: Tally,
        clock: Callable[[], float] = time.monotonic,
        spill: Callable[[], None] = lambda: None,
    ) -> None:
        self.session_id, self.principal = session_id, principal
        self.kept = Kept(tally, clock=clock)
        self.history: deque[tuple[str, str]] = deque(maxlen=HISTORY_MESSAGES)
        self.turns: dict[str, asyncio.Task[None]] = {}
        self.seen: deque[str] = deque(maxlen=SEEN_TURNS)
        self._spill = spill
        self._send: Send | None = None
        self._coming: Send | None = None  # the newest socket, also while it is still being told what it missed
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def left(self) -> bool:
        """Whether no socket is there."""
        return self._coming is None

    @property
    def sequence(self) -> int:
        """The number of the last message."""
        return self.kept.last

    async def say(self, kind: str, turn: str | None, content: Mapping[str, Any]) -> None:  # Any: whatever JSON can hold
        """Number a message, keep it, and send it where a socket is open."""
        text = written({"type": kind, "turn": turn, "seq": self.sequence + 1, **content})
        self.kept.add(text)
        self._spill()
        if self._send is not None:  # shielded: a turn that is cancelled here must not leave a gap in the numbers
            await asyncio.shield(self._send(text))

    async def pong(self) -> None:
        """Answer a ping: to this socket alone, without a number, since a later socket has no use for it."""
        self.kept.trim()
        if self._send is not None:
            await self._send(written({"type": "pong", "turn": None, "seq": None}))

    async def attach(self, send: Send, *, last_seq: int) -> None:
        """Send what the last socket did not see, and go on with this one.

        Raises DataError for a number that was never given, or whose followers are no longer kept.
        """
        missed = self.kept.after(last_seq)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._send, self._coming = None, send  # the old socket, if it is still there, gets no more
        at = last_seq
        while at < self.sequence:  # more may be said while earlier ones are sent
            for number, text in missed:
                await send(text)
                at = number
                if self._coming is not send:  # a still newer socket came meanwhile
                    return
            missed = self.kept.after(at)
        self._send = send

    def detach(self, send: Send, *, gone: Callable[[], None], grace_s: float = GRACE_S) -> None:
        """The socket has closed: wait for another, then let go. A socket that was replaced changes nothing."""
        if self._coming is not send:
            return
        self._send = self._coming = None
        self._leaving = asyncio.get_running_loop().call_later(grace_s, gone)

    def remember(self, asked: str, answered: str) -> None:
        """What goes along with the next message; the oldest goes where it is too much."""
        self.history.extend([("user", asked), ("assistant", answered)])
        while len(self.history) > 2 and sum(len(text) for _, text in self.history) > HISTORY_CHARACTERS:
            self.history.popleft()
            self.history.popleft()

    def stop(self) -> None:
        """Cancel every running turn."""
        for task in self.turns.values():
            task.cancel()


class Sessions:
    """All sessions of a server, at most so many; the oldest without a socket makes room for a new one.

    kept_bytes: of all together; beyond it the oldest sessions are the first that cannot be resumed.
    """

    def __init__(
        self,
        *,
        most: int = MOST_SESSIONS,
        grace_s: float = GRACE_S,
        kept_bytes: int = ALL_KEPT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._found: OrderedDict[str, Session] = OrderedDict()
        self._most, self._kept_bytes, self._clock = most, kept_bytes, clock
        self._tally = Tally()
        self.grace_s = grace_s

    def __len__(self) -> int:
        return len(self._found)

    @property
    def kept_bytes(self) -> int:
        """How much all sessions keep together."""
        return self._tally.total_bytes

    def open(self, session_id: str, *, principal: str) -> Session:
        """The session of that name, new or known. Raises DataError for another principal's, and where there are too many."""
        known = self._found.get(session_id)
        if known is not None:
            if known.principal != principal:
                raise DataError("this session belongs to somebody else; begin a new one.")
            return known
        if not 0 < len(session_id) <= LONGEST_ID:
            raise DataError(f"the session's id has {len(session_id)} characters; wanted 1 to {LONGEST_ID}.")
        if len(self._found) >= self._most and (idle := next((s for s in self._found.values() if s.left), None)):
            self.let_go(idle)
        if len(self._found) >= self._most:
            raise DataError(f"{self._most:,} sessions are open; try again later.")
        made = Session(session_id, principal=principal, tally=self._tally, clock=self._clock, spill=self._spill)
        self._found[session_id] = made
        return made

    def let_go(self, session: Session) -> None:
        """Forget a session and stop what it was doing."""
        session.stop()
        session.kept.close()
        if self._found.get(session.session_id) is session:
            del self._found[session.session_id]

    async def close(self) -> None:
        """Let all go, and give their turns a moment to come to their end: one whose page does not read may have none."""
        running = {task for session in self._found.values() for task in session.turns.values()}
        for session in list(self._found.values()):
            self.let_go(session)
        if running:
            await asyncio.wait(running, timeout=END_S)

    def _spill(self) -> None:
        for session in self._found.values():
            if self._tally.total_bytes <= self._kept_bytes:
                return
            session.kept.drop()


def written(message: Mapping[str, Any]) -> str:  # Any: whatever JSON can hold
    """A message on its way: plain ASCII, since a piece may end in half an emoji."""
    return json.dumps(message)
