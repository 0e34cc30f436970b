"""Choosing a threshold is its own step, on its own data: the calibration split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Every threshold that cuts n scores differently, and what its mistakes cost.

    threshold: (m,) ascending midpoints, with 0 and 1 at the ends.   loss_usd: (m,) dollars per query.
    share: (m,) the fraction of queries at or above the threshold.
    """

    threshold: Floats
    loss_usd: Floats
    share: Floats


def sweep(score: Floats, cheap: npt.NDArray[np.bool_], *, wrong_cheap_usd: float, wrong_dear_usd: float) -> Sweep:
    """Price all thresholds in one pass: sort once, accumulate twice.

    score: (n,) P(cheap label).   cheap: (n,) whether the label is the cheap one. A query at or above the threshold goes
    the cheap road; it costs `wrong_cheap_usd` if it should not have, one below costs `wrong_dear_usd` if it should.
    Raises PolicyError for n = 0 or shapes that disagree.
    """
    if score.ndim != 1 or score.shape != cheap.shape or len(score) == 0:
        raise PolicyError(
            f"`score` is {score.shape} and `cheap` is {cheap.shape}; wanted two times (n,), n > 0. The calibration split must hold labelled queries."
        )
    order = np.argsort(score, kind="stable")
    ranked, truth = score[order], cheap[order]
    missed = np.concatenate([[0], np.cumsum(truth)]) * wrong_dear_usd
    harmed = np.concatenate([np.cumsum((~truth)[::-1])[::-1], [0]]) * wrong_cheap_usd
    # a cut stands only between two scores that differ
    # and none above a score of 1, which every threshold in [0, 1] lets pass
    keep = np.concatenate([[True], ranked[1:] > ranked[:-1], [ranked[-1] < 1.0]])
    middle = np.concatenate([[0.0], (ranked[1:] + ranked[:-1]) / 2, [1.0]])
    below = np.arange(len(score) + 1)
    return Sweep(
        threshold=middle[keep],
        loss_usd=((missed + harmed) / len(score))[keep],
        share=1.0 - below[keep] / len(score),
    )


def for_prices(score: Floats, cheap: npt.NDArray[np.bool_], *, wrong_cheap_usd: float, wrong_dear_usd: float) -> float:
    """The threshold with the smallest loss; among equals, the one nearest to the Bayes threshold of the two prices.

    >>> for_prices(np.array([0.1, 0.4, 0.8]), np.array([False, True, True]), wrong_cheap_usd=1, wrong_dear_usd=1)
    0.25
    """
    swept = sweep(score, cheap, wrong_cheap_usd=wrong_cheap_usd, wrong_dear_usd=wrong_dear_usd)
    bayes = wrong_cheap_usd / (wrong_cheap_usd + wrong_dear_usd)
    best = np.flatnonzero(swept.loss_usd <= swept.loss_usd.min() + 1e-15)
    return float(swept.threshold[best[np.abs(swept.threshold[best] - bayes).argmin()]])
