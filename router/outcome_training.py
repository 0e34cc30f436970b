"""Fitting a router over models from recorded outcomes: train fits it, calibration chooses its policy, test is not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from router.boilerplate import learn_boilerplate
from router.encoders.protocol import Encoder, Matrix, sentence_part
from router.errors import DataError, FitError
from router.files import DECIMALS
from router.fitting import folds
from router.novelty import Novelty, fit_novelty
from router.outcome_checks import require_no_straddle, with_costs_filled
from router.outcome_policy import AnyPolicy, Threshold
from router.outcome_router import USD_DECIMALS, ModelRouter, ScoredQueries, TrainingQueries
from router.outcome_targets import ALWAYS, near_best_single
from router.outcomes import Outcomes
from router.success.costs import CostModel, fit_costs
from router.success.fitting import fit_success
from router.success.model import SuccessModel
from router.success.principal import Principal
from router.success.solver import Heads
from router.success.space import WordSpace

Notify = Callable[[str], None]
Bools = npt.NDArray[np.bool_]
CARVED = 5  # one part in five of the training rows becomes calibration where the table has none
UNNAMED = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """train, calibration: (n,) masks.   carved: whether calibration was cut out of the table's training rows."""

    train: Bools
    calibration: Bools
    carved: bool


def fit_outcome_router(
    outcomes: Outcomes,
    encoder: Encoder,
    *,
    seed: int,
    policy: AnyPolicy | None = None,
    notify: Notify = lambda _: None,
) -> ModelRouter:
    """Fit views, blend and expected costs on the training rows; choose the policy on the calibration rows.

    policy: what to decide by; None chooses `near_best_single`. Queries without any score teach nothing and are left
    out. Same inputs and seed give the same router. Raises DataError where the table must not be fitted on, has a text in
    two splits or no training rows, and FitError where there is too little to learn from.
    """
    outcomes.require_trainable("weighbridge train")
    require_no_straddle(outcomes, "refuse")
    parts = divide(outcomes, seed=seed)
    train = with_costs_filled(outcomes, parts.train).rows(parts.train)
    calibration = outcomes.rows(parts.calibration)
    _require_learnable(train)
    boilerplate = learn_boilerplate(train.texts)
    texts = boilerplate.strip_all(train.texts)
    notify(f"embedding {len(texts):,} training queries")
    rows = encoder.encode(texts)
    sentence = np.ascontiguousarray(sentence_part(rows, encoder.spec))
    success = fit_success(
        texts,
        rows,
        sentence,
        train.score,
        models=train.models,
        dataset=train.dataset,
        unit=train.unit,
        seed=seed,
        notify=notify,
    )
    costs = _costs(success, texts, rows, train, notify)
    unset = ModelRouter(
        name=outcomes.name,
        encoder=encoder,
        boilerplate=boilerplate,
        success=without_axes(success),
        costs=costs,
        policy=policy or Threshold(models=train.models, against=train.models[-1], threshold=ALWAYS),
        novelty=Novelty(reference=sentence, calibration=np.zeros(0)),
        training=TrainingQueries(ids=train.ids, texts=train.texts, score=train.score),
        calibration=_none(train),
        fitted=_facts(outcomes, parts, train, seed=seed),
    )
    return _calibrated(unset, calibration, chosen=policy is not None, notify=notify)


def divide(outcomes: Outcomes, *, seed: int) -> Division:
    """Which rows fit and which calibrate: the table's own splits; a fifth of train, by unit, where it has no calibration.

    A table without any split is all train. Rows without a score of any model stand in neither part, nor do rows without
    a split where others have one. Raises DataError where no training row is left.
    """
    split = np.array([name or "" for name in outcomes.split], dtype=np.str_)
    scored: Bools = np.asarray(np.isfinite(outcomes.score).any(axis=1))
    named = bool((split != "").any())
    train = scored & (split == "train") if named else scored
    calibration = scored & (split == "calibration")
    if not train.any():
        raise DataError(
            f"outcomes {outcomes.name!r}: {len(outcomes):,} queries, and none of them is a training row with a score;"
            " wanted some with the split train, or a table without splits. Look with `weighbridge data stats`."
        )
    if calibration.any():
        return Division(train=train, calibration=calibration, carved=False)
    held = np.flatnonzero(train)[folds(outcomes.unit[train].tolist(), seed=seed, k=CARVED) == 0]
    calibration[held] = True
    return Division(train=train & ~calibration, calibration=calibration, carved=True)


def _require_learnable(train: Outcomes) -> None:
    if len(train.models) < 2:
        raise FitError(
            f"outcomes {train.name!r} know one model, {train.models[0]}; wanted two or more to choose between."
        )
    silent = [model for j, model in enumerate(train.models) if not np.isfinite(train.score[:, j]).any()]
    if silent:
        others = ",".join(model for model in train.models if model not in silent)
        raise FitError(
            f"outcomes {train.name!r}: no training query has a score of {', '.join(silent)}; leave out what has none with"
            f" `--models {others}`."
        )


def without_axes(success: SuccessModel) -> SuccessModel:
    """The same model with a weight per term and model in place of axes and weights along them.

    The axes (a few hundred numbers per term) were for fitting; a bundle would be some 60 MB larger with them.
    """
    space, words = success.word_space, success.words
    if space is None or words is None or len(success.models) >= space.axes.shape[1]:
        return success
    folded = (space.axes.astype(np.float64) @ words.weights).astype(np.float32)
    return replace(
        success,
        word_space=WordSpace(ngrams=space.ngrams, axes=folded),
        words=Heads(weights=np.eye(folded.shape[1]), intercept=words.intercept),
    )


def _costs(success: SuccessModel, texts: list[str], rows: Matrix, train: Outcomes, notify: Notify) -> CostModel | None:
    """None where some model has no recorded cost: then nothing can be weighed in dollars."""
    if not train.has_cost:
        return None
    notify("learning what calls cost")
    return fit_costs(Principal(success.space.dense(texts, rows)), train.cost_usd)


def _calibrated(router: ModelRouter, calibration: Outcomes, *, chosen: bool, notify: Notify) -> ModelRouter:
    """Keep the calibration queries' values, rank novelty by them, and choose the policy where none was given."""
    notify(f"choosing the policy on {len(calibration):,} calibration queries")
    reading = router.read_recorded(calibration.texts)
    sample = router.scored(calibration, reading)
    policy, why = router.policy, "as it was given"
    if not chosen:
        policy, why = near_best_single(sample.complete, models=router.models)
    facts = {
        "calibration_n": len(calibration),
        "calibration_fingerprint": calibration.fingerprint(),
        "policy": why,
    }
    return replace(
        router,
        policy=policy,
        novelty=fit_novelty(router.novelty.reference, reading.sentence),
        calibration=sample,
        fitted={**router.fitted, **facts},
    )


def _none(train: Outcomes) -> ScoredQueries:
    empty = np.zeros((0, len(train.models)))
    return ScoredQueries(
        ids=(), p=empty, expected_usd=None, score=empty, paid_usd=empty, unit=np.zeros(0, dtype=np.intp)
    )


def _facts(outcomes: Outcomes, parts: Division, train: Outcomes, *, seed: int) -> dict[str, Any]:
    recorded = outcomes.cost_usd[parts.train]
    return {
        "seed": seed,
        "table": outcomes.name,
        "table_fingerprint": outcomes.fingerprint(),
        "train_n": len(train),
        "train_fingerprint": train.fingerprint(),
        "calibration_carved": parts.carved,
        "datasets": dict(sorted(Counter(name or UNNAMED for name in train.dataset).items())),
        "mean_score": {
            model: round(float(np.nanmean(train.score[:, j])), DECIMALS) for j, model in enumerate(train.models)
        },
        "costs": {
            model: {
                "mean_usd": round(float(train.cost_usd[:, j].mean()), USD_DECIMALS) if train.has_cost else None,
                "recorded": int(np.isfinite(recorded[:, j]).sum()),
                "calls": len(train),
            }
            for j, model in enumerate(train.models)
        },
    }
