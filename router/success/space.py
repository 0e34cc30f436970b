"""From queries to the standardised columns that success heads weigh: embedding ⊕ surface, and words reduced to axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.encoders.protocol import Matrix
from router.ngrams import Ngrams
from router.surface import surface_features

SURFACE_SCALE = 0.5  # length of a typical row of surface features, where that of the embedding is 1
LIMIT = 5.0  # standard deviations; one absurd value must not swing a decision


@dataclass(frozen=True)
class SuccessSpace:
    """Mean and deviation of each column of the embedding and of the surface features; a constant column says nothing."""

    embedding_mean: Matrix
    embedding_std: Matrix
    surface_mean: Matrix
    surface_std: Matrix

    def dense(self, texts: Sequence[str], embedding: Matrix) -> Matrix:
        """(n, d + s) float32: the scaled embedding, then the scaled surface features."""
        return self._dense(surface_features(texts), embedding)

    def _dense(self, surface: Matrix, embedding: Matrix) -> Matrix:
        scaled = _scaled(surface, self.surface_mean, self.surface_std, SURFACE_SCALE)
        return np.hstack([_scaled(embedding, self.embedding_mean, self.embedding_std, 1.0), scaled])


def fit_space(texts: Sequence[str], embedding: Matrix) -> SuccessSpace:
    """Learn means and deviations from n texts and their (n, d) embeddings."""
    return fitted_space(texts, embedding)[0]


def fitted_space(texts: Sequence[str], embedding: Matrix) -> tuple[SuccessSpace, Matrix]:
    """The space of n texts and their (n, d + s) dense rows in it; the texts are read once."""
    surface = surface_features(texts)
    space = SuccessSpace(
        embedding_mean=embedding.mean(axis=0),
        embedding_std=_deviation(embedding),
        surface_mean=surface.mean(axis=0),
        surface_std=_deviation(surface),
    )
    return space, space._dense(surface, embedding)


def _scaled(rows: Matrix, mean: Matrix, std: Matrix, length: float) -> Matrix:
    z = np.clip((rows - mean) / std, -LIMIT, LIMIT)
    scaled: Matrix = (z * np.float32(length / np.sqrt(z.shape[1]))).astype(np.float32)
    return scaled


def _deviation(columns: Matrix) -> Matrix:
    std = columns.std(axis=0)
    return np.where(std > 1e-6, std, np.inf).astype(np.float32)


@dataclass(frozen=True)
class WordSpace:
    """TF-IDF of words and word pairs, seen along the r axes that hold most of it.   axes: (terms, r) orthonormal."""

    ngrams: Ngrams
    axes: Matrix

    def reduced(self, texts: Sequence[str]) -> Matrix:
        """(n, r) float32."""
        return self.ngrams.transform(texts).dot(self.axes).astype(np.float32)
