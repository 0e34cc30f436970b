"""What a page may say over its socket: exactly one of these forms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agents.gateway.service import AUTO
from router.types import MAX_TEXT_CHARS

TOLD = 3  # faults of one message
Turn = Annotated[str, Field(min_length=1, max_length=64)]


class Form(BaseModel):
    """What comes in is exactly one of the forms below."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MessageForm(Form):
    """A user's message; `route` is auto, a route's name, or router-<bundle>-<threshold>."""

    type: Literal["message"]
    turn: Turn
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
    route: Annotated[str, Field(min_length=1, max_length=200)] = AUTO


class CancelForm(Form):
    """Stop a running turn."""

    type: Literal["cancel"]
    turn: Turn


class FeedbackForm(Form):
    """A thumb: 1 up, −1 down."""

    type: Literal["feedback"]
    decision_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    score: Literal[1, -1]


class PingForm(Form):
    """Are you there?"""

    type: Literal["ping"]


Incoming = MessageForm | CancelForm | FeedbackForm | PingForm
INCOMING: TypeAdapter[Incoming] = TypeAdapter(Annotated[Incoming, Field(discriminator="type")])


def faults(err: ValidationError) -> str:
    """Where and what is wrong, never the value that came: it may be somebody's words."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in err.errors()[:TOLD])
