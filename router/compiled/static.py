"""The static tier: heads on distilled token vectors, beside the same surface, cue words and n-grams, fitted on train.

It takes the settings that cross-validation chose for the router's own heads, so that nothing is searched again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from router.alsoheads import ALSO_YES
from router.bundlefiles import Arrays
from router.columnspace import training_rows
from router.compiled.distil import StaticEncoder
from router.compiled.layout import Stack, stack_of
from router.compiled.measure import bootstrap
from router.compiled.router import CAREFUL
from router.compiled.tiers import leading
from router.encoders.protocol import Matrix
from router.features import EMBEDDING_SCALE, FeatureSpace, fit_feature_space
from router.files import DECIMALS
from router.fitting import FittedHead, Setting, fit_head, folds
from router.grouping import units
from router.pipeline import Router, earlier_of
from router.rowspace import TrainingRows
from router.scoring import Floats, Ints
from router.types import Decision

MOST_LOST = 0.015  # of route accuracy, at the upper end of the interval, whose half is a point on some 2,000 queries
GRID = np.round(np.arange(0.50, 0.995, 0.01), 2)  # thresholds of the confidence

Way = Literal["static", "graph", "fitted"]
WAYS: tuple[Way, ...] = ("static", "graph", "fitted")
Notify = Callable[[str], None]


@dataclass(frozen=True)
class StaticHeads:
    """What was fitted: the space of the static vectors, the stack of heads in the router's own layout, and the (m, d) rows."""

    space: FeatureSpace
    stack: Stack
    reference: Matrix


def fit_static(router: Router, encoder: StaticEncoder, *, notify: Notify) -> StaticHeads:
    """Fit all of the router's heads anew on the static vectors of its own training queries."""
    queries, layout = router.training, stack_of(router).layout
    texts = [query.text for query in queries]
    embedding = encoder.encode(texts)
    space = fit_feature_space(
        texts,
        embedding,
        ngrams=router.space.ngrams,
        lexicon=router.space.lexicon,
        earlier_dim=encoder.spec.sentence_dim if router.space.earlier_dim else 0,
    )
    earlier = earlier_of(space, encoder, [query.context for query in queries])
    features = space.transform(texts, embedding, earlier)
    fold = folds(units(queries), seed=int(router.fitted["seed"]))

    def fit(name: str, classes: tuple[str, ...], labels: Sequence[str | None], blocks: TrainingRows) -> FittedHead:
        notify(f"fitting the static head {name}")
        setting = _setting(router, name if name in layout.heads else layout.domain)
        return fit_head(name, classes, labels, blocks, fold, setting=setting)

    def labelled(name: str, blocks: TrainingRows) -> FittedHead:
        return fit(name, layout.heads[name], [query.labels.heads.get(name) for query in queries], blocks)

    blocks = training_rows(features)
    first = labelled(layout.domain, blocks)
    informed = features.with_domain(_everywhere(first.index, first.oof, len(queries))).domain
    assert informed is not None
    blocks = blocks.with_block("domain", informed)
    heads = [(first if name == layout.domain else labelled(name, blocks)).head for name in layout.heads]
    for desk in layout.also:
        answers = [ALSO_YES[desk in query.labels.also] for query in queries]
        heads.append(fit(desk, ALSO_YES, answers, blocks).head)
    return StaticHeads(
        space=space, stack=Stack(layout, tuple(heads)), reference=np.stack([leading(row) for row in embedding])
    )


def static_arrays(heads: StaticHeads, encoder: StaticEncoder) -> Arrays:
    """The numbers of the tier besides its sparse weights, as `files` reads them back."""
    stack, space = heads.stack, heads.space
    d = len(space.embedding_mean)
    arrays: Arrays = {
        "vectors": encoder.vectors,
        "mean": space.embedding_mean,
        "scale": (np.float32(EMBEDDING_SCALE / np.sqrt(d)) / space.embedding_std).astype(np.float32),
        "weights": stack.block("embedding", d).astype(np.float32),
        "intercept": stack.intercept,
        "domain_weights": stack.domain_weights,
        "reference": heads.reference,
    }
    for place, calibration in enumerate(stack.calibrations):
        arrays |= {f"calibration.{place}.{name}": array for name, array in calibration.to_arrays().items()}
    return arrays


def choose_confidence(
    static: Sequence[Decision], right: Mapping[Way, Floats], unit: Ints, *, most_lost: float = MOST_LOST
) -> dict[str, Any] | None:  # Any: a threshold, a share and a figure
    """The lowest confidence from which the static tier may answer, on n calibration queries; None where there is none.

    right: (n,) whether the route of the static tier, of the graph behind it and of the fitted router is right, NaN where
    the labels leave it open. From the surest threshold of a grid down, it goes as far as both tiers together lose at most
    `most_lost` of the fitted router's route accuracy at the upper end of the 95 % paired bootstrap interval over people;
    it stops at the first that does not, so that trying many thresholds costs no level (a fixed sequence of tests).
    """
    confidence = np.array([decision.confidence for decision in static])
    free = np.array([decision.rule not in CAREFUL for decision in static])
    known = ~np.isnan(right["fitted"])
    chosen = None
    for threshold in GRID[::-1].tolist():
        answers = free & (confidence >= threshold)
        loss = right["fitted"] - np.where(answers, right["static"], right["graph"])
        found = bootstrap(loss[known], unit[known])
        if found["high"] is None or found["high"] > most_lost:
            break
        chosen = {
            "answers_above": threshold,
            "share": round(float(answers.mean()), DECIMALS),
            "route_loss": found,
            "most_lost": most_lost,
        }
    return chosen


def _setting(router: Router, head: str) -> Setting:
    entry = router.fitted["heads"][head]
    return Setting(C=float(entry["C"]), ngram_factor=float(entry["ngram_factor"]))


def _everywhere(index: Ints, oof: Floats, n: int) -> Floats:
    """Out-of-fold rows where there was a label, the uniform row elsewhere: as training does."""
    rows = np.full((n, oof.shape[1]), 1.0 / oof.shape[1])
    rows[index] = oof
    return rows
