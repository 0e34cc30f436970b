"""The router: encoder, feature space, heads and policy in one. `fit` lives in `training`, `save` and `load` in `bundle`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from router.card import Card
from router.earlier import Contexts, earlier_rows
from router.encoders.protocol import Encoder, Matrix, sentence_part
from router.errors import PolicyError
from router.features import Features, FeatureSpace
from router.files import DECIMALS
from router.heads import Head
from router.novelty import Novelty
from router.policy import RULES, LabelPolicy
from router.routes import RouteTable
from router.rows import text_problem
from router.types import Decision, Query

Floats = npt.NDArray[np.float64]

NO_ROUTES = "the bundle has no route table"  # why heads alone name no route


@dataclass(frozen=True, slots=True, kw_only=True)
class AlsoHead:
    """One desk against the rest: is its tool needed besides the leading desk's? `threshold` cuts P(yes)."""

    head: Head
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the heads made of n texts, before any policy.

    probabilities: head -> (n, k), rounded to 6 decimals as runs are.   also: (n, number of also-heads) P(yes).
    novelty: (n,) rank among the calibration queries.
    """

    features: Features
    probabilities: Mapping[str, Floats]
    also: Floats
    novelty: Floats
    sentence: npt.NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class Router:
    """A fitted router. Build one with `router.training.fit` or `router.bundle.load`.

    fitted: what training leaves for the manifest: settings, out-of-fold losses, fingerprints.
    training: the queries it learned from, in the order that `novelty` remembers them.
    """

    card: Card
    encoder: Encoder
    space: FeatureSpace
    heads: Mapping[str, Head]
    also: tuple[AlsoHead, ...]
    novelty: Novelty
    policy: LabelPolicy
    fitted: Mapping[str, Any]  # Any: whatever JSON can hold
    training: tuple[Query, ...]

    def __repr__(self) -> str:
        return f"Router({self.card.name}, {self.encoder.spec.name}, heads={list(self.heads)})"

    @property
    def table(self) -> RouteTable:
        """The route table that the policy decides with."""
        return self.policy.table

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Head name -> its labels, in the order of its probability columns."""
        return {name: head.classes for name, head in self.heads.items()}

    def read(self, texts: Sequence[str], contexts: Contexts | None = None) -> Reading:
        """Run encoder and heads over n texts, each in its context.

        contexts: what the user had said before each, oldest first; None for none. Raises PolicyError for a text that is
        no query (empty, too long, ...).
        """
        _require_queries(texts)
        rows = self.encoder.encode(texts)
        features = self.space.transform(texts, rows, earlier_of(self.space, self.encoder, contexts))
        domain = self.policy.table.policy.domain_head
        probabilities = {domain: self.heads[domain].probabilities(features)}
        features = features.with_domain(probabilities[domain])
        probabilities |= {name: head.probabilities(features) for name, head in self.heads.items() if name != domain}
        also = [entry.head.probabilities(features)[:, 1] for entry in self.also]
        sentence = sentence_part(rows, self.encoder.spec)
        return Reading(
            features=features,
            probabilities={name: np.round(probabilities[name], DECIMALS) for name in self.heads},
            also=np.round(np.column_stack(also) if also else np.zeros((len(texts), 0)), DECIMALS),
            novelty=np.round(self.novelty.rank(sentence), DECIMALS),
            sentence=sentence,
        )

    def decide_many(self, texts: Sequence[str], contexts: Contexts | None = None) -> list[Decision]:
        """One decision per text, in order; each depends on its own text and context alone."""
        return self.decisions(self.read(texts, contexts)) if texts else []

    def decide(self, text: str, context: Sequence[str] = ()) -> Decision:
        """Where this query goes, and why.   context: what the user had said before, oldest first."""
        return self.decide_many([text], [context])[0]

    def decisions(self, reading: Reading) -> list[Decision]:
        """Apply the policy to a reading of n texts."""
        choices = self.policy.choose(reading.probabilities, novelty=reading.novelty)
        names = self.table.names
        columns = {head: (self.heads[head].classes, p.tolist()) for head, p in reading.probabilities.items()}
        return [
            Decision(
                route=names[choices.route[i]],
                rule=RULES[choices.rule[i]],
                confidence=round(float(choices.confidence[i]), DECIMALS),
                probabilities={
                    head: dict(zip(labels, rows[i], strict=True)) for head, (labels, rows) in columns.items()
                },
                also=self._also(reading, i, names[choices.route[i]], RULES[choices.rule[i]]),
                novelty=float(reading.novelty[i]),
            )
            for i in range(len(reading.features))
        ]

    def _also(self, reading: Reading, i: int, route: str, rule: str) -> tuple[str, ...]:
        """The further desks of a query that goes to a desk; a cheap answer uses none."""
        if rule != "desk":
            return ()
        desks = {entry.name: entry.desk for entry in self.table.routes}
        return tuple(
            entry.head.name
            for j, entry in enumerate(self.also)
            if reading.also[i, j] >= entry.threshold and entry.head.name != desks[route]
        )


@dataclass(frozen=True, repr=False)
class HeadSet:
    """Fitted heads without routes or a policy: what there is to say of a query whose way is not ours to choose.

    `lead` names the head whose probabilities the others know: the one with the finest labels.
    Build one with `router.training.fit_heads`.
    """

    card: Card
    encoder: Encoder
    space: FeatureSpace
    heads: Mapping[str, Head]
    lead: str
    fitted: Mapping[str, Any]  # Any: whatever JSON can hold

    def __repr__(self) -> str:
        return f"HeadSet({self.card.name}, {self.encoder.spec.name}, heads={list(self.heads)})"

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Head name -> its labels, in the order of its probability columns."""
        return {name: head.classes for name, head in self.heads.items()}

    def probabilities(self, texts: Sequence[str], contexts: Contexts | None = None) -> dict[str, Floats]:
        """Head -> (n, k), rounded to 6 decimals. Raises PolicyError for a text that is no query (empty, too long, ...)."""
        _require_queries(texts)
        earlier = earlier_of(self.space, self.encoder, contexts)
        features = self.space.transform(texts, self.encoder.encode(texts), earlier)
        lead = self.heads[self.lead].probabilities(features)
        informed = features.with_finer(lead)
        return {
            name: np.round(lead if name == self.lead else head.probabilities(informed), DECIMALS)
            for name, head in self.heads.items()
        }

    def read_one(self, text: str, context: Sequence[str] = ()) -> dict[str, dict[str, float]]:
        """Head -> label -> probability, for one text."""
        rows = self.probabilities([text], [context])
        return {name: dict(zip(head.classes, rows[name][0].tolist(), strict=True)) for name, head in self.heads.items()}


def earlier_of(space: FeatureSpace, encoder: Encoder, contexts: Contexts | None) -> Matrix | None:
    """What was said before n queries, as the space takes it; None where nothing was, or where it learned without context."""
    if not space.earlier_dim or contexts is None or not any(contexts):
        return None
    return earlier_rows(contexts, encoder)


def _require_queries(texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        problem = text_problem(text)
        if problem:
            raise PolicyError(
                f"query {position + 1} of {len(texts)} {problem}. Check a file with `weighbridge data check`."
            )
