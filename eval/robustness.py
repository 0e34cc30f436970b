"""How often a router changes its mind when only the wording changes, and what that costs in quality.

Each perturbation is judged on the queries that it changed, against the same queries unchanged. Labels and recorded
outcomes are taken to hold for the changed wording too: nobody asked a person or a model again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.intervals import Interval, bootstrap_mean, minimum_detectable, wilson
from eval.perturb import PERTURBATIONS, perturb
from router.errors import DataError
from router.files import DECIMALS
from router.outcomes import Outcomes

ANY = "any"  # flipped by at least one of the perturbations
UNCHANGED = "no query of these is changed by this perturbation"
UNSCORED = "no changed query has a known score for both decisions"
ALIKE = "no changed query scores differently; the interval is Wilson's bound on the share that could"
ONE_VALUE = "the changed queries form one group, or all lose or gain alike: too few to say how sure the difference is"
NO_SPREAD = 1e-12

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Decide = Callable[[Sequence[str]], Sequence[str]]  # n texts -> n names of routes or models
Quality = Callable[[Sequence[str]], Floats]  # n decisions, one per query of the subject -> (n,) in [0, 1], NaN: unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A router with the n queries that it is tried on.

    decide: texts to decisions, each by its own text alone.   groups: n names of what a bootstrap draws whole.
    quality: what decisions for these n queries, in order, are worth; None where nobody knows.
    """

    decide: Decide
    texts: Sequence[str]
    groups: Sequence[str]
    quality: Quality | None = None


def flip_rates(
    subject: Subject,
    *,
    seed: int,
    kinds: Sequence[str] = tuple(PERTURBATIONS),
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """Perturbation -> its figures for JSON; under "any", how many queries flip under at least one of them.

    Keys: n (queries it changed), flips, flip_rate, flip_rate_ci, quality, reason; null with a reason where nothing was
    changed. Raises DataError for no queries, or for groups or decisions that are not one per query.
    """
    _require_one_each(subject.groups, len(subject.texts), what="groups")
    notify(f"deciding {len(subject.texts):,} queries")
    before = np.array(_decided(subject, subject.texts), dtype=object)
    changed = np.zeros(len(before), dtype=bool)
    flipped = np.zeros(len(before), dtype=bool)
    figures = {}
    for kind in kinds:
        notify(f"deciding them again: {kind}")
        after, touched = _again(subject, kind, before, seed)
        figures[kind] = _figures(subject, before, after, touched, seed)
        changed |= touched
        flipped |= after != before
    figures[ANY] = _rate(flipped, changed, subject.groups, seed) | {"quality": None}
    return figures


def label_quality(truth: Sequence[str | None]) -> Quality:
    """1 for the decision that the labels call for, 0 for another, NaN where they leave it open."""

    def quality(decisions: Sequence[str]) -> Floats:
        pairs = zip(decisions, truth, strict=True)
        return np.array([np.nan if true is None else float(made == true) for made, true in pairs])

    return quality


def outcome_quality(outcomes: Outcomes) -> Quality:
    """The recorded score of the chosen model; NaN where it did not answer.   One decision per row of the table."""

    def quality(decisions: Sequence[str]) -> Floats:
        columns = {model: outcomes.column(model) for model in set(decisions)}
        chosen = np.array([columns[model] for model in decisions], dtype=np.intp)
        score: Floats = outcomes.score[np.arange(len(chosen)), chosen]
        return score

    return quality


def _again(subject: Subject, kind: str, before: npt.NDArray[Any], seed: int) -> tuple[npt.NDArray[Any], Bools]:
    """The decisions on the perturbed texts, and which texts were changed; the others are not decided again."""
    made = perturb(subject.texts, kind, seed=seed)
    after = before.copy()
    index = np.flatnonzero(made.changed)
    if len(index):
        after[index] = _decided(subject, [made.texts[i] for i in index.tolist()])
    return after, made.changed


def _decided(subject: Subject, texts: Sequence[str]) -> list[str]:
    if not len(texts):
        raise DataError("no queries to decide; wanted some. Count them with `weighbridge data stats`.")
    decisions = list(subject.decide(texts))
    _require_one_each(decisions, len(texts), what="decisions")
    return decisions


def _require_one_each(found: Sequence[str], n: int, *, what: str) -> None:
    if len(found) != n:
        raise DataError(f"{len(found)} {what} for {n} queries; wanted one for each, in order.")


def _figures(
    subject: Subject, before: npt.NDArray[Any], after: npt.NDArray[Any], touched: Bools, seed: int
) -> dict[str, Any]:
    figures = _rate(after != before, touched, subject.groups, seed)
    if subject.quality is None:
        return figures | {"quality": None}
    was, now = subject.quality(before.tolist()), subject.quality(after.tolist())
    known = touched & np.isfinite(was) & np.isfinite(now)
    groups = [subject.groups[i] for i in np.flatnonzero(known).tolist()]
    return figures | {"quality": _paired(was[known], now[known], groups, seed)}


def _rate(flipped: Bools, changed: Bools, groups: Sequence[str], seed: int) -> dict[str, Any]:
    n, flips = int(changed.sum()), int(flipped.sum())
    if not n:
        return {"n": 0, "flips": 0, "flip_rate": None, "flip_rate_ci": None, "reason": UNCHANGED}
    own = [groups[i] for i in np.flatnonzero(changed).tolist()]
    return {
        "n": n,
        "flips": flips,
        "flip_rate": round(flips / n, DECIMALS),
        "flip_rate_ci": _share_interval(flipped[changed], own, seed).to_list(),
        "reason": None,
    }


def _share_interval(hit: Bools, groups: Sequence[str], seed: int) -> Interval:
    """Wilson's where every query stands alone or all agree, since a bootstrap then knows no better; else by groups."""
    if len(set(groups)) in (1, len(groups)) or hit.all() or not hit.any():
        return wilson(int(hit.sum()), len(hit))
    return bootstrap_mean(hit.astype(np.float64), groups, rng=np.random.default_rng(seed)).interval


def _paired(was: Floats, now: Floats, groups: Sequence[str], seed: int) -> Mapping[str, Any]:
    """Quality before and after on the same queries. A negative delta is a loss."""
    if not len(was):
        empty = dict.fromkeys(("before", "after", "delta", "delta_ci", "minimum_detectable"))
        return {"n": 0, **empty, "reason": UNSCORED}
    delta = now - was
    shown = {"n": len(was), "before": _round(was.mean()), "after": _round(now.mean()), "delta": _round(delta.mean())}
    if not delta.any():
        bound = _round(wilson(0, len(delta)).high)
        return {**shown, "delta_ci": [-bound, bound], "minimum_detectable": None, "reason": ALIKE}
    draws = bootstrap_mean(delta, groups, rng=np.random.default_rng(seed))
    if len(set(groups)) == 1 or draws.standard_error < NO_SPREAD:
        return {**shown, "delta_ci": None, "minimum_detectable": None, "reason": ONE_VALUE}
    return {
        **shown,
        "delta_ci": draws.interval.to_list(),
        "minimum_detectable": _round(minimum_detectable(draws.standard_error)),
        "reason": None,
    }


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), DECIMALS)
