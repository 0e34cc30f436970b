"""The parts of a compiled form: the tail, one query at a time, near rows, the figures and the choice of a confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.compiled.choosing import OneByOne
from router.compiled.layout import Tail, stack_of
from router.compiled.measure import bootstrap, same, wilson
from router.compiled.near import quantised, reference_slack, slack
from router.compiled.sparse import SparseLogits, sparse_weights
from router.compiled.static import WAYS, Way, choose_confidence
from router.compiled.tiers import pooled
from router.dataset import Dataset
from router.encoders.protocol import Matrix
from router.features import Features
from router.heads import Floats, Head
from router.novelty import Novelty
from router.pipeline import Router
from router.policy import RULES, LabelPolicy
from router.types import Decision


def test_what_the_blocks_outside_the_graph_add_is_what_the_heads_say_they_add(router: Router, small: Dataset) -> None:
    texts = small.split("test").texts[:30]
    stack, space = stack_of(router), router.space
    quick = SparseLogits(
        [sparse_weights(space, stack)],
        surface_mean=space.surface_mean,
        surface_std=space.surface_std,
        ngrams=space.ngrams,
        lexicon=space.lexicon,
    )
    features = router.space.transform(texts, router.encoder.encode(texts))
    for head, span in zip(stack.heads, stack.layout.spans, strict=True):
        slow = outside(head, features)
        assert np.allclose([quick.logits(text)[span] for text in texts], slow, atol=1e-5)


def outside(head: Head, features: Features) -> Floats:
    """The intercept aside, the logits of all blocks that stay outside the graph."""
    wanted = {name: weights for name, weights in head.weights.items() if name not in ("embedding", "domain")}
    return replace(head, weights=wanted, intercept=np.zeros_like(head.intercept)).logits(features)


def test_the_tail_gives_the_probabilities_of_the_heads_one_by_one(router: Router, small: Dataset) -> None:
    texts = small.split("test").texts[:30]
    stack, reading = stack_of(router), router.read(texts)
    plain = [
        replace(head, weights={name: w for name, w in head.weights.items() if name != "domain"}).logits(
            reading.features
        )
        for head in stack.heads
    ]
    tail = Tail(stack.layout, stack.domain_weights, stack.calibrations)
    named, also = stack.layout.split(tail.probabilities(np.hstack(plain)))
    for name, p in named.items():
        assert np.allclose(p, reading.probabilities[name], atol=2e-6)
    assert np.allclose(also, reading.also, atol=2e-6)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_one_query_is_decided_as_many_are(router: Router, data: st.DataObject) -> None:
    layout = stack_of(router).layout
    grid = st.sampled_from([0.0, 0.05, 0.2, 0.2, 0.5, 0.9])  # coarse, so that labels tie
    p = np.array([data.draw(st.lists(grid, min_size=layout.width, max_size=layout.width))])
    novelty = data.draw(st.sampled_from([0.0, router.table.policy.max_novelty, 1.0]))
    policy = LabelPolicy(router.table, router.classes, threshold=data.draw(st.sampled_from([0.0, 0.2, 0.5, 0.95])))
    named, also = layout.split(p)
    many = policy.choose(named, novelty=np.array([novelty]))
    one = OneByOne(layout, policy, [0.2] * len(layout.also)).decision(p[0].tolist(), novelty)
    assert one.route == router.table.names[many.route[0]]
    assert one.rule == RULES[many.rule[0]]
    assert one.confidence == round(float(many.confidence[0]), 6)
    own = {route.name: route.desk for route in router.table.routes}[one.route]
    named_too = [desk for desk, yes in zip(layout.also, also[0], strict=True) if yes >= 0.2 and desk != own]
    assert one.also == (tuple(named_too) if one.rule == "desk" else ())


def unit_rows(m: int, d: int, seed: int) -> Matrix:
    rows = np.random.default_rng(seed).normal(size=(m, d))
    found: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


@settings(deadline=None, max_examples=50)
@given(m=st.integers(1, 60), d=st.integers(1, 40), seed=st.integers(0, 1_000), shift=st.floats(0, 3))
def test_eight_bit_cosines_find_the_very_neighbours_of_the_exact_search(
    m: int, d: int, seed: int, shift: float
) -> None:
    reference = unit_rows(m, d, seed)
    row = reference[0] + np.float32(shift) * unit_rows(1, d, seed + 1)[0]
    row = (row / np.linalg.norm(row)).astype(np.float32) if row.any() else reference[0]
    whole, scale = quantised(reference)
    step = np.float32((max(row.max(), 0) - min(row.min(), 0)) / 255)
    about = (np.rint(row / step) * step) @ (whole * scale[:, None]).T
    novelty = Novelty(reference=reference, calibration=np.zeros(0))
    off = slack(row, reference_slack(reference))
    assert np.abs(about - reference @ row).max() <= off
    assert novelty.distance_among(row, about.astype(np.float32), slack=off) == novelty.distance(row[None])[0]


def test_token_vectors_are_averaged_to_unit_length_and_nothing_gives_the_first_direction() -> None:
    vectors = np.array([[3, 0], [0, 4], [-3, 0]], dtype=np.float16)
    assert pooled(vectors, [0, 1]).tolist() == pytest.approx([0.6, 0.8])
    assert pooled(vectors, [0, 2]).tolist() == [1.0, 0.0]
    assert pooled(vectors, []).tolist() == [1.0, 0.0]


def test_wilson_and_bootstrap_hold_the_numbers_worked_out_by_hand() -> None:
    assert wilson(8, 10) == {"n": 10, "share": 0.8, "low": 0.490162, "high": 0.943318}
    sure = bootstrap(np.ones(4), np.array([0, 0, 1, 2]))
    assert (sure["mean"], sure["low"], sure["high"]) == (1.0, 1.0, 1.0)
    assert bootstrap(np.array([0.0, 1.0]), np.array([7, 7]))["low"] is None


def decided(route: str, confidence: float, rule: str = "desk") -> Decision:
    return Decision(route=route, rule=rule, confidence=confidence, probabilities={}, also=(), novelty=0.0)


def test_the_static_tier_answers_from_the_confidence_above_which_it_errs_no_more() -> None:
    n = 200
    confidence = np.linspace(0.5, 0.999, n)
    wrong = confidence < 0.8  # below 0.8 the static tier is wrong and the graph right
    static = [decided("b" if bad else "a", c) for bad, c in zip(wrong, confidence.tolist(), strict=True)]
    right: dict[Way, Floats] = {"static": (~wrong).astype(float), "graph": np.ones(n), "fitted": np.ones(n)}
    chosen = choose_confidence(static, right, np.arange(n))
    assert chosen is not None
    assert 0.79 <= chosen["answers_above"] <= 0.81
    assert chosen["route_loss"]["high"] <= 0.01


def test_a_static_tier_that_always_errs_may_never_answer() -> None:
    right: dict[Way, Floats] = {"static": np.zeros(50), "graph": np.ones(50), "fitted": np.ones(50)}
    assert choose_confidence([decided("b", 0.999)] * 50, right, np.arange(50)) is None


def test_a_loss_that_is_allowed_lets_the_static_tier_answer_more() -> None:
    n = 400
    static = [decided("a", c) for c in np.linspace(0.5, 0.999, n).tolist()]
    now_and_then = (np.arange(n) % 50 != 0).astype(float)  # wrong once in 50, at every confidence
    right: dict[Way, Floats] = {"static": now_and_then, "graph": np.ones(n), "fitted": np.ones(n)}
    shares = [
        chosen["share"] if chosen else 0.0
        for chosen in (choose_confidence(static, right, np.arange(n), most_lost=lost) for lost in (0.0, 0.02, 0.1))
    ]
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0


def test_what_the_graph_loses_counts_against_the_static_tier() -> None:
    right: dict[Way, Floats] = {"static": np.ones(50), "graph": np.zeros(50), "fitted": np.ones(50)}
    unsure = [decided("a", 0.999)] * 25 + [decided("a", 0.1)] * 25
    assert choose_confidence(unsure, right, np.arange(50)) is None


def test_decisions_that_ask_for_care_are_none_of_the_static_tiers_answers() -> None:
    chosen = choose_confidence(
        [decided("a", 0.999, rule="novel")] * 50, dict.fromkeys(WAYS, np.ones(50)), np.arange(50)
    )
    assert chosen is not None
    assert chosen["share"] == 0.0


def test_equal_decisions_are_equal_in_route_rule_and_further_desks() -> None:
    assert same(decided("a", 0.9), decided("a", 0.8))
    assert not same(decided("a", 0.9), decided("a", 0.9, rule="novel"))
