"""Words one at a time: n-grams, cue words and tokens found word by word are those of the whole text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

import router.compiled.words as words_module
from router.compiled.tokens import Tokens, treats_pieces_alone
from router.compiled.words import Cues, NgramLogits, WordMemory
from router.dataset import Dataset
from router.encoders.protocol import Matrix
from router.lexicon import Lexicon
from router.ngrams import Ngrams, fit_ngrams

ODD = ["a", "…", "😀", "天気はどうですか", "x" * 500, "WHERE’s my   refund?!", "refund refund refund", "no" * 3000]
PIECES = ["re", "##fund", "##s", "fund", "where", "is", "don", "de", "?", "!", "'", "-", "…", "¿", "5", "##0", "€", "t"]
MAX_TOKENS = 12


def weights_of(ngrams: Ngrams) -> Matrix:
    return np.random.default_rng(0).normal(size=(len(ngrams.terms), 3)).astype(np.float32)


def assert_same_logits(ngrams: Ngrams, quick: NgramLogits, text: str) -> None:
    slow = ngrams.transform([text]).dot(weights_of(ngrams))[0]
    np.testing.assert_allclose(quick.of(text), slow, atol=1e-6)


def test_ngrams_added_up_word_by_word_are_those_of_the_whole_text(small: Dataset) -> None:
    ngrams = fit_ngrams(small.split("train").texts, min_count=2, max_terms=5_000)
    quick = NgramLogits(ngrams, weights_of(ngrams))
    for text in [*small.split("test").texts, *ODD]:
        assert_same_logits(ngrams, quick, text)


@given(text=st.text(alphabet="aeinrst wh'?", max_size=60))
def test_ngrams_of_any_text_add_up_to_those_of_the_slow_way(text: str) -> None:
    ngrams = fit_ngrams(
        ["what is rest", "tea in the rain", "where is the tea", "what rain"], min_count=1, max_terms=500
    )
    assert_same_logits(ngrams, NgramLogits(ngrams, weights_of(ngrams)), text)


def test_cue_words_are_counted_as_the_lexicon_counts_them(lexicon: Lexicon, pam: Dataset) -> None:
    cues = Cues(lexicon)
    for text in [*pam.split("test").texts[::5], *ODD]:
        slow = lexicon.counts([text])[0]
        assert cues.counts(text) == {column: slow[column] for column in np.flatnonzero(slow).tolist()}


def test_a_prefix_of_a_later_word_counts_where_the_first_words_are_whole() -> None:
    small = Lexicon({"domain": {"shop": ("refund stat*", "refund"), "trip": ("ref*",)}})
    texts = ["refund status", "refund", "refunds", "my refund stat", "refund st"]
    assert small.counts(texts).tolist() == [[1, 0], [1, 0], [0, 1], [1, 0], [1, 0]]
    assert [Cues(small).counts(text) for text in texts] == [{0: 1}, {0: 1}, {1: 1}, {0: 1}, {0: 1}]


def test_a_memory_of_words_finds_each_once_and_forgets_all_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "REMEMBERED", 2)
    asked: list[str] = []

    def length(word: str) -> int:
        asked.append(word)
        return len(word)

    memory = WordMemory(length)
    assert memory.of(["a", "bb", "a"]) == [1, 2, 1]
    assert memory.of(["ccc"]) == [3]
    assert memory.of(["a"]) == [1]
    assert asked == ["a", "bb", "ccc", "a"]


def bert_tokenizer() -> Tokenizer:
    """Of BERT's kind, with a small vocabulary."""
    special = ["[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(WordPiece({piece: i for i, piece in enumerate([*special, *PIECES])}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.add_special_tokens(special)
    return tokenizer


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    bert_tokenizer().save(str(path))
    return Tokens(path, MAX_TOKENS)


@settings(deadline=None, max_examples=300)
@given(
    parts=st.lists(
        st.sampled_from(
            [
                "refunds",
                "Réfund",
                "don't",
                "50€",
                "[SEP]",
                "[sep]",
                "where-is",
                "¿dé?",
                "…",
                "\n",
                "\u0301",
                "\xa0",
                "天",
                "😀",
                "_",
                " ",
            ]
        )
        | st.text(max_size=3),
        max_size=8,
    ),
    between=st.sampled_from(["", " "]),
)
def test_tokens_found_piece_by_piece_are_those_of_the_tokenizer(tokens: Tokens, parts: list[str], between: str) -> None:
    text = between.join(parts)
    assert tokens.of(text) == tokens._tokenizer.encode(text).ids


def test_a_text_is_cut_at_the_limit_with_its_end_in_place(tokens: Tokens) -> None:
    found = tokens.of("where " * 50)
    assert len(found) == MAX_TOKENS
    assert (found[0], found[-1]) == (1, 2)


def spoiled(**change: Any) -> Tokenizer:
    tokenizer = bert_tokenizer()
    for name, part in change.items():
        setattr(tokenizer, name, part)
    return tokenizer


def test_only_tokenizers_that_treat_every_piece_alone_are_asked_piece_by_piece() -> None:
    assert treats_pieces_alone(bert_tokenizer())
    assert not treats_pieces_alone(spoiled(normalizer=Lowercase()))
    assert not treats_pieces_alone(spoiled(pre_tokenizer=Whitespace()))
    assert not treats_pieces_alone(Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
    named = bert_tokenizer()
    named.add_tokens(["madrid"])  # found in the middle of any word
    assert not treats_pieces_alone(named)
