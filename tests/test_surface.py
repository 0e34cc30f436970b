"""Surface features count what can be seen, by names a person can read, in a time that grows with the length."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.surface import FEATURE_NAMES, LANGUAGE_CUES, LEXICONS, PATTERNS, SHAPES, surface_features

TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=5)
LONG = 12_000  # characters; a pattern that looks again from every place takes seconds for these
CPU_SECONDS = 0.25  # some 20 times what a pass over an ordinary text of that length takes


def value(name: str, text: str) -> float:
    return float(surface_features([text])[0, FEATURE_NAMES.index(name)])


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("question_marks", "¿dónde? where?", 3),
        ("exclamations", "no! ¡no!", 3),
        ("commas", "a, b; c: d", 3),
        ("sentence_ends", "One. Two... Is 3.5 more? Yes", 3),
        ("newlines", "a\nb\n\nc", 3),
        ("list_items", "buy:\n- milk\n  * eggs\n3) tea\n4.5 l of fuel", 3),
        ("numbers", "12 tents, 3.50 each, at 14:30 or 1,000", 4),
        ("money", "$20 and € 5 and 30 bucks", 3),
        ("money", "20€ a night", 1),
        ("money", "for 18 €", 1),
        ("money", "20 eurovans", 0),
        ("clock_times", "at 9am, 14:30, 7 pm and 18 uhr", 4),
        ("measures", "40 ft, 30 amp, 12v and 5 miles", 4),
        ("measures", "a grade of 6%", 1),
        ("measures", "41.3 % of it", 1),
        ("measures", "it is 40° here", 1),
        ("measures", "5 mice", 0),
        ("quotes", "he said \"no\" and 'maybe'", 3),
        ("quotes", "it's", 0),
        ("brackets", "(a) [b]", 4),
        ("operators", "1+1=2", 2),
        ("links", "see https://a.example or www.b.example or me@c.example", 3),
        ("links", "@friend", 0),
        ("option_letters", "A) red B) blue", 2),
        ("emoji", "🚐 ☀ :)", 2),
        ("ellipses", "well... hm…", 2),
        ("accents", "cuánto für ÉTÉ", 4),
        ("why_how", "Why and how, warum?", 3),
        ("how_much_many", "how much is it, ¿cuánto?", 2),
        ("negations", "I don't want no trouble", 2),
        ("comparatives", "is the cheapest one better than the nearest", 3),
        ("politeness", "Hi, please", 2),
        ("haste", "stuck, HELP", 2),
        ("first_person", "my island", 1),
    ],
)
def test_a_feature_counts_what_its_name_says(name: str, text: str, count: int) -> None:
    assert math.expm1(value(name, text)) == pytest.approx(count, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("log_chars", "abc", math.log(4)),
        ("log_words", "one two three", math.log(4)),
        ("log_words_squared", "one two three", math.log(4) ** 2),
        ("one_or_two_words", "one two", 1),
        ("one_or_two_words", "one two three", 0),
        ("mean_word_length", "ab abcd", 3),
        ("distinct_words", "no No no yes", 2 / 4),
        ("digit_ratio", "a1b2", 2 / 4),
        ("upper_ratio", "AB cd", 2 / 5),
        ("shouted_words", "HELP me NOW", 2 / 3),
        ("shouted_words", "OK I go", 0),
        ("capitalised_words", "From Moab to Page", 2 / 4),
        ("ends_with_question", "where? ", 1),
        ("ends_with_question", "where? here", 0),
        ("no_punctuation", "no stops here", 1),
        ("no_punctuation", "stop.", 0),
        ("starts_with_wh", "Wo ist das", 1),
        ("starts_with_wh", "tell me where", 0),
        ("starts_lower", "hi", 1),
        ("starts_lower", "Hi", 0),
        ("words_en", "to the lake", 2 / 3),
        ("words_de", "der See", 1 / 2),
    ],
)
def test_a_shape_is_what_the_hand_reckons(name: str, text: str, expected: float) -> None:
    assert value(name, text) == pytest.approx(expected, rel=1e-6)


def test_the_apostrophe_of_a_phone_and_of_a_keyboard_are_one() -> None:
    assert value("negations", "I don’t know") == value("negations", "I don't know")


def test_every_column_has_a_name_of_its_own() -> None:
    assert surface_features(["hi"]).shape == (1, len(set(FEATURE_NAMES)))
    assert len(FEATURE_NAMES) == len(SHAPES) + len(PATTERNS) + len(LEXICONS) + len(LANGUAGE_CUES)


def test_no_texts_have_no_rows_but_all_columns() -> None:
    assert surface_features([]).shape == (0, len(FEATURE_NAMES))


@pytest.mark.parametrize("text", ["", " ", "?", "\n\n", "🚐", "\u0301", "123"])
def test_a_text_without_words_has_finite_features(text: str) -> None:
    assert np.isfinite(surface_features([text])).all()


@settings(deadline=None, max_examples=50)
@given(texts=TEXTS, data=st.data())
def test_a_row_depends_on_its_own_text_alone(texts: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    together = surface_features(texts)
    assert np.isfinite(together).all()
    assert surface_features([texts[i] for i in order]).tobytes() == together[order].tobytes()


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=60))
def test_ratios_and_flags_lie_between_none_and_all(text: str) -> None:
    shares = [value(name, text) for name in FEATURE_NAMES if name.endswith("_ratio") or name.startswith("starts")]
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize(
    "text",
    ["a" + "\n" * LONG + "b", "." * LONG + "a", "- " * (LONG // 2), "a" * LONG, "@" * 1_500, "a@" * 1_000, "1" * LONG],
    ids=["lines", "dots", "dashes", "one word", "at signs", "half addresses", "digits"],
)
def test_a_text_made_to_be_slow_takes_no_longer_than_others(text: str) -> None:
    start = time.process_time()
    surface_features([text])
    assert time.process_time() - start < CPU_SECONDS
