"""Near-duplicates are tied, and what is tied or said by one person never stands in two splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.card import Card
from router.dataset import Dataset
from router.errors import DataError
from router.grouping import GROUP_ABOVE, components, shingles, similar_pairs, units, with_groups, with_splits
from router.types import Query

CARD = Card(name="toy", version="1", use="train", heads={"size": ("small", "large")}, also=())
NAMES = st.none() | st.sampled_from("abcdefgh")
DEALT = st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["en", "es", None])), min_size=1, max_size=40)


def toy(*queries: Query) -> Dataset:
    return Dataset(card=CARD, queries=queries)


def saying(*texts: str) -> Dataset:
    return toy(*(Query(query_id=f"q{i}", text=text) for i, text in enumerate(texts)))


def said_by(people: list[tuple[str | None, str | None, str | None]]) -> Dataset:
    """A query for each (persona, group, language)."""
    return toy(
        *(
            Query(query_id=f"q{i}", text="x", persona=persona, group=group, language=language)
            for i, (persona, group, language) in enumerate(people)
        )
    )


def test_capitals_and_white_space_do_not_change_the_shingles() -> None:
    assert shingles("  Where\tIS\nit") == shingles("where is it")


def test_a_text_of_one_letter_has_one_shingle() -> None:
    assert shingles("k") == {" k "}


def test_the_similarity_of_a_pair_is_shared_shingles_over_all() -> None:
    # " abcd " has " abc", "abcd", "bcd "; " abce " has " abc", "abce", "bce ": one shared of five
    assert similar_pairs(["abcd", "abce"], above=0.2) == [(0, 1, 1 / 5)]


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text("ab ", max_size=9), max_size=12), above=st.floats(0.05, 1.0))
def test_the_index_finds_the_pairs_that_comparing_all_with_all_finds(texts: list[str], above: float) -> None:
    sets = [shingles(text) for text in texts]
    slow = [
        (i, j, len(a & b) / len(a | b))
        for i, a in enumerate(sets)
        for j, b in enumerate(sets)
        if i < j and len(a & b) / len(a | b) >= above
    ]
    assert similar_pairs(texts, above=above) == slow


@pytest.mark.parametrize(
    "texts",
    [["hi"] * 60, [f"thank you very much pam {i:02}" for i in range(60)]],
    ids=["copies", "near-copies"],
)
def test_a_text_that_very_many_people_send_is_one_group(texts: list[str]) -> None:
    assert set(with_groups(saying(*texts)).groups) == {"q0"}


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 12), data=st.data())
def test_two_nodes_share_a_component_exactly_when_a_walk_connects_them(n: int, data: st.DataObject) -> None:
    node = st.integers(0, n - 1)
    edges = data.draw(st.lists(st.tuples(node, node), max_size=12))
    smallest = list(range(n))
    for _ in range(n):  # let every node take the smallest number among its neighbours, until none changes
        for a, b in edges:
            smallest[a] = smallest[b] = min(smallest[a], smallest[b])
    assert components(n, edges) == smallest


def test_a_group_is_called_after_its_first_query_and_who_is_alone_has_none() -> None:
    data = with_groups(saying("where is my order", "plan a trip to Moab", "where is my order?"))
    assert [query.group for query in data.queries] == ["q0", None, "q0"]


def test_likeness_is_handed_on_from_one_text_to_the_next() -> None:
    texts = ["abcdefgh", "abcdefghijkl", "abcdefghijklmnopqr"]
    assert [pair[:2] for pair in similar_pairs(texts, above=GROUP_ABOVE)] == [(0, 1), (1, 2)]
    assert with_groups(saying(*texts)).groups == ["q0", "q0", "q0"]


def test_texts_that_their_owner_tied_stay_tied() -> None:
    tied = toy(
        Query(query_id="q0", text="where is my order", group="one conversation"),
        Query(query_id="q1", text="plan a trip to Moab"),
        Query(query_id="q2", text="and the blue one?", group="one conversation"),
    )
    first, _, last = units(with_groups(tied).queries)
    assert first == last


def test_grouping_twice_is_grouping_once() -> None:
    once = with_groups(saying("where is my order", "where is my order?", "hi", "plan a trip", "plan a trip!"))
    assert with_groups(once) == once


def test_people_who_share_a_group_are_one_unit() -> None:
    people = [("ann", "g", None), ("bob", None, None), ("cid", "g", None), ("cid", None, None), (None, None, None)]
    assert units(said_by([*people]).queries) == [0, 1, 0, 0, 4]


def test_a_person_and_a_group_of_the_same_name_have_nothing_in_common() -> None:
    assert units(said_by([("ann", None, None), (None, "ann", None)]).queries) == [0, 1]


def test_queries_with_an_empty_name_for_persona_and_group_are_strangers() -> None:
    assert units(said_by([("", "", None), ("", "", None)]).queries) == [0, 1]


@settings(deadline=None, max_examples=50)
@given(people=DEALT, seed=st.integers(0, 9))
def test_no_persona_and_no_group_stands_in_two_splits(
    people: list[tuple[str | None, str | None, str | None]], seed: int
) -> None:
    dealt = with_splits(said_by(people), seed=seed).queries
    for kind in ("persona", "group"):
        stands = {(getattr(query, kind), query.split) for query in dealt if getattr(query, kind) is not None}
        assert max(Counter(name for name, _ in stands).values(), default=1) == 1


@settings(deadline=None, max_examples=50)
@given(people=DEALT, seed=st.integers(0, 9))
def test_no_split_is_over_its_share_by_as_much_as_the_largest_unit(
    people: list[tuple[str | None, str | None, str | None]], seed: int
) -> None:
    shares = {"train": 0.5, "calibration": 0.2, "test": 0.3}
    data = said_by([(persona, group, "en") for persona, group, _ in people])
    largest = max(Counter(units(data.queries)).values())
    filled = Counter(query.split for query in with_splits(data, seed=seed, shares=shares).queries)
    assert all(filled[name] < share * len(people) + largest for name, share in shares.items())


def test_every_language_is_dealt_by_the_shares() -> None:
    data = said_by([(None, None, language) for language in ["en"] * 200 + ["es"] * 20])
    counts = Counter((query.language, query.split) for query in with_splits(data, seed=3).queries)
    english = {("en", "train"): 120, ("en", "calibration"): 30, ("en", "test"): 50}
    assert counts == {**english, ("es", "train"): 12, ("es", "calibration"): 3, ("es", "test"): 5}


def test_the_seed_and_nothing_else_decides_who_goes_where() -> None:
    data = said_by([(None, None, "en")] * 50)
    assert with_splits(data, seed=1) == with_splits(data, seed=1) != with_splits(data, seed=2)


def test_who_has_a_split_keeps_it_and_draws_the_rest_of_the_person_along() -> None:
    data = said_by([("ann", None, None), ("ann", None, None), ("bob", None, None)])
    placed = replace(data, queries=(replace(data.queries[0], split="test"), *data.queries[1:]))
    assert [query.split for query in with_splits(placed, seed=0).queries][:2] == ["test", "test"]


def test_a_person_who_stands_in_two_splits_already_is_refused_by_the_first_query() -> None:
    data = said_by([("ann", None, None), ("ann", None, None)])
    torn = replace(
        data, queries=tuple(replace(q, split=s) for q, s in zip(data.queries, ("test", "train"), strict=True))
    )
    with pytest.raises(DataError, match=r"'q0' stands in splits \['test', 'train'\].*`weighbridge data split`"):
        with_splits(torn, seed=0)


@pytest.mark.parametrize("shares", [{"train": 0.6, "test": 0.5}, {"train": 1.5, "test": -0.5}, {}])
def test_shares_that_do_not_add_up_to_one_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="add up to 1"):
        with_splits(said_by([(None, None, None)]), seed=0, shares=shares)
