"""What a recorded simulation is asked: which λ meets the targets, which of them hold, what a bad answer may cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.figures import HALF
from eval.simulate.parts import curve_figures, meeting, rounded, target_row
from eval.simulate.recorded_figures import NOT_TIMED
from eval.simulate.recorded_levers import NOWHERE, QUANTILE_OF, changes, quantiles_ms, saving, with_perfect
from eval.simulate.recorded_table import Recorded
from eval.simulate.recorded_worlds import Played, routed_ms
from eval.simulate.targets import Curve

Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]  # Any: whatever JSON can hold
CURVE = "the threshold is λ, quality per dollar: the model of the largest P(good answer) − λ · expected dollars, on {n:,} recorded queries of {table}"
NO_LAMBDA = (
    "the bundle's own policy is {kind!r}, which stands on no curve over λ; to have it on the curve, choose a λ with"
    " `weighbridge threshold --bundle B --target lambda=L --out NEW`"
)
NO_DOLLARS = (
    "the bundle was trained without costs, so it weighs no quality against dollars; train it on a table with `cost_usd`"
)
NOT_CACHED = "a recorded table does not say what caches held"
NOT_TOLD_APART = "a recorded table does not tell weak models from strong ones"


def threshold_figures(made: Recorded, swept: Curve | None) -> Figures:
    """The curve over λ, and the λ of most quality that meets each target alone and all at once."""
    if swept is None:
        return {"chosen": None, "curve": [], "meets": {}, "meets_all": None, "source": None, "reason": NO_DOLLARS}
    own = None if swept.chosen == NOWHERE else rounded(swept.thresholds[swept.chosen])
    return {
        "chosen": own,
        "source": CURVE.format(n=len(made), table=made.outcomes.name),
        **curve_figures(swept, dict(made.scenario.targets), latency=QUANTILE_OF[:2]),
        "reason": NO_LAMBDA.format(kind=made.policy.kind) if own is None else None,
    }


def target_rows(played: Played, swept: Curve | None) -> list[Figures]:
    """One row for each target: what was wanted and found, in how many worlds it holds, and what would bring it about."""
    drawn, found, rows = _drawn(played), _found(played), []
    for name, wanted in played.made.scenario.targets.items():
        row = target_row(name, wanted, drawn.get(name), middle=found.get(name), reason=_why_missing(name))
        if row["verdict"] is not None:
            row |= {
                "thresholds": meeting(name, wanted, swept),
                "would_hold_if": [] if row["share_of_worlds"] >= HALF else changes(played.made, name, wanted),
                "with_a_perfect_router": rounded(with_perfect(played.made, name)),
            }
        rows.append(row)
    return rows


def _drawn(played: Played) -> dict[str, Floats]:
    """Target -> (s,) its figure in every world; those that a recorded table knows."""
    (routed, baseline, *_), worlds = played.months, played.worlds
    found = {
        "usd_per_month": routed.usd,
        "usd_per_query": routed.usd_per_query,
        "usd_per_100k": routed.usd_per_query * 100_000,
        "saving": saving(routed.usd, baseline.usd),
        "routing_accuracy": worlds.accuracy,
        "good_answers": worlds.good[:, 0],
    }
    if worlds.latency_ms is not None:
        found |= dict(zip(QUANTILE_OF, worlds.latency_ms.T, strict=True))
    return found


def _found(played: Played) -> dict[str, float]:
    """Latency targets as the table has them, without drawing: a quantile of draws is not a draw of quantiles."""
    values: Sequence[float] = list(quantiles_ms(routed_ms(played.made)).values())
    return dict(zip(QUANTILE_OF, values, strict=False))


def _why_missing(name: str) -> str:
    if name == "cache_hit_rate":
        return NOT_CACHED
    if name.startswith(("weak_", "strong_")):
        return NOT_TOLD_APART
    return NOT_TIMED if name in QUANTILE_OF else "nothing to compare with"
