"""Every parameter of OpenAI's chat completions goes on to the model, or is refused by its name; none is passed over in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from agents.doors.chat_form import ChatForm
from agents.doors.guard import Guard
from agents.doors.params import ADVICE
from agents.doors.person import person
from agents.gateway.held import Held
from agents.gateway.keys import KeyStore
from agents.models.anthropic_request import lacking
from agents.types import ModelRequest
from tests.clients import ASKED, TOOL, Calm, bearer, client, post
from tests.served import Watched, a_service, logged, served, whole

pytestmark = pytest.mark.loopback


def asked(calm: Calm, **more: Any) -> openai.types.chat.ChatCompletion:  # Any: the SDK's own, and wrong ones
    made: openai.types.chat.ChatCompletion = calm[2].chat.completions.create(
        **{"model": "chat", "messages": ASKED, **more}
    )
    return made


def refused(calm: Calm, **more: Any) -> tuple[str | None, str | None, str]:  # Any: as above
    """The parameter, the code and the message of a refusal."""
    with pytest.raises(openai.BadRequestError) as caught:
        asked(calm, **more)
    assert calm[1].requests == []
    return caught.value.param, caught.value.code, str(caught.value)


# ---- What goes on ----


def test_every_parameter_of_the_sdk_is_one_of_the_forms_or_is_told_what_to_do_instead() -> None:
    theirs = {"stream", *CompletionCreateParamsBase.__annotations__}
    assert theirs - set(ChatForm.model_fields) - set(ADVICE) == set()


WISHES: dict[str, Any] = {  # Any: whatever JSON can hold
    "top_p": 0.5,
    "presence_penalty": 0.25,
    "frequency_penalty": -0.5,
    "seed": 7,
    "reasoning_effort": "low",
    "verbosity": "high",
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "a"},
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
}


def test_wishes_reach_the_model_as_they_came(calm: Calm) -> None:
    asked(calm, **WISHES)
    assert calm[1].requests[0].wishes == WISHES


def test_limits_and_forms_reach_the_model(calm: Calm) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    asked(
        calm, max_completion_tokens=7, temperature=0.5, stop=["END"], tool_choice="none", tools=[TOOL],
        response_format=schema,
    )  # fmt: skip
    (request,) = calm[1].requests
    assert (request.max_output_tokens, request.temperature, request.stop, request.tool_choice) == (
        7,
        0.5,
        ("END",),
        "none",
    )
    assert request.response_format == schema


def test_a_tool_without_a_description_is_a_tool(calm: Calm) -> None:
    bare = {"type": "function", "function": {"name": "t", "description": None, "parameters": None, "strict": True}}
    asked(calm, tools=[bare])
    (tool,) = calm[1].requests[0].tools
    assert (tool.name, tool.description, tool.parameters, tool.strict) == ("t", "", {}, True)


def test_an_answer_comes_back_in_the_history_as_it_was_given(calm: Calm) -> None:
    """With the fields that the SDK writes into an assistant's message, and a refusal in place of a text."""
    before: Any = {"role": "assistant", "content": None, "refusal": "I will not.", "annotations": [], "audio": None}
    asked(calm, messages=[*ASKED, before, *ASKED])
    assert [said.text for said in calm[1].requests[0].messages][1] == "I will not."


def test_a_tools_result_may_carry_the_tools_name(calm: Calm) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "c", "name": "t", "content": "12:40"}
    asked(calm, messages=[*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}, result])
    assert calm[1].requests[0].messages[2].text == "12:40"


def test_a_repeat_with_another_wish_is_another_question(calm: Calm) -> None:
    for seed in (1, 1, 2):
        asked(calm, seed=seed)
    assert [request.wishes["seed"] for request in calm[1].requests] == [1, 2]  # the second came from the cache


# ---- What changes no answer ----


@pytest.mark.parametrize(
    "harmless",
    [
        {"n": 1},
        {"logprobs": False},
        {"top_logprobs": 0},
        {"logit_bias": {}},
        {"modalities": ["text"]},
        {"store": False},
        {"service_tier": "auto"},
        {"metadata": {"team": "blue"}},
        {"stream_options": {"include_obfuscation": False}},
    ],
)
def test_what_is_as_good_as_left_out_is_taken(calm: Calm, harmless: dict[str, Any]) -> None:
    assert asked(calm, **harmless).choices[0].message.content == "Hello, you."
    assert calm[1].requests[0].wishes == {}


# ---- What is refused ----


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"store": True}, "store"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"modalities": ["text", "audio"]}, "modalities.1"),
    ],
)
def test_what_cannot_be_had_is_named_with_what_to_do(calm: Calm, wrong: dict[str, Any], param: str) -> None:
    told = refused(calm, **wrong)
    assert told[0] == param
    assert ADVICE[next(iter(wrong))] in told[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("audio", {"voice": "a"}), ("functions", []), ("function_call", "auto"), ("web_search_options", {})],
)
def test_what_the_form_does_not_have_is_refused_with_what_replaced_it(calm: Calm, name: str, value: Any) -> None:
    param, code, message = refused(calm, **{name: value})
    assert (param, code) == (name, "unknown_parameter")
    assert ADVICE[name] in message


@pytest.mark.parametrize(
    "unknown", [{"top_k": 5}, {"stream_options": {"top_k": 5}}, {"response_format": {"type": "text", "top_k": 5}}]
)
def test_a_parameter_that_nobody_knows_is_refused_by_its_name(calm: Calm, unknown: dict[str, Any]) -> None:
    param, code, message = refused(calm, extra_body=unknown)
    (first,) = unknown
    assert param == ("top_k" if first == "top_k" else f"{first}.top_k")
    assert code == "unknown_parameter"
    assert "does not take it" in message


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"seed": 0.5}, "seed"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [TOOL]}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": [{"role": "user", "content": "a", "name": "ann"}]}, "messages.0.name"),
        ({"messages": [*ASKED, {"role": "assistant", "function_call": {}}]}, "messages.1.function_call"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(calm: Calm, wrong: dict[str, Any], param: str) -> None:
    assert refused(calm, **wrong)[0] in (param, f"{param}.0.type")


# ---- What a provider has no word for ----


class Narrow(Watched):
    """A model with as few words as Anthropic's wire."""

    def lacking(self, request: ModelRequest) -> tuple[str, ...]:
        return lacking(request, takes_temperature=False)


@pytest.mark.parametrize("model", ["chat", "auto", "router-current-0.5"])
@pytest.mark.parametrize(
    "wish",
    [
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"presence_penalty": 1},
        {"frequency_penalty": 1},
        {"seed": 1},
        {"verbosity": "low"},
        {"reasoning_effort": "minimal"},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_a_wish_that_a_route_has_no_word_for_is_refused_whatever_the_message_says(
    held: Held, tmp_path: Path, model: str, wish: dict[str, Any]
) -> None:
    narrow = Narrow()
    with served(a_service(held, tmp_path, narrow)) as server, client(server) as asking:
        param, code, message = refused((server, narrow, asking), model=model, **wish)
    assert (param, code) == (next(iter(wish)), "unsupported_parameter")
    assert "has no word for it. Leave it out" in message
    assert logged(tmp_path) == []


@pytest.mark.parametrize(
    "same",
    [{"temperature": 1}, {"top_p": 1}, {"presence_penalty": 0}, {"reasoning_effort": "low"}, {"prompt_cache_key": "k"}],
)
def test_what_such_a_provider_does_anyway_is_not_refused(held: Held, tmp_path: Path, same: dict[str, Any]) -> None:
    narrow = Narrow(whole("Hello, you."))
    with served(a_service(held, tmp_path, narrow)) as server, client(server) as asking:
        assert asked((server, narrow, asking), **same).choices[0].message.content == "Hello, you."


# ---- Whom it is for ----


def test_users_of_one_key_are_apart_in_the_log_the_cache_and_towards_providers(held: Held, tmp_path: Path) -> None:
    model = Watched(*(whole(name) for name in "abc"))
    with served(a_service(held, tmp_path, model)) as server:
        said = [
            post(server, "/v1/chat/completions", {"model": "chat", "messages": ASKED, **user}).json()
            for user in ({"user": "ann@example.org"}, {"user": "bob"}, {"safety_identifier": "ann@example.org"}, {})
        ]
        post(server, "/v1/route", {"input": "hello", "user": "bob"})
    assert [answer["choices"][0]["message"]["content"] for answer in said] == ["a", "b", "a", "c"]
    hashes = [row.user_hash for row in logged(tmp_path)]
    assert hashes[0] == hashes[2]
    assert hashes[1] == hashes[4]
    assert len(set(hashes)) == 3
    assert len({request.user for request in model.requests}) == 3


def test_no_users_name_is_kept_or_told(held: Held, tmp_path: Path) -> None:
    model = Watched(whole("a"))
    with served(a_service(held, tmp_path, model, keep_text=True)) as server:
        post(server, "/v1/chat/completions", {"model": "chat", "messages": ASKED, "user": "ann@example.org"})
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ann@example.org" not in kept
    assert "ann" not in (model.requests[0].user or "")


def test_two_owners_users_of_one_name_are_two(held: Held, tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    keys = [store.create(name, scopes=["chat"], rate_per_minute=9) for name in ("one", "two")]
    model = Watched(whole("a"), whole("b"))
    with served(a_service(held, tmp_path, model), guard=Guard(keys=store)) as server:
        for key in keys:
            body = {"model": "chat", "messages": ASKED, "user": "ann"}
            post(server, "/v1/chat/completions", body, headers=bearer(key))
    assert len(model.requests) == 2
    assert len({row.user_hash for row in logged(tmp_path)}) == 2


def test_an_owner_and_a_user_cannot_be_shifted_into_another_pair() -> None:
    def plain(text: str) -> str:
        return text

    assert person("a", None, keyed=plain) == "a"
    assert person("a", "", keyed=plain) == "a"
    assert len({person("a", "b,c", keyed=plain), person("a,b", "c", keyed=plain), person("a", "b", keyed=plain)}) == 3
