"""Which queries may calibrate a router over models: those it kept for that, or a table's that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.errors import DataError
from router.outcome_router import ModelRouter, ScoredQueries
from router.outcome_rows import read_outcomes
from router.outcomes import Outcomes, equal_texts

OWN = "the bundle's own held-out calibration queries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The complete queries that a policy is chosen on, and where they come from.

    facts: source, n, incomplete, and how many were left out for having trained the router or being for the test.
    """

    queries: ScoredQueries
    facts: Mapping[str, Any]  # Any: whatever JSON can hold

    def sentence(self) -> str:
        """In words."""
        reasons = {
            "in_training": "trained the router",
            "for_the_test": "are of the test split",
            "incomplete": "lack the score of some model",
        }
        out = [f"{self.facts[key]:,} {words}" for key, words in reasons.items() if self.facts[key]]
        return f"{self.facts['source']}: {self.facts['n']:,} queries" + (f"; left out: {', '.join(out)}" if out else "")


def own_calibration(router: ModelRouter) -> Calibration:
    """The queries that the bundle held out when it was trained."""
    return _calibration(
        router.calibration,
        {"source": OWN, "in_training": 0, "for_the_test": 0},
        router.fitted["calibration_fingerprint"],
    )


def table_calibration(router: ModelRouter, path: Path, *, columns: Mapping[str, str]) -> Calibration:
    """A table's queries but for those that trained the router (by id or text) and those of the test split (or of its texts).

    Raises DataError where none is left, the table is for evaluation only, or it lacks one of the router's models.
    """
    table, left_out = _unseen(router, path, columns)
    return _calibration(router.scored(table), {"source": f"the table {table.name}", **left_out}, table.fingerprint())


def _calibration(queries: ScoredQueries, facts: Mapping[str, Any], fingerprint: str) -> Calibration:
    complete = queries.complete
    figures = {"fingerprint": fingerprint, "n": len(complete), "incomplete": len(queries) - len(complete)}
    return Calibration(queries=complete, facts={**facts, **figures})


def _unseen(router: ModelRouter, path: Path, columns: Mapping[str, str]) -> tuple[Outcomes, dict[str, int]]:
    table, _ = read_outcomes(path, columns=columns)
    table.require_trainable("weighbridge threshold")
    unit = equal_texts([*router.training.texts, *table.texts])
    trained = len(router.training)
    known = set(router.training.ids)
    same_id = np.array([name in known for name in table.ids])
    seen = np.isin(unit[trained:], unit[:trained]) | same_id
    judged = table.unit[np.array([split == "test" for split in table.split], dtype=np.bool_)]
    test = np.isin(table.unit, judged) & ~seen  # a copy of a test text in another split is for the judge as well
    left_out = {"in_training": int(seen.sum()), "for_the_test": int(test.sum())}
    if (seen | test).all():
        raise DataError(
            f"{path}: none of its {len(table):,} queries can calibrate: {left_out['in_training']:,} trained the router (by id"
            f" or text), {left_out['for_the_test']:,} are of the test split, which is for the judge. Bring other queries"
            " (split calibration, or none), or leave --outcomes out to use those that the bundle held out."
        )
    return table.rows(~(seen | test)), left_out
