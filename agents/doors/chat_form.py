"""OpenAI's chat completions as they come in: checked at the door, then turned into what the gateway takes at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.gateway.events import ChatOptions, ChatRequest
from agents.types import Message, ToolCall, ToolSpec
from router.types import MAX_TEXT_CHARS

MAX_MESSAGES = 500
MAX_TOOLS = 128
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS * 4)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Form(BaseModel):
    """Unknown fields of OpenAI's many are passed over where they change nothing here; wrong types are refused."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TextPart(Form):
    """A part of a message's content. Pictures and sounds are refused: no route takes them."""

    type: Literal["text"]
    text: Text


class FunctionCall(Form):
    """What an assistant asked of a tool."""

    name: Name
    arguments: Text


class CallForm(Form):
    """A tool call of an earlier answer."""

    id: Name
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageForm(Form):
    """One message; `developer` is a newer name of `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    tool_calls: list[CallForm] | None = None
    tool_call_id: str | None = None

    def to_message(self) -> Message:
        """The gateway's form. Raises DataError for a tool message without its call."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content or ())
        calls = tuple(
            ToolCall(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in self.tool_calls or ()
        )
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, text=text, tool_calls=calls, call_id=self.tool_call_id)


class FunctionForm(Form):
    """A tool as OpenAI describes one."""

    name: Name
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)  # Any: a JSON schema


class ToolForm(Form):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionForm

    def to_spec(self) -> ToolSpec:
        """The gateway's form."""
        told = self.function
        return ToolSpec(name=told.name, description=told.description, parameters=told.parameters)


class NamedFunction(Form):
    """The function of a forced choice."""

    name: Name


class ToolChoice(Form):
    """A forced choice of one tool."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(Form):
    """include_restarts is ours: a model that fails midway is followed by a new choice, not by an error."""

    include_usage: bool = False
    include_restarts: bool = False


class ChatForm(Form):
    """The body of `POST /v1/chat/completions`."""

    model: Name = "auto"
    messages: Annotated[list[MessageForm], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: Annotated[list[ToolForm], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stop: Name | Annotated[list[Name], Field(max_length=4)] | None = None
    response_format: dict[str, Any] | None = None  # Any: passed on as it came
    n: Literal[1] | None = None
    user: Annotated[str, Field(max_length=500)] | None = None

    @property
    def choice(self) -> str | None:
        """tool_choice as one word: a mode, or a tool's name."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, ToolChoice) else self.tool_choice

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop sequences."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


def to_chat(form: ChatForm) -> ChatRequest:
    """The gateway's request. Raises DataError for a tool message without its call."""
    return ChatRequest(
        messages=tuple(message.to_message() for message in form.messages),
        tools=tuple(tool.to_spec() for tool in form.tools or ()),
        options=ChatOptions(
            max_output_tokens=form.max_completion_tokens or form.max_tokens,
            temperature=form.temperature,
            stop=form.stops,
            response_format=form.response_format,
            tool_choice=form.choice,
        ),
    )
