"""What an outcome table holds: models with their scores and costs, data sets, splits, the oracle, who alone is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from router.outcomes import Floats, Outcomes

UNNAMED = "(none)"
NO_COMPLETE = "no query has the score of every model"
NO_COST = "the cost of some model is not known"


def describe_outcomes(outcomes: Outcomes) -> dict[str, Any]:
    """The figures of `weighbridge data stats` for an outcome table, ready for JSON.

    Keys: name, queries, complete, texts, models, datasets, splits, best_single, oracle, only_right, fingerprint.
    A mean is over the cells that are known, and comes with their number; what cannot be had is null, and `reason`
    says why. best_single and oracle are over the complete queries. only_right: model -> other model -> the share of the
    queries both answered on which it scored higher (with scores of 0 and 1: it alone was right); null without such queries.
    """
    return {
        "name": outcomes.name,
        "queries": len(outcomes),
        "complete": int(outcomes.complete.sum()),
        "texts": len(np.unique(outcomes.unit)),
        "models": [_model(outcomes, j) for j in range(len(outcomes.models))],
        "datasets": _counts(outcomes.dataset),
        "splits": _counts(outcomes.split),
        "best_single": _of_choice(outcomes, oracle=False),
        "oracle": _of_choice(outcomes, oracle=True),
        "only_right": _only_right(outcomes),
        "fingerprint": outcomes.fingerprint(),
    }


def _model(outcomes: Outcomes, j: int) -> dict[str, Any]:
    score, cost = outcomes.score[:, j], outcomes.cost_usd[:, j]
    return {
        "model": outcomes.models[j],
        "mean_score": _mean(score),
        "scores": int(np.isfinite(score).sum()),
        "mean_cost_usd": _mean(cost),
        "costs": int(np.isfinite(cost).sum()),
    }


def _of_choice(outcomes: Outcomes, *, oracle: bool) -> dict[str, Any]:
    """Score and cost of the oracle, or of the model with the best mean score (the cheaper of two that tie)."""
    whole = outcomes.rows(outcomes.complete)
    n = len(whole)
    if not n:
        return {"model": None, "score": None, "cost_usd": None, "n": 0, "reason": NO_COMPLETE}
    best = int(whole.score.mean(axis=0).argmax())
    column = whole.oracle() if oracle else np.full(n, best)
    rows = np.arange(n)
    return {
        "model": None if oracle else whole.models[best],
        "score": _mean(whole.score[rows, column]),
        "cost_usd": _mean(whole.cost_usd[rows, column]) if whole.has_cost else None,
        "n": n,
        "reason": None if whole.has_cost else NO_COST,
    }


def _only_right(outcomes: Outcomes) -> dict[str, dict[str, float | None]]:
    score = outcomes.score
    return {
        model: {
            other: _share(score[:, i] > score[:, j], np.isfinite(score[:, i]) & np.isfinite(score[:, j]))
            for j, other in enumerate(outcomes.models)
            if i != j
        }
        for i, model in enumerate(outcomes.models)
    }


def _share(hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float | None:
    return float(hits[among].mean()) if among.any() else None


def _mean(cells: Floats) -> float | None:
    known = cells[np.isfinite(cells)]
    return float(known.mean()) if len(known) else None


def _counts(names: Iterable[str | None]) -> dict[str, int]:
    """Name -> number of queries, the greatest first, then by name."""
    found = Counter(name or UNNAMED for name in names)
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))
