"""One attempt at one model: the clock, the end, and what goes on record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import fields

import pytest

from agents.gateway.attempt import Attempt, Delta, Limits
from agents.gateway.attempt_record import AttemptRecord, attempt_json
from agents.gateway.costs import Cost, same_model
from agents.types import Event, Finished, Message, ModelRequest, TextDelta, ToolCallDelta
from router.errors import ModelError
from router.prices import Usage
from tests.scripted import DAY, PRICES, SILENT, ScriptedModel, Step, a_route, now, run, whole, words

LIMITS = Limits(first_event_s=4.0, between_events_s=10.0, total_s=60.0, close_s=0.1)
REQUEST = ModelRequest(model="m-fast", messages=(Message(role="user", text="hello"),))
COST = Cost(PRICES, today=lambda: DAY)


async def read(model: ScriptedModel, *, slowly_s: float = 0.0) -> tuple[list[Delta], AttemptRecord, Attempt]:
    attempt = Attempt(model, REQUEST, route=a_route("fast", provider="acme"), limits=LIMITS, clock=now)
    deltas = []
    async for delta in attempt.deltas():
        deltas.append(delta)
        await asyncio.sleep(slowly_s)
    return deltas, attempt.record(COST), attempt


def outcome(*steps: Step) -> AttemptRecord:
    model = ScriptedModel(steps)
    _, record, _ = run(read(model))
    assert model.open == 0
    return record


def test_a_whole_answer_is_passed_on_timed_and_priced() -> None:
    record = outcome(0.5, TextDelta(text="Hi"), 1.0, *whole(" there"))
    assert (record.outcome, record.streamed, record.served_model) == ("ok", True, "m-fast")
    assert (record.first_event_ms, record.latency_ms) == pytest.approx((500, 1500))
    assert record.cost_usd == pytest.approx(100 * 1e-6 + 10 * 2e-6)
    assert (record.cost_rule, record.cost_reason) == ("usage", None)
    assert (record.other_model, record.simulated) == (False, True)


@pytest.mark.parametrize(
    ("steps", "ended_ms"),
    [
        ((SILENT,), 4_000),
        ((3.9, TextDelta(text="Hi"), SILENT), 13_900),
        ((*([TextDelta(text="."), 9.0] * 9),), 60_000),
        (((TextDelta(text=""), 1.0) * 9), 4_000),
    ],
    ids=["silent", "stalled", "endless", "keeping alive without a word"],
)
def test_a_model_that_takes_too_long_is_cut_on_time_and_closed(steps: Sequence[Step], ended_ms: float) -> None:
    record = outcome(*steps)
    assert record.outcome == "timeout"
    assert record.latency_ms == pytest.approx(ended_ms)


def test_what_says_nothing_is_not_passed_on_and_is_no_first_event() -> None:
    deltas, record, _ = run(
        read(ScriptedModel([TextDelta(text=""), ToolCallDelta(index=0), 1.0, *whole("Hi")])),
    )
    assert deltas == words("Hi")
    assert record.first_event_ms == pytest.approx(1000)


def test_a_reader_who_takes_his_time_does_not_use_up_the_models() -> None:
    steps = [step for _ in range(40) for step in (TextDelta(text="."), 1.0)]
    _, record, _ = run(read(ScriptedModel([*steps, *whole("end")]), slowly_s=5.0))
    assert record.outcome == "ok"


@pytest.mark.parametrize("said", [(), ("Hi",)])
def test_a_stream_that_ends_without_its_end_is_broken_and_its_cost_unknown(said: tuple[str, ...]) -> None:
    record = outcome(*words(*said))
    assert (record.outcome, record.streamed) == ("broken_stream", bool(said))
    assert (record.usage, record.cost_usd) == (None, None)
    assert record.cost_reason == "m-fast: the provider told no usage"


@pytest.mark.parametrize("kind", ModelError.KINDS)
@pytest.mark.parametrize("said", [(), ("Hi",)])
def test_the_kind_of_the_error_is_the_outcome_wherever_it_comes(kind: str, said: tuple[str, ...]) -> None:
    deltas, record, attempt = run(read(ScriptedModel([*words(*said), ModelError("no", kind=kind)])))
    assert (record.outcome, deltas) == (kind, words(*said))
    assert attempt.error is not None


@pytest.mark.parametrize("kind", ["overloaded", "rate_limited", "unreachable", "unauthorised", "bad_request"])
def test_what_was_turned_away_before_its_first_piece_costs_nothing_by_rule(kind: str) -> None:
    record = outcome(TextDelta(text=""), ModelError("no", kind=kind))
    assert (record.cost_usd, record.cost_rule, record.cost_reason) == (0.0, "refused", None)
    assert record.usage == Usage(input_tokens=0, output_tokens=0)


@pytest.mark.parametrize("kind", ModelError.KINDS)
def test_what_broke_off_midway_has_a_cost_that_nobody_knows(kind: str) -> None:
    record = outcome(TextDelta(text="Twelve"), ModelError("no", kind=kind))
    assert (record.usage, record.cost_usd, record.cost_rule) == (None, None, None)
    assert record.cost_reason == "m-fast: the provider told no usage"


@pytest.mark.parametrize(
    "steps", [(SILENT,), (ModelError("no", kind="timeout"),), (ModelError("no", kind="broken_stream"),)]
)
def test_what_fell_silent_may_have_been_worked_on(steps: Sequence[Step]) -> None:
    assert outcome(*steps).cost_usd is None


@pytest.mark.parametrize(
    "error", [ValueError("a secret text"), asyncio.CancelledError(), TimeoutError(), ExceptionGroup("g", [OSError()])]
)
def test_whatever_a_providers_library_raises_is_a_broken_stream_and_its_text_is_not_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert outcome(TextDelta(text="Hi"), error).outcome == "broken_stream"
    assert "secret" not in caplog.text


def test_an_answer_without_usage_is_whole_and_its_cost_is_not_zero_but_unknown() -> None:
    record = outcome(*whole("Hi", usage=None))
    assert (record.outcome, record.cost_usd) == ("ok", None)
    assert record.cost_reason


def test_an_answer_of_another_model_is_flagged_and_has_that_models_price() -> None:
    record = outcome(*whole("Hi", model="m-deep"))
    assert (record.other_model, record.served_model) == (True, "m-deep")
    assert record.cost_usd == pytest.approx(100 * 1e-5 + 10 * 2e-5)


def test_a_model_without_a_price_has_no_cost_and_the_reason_names_it() -> None:
    record = outcome(*whole("Hi", model="nobody-sells-this"))
    assert record.cost_usd is None
    assert "nobody-sells-this has no price" in str(record.cost_reason)


def test_a_release_of_the_model_has_the_models_price() -> None:
    record = outcome(*whole("Hi", model="m-fast-2026-11-01"))
    assert not record.other_model
    assert record.cost_usd == pytest.approx(1.2e-4)


@pytest.mark.parametrize(
    ("asked", "served", "same"),
    [
        ("gpt-x", "gpt-x-2026-11-01", True),
        ("claude-x", "claude-x-20261101", True),
        ("claude-x-latest", "claude-x-20261101", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-x-2026-11-01", "GPT-X-20261101", True),
        ("gpt-x-2026-11-01", "gpt-x-2026-05-01", False),
        ("gpt-x", "gpt-x-mini", False),
        ("gpt-x", "gpt-x-mini-2026-11-01", False),
        ("gpt-4", "gpt-4-9999", False),
    ],
)
def test_a_release_is_the_model_and_another_is_not(asked: str, served: str, same: bool) -> None:
    assert same_model(asked=asked, served=served) is same


@pytest.mark.parametrize("cancel", [False, True], ids=["closed", "cancelled"])
def test_when_the_reader_leaves_the_stream_is_closed_at_once_and_it_is_on_record(cancel: bool) -> None:
    async def work() -> tuple[AttemptRecord, int, float]:
        model = ScriptedModel([TextDelta(text="Hi"), 1.0, SILENT])
        attempt = Attempt(model, REQUEST, route=a_route("fast"), limits=LIMITS, clock=now)

        async def leave() -> None:
            async with aclosing(attempt.deltas()) as deltas:
                await anext(deltas)
                if cancel:
                    await anext(deltas)

        reader = asyncio.create_task(leave())
        await asyncio.sleep(0.5)
        if cancel:
            reader.cancel()
        await asyncio.wait({reader})
        return attempt.record(COST), model.open, now()

    record, still_open, at = run(work())
    assert (record.outcome, record.streamed, record.cost_usd, still_open, at) == ("cancelled", True, None, 0, 0.5)


def test_the_log_keeps_all_of_a_record_as_plain_values() -> None:
    record = outcome(*whole("Hi"))
    kept = attempt_json(record)
    assert list(kept) == [field.name for field in fields(AttemptRecord)]
    assert kept == {**kept, "model": "m-fast", "cost_rule": "usage", "cost_usd": record.cost_usd}
    assert kept["usage"] == {"input_tokens": 100, "output_tokens": 10, "cache_read_tokens": 0, "cache_write_tokens": 0}


class Clinging(ScriptedModel):
    """Does not let itself be cancelled."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        until = now() + 30
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue
        yield Finished(reason="stop", model="m-fast", usage=None)


def test_a_stream_that_will_not_be_cancelled_holds_nobody_up() -> None:
    record = run(read(Clinging()))[1]
    assert record.outcome == "timeout"

    async def timed() -> float:
        await read(Clinging())
        return now()

    assert run(timed()) == pytest.approx(4.1)


def test_a_stream_that_breaks_while_it_is_closed_after_its_end_was_whole() -> None:
    class Untidy(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
            try:
                for event in whole("Hi"):
                    assert isinstance(event, TextDelta | Finished)
                    yield event
            finally:
                raise RuntimeError("broken pipe")

    deltas, record, _ = run(read(Untidy()))
    assert (deltas, record.outcome, record.usage) == (words("Hi"), "ok", Usage(input_tokens=100, output_tokens=10))


def test_the_stream_is_read_and_closed_by_one_task_whoever_reads_us() -> None:
    tasks: list[object] = []

    class Watching(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
            tasks.append(asyncio.current_task())
            try:
                yield TextDelta(text="a")
                yield TextDelta(text="b")
                await asyncio.Event().wait()
            finally:
                tasks.append(asyncio.current_task())

    async def work() -> None:
        deltas = Attempt(Watching(), REQUEST, route=a_route("fast"), limits=LIMITS, clock=now).deltas()
        for _ in range(2):
            await asyncio.create_task(anext(deltas))
        await asyncio.create_task(deltas.aclose())

    run(work())
    assert tasks[0] is tasks[1]


def test_a_reader_who_leaves_amid_a_flood_is_not_held_up(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> tuple[int, float]:
        model = ScriptedModel(words(*"x" * 500))
        deltas = Attempt(model, REQUEST, route=a_route("fast"), limits=LIMITS, clock=now).deltas()
        await anext(deltas)
        await asyncio.sleep(0)
        await deltas.aclose()
        return model.open, now()

    assert run(work()) == (0, 0.0)
    assert caplog.records == []
