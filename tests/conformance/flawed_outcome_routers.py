"""Outcome routers that break one promise each: what shows that the conformance functions can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from router.baselines.outcomes.constant import BestSingle
from router.baselines.outcomes.neighbours import NearestOutcomes
from router.baselines.outcomes.protocol import Floats, Queries
from router.outcomes import Outcomes
from tests.conformance import outcome_router as conformance
from tests.conformance.outcome_router import Check

SLIGHTLY = 1e-6


class _Near(NearestOutcomes):
    """Right in all but one thing."""

    def __init__(self) -> None:
        super().__init__(5)


class _Unchained(_Near):
    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        return type(self)() if super().fit(queries, outcomes, seed=seed) else self


class _Unsaid(_Near):
    allowed: ClassVar[Any] = None


class _Percent(_Near):
    def predict(self, queries: Queries) -> Floats:
        return 100 * super().predict(queries)


class _ChokesOnNothing(_Near):
    def predict(self, queries: Queries) -> Floats:
        return super().predict(queries) if len(queries) else np.zeros(0)


class _Moody(_Near):
    """Draws from a generator that nobody seeded."""

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        super().fit(queries, outcomes, seed=seed)
        self.score_ = np.random.default_rng().permutation(self.score_)
        return self


class _Learning(_Near):
    def predict(self, queries: Queries) -> Floats:
        self.score_ = self.score_ * 0.9
        return super().predict(queries)


class _Standardising(_Near):
    """Compares each query with the mean of those it was asked about, as anything transductive does."""

    def predict(self, queries: Queries) -> Floats:
        values = super().predict(queries)
        return values * (1 - SLIGHTLY) + SLIGHTLY * values.mean(axis=0) if len(values) else values


class _Sorted(_Near):
    def predict(self, queries: Queries) -> Floats:
        values = super().predict(queries)
        return values[np.argsort(values[:, 0], kind="stable")]


class _Believes(BestSingle):
    """Takes every score for known."""

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        self.values_ = outcomes.score.mean(axis=0)
        return self


class _Standardised(BestSingle):
    """Divides by a deviation that may be 0."""

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.nanmean(outcomes.score, axis=0) / np.nanstd(outcomes.score, axis=0)
            self.values_ = ratio / (1 + ratio)
        return self


class _Pairs(_Near):
    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        return super().fit(queries, outcomes.only(outcomes.models[:2]), seed=seed)


class _Greedy(BestSingle):
    """Means of the rows from the twentieth on."""

    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        rest = np.nan_to_num(outcomes.score[20:])
        self.values_ = rest.sum(axis=0) / len(rest) if len(rest) else np.full(len(outcomes.models), np.nan)
        return self


class _RightOrWrong(BestSingle):
    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        super().fit(queries, outcomes, seed=seed)
        plain = np.isin(outcomes.score, (0.0, 1.0)) | np.isnan(outcomes.score)
        self.values_ = np.where(plain.all(), self.values_, np.nan)
        return self


class _InverseDistance(_Near):
    """Weighs neighbours by 1 / distance, which an equal text makes infinite."""

    def predict(self, queries: Queries) -> Floats:
        apart = np.linalg.norm(queries.sentence[:, None].astype(float) - self.rows_[None], axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = 1 / apart
            values: Floats = (weight @ np.nan_to_num(self.score_)) / weight.sum(axis=1, keepdims=True)
        return values


class _Told(_Near):
    def predict(self, queries: Queries) -> Floats:
        values = super().predict(queries)
        return values if queries.dataset is None else values * 0.5


class _Centring(_Near):
    def fit(self, queries: Queries, outcomes: Outcomes, *, seed: int) -> Self:
        embedding = queries.embedding
        embedding -= embedding.mean(axis=0)
        return super().fit(replace(queries, embedding=embedding), outcomes, seed=seed)


ROUTERS: Mapping[Check, conformance.Make] = {
    conformance.fit_returns_the_router_itself: _Unchained,
    conformance.it_says_what_it_needs_and_what_it_means: _Unsaid,
    conformance.every_model_has_a_finite_value_for_every_query: _Percent,
    conformance.no_queries_give_no_rows: _ChokesOnNothing,
    conformance.the_same_seed_learns_the_same: _Moody,
    conformance.predicting_again_says_the_same: _Learning,
    conformance.a_query_is_judged_without_its_neighbours: _Standardising,
    conformance.rows_follow_their_queries_in_any_order: _Sorted,
    conformance.missing_scores_are_accepted: _Believes,
    conformance.models_that_never_vary_are_accepted: _Standardised,
    conformance.two_models_and_five_are_accepted: _Pairs,
    conformance.twelve_training_rows_are_enough: _Greedy,
    conformance.graded_scores_are_accepted: _RightOrWrong,
    conformance.repeated_training_rows_are_accepted: _InverseDistance,
    conformance.the_dataset_is_not_read_where_it_is_not_allowed: _Told,
    conformance.what_it_is_given_is_left_as_it_was: _Centring,
    conformance.it_learns_what_the_words_say: BestSingle,
}
