"""Bundles over models as the decider sees them: models are routes, the strongest is the safe one, thresholds move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.gateway.deciding import RouterAlias
from agents.gateway.exploring import Exploration
from agents.gateway.held import ModelBundle, strongest
from agents.gateway.loading import load_held
from router.errors import BundleError, PolicyError
from router.outcome_bundle import save as save_outcomes
from router.outcome_policy import ExpectedUtility
from router.outcome_router import ModelRouter
from tests.decided import choices, decider, run
from tests.outcome_tables import fitted


@pytest.fixture(scope="module")
def router() -> ModelRouter:
    return fitted()


@pytest.fixture(scope="module")
def models(router: ModelRouter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("model-bundles") / "words"
    save_outcomes(router, target)
    return target


def test_a_bundle_over_models_has_its_models_as_routes(models: Path, router: ModelRouter) -> None:
    texts = ["prove the theorem about prime gaps", "add the numbers two invoices"]
    for choice, said in zip(choices(load_held(models), texts), router.decide_many(texts), strict=True):
        assert (choice.route, choice.rule, choice.confidence) == (said.model, said.rule, said.confidence)
        assert choice.probabilities == {"success": said.probabilities}
        assert choice.candidates == ("small", "middle", "large")


def test_the_safe_model_is_the_one_with_the_best_mean_score_on_the_calibration_queries(router: ModelRouter) -> None:
    best = max(router.models, key=lambda model: router.calibration.score[:, router.models.index(model)].mean())
    assert strongest(router) == best == "large"


def test_a_model_without_any_score_is_never_the_safe_one(router: ModelRouter) -> None:
    score = router.calibration.score.copy()
    score[:, 2] = np.nan
    changed = replace(router, calibration=replace(router.calibration, score=score))
    assert strongest(changed) == "middle"


def test_without_any_score_no_model_is_the_safe_one(router: ModelRouter) -> None:
    nothing = np.full_like(router.calibration.score, np.nan)
    unscored = replace(
        router,
        calibration=replace(router.calibration, score=nothing),
        training=replace(router.training, score=np.full_like(router.training.score, np.nan)),
    )
    with pytest.raises(BundleError, match="no score of any model"):
        strongest(unscored)


def test_a_view_of_a_bundle_over_models_moves_its_threshold(models: Path) -> None:
    made = decider(load_held(models))
    view = made.at(RouterAlias(bundle="current", threshold=2.0))
    assert run(made, view.choose("prove the theorem about prime gaps")).route == "small"


def test_a_policy_without_a_threshold_takes_none(router: ModelRouter) -> None:
    router = router.with_policy(ExpectedUtility(models=router.models, quality_per_usd=1.0), why="a test")
    with pytest.raises(PolicyError, match="has no threshold"):
        ModelBundle.of(router, bundle_id="b", stamp="s").at(0.5)


def test_a_drawn_model_is_as_sure_as_that_model_is(models: Path) -> None:
    found = choices(load_held(models), ["write a rhyme about rain"] * 30, exploration=Exploration(rate=1.0))
    assert any(choice.explored for choice in found)
    assert all(choice.confidence == choice.probabilities["success"][choice.route] for choice in found)


def test_a_form_is_refused_for_a_bundle_that_has_none(models: Path) -> None:
    with pytest.raises(BundleError, match="weighbridge export"):
        load_held(models, form="int8")
    assert load_held(models).form == "fitted"
