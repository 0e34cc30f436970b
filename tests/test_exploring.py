"""Exploration: draws have the probabilities that are logged, a call for help is never drawn away, and it is said what was drawn."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateway.exploring import Exploration
from router.errors import PolicyError
from tests.decided import ROUTES, FakeBundle, choices, decider, run

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


def test_where_nothing_may_be_drawn_the_policys_own_route_is_certain() -> None:
    made = decider(FakeBundle(), exploration=Exploration(rate=1.0))

    async def work() -> set[tuple[str, float]]:
        found = [await made.choose("budget", explore=False) for _ in range(20)]
        return {(choice.route, choice.propensity) for choice in found}

    assert run(made, work()) == {("budget", 1.0)}


def test_the_same_seed_draws_the_same_routes() -> None:
    texts, explore = ["budget", "trip"] * 50, Exploration(rate=0.5)
    first, again = (choices(FakeBundle(), texts, exploration=explore) for _ in range(2))
    assert [choice.route for choice in first] == [choice.route for choice in again]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(PolicyError, match="exploration rate"):
        Exploration(rate=rate)
