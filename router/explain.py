"""Why this decision: exact contributions of what it was made from, nearest labelled queries, the smallest flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.features import Features
from router.novelty import nearest
from router.pipeline import Router
from router.policy import LabelPolicy
from router.surface import FEATURE_NAMES
from router.types import Decision, Query

SHOWN = 6
WHOLE = {"embedding": "meaning (embedding)", "earlier": "earlier messages"}  # blocks whose columns have no names


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one named feature adds to the log-odds of the predicted label against the runner-up."""

    name: str
    log_odds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One decision, taken apart.

    contributions: head -> the strongest named features, and one sum for all columns of the embedding, strongest first.
    They and `intercept` are exact: together with the features not shown they add up to the head's log-odds.
    neighbours: (similarity, query) of the nearest training queries.   flip: what would have to change, in words.
    """

    decision: Decision
    runner_up: dict[str, str]
    contributions: dict[str, tuple[Contribution, ...]]
    neighbours: tuple[tuple[float, Query], ...]
    flip: str


def explain(router: Router, text: str, context: Sequence[str] = (), *, k: int = 3) -> Explanation:
    """Explain the decision for one text in its context, with its k nearest training queries."""
    reading = router.read([text], [context])
    decision = router.decisions(reading)[0]
    contributions, runner_up = {}, {}
    for name, head in router.heads.items():
        p = reading.probabilities[name][0]
        first, second = np.argsort(-p, kind="stable")[:2]
        runner_up[name] = head.classes[second]
        contributions[name] = _strongest(router, name, reading.features, int(first), int(second))
    indices, cosines = nearest(reading.sentence, router.novelty.reference, k=k)
    return Explanation(
        decision=decision,
        runner_up=runner_up,
        contributions=contributions,
        neighbours=tuple((round(float(c), 3), router.training[i]) for i, c in zip(indices[0], cosines[0], strict=True)),
        flip=smallest_flip(router, decision),
    )


def _strongest(router: Router, name: str, features: Features, first: int, second: int) -> tuple[Contribution, ...]:
    found = [entry for entry in all_contributions(router, name, features, first, second) if abs(entry.log_odds) > 1e-9]
    return tuple(sorted(found, key=lambda entry: -abs(entry.log_odds))[:SHOWN])


def all_contributions(router: Router, name: str, features: Features, first: int, second: int) -> list[Contribution]:
    """Every named feature's share of logit[first] − logit[second] for one text; columns without names as one sum."""
    head = router.heads[name]
    found = []
    for block, weights in head.weights.items():
        difference = weights[:, first].astype(np.float64) - weights[:, second].astype(np.float64)
        if block in WHOLE:
            row = getattr(features, block)[0].astype(np.float64)
            found.append(Contribution(name=WHOLE[block], log_odds=float(row @ difference)))
        elif block == "ngrams":
            assert features.ngrams is not None
            assert router.space.ngrams is not None
            for column, value in zip(features.ngrams.indices, features.ngrams.data, strict=True):
                found.append(
                    Contribution(
                        name=_spell(router.space.ngrams.terms[column]), log_odds=float(value * difference[column])
                    )
                )
        else:
            names, values = _block_names(router, block), getattr(features, block)[0]
            found.extend(
                Contribution(name=label, log_odds=float(v * d))
                for label, v, d in zip(names, values, difference, strict=True)
            )
    return found


def _block_names(router: Router, block: str) -> list[str]:
    if block == "surface":
        return [name.replace("_", " ") for name in FEATURE_NAMES]
    if block == "lexicon":
        assert router.space.lexicon is not None
        return [f"cue words of {label}" for _, label in router.space.lexicon.columns]
    return [f"domain {label}" for label in router.heads[router.table.policy.domain_head].classes]


def _spell(term: str) -> str:
    kind, text = term[:2], term[2:]
    return f"word “{text}”" if kind == "w:" else f"letters “{text}”"


def smallest_flip(router: Router, decision: Decision) -> str:
    """The nearest change of threshold, and of the two prices behind it, that would send the query elsewhere."""
    spec = router.table.policy
    p = decision.probabilities[spec.complexity_head][spec.cheap_label]
    threshold = router.policy.threshold
    if decision.rule in ("novel", "out-of-scope"):
        return f"decided by the rule {decision.rule!r}, not by the threshold"
    side = "above" if decision.rule == "cheap" else "at or below"
    if not 0.0 < p < 1.0:
        return f"no threshold within (0, 1) flips it: P({spec.cheap_label}) is {p:.3f}"
    if _route_at(router, decision, threshold=1.0 if decision.rule == "cheap" else p) == decision.route:
        return f"no threshold flips it: on either side it goes to {decision.route}"
    ratio = p / (1.0 - p)
    return (
        f"a threshold {side} {p:.3f} (now {threshold:.3f}) would flip it:"
        f" a wrong `{spec.cheap_label}` costing {ratio:.2g} times its opposite (now {spec.wrong_cheap_usd / spec.wrong_dear_usd:.2g})"
    )


def _route_at(router: Router, decision: Decision, *, threshold: float) -> str:
    """Where the same query would go at another threshold."""
    rows = {head: np.array([list(p.values())]) for head, p in decision.probabilities.items()}
    policy = LabelPolicy(router.table, router.classes, threshold=threshold)
    choices = policy.choose(rows, novelty=np.array([decision.novelty]))
    return router.table.names[int(choices.route[0])]
