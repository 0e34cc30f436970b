"""Character and word n-grams with TF-IDF weights: a block of features whose every column is a string one can read.

The vocabulary is learned with NumPy-free Python and applied the same way in training and serving, so the weights of a
loaded bundle are exactly those of the fitted router. Source of the weights: sublinear tf × smoothed idf, as
scikit-learn's TfidfVectorizer defines them; each family (words, characters) is scaled to unit length on its own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from router.surface import folded

WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")
CHAR_SIZES = (2, 3, 4, 5)
FAMILIES = ("w:", "c:")
MAX_CHARS = 2_000  # of a text; beyond that its n-grams add time and no evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRows:
    """n sparse rows in CSR form: row i holds columns indices[indptr[i]:indptr[i+1]] with values data[...]."""

    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]
    n_columns: int

    def dot(self, weights: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """(n, n_columns) @ (n_columns, k) as (n, k) float64; an empty row gives zeros."""
        out = np.zeros((len(self.indptr) - 1, weights.shape[1]))
        for i, (start, end) in enumerate(zip(self.indptr[:-1], self.indptr[1:], strict=True)):
            out[i] = self.data[start:end].astype(np.float64) @ weights[self.indices[start:end]]
        return out

    def to_scipy(self) -> Any:  # Any: scipy.sparse.csr_matrix; scipy is not a dependency of deciding
        """The same rows for scikit-learn."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.data, self.indices, self.indptr), shape=(len(self.indptr) - 1, self.n_columns))


def _terms(text: str, *, chars: bool) -> Iterator[str]:
    words = WORDS.findall(folded(text[:MAX_CHARS]))
    yield from ("w:" + word for word in words)
    yield from (f"w:{a} {b}" for a, b in zip(("^", *words), (*words, "$"), strict=True))
    for word in words if chars else ():
        padded = f" {word} "
        for size in CHAR_SIZES:
            yield from ("c:" + padded[i : i + size] for i in range(len(padded) - size + 1))


@dataclass(frozen=True)
class Ngrams:
    """A fitted vocabulary: `terms` (d,) in column order, `idf` (d,). "w:" marks words and pairs, "c:" characters."""

    terms: tuple[str, ...]
    idf: npt.NDArray[np.float32]

    @cached_property
    def _column(self) -> Mapping[str, int]:
        return {term: column for column, term in enumerate(self.terms)}

    @cached_property
    def _chars(self) -> bool:
        return any(term.startswith("c:") for term in self.terms)

    def transform(self, texts: Sequence[str]) -> SparseRows:
        """n sparse rows; terms that training did not see are passed over."""
        data: list[float] = []
        indices: list[int] = []
        indptr = [0]
        for text in texts:
            values = self._row(text)
            indices.extend(values)
            data.extend(values.values())
            indptr.append(len(indices))
        return SparseRows(
            data=np.array(data, dtype=np.float32),
            indices=np.array(indices, dtype=np.int32),
            indptr=np.array(indptr, dtype=np.int64),
            n_columns=len(self.terms),
        )

    def _row(self, text: str) -> dict[int, float]:
        column, idf = self._column, self.idf
        weights = {
            term: (1.0 + math.log(count)) * float(idf[column[term]])
            for term, count in Counter(_terms(text, chars=self._chars)).items()
            if term in column
        }
        norms = dict.fromkeys(FAMILIES, 0.0)
        for term, value in weights.items():
            norms[term[:2]] += value * value
        return {column[term]: value / math.sqrt(norms[term[:2]]) for term, value in sorted(weights.items())}


def fit_ngrams(texts: Sequence[str], *, min_count: int, max_terms: int, chars: bool = True) -> Ngrams:
    """Learn the vocabulary: terms in at least `min_count` texts, the `max_terms` most frequent of them.

    chars: whether n-grams of characters are learned besides words and pairs of words.
    """
    frequency: Counter[str] = Counter()
    for text in texts:
        frequency.update(set(_terms(text, chars=chars)))
    often = sorted(
        (term for term, count in frequency.items() if count >= min_count), key=lambda term: (-frequency[term], term)
    )
    terms = tuple(sorted(often[:max_terms]))
    idf = [math.log((1 + len(texts)) / (1 + frequency[term])) + 1.0 for term in terms]
    return Ngrams(terms=terms, idf=np.array(idf, dtype=np.float32))
