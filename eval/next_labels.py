"""Which queries to label next: those that the heads are unsure of and that lie far from what is labelled already.

A query's worth is the mean entropy of the heads that lack its label, in shares of the most there could be, times its
distance to the nearest query that is labelled or has been chosen: greedy k-centre, weighed by doubt (Sener and Savarese,
2018, for the one half; Lewis and Gale, 1994, for the other).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.heads import rounded
from eval.labelled_rows import HeldOutHeads, LabelledRows
from router.dataset import Dataset
from router.encoders.protocol import Matrix, sentence_part
from router.scoring import Floats
from router.types import Query

CHUNK = 1_024  # candidates compared with the labelled queries at a time
SMALLEST = 1e-12
REPEAT = 1e-6  # of distance: the same query again, to single precision
REPEATED = -1.0  # below any value
NO_CANDIDATE = "every query has all its labels; give unlabelled ones with --pool FILE"
ONLY_REPEATS = "all other candidates repeat a labelled or a chosen query"

Figures = dict[str, Any]  # Any: JSON's leaves


def doubt(p: Floats) -> Floats:
    """(n,) entropy of each row as a share of the most that k classes can have.   p: (n, k).

    >>> doubt(np.array([[0.5, 0.5], [1.0, 0.0]])).round(6).tolist()
    [1.0, 0.0]
    """
    entropy: Floats = -(p * np.log(np.maximum(p, SMALLEST))).sum(axis=1) / np.log(p.shape[1])
    return np.maximum(entropy, 0.0)


def nearest(rows: Matrix, known: Matrix) -> Floats:
    """(m,) cosine distance of each row to the nearest of the known ones, 1 where there are none; rows of unit length."""
    distance = np.ones(len(rows))
    for start in range(0, len(rows) if len(known) else 0, CHUNK):
        part = slice(start, start + CHUNK)
        distance[part] = 1.0 - (rows[part] @ known.T).max(axis=1)
    return np.maximum(distance, 0.0)


def choose(worth: Floats, rows: Matrix, known: Matrix, *, count: int) -> list[tuple[int, float]]:
    """Greedily the rows with the largest worth × distance to all that is known or chosen: (position, distance then).

    Ends early where only repeats are left.   worth: (m,).   rows: (m, d), unit length.
    """
    distance = nearest(rows, known)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count:
        value = np.where(distance > REPEAT, worth * distance, REPEATED)
        best = int(value.argmax())
        if value[best] == REPEATED:
            break
        chosen.append((best, float(distance[best])))
        distance = np.minimum(distance, np.maximum(1.0 - rows @ rows[best], 0.0))
        distance[best] = 0.0
    return chosen


def next_labels(
    rows: LabelledRows, heads: HeldOutHeads, names: Sequence[str], *, count: int, pool: Dataset | None
) -> Figures:
    """The `count` queries to label next, of the rows that lack a label or of a pool: their worth and the heads' guesses.

    Every key is always there; `reason` says why there are fewer than asked.
    """
    names = [name for name in names if name in heads.fitted]
    source, informed, embedding = rows.dataset, heads.informed, rows.embedding
    if pool is not None:
        features, embedding = rows.others(pool)
        source, informed = pool, heads.inform(features)
    p = {name: heads.fitted[name].head.probabilities(informed) for name in names}
    lacking = np.array([[label is None for label in source.labels(name)] for name in names])  # (heads, n)
    doubts = np.array([doubt(p[name]) for name in names]) * lacking
    worth = doubts.sum(axis=0) / np.maximum(lacking.sum(axis=0), 1)
    candidate = np.flatnonzero(lacking.any(axis=0))
    sentence = sentence_part(embedding, rows.encoder.spec)[candidate]
    chosen = choose(worth[candidate], sentence, _known(rows, names), count=count) if len(candidate) else []
    reason = NO_CANDIDATE if not len(candidate) else None if len(chosen) == count else ONLY_REPEATS
    return {
        "asked": count,
        "source": "queries without a label" if pool is None else "pool",
        "candidates": len(candidate),
        "queries": [
            {
                **_told(source.queries[candidate[i]], worth[candidate[i]], distance),
                "guesses": {
                    name: _guess(heads.fitted[name].head.classes, p[name][candidate[i]])
                    for name, open_ in zip(names, lacking[:, candidate[i]], strict=True)
                    if open_
                },
            }
            for i, distance in chosen
        ],
        "reason": reason,
    }


def _known(rows: LabelledRows, names: Sequence[str]) -> Matrix:
    """Sentence embeddings of the queries that have every label of the named heads."""
    labelled = [all(query.labels.heads.get(name) is not None for name in names) for query in rows.dataset.queries]
    known: Matrix = sentence_part(rows.embedding, rows.encoder.spec)[np.array(labelled, dtype=bool)]
    return known


def _told(query: Query, worth: float, distance: float) -> Figures:
    return {
        "id": query.query_id,
        "text": query.text,
        "context": list(query.context),
        "doubt": rounded(worth),
        "distance": rounded(distance),
    }


def _guess(classes: Sequence[str], p: Floats) -> Figures:
    return {"label": classes[int(p.argmax())], "probability": rounded(p.max())}
