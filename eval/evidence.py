"""The judge's side of a promotion: two routers on the same queries, their paired difference, and the evidence it makes.

What would make the figures unfair is refused: queries that a side learned from, sides that know other models or heads,
other data, too few people to tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.board import Judge
from eval.contest import Entry
from eval.intervals import bootstrap_mean, minimum_detectable
from eval.metrics import route_hits
from eval.paired import difference
from eval.run import Run
from router.errors import BundleError, DataError
from router.evidence import Evidence, GuaranteeRecord
from router.files import DECIMALS
from router.outcomes import Outcomes, equal_texts

Floats = npt.NDArray[np.float64]
ROUTE_ACCURACY = "route accuracy"
FEWEST_UNITS = 10  # an interval that says 95 % holds 89 % of the time over ten units, 84 % over five (normal means)
ELSEWHERE = "Judge on `--split test`, on another file, or without these."
SHOWN = 5  # names in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a bundle's own policy makes of the judged queries: mean score, and mean dollars per query where known."""

    score: float
    cost_usd: float | None

    def __str__(self) -> str:
        return f"score {self.score:.4f}" + ("" if self.cost_usd is None else f" at ${self.cost_usd:.6f} per query")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A challenger against another router on n paired queries in `n_units` units; higher is better.

    challenger: a bundle's id.   other: a bundle's id, or a baseline's name where `other_is_bundle` is false.   ours,
    theirs: the metric of each.   estimate, low, high: challenger minus other, with the 95 % interval.
    minimum_detectable: the true difference that would be found four times in five, None where draws are missing.
    our_point, their_point: where the policies stand, for a person to see: curves are compared whole, whatever the policy.
    """

    challenger: str
    other: str
    other_is_bundle: bool
    metric: str
    fingerprint: str
    n: int
    n_units: int
    ours: float
    theirs: float
    estimate: float
    low: float
    high: float
    minimum_detectable: float | None
    our_point: Point | None = None
    their_point: Point | None = None

    @property
    def verdict(self) -> str:
        """Better or worse only where the interval excludes 0; else a tie."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "tie"

    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict != "tie":
            return f"the challenger is {self.verdict}: the interval excludes 0"
        if self.low == self.high == 0:
            return f"a tie: no draw of the {self.n:,} queries sets the two apart"
        size = "" if self.minimum_detectable is None else f"; one of {self.minimum_detectable:.4g} would be found four times in five"  # fmt: skip
        return f"a tie: the interval includes 0, so no difference was found{size}"

    def evidence(self, guarantee: GuaranteeRecord | None = None) -> Evidence:
        """The record that a promotion asks for."""
        return Evidence(
            challenger=self.challenger,
            champion=self.other if self.other_is_bundle else None,
            baseline=None if self.other_is_bundle else self.other,
            challenger_fingerprint=self.fingerprint,
            champion_fingerprint=self.fingerprint,
            metric=self.metric,
            higher_is_better=True,
            n=self.n,
            estimate=self.estimate,
            low=self.low,
            high=self.high,
            guarantee=guarantee,
        )

    def to_mapping(self) -> dict[str, Any]:
        """The JSON form, with the verdict."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Valued:
    """An outcome router's values (n, m) of the judged queries, and the dollars (n, m) that it expects each call to cost.

    name: a bundle's id or a baseline's name.   expected_usd: None where it expects none.   choice: (n,) the models that its
    policy chooses, None for a baseline, which has none.
    """

    name: str
    is_bundle: bool
    value: Floats
    expected_usd: Floats | None
    choice: npt.NDArray[np.intp] | None = None


def compare_labels(ours: Run, other: Run) -> Comparison:
    """Two runs over the same queries: route accuracy, bootstrapped over units of queries.

    Raises DataError where they are over other queries, know other heads, call other routes right, or where the labels
    leave every true route open.
    """
    assert ours.header.bundle is not None  # a challenger is a bundle
    name = other.header.bundle or other.header.router
    same_queries = {r.query_id for r in ours.records} == {r.query_id for r in other.records}
    if ours.header.fingerprint != other.header.fingerprint or not same_queries:
        raise DataError(
            f"{name} was judged on other data (fingerprint {other.header.fingerprint[:16]}) than {ours.header.bundle}"
            f" ({ours.header.fingerprint[:16]}); judge both at once with `weighbridge evidence --data D`."
        )
    require_same("heads", ours.header.classes, other.header.classes, other=name)
    theirs_of = {record.query_id: record for record in other.records}
    other_route = [theirs_of[record.query_id].true_route for record in ours.records]
    differ = [r.query_id for r, route in zip(ours.records, other_route, strict=True) if r.true_route != route]
    if differ:
        raise DataError(
            f"{name} has another route table: it calls another route right for {len(differ):,} of"
            f" {len(ours.records):,} queries, as {differ[0]!r}. Train both with one `--routes` table."
        )
    index, mine = route_hits(ours)
    if not len(index):
        raise DataError("the labels leave the true route of every judged query open; label complexity and domain.")
    theirs = np.array([theirs_of[r.query_id].route == r.true_route for r in (ours.records[i] for i in index)])
    groups = [ours.units[i] for i in index]
    _require_units(len(set(groups)))
    delta = mine.astype(np.float64) - theirs.astype(np.float64)
    draws = bootstrap_mean(delta, groups, rng=np.random.default_rng(ours.header.seed))
    return Comparison(
        challenger=ours.header.bundle,
        other=name,
        other_is_bundle=other.header.bundle is not None,
        metric=ROUTE_ACCURACY,
        fingerprint=ours.header.fingerprint,
        n=len(index),
        n_units=len(set(groups)),
        ours=_short(mine.mean()),
        theirs=_short(theirs.mean()),
        estimate=_short(draws.estimate),
        low=_short(draws.interval.low),
        high=_short(draws.interval.high),
        minimum_detectable=_short(minimum_detectable(draws.standard_error)),
    )


def compare_outcomes(ours: Valued, other: Valued, outcomes: Outcomes, *, fingerprint: str, seed: int) -> Comparison:
    """Two routers' values of the same complete outcomes: APGR of a pair, else AIQ, else accuracy without regard to cost.

    Each weighs its values against the costs that it expects itself, and pays the recorded ones.   fingerprint: of the
    judged rows as they were read. Raises DataError where one of the two has no such figure, or an interval has no end.
    """
    _require_units(len(np.unique(outcomes.unit)))
    priced = outcomes.has_cost and ours.expected_usd is not None and other.expected_usd is not None
    found = []
    for side in (ours, other):
        judge = Judge(outcomes, side.expected_usd if priced else None, seed=seed)  # one seed: the same draws for both
        entry = Entry(router=side.name, allowed=True, probabilities=False, value=side.value)
        found.append((judge.metric, judge.judge(entry).headline))
    metric, (mine, theirs) = found[0][0], (headline for _, headline in found)
    if judge.pair and not judge.gap:
        raise DataError(
            f"no {metric} of these {len(outcomes):,} queries: the stronger model is no better than the weaker."
            " Judge on more queries."
        )
    if mine is None or theirs is None:
        raise DataError(
            f"{other.name} chooses one model for every query, so it has no {metric}; compare with `--against random` or `lr`."
        )
    delta = difference(mine, theirs)
    interval = delta.interval
    if interval is None:
        raise DataError(
            f"no {metric} of these {len(outcomes):,} queries in some draws: the stronger model is hardly better than the"
            " weaker. Judge on more queries."
        )
    return Comparison(
        challenger=ours.name,
        other=other.name,
        other_is_bundle=other.is_bundle,
        metric=metric,
        fingerprint=fingerprint,
        n=len(outcomes),
        n_units=len(np.unique(outcomes.unit)),
        ours=_short(mine.estimate),
        theirs=_short(theirs.estimate),
        estimate=_short(delta.estimate),
        low=_short(interval.low),
        high=_short(interval.high),
        minimum_detectable=None if delta.minimum_detectable is None else _short(delta.minimum_detectable),
        our_point=_point(ours, outcomes),
        their_point=_point(other, outcomes),
    )


def _point(side: Valued, outcomes: Outcomes) -> Point | None:
    if side.choice is None:
        return None
    taken = np.arange(len(outcomes)), side.choice
    cost = float(f"{outcomes.cost_usd[taken].mean():.9f}") if outcomes.has_cost else None
    return Point(score=_short(outcomes.score[taken].mean()), cost_usd=cost)


def require_unseen(
    learned: Sequence[str], texts: Sequence[str], *, who: str, ids: Sequence[str], remedy: str = ELSEWHERE
) -> None:
    """Raise DataError where a router learned from a judged query: a text equal but for case and white space.

    learned: the texts that `who` was trained on.   texts, ids: of the judged queries.   remedy: ends the message.
    """
    number = equal_texts([*learned, *texts])
    seen = np.flatnonzero(np.isin(number[len(learned) :], number[: len(learned)]))
    if len(seen):
        raise DataError(
            f"{who} learned from {len(seen):,} of the {len(texts):,} judged queries ({_named([ids[i] for i in seen.tolist()])});"
            f" wanted queries that neither side has seen. {remedy}"
        )


def require_same(what: str, ours: Collection[str], theirs: Collection[str], *, other: str) -> None:
    """Raise DataError where the two sides know other models or heads; `what` names which, `other` the other side."""
    mine, their = set(ours) - set(theirs), set(theirs) - set(ours)
    if mine or their:
        only = [
            f"only {who} knows {_named(names)}" for who, names in (("the challenger", mine), (other, their)) if names
        ]
        raise DataError(
            f"the two sides know other {what}: {'; '.join(only)}. Train the challenger on the same {what}, or compare"
            " with another by --against."
        )


def guarantee_of(manifest: Mapping[str, Any], bundle: str) -> GuaranteeRecord | None:  # Any: whatever JSON can hold
    """The guarantee that a bundle's manifest carries, as the evidence records it; None without one.

    Raises BundleError for one that lacks a figure.
    """
    body = manifest.get("guarantee")
    if body is None:
        return None
    names = [field.name for field in fields(GuaranteeRecord) if field.name != "bundle"]
    if not isinstance(body, Mapping) or (missing := [name for name in names if name not in body]):
        lacks = "is no table" if not isinstance(body, Mapping) else f"lacks {', '.join(missing)}"
        raise BundleError(
            f"bundle {bundle}: its guarantee {lacks}; certify it again with"
            " `weighbridge threshold --bundle B --target guarantee --against MODEL --out NEW`."
        )
    return GuaranteeRecord(bundle=bundle, **{name: body[name] for name in names})


def _require_units(n_units: int) -> None:
    if n_units < FEWEST_UNITS:
        raise DataError(
            f"the judged queries are of {n_units} units (persons, groups of equal texts); wanted {FEWEST_UNITS} or more,"
            " or the interval says more than is known. Judge on more queries."
        )


def _named(names: Collection[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def _short(value: float | np.floating[Any]) -> float:
    return round(float(value), DECIMALS)
