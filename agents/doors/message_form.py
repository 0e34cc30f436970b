"""The messages and the tools of OpenAI's chat completions as they come in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.doors.params import UnsupportedError
from agents.types import Message, ToolCall, ToolSpec

Name = Annotated[str, Field(min_length=1, max_length=200)]
UNTOLD = {  # what changes the meaning of a message and cannot be told to every provider, with what to do
    "name": "not every provider is told names; write it into the text.",
    "audio": "no route takes sounds; leave it out.",
    "function_call": "wanted `tool_calls`, which replaced it.",
}


class Form(BaseModel):
    """What an earlier answer carries beside its text is passed over: it comes back as it was given (`annotations`, ...)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TextPart(Form):
    """A part of a message's content: text, or what an assistant said in place of it. No route takes pictures and sounds."""

    type: Literal["text", "refusal"]
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Form):
    """What an assistant asked of a tool."""

    name: Name
    arguments: str


class CallForm(Form):
    """A tool call of an earlier answer."""

    id: Name
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageForm(Form):
    """One message; `developer` is a newer name of `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    refusal: str | None = None
    tool_calls: list[CallForm] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    audio: dict[str, Any] | None = None  # Any: refused whatever it holds
    function_call: dict[str, Any] | None = None  # Any: as above

    def to_message(self, position: int) -> Message:
        """The gateway's form. Raises DataError for a tool message without its call, UnsupportedError by the field's name."""
        for field, advice in UNTOLD.items():
            # a tool's message is known by its call, and older clients add the tool's name
            if getattr(self, field) is not None and (self.role, field) != ("tool", "name"):
                raise UnsupportedError(f"messages.{position}.{field}", advice)
        calls = tuple(
            ToolCall(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in self.tool_calls or ()
        )
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, text=self._text(), tool_calls=calls, call_id=self.tool_call_id)

    def _text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        parts = "".join(part.text or part.refusal or "" for part in self.content or ())
        return parts or self.refusal or ""


class Strict(BaseModel):
    """Unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FunctionForm(Strict):
    """A tool as OpenAI describes one."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None  # Any: a JSON schema
    strict: bool | None = None


class ToolForm(Strict):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionForm

    def to_spec(self) -> ToolSpec:
        """The gateway's form."""
        told = self.function
        return ToolSpec(
            name=told.name, description=told.description or "", parameters=told.parameters or {}, strict=told.strict
        )
