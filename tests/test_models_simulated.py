"""Models that answer without a network: what they say, what they count, and what they promise."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agents.models.protocol import Answer, Model, collect
from agents.models.simulated import MARK, ScriptedModel, SimulatedModel, Step, says
from agents.models.wire import told
from agents.types import Finished, Message, ModelRequest, TextDelta, ToolCall, ToolCallDelta, ToolSpec
from router.errors import DataError, ModelError
from tests.conformance import model as conformance
from tests.conformance.model import PARK_SEARCH, Check


class Pauses:
    """A sleep that never wakes after a number of pauses, and knows whether it was left."""

    def __init__(self, awake: float = float("inf")) -> None:
        self.waited: list[float] = []
        self.left = False
        self._awake = awake

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)
        if len(self.waited) > self._awake:
            try:
                await asyncio.Event().wait()
            finally:
                self.left = True


class SimulatedRig:
    def __init__(self) -> None:
        self.pauses = Pauses(awake=1)

    def answers(self) -> Model:
        return SimulatedModel("simulated")

    def calls_a_tool(self) -> Model:
        return SimulatedModel("simulated")

    def hangs(self) -> Model:
        return SimulatedModel("simulated", piece_delay_s=1.0, sleep=self.pauses)

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        return {}

    def let_go(self) -> bool:
        return self.pauses.left or len(self.pauses.waited) == 1  # left, or closed while nothing was awaited


class ScriptedRig:
    def __init__(self) -> None:
        self.model = ScriptedModel("scripted", [])

    def answers(self) -> Model:
        return ScriptedModel("scripted", [says("the same three words")] * 3)

    def calls_a_tool(self) -> Model:
        call = ToolCallDelta(index=0, call_id="call_1", name=PARK_SEARCH.name)
        pieces = [call, ToolCallDelta(index=0, arguments='{"place": '), ToolCallDelta(index=0, arguments='"Moab"}')]
        return ScriptedModel("scripted", [[*pieces, Finished(reason="tool_calls", model="m", usage=None)]])

    def hangs(self) -> Model:
        self.model = ScriptedModel("scripted", [[TextDelta(text="a"), asyncio.Event().wait]])
        return self.model

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        return {kind: lambda kind=kind: self._failing(kind) for kind in ModelError.KINDS}  # type: ignore[misc]  # a default binds the loop's value

    def _failing(self, kind: str) -> Model:
        return ScriptedModel("scripted", [[TextDelta(text="a"), told("scripted", kind=kind, found="a script")]])

    def let_go(self) -> bool:
        return self.model.cut == 1


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("rig", [SimulatedRig, ScriptedRig])
def test_models_without_a_network_keep_what_a_model_promises(
    check: Check, rig: type[SimulatedRig] | type[ScriptedRig]
) -> None:
    conformance.run(check, rig())


class FlawedRig(ScriptedRig):
    """Answers with a script that breaks one promise."""

    def __init__(self, *script: Step) -> None:
        super().__init__()
        self.script = script

    def answers(self) -> Model:
        return ScriptedModel("flawed", [self.script] * 3)

    def fails(self) -> Mapping[str, Callable[[], Model]]:
        return {"overloaded": self.answers}


END = Finished(reason="stop", model="m", usage=None)
WORDS = (TextDelta(text="a "), TextDelta(text="b"))


@pytest.mark.parametrize(
    ("check", "script"),
    [
        (conformance.a_stream_is_deltas_and_then_one_end, [*WORDS, END, END]),
        (conformance.a_stream_is_deltas_and_then_one_end, WORDS),
        (conformance.a_stream_is_deltas_and_then_one_end, [TextDelta(text=""), *WORDS, END]),
        (conformance.a_stream_is_deltas_and_then_one_end, [TextDelta(text="all at once"), END]),
        (conformance.the_end_names_a_model_and_plausible_tokens, [Finished(reason="stop", model="", usage=None)]),
        (conformance.a_failure_is_a_model_error_of_its_kind, [*WORDS, END]),
        (conformance.a_failure_is_a_model_error_of_its_kind, [OSError("the network's own")]),
        (conformance.a_failure_is_a_model_error_of_its_kind, [told("flawed", kind="timeout", found="a script")]),
        (
            conformance.a_failure_is_a_model_error_of_its_kind,
            [END, told("flawed", kind="overloaded", found="a script")],
        ),
    ],
)
def test_the_suite_finds_a_model_that_breaks_a_promise(check: Check, script: list[Step]) -> None:
    with pytest.raises(AssertionError):
        conformance.run(check, FlawedRig(*script))


# Any: a request's fields
def asked(text: str, *, tools: tuple[ToolSpec, ...] = (), seed: int = 0, **more: Any) -> Answer:
    request = ModelRequest(model="m", messages=(Message(role="user", text=text),), tools=tools, **more)
    return asyncio.run(collect(SimulatedModel("simulated", seed=seed).stream(request)))


@pytest.mark.parametrize("text", ["hi", "where is my refund?", "", "天気はどうですか", "search an rv park"])
def test_every_simulated_answer_begins_with_its_mark(text: str) -> None:
    assert asked(text, tools=(PARK_SEARCH,)).text.startswith(MARK)


def test_a_greeting_is_greeted_and_a_question_with_a_greeting_is_repeated() -> None:
    assert "refund" not in asked("Hello there!").text
    assert "hello, where is my refund?" in asked("hello, where is my refund?").text


def test_a_long_query_is_repeated_in_part() -> None:
    assert len(asked("word " * 500).text) < 300


def test_the_same_request_has_the_same_answer_and_other_seeds_have_others() -> None:
    assert asked("where is my refund?") == asked("where is my refund?")
    assert len({asked("where is my refund?", seed=seed).text for seed in range(20)}) == 3


def test_a_tool_is_called_where_the_query_has_its_words() -> None:
    called = asked("find me an RV park near Moab", tools=(PARK_SEARCH,))
    assert [call.name for call in called.tool_calls] == ["rv_park_search"]
    assert json.loads(called.tool_calls[0].arguments) == {"place": "find me an RV park near Moab"}


def test_no_tool_is_called_where_nothing_asks_for_it_or_none_may_be() -> None:
    assert asked("how are you?", tools=(PARK_SEARCH,)).tool_calls == ()
    assert asked("find an rv park", tools=(PARK_SEARCH,), tool_choice="none").tool_calls == ()


def test_a_required_tool_is_called_whatever_was_asked() -> None:
    assert len(asked("how are you?", tools=(PARK_SEARCH,), tool_choice="required").tool_calls) == 1


def test_arguments_fit_their_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "miles": {"type": "number"},
            "unit": {"enum": ["miles", "km"]},
            "from": {"type": "string", "format": "date"},
            "stops": {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
            "note": {"type": ["string", "null"], "maxLength": 4},
            "sort": {"type": "string", "default": "price"},
            "left_out": {"type": "string"},
        },
        "required": ["days", "miles", "unit", "from", "stops", "note", "sort"],
    }
    tool = ToolSpec(name="plan", description="Plan a trip.", parameters=schema)
    (call,) = asked("plan 21.5 km a day", tools=(tool,), tool_choice="plan").tool_calls
    assert json.loads(call.arguments) == {
        "days": 14,
        "miles": 21.5,
        "unit": "km",
        "from": "2026-01-01",
        "stops": [False, False],
        "note": "plan",
        "sort": "price",
    }


def test_the_result_of_a_tool_is_told_and_no_tool_called_again() -> None:
    called = ToolCall(call_id="c", name=PARK_SEARCH.name, arguments="{}")
    messages = (
        Message(role="user", text="search an rv park"),
        Message(role="assistant", text="", tool_calls=(called,)),
        Message(role="tool", text="three parks", call_id="c"),
    )
    request = ModelRequest(model="m", messages=messages, tools=(PARK_SEARCH,))
    answer = asyncio.run(collect(SimulatedModel("simulated").stream(request)))
    assert answer.text == "[simulated] The tool answered: three parks"
    assert answer.tool_calls == ()


def test_an_answer_keeps_to_its_limit_and_says_that_it_was_cut() -> None:
    whole, cut = asked("where is my refund?"), asked("where is my refund?", max_output_tokens=5)
    assert cut.finished.reason == "length"
    assert cut.finished.usage is not None
    assert cut.finished.usage.output_tokens <= 5
    assert whole.text.startswith(cut.text)


def test_an_answer_ends_before_a_stop_word() -> None:
    assert asked("where is my refund?", stop=("refund",)).text.endswith("where is my")


def test_tokens_are_a_quarter_of_the_characters() -> None:
    answer = asked("12345678")
    assert answer.finished.usage is not None
    assert answer.finished.usage.input_tokens == 2
    assert answer.finished.usage.output_tokens == -(-len(answer.text) // 4)


def test_a_delay_comes_before_every_piece() -> None:
    pauses = Pauses()
    request = ModelRequest(model="m", messages=(Message(role="user", text="hi"),))
    model = SimulatedModel("simulated", piece_delay_s=0.02, sleep=pauses)
    text = asyncio.run(collect(model.stream(request))).text
    assert pauses.waited == [0.02] * len(text.split())


def test_a_script_is_played_a_request_at_a_time_and_remembers_who_asked() -> None:
    pauses = Pauses()
    failure = told("scripted", kind="overloaded", found="a script")
    model = ScriptedModel("scripted", [[0.5, *says("one")], [failure]], sleep=pauses)
    first, second = conformance.REQUEST, replace(conformance.REQUEST, model="other")

    async def played() -> None:
        assert (await collect(model.stream(first))).text == "one"
        with pytest.raises(ModelError):
            await collect(model.stream(second))

    asyncio.run(played())
    assert (model.requests, pauses.waited, model.cut) == ([first, second], [0.5], 0)


def test_a_request_beyond_the_script_is_an_error_that_no_failover_hides() -> None:
    with pytest.raises(DataError, match="request 1 came, and the script has 0"):
        asyncio.run(collect(ScriptedModel("scripted", []).stream(conformance.REQUEST)))


def test_a_script_that_ends_without_its_end_is_no_answer() -> None:
    with pytest.raises(ModelError) as caught:
        asyncio.run(collect(ScriptedModel("scripted", [[TextDelta(text="a")]]).stream(conformance.REQUEST)))
    assert caught.value.kind == "broken_stream"


def test_importing_the_models_loads_no_sdk() -> None:
    body = "import agents.models.providers, sys; print(sorted({'openai', 'anthropic', 'httpx2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "[]"
