"""Perturbations: small, seeded, never empty, and each a matter of its own text alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.perturb import MOST_TYPOS, NEIGHBOURS, PERTURBATIONS, clauses, perturb, title, typos
from router.errors import DataError
from router.rows import text_problem
from router.types import MAX_TEXT_CHARS

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(str.strip)
KINDS = st.sampled_from(sorted(PERTURBATIONS))
SENTENCE = "where is the nearest campground with a sewer hookup and wifi"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def one(text: str, kind: str, *, seed: int = 0) -> str:
    return perturb([text], kind, seed=seed).texts[0]


def edits(one: str, other: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that lead from one to the other."""
    cost = {(i, -1): i + 1 for i in range(-1, len(one))} | {(-1, j): j + 1 for j in range(-1, len(other))}
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            cost[i, j] = min(cost[i - 1, j] + 1, cost[i, j - 1] + 1, cost[i - 1, j - 1] + (a != b))
            if i and j and a == other[j - 1] and one[i - 1] == b:
                cost[i, j] = min(cost[i, j], cost[i - 2, j - 2] + 1)
    return cost[len(one) - 1, len(other) - 1]


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(TEXTS, max_size=5), kind=KINDS, seed=st.integers(0, 9))
def test_what_comes_out_of_a_query_is_a_query(texts: list[str], kind: str, seed: int) -> None:
    made = perturb(texts, kind, seed=seed)
    assert [text_problem(text) for text in made.texts] == [None] * len(texts)
    assert made.changed.tolist() == [new != old for new, old in zip(made.texts, texts, strict=True)]


@settings(deadline=None, max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), kind=KINDS, data=st.data())
def test_a_text_is_changed_the_same_way_whatever_stands_beside_it(
    texts: list[str], kind: str, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    together = perturb(texts, kind, seed=3).texts
    assert perturb([texts[i] for i in order], kind, seed=3).texts == tuple(together[i] for i in order)
    assert [one(text, kind, seed=3) for text in texts] == list(together)


def test_another_seed_makes_other_typos() -> None:
    assert len({one(SENTENCE, "typos", seed=seed) for seed in range(20)}) > 10


def test_kinds_draw_apart_from_each_other() -> None:
    assert all(one(SENTENCE, kind) != SENTENCE for kind in PERTURBATIONS if kind not in {"lower", "clauses"})


@settings(deadline=None, max_examples=50)
@given(text=TEXTS | st.just(SENTENCE) | st.just(SENTENCE * 5), seed=st.integers(0, 50))
def test_typos_are_one_slip_in_each_of_at_most_three_words(text: str, seed: int) -> None:
    made = one(text, "typos", seed=seed)
    assert edits(text, made) <= MOST_TYPOS
    assert re.findall(r"\d+", made) == re.findall(r"\d+", text)


@pytest.mark.parametrize(("repeats", "slips"), [(1, 1), (5, 2), (8, 3), (40, 3)])
def test_longer_texts_get_more_typos(repeats: int, slips: int) -> None:
    text = " ".join(["campground"] * repeats)  # ten letters a word: one slip more for every forty
    changed = [new != old for new, old in zip(one(text, "typos").split(), text.split(), strict=True)]
    assert sum(changed) == slips


def test_every_kind_of_slip_happens() -> None:
    made = {typos("word", np.random.default_rng(seed)) for seed in range(200)}
    assert {"owrd", "wrod", "wodr", "ord", "wrd", "wod"} <= made  # swapped and left out
    assert {f"{key}ord" for key in NEIGHBOURS["w"]} <= made


def test_a_slip_on_a_capital_is_a_capital() -> None:
    assert all(made.isupper() for made in (typos("WORD", np.random.default_rng(seed)) for seed in range(50)))


def test_short_words_and_numbers_are_spared() -> None:
    assert one("is it at 1234567 or not", "typos") == "is it at 1234567 or not"


def test_the_keys_around_g_and_a_are_those_of_the_keyboard() -> None:
    assert set(NEIGHBOURS["g"]) == set("tyfhvb")
    assert set(NEIGHBOURS["a"]) == set("qwsz")


@settings(deadline=None, max_examples=30)
@given(key=st.sampled_from(sorted(NEIGHBOURS)))
def test_keys_are_each_other_s_neighbours(key: str) -> None:
    assert all(key in NEIGHBOURS[other] for other in NEIGHBOURS[key])


def test_a_title_keeps_the_rest_of_each_word() -> None:
    assert title("don't mix  RVs and vans", rng()) == "Don't Mix  RVs And Vans"


@settings(deadline=None, max_examples=40)
@given(text=TEXTS, seed=st.integers(0, 20))
def test_white_space_is_all_that_changes_where_white_space_changes(text: str, seed: int) -> None:
    made = one(text, "whitespace", seed=seed)
    assert made != text
    assert made.split() == text.split()


@settings(deadline=None, max_examples=40)
@given(text=TEXTS, kind=st.sampled_from(["filler", "politeness"]), seed=st.integers(0, 20))
def test_words_are_only_added_around_those_that_were_there(text: str, kind: str, seed: int) -> None:
    made = one(text, kind, seed=seed)
    letters = iter(made)
    assert all(letter in letters for letter in text)
    assert len(made) > len(text)


def test_braces_in_a_text_are_left_alone() -> None:
    assert "{0} {} {x}" in one("{0} {} {x}", "politeness")


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("book me a site and find me some propane", "find me some propane and book me a site"),
        ("the pump will not run because the fuse is gone?", "because the fuse is gone, the pump will not run?"),
        ("my slide is stuck, what can I do", "what can I do, my slide is stuck"),
        ("check the tire pressure, and then book the site!!", "then book the site, and check the tire pressure!!"),
    ],
)
def test_two_clauses_change_places_around_what_joins_them(text: str, swapped: str) -> None:
    assert clauses(text, rng()) == swapped


@pytest.mark.parametrize(
    "text",
    [
        "where is my refund?",  # one clause
        "milk and bread for the trip",  # joins words
        "book me a site, find me some propane, and call my wife",  # three
        "It is far away. book me a site and find me some propane",  # two sentences
        "the way between the old site and the new one",  # a pair, not two clauses
        "the handy sandal is brandy",  # no such word in it
        ", and",
        "...",
    ],
)
def test_what_is_not_two_clauses_stays_as_it_is(text: str) -> None:
    made = perturb([text], "clauses", seed=0)
    assert made.texts == (text,)
    assert not made.changed.any()


def test_a_text_that_would_grow_too_long_stays_as_it_is() -> None:
    longest = "a" * MAX_TEXT_CHARS
    assert not perturb([longest], "politeness", seed=0).changed.any()
    assert perturb([longest], "upper", seed=0).changed.all()


def test_no_texts_give_no_texts() -> None:
    made = perturb([], "typos", seed=0)
    assert (made.texts, made.changed.shape) == ((), (0,))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match="'shuffle' is not known; wanted some of typos"):
        perturb(["hi"], "shuffle", seed=0)
