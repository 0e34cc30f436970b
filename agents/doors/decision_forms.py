"""The bodies of `POST /v1/route` and `POST /v1/feedback`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agents.doors.params import UnsupportedError
from agents.gateway.service import AUTO
from router.types import MAX_TEXT_CHARS

MOST_TEXTS = 256  # of one request for decisions
MOST_EXPLAINED = 8  # an explanation takes as long as several decisions
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
# A head and its label, as a route table names them: what is longer is somebody's words.
Label = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class RouteForm(BaseModel):
    """The body of `POST /v1/route`: one message or many; `model` and `user` as in a chat completion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
    model: Annotated[str, Field(min_length=1, max_length=200)] = AUTO
    explain: bool = False
    user: Annotated[str, Field(max_length=500)] | None = None

    @property
    def texts(self) -> list[str]:
        """The messages."""
        return [self.input] if isinstance(self.input, str) else self.input

    def require_explainable(self) -> None:
        """Raise UnsupportedError where more is to be explained than one request may ask for."""
        if self.explain and len(self.texts) > MOST_EXPLAINED:
            raise UnsupportedError(
                "explain", f"{len(self.texts)} messages; at most {MOST_EXPLAINED} are explained at once."
            )


class FeedbackForm(BaseModel):
    """The body of `POST /v1/feedback`: how good an answer was, in [0, 1], or the labels that are right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    labels: Annotated[dict[Label, Label], Field(max_length=20)] | None = None
