"""Cue words are counted where they stand: case-folded, whole, the longest first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.card import Card
from router.errors import DataError
from router.lexicon import Lexicon, lexicon_from_mapping, read_lexicon

CARD = Card(
    name="toy",
    version="1",
    use="train",
    heads={"desk": ("money", "road", "none"), "haste": ("slow", "fast"), "size": ("small", "large")},
    also=(),
)


def made(raw: Mapping[str, Any]) -> Lexicon:  # Any: what a TOML file holds
    return lexicon_from_mapping(raw, CARD, where="mine.toml")


def money(text: str, *terms: str) -> float:
    """How often the terms of one label count in a text."""
    return float(made({"desk": {"money": list(terms)}}).counts([text])[0, 0])


@pytest.mark.parametrize(
    ("text", "terms", "count"),
    [
        ("my bill and your bill", ["bill"], 2),
        ("BILL!", ["bill"], 1),
        ("bill", ["Bill"], 1),
        ("die STRASSE", ["straße"], 1),
        ("billing", ["bill"], 0),
        ("a waybill", ["bill"], 0),
        ("billing bills bill", ["bill*"], 3),
        ("the sky is blue", ["bill"], 0),
        ("credit   card\nfee", ["credit card"], 1),
        ("credit, card", ["credit card"], 0),
        ("credit card", ["credit card", "credit"], 1),
        ("credit card", ["credit", "card"], 2),
        ("credit cards", ["credit car*", "credit"], 1),
        ("what's due", ["what's due"], 1),
        ("a one-way ticket", ["one-way"], 1),
        ("¿cuánto?", ["cuánto", "?"], 2),
        ("tents under $500", ["under $"], 1),
        ("tents under $500", ["under $*"], 1),
        ("the m4 motorway", ["the m*"], 1),
        ("", ["bill"], 0),
    ],
)
def test_a_term_counts_once_at_each_place_where_it_stands(text: str, terms: list[str], count: int) -> None:
    assert money(text, *terms) == count


def test_a_prefix_written_twice_as_long_wins_over_the_shorter_one() -> None:
    found = made({"desk": {"money": ["pay*"], "road": ["paymen*"]}})
    assert found.counts(["payments", "paying"]).tolist() == [[0, 1], [1, 0]]


def test_the_apostrophe_of_a_phone_and_of_a_keyboard_are_one() -> None:
    assert money("what’s due", "what's due") == 1


def test_heads_count_on_their_own() -> None:
    found = made({"desk": {"money": ["pay now"]}, "haste": {"fast": ["now"]}})
    assert found.counts(["pay now"]).tolist() == [[1, 1]]


def test_columns_stand_in_the_order_of_the_card_whatever_the_files_is() -> None:
    shuffled = made({"haste": {"fast": ["now"], "slow": ["later"]}, "desk": {"road": ["map"], "money": ["pay"]}})
    assert shuffled.columns == (("desk", "money"), ("desk", "road"), ("haste", "slow"), ("haste", "fast"))


def test_the_columns_of_one_head_come_in_the_order_of_its_classes_and_are_zero_where_no_term_is() -> None:
    found = made({"desk": {"money": ["pay"], "road": ["map"]}})
    columns = found.for_head("desk", found.counts(["pay pay map"]), ["none", "road", "money"])
    assert columns is not None
    assert columns.tolist() == [[0, 1, 2]]


def test_a_head_without_terms_has_no_columns() -> None:
    found = made({"desk": {"money": ["pay"]}})
    assert found.for_head("size", found.counts(["pay"]), ["small", "large"]) is None


WORDS = st.lists(st.sampled_from(["ab", "abc", "abcd", "cd", "$"]), min_size=1, max_size=3).map(" ".join)
TERMS = st.dictionaries(WORDS, st.sampled_from(["money", "road"]), min_size=1, max_size=6)


@settings(deadline=None, max_examples=50)
@given(terms=TERMS, text=st.lists(st.sampled_from(["ab", "abc", "abcd", "cd", "$"]), max_size=8))
def test_a_search_by_hand_at_every_place_counts_the_same(terms: dict[str, str], text: list[str]) -> None:
    found = made({"desk": {label: [t for t in terms if terms[t] == label] for label in ("money", "road")}})
    expected = {"money": 0, "road": 0}
    for start in range(len(text)):
        standing = [term for term in terms if [*text[start:], "", "", ""][: len(term.split())] == term.split()]
        if standing:
            expected[terms[max(standing, key=lambda term: len(term.split()))]] += 1
    assert found.counts([" ".join(text)]).tolist() == [list(expected.values())]


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=5), data=st.data())
def test_counts_follow_their_texts_when_texts_are_reordered(
    lexicon: Lexicon, texts: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    counts = lexicon.counts(texts)
    assert lexicon.counts([texts[i] for i in order]).tolist() == counts[order].tolist()


def test_no_texts_have_no_counts_but_all_columns() -> None:
    assert made({"desk": {"money": ["pay"], "road": ["map"]}}).counts([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"desks": {"money": ["pay"]}}, r"\[desks\] is no head of card 'toy' \(desk, haste, size\)"),
        ({"desk": ["pay"]}, r"\[desk\] is no head"),
        ({"desk": {"cash": ["pay"]}}, r"\[desk\] has the unknown label 'cash'"),
        ({"desk": {"money": "pay"}}, r"\[desk\] money is not a list of terms"),
        ({"desk": {"money": [3]}}, r"\[desk\] money is not a list of terms"),
        ({"desk": {"money": [""]}}, r"\[desk\] money is not a list of terms"),
        ({"desk": {"money": [" _ "]}}, r"\[desk\] money is not a list of terms"),
    ],
)
def test_a_lexicon_that_the_card_does_not_know_is_refused_by_place(raw: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"^mine\.toml: {message}.*See datasets/pam-v1/lexicon\.toml"):
        made(raw)


def test_a_term_of_more_words_than_can_ever_match_is_refused() -> None:
    with pytest.raises(DataError, match="one two three four five six"):
        made({"desk": {"money": ["one two three four five six"]}})


def test_a_data_set_without_a_lexicon_has_none(tmp_path: Path) -> None:
    assert read_lexicon(tmp_path, CARD) is None


def test_the_lexicon_of_a_single_file_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "lexicon.toml").write_text('[desk]\nmoney = ["pay"]\n', encoding="utf-8")
    found = read_lexicon(tmp_path / "queries.jsonl", CARD)
    assert found is not None
    assert found.columns == (("desk", "money"),)


def test_a_broken_lexicon_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "lexicon.toml").write_text("[desk", encoding="utf-8")
    with pytest.raises(DataError, match=r"lexicon\.toml: cannot be read as TOML"):
        read_lexicon(tmp_path, CARD)
