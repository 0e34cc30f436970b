"""A tool loop: one decision for all of its requests, one draw, and the propensity of that draw on each of its rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.gateway.answering import ChatRequest, Gateway
from agents.gateway.choice import RouteChoice
from agents.gateway.decision_log import DecisionLog
from agents.gateway.exploring import Exploration
from agents.gateway.held import Held, LabelBundle
from agents.gateway.log_file import LoggedDecision, read_log
from agents.gateway.loops import KEPT_S, ToolLoop, loop_of
from agents.gateway.metrics import Metrics
from agents.gateway.recent import Recent
from agents.gateway.service import Decided, Service
from agents.gateway.tracing import Tracing
from agents.types import Message, ToolCall, ToolSpec
from router.pipeline import Router
from router.policy import LabelPolicy
from tests.decided import BOUND_S, ROUTES, FakeBundle, decider
from tests.logs import choice
from tests.scripted import PRICES, ScriptedModel, a_route, whole

TOOL = ToolSpec(name="weather", description="", parameters={})
ASKED = Message(role="user", text="budget")
CALL = Message(role="assistant", text="", tool_calls=(ToolCall(call_id="1", name="weather", arguments="{}"),))
RESULT = Message(role="tool", text="sunny", call_id="1")


def chat(*messages: Message, tools: Sequence[ToolSpec] = (TOOL,)) -> ChatRequest:
    return ChatRequest(messages=messages, tools=tuple(tools))


def loop(*messages: Message, tools: Sequence[ToolSpec] = (TOOL,), asked: str = "auto", who: str = "ann") -> ToolLoop:
    found = loop_of(chat(*messages, tools=tools), asked=asked, principal=who)
    assert found is not None
    return found


# Which loop a request belongs to


def test_a_question_and_the_results_behind_it_are_one_loop() -> None:
    first = loop(ASKED)
    later = [loop(ASKED, CALL, RESULT), loop(ASKED, CALL, RESULT, CALL, RESULT), loop(ASKED, CALL, RESULT, tools=())]
    assert {one.key for one in later} == {first.key}
    assert [first.begun, *(one.begun for one in later)] == [False, True, True, True]


def test_another_caller_model_or_beginning_is_another_loop() -> None:
    system = Message(role="system", text="be brief")
    loops = [
        loop(ASKED),
        loop(ASKED, who="bob"),
        loop(ASKED, asked="router-current-0.5"),
        loop(system, ASKED),
        loop(ASKED, CALL, RESULT, Message(role="user", text="budget")),
        loop(Message(role="user", text="budgets")),
    ]
    assert len({one.key for one in loops}) == len(loops)


def test_a_question_without_tools_begins_no_loop() -> None:
    assert loop_of(chat(ASKED, tools=()), asked="auto", principal="ann") is None
    before = (Message(role="user", text="hi"), Message(role="assistant", text="Hello!"))
    assert loop_of(chat(*before, ASKED, tools=()), asked="auto", principal="ann") is None


# What is remembered


def test_a_loop_is_forgotten_when_it_was_quiet_for_long() -> None:
    now = [0.0]
    loops, one = Recent[RouteChoice](kept_s=KEPT_S, clock=lambda: now[0]), loop(ASKED).key
    loops.put(one, choice())
    now[0] = KEPT_S - 1.0
    assert loops.of(one) == choice()
    now[0] = KEPT_S
    assert loops.of(one) is None


def test_as_many_loops_are_remembered_as_there_is_room_for() -> None:
    loops = Recent[RouteChoice](kept_s=KEPT_S, kept=2, clock=lambda: 0.0)
    running = [loop(ASKED, who=name).key for name in ("ann", "bob", "cid")]
    for one in running:
        loops.put(one, choice())
    assert (len(loops), [loops.of(one) is None for one in running]) == (2, [True, False, False])


# The server


def turns(
    path: Path, requests: Sequence[tuple[ChatRequest, str]], *, rate: float, held: Held | None = None
) -> tuple[list[RouteChoice], list[LoggedDecision]]:
    """What each request was decided to be, in turn, and the log's rows. Each is of its own caller where it names one."""

    async def work() -> list[RouteChoice]:
        routes = [a_route(name, provider="acme") for name in ROUTES]
        model = ScriptedModel(whole("Hi"))
        service = Service(
            routes=routes,
            decider=decider(held or FakeBundle(), exploration=Exploration(rate=rate)),
            gateway=Gateway(routes, {"acme": model}, prices=PRICES),
            models={"acme": model},
            log=DecisionLog(path),
            metrics=Metrics(),
            tracing=Tracing(),
        )
        found: list[RouteChoice] = []
        async with asyncio.timeout(BOUND_S):
            for request, who in requests:
                events = [event async for event in service.turn(request, asked="auto", principal=who)]
                found += [event.choice for event in events if isinstance(event, Decided)]
            await service.close()
        return found

    return asyncio.run(work()), list(read_log(path))


def test_every_request_of_a_loop_goes_where_its_first_one_went(tmp_path: Path) -> None:
    """Forty loops of three requests, half of them drawn at random among four routes."""
    requests = [
        (chat(*messages), f"caller {number}")
        for number in range(40)
        for messages in ((ASKED,), (ASKED, CALL, RESULT), (ASKED, CALL, RESULT, CALL, RESULT))
    ]
    found, rows = turns(tmp_path / "log.db", requests, rate=0.5)
    loops = [found[at : at + 3] for at in range(0, len(found), 3)]
    assert all(len({one.route for one in three}) == 1 for three in loops)
    assert len({three[0].route for three in loops}) > 1
    assert len({one.decision_id for one in found}) == len(found)
    for one in found:
        p = 0.5 + 0.5 / 4 if one.route == "budget" else 0.5 / 4
        assert one.propensity == pytest.approx(p)
        assert one.explored is (one.route != "budget")
    logged = {row.decision_id: row for row in rows}
    assert all(
        (logged[one.decision_id].route, logged[one.decision_id].propensity) == (one.route, one.propensity)
        for one in found
    )


def test_questions_that_are_no_loop_are_drawn_each_for_itself(tmp_path: Path) -> None:
    found, _ = turns(tmp_path / "log.db", [(chat(ASKED, tools=()), "ann")] * 200, rate=0.5)
    counts = Counter(one.route for one in found)
    for route in ROUTES:
        p = 0.625 if route == "budget" else 0.125
        assert abs(counts[route] - 200 * p) < 4 * (200 * p * (1 - p)) ** 0.5


def test_first_requests_of_loops_are_drawn_with_the_probabilities_that_are_logged(tmp_path: Path) -> None:
    found, _ = turns(tmp_path / "log.db", [(chat(ASKED), f"caller {i}") for i in range(400)], rate=0.5)
    counts = Counter(one.route for one in found)
    for route in ROUTES:
        p = 0.625 if route == "budget" else 0.125
        assert abs(counts[route] - 400 * p) < 4 * (400 * p * (1 - p)) ** 0.5


def test_a_loop_that_began_elsewhere_is_not_drawn_and_certain(tmp_path: Path) -> None:
    requests = [(chat(ASKED, CALL, RESULT), f"caller {number}") for number in range(20)]
    found, _ = turns(tmp_path / "log.db", requests, rate=1.0)
    assert {(one.route, one.propensity) for one in found} == {("budget", 1.0)}


def test_a_loop_outlives_a_bundle_that_fails_amid_it(tmp_path: Path) -> None:
    fails = iter([False, True, True])
    fake = FakeBundle(fails=lambda _: next(fails))
    requests = [
        (chat(ASKED), "ann"),
        (chat(ASKED, CALL, RESULT), "ann"),
        (chat(Message(role="user", text="trip")), "ann"),
    ]
    found, _ = turns(tmp_path / "log.db", requests, rate=0.0, held=fake)
    assert [(one.route, one.rule) for one in found] == [
        ("budget", "desk"), ("budget", "desk"), ("expert", "classifier-failed"),
    ]  # fmt: skip


def test_a_conversation_stays_until_another_route_is_worth_the_change(router: Router, tmp_path: Path) -> None:
    """At a price that nothing is worth, the second message of everybody stays where their first one went."""
    spec = replace(router.table.policy, switch_usd=1.0)
    policy = LabelPolicy(replace(router.table, policy=spec), router.classes, threshold=router.policy.threshold)
    dear = LabelBundle(router=replace(router, policy=policy), bundle_id="b", stamp="b", policy_hash="p")
    first, second = Message(role="user", text="hello"), Message(role="user", text="plan my trip to Rome for a week")
    reply = Message(role="assistant", text="Hello!")
    asked = [
        (chat(first, tools=()), "ann"),
        (chat(first, reply, second, tools=()), "ann"),
        (chat(first, reply, second, tools=()), "bob"),
    ]
    (begun, stayed, fresh), _ = turns(tmp_path / "log.db", asked, rate=0.0, held=dear)
    assert fresh.route != begun.route
    assert (stayed.route, stayed.rule) == (begun.route, "stays")
    assert stayed.candidates == begun.candidates


def test_earlier_messages_of_the_user_are_the_context_of_the_last(tmp_path: Path) -> None:
    fake = FakeBundle(looks_back=2)
    said = [
        Message(role="user", text="one"),
        Message(role="assistant", text="1"),
        Message(role="user", text="two"),
        ASKED,
    ]
    turns(tmp_path / "log.db", [(chat(*said), "ann")], rate=0.0, held=fake)
    assert (fake.read, fake.contexts) == (["budget"], [("one", "two")])
