"""The answer cache: whose answer to which question, for how long, and how many."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.answering import ChatOptions, ChatRequest
from agents.gateway.answers import AnswerCache, CachedAnswer
from agents.gateway.settings import Settings
from agents.types import Message, ToolCall, ToolSpec
from tests.scripted import FakeClock, a_chat

ANSWER = CachedAnswer(route="fast", model="m-fast", provider="acme", text="Twelve.", simulated=False)


def a_cache(**numbers: float) -> tuple[AnswerCache, FakeClock]:
    clock = FakeClock()
    return AnswerCache(Settings(**numbers), clock=clock), clock  # type: ignore[arg-type]  # numbers only


def test_a_repeat_is_fresh_for_a_minute_and_stale_for_a_day() -> None:
    cache, clock = a_cache()
    cache.store(a_chat(), ANSWER, user="u")
    for seconds, fresh, stale in ((59.9, ANSWER, ANSWER), (60.0, None, ANSWER), (86_400.0, None, None)):
        clock.now = seconds
        assert cache.fresh(a_chat(), user="u", route="fast") == fresh
        assert cache.stale(a_chat(), user="u") == stale
    assert len(cache) == 0


def test_a_repeat_on_another_route_is_not_fresh_but_good_enough_for_a_bad_day() -> None:
    cache, _ = a_cache()
    cache.store(a_chat(), ANSWER, user="u")
    assert cache.fresh(a_chat(), user="u", route="deep") is None
    assert cache.stale(a_chat(), user="u") == ANSWER


@given(owner=st.text(min_size=1), other=st.text(), text=st.text())
def test_nobody_ever_gets_anothers_answer(owner: str, other: str, text: str) -> None:
    cache, _ = a_cache()
    cache.store(a_chat(text), ANSWER, user=owner)
    found = cache.stale(a_chat(text), user=other)
    assert found == (ANSWER if owner == other else None)


def test_who_is_not_known_leaves_and_gets_nothing() -> None:
    cache, _ = a_cache()
    cache.store(a_chat(), ANSWER, user="")
    assert (len(cache), cache.stale(a_chat(), user="")) == (0, None)


CHAT = ChatRequest(
    messages=(
        Message(role="assistant", text="", tool_calls=(ToolCall(call_id="1", name="sum", arguments="{}"),)),
        Message(role="tool", text="12", call_id="1"),
        Message(role="user", text="well? \ud800"),  # a lone surrogate, as a careless client sends it
    ),
    tools=(ToolSpec(name="sum", description="adds", parameters=MappingProxyType({"type": "object"})),),
    options=ChatOptions(max_output_tokens=9, response_format=MappingProxyType({"type": "text"})),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(CHAT, messages=CHAT.messages[1:]),
        replace(CHAT, messages=(*CHAT.messages[:2], Message(role="system", text=CHAT.messages[2].text))),
        replace(CHAT, messages=(CHAT.messages[0], Message(role="tool", text="13", call_id="1"), CHAT.messages[2])),
        replace(CHAT, tools=()),
        replace(CHAT, tools=(replace(CHAT.tools[0], parameters={"type": "string"}),)),
        replace(CHAT, options=replace(CHAT.options, max_output_tokens=8)),
        replace(CHAT, options=replace(CHAT.options, temperature=0.0)),
        replace(CHAT, options=replace(CHAT.options, stop=("x",))),
        replace(CHAT, options=replace(CHAT.options, tool_choice="none")),
        replace(CHAT, options=replace(CHAT.options, response_format=None)),
    ],
)
def test_any_difference_in_the_question_is_another_question(other: ChatRequest) -> None:
    cache, _ = a_cache()
    cache.store(CHAT, ANSWER, user="u")
    assert cache.stale(CHAT, user="u") == ANSWER
    assert cache.stale(other, user="u") is None


def test_the_answer_that_was_not_used_for_longest_makes_room() -> None:
    cache, _ = a_cache(cache_answers=2)
    for text in ("a", "b"):
        cache.store(a_chat(text), ANSWER, user="u")
    cache.stale(a_chat("a"), user="u")
    cache.store(a_chat("c"), ANSWER, user="u")
    assert [cache.stale(a_chat(text), user="u") is not None for text in "abc"] == [True, False, True]


@pytest.mark.parametrize("text", ["", "x" * 32_001])
def test_empty_and_very_long_answers_are_not_kept(text: str) -> None:
    cache, _ = a_cache()
    cache.store(a_chat(), replace(ANSWER, text=text), user="u")
    assert len(cache) == 0


@given(texts=st.lists(st.sampled_from("abcdefgh"), max_size=40), size=st.integers(0, 4))
def test_there_are_never_more_than_so_many(texts: list[str], size: int) -> None:
    cache, _ = a_cache(cache_answers=size)
    for text in texts:
        cache.store(a_chat(text), ANSWER, user="u")
        assert len(cache) <= size
