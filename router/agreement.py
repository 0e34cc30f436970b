"""How far two labellers agree: shares and Cohen's kappa, from the two labellings that a data set ships."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router.card import Card
from router.errors import DataError

LABELLINGS_FILE = "labellings.csv"
FIRST, SECOND = "_1", "_2"


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa: agreement beyond chance. None where chance alone would agree always.

    >>> kappa(["a", "a", "b", "b"], ["a", "a", "b", "a"])
    0.5
    """
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[label] * theirs[label] for label in ours) / n**2
    return None if chance == 1.0 else (observed - chance) / (1.0 - chance)


def agreement(data: Path, card: Card) -> dict[str, Any]:
    """Per head (and `also`): n, the share of equal labels, kappa, and the label pairs that were most confused.

    Reads `labellings.csv`: `id`, then `<head>_1` and `<head>_2`. Raises DataError where it is missing or lacks a column.
    """
    path = data / LABELLINGS_FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as err:
        raise DataError(
            f"{path}: cannot be read ({err.strerror}); wanted the two labellings of a data set (id, head_1, head_2, ...)."
        ) from err
    wanted = {name + side for name in card.heads for side in (FIRST, SECOND)}
    lacking = sorted(wanted - set(rows[0] if rows else ()))
    if lacking:
        raise DataError(f"{path}: lacks the column {lacking[0]!r}; wanted id and {', '.join(sorted(wanted))}.")
    figures = {}
    for name in (*card.heads, *(("also",) if card.also and f"also{FIRST}" in rows[0] else ())):
        first, second = ([row[name + side] for row in rows] for side in (FIRST, SECOND))
        confused = Counter(tuple(sorted(pair)) for pair in zip(first, second, strict=True) if pair[0] != pair[1])
        found = kappa(first, second)
        figures[name] = {
            "n": len(rows),
            "agreement": round(sum(a == b for a, b in zip(first, second, strict=True)) / len(rows), 6),
            "kappa": None if found is None else round(found, 6),
            "confused": [{"labels": list(pair), "n": n} for pair, n in confused.most_common(5)],
        }
    return figures
