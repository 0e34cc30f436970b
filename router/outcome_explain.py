"""Why this model and not that one: what each view adds to the blend, what each named feature adds to a view, neighbours.

Every list of parts is exact: with its `base` it adds up to the whole it explains. What a whole is depends on the blend: log-odds
where each model is weighed by its own logistic regression, log-odds of "only this one answers well" against "only that one"
for the joint outcomes of a pair, and plain probability where one weight per view serves all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from router.errors import PolicyError
from router.novelty import nearest
from router.outcome_flips import Flip, parameter_flip, price_flip
from router.outcome_router import Floats, ModelRouter, OutcomeDecision, OutcomeReading
from router.success.blend import Blend, EachBlend, JointBlend, SharedBlend, log_odds
from router.success.model import SuccessModel
from router.surface import FEATURE_NAMES

SHOWN = 8
SMALLEST = 1e-9  # a part below it says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one view, feature, data set or neighbourhood adds for the first model against the second."""

    name: str
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A whole and its parts: base + Σ amounts = whole.   unit: what the amounts are in."""

    unit: str
    base: float
    parts: tuple[Part, ...]

    @property
    def whole(self) -> float:
        """What the parts add up to."""
        return self.base + sum(part.amount for part in self.parts)

    @property
    def strongest(self) -> tuple[Part, ...]:
        """The parts that say most, strongest first."""
        telling = [part for part in self.parts if abs(part.amount) > SMALLEST]
        return tuple(sorted(telling, key=lambda part: -abs(part.amount))[:SHOWN])


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A training query: cosine similarity, and each model's recorded score, None where it was not recorded."""

    similarity: float
    query_id: str
    text: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeExplanation:
    """One decision taken apart: `decision.model` against `against`.

    blend: what each view adds.   views: view -> its own parts: named features of the linear view, terms of the words,
    data sets of the domain.   flips: the smallest change of the policy's number, and of a price; None where none flips it.
    """

    decision: OutcomeDecision
    against: str
    blend: Sum
    views: Mapping[str, Sum]
    neighbours: tuple[Neighbour, ...]
    parameter: Flip | None
    price: Flip | None


def explain_outcome(
    router: ModelRouter, text: str, *, against: str | None = None, neighbours: int = 3
) -> OutcomeExplanation:
    """Explain the decision for one text.

    against: the model to compare the chosen one with; None takes the most probable of the others. Raises PolicyError for a
    text that is no query, and for a model that is not there or is the chosen one.
    """
    reading = router.read([text])
    decision = router.decisions(reading)[0]
    first = router.models.index(decision.model)
    second = _second(router, reading.p[0], first, against)
    cost = None if reading.expected_usd is None else reading.expected_usd[0]
    views = router.success.views(reading.texts, reading.rows, reading.sentence)
    return OutcomeExplanation(
        decision=decision,
        against=router.models[second],
        blend=blend_sum(router.success.blend, {name: p[0] for name, p in views.items()}, first, second),
        views=view_sums(router.success, reading, first, second),
        neighbours=_neighbours(router, reading, neighbours),
        parameter=parameter_flip(router.policy, reading.p[0], cost),
        price=price_flip(router.policy, reading.p[0], cost),
    )


def _second(router: ModelRouter, p: Floats, first: int, against: str | None) -> int:
    if against is None:
        return next(int(j) for j in np.argsort(-p, kind="stable") if j != first)
    if against not in router.models or router.models.index(against) == first:
        others = ", ".join(model for j, model in enumerate(router.models) if j != first)
        raise PolicyError(
            f"{router.models[first]} was chosen and cannot be compared with {against!r}; wanted one of {others}."
        )
    return router.models.index(against)


def blend_sum(blend: Blend, views: Mapping[str, Floats], first: int, second: int) -> Sum:
    """What each view adds for the first model against the second.   views: name -> (m,) what that view says."""
    weights, intercept = blend.weights, blend.intercept
    if isinstance(blend, JointBlend):
        # columns: neither, second only, first only, both; for the pair the other way round, the other way round
        one, other = (2, 1) if first == 0 else (1, 2)
        difference = (weights[:, one] - weights[:, other]).reshape(len(blend.views), 2)
        amounts = [float(log_odds(views[name]) @ difference[v]) for v, name in enumerate(blend.views)]
        unit, base = "log-odds of being the only one to answer well", intercept[one] - intercept[other]
    elif isinstance(blend, EachBlend):
        terms = [log_odds(views[name]) * weights[v] for v, name in enumerate(blend.views)]
        amounts = [float(term[first] - term[second]) for term in terms]
        unit, base = "log-odds of a good answer", intercept[first] - intercept[second]
    elif isinstance(blend, SharedBlend):
        # a view's distance from its row's mean is what differs between models; the mean itself is common to both
        amounts = [float(weights[v] * (views[name][first] - views[name][second])) for v, name in enumerate(blend.views)]
        unit, base = (
            "probability of a good answer, before it is kept within (0, 1)",
            intercept[first] - intercept[second],
        )
    else:
        assert_never(blend)
    parts = tuple(Part(name=name, amount=amount + 0.0) for name, amount in zip(blend.views, amounts, strict=True))
    return Sum(unit=unit, base=float(base), parts=parts)


def view_sums(success: SuccessModel, reading: OutcomeReading, first: int, second: int) -> dict[str, Sum]:
    """View -> its own parts, for the one text of the reading. Neighbours and landmarks are queries, and have none."""
    dense = success.space.dense(reading.texts, reading.rows)
    found = {"linear": _linear(success, dense[0].astype(np.float64), first, second)}
    if success.word_space is not None and success.words is not None:
        found["words"] = _words(success, reading.texts[0], first, second)
    if success.domain is not None and success.domain_means is not None:
        chance = success.domain.probabilities(dense)[0]
        means = success.domain_means[:, first] - success.domain_means[:, second]
        parts = [
            Part(name=f"data set {name}", amount=float(share * mean))
            for name, share, mean in zip(success.domain.classes, chance, means, strict=True)
        ]
        found["domain"] = Sum(unit="probability of a good answer", base=0.0, parts=tuple(parts))
    return found


def _linear(success: SuccessModel, row: Floats, first: int, second: int) -> Sum:
    """The embedding's columns as one sum, each surface feature by its name."""
    head = success.linear
    amounts = row * (head.weights[:, first] - head.weights[:, second])
    width = len(row) - len(FEATURE_NAMES)
    parts = [Part(name="meaning (embedding)", amount=float(amounts[:width].sum()))]
    parts += [
        Part(name=name.replace("_", " "), amount=float(amount))
        for name, amount in zip(FEATURE_NAMES, amounts[width:], strict=True)
    ]
    base = float(head.intercept[first] - head.intercept[second])
    return Sum(unit="log-odds of a good answer", base=base, parts=tuple(parts))


def _words(success: SuccessModel, text: str, first: int, second: int) -> Sum:
    """Each known word and pair of words; up to single precision, in which the view adds them up."""
    assert success.word_space is not None
    assert success.words is not None
    space, head = success.word_space, success.words
    found = space.ngrams.transform([text])
    worth = space.axes[found.indices].astype(np.float64) @ (head.weights[:, first] - head.weights[:, second])
    parts = tuple(
        Part(name=_spell(space.ngrams.terms[column]), amount=float(value * amount))
        for column, value, amount in zip(found.indices, found.data.astype(np.float64), worth, strict=True)
    )
    base = float(head.intercept[first] - head.intercept[second])
    return Sum(unit="log-odds of a good answer", base=base, parts=parts)


def _spell(term: str) -> str:
    """A term of the vocabulary for a person: ^ and $ stand for the beginning and the end of the text."""
    kind, text = term[:2], term[2:]
    return f"word “{text}”" if kind == "w:" else f"letters “{text}”"


def _neighbours(router: ModelRouter, reading: OutcomeReading, k: int) -> tuple[Neighbour, ...]:
    index, cosine = nearest(reading.sentence, router.novelty.reference, k=k)
    training = router.training
    return tuple(
        Neighbour(
            similarity=round(float(similarity), 3),
            query_id=training.ids[i],
            text=router.boilerplate.strip(training.texts[i]),  # of few-shot prompts all beginnings are alike
            scores={
                model: None if np.isnan(score) else float(score)
                for model, score in zip(router.models, training.score[i], strict=True)
            },
        )
        for i, similarity in zip(index[0].tolist(), cosine[0].tolist(), strict=True)
    )
