"""OpenAI's chat completions as they come in: checked at the door, then turned into what the gateway takes at once.

Nothing is passed over in silence. A parameter goes on to the model, or is refused by its name; docs/server.md lists the few
that change no answer and are therefore taken without effect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.doors.message_form import MessageForm, Name, ToolForm
from agents.doors.params import UnsupportedError
from agents.gateway.wishes import WishedOptions, WishedRequest

MAX_MESSAGES = 500
MAX_TOOLS = 128
Penalty = Annotated[float, Field(ge=-2, le=2)]
# Which of these a provider's wire has a word for, its model says (`Model.lacking`).
WISHES = (
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "reasoning_effort",
    "verbosity",
    "parallel_tool_calls",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
)


class Form(BaseModel):
    """Unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedFunction(Form):
    """The function of a forced choice."""

    name: Name


class ToolChoice(Form):
    """A forced choice of one tool."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(Form):
    """include_restarts is ours: a model that fails midway is followed by a new choice, not by an error.

    include_obfuscation changes no answer.
    """

    include_usage: bool = False
    include_restarts: bool = False
    include_obfuscation: bool | None = None


class JsonSchema(Form):
    """What an answer in JSON must keep to."""

    name: Name
    schema_: Annotated[dict[str, Any], Field(alias="schema")]  # Any: a JSON schema
    description: str | None = None
    strict: bool | None = None


class Format(Form):
    """How an answer is written."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatForm(Form):
    """The body of `POST /v1/chat/completions`."""

    model: Name = "auto"
    messages: Annotated[list[MessageForm], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[ToolForm], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Name | Annotated[list[Name], Field(max_length=4)] | None = None
    response_format: Format | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    prediction: dict[str, Any] | None = None  # Any: passed on as it came
    prompt_cache_key: Annotated[str, Field(max_length=500)] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None  # Any: as above
    user: Annotated[str, Field(max_length=500)] | None = None
    safety_identifier: Annotated[str, Field(max_length=500)] | None = None
    # Only so much of these can be had: what is as good as left out.
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None

    @property
    def choice(self) -> str | None:
        """tool_choice as one word: a mode, or a tool's name."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, ToolChoice) else self.tool_choice

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop sequences."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def end_user(self) -> str | None:
        """Whom the client asks for, in its own words; `safety_identifier` is OpenAI's newer name of `user`."""
        return self.safety_identifier or self.user or None


def to_chat(form: ChatForm) -> WishedRequest:
    """The gateway's request. Raises DataError for a tool message without its call, UnsupportedError for what cannot be had."""
    tools = tuple(tool.to_spec() for tool in form.tools or ())
    _check_choice(form, [tool.name for tool in tools])
    shape = form.response_format
    return WishedRequest(
        messages=tuple(message.to_message(position) for position, message in enumerate(form.messages)),
        tools=tools,
        options=WishedOptions(
            max_output_tokens=form.max_completion_tokens or form.max_tokens,
            temperature=form.temperature,
            stop=form.stops,
            response_format=None if shape is None else shape.model_dump(by_alias=True, exclude_none=True),
            tool_choice=form.choice,
            wishes={name: value for name in WISHES if (value := getattr(form, name)) is not None},
        ),
    )


def _check_choice(form: ChatForm, tools: list[str]) -> None:
    """A choice that no tool can meet, and a schema that is not there."""
    if form.choice == "required" and not tools:
        raise UnsupportedError("tool_choice", "`required`, and there are no `tools`; add them, or leave it out.")
    if isinstance(form.tool_choice, ToolChoice) and form.choice not in tools:
        raise UnsupportedError("tool_choice", f"{form.choice!r} is none of the `tools` ({', '.join(tools) or 'none'}).")
    if form.response_format is not None and (form.response_format.type == "json_schema") != (
        form.response_format.json_schema is not None
    ):
        raise UnsupportedError("response_format", "`json_schema` stands there with type `json_schema`, and only then.")
