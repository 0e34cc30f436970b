"""A tool loop keeps the decision that it began with: no second draw, no other model amid the work of the first.

An agent's client asks once, runs the tool that the model calls for, and asks again with the result behind the same message
of the user. All of these are one loop; each is a row of the log, with the propensity of the one draw that was made.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agents.gateway.choice import RouteChoice
from agents.gateway.events import ChatRequest

KEPT_S = 900.0  # a tool that takes a quarter of an hour is no tool of a chat
KEPT = 4_096  # loops: what is running, with room


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLoop:
    """Which loop a request belongs to.   key: of who asks whom what, up to the user's last message.   begun: whether
    something follows that message already, so that this is not the loop's first request.
    """

    key: bytes
    begun: bool


def loop_of(chat: ChatRequest, *, asked: str, principal: str) -> ToolLoop | None:
    """The loop of a request; None for one that offers no tools and continues nothing.

    asked: the model's name that the client gave. The conversation must hold a message of the user.
    """
    last = max(position for position, message in enumerate(chat.messages) if message.role == "user")
    begun = last + 1 < len(chat.messages)
    if not begun and not chat.tools:
        return None
    said = [
        (message.role, message.text, message.call_id, [(call.call_id, call.name, call.arguments) for call in message.tool_calls])
        for message in chat.messages[: last + 1]
    ]  # fmt: skip
    question = json.dumps([principal, asked, said])
    return ToolLoop(key=hashlib.sha256(question.encode()).digest(), begun=begun)


class Loops:
    """The decisions of running loops, the latest `kept` of them. clock: seconds, never going back."""

    def __init__(self, *, kept: int = KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept, self._clock = kept, clock
        self._choices: OrderedDict[bytes, tuple[float, RouteChoice]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._choices)

    def of(self, loop: ToolLoop) -> RouteChoice | None:
        """What a loop began with; None where that is not known, or was last asked for `KEPT_S` ago."""
        at, choice = self._choices.get(loop.key, (0.0, None))
        return choice if choice is not None and self._clock() - at < KEPT_S else None

    def keep(self, loop: ToolLoop, choice: RouteChoice) -> None:
        """Remember it from now on."""
        self._choices[loop.key] = self._clock(), choice
        self._choices.move_to_end(loop.key)
        while len(self._choices) > self._kept:
            self._choices.popitem(last=False)
