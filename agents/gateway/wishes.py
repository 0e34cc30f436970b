"""What a client may wish beside our own options, in OpenAI's names: carried as it came, for the wires that have a word for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.gateway.events import ChatOptions, ChatRequest
from agents.types import Json, ModelRequest


@dataclass(frozen=True, kw_only=True)
class WishedOptions(ChatOptions):
    """Our options, and the wishes. Every field is a slot of this class too: the cache of answers asks for them by `__slots__`."""

    __slots__ = (*ChatOptions.__slots__, "wishes")

    wishes: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedRequest(ChatRequest):
    """A request whose options hold wishes."""

    options: WishedOptions

    def to_model(self, model: str, *, user: str | None) -> ModelRequest:
        """The same question, to one model, with the wishes. user: a hash."""
        return replace(ChatRequest.to_model(self, model, user=user), wishes=self.options.wishes)
