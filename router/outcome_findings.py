"""What is peculiar about an outcome table, and what becomes of it: found and named, never silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from router.outcome_checks import straddling_units
from router.outcomes import Outcomes
from router.rows import ALLOWED_CONTROLS

CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) - set(ALLOWED_CONTROLS)
ENOUGH_COMPLETE = 0.5  # of the queries; below it, what is compared on complete queries is no longer the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One peculiarity. rule: its name.   count: of queries, calls, texts, models or columns.   models: the figure of each."""

    rule: str
    count: int
    sentence: str
    models: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that is peculiar about one table, in a fixed order of rules; none where there is nothing to say."""

    entries: tuple[Finding, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """One sentence per finding, for a person."""
        return [entry.sentence for entry in self.entries]

    def count(self, rule: str) -> int:
        """How many there are of one rule; 0 where it found none."""
        return sum(entry.count for entry in self.entries if entry.rule == rule)

    def to_mapping(self) -> dict[str, Any]:
        """The JSON form: {"findings": [{"rule", "count", "sentence", "models"}]}."""
        return {
            "findings": [
                {"rule": entry.rule, "count": entry.count, "sentence": entry.sentence, "models": dict(entry.models)}
                for entry in self.entries
            ]
        }


def findings_of(outcomes: Outcomes, *, contaminated: int = 0, passed_over: Sequence[str] = ()) -> Findings:
    """Look at a table through every rule.

    contaminated: how many queries were left out for it.   passed_over: columns of the file that nothing reads.
    """
    found = [
        _evaluation_only(outcomes),
        _contaminated(contaminated),
        _incomplete(outcomes),
        _sparse(outcomes),
        _constant(outcomes),
        _costs(outcomes),
        _repeated(outcomes),
        _straddling(outcomes),
        _controls(outcomes),
        _without_split(outcomes),
        _passed_over(passed_over),
    ]
    return Findings(entries=tuple(entry for entry in found if entry is not None))


def _evaluation_only(outcomes: Outcomes) -> Finding | None:
    if outcomes.use == "train":
        return None
    sentence = "The table is for evaluation only: whatever would fit on it refuses to."
    return Finding(rule="evaluation-only", count=len(outcomes), sentence=sentence)


def _contaminated(count: int) -> Finding | None:
    if not count:
        return None
    sentence = f"{_many(count, 'contaminated query', 'contaminated queries')} left out."
    return Finding(rule="contaminated", count=count, sentence=sentence)


def _incomplete(outcomes: Outcomes) -> Finding | None:
    """They stay in the table; who needs every score drops them and says so."""
    count = len(outcomes) - int(outcomes.complete.sum())
    if not count:
        return None
    missing = _nonzero(outcomes.models, np.isnan(outcomes.score))
    listed = _listed(missing)
    sentence = (
        f"{_many(count, 'query lacks', 'queries lack')} the score of some model and {_are(count)} kept: {listed}."
    )
    return Finding(rule="incomplete", count=count, sentence=sentence, models=missing)


def _sparse(outcomes: Outcomes) -> Finding | None:
    """Too few complete queries: which models to leave out, those with the most missing scores first."""
    complete = int(outcomes.complete.sum())
    if complete >= ENOUGH_COMPLETE * len(outcomes):
        return None
    known = np.isfinite(outcomes.score)
    order = np.argsort(-known.sum(axis=0), kind="stable")
    helpful = [k for k in range(len(order) - 1, 1, -1) if known[:, order[:k]].all(axis=1).mean() >= ENOUGH_COMPLETE]
    lead = f"Only {complete:,} of {len(outcomes):,} queries have the score of every model"
    if not helpful:
        sentence = f"{lead}, and no two models that have most scores share half of the queries: record more answers."
        return Finding(rule="sparse", count=complete, sentence=sentence)
    out = order[helpful[0] :]
    causes = {outcomes.models[j]: float((~known[:, j]).sum()) for j in sorted(out.tolist())}
    kept = ",".join(outcomes.models[j] for j in sorted(order[: helpful[0]].tolist()))
    share = known[:, order[: helpful[0]]].all(axis=1).mean()
    sentence = f"{lead}, because of {_listed(causes)}; with `--models {kept}` {share:.0%} of them are complete."
    return Finding(rule="sparse", count=complete, sentence=sentence, models=causes)


def _constant(outcomes: Outcomes) -> Finding | None:
    """A model that scores the same everywhere teaches nothing about queries; it stays, as a route like the others."""
    same = {
        model: float(np.nanmin(column))
        for model, column in zip(outcomes.models, outcomes.score.T, strict=True)
        if np.isfinite(column).sum() > 1 and np.nanmin(column) == np.nanmax(column)
    }
    if not same:
        return None
    listed = ", ".join(f"{model} ({value:g})" for model, value in same.items())
    sentence = f"The score of {_many(len(same), 'model is', 'models is')} the same for every query: {listed}."
    return Finding(rule="constant", count=len(same), sentence=sentence, models=same)


def _costs(outcomes: Outcomes) -> Finding | None:
    """Calls that have a score and no cost: a missing cost is never 0."""
    calls = np.isfinite(outcomes.score)
    missing = _nonzero(outcomes.models, calls & np.isnan(outcomes.cost_usd))
    count = int(sum(missing.values()))
    if not count:
        return None
    if not np.isfinite(outcomes.cost_usd).any():
        sentence = "The table has no costs: models stand in the order of their mean scores."
    elif not outcomes.has_cost:
        known = np.isfinite(outcomes.cost_usd)
        none = [model for j, model in enumerate(outcomes.models) if not known[:, j].any()]
        sentence = f"No cost of {', '.join(none)} is known, so that costs cannot be compared; {_calls(count, missing)}."
    else:
        sentence = f"{_calls(count, missing)}; it is filled with the model's mean on the training queries of the same data set."
    return Finding(rule="missing-cost", count=count, sentence=sentence[0].upper() + sentence[1:], models=missing)


def _calls(count: int, missing: Mapping[str, float]) -> str:
    return f"the cost of {_many(count, 'call is', 'calls is')} missing ({_listed(missing)})"


def _repeated(outcomes: Outcomes) -> Finding | None:
    """Equal texts stay: they are one unit, which no fold and no draw tears apart."""
    count = len(outcomes) - len(np.unique(outcomes.unit))
    if not count:
        return None
    sentence = f"{_many(count, 'query repeats', 'queries repeat')} the text of another; equal texts stay together."
    return Finding(rule="repeated", count=count, sentence=sentence)


def _straddling(outcomes: Outcomes) -> Finding | None:
    count = len(straddling_units(outcomes))
    if not count:
        return None
    sentence = f"{_many(count, 'text stands', 'texts stand')} in more than one split: refused unless `--on-straddle drop-train`."
    return Finding(rule="straddling", count=count, sentence=sentence)


def _controls(outcomes: Outcomes) -> Finding | None:
    """Mended, they would no longer be what the models answered."""
    count = sum(not CONTROLS.isdisjoint(text) for text in outcomes.texts)
    if not count:
        return None
    sentence = f"{_many(count, 'query has', 'queries have')} control characters, as wrong decoding leaves them; kept as they are."
    return Finding(rule="controls", count=count, sentence=sentence)


def _without_split(outcomes: Outcomes) -> Finding | None:
    count = sum(split is None for split in outcomes.split)
    if count in (0, len(outcomes)):
        return None
    sentence = f"{_many(count, 'query has', 'queries have')} no split, though others have."
    return Finding(rule="no-split", count=count, sentence=sentence)


def _passed_over(columns: Sequence[str]) -> Finding | None:
    if not columns:
        return None
    listed = ", ".join(repr(name) for name in columns)
    sentence = f"{_many(len(columns), 'column is', 'columns are')} none of ours and passed over: {listed}."
    return Finding(rule="passed-over", count=len(columns), sentence=sentence)


def _nonzero(models: Sequence[str], missing: npt.NDArray[np.bool_]) -> dict[str, float]:
    counts = missing.sum(axis=0).tolist()
    return {model: float(n) for model, n in zip(models, counts, strict=True) if n}


def _listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{model} {n:,.0f}" for model, n in counts.items())


def _many(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
