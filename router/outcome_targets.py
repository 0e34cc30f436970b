"""What a policy over models should achieve, as a person says it, and the policy that does so on held-out queries. Pure.

share=0.3       that share of the calls stays with one model (`against`; the best single one where none is named)
budget=0.0005   mean expected dollars per query
floor=0.8       mean score, by its lower 95 % bound
each=0.7        per query, the cheapest model whose P(good answer) is at least that
lambda=200      the largest P(good answer) − λ · dollars
guarantee       at most ε of quality lost against `against`, certified (see `guarantee`)
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from router.errors import PolicyError
from router.guarantee import Guarantee
from router.outcome_policy import AnyPolicy, CheapestAbove, ExpectedUtility, Threshold
from router.outcome_router import Floats, ScoredQueries
from router.outcome_thresholds import family_of, for_budget, for_floor, for_guarantee, for_share, grid

Kind = Literal["share", "budget", "floor", "each", "lambda", "guarantee"]
FORMS = "share=0.3, budget=0.0005, floor=0.8, each=0.7, lambda=200 or guarantee"
ALWAYS = -1.0  # a threshold below every difference of two probabilities: nothing ever leaves the one model
CONFIDENCE = 0.95
NEAR_BEST = 0.01  # of mean score: what may be lost against the best single model before anything is asked
ROUNDING = 1e-9  # of a mean score


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One line of the module's list. value: None for a guarantee alone."""

    kind: Kind
    value: float | None

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind}={self.value:g}"


def parse_target(text: str) -> Target:
    """Read `--target`. Raises PolicyError for anything that is none of the forms.

    >>> parse_target("share=0.3")
    Target(kind='share', value=0.3)
    """
    name, equals, number = text.strip().partition("=")
    kind = next((kind for kind in get_args(Kind) if kind == name.strip()), None)
    try:
        value = float(number) if equals else None
    except ValueError:
        value = float("nan")
    if kind is None or (value is None) != (kind == "guarantee") or (value is not None and not np.isfinite(value)):
        raise PolicyError(f"--target is {text!r}; wanted one of {FORMS}.")
    return Target(kind=kind, value=value)


def policy_for(
    target: Target, sample: ScoredQueries, *, models: tuple[str, ...], against: str | None = None
) -> AnyPolicy:
    """The policy that reaches a target other than a guarantee on this sample of complete queries.

    Raises PolicyError where nothing reaches it, where it needs dollars and none are known, and for an empty sample.
    """
    _require_some(sample)
    if against is not None and against not in models:
        raise PolicyError(
            f"no model {against!r}; the router decides between {', '.join(models)}. Name one with --against."
        )
    assert target.value is not None, "a guarantee is made by `certified_policy`"
    if sample.expected_usd is None and target.kind in ("budget", "lambda"):
        raise PolicyError(
            f"--target {target} needs dollars, and the router's table had no costs; ask for a share, a floor or each,"
            " or train on a table with costs."
        )
    if target.kind == "share":
        stays = against or models[best_single(sample)]
        return for_share(sample.p, models=models, against=stays, share=target.value, cost_usd=sample.expected_usd)
    if target.kind == "each":
        return CheapestAbove(models=models, floor=target.value)
    if target.kind == "floor":
        return _at_floor(sample, models=models, against=against, floor=target.value)
    assert sample.expected_usd is not None
    if target.kind == "budget":
        return for_budget(sample.p, sample.expected_usd, models=models, budget_usd=target.value)
    return ExpectedUtility(models=models, quality_per_usd=target.value)


def certified_policy(
    sample: ScoredQueries, *, models: tuple[str, ...], against: str, epsilon: float, delta: float, seed: int
) -> tuple[Threshold, Guarantee]:
    """The threshold that saves most at a certified loss; see `outcome_thresholds.for_guarantee`, whose errors it raises.

    One ask, one guarantee: of several asked on the same queries, the best is no longer covered at `delta`.
    """
    _require_some(sample)
    return for_guarantee(
        sample.p,
        sample.score,
        models=models,
        against=against,
        epsilon=epsilon,
        delta=delta,
        seed=seed,
        unit=sample.unit,
        paid_usd=sample.paid_usd,
        cost_usd=sample.expected_usd,
    )


def near_best_single(sample: ScoredQueries, *, models: tuple[str, ...]) -> tuple[Threshold, str]:
    """The policy of a router of which nothing was asked, and a sentence that says what it is.

    From "always the best single model" on, ever more of its calls go to cheaper ones, until the lower 95 % bound of what
    is gained or lost in mean score on these queries first falls below −0.01: then the step before. So few queries save
    little, and a bad router nothing. The normal bound is not corrected for the steps: for a promise, `certified_policy`.
    """
    _require_some(sample)
    best = best_single(sample)
    rules, gain = _steps(sample, models=models, against=models[best])
    near = np.logical_and.accumulate(_lower_bound(gain) >= -NEAR_BEST - ROUNDING)
    policy = rules[max(int(near.sum()) - 1, 0)]
    name = f"{models[best]} (mean score {sample.score[:, best].mean():.4f} on {len(sample):,} calibration queries)"
    if policy.threshold == ALWAYS:
        return policy, f"always {name}: no mixture was as good within {NEAR_BEST:g} beyond doubt"
    return policy, f"as good as {name} within {NEAR_BEST:g}, with the fewest of its calls"


def best_single(sample: ScoredQueries) -> int:
    """The column with the best mean score over complete queries; the first, which is the cheaper one, of those that tie."""
    return int(np.round(sample.score.mean(axis=0), 9).argmax())


def _at_floor(sample: ScoredQueries, *, models: tuple[str, ...], against: str | None, floor: float) -> AnyPolicy:
    """By λ where dollars are known, else, or where a model to stay with is named, by the threshold that saves most calls."""
    if sample.expected_usd is not None and against is None:
        return for_floor(sample.p, sample.expected_usd, sample.score, models=models, floor=floor, confidence=CONFIDENCE)
    stays = against or models[best_single(sample)]
    rules, gain = _steps(sample, models=models, against=stays)
    reached = _lower_bound(gain + sample.score[:, [models.index(stays)]])
    enough = np.flatnonzero(reached >= floor - ROUNDING)
    if not len(enough):
        raise PolicyError(
            f"no threshold against {stays} reaches the floor {floor:g}: the best lower {CONFIDENCE:.0%} bound of the mean"
            f" score over {len(gain):,} queries is {reached.max():.4f}. Ask for that, bring more queries, or add a better model."
        )
    return rules[int(enough[-1])]


def _steps(sample: ScoredQueries, *, models: tuple[str, ...], against: str) -> tuple[list[Threshold], Floats]:
    """T thresholds from "always `against`" to ever fewer of its calls, and (n, T) what each query gains in score by them."""
    cost, column = sample.expected_usd, models.index(against)
    order = np.broadcast_to(np.arange(len(models)), sample.p.shape) if cost is None else cost
    cuts: Floats = np.zeros(0)
    if (order < order[:, [column]]).any():
        cuts = grid(sample.p, models=models, against=against, cost_usd=cost)
    rules = [Threshold(models=models, against=against, threshold=t) for t in (ALWAYS, *cuts[cuts > ALWAYS].tolist())]
    unpaid = np.full_like(sample.score, np.nan)
    family = family_of(tuple(rules), sample.p, sample.score, paid_usd=unpaid, cost_usd=cost)
    return rules, -family.loss[:, 1:]  # the family has one more, which is `always` as well


def _lower_bound(values: Floats) -> Floats:
    """(T,) the normal lower 95 % bound of the mean of each column."""
    bound: Floats = values.mean(axis=0) - NormalDist().inv_cdf(CONFIDENCE) * values.std(axis=0) / np.sqrt(len(values))
    return bound


def _require_some(sample: ScoredQueries) -> None:
    if not len(sample):
        raise PolicyError(
            "no calibration query has the score of every model; bring some with `--outcomes FILE`, or fewer `--models`."
        )
