"""The router over models: encoder, success model, expected costs and a policy in one, from a query's text to the model
that should answer it. `outcome_training` fits one, `outcome_bundle` keeps it on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from router.boilerplate import Boilerplate
from router.encoders.protocol import Encoder, Matrix, sentence_part
from router.errors import DataError, PolicyError
from router.files import DECIMALS
from router.novelty import Novelty
from router.outcome_policy import RULES, AnyPolicy, Budget, ExpectedUtility
from router.outcomes import Outcomes
from router.rows import text_problem
from router.success.costs import CostModel
from router.success.model import SuccessModel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
USD_DECIMALS = (
    12  # of an expected cost: a product's last bits depend on how many rows it holds, and a decision must not
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReading:
    """What is known of n texts before any policy.

    texts: without boilerplate.   rows: (n, dim) of the encoder.   p: (n, m) P(good answer), 6 decimals.
    sentence: (n, s) unit rows.   expected_usd: (n, m) dollars per call, 12 decimals; None where no costs were recorded.
    novelty: (n,) rank among the calibration queries.
    """

    texts: Sequence[str]
    rows: Matrix
    sentence: Matrix
    p: Floats
    expected_usd: Floats | None
    novelty: Floats

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeDecision:
    """Which model answers one query, and why.

    confidence: P(good answer) of that model.   probabilities: of every model.   expected_cost_usd: dollars of a call of
    every model, None where no costs were recorded.   novelty: rank among the calibration queries, in [0, 1].
    """

    model: str
    rule: str
    confidence: float
    probabilities: Mapping[str, float]
    expected_cost_usd: Mapping[str, float] | None
    novelty: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredQueries:
    """n queries the router was not fitted on: what it says of them, and what the models really did.

    p, expected_usd: as read.   score, paid_usd: (n, m) as recorded, NaN where missing.   unit: (n,) groups of equal texts.
    """

    ids: tuple[str, ...]
    p: Floats
    expected_usd: Floats | None
    score: Floats
    paid_usd: Floats
    unit: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: npt.NDArray[Any]) -> ScoredQueries:  # Any: positions or a mask
        """The chosen queries."""
        chosen = np.arange(len(self))[index]
        return ScoredQueries(
            ids=tuple(self.ids[i] for i in chosen),
            p=self.p[chosen],
            expected_usd=None if self.expected_usd is None else self.expected_usd[chosen],
            score=self.score[chosen],
            paid_usd=self.paid_usd[chosen],
            unit=self.unit[chosen],
        )

    @property
    def complete(self) -> ScoredQueries:
        """Those that every model answered."""
        return self.rows(np.asarray(np.isfinite(self.score).all(axis=1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingQueries:
    """The queries it learned from, in the order that `novelty` remembers them.   score: (n, m), NaN where missing."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    score: Floats

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ModelRouter:
    """A fitted router over models. Build one with `fit_outcome_router`, or load a bundle.

    name: of the outcome table.   costs: None where it recorded none.   calibration: held-out queries, on which policies
    are chosen.   fitted: what training leaves for the manifest.   guarantee: of this policy, where one was certified.
    Raises PolicyError where the policy decides between other models, or weighs dollars that nobody knows.
    """

    name: str
    encoder: Encoder
    boilerplate: Boilerplate
    success: SuccessModel
    costs: CostModel | None
    policy: AnyPolicy
    novelty: Novelty
    training: TrainingQueries
    calibration: ScoredQueries
    fitted: Mapping[str, Any]  # Any: whatever JSON can hold
    guarantee: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.policy.models != self.models:
            raise PolicyError(
                f"the policy decides between {', '.join(self.policy.models)}; wanted {', '.join(self.models)}, in that order."
            )
        if self.costs is None and isinstance(self.policy, ExpectedUtility | Budget):
            raise PolicyError(
                f"the policy {self.policy.kind!r} weighs quality against dollars, and the table {self.name!r} has no costs."
                " Choose a threshold, or record costs."
            )

    def __repr__(self) -> str:
        return f"ModelRouter({self.name}, {len(self.models)} models, {self.policy.kind}, {self.encoder.spec.name})"

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it decides between, in the order of every column."""
        return self.success.models

    def with_policy(self, policy: AnyPolicy, *, why: str, guarantee: Mapping[str, Any] | None = None) -> ModelRouter:
        """The same router under another policy; a guarantee is of one policy and does not outlive it.

        why: how the policy was chosen, in words, for the card.
        """
        return replace(self, policy=policy, guarantee=guarantee, fitted={**self.fitted, "policy": why})

    def read(self, texts: Sequence[str]) -> OutcomeReading:
        """What is to be said of n texts. Raises PolicyError for a text that is no query (empty, too long, ...)."""
        for position, text in enumerate(texts):
            problem = text_problem(text)
            if problem:
                raise PolicyError(
                    f"query {position + 1} of {len(texts)} {problem}. Check a file with `weighbridge data check`."
                )
        return self.read_recorded(texts)

    def read_recorded(self, texts: Sequence[str]) -> OutcomeReading:
        """`read` for the queries of a table, which were checked when it was read: they may hold what a new one must not."""
        stripped = self.boilerplate.strip_all(texts)
        rows = self.encoder.encode(stripped)
        sentence = np.ascontiguousarray(sentence_part(rows, self.encoder.spec))
        expected = None
        if self.costs is not None:
            expected = np.round(self.costs.expected_usd(self.success.space.dense(stripped, rows)), USD_DECIMALS)
        return OutcomeReading(
            texts=stripped,
            rows=rows,
            sentence=sentence,
            p=np.round(self.success.probabilities(stripped, rows, sentence), DECIMALS),
            expected_usd=expected,
            novelty=np.round(self.novelty.rank(sentence), DECIMALS),
        )

    def decide_many(self, texts: Sequence[str]) -> list[OutcomeDecision]:
        """One decision per text, in order; each depends on its own text alone."""
        return self.decisions(self.read(texts)) if texts else []

    def decide(self, text: str) -> OutcomeDecision:
        """Which model answers this query, and why."""
        return self.decide_many([text])[0]

    def decisions(self, reading: OutcomeReading) -> list[OutcomeDecision]:
        """Apply the policy to a reading of n texts."""
        choices = self.policy.choose(reading.p, reading.expected_usd)
        p = reading.p.tolist()
        expected = None if reading.expected_usd is None else reading.expected_usd.tolist()
        return [
            OutcomeDecision(
                model=self.models[model],
                rule=RULES[rule],
                confidence=p[i][model],
                probabilities=dict(zip(self.models, p[i], strict=True)),
                expected_cost_usd=None if expected is None else dict(zip(self.models, expected[i], strict=True)),
                novelty=float(reading.novelty[i]),
            )
            for i, (model, rule) in enumerate(zip(choices.model.tolist(), choices.rule.tolist(), strict=True))
        ]

    def scored(self, outcomes: Outcomes, reading: OutcomeReading | None = None) -> ScoredQueries:
        """What it says of the queries of a table beside what their models really did.

        reading: of the table's texts, where there is one already. The table's models may stand in any order and be more
        than its own. Raises DataError where one of its own is missing.
        """
        missing = [model for model in self.models if model not in outcomes.models]
        if missing:
            raise DataError(
                f"outcomes {outcomes.name!r} have nothing of {', '.join(missing)}; wanted every model of the router:"
                f" {', '.join(self.models)}."
            )
        column = [outcomes.models.index(model) for model in self.models]
        reading = reading or self.read_recorded(outcomes.texts)
        return ScoredQueries(
            ids=outcomes.ids,
            p=reading.p,
            expected_usd=reading.expected_usd,
            score=outcomes.score[:, column],
            paid_usd=outcomes.cost_usd[:, column],
            unit=outcomes.unit,
        )
