"""What travels between the gateway and a model: a request, and the events of its answer. Frozen, provider-neutral."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from router.errors import DataError
from router.prices import Usage

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
Json = Mapping[str, Any]  # Any: whatever JSON can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool. arguments: the JSON text that it wrote, not yet parsed."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation. tool_calls: of an assistant; call_id: which of them a tool message answers."""

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None

    def __post_init__(self) -> None:
        if (self.role == "tool") != (self.call_id is not None) or (self.tool_calls and self.role != "assistant"):
            raise DataError(
                f"a message of role {self.role!r}: only a tool message has a call id, and only an assistant calls tools."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool that a model may call. parameters: the JSON schema of its arguments.

    strict: whether arguments must keep to it; None leaves that to the provider.
    """

    name: str
    description: str
    parameters: Json
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What a model is asked. tool_choice: "auto", "none", "required", or the name of one tool.

    wishes: what else OpenAI's wire has, in its names (`top_p`, `seed`, ...). Which of them, and of temperature and
    response_format, a model has no word for, it says itself: `Model.lacking`. user: a hash, never a name.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    response_format: Json | None = None
    wishes: Json = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call: the first of an index carries id and name, all may carry pieces of the arguments."""

    index: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a whole answer. model: the one that answered, as the provider names it.

    A stream that ends without this event was cut, and is no answer. usage: None where the provider told none.
    """

    reason: FinishReason
    model: str
    usage: Usage | None


Event = TextDelta | ToolCallDelta | Finished
