"""Answers from before, for repeats and for bad days. Exact matches only, and only ever the same user's own."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agents.gateway.events import ChatRequest
from agents.gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedAnswer:
    """A whole answer in words. route: the one that was asked and that gave it."""

    route: str
    model: str
    provider: str
    text: str
    simulated: bool


class AnswerCache:
    """The newest answers, each under its user and its whole question. clock: seconds, never going back.

    The user is part of every key, so there is no way to ask for another's. Who is not known (`user` is "") gets and
    leaves nothing. What may be stored is for the caller to judge: see `Gateway`.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, CachedAnswer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def fresh(self, chat: ChatRequest, *, user: str, route: str) -> CachedAnswer | None:
        """The answer to the same question on the same route within `cache_fresh_s`: a repeat."""
        found = self._find(chat, user=user, within_s=self._settings.cache_fresh_s)
        return found if found is not None and found.route == route else None

    def stale(self, chat: ChatRequest, *, user: str) -> CachedAnswer | None:
        """The last answer to the same question within `cache_stale_s`, on whichever route: better than none."""
        return self._find(chat, user=user, within_s=self._settings.cache_stale_s)

    def store(self, chat: ChatRequest, answer: CachedAnswer, *, user: str) -> None:
        """Keep an answer; the one that was not used for longest makes room. Empty and very long ones are not kept."""
        if (
            not user
            or not 0 < len(answer.text) <= self._settings.cache_answer_chars
            or not self._settings.cache_answers
        ):
            return
        key = _key(chat, user=user)
        self._kept[key] = (self._clock(), answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._settings.cache_answers:
            self._kept.popitem(last=False)

    def _find(self, chat: ChatRequest, *, user: str, within_s: float) -> CachedAnswer | None:
        if not user or not self._kept:
            return None
        key = _key(chat, user=user)
        stored_at, answer = self._kept.get(key, (0.0, None))
        if answer is None:
            return None
        age_s = self._clock() - stored_at
        if age_s >= self._settings.cache_stale_s:
            del self._kept[key]
        if age_s >= within_s:
            return None
        self._kept.move_to_end(key)
        return answer


def _key(chat: ChatRequest, *, user: str) -> str:
    """Hex digest of everything that the answer depends on; no text is kept beside the answer's own."""
    question = {
        "user": user,
        "messages": [
            (
                said.role,
                said.text,
                said.call_id,
                [(call.call_id, call.name, call.arguments) for call in said.tool_calls],
            )
            for said in chat.messages
        ],
        "tools": [(tool.name, tool.description, tool.parameters) for tool in chat.tools],
        "options": {name: getattr(chat.options, name) for name in chat.options.__slots__},
    }
    return hashlib.sha256(json.dumps(question, sort_keys=True, default=dict).encode()).hexdigest()
