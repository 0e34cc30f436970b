"""Scores as soft labels: how much of a row belongs to each class, so that graded scores need no threshold.

A score s weighs its row twice: with s as a success and with 1 − s as a failure. Both classes of one model, or the four
joint classes of a pair; a score of 0 or 1 leaves one class with all the weight.
"""

from __future__ import annotations

import numpy as np

from router.baselines.outcomes.protocol import Floats, Ints

WRONG, RIGHT = 0, 1
NEITHER, WEAK_ONLY, STRONG_ONLY, BOTH = range(4)  # weak: the cheaper model of the pair, the first of the table
MARGINALS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (4, 2) joint class -> who is right


def single_shares(score: Floats) -> Floats:
    """(n, 2) shares of (wrong, right) of one model's (n,) scores.

    >>> single_shares(np.array([1.0, 0.25])).tolist()
    [[0.0, 1.0], [0.75, 0.25]]
    """
    return np.column_stack([1.0 - score, score])


def joint_shares(score: Floats) -> Floats:
    """(n, 4) shares of (neither, weak only, strong only, both) of a pair's (n, 2) scores, taken as independent.

    >>> joint_shares(np.array([[0.0, 1.0], [0.5, 1.0]])).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    weak, strong = score[:, 0], score[:, 1]
    return np.column_stack([(1 - weak) * (1 - strong), weak * (1 - strong), (1 - weak) * strong, weak * strong])


def weighted_rows(shares: Floats) -> tuple[Ints, Ints, Floats]:
    """(row numbers, classes, weights) of all shares above 0: a row stands there once per class that it belongs to."""
    row, label = np.nonzero(shares > 0)
    return row, label, shares[row, label]
