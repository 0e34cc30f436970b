"""A tool loop keeps the decision that it began with: no second draw, no other model amid the work of the first.

An agent's client asks once, runs the tool that the model calls for, and asks again with the result behind the same message
of the user. All of these are one loop; each is a row of the log, with the propensity of the one draw that was made.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.gateway.events import ChatRequest
from agents.gateway.recent import key_of

KEPT_S = 900.0  # a tool that takes a quarter of an hour is no tool of a chat


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
    return ToolLoop(key=key_of(principal, asked, said), begun=begun)
