"""The promises of `agents.models.protocol.Model`, one function each.

A model that is to be tested comes in a rig, which makes it meet what providers do: answer, call a tool, fail, go silent.
Checks are coroutines; each opens its model and closes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from agents.models.protocol import Model, collect
from agents.types import Event, Finished, Message, ModelRequest, TextDelta, ToolCallDelta, ToolSpec
from router.errors import ModelError
from router.prices import Usage

TURNS = 10  # of the event loop, in which generators that an SDK dropped are closed
PARK_SEARCH = ToolSpec(
    name="rv_park_search",
    description="Find campgrounds near a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
REQUEST = ModelRequest(model="asked-for", messages=(Message(role="user", text="where does the water go in winter?"),))
TOOL_REQUEST = ModelRequest(
    model="asked-for",
    messages=(Message(role="user", text="search an rv park in Moab"),),
    tools=(PARK_SEARCH,),
    tool_choice="rv_park_search",
)


class Rig(Protocol):
    """What a provider does, on demand. None: this model cannot get there (one that never fails)."""

    def answers(self) -> Model:
        """One whole text, in two pieces or more."""

    def calls_a_tool(self) -> Model:
        """One call of `PARK_SEARCH`, its arguments a JSON object."""

    def hangs(self) -> Model:
        """A first piece, and then nothing more."""

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        """By kind of ModelError: a model that fails so at once, or after a piece."""

    def let_go(self) -> bool:
        """Whether whatever stands upstream of the last stream knows that nobody reads it; may wait for two seconds."""


Check = Callable[[Rig], Awaitable[None]]


async def a_stream_is_deltas_and_then_one_end(rig: Rig) -> None:
    """Text in pieces, none of them empty, and `Finished` once, as the last."""
    events = await _all(rig.answers(), REQUEST)
    assert all(isinstance(event, TextDelta) and event.text for event in events[:-1]), events
    assert len(events) > 2, f"{len(events)} events are no stream"
    assert isinstance(events[-1], Finished), events[-1]
    assert events[-1].reason == "stop", events[-1]


async def the_end_names_a_model_and_plausible_tokens(rig: Rig) -> None:
    """A model's name; where usage is told, some of it."""
    end = (await _all(rig.answers(), REQUEST))[-1]
    assert isinstance(end, Finished)
    assert end.model, "the end names no model"
    assert end.usage is None or (isinstance(end.usage, Usage) and end.usage.input_tokens and end.usage.output_tokens)


async def collect_gives_the_pieces_joined(rig: Rig) -> None:
    """Folding a stream loses nothing."""
    pieces = [event.text for event in await _all(rig.answers(), REQUEST) if isinstance(event, TextDelta)]
    model = rig.answers()
    try:
        assert (await collect(model.stream(REQUEST))).text == "".join(pieces)
    finally:
        await model.close()


async def a_tool_call_names_itself_once_and_its_arguments_are_json(rig: Rig) -> None:
    """The first piece carries id and name, no other does, and all pieces together are an object."""
    events = await _all(rig.calls_a_tool(), TOOL_REQUEST)
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    assert pieces, "no tool was called"
    assert [piece.index for piece in pieces] == [0] * len(pieces), pieces
    assert pieces[0].call_id, pieces
    assert pieces[0].name == PARK_SEARCH.name, pieces
    assert not [piece for piece in pieces[1:] if piece.call_id or piece.name], pieces
    assert isinstance(json.loads("".join(piece.arguments for piece in pieces)), dict)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls", events[-1]


async def closing_the_stream_lets_go_upstream(rig: Rig) -> None:
    """`aclose` after the first piece returns at once, and upstream knows."""
    model = rig.hangs()
    try:
        stream = model.stream(REQUEST)
        assert isinstance(await anext(stream), TextDelta)
        await asyncio.wait_for(stream.aclose(), 2)
        assert await asyncio.to_thread(rig.let_go), "upstream still talks to nobody"
    finally:
        await model.close()


async def cancelling_the_reader_lets_go_upstream(rig: Rig) -> None:
    """A task that waits for the next piece can be cancelled, and upstream knows."""
    model = rig.hangs()
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(model.stream(REQUEST)) as stream:
            async for _ in stream:
                begun.set()

    try:
        task = asyncio.create_task(read())
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done, "the reader did not stop"
        assert task.cancelled(), "the cancellation was swallowed"
        assert await asyncio.to_thread(rig.let_go), "upstream still talks to nobody"
    finally:
        await model.close()


async def a_failure_is_a_model_error_of_its_kind(rig: Rig) -> None:
    """Never another exception, never an end after it; and the message says whose failure it is."""
    for kind, failing in rig.fails().items():
        model = failing()
        events, err = await _until_it_fails(model)
        assert isinstance(err, ModelError), f"{err!r} where ModelError({kind}) was to come, after {events}"
        assert err.kind == kind, f"{err.kind} where {kind} was to come: {err}"
        assert model.provider in str(err), str(err)
        assert not [event for event in events if isinstance(event, Finished)], events


async def a_model_says_whose_it_is_and_whether_it_is_real(rig: Rig) -> None:
    """`provider` is a name and `simulated` a truth value, before any request; closing unused does no harm."""
    model = rig.answers()
    assert model.provider
    assert isinstance(model.simulated, bool)
    await model.close()


async def two_streams_at_once_do_not_mix(rig: Rig) -> None:
    """One model, two readers, the same answer for both."""
    model = rig.answers()
    try:
        alone = await collect(model.stream(REQUEST))
        one, two = await asyncio.gather(collect(model.stream(REQUEST)), collect(model.stream(REQUEST)))
        assert alone.text == one.text == two.text
    finally:
        await model.close()


CHECKS: tuple[Check, ...] = (
    a_stream_is_deltas_and_then_one_end,
    the_end_names_a_model_and_plausible_tokens,
    collect_gives_the_pieces_joined,
    a_tool_call_names_itself_once_and_its_arguments_are_json,
    closing_the_stream_lets_go_upstream,
    cancelling_the_reader_lets_go_upstream,
    a_failure_is_a_model_error_of_its_kind,
    a_model_says_whose_it_is_and_whether_it_is_real,
    two_streams_at_once_do_not_mix,
)


def run(check: Check, rig: Rig) -> None:
    """One check in an event loop of its own. What it leaves open fails it."""

    async def checked() -> None:
        await check(rig)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    asyncio.run(checked())


async def _all(model: Model, request: ModelRequest) -> list[Event]:
    try:
        return [event async for event in model.stream(request)]
    finally:
        await model.close()


async def _until_it_fails(model: Model) -> tuple[list[Event], Exception | None]:
    events: list[Event] = []
    try:
        async for event in model.stream(REQUEST):
            events.append(event)
    except Exception as err:
        return events, err
    finally:
        await model.close()
    return events, None
