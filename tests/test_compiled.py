"""A compiled form decides as the fitted router does, and fast where that loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.calibration import Isotonic
from router.compiled import CompiledRouter, load
from router.compiled.export import export
from router.compiled.making import Parts
from router.dataset import Dataset
from router.earlier import LOOK_BACK
from router.errors import PolicyError
from router.heads import Head
from router.pipeline import Router
from tests.tiny_graph import furthest, ways

pytest_plugins = ("tests.compiled_forms",)


@pytest.fixture(scope="module")
def exact(form: Path) -> CompiledRouter:
    """The form in single precision, without the static tier."""
    return load(form, precision="fp32", static=False)


@pytest.fixture(scope="module")
def test_part(parts: Parts) -> Dataset:
    return parts.test


def stepped(head: Head) -> Head:
    """The same head with a curve of three knots a class: neither flat nor straight."""
    k = len(head.classes)
    x = np.tile([0.1, 0.45, 0.9], k)
    y = np.tile([0.0, 0.3, 0.95], k) + np.repeat(np.arange(k), 3) * 0.01
    return replace(head, calibration=Isotonic(x, y, np.arange(3, 3 * k + 1, 3)))


def test_the_graph_decides_every_query_as_the_fitted_router_does(
    graph_router: Router, exact: CompiledRouter, test_part: Dataset
) -> None:
    ours = exact.decide_many(test_part.texts, test_part.contexts)
    theirs = graph_router.decide_many(test_part.texts, test_part.contexts)
    assert ways(ours) == ways(theirs)
    assert furthest(ours, theirs) <= 1e-5


def test_what_was_said_before_counts_as_it_does_for_the_fitted_router(
    graph_router: Router, exact: CompiledRouter
) -> None:
    said = ("plan a trip to Yuma", "what does diesel cost there", "and the camp", "thanks")
    theirs, alone = graph_router.decide("and next week?", said), exact.decide("and next week?")
    ours = exact.decide("and next week?", said)
    assert furthest([ours], [theirs]) <= 1e-5
    assert furthest([ours], [alone]) > 1e-3
    assert exact.decide("and next week?", said[-LOOK_BACK:]) is ours


def test_a_router_that_learned_without_context_does_not_look_back(
    router: Router, exact: CompiledRouter, graph_router: Router, parts: Parts, tmp_path: Path
) -> None:
    assert exact.looks_back == LOOK_BACK
    heads = {name: replace(head, weights=without_earlier(head)) for name, head in graph_router.heads.items()}
    also = tuple(
        replace(entry, head=replace(entry.head, weights=without_earlier(entry.head))) for entry in graph_router.also
    )
    space = replace(graph_router.space, earlier_dim=0)
    plain = replace(graph_router, heads=heads, also=also, space=space)
    export(plain, tmp_path / "f", source_id="x", parts=parts, precisions=("fp32",), static=False)
    compiled = load(tmp_path / "f")
    assert compiled.looks_back == 0
    assert compiled.decide("and next week?", ("plan a trip",)) == compiled.decide("and next week?")


def without_earlier(head: Head) -> dict[str, Any]:
    return {name: weights for name, weights in head.weights.items() if name != "earlier"}


def test_isotonic_curves_are_followed_in_the_graph_the_domains_among_them(
    graph_router: Router, parts: Parts, test_part: Dataset, tmp_path: Path
) -> None:
    curved = replace(graph_router, heads={name: stepped(head) for name, head in graph_router.heads.items()})
    export(curved, tmp_path / "curved", source_id="x", parts=parts, precisions=("fp32",), static=False)
    ours = load(tmp_path / "curved").decide_many(test_part.texts, test_part.contexts)
    theirs = curved.decide_many(test_part.texts, test_part.contexts)
    assert ways(ours) == ways(theirs)
    assert furthest(ours, theirs) <= 1e-5


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_decision_depends_on_its_own_text_and_context_alone(form: Path, test_part: Dataset, precision: Any) -> None:
    order = np.random.default_rng(0).permutation(len(test_part)).tolist()
    texts, contexts = test_part.texts, test_part.contexts
    shuffled = [texts[i] for i in order], [contexts[i] for i in order]
    together = load(form, precision=precision, remember=0).decide_many(*shuffled)
    alone = load(form, precision=precision, remember=0)
    assert together == [alone.decide(texts[i], contexts[i]) for i in order]


def test_the_static_tier_answers_where_it_is_sure_and_the_graph_everywhere_else(form: Path, test_part: Dataset) -> None:
    both, graph = load(form, precision="fp32"), load(form, precision="fp32", static=False)
    texts, contexts = test_part.texts, test_part.contexts
    first = both.decisions(both.read(texts, contexts, tier=0))
    sure = [decision.confidence >= both.tiers[0].answers_above for decision in first]
    careful = [decision.rule in ("novel", "danger", "unsure") for decision in first]
    expected = [
        one if kept and not care else other
        for one, other, kept, care in zip(first, graph.decide_many(texts, contexts), sure, careful, strict=True)
    ]
    assert both.decide_many(texts, contexts) == expected
    assert 0 < sum(sure) < len(texts)


def test_a_reading_is_what_decisions_are_made_of(exact: CompiledRouter, test_part: Dataset) -> None:
    reading = exact.read(test_part.texts)
    decisions = exact.decide_many(test_part.texts)
    assert exact.decisions(reading) == decisions
    for head, p in reading.probabilities.items():
        assert [list(decision.probabilities[head].values()) for decision in decisions] == p.tolist()
    assert reading.novelty.tolist() == [decision.novelty for decision in decisions]


def test_a_decision_is_remembered_by_its_text_and_the_oldest_is_forgotten(form: Path) -> None:
    router = load(form, remember=2)
    first = router.decide("where is my refund?")
    assert router.decide("where is my refund?") is first
    router.decide("plan a trip")
    router.decide("hello")
    again = router.decide("where is my refund?")
    assert again is not first
    assert again == first


def test_a_text_that_is_no_query_is_refused(exact: CompiledRouter) -> None:
    with pytest.raises(PolicyError, match="query 2 of 2 is empty"):
        exact.decide_many(["hello", "  "])


def test_no_texts_give_no_decisions(exact: CompiledRouter) -> None:
    assert exact.decide_many([]) == []
    assert exact.decisions(exact.read([])) == []
