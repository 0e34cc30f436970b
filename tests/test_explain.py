"""Explanations: the parts add up to the whole, and what is said to flip a decision flips it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.dataset import Dataset
from router.explain import SHOWN, Contribution, all_contributions, explain, smallest_flip
from router.pipeline import Router
from router.policy import LabelPolicy
from router.types import Decision

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(str.strip)
EXACT = 1e-9  # of log-odds: what is left when the same float64 numbers are added in another order
QUERIES = (
    "where is my refund?",
    "plan two weeks from Moab to Yuma under $900, stops every 200 miles",
    "who won the world cup in 1998",
    "furnace clicks but won't light and it's 20 degrees, two kids in here",
    "hi",
)


def every_contribution(router: Router, text: str, head: str) -> tuple[list[Contribution], int, int]:
    """All contributions to one head's decision on a text, with the numbers of its first and second label."""
    reading = router.read([text])
    first, second = np.argsort(-reading.probabilities[head][0], kind="stable")[:2].tolist()
    return all_contributions(router, head, reading.features, first, second), first, second


@settings(deadline=None, max_examples=40)
@example(text=QUERIES[1], which=1)
@given(text=TEXTS, which=st.integers(0, 3))
def test_contributions_and_intercept_add_up_to_the_difference_of_the_logits(
    router: Router, text: str, which: int
) -> None:
    name = list(router.heads)[which]
    parts, first, second = every_contribution(router, text, name)
    head = router.heads[name]
    intercept = float(head.intercept[first]) - float(head.intercept[second])
    logits = head.logits(router.read([text]).features)[0]
    whole = intercept + sum(part.log_odds for part in parts)
    assert whole == pytest.approx(float(logits[first] - logits[second]), abs=EXACT)


@pytest.mark.parametrize("text", QUERIES)
def test_what_is_shown_of_a_decision_is_what_decided_it(router: Router, text: str) -> None:
    shown = explain(router, text).contributions
    for head in router.heads:
        whole = {part.name: part.log_odds for part in every_contribution(router, text, head)[0]}
        for part in shown[head]:
            assert part.log_odds == pytest.approx(whole[part.name], abs=EXACT), (head, part.name)


@pytest.mark.parametrize("text", QUERIES)
def test_the_strongest_contributions_are_shown_strongest_first(router: Router, text: str) -> None:
    for head, shown in explain(router, text).contributions.items():
        strengths = sorted((abs(part.log_odds) for part in every_contribution(router, text, head)[0]), reverse=True)
        assert [abs(part.log_odds) for part in shown] == pytest.approx(strengths[: len(shown)], abs=1e-4)
        assert len(shown) <= SHOWN


def test_an_explanation_carries_the_decision_it_explains(router: Router) -> None:
    assert explain(router, QUERIES[1]).decision == router.decide(QUERIES[1])


def test_the_runner_up_is_the_second_most_probable_label(router: Router) -> None:
    explanation = explain(router, QUERIES[1])
    for head, p in explanation.decision.probabilities.items():
        assert explanation.runner_up[head] == sorted(p, key=lambda label: -p[label])[1]


def test_a_training_query_is_its_own_nearest_neighbour(router: Router, small: Dataset) -> None:
    query = small.split("train").queries[17]
    similarity, neighbour = explain(router, query.text).neighbours[0]
    assert (similarity, neighbour.text) == (1.0, query.text)


def test_as_many_neighbours_are_named_as_were_asked_for_nearest_first(router: Router) -> None:
    similarities = [similarity for similarity, _ in explain(router, QUERIES[0], k=4).neighbours]
    assert len(similarities) == 4
    assert similarities == sorted(similarities, reverse=True)


def test_the_embedding_is_one_contribution_and_words_stand_by_their_own_names(router: Router) -> None:
    names = [part.name for part in every_contribution(router, "diesel diesel receipt", "domain")[0]]
    assert names.count("meaning (embedding)") == 1
    assert {"word “diesel”", "letters “iese”"} <= set(names)


def flipped(router: Router, text: str) -> bool:
    """Whether any threshold at all sends this text to another route than the router's own."""
    reading = router.read([text])
    p = router.policy.cheap_probability(reading.probabilities)[0]
    routes = set()
    for threshold in (router.policy.threshold, 0.0, p, np.nextafter(p, 1.0), 1.0):
        policy = LabelPolicy(router.table, router.classes, threshold=float(threshold))
        routes.add(int(policy.choose(reading.probabilities, novelty=reading.novelty).route[0]))
    return len(routes) > 1


@pytest.fixture(scope="module")
def chosen(router: Router, small: Dataset) -> dict[str, str]:
    """For every rule that fires on the small data, the first text where it does; `novel` by a limit set so low."""
    texts: dict[str, str] = {}
    queries = small.split("test").texts
    for text, decision in zip(queries, router.decide_many(queries), strict=True):
        texts.setdefault(decision.rule, text)
    return texts


@pytest.mark.parametrize("rule", ["cheap", "desk", "unsure", "no-desk"])
def test_a_flip_is_promised_exactly_where_some_threshold_changes_the_route(
    router: Router, chosen: dict[str, str], rule: str
) -> None:
    text = chosen[rule]
    assert ("would flip it" in explain(router, text).flip) == flipped(router, text)


def decision(rule: str, *, cheap: float, domain: str) -> Decision:
    labels = ("dashboard", "budget", "trip", "community", "shop", "general", "out_of_scope")
    return Decision(
        route="chat",
        rule=rule,
        confidence=0.9,
        probabilities={
            "complexity": {"simple": cheap, "complex": 1 - cheap},
            "domain": {label: float(label == domain) for label in labels},
            "intent": {"chat": 1.0},
            "urgency": {"low": 1.0, "normal": 0.0, "high": 0.0},
        },
        also=(),
        novelty=0.0,
    )


def test_a_flip_names_the_threshold_and_the_price_at_which_it_happens(router: Router) -> None:
    said = smallest_flip(router, decision("cheap", cheap=0.8, domain="trip"))
    assert said.startswith("a threshold above 0.800")
    assert "a wrong `simple` costing 4 times its opposite" in said


def test_a_cheap_query_that_is_out_of_scope_stays_cheap_at_any_threshold_and_no_flip_is_promised(
    router: Router,
) -> None:
    assert "would flip it" not in smallest_flip(router, decision("cheap", cheap=0.8, domain="out_of_scope"))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_certain_probability_is_flipped_by_no_threshold(router: Router, p: float) -> None:
    said = smallest_flip(router, decision("cheap" if p else "desk", cheap=p, domain="trip"))
    assert said.startswith("no threshold within (0, 1) flips it")


def test_a_novel_query_is_flipped_by_no_threshold(router: Router) -> None:
    strict = replace(router.table, policy=replace(router.table.policy, max_novelty=0.0))
    wary = replace(router, policy=LabelPolicy(strict, router.classes, threshold=router.policy.threshold))
    explanation = explain(wary, "qwfp zxcv jluy")
    assert explanation.decision.rule == "novel"
    assert "not by the threshold" in explanation.flip
