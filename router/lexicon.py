"""Cue words of a data set's labels, written by people who know the product: data, never code.

A data set may bring `lexicon.toml`: one table per head, one list of terms per label. A term is matched in the case-folded
text at word boundaries; a trailing * matches any ending. The counts serve the keyword-rules baseline, and the router as
named features: they lend it words that its training queries never used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from router.card import Card
from router.errors import DataError
from router.files import read_toml
from router.surface import folded

LEXICON_FILE = "lexicon.toml"
LONGEST_TERM = 5  # words
TOKENS = re.compile(r"[^\W_]+(?:['.-][^\W_]+)*|[^\w\s]")
ADVICE = "See datasets/pam-v1/lexicon.toml for the form."

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lexicon:
    """terms: head -> label -> terms. Heads and labels are the card's."""

    terms: Mapping[str, Mapping[str, Sequence[str]]]

    @cached_property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The (head, label) of each column of `counts`."""
        return tuple((head, label) for head, labels in self.terms.items() for label in labels)

    @cached_property
    def _index(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """(whole terms, prefixes) -> the columns they count for; words are joined by one blank."""
        whole: dict[str, list[int]] = {}
        prefixes: dict[str, list[int]] = {}
        for column, (head, label) in enumerate(self.columns):
            for term in self.terms[head][label]:
                target = prefixes if term.endswith("*") else whole
                target.setdefault(" ".join(_words(term)), []).append(column)
        return whole, prefixes

    def counts(self, texts: Sequence[str]) -> Floats:
        """(n, len(columns)) how many terms of each label a text holds; a term counts once a place, the longest first."""
        rows = np.zeros((len(texts), len(self.columns)))
        for row, text in zip(rows, texts, strict=True):
            words = TOKENS.findall(folded(text))
            for start in range(len(words)):
                for column in self._at(words, start):
                    row[column] += 1.0
        return rows

    def _at(self, words: list[str], start: int) -> list[int]:
        """The columns of the terms that begin at one word: for each head, those of its longest match."""
        whole, prefixes = self._index
        found: dict[str, int] = {}
        for size in range(min(LONGEST_TERM, len(words) - start), 0, -1):
            phrase = " ".join(words[start : start + size])
            hits = list(whole.get(phrase, ()))
            shortest = len(phrase) - len(words[start + size - 1]) + 1  # a prefix keeps one letter of its last word
            for cut in range(len(phrase), shortest - 1, -1):
                hits += prefixes.get(phrase[:cut], ())
            for column in hits:
                found.setdefault(self.columns[column][0], column)
        return list(found.values())

    def for_head(self, head: str, counts: Floats, classes: Sequence[str]) -> Floats | None:
        """(n, k) the columns of one head in the order of its classes; None where the lexicon has no such head."""
        if head not in self.terms:
            return None
        position = {pair: j for j, pair in enumerate(self.columns)}
        return np.column_stack(
            [
                counts[:, position[head, label]] if (head, label) in position else np.zeros(len(counts))
                for label in classes
            ]
        )


def _words(term: str) -> list[str]:
    return TOKENS.findall(folded(term.rstrip("*")))


def _check_terms(listed: Any, *, where: str) -> None:  # Any: what a TOML or JSON file holds
    if not isinstance(listed, list) or not all(isinstance(term, str) and _words(term) for term in listed):
        raise DataError(f"{where} is not a list of terms. {ADVICE}")
    for term in listed:
        if len(_words(term)) > LONGEST_TERM:
            raise DataError(
                f"{where}: {term!r} has {len(_words(term))} words; wanted {LONGEST_TERM} or fewer. {ADVICE}"
            )


def lexicon_from_mapping(raw: Mapping[str, Any], card: Card, *, where: str) -> Lexicon:
    """Check parsed TOML or JSON against the card. Raises DataError naming head, label or term."""
    for head, labels in raw.items():
        if head not in card.heads or not isinstance(labels, Mapping):
            raise DataError(f"{where}: [{head}] is no head of card {card.name!r} ({', '.join(card.heads)}). {ADVICE}")
        unknown = sorted(set(labels) - set(card.heads[head]))
        if unknown:
            raise DataError(
                f"{where}: [{head}] has the unknown label {unknown[0]!r};"
                f" wanted some of {', '.join(card.heads[head])}. {ADVICE}"
            )
        for label, listed in labels.items():
            _check_terms(listed, where=f"{where}: [{head}] {label}")
    terms = {  # in the card's order, so that columns mean the same whatever file they came from
        head: {label: tuple(raw[head][label]) for label in labels if label in raw[head]}
        for head, labels in card.heads.items()
        if head in raw
    }
    return Lexicon(terms)


def read_lexicon(data: Path, card: Card) -> Lexicon | None:
    """The lexicon beside the data, or None where there is none."""
    path = (data if data.is_dir() else data.parent) / LEXICON_FILE
    if not path.exists():
        return None
    return lexicon_from_mapping(read_toml(path, what="a lexicon", make=ADVICE), card, where=str(path))
