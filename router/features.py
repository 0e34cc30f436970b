"""From queries to the blocks of numbers that heads weigh: embedding ⊕ surface ⊕ lexicon ⊕ n-grams ⊕ earlier messages ⊕ domain probabilities.

Each block is scaled so that one penalty serves all: the scales say how far a block may pull before the penalty bites.
They were set on the training split of the shipped data and are the same for every head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from router.earlier import brevity
from router.encoders.protocol import Matrix
from router.lexicon import Lexicon
from router.ngrams import Ngrams, SparseRows
from router.surface import surface_features

EMBEDDING_SCALE = 10.0
SURFACE_SCALE = 2.0
NGRAM_SCALE = 13.0
LEXICON_SCALE = 2.0
DOMAIN_SCALE = 0.5
EARLIER_SCALE = 10.0
PRESENT_SCALE = 1.0  # of the mark that anything was said before
FINER_SCALE = 5.0
CUE_LIMIT = 2.0  # of log(1 + count): a long text must not outvote itself
SMALLEST_PROBABILITY = 1e-4  # before the logarithm: no domain is ever quite impossible
SURFACE_LIMIT = 5.0  # standard deviations; one absurd text must not swing a decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The blocks of n texts. embedding (n, d), surface (n, s) and lexicon (n, l) standardised, ngrams n sparse rows.

    All are scaled already; a block that the router does without is None. `earlier` (n, e) says what the conversation was
    about, and once more by how short the message is; all zeros where it begins with this message. `domain` (n, k) holds log-probabilities of the
    domain head, for the heads that come after it; `finer` (n, k) the probabilities of a head with finer labels, whose sum
    over the fine labels of a coarse one is that one's probability.
    """

    embedding: Matrix
    surface: Matrix
    lexicon: Matrix | None
    ngrams: SparseRows | None
    earlier: Matrix | None = None
    domain: Matrix | None = None
    finer: Matrix | None = None

    def __len__(self) -> int:
        return len(self.embedding)

    def with_finer(self, probabilities: npt.NDArray[np.float64]) -> Features:
        """The same rows, knowing what a head with finer labels thinks of them.   probabilities: (n, k)."""
        return replace(self, finer=(probabilities * FINER_SCALE).astype(np.float32))

    def with_domain(self, probabilities: npt.NDArray[np.float64]) -> Features:
        """The same rows, knowing what the domain head thinks of them.   probabilities: (n, k)."""
        logs = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
        return replace(self, domain=((logs - logs.mean(axis=1, keepdims=True)) * DOMAIN_SCALE).astype(np.float32))


@dataclass(frozen=True)
class FeatureSpace:
    """What turns texts into blocks: the mean and deviation of each column, and the n-gram vocabulary."""

    embedding_mean: Matrix
    embedding_std: Matrix
    surface_mean: Matrix
    surface_std: Matrix
    ngrams: Ngrams | None
    lexicon: Lexicon | None
    earlier_dim: int = 0  # columns of a sentence embedding, where it learned from queries with earlier messages; else 0

    def transform(self, texts: Sequence[str], embedding: Matrix, earlier: Matrix | None = None) -> Features:
        """The scaled blocks of n texts with their (n, d) embeddings.

        earlier: (n, sentence_dim) of `earlier_rows`; None where no query has an earlier message. A space that learned
        without context passes over it.
        """
        surface = (surface_features(texts) - self.surface_mean) / self.surface_std
        return Features(
            embedding=_balanced((embedding - self.embedding_mean) / self.embedding_std, EMBEDDING_SCALE),
            surface=_balanced(np.clip(surface, -SURFACE_LIMIT, SURFACE_LIMIT), SURFACE_SCALE),
            lexicon=None if self.lexicon is None else _cues(self.lexicon, texts),
            ngrams=None if self.ngrams is None else _scaled(self.ngrams.transform(texts)),
            earlier=self._earlier(texts, earlier) if self.earlier_dim else None,
        )

    def _earlier(self, texts: Sequence[str], rows: Matrix | None) -> Matrix:
        """(n, 2 (earlier_dim + 1)): what was said before, that anything was, and both again times the message's brevity."""
        d = self.earlier_dim
        if rows is None:
            return np.zeros((len(texts), 2 * (d + 1)), dtype=np.float32)
        said = rows.any(axis=1, keepdims=True)
        meaning = _balanced((rows - self.embedding_mean[:d]) / self.embedding_std[:d], EARLIER_SCALE)
        told = np.hstack([meaning, np.full((len(rows), 1), PRESENT_SCALE, dtype=np.float32)]) * said
        return np.hstack([told, told * brevity(texts)]).astype(np.float32)


def _balanced(z: Matrix, scale: float) -> Matrix:
    """Standardised columns, scaled so that a typical row has the length `scale`, however many columns there are."""
    return (z * np.float32(scale / np.sqrt(z.shape[1]))).astype(np.float32)


def _cues(lexicon: Lexicon, texts: Sequence[str]) -> Matrix:
    return (np.minimum(np.log1p(lexicon.counts(texts)), CUE_LIMIT) * LEXICON_SCALE).astype(np.float32)


def _scaled(rows: SparseRows) -> SparseRows:
    return replace(rows, data=rows.data * np.float32(NGRAM_SCALE))


def fit_feature_space(
    texts: Sequence[str], embedding: Matrix, *, ngrams: Ngrams | None, lexicon: Lexicon | None, earlier_dim: int = 0
) -> FeatureSpace:
    """Learn means and deviations from n texts and their (n, d) embeddings.

    A constant column gets deviation 1, and so says nothing. earlier_dim: columns of a sentence embedding where any of the
    queries has earlier messages, else 0.
    """
    surface = surface_features(texts)
    return FeatureSpace(
        embedding_mean=embedding.mean(axis=0),
        embedding_std=_deviation(embedding),
        surface_mean=surface.mean(axis=0),
        surface_std=_deviation(surface),
        ngrams=ngrams,
        lexicon=lexicon,
        earlier_dim=earlier_dim,
    )


def _deviation(columns: Matrix) -> Matrix:
    std = columns.std(axis=0)
    return np.where(std > 0, std, 1.0).astype(np.float32)
