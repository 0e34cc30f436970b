"""Pieces of the JSON that a simulation from assumptions and one from recorded outcomes write alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.drivers import Driver
from eval.simulate.levers import AT_LEAST, holds
from eval.simulate.month import mean_and_interval
from eval.simulate.targets import Curve

Floats = npt.NDArray[np.float64]
Figures = dict[str, Any]  # Any: whatever JSON can hold
DIGITS = 12  # significant ones: dollars of a query and of a year stand side by side
WHAT_IS_DRAWN = "5 to 95 % of the drawn worlds; null where every world has the same"
SURE = 0.95  # the share of worlds from which on a target holds, and below whose complement it fails
NO_MORE_BAD = "routing gives no more bad answers than the baseline: it saves at any cost of one"
NO_SAVING = "routing costs more than the baseline before any bad answer is counted"
NO_UPPER_END = "in some worlds routing gives no more bad answers, so it has no upper end"


def rounded(value: Any) -> Any:  # Any: numbers, lists of them, None
    """To 12 significant digits, so that sums of floats read as they were meant; null for what is not finite."""
    if value is None:
        return None
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{float(value):.{DIGITS}g}") if np.isfinite(value) else None


def pair(name: str, values: Floats) -> Figures:
    """The mean of the draws and its interval; null where a draw has no such figure."""
    if not np.isfinite(values).all():
        return {name: None, f"{name}_ci": None}
    mean, interval = mean_and_interval(values)
    return {name: rounded(mean), f"{name}_ci": rounded(interval)}


def by_name(values: Floats, names: Sequence[str]) -> Figures:
    """Name -> mean over the draws of (s, m), for those that get anything."""
    return {name: rounded(mean) for name, mean in zip(names, values.mean(axis=0).tolist(), strict=True) if mean > 0}


def driver_row(row: Driver) -> Figures:
    """One driver as JSON."""
    return {
        "assumption": row.name,
        "low": rounded(row.low),
        "high": rounded(row.high),
        "usd_per_month_at_low": rounded(row.usd_low),
        "usd_per_month_at_high": rounded(row.usd_high),
        "saving_at_low": rounded(row.saving_low),
        "saving_at_high": rounded(row.saving_high),
        "swing_usd": rounded(row.swing_usd),
        "range": "stated" if row.stated else "a fifth either way",
    }


def with_bad_answers(name: str, usd: Floats, bad_answers: Floats, *, stated_usd: float) -> Figures:
    """The bill and what bad answers cost beside it, both (s,) a month; null where the scenario puts no price on one."""
    return pair(name, usd + stated_usd * bad_answers if stated_usd > 0 else np.array([np.nan]))


def break_even_of(saved: Floats, more_bad: Floats, *, stated_usd: float) -> Figures:
    """The cost of a bad answer, in dollars, at which routing saves nothing: dollars saved over bad answers added.

    saved, more_bad: (s,) per query, against the first baseline. Null, with the reason, where there is no such cost.
    """
    answers: Figures = {
        "usd_per_bad_answer": None,
        "usd_per_bad_answer_ci": None,
        "stated_usd": stated_usd,
        "reason": None,
    }
    answers |= {**pair("net_saved_usd_per_query", saved - stated_usd * more_bad), **pair("more_bad_answers", more_bad)}
    if more_bad.mean() <= 0:
        return answers | {"reason": NO_MORE_BAD}
    if saved.mean() <= 0:
        return answers | {"reason": NO_SAVING}
    # the ratio of the means: a mean of ratios is pulled up by worlds with next to no bad answers
    answers["usd_per_bad_answer"] = rounded(float(saved.mean() / more_bad.mean()))
    if (more_bad <= 0).any():
        return answers | {"reason": NO_UPPER_END}
    return answers | {"usd_per_bad_answer_ci": rounded(mean_and_interval(saved / more_bad)[1])}


def target_row(
    name: str,
    wanted: float,
    values: Floats | None,
    *,
    middle: float | None = None,
    reason: str,
) -> Figures:
    """What was wanted, what was found in the drawn worlds, and in how many of them it holds.

    values: (s,); None, or one that no world has, leaves everything null with the reason.   middle: the figure where it is
    not the mean of the draws.
    """
    row: Figures = {"target": name, "sense": "at least" if name in AT_LEAST else "at most", "wanted": wanted}
    row |= dict.fromkeys(("found", "found_ci", "verdict", "share_of_worlds", "thresholds"))
    row |= {"would_hold_if": [], "with_a_perfect_router": None, "reason": None}
    if values is None or not np.isfinite(values).any():
        return row | {"reason": reason}
    share = float(holds(name, values, wanted).mean())
    mean, interval = mean_and_interval(values) if np.isfinite(values).all() else (float("inf"), None)
    return row | {
        "found": rounded(mean if middle is None or not np.isfinite(middle) else middle),
        "found_ci": rounded(interval),
        "verdict": "holds" if share >= SURE else "fails" if share <= 1.0 - SURE else "open",
        "share_of_worlds": share,
    }


def meeting(name: str, wanted: float, swept: Curve | None) -> list[float] | None:
    """The lowest and the highest threshold of the curve at which the target holds; None where it does at none."""
    values = None if swept is None else swept.of(name)
    if swept is None or values is None:
        return None
    met = swept.thresholds[holds(name, values, wanted)]
    return [rounded(met[0]), rounded(met[-1])] if len(met) else None


def curve_figures(swept: Curve, targets: dict[str, float], *, latency: Sequence[str]) -> Figures:
    """Rows of the curve, and the threshold with most good answers that meets each target alone, and all at once.

    latency: the latency figures that a row shows.
    """
    columns: dict[str, Floats] = {
        "threshold": swept.thresholds,
        "usd_per_month": swept.usd_per_month,
        "saving": swept.saving,
        "good_answers": swept.good,
        "routing_accuracy": swept.accuracy,
        **{name: swept.latency[name] for name in latency if name in swept.latency},
    }
    met = {
        name: holds(name, values, wanted)
        for name, wanted in targets.items()
        if (values := swept.of(name)) is not None and np.isfinite(values).any()
    }
    everything = np.logical_and.reduce(list(met.values())) if met else np.zeros(len(swept.thresholds), dtype=np.bool_)
    return {
        "curve": [{name: rounded(values[i]) for name, values in columns.items()} for i in range(len(swept.thresholds))],
        "meets": {name: _best(ok, swept) for name, ok in met.items()},
        "meets_all": _best(everything, swept),
    }


def _best(ok: npt.NDArray[np.bool_], swept: Curve) -> float | None:
    """Of the thresholds that are allowed, the one with the most good answers; the cheapest of those that tie."""
    order = np.lexsort((swept.usd_per_month, -swept.good.round(9)))
    found: float | None = next((rounded(swept.thresholds[i]) for i in order.tolist() if ok[i]), None)
    return found
