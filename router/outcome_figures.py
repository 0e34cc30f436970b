"""What a policy over models does on queries with recorded scores: quality, dollars, shares, beside the best single model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from router.files import DECIMALS
from router.outcome_policy import AnyPolicy
from router.outcome_router import USD_DECIMALS, Floats, Ints, ScoredQueries
from router.outcome_targets import best_single

LEVEL = 0.95


def outcome_figures(policy: AnyPolicy, sample: ScoredQueries) -> dict[str, Any]:  # Any: what JSON can hold
    """The figures of one policy over n > 0 complete queries, ready for JSON.

    Keys: n, units, score, score_ci, expected_usd (predicted dollars per query), recorded_usd (over the `priced` queries
    whose chosen call has a recorded cost), priced, share (model -> share of the calls), best_single {model, score,
    recorded_usd}, delta and delta_ci (score minus that of the best single model, over the same queries). What cannot be
    had is null. The best single model is chosen on these very queries, which favours it.
    """
    models, rows = policy.models, np.arange(len(sample))
    choice = policy.choose(sample.p, sample.expected_usd).model
    best = best_single(sample)
    score, other = sample.score[rows, choice], sample.score[:, best]
    paid = sample.paid_usd[rows, choice]
    counts = np.bincount(choice, minlength=len(models)) / len(sample)
    return {
        "n": len(sample),
        "units": len(np.unique(sample.unit)),
        "score": _rounded(score),
        "score_ci": mean_interval(score, sample.unit),
        "expected_usd": None if sample.expected_usd is None else _dollars(sample.expected_usd[rows, choice]),
        "recorded_usd": _dollars(paid),
        "priced": int(np.isfinite(paid).sum()),
        "share": {model: round(float(share), DECIMALS) for model, share in zip(models, counts, strict=True)},
        "best_single": {
            "model": models[best],
            "score": _rounded(other),
            "recorded_usd": _dollars(sample.paid_usd[:, best]),
        },
        "delta": _rounded(score - other),
        "delta_ci": mean_interval(score - other, sample.unit),
    }


def mean_interval(values: Floats, unit: Ints) -> list[float] | None:
    """The normal 95 % interval of the mean of (n,) values that come in groups; None for a single group.

    Source: the variance of a mean over clusters, with the factor u / (u − 1) for u groups.
    """
    index = np.unique(unit, return_inverse=True)[1]
    groups = int(index.max()) + 1 if len(index) else 0
    if groups < 2:
        return None
    mean = values.mean()
    sums = np.bincount(index, weights=values - mean)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(np.sqrt((sums**2).sum() * groups / (groups - 1))) / len(values)
    return [round(float(mean) - half, DECIMALS), round(float(mean) + half, DECIMALS)]


def shares_text(share: dict[str, float], models: Sequence[str]) -> str:
    """The models that get calls, in their order: "chat 70.0 %, agent 30.0 %".

    >>> shares_text({"a": 0.7, "b": 0.3, "c": 0.0}, ["a", "b", "c"])
    'a 70.0 %, b 30.0 %'
    """
    return ", ".join(f"{model} {share[model] * 100:.1f} %" for model in models if share[model] > 0)


def _rounded(values: Floats) -> float:
    return round(float(values.mean()), DECIMALS)


def _dollars(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), USD_DECIMALS) if len(known) else None
