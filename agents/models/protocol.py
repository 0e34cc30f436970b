"""The one seam to providers. An answer is always a stream; whoever wants it whole folds it (`collect`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from agents.types import Event, Finished, ModelRequest, TextDelta, ToolCall, ToolCallDelta
from router.errors import ModelError


class Model(Protocol):
    """A provider's models. Implementations keep no state between requests but their connections.

    simulated: whether nothing real answers; it is then said wherever a person sees the answer.
    """

    @property
    def provider(self) -> str:
        """The provider's name, as routes name it."""

    @property
    def simulated(self) -> bool:
        """Whether answers are made up here."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer: deltas, then one `Finished`. One attempt: no retry inside.

        Raises ModelError before the first event or between two. Closing the generator closes the connection upstream,
        so that nobody pays for tokens that nobody reads.
        """

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        """The parameters of a request, in OpenAI's names, that this provider's wire has no word for; () where it has all.

        Such a request is refused at the door. A route that falls back on this model gets its answer without them.
        """

    async def close(self) -> None:
        """Give back connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finished: Finished


async def collect(events: AsyncGenerator[Event, None]) -> Answer:
    """Fold a stream into the whole answer. Raises ModelError as the stream does, and for one that ends without its end."""
    text: list[str] = []
    calls: dict[int, list[str]] = {}
    finished: Finished | None = None
    async for event in events:
        if isinstance(event, TextDelta):
            text.append(event.text)
        elif isinstance(event, ToolCallDelta):
            call = calls.setdefault(event.index, ["", "", ""])
            for position, piece in enumerate((event.call_id, event.name, event.arguments)):
                call[position] += piece or ""
        else:
            finished = event
    if finished is None:
        raise ModelError("the stream ended before the answer did; it was cut.", kind="broken_stream")
    found = tuple(ToolCall(call_id=i, name=name, arguments=rest) for _, (i, name, rest) in sorted(calls.items()))
    return Answer(text="".join(text), tool_calls=found, finished=finished)
