"""The router as a whole: what it decides depends on each text alone, and survives the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.bundle import load
from router.errors import PolicyError
from router.pipeline import Router

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=80).filter(str.strip)


@pytest.fixture(scope="session")
def loaded(bundle: Path) -> Router:
    return load(bundle)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_a_loaded_router_decides_exactly_as_the_fitted_one(router: Router, loaded: Router, texts: list[str]) -> None:
    assert loaded.decide_many(texts) == router.decide_many(texts)


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(TEXTS, min_size=2, max_size=6), data=st.data())
def test_decisions_follow_their_queries_when_queries_are_reordered(
    router: Router, texts: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    assert router.decide_many([texts[i] for i in order]) == [router.decide_many(texts)[i] for i in order]


def test_probabilities_of_every_head_sum_to_one(router: Router) -> None:
    decision = router.decide("where is my refund?")
    for probabilities in decision.probabilities.values():
        assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-4)


def test_no_texts_give_no_decisions(router: Router) -> None:
    assert router.decide_many([]) == []


@pytest.mark.parametrize("text", ["", "   ", "a\x00b", "half \ud800", "x" * 100_000])
def test_a_text_that_is_no_query_is_refused_with_the_next_command(router: Router, text: str) -> None:
    with pytest.raises(PolicyError, match="weighbridge data check"):
        router.decide(text)
