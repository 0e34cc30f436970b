"""What stands around an answer: the cache, breakers and bulkheads, readers who leave, costs and records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from agents.gateway.answering import AnswerRecord, Broken, Gateway, GatewayEvent, Piece, Restarted, Started
from agents.gateway.answers import AnswerCache
from agents.gateway.settings import FIXED_MESSAGE, Settings
from agents.types import Finished, TextDelta, ToolCallDelta
from router.errors import DataError
from router.prices import Usage
from tests.scripted import (
    PRICES,
    SILENT,
    ScriptedModel,
    Step,
    a_chat,
    a_gateway,
    a_route,
    answer,
    ask,
    broken,
    outcomes,
    record_of,
    run,
    text_of,
    whole,
    words,
)


def test_the_answer_of_a_good_day_serves_a_bad_one_and_is_marked() -> None:
    async def work() -> list[GatewayEvent]:
        gateway = a_gateway({"fast": ScriptedModel(whole("Twelve."), [*words("Thir"), broken("timeout")])})
        await ask(gateway)
        await asyncio.sleep(3_600)
        assert text_of(await ask(gateway, user="another")) == FIXED_MESSAGE
        return await ask(gateway)

    events = run(work())
    restarted = Restarted(route="fast", model="m-fast", provider="fast", simulated=True, why="timeout", source="cache")
    assert restarted in events
    assert text_of(events) == "Twelve."
    assert (record_of(events).cached, record_of(events).served_model, record_of(events).cost_usd) == (
        True,
        "m-fast",
        None,
    )


def test_a_repeat_is_served_from_before_unless_a_new_answer_is_wanted() -> None:
    async def work() -> None:
        fast = ScriptedModel(whole("one"), whole("two"))
        gateway = a_gateway({"fast": fast})
        assert text_of(await ask(gateway)) == "one"
        events = await ask(gateway)
        assert (text_of(events), len(fast.requests)) == ("one", 1)
        assert (record_of(events).cached, record_of(events).cost_usd, record_of(events).attempts) == (True, 0.0, ())
        assert text_of(await ask(gateway, reuse=False)) == "two"
        assert text_of(await ask(gateway)) == "two"

    run(work())


@pytest.mark.parametrize(
    "script",
    [
        [*words("Hi"), ToolCallDelta(index=0, name="sum"), Finished(reason="stop", model="m-fast", usage=None)],
        [*words("Hi"), Finished(reason="length", model="m-fast", usage=None)],
        whole("Hi", model="m-deep"),
    ],
    ids=["tool call", "cut short", "another model"],
)
def test_what_would_not_come_again_is_not_kept(script: Sequence[Step]) -> None:
    async def work() -> int:
        gateway = a_gateway({"fast": ScriptedModel(script)})
        await ask(gateway)
        return len(gateway.answers)

    assert run(work()) == 0


def test_the_answer_of_a_fallback_is_not_kept() -> None:
    async def work() -> int:
        gateway = a_gateway({"fast": ScriptedModel([SILENT]), "deep": ScriptedModel(whole("Hi", model="m-deep"))})
        await ask(gateway)
        return len(gateway.answers)

    assert run(work()) == 0


def test_a_provider_that_fails_is_left_alone_and_asked_again_after_five_seconds() -> None:
    async def work() -> None:
        fast = ScriptedModel(*[[broken("unreachable")]] * 5, whole("back"))
        gateway = a_gateway({"fast": fast, "deep": ScriptedModel(whole("deep", model="m-deep"))})
        await ask(gateway)
        await ask(gateway)
        assert (len(fast.requests), gateway.lanes["fast"].breaker.state) == (5, "open")
        events = await ask(gateway)
        assert outcomes(record_of(events)) == [("fast", "circuit_open"), ("deep", "ok")]
        assert record_of(events).cost_usd == pytest.approx(1.2e-3)
        await asyncio.sleep(5)
        assert text_of(await ask(gateway)) == "back"
        assert gateway.lanes["fast"].breaker.state == "closed"

    run(work())


def test_of_two_at_once_only_one_probes_a_provider_that_was_left_alone() -> None:
    async def work() -> None:
        fast = ScriptedModel(*[[broken("unreachable")]] * 5, [1.0, *whole("back")])
        gateway = a_gateway({"fast": fast, "deep": ScriptedModel(whole("deep", model="m-deep"))})
        await ask(gateway)
        await ask(gateway)
        await asyncio.sleep(5)
        both = await asyncio.gather(ask(gateway), ask(gateway))
        assert [text_of(events) for events in both] == ["back", "deep"]

    run(work())


def test_a_full_provider_is_passed_by_and_nothing_is_held_against_it() -> None:
    async def work() -> None:
        settings = Settings(bulkhead_attempts=1, bulkhead_waiting=0)
        gateway = a_gateway(
            {"fast": ScriptedModel([1.0, *whole("fast")]), "deep": ScriptedModel(whole("deep", model="m-deep"))},
            settings=replace(settings, bulkhead_attempts=1),
        )
        first = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.1)
        events = await ask(gateway, a_chat("another"))
        assert outcomes(record_of(events)) == [("fast", "bulkhead_full"), ("deep", "ok")]
        assert text_of(await first) == "fast"

    run(work())


@pytest.mark.parametrize("how", ["closed", "cancelled"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_when_the_reader_leaves_upstream_is_closed_at_once_and_the_record_still_comes(how: str, after: int) -> None:
    async def work() -> None:
        records: list[AnswerRecord] = []
        fast = ScriptedModel([*words("a"), SILENT] if after else [SILENT])
        gateway = a_gateway({"fast": fast, "deep": ScriptedModel(whole("no"))}, on_record=records.append)

        async def leave() -> None:
            async with aclosing(gateway.answer(a_chat(), route="fast", user="u")) as events:
                for _ in range(after):
                    await anext(events)
                if how == "cancelled":
                    await anext(events) if after < 2 else await asyncio.Event().wait()
                    await anext(events)
                    await anext(events)

        reader = asyncio.create_task(leave())
        await asyncio.sleep(0.5)
        reader.cancel()
        await asyncio.wait({reader})
        assert fast.open == 0
        if after or how == "cancelled":
            assert [(record.ending, outcomes(record)) for record in records] == [("cancelled", [("fast", "cancelled")])]
            assert records[0].cost_usd is None
        assert gateway.lanes["fast"].bulkhead.active == 0

    run(work())


def test_the_cost_of_an_answer_is_that_of_all_its_attempts() -> None:
    async def work() -> AnswerRecord:
        settings = Settings(bulkhead_attempts=1, bulkhead_waiting=0)
        gateway = a_gateway(
            {"fast": ScriptedModel([1.0, *whole("fast")]), "deep": ScriptedModel(whole("x"))}, settings=settings
        )
        busy = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.1)
        events = await ask(gateway, a_chat("another"))
        await busy
        return record_of(events)

    record = run(work())
    assert [attempt.cost_usd for attempt in record.attempts] == [0.0, pytest.approx(1.2e-4)]
    assert (record.cost_usd, record.usage, record.other_model) == (
        record.attempts[1].cost_usd,
        record.attempts[1].usage,
        True,
    )


def test_where_one_attempts_cost_is_not_known_the_sum_is_not_either_and_what_is_known_is_told() -> None:
    record = record_of(answer(ScriptedModel([broken("broken_stream")], whole("Hi")))[0])
    assert (record.cost_usd, record.usage) == (None, None)
    assert record.cost_reason == "m-fast: the provider told no usage"
    assert record.known_cost_usd == pytest.approx(1.2e-4)
    assert record.answered_by is not None
    assert record.answered_by.usage is not None


def test_an_attempt_that_was_turned_away_leaves_the_answers_cost_known() -> None:
    turned_away = ScriptedModel([broken("rate_limited")], [broken("overloaded")], [broken("unreachable")])
    events, _ = answer(turned_away, ScriptedModel(whole("Hi", model="m-deep")))
    record = record_of(events)
    assert [attempt.cost_rule for attempt in record.attempts] == ["refused", "refused", "refused", "usage"]
    assert record.cost_usd == pytest.approx(100 * 1e-5 + 10 * 2e-5)
    assert record.cost_reason is None
    assert record.usage == Usage(input_tokens=100, output_tokens=10)


@pytest.mark.parametrize("spoken", [True, False], ids=["after its first piece", "before it"])
def test_who_takes_no_new_beginning_pays_for_none(spoken: bool) -> None:
    async def work() -> tuple[list[GatewayEvent], ScriptedModel, AnswerCache]:
        deep = ScriptedModel(whole("Hi", model="m-deep"))
        fast = ScriptedModel([*(words("Twelve ") if spoken else []), broken("broken_stream")])
        gateway = a_gateway({"fast": fast, "deep": deep}, settings=Settings(retries=0))
        answered = gateway.answer(a_chat(), route="fast", user="u", restarts=False)
        return [event async for event in answered], deep, gateway.answers

    events, deep, kept = run(work())
    if not spoken:  # nobody has seen anything: the next one is no new beginning
        assert text_of(events) == "Hi"
        return
    record = events[-1].record if isinstance(events[-1], Broken) else None
    assert record is not None
    assert [type(event) for event in events] == [Started, Piece, Broken]
    assert (record.ending, record.served_model, record.cost_usd) == ("broken", None, None)
    assert (deep.requests, len(record.attempts), len(kept)) == ([], 1, 0)


def test_a_broken_answer_says_what_befell_it() -> None:
    async def work() -> GatewayEvent:
        gateway = a_gateway({"fast": ScriptedModel([*words("Twelve "), SILENT]), "deep": ScriptedModel(whole("Hi"))})
        return [event async for event in gateway.answer(a_chat(), route="fast", user="u", restarts=False)][-1]

    ended = run(work())
    assert isinstance(ended, Broken)
    assert ended.why == "timeout"


def test_a_provider_is_told_the_users_hash_and_never_the_name() -> None:
    async def work() -> ScriptedModel:
        fast = ScriptedModel(whole("Hi"))
        await ask(a_gateway({"fast": fast}), user="maria@example.org")
        await ask(a_gateway({"fast": fast}), user="")
        return fast

    told = [request.user for request in run(work()).requests]
    assert told[0] is not None
    assert "maria" not in told[0]
    assert told[1] is None


def test_a_record_keeper_that_fails_costs_nobody_the_answer() -> None:
    def fail(record: AnswerRecord) -> None:
        raise OSError("disk full")

    async def work() -> str:
        return text_of(await ask(a_gateway({"fast": ScriptedModel(whole("Hi"))}, on_record=fail)))

    assert run(work()) == "Hi"


def test_a_route_that_does_not_exist_and_a_provider_without_a_model_are_the_callers_mistakes() -> None:
    async def work() -> None:
        gateway = a_gateway({"fast": ScriptedModel(whole("Hi"))})
        with pytest.raises(DataError, match="no route 'nowhere'; wanted one of fast"):
            await ask(gateway, route="nowhere")

    run(work())
    with pytest.raises(DataError, match="no model for provider fast"):
        Gateway([a_route("fast")], {}, prices=PRICES)


def test_a_table_in_which_two_routes_share_a_provider_shares_its_breaker() -> None:
    async def work() -> None:
        acme = ScriptedModel([broken("unreachable")])
        routes = [a_route("fast", provider="acme", fallback=("deep",)), a_route("deep", provider="acme")]
        gateway = a_gateway({"acme": acme}, routes=routes)
        await ask(gateway)
        await ask(gateway)
        assert len(acme.requests) == 5
        assert gateway.lanes["acme"].breaker.state == "open"

    run(work())


def test_a_provider_is_not_blamed_for_silence_in_the_time_that_another_route_left_it() -> None:
    async def work() -> None:
        acme = ScriptedModel([SILENT])
        routes = [
            a_route("fast", provider="acme", fallback=("deep", "third")),
            a_route("deep", provider="acme"),
            a_route("third", provider="acme"),
        ]
        gateway = a_gateway({"acme": acme}, routes=routes)
        await ask(gateway)
        await ask(gateway)
        assert (len(acme.requests), gateway.lanes["acme"].breaker.state) == (6, "closed")

    run(work())


def test_the_record_of_one_answer_goes_to_whoever_asked_for_it_too() -> None:
    async def work() -> tuple[list[AnswerRecord], list[AnswerRecord]]:
        all_records: list[AnswerRecord] = []
        own: list[AnswerRecord] = []
        gateway = a_gateway({"fast": ScriptedModel(whole("Hi"))}, on_record=all_records.append)
        async for _ in gateway.answer(a_chat(), route="fast", user="u", on_record=own.append):
            pass
        return all_records, own

    all_records, own = run(work())
    assert len(own) == 1
    assert all_records == own


def test_a_provider_that_begins_to_answer_again_is_open_to_all_before_that_answer_is_whole() -> None:
    async def work() -> None:
        fast = ScriptedModel(*[[broken("unreachable")]] * 5, [TextDelta(text="back"), 9.0, *whole("!")], whole("again"))
        gateway = a_gateway({"fast": fast, "deep": ScriptedModel(whole("deep", model="m-deep"))})
        await ask(gateway)
        await ask(gateway)
        await asyncio.sleep(5)
        probe = asyncio.create_task(ask(gateway))
        await asyncio.sleep(1)
        assert text_of(await ask(gateway)) == "again"
        assert text_of(await probe) == "back!"

    run(work())


def test_what_is_kept_of_an_answer_that_was_begun_twice_is_the_whole_one() -> None:
    async def work() -> list[str]:
        fast = ScriptedModel([*words("Twelve d"), broken()], whole("Twelve", " dollars."))
        gateway = a_gateway({"fast": fast})
        return [text_of(await ask(gateway)) for _ in range(2)]

    assert run(work()) == ["Twelve dollars."] * 2


def test_a_wait_that_would_use_up_the_fallbacks_time_is_not_made() -> None:
    deep = ScriptedModel(whole("Hi"))
    answer(ScriptedModel([2.0, broken("rate_limited", 1.9)]), deep)
    assert deep.asked_at == [pytest.approx(2.0)]


def test_no_retry_is_paid_for_that_an_open_breaker_would_not_let_through() -> None:
    async def work() -> float:
        gateway = a_gateway({"fast": ScriptedModel([broken()])}, settings=Settings(retry_floor=10.0))
        await ask(gateway)
        await ask(gateway)
        return gateway.budget.tokens

    assert run(work()) == pytest.approx(10 + 2 * 0.2 - 3, abs=0.2)  # five attempts open it: two and one were retries
