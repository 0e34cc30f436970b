"""The routers to compare with: each keeps the protocol, and says what its docstring says on problems worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from router.baselines import BASELINES
from router.baselines.constant import Majority
from router.baselines.keywords import KeywordRules
from router.baselines.length import LengthOnly
from router.baselines.protocol import HeadLabels, LabelBaseline, Texts
from router.baselines.similarity import CentroidSimilarity, NearestNeighbours
from router.errors import FitError
from router.lexicon import Lexicon
from tests.conformance import baseline as conformance
from tests.conformance import flawed
from tests.conformance.baseline import CLASSES, FRESH, Check, problem

CHECKS = pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
LEXICON = Lexicon({"topic": {"trip": ("campsite",), "shop": ("hose", "jack")}})


@CHECKS
@pytest.mark.parametrize("name", list(BASELINES))
def test_every_baseline_keeps_every_promise(name: str, check: Check) -> None:
    check(BASELINES[name])


@CHECKS
def test_every_promise_is_checked_so_that_a_baseline_which_breaks_it_fails(check: Check) -> None:
    with pytest.raises(AssertionError):
        check(flawed.BASELINES[check])


def texts(*lines: str, embedding: Sequence[Sequence[float]] | None = None, lexicon: Lexicon | None = LEXICON) -> Texts:
    rows = np.array(embedding or [[1.0, 0.0]] * len(lines), dtype=np.float32)
    return Texts(texts=lines, embedding=rows / np.linalg.norm(rows, axis=1, keepdims=True), lexicon=lexicon)


def labels(*y: int, index: list[int] | None = None, k: int = 2) -> dict[str, HeadLabels]:
    where = np.arange(len(y)) if index is None else np.array(index)
    return {"topic": HeadLabels(classes=("trip", "shop", "budget")[:k], index=where, y=np.array(y, dtype=np.intp))}


def said(baseline: LabelBaseline, asked: Texts) -> list[list[float]]:
    return [[float(p) for p in row] for row in baseline.predict(asked)["topic"]]


def test_the_majority_says_the_shares_of_the_labels_whatever_it_is_asked() -> None:
    fitted = Majority().fit(texts("a", "b", "c", "d", "e"), labels(0, 0, 1, 0, index=[0, 1, 2, 4]), seed=0)
    assert said(fitted, texts("x", "y")) == [[0.75, 0.25], [0.75, 0.25]]


def test_a_keyword_outvotes_the_shares_and_a_text_without_one_gets_them() -> None:
    fitted = KeywordRules().fit(texts("a", "b", "c", "d"), labels(0, 0, 0, 1), seed=0)
    # shares 0.75 and 0.25; one hit for `shop` makes 0.75 : 1.25, a hit for each 1.75 : 1.25
    asked = texts("my hose leaks", "hello", "a campsite with a jack")
    assert said(fitted, asked) == [
        pytest.approx([0.75 / 2, 1.25 / 2]),
        pytest.approx([0.75, 0.25]),
        pytest.approx([1.75 / 3, 1.25 / 3]),
    ]


def test_keyword_rules_without_a_lexicon_are_refused_with_what_to_leave_out() -> None:
    with pytest.raises(FitError, match="leave `keywords` out of --routers"):
        KeywordRules().fit(texts("a", "b", lexicon=None), labels(0, 1), seed=0)


def test_a_head_the_lexicon_does_not_know_gets_its_shares() -> None:
    heads = {"mood": replace(labels(0, 1, 1, 1)["topic"], classes=("calm", "urgent"))}
    fitted = KeywordRules().fit(texts("a", "b", "c", "d"), heads, seed=0)
    assert fitted.predict(texts("hose"))["mood"].tolist() == [[0.25, 0.75]]


def test_length_alone_tells_long_from_short_and_no_word_from_another() -> None:
    lines = [f"w{'x' * (i % 3)}" + " and so on" * (8 * (i % 2)) for i in range(40)]
    fitted = LengthOnly().fit(texts(*lines), labels(*(i % 2 for i in range(40))), seed=0)
    short, other, long = said(fitted, texts("hose", "jack", "hose" + " and so on" * 8))
    assert short == other
    assert short[0] > 0.9 > 0.1 > long[0]


def test_a_text_goes_to_the_label_whose_mean_example_it_is_like() -> None:
    lines = texts("a", "b", "c", "d", embedding=[[1, 0], [3, 4], [0, 1], [-3, 4]])
    fitted = CentroidSimilarity().fit(lines, labels(0, 0, 1, 1), seed=0)
    # Means (0.8, 0.4) and (-0.3, 0.9): a text between the two directions belongs to neither more than to the other.
    centroids = np.array([[0.8, 0.4], [-0.3, 0.9]]) / np.sqrt([[0.8], [0.9]])
    between = centroids.sum(axis=0).tolist()
    first, tie, second = said(fitted, texts("x", "y", "z", embedding=[[1, 0], between, [-1, 1]]))
    assert first[0] > 0.5 > second[0]
    assert tie == pytest.approx([0.5, 0.5], abs=1e-5)


def test_neighbours_vote_by_likeness_and_the_shares_smooth_the_vote() -> None:
    # Two at cosine 1 say trip, one at 0.6 says shop, one at -1 is not heard: (2 + 0.5) : (0.6 + 0.5).
    lines = texts("a", "b", "c", "d", embedding=[[1, 0], [1, 0], [3, 4], [-1, 0]])
    fitted = NearestNeighbours().fit(lines, labels(0, 0, 1, 1), seed=0)
    assert said(fitted, texts("x", embedding=[[1, 0]])) == [pytest.approx([2.5 / 3.6, 1.1 / 3.6], abs=1e-6)]


def test_the_sixteenth_neighbour_has_no_vote() -> None:
    lines = texts(*"abcdefghijklmnop", embedding=[[1, 0]] * 15 + [[3, 4]])
    fitted = NearestNeighbours().fit(lines, labels(*[0] * 15, 1), seed=0)
    shares = np.array([15 / 16, 1 / 16])
    assert said(fitted, texts("x", embedding=[[1, 0]])) == [pytest.approx((np.array([15, 0]) + shares) / 16, abs=1e-6)]


@pytest.mark.parametrize("name", ["keywords", "tfidf-lr", "centroid", "knn-15", "encoder-lr"])
def test_a_baseline_that_reads_learns_the_topics_from_their_words(name: str) -> None:
    known, heads = problem()
    p = BASELINES[name]().fit(known, heads, seed=0).predict(FRESH)["topic"]
    assert [CLASSES["topic"][j] for j in p.argmax(axis=1)][:3] == ["shop", "trip", "budget"]


def test_rows_of_texts_keep_text_embedding_and_lexicon_together() -> None:
    picked = FRESH.rows(np.array([4, 1]))
    assert list(picked.texts) == [FRESH.texts[4], FRESH.texts[1]]
    assert picked.embedding.tobytes() == FRESH.embedding[[4, 1]].tobytes()
    assert picked.lexicon is FRESH.lexicon
