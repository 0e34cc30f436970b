"""A page's conversation over a socket that may break: numbered messages, kept until a reconnection has asked for them.

A session outlives its socket by `grace_s`; what is said meanwhile is kept, and the next socket gets what the last one did
not see, in order, once. Whoever does not come back within the grace is taken to be gone, and running turns are cancelled.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.errors import DataError

Json = dict[str, Any]  # Any: whatever JSON can hold
Send = Callable[[Json], Awaitable[None]]
KEPT = 4_000  # messages of a session that a reconnection can still ask for
GRACE_S = 30.0
SEEN_TURNS = 1_000  # whose repetition is known as such: a page that lost its socket may send a message again
MOST_SESSIONS = 10_000
LONGEST_ID = 100  # characters


@dataclass(eq=False)
class Session:
    """One conversation of one principal. history: (role, text) of what was said, oldest first.   seen: turns that came."""

    session_id: str
    principal: str
    sequence: int = 0
    kept: deque[Json] = field(default_factory=lambda: deque(maxlen=KEPT))
    history: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=40))
    route: str | None = None
    turns: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=SEEN_TURNS))
    _send: Send | None = None
    _coming: Send | None = None  # the newest socket, also while it is still being told what it missed
    _leaving: asyncio.TimerHandle | None = None

    @property
    def left(self) -> bool:
        """Whether no socket is there."""
        return self._coming is None

    async def say(self, kind: str, turn: str | None, content: Mapping[str, Any]) -> None:
        """Number a message, keep it, and send it where a socket is open."""
        self.sequence += 1
        message = {"type": kind, "turn": turn, "seq": self.sequence, **content}
        self.kept.append(message)
        if self._send is not None:  # shielded: a turn that is cancelled here must not leave a gap in the numbers
            await asyncio.shield(self._send(message))

    async def pong(self) -> None:
        """Answer a ping: to this socket alone, without a number, since a later socket has no use for it."""
        if self._send is not None:
            await self._send({"type": "pong", "turn": None, "seq": None})

    async def attach(self, send: Send, *, last_seq: int) -> None:
        """Send what the last socket did not see, and go on with this one.

        Raises DataError for a number that was never given, or whose followers are no longer kept.
        """
        oldest = self.kept[0]["seq"] if self.kept else self.sequence + 1
        if not 0 <= last_seq <= self.sequence or (last_seq + 1 < oldest and self.sequence > last_seq):
            raise DataError(
                f"last_seq is {last_seq}; messages {oldest} to {self.sequence} are kept. Begin a new session."
            )
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._send, self._coming = None, send  # the old socket, if it is still there, gets no more
        at = last_seq
        while at < self.sequence:  # more may be said while earlier ones are sent
            for message in [kept for kept in self.kept if kept["seq"] > at]:
                await send(message)
                at = message["seq"]
            if self._coming is not send:  # a still newer socket came meanwhile
                return
        self._send = send

    def detach(self, send: Send, *, gone: Callable[[], None], grace_s: float = GRACE_S) -> None:
        """The socket has closed: wait for another, then let go. A socket that was replaced changes nothing."""
        if self._coming is not send:
            return
        self._send = self._coming = None
        self._leaving = asyncio.get_running_loop().call_later(grace_s, gone)

    def stop(self) -> None:
        """Cancel every running turn."""
        for task in self.turns.values():
            task.cancel()


class Sessions:
    """All sessions of a server, at most so many; the oldest without a socket makes room for a new one."""

    def __init__(self, *, most: int = MOST_SESSIONS, grace_s: float = GRACE_S) -> None:
        self._found: OrderedDict[str, Session] = OrderedDict()
        self._most, self.grace_s = most, grace_s

    def __len__(self) -> int:
        return len(self._found)

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
        made = Session(session_id=session_id, principal=principal)
        self._found[session_id] = made
        return made

    def let_go(self, session: Session) -> None:
        """Forget a session and stop what it was doing."""
        session.stop()
        if self._found.get(session.session_id) is session:
            del self._found[session.session_id]

    async def close(self) -> None:
        """Let all go, and wait until their turns have ended."""
        running = [task for session in self._found.values() for task in session.turns.values()]
        for session in list(self._found.values()):
            self.let_go(session)
        await asyncio.gather(*running, return_exceptions=True)
