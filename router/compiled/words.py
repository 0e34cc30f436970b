"""N-grams and cue words of one text at a time: the very numbers of `Ngrams` and `Lexicon`, remembered word by word.

Most of the work is the same for every occurrence of a word (which of its letter n-grams are in the vocabulary, which cue
words it is), so both remember what they found for a word. What they answer depends on the text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from router.lexicon import LONGEST_TERM, TOKENS, Lexicon
from router.ngrams import CHAR_SIZES, MAX_CHARS, WORDS, Ngrams
from router.surface import folded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
REMEMBERED = 50_000  # words; 20 MB at most
LONGEST_REMEMBERED = 40  # letters; a longer one is a link or a mishap and does not come again


class WordColumns:
    """The TF-IDF columns of a text."""

    def __init__(self, ngrams: Ngrams) -> None:
        self._column = {term: column for column, term in enumerate(ngrams.terms)}
        self._idf = ngrams.idf.astype(np.float64)
        self._is_word = np.array([term.startswith("w:") for term in ngrams.terms], dtype=bool)
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._inside)

    def row(self, text: str) -> tuple[Ints, Floats]:
        """The columns that a text has and their values, as `Ngrams.transform` gives them; both empty where it has none."""
        words = WORDS.findall(folded(text[:MAX_CHARS]))
        terms = [f"w:{word}" for word in words]
        terms += [f"w:{a} {b}" for a, b in zip(("^", *words), (*words, "$"), strict=True)]
        whole = [self._column[term] for term in terms if term in self._column]
        inside = [(self._remembered if len(word) <= LONGEST_REMEMBERED else self._inside)(word) for word in words]
        columns, counts = np.unique(np.concatenate([np.array(whole, dtype=np.intp), *inside]), return_counts=True)
        values = (1.0 + np.log(counts)) * self._idf[columns]
        squares, is_word = values * values, self._is_word[columns]
        norms = np.sqrt(np.where(is_word, squares[is_word].sum(), squares[~is_word].sum()))
        return columns, values / norms

    def _inside(self, word: str) -> Ints:
        """The columns of the letter n-grams of one word, as often as they occur."""
        padded = f" {word} "
        grams = (f"c:{padded[i : i + size]}" for size in CHAR_SIZES for i in range(len(padded) - size + 1))
        return np.array([self._column[gram] for gram in grams if gram in self._column], dtype=np.intp)


class Cues:
    """The cue words of a text, counted by label."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._width = len(lexicon.columns)
        self._head = [head for head, _ in lexicon.columns]
        self._whole: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._longest: dict[str, int] = {}  # first word -> words of the longest term that begins with it
        for column, (head, label) in enumerate(lexicon.columns):
            for term in lexicon.terms[head][label]:
                words = TOKENS.findall(folded(term.rstrip("*")))
                target = self._prefixes if term.endswith("*") else self._whole
                target.setdefault(" ".join(words), []).append(column)
                self._longest[words[0]] = max(self._longest.get(words[0], 1), len(words))
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._hits)

    def counts(self, text: str) -> Floats:
        """(number of columns,) as `Lexicon.counts` gives them for one text."""
        row = np.zeros(self._width)
        words = TOKENS.findall(folded(text))
        for start in range(len(words)):
            for column in self._at(words, start):
                row[column] += 1.0
        return row

    def _at(self, words: Sequence[str], start: int) -> Sequence[int]:
        """For each head the column of the longest term that begins at one word. A term of several words has whole first ones."""
        first = words[start]
        look = self._remembered if len(first) <= LONGEST_REMEMBERED else self._hits
        longest = min(self._longest.get(first, 1), len(words) - start, LONGEST_TERM)
        if longest == 1:
            return self._first_of_head(look(first))
        hits: list[int] = []
        for size in range(longest, 0, -1):
            hits += self._hits(" ".join(words[start : start + size]))
        return self._first_of_head(hits)

    def _hits(self, phrase: str) -> tuple[int, ...]:
        """Columns of the terms that are this phrase, then of those that it begins with, the longest first."""
        hits = list(self._whole.get(phrase, ()))
        shortest = phrase.rfind(" ") + 2  # a prefix keeps one letter of its last word
        for cut in range(len(phrase), shortest - 1, -1):
            hits += self._prefixes.get(phrase[:cut], ())
        return tuple(hits)

    def _first_of_head(self, hits: Sequence[int]) -> Sequence[int]:
        if len(hits) < 2:
            return hits
        found: dict[str, int] = {}
        for column in hits:
            found.setdefault(self._head[column], column)
        return list(found.values())
