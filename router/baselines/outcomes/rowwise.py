"""Products in which a row's result is its own: the same in any company, whatever the number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from router.baselines.outcomes.protocol import Floats

BLOCK = 256  # rows: a matrix product rounds its last bits differently for other shapes, so every block has this one
DECIMALS = 9  # of every value that leaves a router; what is left of rounding lies six decimals below


def product(rows: npt.NDArray[Any], weights: Floats) -> Floats:  # Any: single or double precision
    """(n, c) double-precision `rows @ weights`, taken in blocks of one shape.   rows: (n, d).   weights: (d, c).

    >>> product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    wide = np.ascontiguousarray(weights, dtype=np.float64)
    result = np.empty((len(rows), wide.shape[1]))
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        block = np.zeros((BLOCK, len(wide)))
        block[: len(part)] = part
        result[start : start + len(part)] = (block @ wide)[: len(part)]
    return result


def settled(values: npt.NDArray[Any]) -> Floats:  # Any: single or double precision
    """Values with 9 decimals, as every router gives them."""
    wide: Floats = np.asarray(values, dtype=np.float64)
    return np.round(wide, DECIMALS) + 0.0  # −0.0 is 0.0
