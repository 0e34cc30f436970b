"""What a set of labelled queries holds: counts per label and split, languages, lengths, near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from router.dataset import Dataset
from router.grouping import similar_pairs

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OPEN = "(open)"


def describe(dataset: Dataset) -> dict[str, Any]:
    """The figures of `weighbridge data stats`: keys queries, personas, splits, counts, words, fingerprint, ..."""
    splits = [query.split or "(none)" for query in dataset.queries]
    counts = {
        head: _by_split(splits, [label or OPEN for label in dataset.labels(head)], (*labels, OPEN))
        for head, labels in dataset.card.heads.items()
    }
    counts["also"] = _by_split(
        [split for split, query in zip(splits, dataset.queries, strict=True) for _ in query.labels.also],
        [desk for query in dataset.queries for desk in query.labels.also],
        dataset.card.also,
    )
    languages = [query.language or OPEN for query in dataset.queries]
    counts["language"] = _by_split(splits, languages, sorted(set(languages)))
    words = np.array([len(text.split()) for text in dataset.texts])
    return {
        "name": dataset.card.name,
        "version": dataset.card.version,
        "queries": len(dataset),
        "personas": len({query.persona for query in dataset.queries if query.persona}),
        "groups": len({query.group for query in dataset.queries if query.group}),
        "near_duplicate_pairs": len(similar_pairs(dataset.conversations)),
        "splits": dict(sorted(Counter(splits).items())),
        "counts": counts,
        "words_quantiles": {str(q): float(np.quantile(words, q)) for q in QUANTILES},
        "fingerprint": dataset.fingerprint(),
    }


def _by_split(splits: list[str], values: list[str], labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """label -> split -> count; labels that never occur are there with an empty count."""
    found = Counter(zip(values, splits, strict=True))
    order = sorted(set(splits))
    return {label: {split: found[label, split] for split in order if found[label, split]} for label in labels}
