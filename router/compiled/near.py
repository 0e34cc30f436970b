"""Which training queries may be the nearest: eight-bit cosines that say how far off they can be.

The exact search reads every training row in single precision, which costs more than all else beside the encoder; a quarter
of the bytes leave a few dozen candidates, and the exact search over those finds the same neighbours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from router.encoders.protocol import Matrix

LARGEST = 63  # 7 bits: processors without VNNI add pairs of products in 16 bits, which 8 would overflow
STEPS = 255  # of the query's side, from its smallest coordinate (or 0) to its largest (or 0)
ROUNDING = 1e-4  # more than single precision can be off in the products and scales


def quantised(reference: Matrix) -> tuple[npt.NDArray[np.int8], Matrix]:
    """(m, d) whole numbers, and (m,) by what each row of them is to be multiplied."""
    scale = (np.abs(reference).max(axis=1) / LARGEST).astype(np.float32)
    scale[scale == 0] = 1.0
    return np.rint(reference / scale[:, None]).astype(np.int8), scale


def reference_slack(reference: Matrix) -> float:
    """The length of the largest rounding error of a reference row."""
    whole, scale = quantised(reference)
    return float(np.sqrt(((reference - whole * scale[:, None]) ** 2).sum(axis=1).max()))


def slack(row: Matrix, of_reference: float) -> float:
    """By how much an eight-bit cosine of a (d,) unit row may be off, by Cauchy and Schwarz on both rounding errors.

    of_reference: as `reference_slack` gives it.
    """
    step = (max(float(row.max()), 0.0) - min(float(row.min()), 0.0)) / STEPS
    of_row = step / 2 * np.sqrt(len(row))
    return float(of_row + (1.0 + of_row) * of_reference + ROUNDING)
