"""Our two clients of providers, each before a loopback server of its wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from agents.models.anthropic_wire import AnthropicModel
from agents.models.openai_wire import OpenAIModel
from agents.models.protocol import Answer, Model, collect
from agents.models.upstream import Timeouts, Upstream
from agents.types import ModelRequest
from router.errors import ModelError
from tests.conformance.model import REQUEST
from tests.wire_servers import Reply, Step, WireServer, refused_url, wire_server

KEY = "sk-not-to-be-seen"
PATIENT = Timeouts(connect_s=5.0, silence_s=30.0)
HASTY = Timeouts(connect_s=5.0, silence_s=0.3)  # for servers that say nothing, and for no others

Open = Callable[[str, Timeouts], Model]


def openai_at(url: str, timeouts: Timeouts = PATIENT) -> Model:
    return OpenAIModel("upstream", Upstream(base_url=f"{url}/v1", api_key=KEY, timeouts=timeouts, local=True))


def anthropic_at(url: str, timeouts: Timeouts = PATIENT) -> Model:
    return AnthropicModel("upstream", Upstream(base_url=url, api_key=KEY, timeouts=timeouts, local=True))


class Wire:
    """A client and its server. answer: what is understood of one reply; failure: how one that is none is told."""

    def __init__(self, server: WireServer, opens: Open) -> None:
        self.server, self._opens = server, opens

    def opened(self, timeouts: Timeouts = PATIENT) -> Model:
        return self._opens(self.server.url, timeouts)

    def answer(self, *steps: Step, request: ModelRequest = REQUEST) -> Answer:
        self.server.plays(Reply(steps=steps))
        return asyncio.run(_asked(self.opened(), request))

    def failure(
        self, reply: Reply | None, *, timeouts: Timeouts = PATIENT, request: ModelRequest = REQUEST
    ) -> ModelError:
        """reply: None where none is to be asked for."""
        self.server.plays(*([] if reply is None else [reply]))
        with pytest.raises(ModelError) as caught:
            asyncio.run(_asked(self.opened(timeouts), request))
        return caught.value

    def nowhere(self) -> Model:
        """A client of an address at which nobody listens."""
        return self._opens(refused_url(), PATIENT)


async def _asked(model: Model, request: ModelRequest) -> Answer:
    try:
        return await collect(model.stream(request))
    finally:
        await model.close()


@contextmanager
def wired(opens: Open) -> Iterator[Wire]:
    """A server until the end of the block, and a client of it."""
    with wire_server() as server:
        yield Wire(server, opens)


class WireRig:
    """What a provider does, on demand; see tests.conformance.model.Rig.

    whole, tool: the steps of a whole text and of a call; begun: those of a first piece.   refusals: the replies that are
    none, by the kind of their failure.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        whole: list[Step],
        tool: list[Step],
        begun: list[Step],
        refusals: Mapping[str, Reply],
    ) -> None:
        self._wire = wire
        self._whole, self._tool, self._begun, self._refusals = whole, tool, begun, refusals

    def answers(self) -> Model:
        self._wire.server.plays(*[Reply(steps=self._whole)] * 3)
        return self._wire.opened()

    def calls_a_tool(self) -> Model:
        self._wire.server.plays(Reply(steps=self._tool))
        return self._wire.opened()

    def hangs(self) -> Model:
        self._wire.server.plays(Reply(steps=[*self._begun, "hang"]))
        return self._wire.opened()

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        replies = {**self._refusals, "broken_stream": Reply(steps=[*self._begun, "drop"])}
        found = {kind: self._failing(reply, PATIENT) for kind, reply in replies.items()}
        silent = self._failing(Reply(steps=[*self._begun, "hang"]), HASTY)
        return {**found, "timeout": silent, "unreachable": self._wire.nowhere}

    def _failing(self, reply: Reply, timeouts: Timeouts) -> Callable[[], Model]:
        def failing() -> Model:
            self._wire.server.plays(reply)
            return self._wire.opened(timeouts)

        return failing

    def let_go(self) -> bool:
        return self._wire.server.received[0].gone.wait(2)
