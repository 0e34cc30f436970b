"""n-gram weights are those that scikit-learn computes, by another way, and every column is a string."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from router.ngrams import MAX_CHARS, Ngrams, SparseRows, fit_ngrams

WORD = st.text("abcß", min_size=1, max_size=6)
TEXTS = st.lists(st.lists(WORD, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=6)
ALL = 100_000  # terms; more than any text here has


def dense(rows: SparseRows) -> npt.NDArray[np.float64]:
    return rows.dot(np.eye(rows.n_columns))


def columns_of(fitted: Ngrams, family: str) -> dict[str, int]:
    return {term.removeprefix(family): j for j, term in enumerate(fitted.terms) if term.startswith(family)}


def sklearn_weights(
    texts: Sequence[str], columns: dict[str, int], vectorizer: TfidfVectorizer
) -> npt.NDArray[np.float64]:
    """What scikit-learn gives for the terms of `columns`, in their order."""
    weights = vectorizer.fit_transform(texts).toarray()
    return np.asarray(weights[:, [vectorizer.vocabulary_[term] for term in columns]])


@settings(deadline=None, max_examples=50)
@given(texts=TEXTS)
def test_character_weights_are_those_of_char_wb_in_scikit_learn(texts: list[str]) -> None:
    fitted = fit_ngrams(texts, min_count=1, max_terms=ALL)
    columns = columns_of(fitted, "c:")
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, preprocessor=str.casefold)
    expected = sklearn_weights(texts, columns, vectorizer)
    assert set(vectorizer.vocabulary_) == set(columns)
    found = dense(fitted.transform(texts))[:, list(columns.values())]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(texts=TEXTS, min_count=st.integers(1, 3))
def test_word_weights_are_those_of_scikit_learn_on_words_and_pairs_with_both_ends(
    texts: list[str], min_count: int
) -> None:
    fitted = fit_ngrams(texts, min_count=min_count, max_terms=ALL)
    columns = columns_of(fitted, "w:")
    assume(columns)
    vectorizer = TfidfVectorizer(
        vocabulary=sorted(columns),  # without the two ends on their own, which are no words
        ngram_range=(1, 2),
        sublinear_tf=True,
        preprocessor=lambda text: f"^ {text.casefold()} $",
        token_pattern=r"\S+",
    )
    found = dense(fitted.transform(texts))[:, list(columns.values())]
    np.testing.assert_allclose(found, sklearn_weights(texts, columns, vectorizer), atol=1e-6)


def test_the_weights_of_two_texts_by_hand() -> None:
    fitted = fit_ngrams(["hi hi", "hi yo"], min_count=1, max_terms=ALL)
    rare = math.log(3 / 2) + 1  # in one of two texts; what is in both has log(3 / 3) + 1 = 1
    expected = {"w:hi": 1 + math.log(2), "w:^ hi": 1.0, "w:hi hi": rare, "w:hi $": rare}
    length = math.sqrt(sum(weight**2 for weight in expected.values()))
    row = dense(fitted.transform(["hi hi"]))[0]
    found = {term: row[j] for j, term in enumerate(fitted.terms) if term.startswith("w:") and row[j]}
    assert found == pytest.approx({term: weight / length for term, weight in expected.items()}, abs=1e-6)


def test_the_columns_are_the_terms_in_their_order() -> None:
    fitted = fit_ngrams(["hi"], min_count=1, max_terms=ALL)
    assert fitted.terms == ("c: h", "c: hi", "c: hi ", "c:hi", "c:hi ", "c:i ", "w:^ hi", "w:hi", "w:hi $")


def test_terms_in_too_few_texts_are_left_out_and_the_most_frequent_kept_first() -> None:
    texts = ["go", "go now", "go now please"]
    assert fit_ngrams(texts, min_count=2, max_terms=3).terms == ("c: g", "c: go", "c: go ")  # in all three, by name
    assert not {"w:please", "w:now please"} & set(fit_ngrams(texts, min_count=2, max_terms=ALL).terms)


def test_punctuation_and_apostrophes_are_read_as_words_and_within_words() -> None:
    terms = fit_ngrams(["What's up?"], min_count=1, max_terms=ALL).terms
    assert [term for term in terms if term.startswith("w:")] == [
        "w:?", "w:? $", "w:^ what's", "w:up", "w:up ?", "w:what's", "w:what's up",
    ]  # fmt: skip


def test_the_apostrophe_of_a_phone_and_of_a_keyboard_are_one() -> None:
    fitted = fit_ngrams(["I don't know"], min_count=1, max_terms=ALL)
    assert dense(fitted.transform(["I don’t know"])).tolist() == dense(fitted.transform(["I don't know"])).tolist()


@settings(deadline=None, max_examples=50)
@given(train=TEXTS, texts=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_each_family_of_a_row_has_length_one_or_is_empty(train: list[str], texts: list[str]) -> None:
    fitted = fit_ngrams(train, min_count=1, max_terms=ALL)
    rows = dense(fitted.transform(texts))
    for family in ("w:", "c:"):
        lengths = np.linalg.norm(rows[:, list(columns_of(fitted, family).values())], axis=1)
        assert ((np.abs(lengths - 1) < 1e-6) | (lengths == 0)).all()


@settings(deadline=None, max_examples=25)
@given(texts=TEXTS, data=st.data())
def test_the_order_of_texts_changes_neither_the_vocabulary_nor_a_row(texts: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(texts))))
    fitted = fit_ngrams(texts, min_count=1, max_terms=20)
    again = fit_ngrams([texts[i] for i in order], min_count=1, max_terms=20)
    assert again.terms == fitted.terms
    assert dense(again.transform([texts[i] for i in order])).tolist() == dense(fitted.transform(texts))[order].tolist()


def test_a_text_without_a_known_term_is_an_empty_row_between_the_others() -> None:
    fitted = fit_ngrams(["hi"], min_count=1, max_terms=ALL)
    rows = fitted.transform(["hi", "zzz", "", "hi"])
    assert np.diff(rows.indptr).tolist() == [9, 0, 0, 9]
    assert not dense(rows)[1:3].any()


def test_no_texts_are_no_rows() -> None:
    fitted = fit_ngrams(["hi"], min_count=1, max_terms=ALL)
    assert dense(fitted.transform([])).shape == (0, 9)


def test_what_comes_after_the_limit_of_characters_is_not_read() -> None:
    fitted = fit_ngrams(["hi yo"], min_count=1, max_terms=ALL)
    start = "hi ".ljust(MAX_CHARS, ".")
    assert dense(fitted.transform([start + " yo"])).tolist() == dense(fitted.transform([start])).tolist()


@settings(deadline=None, max_examples=25)
@given(texts=TEXTS, k=st.integers(1, 3), seed=st.integers(0, 99))
def test_our_product_and_scipys_are_the_same(texts: list[str], k: int, seed: int) -> None:
    rows = fit_ngrams(texts, min_count=1, max_terms=ALL).transform([*texts, ""])
    weights = np.random.default_rng(seed).normal(size=(rows.n_columns, k))
    np.testing.assert_allclose(rows.dot(weights), rows.to_scipy() @ weights, atol=1e-6)
