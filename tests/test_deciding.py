"""Every message is decided: by the bundle where it can, by the safe route where it cannot, and it is said which."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.choice import CLASSIFIER_BUSY, CLASSIFIER_FAILED, RouteChoice
from agents.gateway.deciding import RouterAlias, parse_alias
from agents.gateway.exploring import Exploration
from agents.gateway.held import Held
from agents.gateway.pool import PoolLimits
from router.errors import PolicyError
from router.pipeline import Router
from tests.decided import PATIENT, TEXTS, FakeBundle, choices, decider, run


@pytest.fixture
def stuck() -> Iterator[FakeBundle]:
    """A bundle that answers only once the test is over."""
    gate = threading.Event()
    yield FakeBundle(gate=gate)
    gate.set()


def test_a_label_bundle_decides_as_its_router_does(held: Held, router: Router) -> None:
    for choice, said in zip(choices(held, TEXTS), router.decide_many(TEXTS), strict=True):
        assert (choice.route, choice.rule, choice.confidence) == (said.route, said.rule, said.confidence)
        assert (choice.also, choice.novelty, choice.probabilities) == (said.also, said.novelty, said.probabilities)
        assert (choice.candidates, choice.propensity) == (tuple(router.table.names), 1.0)
        assert (choice.bundle_id, choice.policy_hash) == (held.bundle_id, router.table.digest())


def test_every_message_has_an_id_of_its_own() -> None:
    assert [choice.decision_id for choice in choices(FakeBundle(), TEXTS)] == ["d0", "d1", "d2", "d3"]


# Context


def test_a_message_is_decided_in_the_light_of_as_many_earlier_ones_as_the_bundle_reads() -> None:
    fake = FakeBundle(looks_back=2)
    made = decider(fake)
    run(made, made.choose("and the week after?", ["one", "two", "three"]))
    assert fake.contexts == [("two", "three")]


def test_a_text_that_was_read_in_another_context_is_read_again() -> None:
    fake = FakeBundle(looks_back=1)
    made = decider(fake)

    async def ask() -> list[bool]:
        contexts: list[list[str]] = [["a"], ["b"], ["far away", "a"], []]
        return [(await made.choose("why?", context)).cached for context in contexts]

    assert run(made, ask()) == [False, False, True, False]


def test_two_conversations_that_read_alike_when_run_together_are_two() -> None:
    fake = FakeBundle(looks_back=2)
    made = decider(fake)

    async def ask() -> list[bool]:
        return [(await made.choose("c", context)).cached for context in (["a", "b"], ["ab"], ["", "ab"])]

    assert run(made, ask()) == [False] * 3


# Whatever goes wrong


@pytest.mark.parametrize("text", ["", "   ", "x" * 40_000, "a\x00b", "half \ud800 a pair", "\u202e", "🚐" * 300])
def test_no_text_whatever_is_left_undecided(held: Held, text: str) -> None:
    (choice,) = choices(held, [text])
    assert choice.route in held.routes


def test_a_text_that_is_no_query_takes_the_safe_route_and_no_other_text_with_it(held: Held) -> None:
    empty, good = choices(held, ["", TEXTS[0]])
    assert (empty.route, empty.rule, empty.propensity) == (held.safe, CLASSIFIER_FAILED, 1.0)
    assert (empty.confidence, empty.novelty, empty.probabilities) == (None, None, {})
    assert good.rule != CLASSIFIER_FAILED


def test_a_bundle_that_trips_sends_that_text_to_the_safe_route() -> None:
    tripped, good = choices(FakeBundle(), ["trip over this", "budget"])
    assert [(tripped.route, tripped.rule), (good.route, good.rule)] == [
        ("expert", CLASSIFIER_FAILED),
        ("budget", "desk"),
    ]


def test_without_a_bundle_everything_takes_the_safe_route() -> None:
    (choice,) = choices(None, ["budget"], safe="the big one")
    assert (choice.route, choice.rule, choice.bundle_id) == ("the big one", CLASSIFIER_FAILED, None)
    assert choice.candidates == ("the big one",)


def test_a_bundle_that_takes_too_long_is_not_waited_for(stuck: FakeBundle) -> None:
    (choice,) = choices(stuck, ["budget"], limits=PoolLimits(work_s=0.01))
    assert (choice.route, choice.rule) == ("expert", CLASSIFIER_FAILED)


def test_a_crowd_before_a_sound_bundle_is_waited_for_so_long_and_told_from_a_failure(stuck: FakeBundle) -> None:
    """One thread is held up; who stands behind it is not the bundle's fault."""
    made = decider(stuck, limits=replace(PATIENT, threads=1, wait_s=0.05))

    async def both() -> list[RouteChoice]:
        first = asyncio.create_task(made.choose("budget"))
        await asyncio.sleep(0)
        second = await made.choose("trip")
        assert stuck.gate is not None
        stuck.gate.set()
        return [await first, second]

    first, second = run(made, both())
    assert [(one.route, one.rule) for one in (first, second)] == [("budget", "desk"), ("expert", CLASSIFIER_BUSY)]


def test_after_a_stuck_message_the_next_ones_are_decided_as_ever(stuck: FakeBundle) -> None:
    gate, stuck.gate = stuck.gate, None
    made = decider(stuck, limits=replace(PATIENT, threads=1, work_s=0.2))

    def hangs(text: str) -> bool:
        return text == "hang" and gate is not None and gate.wait(20.0)

    stuck.fails = hangs

    async def work() -> list[str]:
        return [(await made.choose(text)).rule for text in ("hang", "budget", "trip")]

    assert run(made, work()) == [CLASSIFIER_FAILED, "desk", "desk"]


def test_a_message_behind_nothing_but_stuck_ones_is_decided_all_the_same(stuck: FakeBundle) -> None:
    made = decider(stuck, limits=PoolLimits(work_s=0.01, stuck=2))

    async def many() -> list[RouteChoice]:
        return await asyncio.gather(*(made.choose(f"budget {i}") for i in range(10)))

    assert {choice.rule for choice in run(made, many())} == {CLASSIFIER_FAILED}


def test_a_long_list_does_not_keep_single_messages_waiting() -> None:
    """Two threads; a list of a hundred has two in line at most, so the single one is among the first few."""
    fake = FakeBundle()
    made = decider(fake)

    async def both() -> int:
        listed = asyncio.create_task(made.choose_many([f"text {i}" for i in range(100)]))
        await asyncio.sleep(0)
        await made.choose("budget")
        await listed
        return fake.read.index("budget")

    assert run(made, both()) < 20


def test_a_closed_decider_still_decides() -> None:
    made = decider(FakeBundle())
    made.close()
    assert run(made, made.choose("budget")).rule == CLASSIFIER_FAILED


def test_the_event_loop_turns_while_a_bundle_reads() -> None:
    gate = threading.Event()
    made = decider(FakeBundle(gate=gate))

    async def overtaken() -> list[str]:
        order: list[str] = []
        slow = asyncio.create_task(made.choose("budget"))
        slow.add_done_callback(lambda _: order.append("decided"))
        await asyncio.sleep(0)
        order.append("something else")
        gate.set()
        await slow
        await asyncio.sleep(0)
        return order

    assert run(made, overtaken()) == ["something else", "decided"]


# Cache


def test_a_text_that_was_read_is_not_read_again() -> None:
    fake = FakeBundle()
    made = decider(fake)

    async def twice() -> list[RouteChoice]:
        return [await made.choose("budget"), await made.choose("budget")]

    first, second = run(made, twice())
    assert (fake.read, first.cached, second.cached) == (["budget"], False, True)
    assert replace(second, decision_id=first.decision_id, cached=False) == first


def test_a_repeat_within_one_list_is_read_once() -> None:
    fake = FakeBundle()
    choices(fake, ["budget", "trip", "budget"])
    assert sorted(fake.read) == ["budget", "trip"]


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    fake = FakeBundle()
    made = decider(fake, kept=2)

    async def ask() -> None:
        for text in ("budget", "trip", "budget", "chat", "trip"):
            await made.choose(text)

    run(made, ask())
    assert fake.read == ["budget", "trip", "chat", "trip"]


def test_a_failure_is_not_remembered() -> None:
    fails = [True, False]
    made = decider(FakeBundle(fails=lambda _: fails.pop(0)))

    async def twice() -> list[str]:
        return [(await made.choose("budget")).rule, (await made.choose("budget")).rule]

    assert run(made, twice()) == [CLASSIFIER_FAILED, "desk"]


# What a client asks for


def test_a_route_that_was_asked_for_is_taken_and_nothing_is_read() -> None:
    fake = FakeBundle()
    made = decider(fake, exploration=Exploration(rate=1.0))
    choice = run(made, made.choose("budget", pinned="trip"))
    assert (choice.route, choice.rule, choice.propensity, choice.candidates) == ("trip", "asked-for", 1.0, ("trip",))
    assert fake.read == []


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        ("router-0123456789abcdef-0.7", RouterAlias(bundle="0123456789abcdef", threshold=0.7)),
        ("router-current-1", RouterAlias(bundle="current", threshold=1.0)),
        ("router-a-b-0.25", RouterAlias(bundle="a-b", threshold=0.25)),
        ("router-words--0.1", RouterAlias(bundle="words", threshold=-0.1)),
        *[(name, None) for name in ("auto", "router-", "router-current", "router-current-nan", "router-x-1e9", "")],
    ],
)
def test_an_alias_names_a_bundle_and_a_threshold(model: str, alias: RouterAlias | None) -> None:
    assert parse_alias(model) == alias


@given(bundle=st.from_regex(r"[0-9a-f]{16}", fullmatch=True), threshold=st.decimals(0, 1, places=4, allow_nan=False))
def test_every_id_and_threshold_can_be_asked_for(bundle: str, threshold: Any) -> None:  # Any: a Decimal
    assert parse_alias(f"router-{bundle}-{threshold}") == RouterAlias(bundle=bundle, threshold=float(threshold))


@pytest.mark.parametrize(("threshold", "rules"), [(0.0, {"cheap", "novel"}), (1.0, None)])
def test_a_view_decides_with_its_own_threshold(held: Held, threshold: float, rules: set[str] | None) -> None:
    made = decider(held)

    async def both() -> tuple[list[RouteChoice], list[RouteChoice]]:
        view = made.at(RouterAlias(bundle=held.bundle_id, threshold=threshold))
        return await view.choose_many(TEXTS), await made.choose_many(TEXTS)

    seen, own = run(made, both())
    assert {choice.rule for choice in seen} <= rules if rules else "cheap" not in {choice.rule for choice in seen}
    assert {choice.policy_hash for choice in seen}.isdisjoint({choice.policy_hash for choice in own})
    assert [choice.probabilities for choice in seen] == [choice.probabilities for choice in own]
    assert own == [replace(choice, decision_id=own[i].decision_id) for i, choice in enumerate(choices(held, TEXTS))]


@pytest.mark.parametrize(
    "alias", [RouterAlias(bundle="another", threshold=0.5), RouterAlias(bundle="current", threshold=2.0)]
)
def test_a_view_that_cannot_be_had_is_refused(held: Held, alias: RouterAlias) -> None:
    made = decider(held)
    made.close()
    with pytest.raises(PolicyError):
        made.at(alias)


# What it loads

SERVE = """
import asyncio, json, sys
from pathlib import Path
import numpy as np
from agents.gateway.deciding import Decider
from agents.gateway.loading import load_held
decider = Decider(load_held(Path({bundle!r})), safe="chat", rng=np.random.default_rng(0))
choice = asyncio.run(decider.choose("where is my refund?"))
decider.close()
print(json.dumps([choice.rule, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def test_serving_loads_nothing_heavy(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE.format(bundle=str(bundle))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    rule, modules = json.loads(done.stdout)
    assert rule != CLASSIFIER_FAILED
    assert not {"torch", "sklearn", "pandas", "mlflow", "scipy", "transformers"} & set(modules)
