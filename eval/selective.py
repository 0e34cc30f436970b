"""Selective prediction: what a router risks when it answers only what it is sure of, and how well a score finds strangers.

A threshold cannot cut between equal confidences, so queries that tie are answered or left together, as one block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.intervals import DRAWS, LEVEL, MeanDraws
from router.files import DECIMALS

DRAWS_AT_ONCE = 100  # of the bootstrap: some 5 MB per 6,000 queries
SLACK = 1e-12  # what a share may miss its target by, from rounding alone
COVERAGES = (0.8, 0.9, 0.95)
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverage:
    """What answering the surest queries covers and risks, one entry per block, from the surest block to all queries.

    threshold: (b,) the lowest confidence answered, falling.   coverage: (b,) share of queries answered.   risk: (b,) their
    mean loss.   aurc: the mean risk over all coverages 1/n ... 1, where a block is entered in random order.
    """

    threshold: Floats
    coverage: Floats
    risk: Floats
    aurc: float

    def risk_at(self, coverage: float) -> float:
        """The risk of the highest threshold that covers at least this share. Raises ValueError outside (0, 1]."""
        return float(_risk_at(self.coverage, self.risk, coverage))

    def coverage_at(self, risk: float) -> float:
        """The largest share that can be answered at no more than this mean loss; 0 where no threshold holds it.

        It is chosen on the very queries it is measured on: a description of them, no guarantee for others.
        """
        return float(_coverage_at(self.coverage, self.risk, risk))


def risk_coverage(confidence: Floats, loss: Floats) -> RiskCoverage:
    """Sort once, accumulate.   confidence, loss: (n,), higher confidence is surer.

    Raises ValueError for n = 0, other shapes, or what is not finite.
    Source: El-Yaniv and Wiener, 2010; AURC: Geifman, Uziel and El-Yaniv, 2019.
    """
    _check(confidence, loss)
    blocks = _blocks(-confidence)
    coverage, risk, area = _curve(blocks, np.ones(len(loss)), loss)
    return RiskCoverage(threshold=-blocks.value, coverage=coverage, risk=risk, aurc=float(area))


def selective_figures(
    confidence: Floats,
    loss: Floats,
    groups: Sequence[object],
    *,
    rng: np.random.Generator,
    coverages: Sequence[float] = COVERAGES,
    risks: Sequence[float] = (),
    draws: int = DRAWS,
) -> dict[str, Any]:
    """The curve's figures with 95 % intervals by bootstrap over groups, for JSON.

    `risk` is that of answering everything. `aurc_oracle` is the area if confidence ordered the queries by their loss,
    `aurc_random` if it knew nothing of it. Raises ValueError as `risk_coverage` does.
    """
    _check(confidence, loss)
    blocks = _blocks(-confidence)

    def figures(weights: Floats) -> Floats:
        coverage, risk, area = _curve(blocks, weights, loss)
        at = [_risk_at(coverage, risk, share) for share in coverages]
        at += [_coverage_at(coverage, risk, limit) for limit in risks]
        return np.stack([area, risk[..., -1], *at], axis=-1)

    found = _drawn(groups, len(loss), rng, draws, figures)
    values = [_round(value) for value in figures(np.ones(len(loss)))]
    bounds = [[_round(low), _round(high)] for low, high in np.quantile(found, TAILS, axis=0).T]
    rest = list(zip(values, bounds, strict=True))[2:]
    return {
        "n": len(loss),
        "n_units": len({str(group) for group in groups}),
        "aurc": values[0],
        "aurc_ci": bounds[0],
        "aurc_oracle": _round(risk_coverage(-loss, loss).aurc),
        "aurc_random": _round(loss.mean()),
        "risk": values[1],
        "risk_ci": bounds[1],
        "risk_at": [
            {"coverage": share, "risk": value, "risk_ci": ci}
            for share, (value, ci) in zip(coverages, rest[: len(coverages)], strict=True)
        ],
        "coverage_at": [
            {"risk": limit, "coverage": value, "coverage_ci": ci}
            for limit, (value, ci) in zip(risks, rest[len(coverages) :], strict=True)
        ],
    }


def auroc(score: Floats, positive: Bools) -> float:
    """How often a positive outscores a negative, a tie counting half: the rank statistic of Mann and Whitney.

    score: (n,), higher says positive.   positive: (n,). Raises ValueError unless there is one of each.
    """
    _check_both(score, positive)
    return float(_auroc(_blocks(score), np.ones(len(score)), positive))


def bootstrap_auroc(
    score: Floats,
    positive: Bools,
    groups: Sequence[object],
    *,
    rng: np.random.Generator,
    against: Floats | None = None,
    draws: int = DRAWS,
) -> MeanDraws:
    """The AUROC of `score` with its bootstrap over whole groups; minus that of `against`, where one is given.

    The difference is paired: both scores see the same draws. A draw without one query of each kind has no AUROC and is
    left out. Raises ValueError as `auroc` does, and where no draw has both kinds.
    """
    scores = [score] if against is None else [score, against]
    for each in scores:
        _check_both(each, positive)
    cut = [_blocks(each) for each in scores]

    def figure(weights: Floats) -> Floats:
        first, *others = (_auroc(blocks, weights, positive) for blocks in cut)
        return first - others[0] if others else first

    found = _drawn(groups, len(score), rng, draws, figure)
    known = found[np.isfinite(found)]
    if len(known) < 2:
        raise ValueError("no draw of groups holds a query of each kind; wanted more groups that do")
    return MeanDraws(estimate=float(figure(np.ones(len(score)))), draws=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Queries sorted by a rising value and cut where it changes.   order: (n,).   start, value: (b,) of each block."""

    order: Ints
    start: Ints
    value: Floats

    def sums(self, values: Floats) -> Floats:
        """(..., n) values of the queries -> (..., b) sums over the blocks."""
        total: Floats = np.add.reduceat(values[..., self.order], self.start, axis=-1)
        return total


def _blocks(values: Floats) -> _Blocks:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return _Blocks(order=order, start=start, value=ordered[start])


def _curve(blocks: _Blocks, weights: Floats, loss: Floats) -> tuple[Floats, Floats, Floats]:
    """(..., n) how often each query was drawn -> coverage and risk (..., b) and the area under the curve (...,).

    A block of mean loss m, entered with K queries and loss L, risks (L + (i − K) m) / i = m + (L − K m) / i after i in
    all, in expectation; so the sum over its i needs only m and harmonic numbers.
    """
    added, gain = blocks.sums(weights), blocks.sums(weights * loss)
    count, lost = added.cumsum(axis=-1), gain.cumsum(axis=-1)
    before = count - added
    mean = np.divide(gain, added, out=np.zeros_like(gain), where=added > 0)
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, int(count.max()) + 1))]
    steps = harmonic[count.astype(np.intp)] - harmonic[before.astype(np.intp)]
    area = (mean * added + (lost - gain - before * mean) * steps).sum(axis=-1) / count[..., -1]
    risk = np.divide(lost, count, out=np.full_like(lost, np.nan), where=count > 0)
    return count / count[..., -1:], risk, area


def _risk_at(coverage: Floats, risk: Floats, share: float) -> Floats:
    if not 0 < share <= 1:
        raise ValueError(f"a coverage of {share} was asked for; wanted one in (0, 1]")
    first = np.argmax(coverage >= share - SLACK, axis=-1)
    at: Floats = np.take_along_axis(risk, first[..., None], axis=-1)[..., 0]
    return at


def _coverage_at(coverage: Floats, risk: Floats, limit: float) -> Floats:
    held: Floats = np.where(risk <= limit + SLACK, coverage, 0.0).max(axis=-1)
    return held


def _auroc(blocks: _Blocks, weights: Floats, positive: Bools) -> Floats:
    """(..., n) how often each query was drawn -> (...,); NaN where only one kind was."""
    found, other = blocks.sums(weights * positive), blocks.sums(weights * ~positive)
    won = (found * (other.cumsum(axis=-1) - other / 2)).sum(axis=-1)
    pairs = found.sum(axis=-1) * other.sum(axis=-1)
    share: Floats = np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)
    return share


def _drawn(
    groups: Sequence[object], n: int, rng: np.random.Generator, draws: int, figure: Callable[[Floats], Floats]
) -> Floats:
    """(draws, ...) the figure of each draw of whole groups; `figure` takes (d, n) how often each query was drawn."""
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} queries; wanted one each")
    index = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
    size = int(index.max()) + 1
    parts = []
    for start in range(0, draws, DRAWS_AT_ONCE):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=min(DRAWS_AT_ONCE, draws - start))
        parts.append(figure(drawn.astype(np.float64)[:, index]))
    return np.concatenate(parts)


def _check(score: Floats, other: npt.NDArray[Any]) -> None:
    if len(score) == 0 or score.ndim != 1 or score.shape != other.shape:
        raise ValueError(f"the values are {score.shape} and {other.shape}; wanted (n,) twice, with n > 0")
    if not (np.isfinite(score).all() and np.isfinite(other).all()):
        raise ValueError("a value is not finite; wanted a number for every query")


def _check_both(score: Floats, positive: Bools) -> None:
    _check(score, positive)
    if positive.dtype != bool or positive.all() or not positive.any():
        raise ValueError("wanted true and false, at least one of each")


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), DECIMALS)
