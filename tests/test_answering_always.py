"""What holds for every answer, whatever the upstreams do, alone and two hundred at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.gateway.answering import AnswerRecord, Done, GatewayEvent, Piece, Refused, Restarted, Started
from agents.gateway.settings import FIXED_MESSAGE, Settings
from agents.types import Finished, TextDelta
from router.errors import ModelError
from router.prices import Usage
from tests.scripted import SILENT, ScriptedModel, Step, a_chat, a_gateway, ask, now, record_of, run, text_of, whole

NAMES = ("fast", "deep", "third")
FAULTS = [kind for kind in ModelError.KINDS if kind != "bad_request"]
PAUSES = [0.0, 0.5, 2.0, 5.0]


@st.composite
def a_script(draw: st.DrawFn, name: str, number: int) -> list[Step]:
    """Words that no other script has, pauses, and one of all ends: whole, cut, silent, broken in every way."""
    script: list[Step] = []
    for word in range(draw(st.integers(0, 3))):
        script += [draw(st.sampled_from(PAUSES)), TextDelta(text=f"{name}{number}.{word} ")]
    usage = draw(st.one_of(st.none(), st.just(Usage(input_tokens=10, output_tokens=word_count(script)))))
    model = draw(st.sampled_from([f"m-{name}", f"m-{name}-2026-11-01", "m-deep"]))
    ends: list[list[Step]] = [
        [Finished(reason="stop", model=model, usage=usage)],
        [],
        [SILENT],
        [draw(st.sampled_from([ValueError("odd"), asyncio.CancelledError(), OSError("gone")]))],
        [ModelError("no", kind=draw(st.sampled_from(FAULTS)), retry_after_s=draw(st.sampled_from([None, 1.0, 9.0])))],
    ]
    return [*script, *draw(st.sampled_from(ends))]


def word_count(script: Sequence[Step]) -> int:
    return len(text_in(script).split())


def text_in(script: Sequence[Step]) -> str:
    return "".join(step.text for step in script if isinstance(step, TextDelta))


@st.composite
def some_models(draw: st.DrawFn) -> dict[str, ScriptedModel]:
    names = NAMES[: draw(st.integers(1, 3))]
    return {name: ScriptedModel(*[draw(a_script(name, number)) for number in range(4)]) for name in names}


def check_order(events: list[GatewayEvent]) -> None:
    """Started once and first, the end once and last."""
    assert isinstance(events[0], Started | Refused)
    assert isinstance(events[-1], Done | Refused)
    assert all(isinstance(event, Piece | Restarted) for event in events[1:-1])


def check_whole(events: list[GatewayEvent], models: dict[str, ScriptedModel]) -> None:
    """What is on the screen is one upstream's whole answer, or the fixed message."""
    record = record_of(events)
    if record.ending == "model":
        served = models[record.route]
        script = served.scripts[min(len(served.requests), len(served.scripts)) - 1]
        assert isinstance(script[-1], Finished)
        assert text_of(events) == text_in(script)
    else:
        assert record.ending == "fixed"
        assert text_of(events) == FIXED_MESSAGE


@hypothesis_settings(max_examples=150, deadline=None)
@given(models=some_models())
def test_an_answer_is_never_spliced_never_raises_and_its_cost_adds_up(models: dict[str, ScriptedModel]) -> None:
    records: list[AnswerRecord] = []

    async def work() -> list[GatewayEvent]:
        return await ask(a_gateway(models, on_record=records.append))

    events = run(work())
    check_order(events)
    check_whole(events, models)
    record = record_of(events)
    assert records == [record]
    assert all(model.open == 0 for model in models.values())
    assert len(record.attempts) == sum(len(model.requests) for model in models.values())
    costs = [attempt.cost_usd for attempt in record.attempts]
    known = [cost for cost in costs if cost is not None]
    assert record.cost_usd == (pytest.approx(sum(known)) if len(known) == len(costs) else None)
    assert (record.cost_usd is None) == (record.cost_reason is not None)
    assert all((attempt.usage is None) <= (attempt.cost_usd is None) for attempt in record.attempts)


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    pauses=st.lists(st.one_of(st.just(SILENT), st.floats(0, 6)), min_size=1, max_size=3),
    kind=st.sampled_from(FAULTS),
    retry_after_s=st.one_of(st.none(), st.floats(0, 10)),
)
def test_with_every_upstream_dead_or_silent_the_fixed_message_comes_in_under_five_seconds(
    pauses: list[float], kind: str, retry_after_s: float | None
) -> None:
    async def work() -> tuple[str, float]:
        failure = ModelError("no", kind=kind, retry_after_s=retry_after_s)
        models = {name: ScriptedModel([pause, failure]) for name, pause in zip(NAMES, pauses, strict=False)}
        return text_of(await ask(a_gateway(models))), now()

    text, at = run(work())
    assert text == FIXED_MESSAGE
    assert at < 5.0


def test_of_two_hundred_at_once_each_gets_its_own_answer_whole() -> None:
    class Echo(ScriptedModel):
        async def stream(self, request):  # type: ignore[no-untyped-def]  # as the class above
            asked = request.messages[-1].text
            self.requests.append(request)
            yield TextDelta(text=asked)
            await asyncio.sleep(0.2)
            if int(asked) % 3 == 0:
                raise ModelError("no", kind="broken_stream")
            for event in whole(f"={asked}"):
                yield event

    async def work() -> list[list[GatewayEvent]]:
        gateway = a_gateway({"fast": Echo(), "deep": Echo()}, settings=Settings(breaker_failure_share=0.9))
        chats = (a_chat(str(number)) for number in range(200))
        return list(await asyncio.gather(*(ask(gateway, chat, user="same") for chat in chats)))

    for number, events in enumerate(run(work())):
        check_order(events)
        assert text_of(events) == (FIXED_MESSAGE if number % 3 == 0 else f"{number}={number}")


def test_of_two_hundred_at_once_that_all_fail_no_more_are_retried_than_the_budget_has() -> None:
    async def work() -> tuple[int, float]:
        fast = ScriptedModel([0.1, ModelError("no", kind="overloaded")])
        gateway = a_gateway({"fast": fast}, settings=Settings(breaker_min_attempts=10_000))
        answers = await asyncio.gather(*(ask(gateway, a_chat(str(number))) for number in range(200)))
        assert {text_of(events) for events in answers} == {FIXED_MESSAGE}
        assert gateway.lanes["fast"].bulkhead.active == 0
        return len(fast.requests) - 200, now()

    retries, seconds = run(work())
    assert 0 < retries <= 3 + 0.2 * 200 + 0.1 * seconds


def test_of_two_hundred_at_once_no_more_reach_a_provider_than_its_bulkhead_lets_in() -> None:
    async def work() -> ScriptedModel:
        fast = ScriptedModel([0.1, *whole("Hi")])
        settings = Settings(bulkhead_attempts=20, bulkhead_waiting=300, bulkhead_wait_s=3.0)
        gateway = a_gateway({"fast": fast}, settings=settings)
        answers = await asyncio.gather(*(ask(gateway, a_chat(str(number))) for number in range(200)))
        assert {text_of(events) for events in answers} == {"Hi"}
        return fast

    assert run(work()).most_open == 20


def test_when_half_of_two_hundred_readers_leave_the_others_are_served_and_nothing_stays_open() -> None:
    async def work() -> None:
        records: list[AnswerRecord] = []
        fast = ScriptedModel([TextDelta(text="a"), 1.0, *whole("b")])
        gateway = a_gateway({"fast": fast}, on_record=records.append)
        readers = [asyncio.create_task(ask(gateway, a_chat(str(number)))) for number in range(200)]
        await asyncio.sleep(0.5)
        for reader in readers[::2]:
            reader.cancel()
        done = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(outcome, list) and text_of(outcome) == "ab" for outcome in done[1::2])
        assert sorted(record.ending for record in records) == ["cancelled"] * 100 + ["model"] * 100
        assert (fast.open, gateway.lanes["fast"].bulkhead.active) == (0, 0)
        assert len(asyncio.all_tasks()) == 1

    run(work())
