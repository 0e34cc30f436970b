"""A head: one linear classifier on the features, with the calibration that makes its probabilities honest.

The logits are a plain sum of blocks, so every contribution to a decision can be read off exactly (see `explain`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.calibration import Calibration
from router.encoders.protocol import Matrix
from router.errors import BundleError
from router.features import Features

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """A fitted multinomial head.

    weights: block name -> (d_block, k) float32; a block that is absent was not chosen.   intercept: (k,).
    """

    name: str
    classes: tuple[str, ...]
    weights: Mapping[str, Matrix]
    intercept: Matrix
    calibration: Calibration

    def contributions(self, features: Features) -> dict[str, Floats]:
        """Block name -> (n, k): what each block adds to the logits; with the intercept they sum to `logits`.

        Raises BundleError where the features lack a block that this head weighs, or have another width.
        """
        parts = {}
        for block, weights in self.weights.items():
            rows = getattr(features, block)
            width = None if rows is None else rows.n_columns if block == "ngrams" else rows.shape[1]
            if width != len(weights):
                raise BundleError(
                    f"head {self.name!r} weighs {len(weights)} columns of block {block!r}, the features have {width}; train again."
                )
            parts[block] = (
                rows.dot(weights) if block == "ngrams" else rows.astype(np.float64) @ weights.astype(np.float64)
            )
        return parts

    def logits(self, features: Features) -> Floats:
        """(n, k) before calibration."""
        start: Floats = np.tile(self.intercept.astype(np.float64), (len(features), 1))
        return sum(self.contributions(features).values(), start)

    def probabilities(self, features: Features) -> Floats:
        """(n, k) calibrated; rows sum to 1."""
        return self.calibration.apply(self.logits(features))
