"""What a compiled form loses or keeps against the fitted router, on queries with labels, with intervals over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from router.dataset import Dataset
from router.files import DECIMALS
from router.grouping import units
from router.policy import true_route
from router.routes import RouteTable
from router.types import Decision, Query

DRAWS = 2_000
LEVEL = 0.95
NORMAL = 1.959964  # the two-sided quantile of that level

Floats = npt.NDArray[np.float64]
Figure = dict[str, Any]  # Any: counts, shares and their bounds, as JSON holds them


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions send a query the same way, for the same reason, with the same further desks."""
    return (one.route, one.rule, one.also) == (other.route, other.rule, other.also)


def agreement(ours: Sequence[Decision], theirs: Sequence[Decision]) -> Figure:
    """The share of equal decisions with its Wilson interval, and the largest difference of any probability."""
    equal = [same(one, other) for one, other in zip(ours, theirs, strict=True)]
    furthest = max(
        abs(p - other.probabilities[head][label])
        for one, other in zip(ours, theirs, strict=True)
        for head, labels in one.probabilities.items()
        for label, p in labels.items()
    )
    return {**wilson(sum(equal), len(equal)), "largest_difference": round(furthest, DECIMALS)}


def accuracies(queries: Sequence[Query], decisions: Sequence[Decision], table: RouteTable) -> dict[str, Floats]:
    """Per head, and for `route`: (n,) whether it was right, as 0 or 1; NaN where the labels leave it open."""
    wanted = [true_route(table, query.labels) for query in queries]
    rows = {"route": _right(wanted, [decision.route for decision in decisions])}
    for head in decisions[0].probabilities:
        truth = [query.labels.heads.get(head) for query in queries]
        rows[head] = _right(truth, [decision.label(head) for decision in decisions])
    return rows


def figures(part: Dataset, ours: Sequence[Decision], fitted: Sequence[Decision], table: RouteTable) -> Figure:
    """Agreement with the fitted router, and accuracy and its loss against it with bootstrap intervals over people."""
    mine, theirs = (accuracies(part.queries, decisions, table) for decisions in (ours, fitted))
    unit = units(part.queries)
    measured: Figure = {"n": len(part), "decisions_equal": agreement(ours, fitted), "accuracy": {}, "loss": {}}
    for name, right in mine.items():
        known = ~np.isnan(right)
        if known.any():
            measured["accuracy"][name] = bootstrap(right[known], np.array(unit)[known])
            measured["loss"][name] = bootstrap((theirs[name] - right)[known], np.array(unit)[known])
    return measured


def bootstrap(values: Floats, unit: npt.NDArray[np.integer[Any]], *, seed: int = 0) -> Figure:
    """The mean of n values with its 95 % percentile interval, whole units drawn. Low and high are None for one unit."""
    names, index = np.unique(unit, return_inverse=True)
    figure: Figure = {"n": len(values), "mean": round(float(values.mean()), DECIMALS), "low": None, "high": None}
    if len(names) > 1:
        sums, sizes = np.bincount(index, weights=values), np.bincount(index)
        drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
        means = (drawn @ sums) / (drawn @ sizes)
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        figure |= {"low": round(float(low), DECIMALS), "high": round(float(high), DECIMALS)}
    return figure


def wilson(hits: int, n: int) -> Figure:
    """A share of n > 0 with its Wilson interval.

    >>> wilson(10, 10)["low"]
    0.722467
    """
    share, z = hits / n, NORMAL
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {
        "n": n,
        "share": round(share, DECIMALS),
        "low": round(float(middle - half), DECIMALS),
        "high": round(float(min(1.0, middle + half)), DECIMALS),
    }


def _right(truth: Sequence[str | None], predicted: Sequence[str]) -> Floats:
    return np.array(
        [np.nan if wanted is None else float(wanted == got) for wanted, got in zip(truth, predicted, strict=True)]
    )


def line(figure: Mapping[str, Any]) -> str:
    """A mean with its interval, as a card prints it.

    >>> line({"mean": 0.5, "low": 0.4, "high": 0.6})
    '0.500 [0.400, 0.600]'
    """
    bounds = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['mean']:.3f}{bounds}"
