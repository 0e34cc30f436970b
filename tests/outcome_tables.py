"""A small table of outcomes that a router can learn from, made of words, and one router fitted on it for all tests.

Sums are easy for every model, proofs only for the large one, rhymes for the middle one as well: who is good enough can be
read off the words. Written by a program; no model was asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from router.encoders.hashing import HashingEncoder
from router.outcome_router import ModelRouter, ScoredQueries
from router.outcome_training import fit_outcome_router
from router.outcomes import Outcomes, equal_texts

MODELS = ("small", "middle", "large")
COST_USD = (0.0001, 0.0008, 0.004)
RIGHT = {"sum": (0.95, 0.95, 0.95), "rhyme": (0.1, 0.9, 0.9), "proof": (0.05, 0.2, 0.95)}
STARTS = {
    "sum": ("add the numbers", "what is the total of", "how much do we get from"),
    "rhyme": ("write a rhyme about", "find a verse that praises", "give me a poem on"),
    "proof": ("prove the theorem about", "show by induction that", "derive a bound for"),
}
THINGS = {
    "sum": ("apples and pears", "seven and nine", "two invoices", "all the receipts", "five dozen eggs"),
    "rhyme": ("the autumn sea", "an old lighthouse", "rain on tin roofs", "a sleeping cat", "the morning train"),
    "proof": ("prime gaps", "planar graphs", "convex bodies", "random walks", "finite groups"),
}
ENDS = (
    "please",
    "for my class",
    "in one line",
    "and explain it",
    "as short as you can",
    "today",
    "for a friend",
    "again",
)


def table(
    n: int = 300, *, costs: bool = True, splits: bool = True, models: tuple[str, ...] = MODELS, seed: int = 0
) -> Outcomes:
    """n queries: by turns of each kind; with `splits`, every third one is a test row."""
    rng = np.random.default_rng(seed)
    kinds = [list(RIGHT)[i % 3] for i in range(n)]
    texts = [
        f"{rng.choice(STARTS[kind])} {rng.choice(THINGS[kind])} {rng.choice(ENDS)}, number {i}"
        for i, kind in enumerate(kinds)
    ]
    column = [MODELS.index(model) for model in models]
    chance = np.array([RIGHT[kind] for kind in kinds])
    score = (rng.random(chance.shape) < chance).astype(np.float64)[:, column]
    cost = np.array(COST_USD) * (0.5 + rng.random(chance.shape))
    missing = np.full(score.shape, np.nan)
    return Outcomes(
        name="words",
        ids=tuple(f"q{i:04d}" for i in range(n)),
        texts=tuple(texts),
        models=models,
        score=score,
        cost_usd=cost[:, column] if costs else missing,
        input_tokens=missing,
        output_tokens=missing,
        latency_ms=missing,
        dataset=tuple(kinds),
        split=tuple(("test" if i // 3 % 3 == 0 else "train") if splits else None for i in range(n)),
        unit=equal_texts(texts),
    )


@cache
def fitted(*, costs: bool = True, models: tuple[str, ...] = MODELS) -> ModelRouter:
    """A router fitted on that table, the same object for whoever asks."""
    return fit_outcome_router(table(costs=costs, models=models), HashingEncoder(), seed=0)


def write_table(outcomes: Outcomes, path: Path) -> Path:
    """The table as JSONL, one line per query and model."""
    lines = []
    for i, name in enumerate(outcomes.ids):
        for j, model in enumerate(outcomes.models):
            row = {"query_id": name, "query": outcomes.texts[i], "model": model, "score": outcomes.score[i, j]}
            row |= {"dataset": outcomes.dataset[i], "split": outcomes.split[i], "use": outcomes.use}
            row |= {"cost_usd": None if np.isnan(outcomes.cost_usd[i, j]) else outcomes.cost_usd[i, j]}
            lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scored(
    p: Sequence[Sequence[float]],
    score: Sequence[Sequence[float]],
    *,
    usd: list[float] | None = None,
    unit: list[int] | None = None,
) -> ScoredQueries:
    """n queries worked by hand; every call costs the same dollars per model, expected and paid."""
    values, scores = np.array(p, dtype=np.float64), np.array(score, dtype=np.float64)
    cost = None if usd is None else np.tile(np.array(usd, dtype=np.float64), (len(values), 1))
    return ScoredQueries(
        ids=tuple(f"c{i}" for i in range(len(values))),
        p=values,
        expected_usd=cost,
        score=scores,
        paid_usd=np.full(values.shape, np.nan) if cost is None else cost,
        unit=np.arange(len(values)) if unit is None else np.array(unit, dtype=np.intp),
    )
