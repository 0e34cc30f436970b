"""A router over models under perturbation: does it hold its choice, and what does the chosen model's recorded score lose?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.robustness import Subject, outcome_quality
from router.bundlefiles import bundle_id
from router.errors import DataError
from router.outcome_bundle import load
from router.outcome_rows import read_outcomes

if TYPE_CHECKING:
    from router.console import Progress


def outcome_subject(
    bundle: Path, table: Path, *, split: str | None, columns: Mapping[str, str], n: int, seed: int, told: Progress
) -> tuple[Subject, dict[str, Any]]:
    """An outcome bundle with n recorded queries, and what the figures are of, for the head of table and JSON.

    split: the table's; without one its test rows, else all. Raises DataError where it has none, or lacks a model.
    """
    told.notify("loading the bundle")
    router = load(bundle, notify=told.notify)
    outcomes, _ = read_outcomes(table, columns=columns, models=router.models)
    name = split or ("test" if "test" in outcomes.split else "all")
    whole = outcomes if name == "all" else outcomes.rows(np.array([own == name for own in outcomes.split]))
    if not len(whole):
        raise DataError(
            f"outcomes {outcomes.name!r}: no query has split {name!r}. See `weighbridge data stats {table}`."
        )
    size = min(n, len(whole))
    part = whole.rows(np.sort(np.random.default_rng(seed).choice(len(whole), size=size, replace=False)))
    header = {
        "router": "weighbridge",
        "bundle": bundle_id(bundle),
        "dataset": part.name,
        "fingerprint": part.fingerprint(),
        "split": name,
        "n_queries": len(part),
        "n_split": len(whole),
        "measure": "mean score of the chosen model",
        "seed": seed,
        "protocol": "each perturbation on the queries it changed, against the same queries unchanged; changes made by rule, recorded scores taken to hold; intervals by bootstrap over equal texts, or Wilson's",
    }
    subject = Subject(
        decide=lambda texts: [decision.model for decision in router.decide_many(texts)],
        texts=list(part.texts),
        groups=[str(unit) for unit in part.unit.tolist()],
        quality=outcome_quality(part),
    )
    return subject, header
