"""A recorded table small enough to work by hand, and a router whose every value is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from eval.simulate.amounts import Assumption
from eval.simulate.lab import Options
from eval.simulate.recorded import simulate_recorded
from eval.simulate.scenario import BadAnswer, Baseline, QueryClass, RouterUse, RouteUse, Scenario, sure
from router.outcome_policy import AnyPolicy, ExpectedUtility
from router.outcome_router import ModelRouter, ScoredQueries, TrainingQueries
from router.outcomes import Outcomes, equal_texts

Floats = npt.NDArray[np.float64]
SMALL, LARGE = "small", "large"
USD = (0.001, 0.01)
RIGHT = ((1, 1),) * 6 + ((0, 1),) * 5 + ((0, 0),)  # twelve queries: the large model misses the last, the small one six
TO_SMALL = 8  # the scripted router sends the first eight to the small model


def table(score: Sequence[Sequence[float]] = RIGHT, **changed: Any) -> Outcomes:  # Any: fields of the table
    """q00, q01, ... by two models that always cost the same, all of them test rows."""
    n = len(score)
    texts = tuple(f"what is {i}" for i in range(n))
    missing = np.full((n, 2), np.nan)
    made = Outcomes(
        name="tiny",
        ids=tuple(f"q{i:02d}" for i in range(n)),
        texts=texts,
        models=(SMALL, LARGE),
        score=np.array(score, dtype=np.float64),
        cost_usd=np.tile(np.array(USD), (n, 1)),
        input_tokens=missing,
        output_tokens=missing,
        latency_ms=missing,
        dataset=(None,) * n,
        split=("test",) * n,
        unit=equal_texts(texts),
    )
    return replace(made, **changed)


@dataclass
class Scripted:
    """Says of each query, by its id, P(good answer) of both models; expects the dollars that they really cost."""

    value: Mapping[str, tuple[float, float]]
    policy: AnyPolicy
    learned: Sequence[str] = ()
    held: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    expects: bool = True
    models: tuple[str, ...] = (SMALL, LARGE)

    @property
    def training(self) -> TrainingQueries:
        n = len(self.learned)
        return TrainingQueries(ids=tuple("" for _ in range(n)), texts=tuple(self.learned), score=np.zeros((n, 2)))

    @property
    def calibration(self) -> ScoredQueries:
        return self._scored(tuple(self.held), np.array(list(self.held.values())).reshape(-1, 2))

    def scored(self, outcomes: Outcomes) -> ScoredQueries:
        return self._scored(outcomes.ids, np.array([self.value[name] for name in outcomes.ids]))

    def _scored(self, ids: tuple[str, ...], p: Floats) -> ScoredQueries:
        usd = np.tile(np.array(USD), (len(ids), 1))
        return ScoredQueries(
            ids=ids,
            p=p,
            expected_usd=usd if self.expects else None,
            score=p,
            paid_usd=usd,
            unit=np.arange(len(ids), dtype=np.intp),
        )


def scripted(
    *, n: int = len(RIGHT), to_small: int = TO_SMALL, lam: float = 50.0, policy: AnyPolicy | None = None, **changed: Any
) -> ModelRouter:  # Any: fields of Scripted
    """The first queries are worth 0.9 with either model, the others nothing with the small one.

    At λ = 50 the large model's 0.9 cents take 0.45 off its value: the first go to the small one, the others do not.
    """
    value = {f"q{i:02d}": (0.9, 0.9) if i < to_small else (0.0, 0.9) for i in range(n)}
    rule = policy or ExpectedUtility(models=(SMALL, LARGE), quality_per_usd=lam)
    return cast("ModelRouter", Scripted(value=value, policy=rule, **changed))


def scenario(**changed: Any) -> Scenario:  # Any: fields of the scenario
    """A thousand queries a month, certain; nothing left to chance but which queries the table happens to hold."""
    made = Scenario(
        name="tiny",
        month=date(2026, 11, 1),
        queries_per_month=Assumption(value=1_000.0),
        queries=(QueryClass(name="any", share=sure(1.0), needs=LARGE),),
        routes=tuple(RouteUse(name=name, model=name, provider="p") for name in (SMALL, LARGE)),
        baselines=(
            Baseline(name="large for all", route=LARGE),
            Baseline(name="small for all", route=SMALL),
            Baseline(name="a perfect router"),
        ),
        chance=False,
        router=RouterUse(),
        bad_answer=BadAnswer(),
    )
    return replace(made, **changed)


def simulated(
    asked: Scenario | None = None, outcomes: Outcomes | None = None, router: ModelRouter | None = None, **options: Any
) -> dict[str, Any]:  # Any: whatever JSON can hold
    """The figures, of the small table and its router unless others are given."""
    return simulate_recorded(
        asked or scenario(),
        outcomes or table(),
        router=router or scripted(),
        options=Options(**{"draws": 40, **options}),
    )
