"""What goes into the gateway and what comes out of it: a request, the events of its answer, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agents.gateway.attempt import Delta
from agents.gateway.attempt_record import AttemptRecord
from agents.types import FinishReason, Json, Message, ModelRequest, ToolSpec
from router.errors import DataError
from router.prices import Usage

Source = Literal["model", "cache", "fixed"]
Ending = Literal["model", "cached", "fixed", "refused", "broken", "cancelled", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """How to answer. Each is passed on where the provider takes it; see ModelRequest."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    response_format: Json | None = None
    tool_choice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What is asked, whichever model will answer. Raises DataError where there is no message."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    options: ChatOptions = field(default_factory=ChatOptions)

    def __post_init__(self) -> None:
        if not self.messages:
            raise DataError("the request has no messages; wanted at least one.")

    def to_model(self, model: str, *, user: str | None) -> ModelRequest:
        """The same question, to one model. user: a hash."""
        return ModelRequest(
            model=model,
            messages=self.messages,
            tools=self.tools,
            tool_choice=self.options.tool_choice,
            max_output_tokens=self.options.max_output_tokens,
            temperature=self.options.temperature,
            stop=self.options.stop,
            response_format=self.options.response_format,
            user=user,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An answer begins. It comes with the first piece, so it names who really speaks. model: the one that was asked.

    source: a model, the cache or the fixed message; for the last, model and provider are None.
    """

    route: str
    model: str | None
    provider: str | None
    simulated: bool
    source: Source = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """All pieces so far are void, and a new answer begins, as in `Started`. why: what befell the old one."""

    route: str
    model: str | None
    provider: str | None
    simulated: bool
    why: str
    source: Source = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of the answer that began last."""

    delta: Delta


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """What became of one request. requested: the route that was asked for; route: the one that answered, or the same.

    ending: how it ended; "refused" is the caller's fault, "broken" an answer that broke off where none could begin anew,
    "cancelled" means that the reader left, "failed" is a fault of ours. usage and cost_usd: the sums over all attempts, None
    where one of them is not known; cost_reason then says why, and known_cost_usd is what is known of it. first_token_ms: to
    the first piece passed on, None where there was none.
    """

    requested: str
    route: str
    ending: Ending
    attempts: tuple[AttemptRecord, ...]
    served_model: str | None
    finish_reason: FinishReason | None
    simulated: bool
    latency_ms: float
    first_token_ms: float | None

    @property
    def cached(self) -> bool:
        """Whether the answer is one from before."""
        return self.ending == "cached"

    @property
    def fixed(self) -> bool:
        """Whether nobody answered, and the fixed message was said."""
        return self.ending == "fixed"

    @property
    def other_model(self) -> bool:
        """Whether another model answered than the one that was asked."""
        return self.answered_by is not None and self.answered_by.other_model

    @property
    def answered_by(self) -> AttemptRecord | None:
        """The attempt that gave the answer: its usage is what a caller is told."""
        return self.attempts[-1] if self.ending == "model" else None

    @property
    def usage(self) -> Usage | None:
        """The tokens of all attempts."""
        known = [attempt.usage for attempt in self.attempts if attempt.usage is not None]
        if len(known) < len(self.attempts):
            return None
        return Usage(
            input_tokens=sum(usage.input_tokens for usage in known),
            output_tokens=sum(usage.output_tokens for usage in known),
            cache_read_tokens=sum(usage.cache_read_tokens for usage in known),
            cache_write_tokens=sum(usage.cache_write_tokens for usage in known),
        )

    @property
    def cost_usd(self) -> float | None:
        """The dollars of all attempts."""
        return self.known_cost_usd if self.cost_reason is None else None

    @property
    def known_cost_usd(self) -> float:
        """The dollars of those attempts whose cost is known: a lower bound."""
        return sum((attempt.cost_usd for attempt in self.attempts if attempt.cost_usd is not None), start=0.0)

    @property
    def cost_reason(self) -> str | None:
        """Why the cost is not known."""
        reasons = [attempt.cost_reason for attempt in self.attempts if attempt.cost_reason is not None]
        return "; ".join(dict.fromkeys(reasons)) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The answer is whole."""

    record: AnswerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request is at fault, and no model will take it: a 4xx. Pieces so far are void. why: what the provider said."""

    why: str
    record: AnswerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The answer broke off after its first piece, for a reader who takes no new beginning. why: what befell it."""

    why: str
    record: AnswerRecord


GatewayEvent = Started | Piece | Restarted | Done | Refused | Broken
