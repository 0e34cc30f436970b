"""The leaderboard of outcome routers: whole curves, with intervals and paired differences to ours.

Two models are judged by APGR, whatever their costs; more by AIQ where costs are known, else by accuracy. Without costs,
a call of the strong model counts as 1 and one of the weak model as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.contest import OURS, Entry
from eval.intervals import holm
from eval.paired import (
    Draws,
    Nested,
    Sampled,
    aiq_draws,
    apgr_draws,
    cost_at_matched_quality,
    curve_draws,
    difference,
    nested_best,
    operating_points,
    quality_at_matched_cost,
)
from eval.selective import risk_coverage
from router.curves import Hulls, pair_curve, perf_gain
from router.files import DECIMALS
from router.outcomes import Outcomes
from router.scoring import brier, log_loss, reliability
from router.sweeps import choices_on, sweep

Floats = npt.NDArray[np.float64]
GRID = 100
FOLDS = 5  # of the nested choice of an operating point
DOLLARS = 12  # decimals: a call can cost less than a millionth of a cent
# Their values do not depend on the query, so a curve over thresholds says nothing.
CONSTANT = ("cheapest", "best-single")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One router on the judged queries. choices, cost, quality: (n, l) model, dollars and score at each operating point.

    apgr is None where there are not two models, aiq where no cost is known; headline is one of them or the accuracy.
    """

    entry: Entry
    choices: npt.NDArray[np.integer[Any]]  # Any: of whatever width holds the models
    cost: Floats
    quality: Floats
    curve: Hulls
    accuracy: Sampled
    apgr: Sampled | None
    aiq: Sampled | None
    headline: Sampled | None


class Judge:
    """Holds what all routers are judged on: outcomes, expected costs, and one set of bootstrap draws."""

    def __init__(self, outcomes: Outcomes, expected_usd: Floats | None, *, seed: int) -> None:
        self.outcomes, self.seed = outcomes, seed
        self.draws = Draws(outcomes.unit, np.random.default_rng(seed))
        mean = outcomes.score.mean(axis=0)
        self.pair = len(outcomes.models) == 2
        self.strong = int(np.argmax(mean))
        self.weak = 1 - self.strong if self.pair else int(np.argmin(mean))
        self.best_single = self.strong
        self.has_cost = expected_usd is not None
        if expected_usd is not None:
            self.expected, self.cost = expected_usd, outcomes.cost_usd
        else:
            calls = np.zeros(outcomes.score.shape)
            calls[:, self.strong] = 1.0
            self.expected = self.cost = calls
        spent = self.cost.mean(axis=0)
        self.max_cost = float(spent.max())
        self.has_cost = self.has_cost and bool(spent.max() > spent.min())  # else there is nothing to save
        self.gap = bool(self.pair and mean[self.strong] > mean[self.weak])
        self.metric = "apgr" if self.pair else "aiq" if self.has_cost else "accuracy"

    def judge(self, entry: Entry) -> Judged:
        """All curves of one router. The entry must have values."""
        assert entry.value is not None
        score = self.outcomes.score
        expected = self.cost if entry.router == "oracle" else self.expected
        lambdas = sweep(entry.value, expected, score, self.cost).grid(GRID)
        choices = choices_on(entry.value, expected, lambdas)
        cost, quality = operating_points(choices, score, self.cost)
        curve = curve_draws(self.draws, cost, quality)
        accuracy = self.draws.mean(quality[:, 0])
        apgr = None
        if self.gap and entry.router not in CONSTANT:
            value = entry.value[:, self.strong] - entry.value[:, self.weak]
            apgr = apgr_draws(self.draws, value, score[:, self.weak], score[:, self.strong])
        aiq = aiq_draws(curve, max_cost=self.max_cost) if self.has_cost else None
        return Judged(
            entry=entry,
            choices=choices,
            cost=cost,
            quality=quality,
            curve=curve,
            accuracy=accuracy,
            apgr=apgr,
            aiq=aiq,
            headline={"apgr": apgr, "aiq": aiq, "accuracy": accuracy}[self.metric],
        )

    def row(self, judged: Judged) -> dict[str, Any]:
        """The figures of one router that do not depend on the others."""
        entry, score = judged.entry, self.outcomes.score
        cpt50 = cpt80 = None
        if judged.apgr is not None and entry.value is not None:
            value = entry.value[:, self.strong] - entry.value[:, self.weak]
            curve = pair_curve(value, score[:, self.weak], score[:, self.strong])
            cpt50, cpt80 = curve.cpt(0.5), curve.cpt(0.8)
        best = score[:, self.best_single]
        gain, saving = self._nested(judged, None), self._nested(judged, best)
        spent = self.cost[:, self.best_single].mean()
        share = np.bincount(judged.choices[:, self.half_way(judged)], minlength=len(self.outcomes.models)) / len(score)
        return {
            "router": entry.router,
            "allowed": entry.allowed,
            "apgr": _figure(judged.apgr),
            "apgr_ci": _interval(judged.apgr),
            "aiq": _figure(judged.aiq),
            "aiq_ci": _interval(judged.aiq),
            "accuracy": _round(judged.accuracy.estimate),
            "accuracy_ci": _interval(judged.accuracy),
            "cost_usd_mean": _round(judged.cost[:, 0].mean(), DOLLARS) if self.has_cost else None,
            "regret": _round(score.max(axis=1).mean() - judged.accuracy.estimate),
            "cpt50": _round(cpt50),
            "cpt80": _round(cpt80),
            "costsave": _round(1 - saving.cost.mean() / spent) if saving and saving.reached and spent > 0 else None,
            "perfgain": _round(perf_gain(gain.quality.mean(), best_quality=best.mean()))
            if gain and best.mean() > 0
            else None,
            **self._calibration(entry),
            "share": {model: _round(part) for model, part in zip(self.outcomes.models, share.tolist(), strict=True)},
            "fit_s": entry.fit_s,
            "decide_us": entry.decide_us,
            "reason": entry.reason,
        }

    def _nested(self, judged: Judged, floor: Floats | None) -> Nested | None:
        """The operating point chosen on other folds; None where there are too few different texts for folds."""
        if len(self.draws.size) < FOLDS:
            return None
        return nested_best(judged.cost, judged.quality, self.outcomes.unit, seed=self.seed, folds=FOLDS, floor=floor)

    def empty_row(self, entry: Entry) -> dict[str, Any]:
        """The row of a router that could not take part: every figure null, and the reason."""
        keys = (
            "apgr", "apgr_ci", "aiq", "aiq_ci", "accuracy", "accuracy_ci", "cost_usd_mean", "regret", "cpt50", "cpt80",
            "costsave", "perfgain", "ece", "ece_bias", "log_loss", "brier", "aurc", "share", "fit_s", "decide_us",
        )  # fmt: skip
        return {"router": entry.router, "allowed": entry.allowed, **dict.fromkeys(keys), "reason": entry.reason}

    def _calibration(self, entry: Entry) -> dict[str, Any]:
        """How far P(good answer) can be taken at its word, over all queries and models."""
        if not entry.probabilities or entry.value is None:
            return dict.fromkeys(("ece", "ece_bias", "log_loss", "brier", "aurc"))
        p, y = cells(entry.value, self.outcomes.score)
        bins = reliability(p, y)
        return {
            "ece": _round(bins.ece),
            "ece_bias": _round(bins.ece_bias),
            "log_loss": _round(log_loss(p, y)),
            "brier": _round(brier(p, y)),
            "aurc": self._risk(entry.value),
        }

    def _risk(self, value: Floats) -> float | None:
        """Area under risk-coverage at λ = 0: mean loss of the surest answers, over every share that is answered."""
        chosen = value.argmax(axis=1)
        each = np.arange(len(value))
        loss = 1.0 - self.outcomes.score[each, chosen]
        return _round(risk_coverage(value[each, chosen], loss).aurc)

    def half_way(self, judged: Judged) -> int:
        """The operating point whose cost lies nearest to the middle between the cheapest model and the best single one."""
        means = self.cost.mean(axis=0)
        return int(np.abs(judged.cost.mean(axis=0) - (means.min() + means[self.best_single]) / 2).argmin())


def cells(p: Floats, score: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(cells, 2) P(bad), P(good) and their truth, over all queries and models; a graded score of 0.5 or more is good."""
    good = np.clip(p, 0.0, 1.0).ravel()
    return np.column_stack([1.0 - good, good]), (score.ravel() >= 0.5).astype(np.intp)


def board(
    judge: Judge, judged: Sequence[Judged], absent: Sequence[Entry], *, table: str, protocol: dict[str, Any]
) -> dict[str, Any]:
    """The comparison JSON: a row per router; paired differences are ours minus the row's, corrected by Holm among rivals."""
    rows = {entry.entry.router: judge.row(entry) for entry in judged} | {e.router: judge.empty_row(e) for e in absent}
    ours = next((entry for entry in judged if entry.entry.router == OURS), None)
    others = [entry for entry in judged if entry is not ours]
    paired = {entry.entry.router: _delta(ours, entry) for entry in others}
    known = {name: delta for name, delta in paired.items() if delta is not None and delta.p_value is not None}
    # only what could be used instead of ours is a rival; marks such as the oracle must not make the others harder to beat
    rivals = {name: delta for name, delta in known.items() if rows[name]["allowed"]}
    corrected = dict(zip(rivals, holm([delta.p_value or 0.0 for delta in rivals.values()]), strict=True))
    for name, row in rows.items():
        delta = known.get(name)
        row["delta"], row["delta_ci"] = _figure(delta), _interval(delta)
        row["p_holm"] = _round(corrected.get(name))
        row["minimum_detectable"] = None if delta is None else _round(delta.minimum_detectable)
        row["verdict"] = None if delta is None else _verdict(delta, corrected.get(name, 0.0))
        row |= _matched(judge, ours, next((entry for entry in others if entry.entry.router == name), None))
        if delta is None and row["reason"] is None:
            row["reason"] = (
                "a router is not compared with itself" if name == OURS
                else "the two models score alike, so there is no gap to recover" if judge.pair and not judge.gap
                else f"no {judge.metric.upper()} of a constant choice" if ours is not None
                else f"{OURS} could not take part" if any(entry.router == OURS for entry in absent)
                else f"{OURS} was not among the routers"
            )  # fmt: skip
    outcomes = judge.outcomes
    return {
        "table": table,
        "fingerprint": outcomes.fingerprint(),
        "n_queries": len(outcomes),
        "n_units": len(judge.draws.size),
        "models": list(outcomes.models),
        "model_accuracy": {
            m: _round(s) for m, s in zip(outcomes.models, outcomes.score.mean(axis=0).tolist(), strict=True)
        },
        "weak": outcomes.models[judge.weak] if judge.pair else None,
        "strong": outcomes.models[judge.strong] if judge.pair else None,
        "best_single": outcomes.models[judge.best_single],
        "metric": judge.metric,
        "cost_unit": "USD per query" if judge.has_cost else "calls of the strong model per query",
        "max_cost": _round(judge.max_cost, DOLLARS),
        "in_domain": True,
        "protocol": protocol,
        "rows": list(rows.values()),
    }


def _delta(ours: Judged | None, other: Judged) -> Sampled | None:
    if ours is None or ours.headline is None or other.headline is None:
        return None
    return difference(ours.headline, other.headline)


def _matched(judge: Judge, ours: Judged | None, other: Judged | None) -> dict[str, Any]:
    """Ours against the row half way between the cheapest and the best single model: quality for the same money, and
    money for the same quality."""
    if ours is None or other is None:
        return dict.fromkeys(("delta_quality", "delta_quality_ci", "delta_cost", "delta_cost_ci"))
    means = judge.cost.mean(axis=0)
    cost = float((means.min() + means[judge.best_single]) / 2)
    quality = quality_at_matched_cost(ours.curve, other.curve, cost=cost)
    money = cost_at_matched_quality(ours.curve, other.curve, cost=cost)
    return {
        "delta_quality": _figure(quality),
        "delta_quality_ci": _interval(quality),
        "delta_cost": _figure(money, DOLLARS),
        "delta_cost_ci": _interval(money, DOLLARS),
    }


def _verdict(delta: Sampled, p_holm: float) -> str:
    """Ours against the row: better or worse only where the interval excludes 0 and Holm agrees; else a tie."""
    interval = delta.interval
    if interval is not None and interval.excludes_zero() and p_holm < 0.05:
        return "better" if delta.estimate > 0 else "worse"
    return "tie"


def _round(value: float | None, decimals: int = DECIMALS) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), decimals)


def _figure(sampled: Sampled | None, decimals: int = DECIMALS) -> float | None:
    return None if sampled is None else _round(sampled.estimate, decimals)


def _interval(sampled: Sampled | None, decimals: int = DECIMALS) -> list[float] | None:
    if sampled is None or sampled.interval is None:
        return None
    return [round(sampled.interval.low, decimals), round(sampled.interval.high, decimals)]
