"""N-grams and cue words of one text at a time: the very numbers of `Ngrams` and `Lexicon`, remembered word by word.

Most of the work is the same for every occurrence of a word (which of its letter n-grams are in the vocabulary, which cue
words it is), so both remember what they found for a word. What they answer depends on the text alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix
from router.lexicon import LONGEST_TERM, TOKENS, Lexicon
from router.ngrams import CHAR_SIZES, MAX_CHARS, WORDS, Ngrams
from router.surface import folded

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
REMEMBERED = 50_000  # words; 20 MB at most
LONGEST_REMEMBERED = 40  # letters; a longer one is a link or a mishap and does not come again

Found = TypeVar("Found")


class WordMemory(Generic[Found]):
    """What was found for each word, found once. Forgets all when it is full: the common words are back at once."""

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._known: dict[str, Found] = {}

    def of(self, words: Iterable[str]) -> list[Found]:
        """One entry per word, in order."""
        known = self._known
        return [known[word] if word in known else self._learn(word) for word in words]

    def _learn(self, word: str) -> Found:
        found = self._find(word)
        if len(word) <= LONGEST_REMEMBERED:
            if len(self._known) >= REMEMBERED:
                self._known = {}
            self._known[word] = found
        return found


class Letters(NamedTuple):
    """The letter n-grams of one word: their columns as often as they occur, and what they add up to, each with its idf.

    total: (width,) of the weights.   squares: of the idf.
    """

    columns: Ints
    total: Floats
    squares: float


class NgramLogits:
    """What a text's n-grams add to the logits of every head.

    A repeated n-gram counts 1 + ln(count) and each family is scaled to unit length (see `Ngrams`). Both are sums over the
    text's n-grams but for the repeated ones: so the sums are remembered by word, and only what is repeated is put right.
    weights: (terms, width).
    """

    def __init__(self, ngrams: Ngrams, weights: Matrix) -> None:
        self._column = {term: column for column, term in enumerate(ngrams.terms)}
        self._idf = ngrams.idf.astype(np.float64)
        self._weights = weights
        self._letters = WordMemory(self._of_word)

    def of(self, text: str) -> Floats:
        """(width,) the TF-IDF row of `Ngrams.transform` times the weights."""
        words = WORDS.findall(folded(text[:MAX_CHARS]))
        total = self._of_words(words)
        return total + self._of_letters(words) if words else total

    def _of_words(self, words: list[str]) -> Floats:
        column = self._column
        terms = [f"w:{word}" for word in words]
        terms += [f"w:{a} {b}" for a, b in zip(["^", *words], [*words, "$"], strict=True)]
        found = Counter([column[term] for term in terms if term in column])
        columns = np.array([*found], dtype=np.int32)
        values = self._idf[columns]
        if len(found) < found.total():
            values *= 1.0 + np.log([*found.values()])
        return values @ self._rows(columns) / (sqrt(values @ values) or 1.0)

    def _of_letters(self, words: list[str]) -> Floats:
        known = self._letters.of(words)
        total = np.zeros(self._weights.shape[1])
        for word in known:
            total += word.total
        squares = sum(word.squares for word in known)
        columns, counts = _repeated(np.concatenate([word.columns for word in known]))
        if len(columns):
            idf, tf = self._idf[columns], 1.0 + np.log(counts)
            total += ((tf - counts) * idf) @ self._rows(columns)
            squares += float(((tf * tf - counts) * idf) @ idf)
        return total / (sqrt(squares) or 1.0)

    def _of_word(self, word: str) -> Letters:
        padded = f" {word} "
        grams = (f"c:{padded[i : i + size]}" for size in CHAR_SIZES for i in range(len(padded) - size + 1))
        columns = np.array([self._column[gram] for gram in grams if gram in self._column], dtype=np.int32)
        idf = self._idf[columns]
        return Letters(columns, idf @ self._rows(columns), float(idf @ idf))

    def _rows(self, columns: Ints) -> Floats:
        return self._weights[columns].astype(np.float64)


def _repeated(columns: Ints) -> tuple[Ints, npt.NDArray[np.intp]]:
    """The distinct columns that occur more than once, and how often; sorts in place."""
    columns.sort()
    same = columns[1:] == columns[:-1]
    again = columns[1:][same]  # one fewer of each
    first = np.ones(len(again) + 1, dtype=bool)
    np.not_equal(again[1:], again[:-1], out=first[1:-1])
    starts = first.nonzero()[0]
    return again[starts[:-1]], starts[1:] - starts[:-1] + 1


class Seconds(NamedTuple):
    """What the second word is like in the terms that begin with one word: one of `whole`, or begun by one of `begun`."""

    whole: set[str]
    begun: tuple[str, ...]

    def hold(self, word: str) -> bool:
        """Whether a term may go on with that word."""
        return word in self.whole or word.startswith(self.begun)


class Cues:
    """The cue words of a text, counted by label."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._head = [head for head, _ in lexicon.columns]
        self._whole: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._longest: dict[str, int] = {}  # first word -> words of the longest term that begins with it
        self._seconds: dict[str, Seconds] = {}
        for column, (head, label) in enumerate(lexicon.columns):
            for term in lexicon.terms[head][label]:
                self._add(TOKENS.findall(folded(term.rstrip("*"))), column, prefix=term.endswith("*"))
        self._alone = WordMemory(self._of_word)

    def _add(self, words: list[str], column: int, *, prefix: bool) -> None:
        target = self._prefixes if prefix else self._whole
        target.setdefault(" ".join(words), []).append(column)
        if len(words) > 1:
            first, second = words[:2]
            self._longest[first] = max(self._longest.get(first, 0), len(words))
            whole, begun = self._seconds.get(first, (set(), ()))
            if prefix and len(words) == 2:
                begun = (*begun, second)
            self._seconds[first] = Seconds(whole | {second}, begun)

    def counts(self, text: str) -> dict[int, int]:
        """Column -> how often, as `Lexicon.counts` gives them for one text; without the columns that it has none of."""
        counts: dict[int, int] = {}
        words = TOKENS.findall(folded(text))
        for start, (columns, seconds) in enumerate(self._alone.of(words)):
            longer = seconds is not None and start + 1 < len(words) and seconds.hold(words[start + 1])
            for column in self._at(words, start) if longer else columns:
                counts[column] = counts.get(column, 0) + 1
        return counts

    def _of_word(self, word: str) -> tuple[Sequence[int], Seconds | None]:
        """The columns of one word where no longer term begins with it, and what follows where one does."""
        return self._first_of_head(self._hits(word)), self._seconds.get(word)

    def _at(self, words: Sequence[str], start: int) -> Sequence[int]:
        """For each head the column of the longest term that begins at one word. A term of several words has whole first ones."""
        longest = min(self._longest[words[start]], len(words) - start, LONGEST_TERM)
        hits: list[int] = []
        for size in range(longest, 0, -1):
            hits += self._hits(" ".join(words[start : start + size]))
        return self._first_of_head(hits)

    def _hits(self, phrase: str) -> list[int]:
        """Columns of the terms that are this phrase, then of those that it begins with, the longest first."""
        hits = list(self._whole.get(phrase, ()))
        shortest = phrase.rfind(" ") + 2  # a prefix keeps one letter of its last word
        for cut in range(len(phrase), shortest - 1, -1):
            hits += self._prefixes.get(phrase[:cut], ())
        return hits

    def _first_of_head(self, hits: Sequence[int]) -> Sequence[int]:
        found: dict[str, int] = {}
        for column in hits:
            found.setdefault(self._head[column], column)
        return tuple(found.values())
