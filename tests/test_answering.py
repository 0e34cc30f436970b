"""The way of one answer: the order of degradation, what is passed on, and how long it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from agents.gateway.answering import Done, Piece, Refused, Restarted, Started
from agents.gateway.settings import FIXED_MESSAGE
from agents.types import Finished, TextDelta, ToolCallDelta
from tests.scripted import (
    SILENT,
    ScriptedModel,
    Step,
    a_gateway,
    answer,
    ask,
    broken,
    now,
    outcomes,
    record_of,
    run,
    text_of,
    whole,
    words,
)


def test_a_whole_answer_starts_comes_in_pieces_and_is_done() -> None:
    events, _ = answer(ScriptedModel([0.25, TextDelta(text="Twelve"), 0.5, *whole(" dollars.")]))
    assert events[:3] == [
        Started(route="fast", model="m-fast", provider="fast", simulated=True),
        Piece(delta=TextDelta(text="Twelve")),
        Piece(delta=TextDelta(text=" dollars.")),
    ]
    record = record_of(events)
    assert (record.requested, record.route, record.served_model) == ("fast", "fast", "m-fast")
    assert (record.finish_reason, record.cached, record.fixed, record.simulated) == ("stop", False, False, True)
    assert (record.first_token_ms, record.latency_ms) == pytest.approx((250, 750))
    assert record.cost_usd == pytest.approx(1.2e-4)


def test_an_answer_without_a_word_is_an_answer() -> None:
    events, _ = answer(ScriptedModel([Finished(reason="content_filter", model="m-fast", usage=None)]))
    assert [type(event) for event in events] == [Started, Done]
    assert (record_of(events).finish_reason, record_of(events).first_token_ms) == ("content_filter", None)


def test_a_model_that_fails_at_once_is_asked_again_before_the_fallback() -> None:
    events, _ = answer(ScriptedModel([broken()], whole("Hi")), ScriptedModel(whole("no")))
    assert text_of(events) == "Hi"
    assert outcomes(record_of(events)) == [("fast", "overloaded"), ("fast", "ok")]


def test_after_two_retries_the_fallbacks_come_in_order_each_once() -> None:
    events, _ = answer(ScriptedModel([broken()]), ScriptedModel([broken("unreachable")]), ScriptedModel(whole("Hi")))
    assert outcomes(record_of(events)) == [*[("fast", "overloaded")] * 3, ("deep", "unreachable"), ("third", "ok")]
    assert events[0] == Started(route="third", model="m-third", provider="third", simulated=True)


def test_a_long_retry_after_goes_to_the_fallback_at_once() -> None:
    events, at = answer(ScriptedModel([broken("rate_limited", 30.0)]), ScriptedModel(whole("Hi")))
    assert (outcomes(record_of(events)), at) == ([("fast", "rate_limited"), ("deep", "ok")], 0.0)


def test_a_short_retry_after_is_waited_for() -> None:
    fast = ScriptedModel([broken("rate_limited", 1.5)], whole("Hi"))
    events, _ = answer(fast, ScriptedModel(whole("no")))
    assert text_of(events) == "Hi"
    assert 1.5 <= fast.asked_at[1] <= 1.7


@pytest.mark.parametrize("said", [(), ("half",)])
def test_a_request_at_fault_is_refused_and_nobody_else_is_asked(said: tuple[str, ...]) -> None:
    deep = ScriptedModel(whole("no"))
    events, _ = answer(ScriptedModel([*words(*said), broken("bad_request")]), deep)
    assert isinstance(events[-1], Refused)
    assert (events[-1].why, events[-1].record.ending, deep.requests) == ("it broke", "refused", [])


def test_a_key_that_is_not_accepted_fails_over_without_a_retry_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        gateway = a_gateway({"fast": ScriptedModel([broken("unauthorised")]), "deep": ScriptedModel(whole("Hi"))})
        for _ in range(7):
            events = await ask(gateway)
            assert outcomes(record_of(events)) == [("fast", "unauthorised"), ("deep", "ok")]

    with caplog.at_level(logging.ERROR):
        run(work())
    assert [record.getMessage() for record in caplog.records] == [
        "fast does not accept our key; see `weighbridge doctor`."
    ]


def test_an_answer_that_breaks_is_void_and_the_next_one_begins_from_nothing() -> None:
    events, _ = answer(
        ScriptedModel([*words("Twelve "), broken("unreachable")], [*words("Twelve d")], [broken()]),
        ScriptedModel(whole("12 dollars.", model="m-deep")),
    )
    assert text_of(events) == "12 dollars."
    assert [event for event in events if not isinstance(event, Piece | Done)] == [
        Started(route="fast", model="m-fast", provider="fast", simulated=True),
        Restarted(route="fast", model="m-fast", provider="fast", simulated=True, why="unreachable"),
        Restarted(route="deep", model="m-deep", provider="deep", simulated=True, why="broken_stream"),
    ]
    assert record_of(events).route == "deep"


def test_an_answer_that_stalls_is_cut_after_ten_seconds_and_replaced() -> None:
    events, at = answer(ScriptedModel([*words("Twelve "), SILENT]), ScriptedModel([3.0, *whole("12")]))
    assert text_of(events) == "12"
    assert at == pytest.approx(13.0)
    assert outcomes(record_of(events)) == [("fast", "timeout"), ("deep", "ok")]


def test_tool_calls_are_passed_on_and_void_as_words_are() -> None:
    call = ToolCallDelta(index=0, call_id="1", name="sum", arguments="{}")
    done = Finished(reason="tool_calls", model="m-fast", usage=None)
    events, _ = answer(ScriptedModel([call, broken()], [call, done]))
    assert events[1:4] == [
        Piece(delta=call),
        Restarted(route="fast", model="m-fast", provider="fast", simulated=True, why="overloaded"),
        Piece(delta=call),
    ]


@pytest.mark.parametrize("routes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["silent", "dead", "slow to fail", "clinging"])
def test_with_every_upstream_dead_or_silent_the_fixed_message_is_there_within_five_seconds(
    routes: int, kind: str
) -> None:
    class Clinging(ScriptedModel):
        async def stream(self, request):  # type: ignore[no-untyped-def]  # as the class above
            while now() < 100:
                try:
                    await asyncio.sleep(100 - now())
                except asyncio.CancelledError:
                    continue
            yield TextDelta(text="too late")

    scripts: dict[str, Sequence[Step]] = {"silent": [SILENT], "dead": [broken()], "slow to fail": [0.9, broken()]}
    models = [Clinging() if kind == "clinging" else ScriptedModel(scripts[kind]) for _ in range(routes)]
    events, at = answer(*models)
    assert at < 5.0
    assert events[0] == Started(route="fast", model=None, provider=None, simulated=False, source="fixed")
    assert text_of(events) == FIXED_MESSAGE
    assert (record_of(events).fixed, record_of(events).served_model) == (True, None)
    assert {attempt.route for attempt in record_of(events).attempts} == set(("fast", "deep", "third")[:routes])


def test_a_silent_route_leaves_its_fallback_a_second_and_a_half() -> None:
    deep = ScriptedModel([1.4, *whole("Hi")])
    events, at = answer(ScriptedModel([SILENT]), deep)
    assert text_of(events) == "Hi"
    assert (*deep.asked_at, at) == pytest.approx((3.0, 4.4))
