"""What the text's surface, its cue words and its n-grams add to the logits of every head, computed outside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p

import numpy as np
import numpy.typing as npt

from router.compiled.layout import Stack
from router.compiled.words import Cues, NgramLogits
from router.encoders.protocol import Matrix
from router.features import CUE_LIMIT, LEXICON_SCALE, NGRAM_SCALE, SURFACE_LIMIT, SURFACE_SCALE, FeatureSpace
from router.lexicon import Lexicon
from router.ngrams import Ngrams
from router.surface import FEATURE_NAMES, surface_features

Arrays = dict[str, Matrix]
Floats = npt.NDArray[np.float64]


def sparse_weights(space: FeatureSpace, stack: Stack) -> Arrays:
    """The weights of the blocks outside the graph, (rows of the block, width) each, scales folded in."""
    d = len(FEATURE_NAMES)
    weights = {"surface": stack.block("surface", d) * (SURFACE_SCALE / np.sqrt(d))}
    if space.lexicon is not None:
        weights["lexicon"] = stack.block("lexicon", len(space.lexicon.columns)) * LEXICON_SCALE
    if space.ngrams is not None:
        weights["ngrams"] = stack.block("ngrams", len(space.ngrams.terms)) * NGRAM_SCALE
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


class SparseLogits:
    """Adds up the blocks of one text for one or several stacks of heads, side by side.

    weights: per stack as `sparse_weights` made them. The stacks were fitted on the same texts, so that they share surface
    scales, lexicon and vocabulary; what a router does without is None.
    """

    def __init__(
        self,
        weights: Sequence[Arrays],
        *,
        surface_mean: Matrix,
        surface_std: Matrix,
        ngrams: Ngrams | None,
        lexicon: Lexicon | None,
    ) -> None:
        def side_by_side(block: str) -> Matrix:
            return np.hstack([stack[block] for stack in weights])

        self._mean, self._std = surface_mean, surface_std
        self._surface = side_by_side("surface").astype(np.float64)
        self._cues = None if lexicon is None else Cues(lexicon)
        self._lexicon = None if lexicon is None else side_by_side("lexicon").astype(np.float64)
        self._ngrams = None if ngrams is None else NgramLogits(ngrams, side_by_side("ngrams"))

    def logits(self, text: str) -> Floats:
        """(columns of all stacks,) what the blocks add."""
        z = (surface_features([text])[0] - self._mean) / self._std
        total: Floats = z.clip(-SURFACE_LIMIT, SURFACE_LIMIT).astype(np.float64) @ self._surface
        if self._cues is not None and self._lexicon is not None:
            for column, count in self._cues.counts(text).items():
                total += min(log1p(count), CUE_LIMIT) * self._lexicon[column]
        if self._ngrams is not None:
            total += self._ngrams.of(text)
        return total
