"""Every message is decided: by the bundle where it can, by the safe route where it cannot, with the propensity on record."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway import deciding
from agents.gateway.deciding import (
    CLASSIFIER_FAILED,
    Decider,
    Exploration,
    Held,
    ModelBundle,
    RouteChoice,
    RouterAlias,
    Verdict,
    load_held,
    parse_alias,
    strongest,
)
from router.bundle import bundle_id, save
from router.bundlefiles import MANIFEST
from router.errors import BundleError, PolicyError
from router.outcome_bundle import save as save_outcomes
from router.outcome_policy import ExpectedUtility
from router.pipeline import HeadSet, Router
from tests.outcome_tables import fitted

T = TypeVar("T")
ROUTES = ("chat", "budget", "trip", "expert")
TEXTS = ["where is my refund?", "hi", "plan a week from Yuma to Moab with dump stations", "hi"]


@dataclass
class FakeBundle:
    """Sends a text to the route that it names; counts its reads; trips where it is told to."""

    name: str = "fake"
    fails: Callable[[str], bool] = lambda text: text == "trip over this"
    gate: threading.Event | None = None
    read: list[str] = field(default_factory=list)
    policy_hash: str = "p"
    routes: tuple[str, ...] = ROUTES
    safe: str = "expert"
    rule: str = "desk"

    @property
    def bundle_id(self) -> str:
        return self.name

    def verdicts(self, texts: Sequence[str]) -> list[Verdict]:
        if self.gate is not None:
            self.gate.wait()
        if any(self.fails(text) for text in texts):
            raise ZeroDivisionError
        self.read += texts
        return [
            Verdict(
                route=text if text in self.routes else "chat",
                rule=self.rule,
                confidence=0.75,
                probabilities={"domain": {"budget": 0.75, "trip": 0.25}},
                also=("trip",),
                novelty=0.5,
            )
            for text in texts
        ]

    def at(self, threshold: float) -> FakeBundle:
        return replace(self, policy_hash=f"p at {threshold}", rule=f"at {threshold}")


def decider(held: Held | None, **settings: Any) -> Decider:  # Any: the Decider's own arguments
    numbers = iter(range(10_000))
    made = {"safe": "expert", "rng": np.random.default_rng(0), "timeout_s": 30.0, "new_id": lambda: f"d{next(numbers)}"}
    return Decider(held, **{**made, **settings})


def run(made: Decider, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine is sent
    try:
        return asyncio.run(work)
    finally:
        made.close()


def choices(held: Held | None, texts: Sequence[str], **settings: Any) -> list[RouteChoice]:  # Any: as above
    made = decider(held, **settings)
    return run(made, made.choose_many(texts))


@pytest.fixture(scope="module")
def held(bundle: Path) -> Held:
    return load_held(bundle)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model-bundles") / "words"
    save_outcomes(fitted(), target)
    return target


@pytest.fixture
def stuck() -> Iterator[FakeBundle]:
    """A bundle that answers only once the test is over."""
    gate = threading.Event()
    yield FakeBundle(gate=gate)
    gate.set()


# What a bundle says


def test_a_label_bundle_decides_as_its_router_does(held: Held, router: Router, bundle: Path) -> None:
    for choice, said in zip(choices(held, TEXTS), router.decide_many(TEXTS), strict=True):
        assert (choice.route, choice.rule, choice.confidence) == (said.route, said.rule, said.confidence)
        assert (choice.also, choice.novelty, choice.probabilities) == (said.also, said.novelty, said.probabilities)
        assert (choice.candidates, choice.propensity) == (tuple(router.table.names), 1.0)
        assert (choice.bundle_id, choice.policy_hash) == (bundle_id(bundle), router.table.digest())


def test_a_bundle_over_models_has_its_models_as_routes(models: Path) -> None:
    texts = ["prove the theorem about prime gaps", "add the numbers two invoices"]
    for choice, said in zip(choices(load_held(models), texts), fitted().decide_many(texts), strict=True):
        assert (choice.route, choice.rule, choice.confidence) == (said.model, said.rule, said.confidence)
        assert choice.probabilities == {"success": said.probabilities}
        assert choice.candidates == ("small", "middle", "large")


def test_the_safe_model_is_the_one_with_the_best_mean_score_on_the_calibration_queries() -> None:
    router = fitted()
    best = max(router.models, key=lambda model: router.calibration.score[:, router.models.index(model)].mean())
    assert strongest(router) == best == "large"


def test_a_model_without_any_score_is_never_the_safe_one() -> None:
    router = fitted()
    score = router.calibration.score.copy()
    score[:, 2] = np.nan
    changed = replace(router, calibration=replace(router.calibration, score=score))
    assert strongest(changed) == "middle"


def test_every_message_has_an_id_of_its_own() -> None:
    assert [choice.decision_id for choice in choices(FakeBundle(), TEXTS)] == ["d0", "d1", "d2", "d3"]


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
    (choice,) = choices(stuck, ["budget"], timeout_s=0.01)
    assert (choice.route, choice.rule) == ("expert", CLASSIFIER_FAILED)


def test_a_message_behind_two_stuck_workers_is_decided_all_the_same(stuck: FakeBundle) -> None:
    made = decider(stuck, timeout_s=0.01)

    async def many() -> list[RouteChoice]:
        return await asyncio.gather(*(made.choose(f"budget {i}") for i in range(10)))

    assert {choice.rule for choice in run(made, many())} == {CLASSIFIER_FAILED}


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
    made = decider(fake, cache_size=2)

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


def test_a_view_of_a_bundle_over_models_moves_its_threshold(models: Path) -> None:
    made = decider(load_held(models))
    view = made.at(RouterAlias(bundle="current", threshold=2.0))
    assert run(made, view.choose("prove the theorem about prime gaps")).route == "small"


@pytest.mark.parametrize(
    "alias", [RouterAlias(bundle="another", threshold=0.5), RouterAlias(bundle="current", threshold=2.0)]
)
def test_a_view_that_cannot_be_had_is_refused(held: Held, alias: RouterAlias) -> None:
    made = decider(held)
    made.close()
    with pytest.raises(PolicyError):
        made.at(alias)


def test_a_policy_without_a_threshold_takes_none() -> None:
    router = fitted().with_policy(ExpectedUtility(models=fitted().models, quality_per_usd=1.0), why="a test")
    with pytest.raises(PolicyError, match="has no threshold"):
        ModelBundle(router=router, bundle_id="b", policy_hash="p", safe="large").at(0.5)


# Exploration

Names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True)


@given(
    names=Names,
    rate=st.floats(0, 1),
    allowed=st.none() | Names,
    pick=st.integers(0, 5),
    rule=st.sampled_from(["desk", "danger"]),
)
def test_propensities_sum_to_one_over_the_candidates(
    names: list[str], rate: float, allowed: list[str] | None, pick: int, rule: str
) -> None:
    explore = Exploration(rate=rate, routes=None if allowed is None else tuple(allowed))
    odds = explore.propensities(names, route=names[pick % len(names)], rule=rule)
    assert list(odds) == names
    assert sum(odds.values()) == pytest.approx(1.0)
    assert all(0.0 <= p <= 1.0 for p in odds.values())


def test_the_propensities_are_those_of_a_uniform_draw_at_the_rate() -> None:
    odds = Exploration(rate=0.2).propensities(ROUTES, route="chat", rule="desk")
    assert odds == pytest.approx({"chat": 0.85, "budget": 0.05, "trip": 0.05, "expert": 0.05})


def test_only_routes_that_are_allowed_are_drawn_and_only_from_them() -> None:
    explore = Exploration(rate=0.2, routes=("budget", "trip", "not in this bundle"))
    assert explore.propensities(ROUTES, route="chat", rule="desk") == {"chat": 1.0, "budget": 0, "trip": 0, "expert": 0}
    odds = explore.propensities(ROUTES, route="trip", rule="desk")
    assert odds == pytest.approx({"chat": 0, "budget": 0.1, "trip": 0.9, "expert": 0})


def test_an_urgent_call_for_help_is_never_drawn_away() -> None:
    found = choices(FakeBundle(rule="danger"), ["expert"] * 50, exploration=Exploration(rate=1.0))
    assert {(choice.route, choice.propensity, choice.explored) for choice in found} == {("expert", 1.0, False)}


def test_draws_have_the_frequencies_that_were_logged() -> None:
    n, rate = 4_000, 0.4
    found = choices(FakeBundle(), ["budget"] * n, exploration=Exploration(rate=rate))
    counts = Counter(choice.route for choice in found)
    for choice in {choice.route: choice for choice in found}.values():
        p = 1 - rate + rate / 4 if choice.route == "budget" else rate / 4
        assert choice.propensity == pytest.approx(p)
        assert abs(counts[choice.route] - n * p) < 4 * (n * p * (1 - p)) ** 0.5


def test_a_drawn_route_says_that_it_was_drawn() -> None:
    found = choices(FakeBundle(), ["budget"] * 200, exploration=Exploration(rate=0.5))
    for choice in found:
        own = choice.route == "budget"
        assert choice.explored is not own
        assert (choice.rule, choice.confidence, choice.also) == (
            ("desk", 0.75, ("trip",)) if own else ("explored", None, ())
        )


def test_a_drawn_model_is_as_sure_as_that_model_is(models: Path) -> None:
    found = choices(load_held(models), ["write a rhyme about rain"] * 30, exploration=Exploration(rate=1.0))
    assert any(choice.explored for choice in found)
    assert all(choice.confidence == choice.probabilities["success"][choice.route] for choice in found)


def test_the_same_seed_draws_the_same_routes() -> None:
    texts, explore = ["budget", "trip"] * 50, Exploration(rate=0.5)
    first, again = (choices(FakeBundle(), texts, exploration=explore) for _ in range(2))
    assert [choice.route for choice in first] == [choice.route for choice in again]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(PolicyError, match="exploration rate"):
        Exploration(rate=rate)


# Swapping


@pytest.fixture
def other(router: Router, tmp_path: Path) -> Path:
    """The same router with another name for its training run: another id."""
    target = tmp_path / "other"
    save(replace(router, fitted={**router.fitted, "note": "other"}), target)
    return target


def test_a_swap_changes_the_bundle_that_decides(held: Held, other: Path) -> None:
    made = decider(held)

    async def work() -> tuple[str, RouteChoice, RouteChoice]:
        before = await made.choose("hi")
        return await made.swap(other), before, await made.choose("hi")

    swapped, before, after = run(made, work())
    assert (before.bundle_id, after.bundle_id) == (held.bundle_id, bundle_id(other))
    assert swapped == bundle_id(other) != held.bundle_id
    assert not after.cached


def test_a_swap_ends_the_time_without_a_bundle(bundle: Path) -> None:
    made = decider(None)

    async def work() -> str:
        await made.swap(bundle)
        return (await made.choose("hi")).rule

    assert run(made, work()) != CLASSIFIER_FAILED


def test_a_decision_under_way_ends_on_the_bundle_that_it_began_with(bundle: Path) -> None:
    gate = threading.Event()
    made = decider(FakeBundle(gate=gate))

    async def work() -> RouteChoice:
        begun = asyncio.create_task(made.choose("budget"))
        await asyncio.sleep(0)
        await made.swap(bundle)
        gate.set()
        return await begun

    choice = run(made, work())
    assert (choice.bundle_id, choice.route) == ("fake", "budget")


def tampered(bundle: Path, tmp_path: Path) -> Path:
    target = Path(shutil.copytree(bundle, tmp_path / "tampered"))
    (target / "weights.safetensors").write_bytes(b"")
    return target


def test_a_bad_bundle_is_refused_and_the_old_one_stays(held: Held, bundle: Path, tmp_path: Path) -> None:
    made = decider(held)

    async def work() -> RouteChoice:
        for bad in (tampered(bundle, tmp_path), tmp_path / "nothing", tmp_path):
            with pytest.raises(BundleError):
                await made.swap(bad)
        return await made.choose("hi")

    assert run(made, work()).bundle_id == held.bundle_id


def test_a_bundle_of_heads_alone_is_refused(monkeypatch: pytest.MonkeyPatch, router: Router, tmp_path: Path) -> None:
    heads = HeadSet(
        card=router.card,
        encoder=router.encoder,
        space=router.space,
        heads=router.heads,
        lead="domain",
        fitted=router.fitted,
    )
    monkeypatch.setattr(deciding, "load_any", lambda _: heads)
    with pytest.raises(BundleError, match="no route table"):
        load_held(tmp_path)


def test_a_bundle_over_which_a_library_stumbles_is_refused_as_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stumble(_: Path) -> None:
        raise ZeroDivisionError("in a library")

    monkeypatch.setattr(deciding, "load_any", stumble)
    with pytest.raises(BundleError, match="ZeroDivisionError"):
        load_held(tmp_path)


def test_a_bundle_that_loads_but_decides_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    def trip(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Router, "decide_many", trip)
    with pytest.raises(BundleError, match="decides nothing"):
        load_held(bundle)


def test_a_bundle_that_the_server_cannot_serve_is_refused(held: Held, other: Path) -> None:
    def check(found: Held) -> None:
        raise PolicyError(f"nobody answers on {found.routes[0]}")

    made = decider(held, check=check)
    with pytest.raises(PolicyError, match="nobody answers"):
        run(made, made.swap(other))
    assert made.held is held


class SeenEnough(Exception):  # noqa: N818 - nothing went wrong
    """The test has seen enough."""


def watched(made: Decider, link: Path, steps: Sequence[Callable[[], object]]) -> list[str | None]:
    """Watch while things happen between two looks; the bundle that decides after each look."""
    seen: list[str | None] = []
    left = list(steps)

    async def sleep(_: float) -> None:
        seen.append(made.held.bundle_id if made.held else None)
        if not left:
            raise SeenEnough
        left.pop(0)()

    with pytest.raises(SeenEnough):
        run(made, made.watch(link, sleep=sleep))
    return seen


def test_the_link_is_followed_wherever_it_leads(held: Held, bundle: Path, other: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"

    def point(target: Path) -> Callable[[], object]:
        def repoint() -> None:
            link.unlink(missing_ok=True)
            link.symlink_to(target)

        return repoint

    bad = tampered(bundle, tmp_path)
    (bad / MANIFEST).write_text((bad / MANIFEST).read_text() + "\n")
    one, two = held.bundle_id, bundle_id(other)
    steps = [point(bundle), point(other), point(bad), lambda: None, link.unlink, point(bundle)]
    assert watched(decider(None), link, steps) == [None, one, two, two, two, two, one]


def test_a_refused_bundle_is_told_once(bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = tampered(bundle, tmp_path)
    assert watched(decider(None), bad, [lambda: None] * 3) == [None] * 4
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


# What it loads

SERVE = """
import asyncio, json, sys
from pathlib import Path
import numpy as np
from agents.gateway.deciding import Decider, load_held
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
