"""The parts of a compiled form: quick words and cues, the tail, the figures and the choice of a confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.compiled.layout import Tail, stack_of
from router.compiled.measure import bootstrap, same, wilson
from router.compiled.sparse import SparseLogits, sparse_weights
from router.compiled.static import WAYS, Way, choose_confidence
from router.compiled.tiers import pooled
from router.compiled.words import Cues, WordColumns
from router.dataset import Dataset
from router.features import Features
from router.heads import Floats, Head
from router.lexicon import Lexicon
from router.ngrams import Ngrams, fit_ngrams
from router.pipeline import Router
from router.types import Decision

ODD = ["a", "…", "😀", "天気はどうですか", "x" * 500, "WHERE’s my   refund?!", "refund refund refund", "no" * 3000]


@pytest.fixture(scope="module")
def ngrams(small: Dataset) -> Ngrams:
    return fit_ngrams(small.split("train").texts, min_count=2, max_terms=5_000)


def assert_same_columns(ngrams: Ngrams, words: WordColumns, text: str) -> None:
    slow = ngrams.transform([text])
    order = np.argsort(slow.indices)
    columns, values = words.row(text)
    assert columns.tolist() == slow.indices[order].tolist()
    assert np.allclose(values, slow.data[order], atol=1e-6)


def test_ngrams_found_word_by_word_are_those_of_the_whole_text(ngrams: Ngrams, small: Dataset) -> None:
    words = WordColumns(ngrams)
    for text in [*small.split("test").texts, *ODD]:
        assert_same_columns(ngrams, words, text)


@given(text=st.text(alphabet="aeinrst wh'?", max_size=60))
def test_ngrams_of_any_text_are_those_of_the_slow_way(text: str) -> None:
    small = fit_ngrams(["what is rest", "tea in the rain", "where is the tea", "what rain"], min_count=1, max_terms=500)
    assert_same_columns(small, WordColumns(small), text)


def test_cue_words_are_counted_as_the_lexicon_counts_them(lexicon: Lexicon, pam: Dataset) -> None:
    cues = Cues(lexicon)
    for text in [*pam.split("test").texts[::5], *ODD]:
        assert np.array_equal(cues.counts(text), lexicon.counts([text])[0])


def test_a_prefix_of_a_later_word_counts_where_the_first_words_are_whole() -> None:
    small = Lexicon({"domain": {"shop": ("refund stat*", "refund"), "trip": ("ref*",)}})
    texts = ["refund status", "refund", "refunds", "my refund stat", "refund st"]
    slow = small.counts(texts)
    assert [Cues(small).counts(text).tolist() for text in texts] == slow.tolist()
    assert slow.tolist() == [[1, 0], [1, 0], [0, 1], [1, 0], [1, 0]]


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
