"""Implementations that break one promise each: what shows that the conformance functions can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from router.baselines.constant import Majority
from router.baselines.keywords import KeywordRules
from router.baselines.protocol import Floats, HeadLabels, LabelBaseline, Texts
from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import EncoderSpec, Matrix
from tests.conformance import baseline, encoder

SLIGHTLY = np.float32(1e-6)


class _Encoder(HashingEncoder):
    """Right in all but one thing."""

    def __init__(self) -> None:
        super().__init__(dim=64)
        self.calls = 0


class _Doubles(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        return super().encode(texts).astype(np.float64)


class _ChokesOnNothing(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        return super().encode(texts or ["nothing"])


class _Drifts(_Encoder):
    @property
    def spec(self) -> EncoderSpec:
        return replace(super().spec, digest=f"call {self.calls}")

    def encode(self, texts: Sequence[str]) -> Matrix:
        self.calls += 1
        return super().encode(texts)


class _Loud(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        return super().encode(texts) * np.float32(1.01)


class _Deaf(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        return super().encode(["the same"] * len(texts))


class _Forgetful(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        self.calls += 1
        return np.roll(super().encode(texts), self.calls, axis=1)


class _Herd(_Encoder):
    """Moves every row a little towards the mean of all, as padding and batch statistics do."""

    def encode(self, texts: Sequence[str]) -> Matrix:
        rows = super().encode(texts)
        return rows + SLIGHTLY * rows.mean(axis=0) if len(rows) else rows


class _ByPosition(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        rows = super().encode(texts)
        return rows * (1 + SLIGHTLY * np.arange(len(rows), dtype=np.float32)[:, None])


class _Sorts(_Encoder):
    def encode(self, texts: Sequence[str]) -> Matrix:
        rows = super().encode(texts)
        if isinstance(texts, list):
            texts.sort()
        return rows


ENCODERS: Mapping[encoder.Check, type[_Encoder]] = {
    encoder.rows_are_float32_of_the_promised_width: _Doubles,
    encoder.no_texts_give_no_rows: _ChokesOnNothing,
    encoder.the_spec_names_one_encoder: _Drifts,
    encoder.sentence_parts_have_unit_length: _Loud,
    encoder.different_texts_have_different_rows: _Deaf,
    encoder.the_same_text_has_the_same_row_every_time: _Forgetful,
    encoder.a_row_does_not_depend_on_its_neighbours: _Herd,
    encoder.rows_follow_their_texts_in_any_order: _ByPosition,
    encoder.the_texts_are_left_as_they_were: _Sorts,
}


class _Unchained(Majority):
    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        super().fit(texts, labels, seed=seed)
        return type(self)()


class _Votes(Majority):
    def predict(self, texts: Texts) -> dict[str, Floats]:
        return {head: 100 * p for head, p in super().predict(texts).items()}


class _Moody(Majority):
    """Draws from a generator that nobody seeded."""

    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        super().fit(texts, labels, seed=seed)
        rng = np.random.default_rng()
        self.shares_ = {head: rng.dirichlet(np.ones(len(share))) for head, share in self.shares_.items()}
        return self


class _Learning(Majority):
    def predict(self, texts: Texts) -> dict[str, Floats]:
        self.shares_ = {head: (share + 1) / (share + 1).sum() for head, share in self.shares_.items()}
        return super().predict(texts)


class _Standardising(KeywordRules):
    """Compares each text with the mean of the texts it was asked about, as anything transductive does."""

    def predict(self, texts: Texts) -> dict[str, Floats]:
        return {head: (p + p.mean(axis=0)) / 2 for head, p in super().predict(texts).items()}


class _Sorted(KeywordRules):
    def predict(self, texts: Texts) -> dict[str, Floats]:
        return {head: p[np.argsort(p[:, 0])] for head, p in super().predict(texts).items()}


class _Alphabetical(Majority):
    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        super().fit(texts, labels, seed=seed)
        self.shares_ = {name: share[np.argsort(labels[name].classes)] for name, share in self.shares_.items()}
        return self


class _Centring(Majority):
    def fit(self, texts: Texts, labels: Mapping[str, HeadLabels], *, seed: int) -> Self:
        embedding = texts.embedding
        embedding -= embedding.mean(axis=0)
        return super().fit(texts, labels, seed=seed)


BASELINES: Mapping[baseline.Check, type[LabelBaseline]] = {
    baseline.fit_returns_the_baseline_itself: _Unchained,
    baseline.every_head_gets_probabilities_for_every_text: _Votes,
    baseline.the_same_seed_learns_the_same: _Moody,
    baseline.predicting_again_says_the_same: _Learning,
    baseline.a_text_is_judged_without_its_neighbours: _Standardising,
    baseline.rows_follow_their_texts_in_any_order: _Sorted,
    baseline.columns_stand_in_the_order_of_the_classes: _Alphabetical,
    baseline.what_it_is_given_is_left_as_it_was: _Centring,
}
