"""Models that answer without any network: one that is rule-driven and ships, one that plays a script for tests.

Nothing here pretends to know anything. A simulated answer says that it is one, in its first word.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence

import anyio

from agents.models.simulated_tools import Call, choose
from agents.types import Event, Finished, FinishReason, ModelRequest, TextDelta, ToolCallDelta
from router.errors import DataError
from router.prices import Usage

Sleep = Callable[[float], Awaitable[None]]
Step = Event | BaseException | float | Callable[[], Awaitable[object]]

MARK = "[simulated]"
CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb; a simulated count only has to be plausible
ECHOED = 160  # characters of the query that are repeated
GREETING = re.compile(
    r"\W*(hi|hello|hey|hallo|moin|servus|hola|bonjour|salut|good (morning|afternoon|evening))\b", re.I
)
GREETING_WORDS = 4  # "hello there" is a greeting, "hello, where is my refund?" is a question
GREETINGS = (
    "Hello! How can I help you today?",
    "Hi there! What can I do for you?",
    "Hello! What would you like to know?",
)
ECHOES = (
    'You asked: "{query}". A real model would answer here.',
    'I understood your request as: "{query}". With a real model you would get an answer to it here.',
    'This is about: "{query}". No real model is connected, so there is no answer to it.',
)


class SimulatedModel:
    """Boring answers by rule: it greets, repeats what it was asked, uses a tool where one is obviously wanted.

    The same request has the same answer, for the same `seed`. Every answer begins with "[simulated]", also where JSON was
    asked for.   piece_delay_s: seconds before each word, waited with `sleep`.
    """

    simulated = True

    def __init__(self, provider: str, *, seed: int = 0, piece_delay_s: float = 0.0, sleep: Sleep = anyio.sleep) -> None:
        self.provider = provider
        self._seed = seed
        self._piece_delay_s = piece_delay_s
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"SimulatedModel({self.provider!r}, seed={self._seed})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of one answer; see `Model.stream`. It keeps to `max_output_tokens` and `stop`."""
        call = choose(request)
        text, reason = self._text(request, call)
        for piece in _pieces(text):
            await self._sleep(self._piece_delay_s)
            yield TextDelta(text=piece)
        if call is not None:
            await self._sleep(self._piece_delay_s)
            call_id = f"call_{_digest(self._seed, call.name, call.arguments) % 10**8:08d}"
            yield ToolCallDelta(index=0, call_id=call_id, name=call.name)
            yield ToolCallDelta(index=0, arguments=call.arguments)
            reason = "tool_calls"
        output = _tokens(text) + (_tokens(call.arguments) if call else 0)
        usage = Usage(input_tokens=_input_tokens(request), output_tokens=output)
        yield Finished(reason=reason, model=request.model, usage=usage)

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        """Nothing: it stands in for any provider."""
        del request
        return ()

    async def close(self) -> None:
        """There is nothing to give back."""

    def _text(self, request: ModelRequest, call: Call | None) -> tuple[str, FinishReason]:
        """The whole text, and why it ends. The mark stands whatever the limits are."""
        said = f"I will use {call.name} for that." if call else self._answer(request)
        for ending in request.stop:
            said = said.partition(ending)[0] if ending else said
        limit = request.max_output_tokens
        room = None if limit is None else max(0, limit * CHARACTERS_PER_TOKEN - len(MARK) - 1)
        if room is not None and call is None and len(said) > room:
            return f"{MARK} {said[:room]}".rstrip(), "length"
        return f"{MARK} {said}".rstrip(), "stop"

    def _answer(self, request: ModelRequest) -> str:
        last = request.messages[-1] if request.messages else None
        if last is not None and last.role == "tool":
            return f"The tool answered: {_short(last.text)}"
        query = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
        if GREETING.match(query) and len(query.split()) <= GREETING_WORDS:
            return self._one_of(GREETINGS, query)
        return self._one_of(ECHOES, query).format(query=_short(query))

    def _one_of(self, choices: Sequence[str], query: str) -> str:
        return choices[_digest(self._seed, query) % len(choices)]


class ScriptedModel:
    """Plays one script a request, in order, and remembers the requests; for tests.

    A script is a list of steps: an event is yielded, an exception raised, a number slept with `sleep`, a function awaited.
    requests: what was asked, and asked_at when, by `clock`.   open, most_open: how many streams are open, and were at once.
    cut: how many streams were closed or cancelled before their script's end.   closed: whether `close` was called.
    Raises DataError for a request beyond the last script.
    """

    def __init__(
        self,
        provider: str,
        script: Iterable[Sequence[Step]],
        *,
        simulated: bool = True,
        sleep: Sleep = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.simulated = simulated
        self.requests: list[ModelRequest] = []
        self.asked_at: list[float] = []
        self.open = self.most_open = 0
        self.cut = 0
        self.closed = False
        self._script = iter(script)
        self._sleep, self._clock = sleep, clock

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """The events of the next script; see `Model.stream`."""
        self.requests.append(request)
        self.asked_at.append(self._clock())
        script = next(self._script, None)
        if script is None:
            number = len(self.requests)
            raise DataError(f"{self.provider}: request {number} came, and the script has {number - 1}; add one.")
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        whole = False
        try:
            for step in script:
                if isinstance(step, BaseException):
                    whole = True
                    raise step
                if isinstance(step, TextDelta | ToolCallDelta | Finished):
                    yield step
                elif isinstance(step, int | float):
                    await self._sleep(step)
                else:
                    await step()
            whole = True
        finally:
            self.open -= 1
            self.cut += not whole

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        """Nothing."""
        del request
        return ()

    async def close(self) -> None:
        """Remember that it was called."""
        self.closed = True


def says(text: str, *, model: str = "scripted", usage: Usage | None = None) -> list[Step]:
    """A script that says `text` word by word and ends well."""
    return [*(TextDelta(text=piece) for piece in _pieces(text)), Finished(reason="stop", model=model, usage=usage)]


def _pieces(text: str) -> Iterator[str]:
    """Words with the space before them; together they are the text."""
    yield from re.findall(r"\s*\S+|\s+$", text)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= ECHOED else f"{flat[:ECHOED].rstrip()}…"


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _input_tokens(request: ModelRequest) -> int:
    said = sum(
        _tokens(message.text) + sum(_tokens(call.arguments) for call in message.tool_calls)
        for message in request.messages
    )
    return said + sum(_tokens(tool.description + json.dumps(dict(tool.parameters))) for tool in request.tools)


def _digest(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()[:8], "big")
