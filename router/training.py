"""From labelled queries to a fitted router. Looks at the train split to fit, at the calibration split to set the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from router.alsoheads import also_head
from router.columnspace import training_rows
from router.dataset import Dataset
from router.encoders.protocol import Encoder, Matrix, sentence_part
from router.errors import DataError, FitError
from router.features import Features, FeatureSpace, fit_feature_space
from router.files import DECIMALS
from router.fit_evidence import heads_evidence
from router.fitting import NEVER_HELD_OUT, SEARCH_FOLDS, FittedHead, fit_head, folds
from router.grouping import units
from router.lexicon import Lexicon
from router.ngrams import fit_ngrams
from router.novelty import fit_novelty
from router.pipeline import HeadSet, Router, earlier_of
from router.policy import LabelPolicy
from router.routes import RouteTable
from router.rowspace import TrainingRows
from router.scoring import Floats, Ints
from router.thresholds import for_prices

NGRAM_MIN_COUNT = 2
NGRAM_MAX_TERMS = 40_000

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSplits:
    """The two parts that fitting may see."""

    train: Dataset
    calibration: Dataset


def splits_for_training(dataset: Dataset) -> TrainingSplits:
    """The train and calibration splits. Raises DataError where the card forbids fitting or a split is missing."""
    return TrainingSplits(train=train_split(dataset), calibration=_split(dataset, "calibration"))


def train_split(dataset: Dataset) -> Dataset:
    """The train split, all that heads without routes need. Raises DataError where the card forbids fitting or it is missing."""
    dataset.card.require_trainable("weighbridge train")
    return _split(dataset, "train")


def _split(dataset: Dataset, name: str) -> Dataset:
    part = dataset.split(name)
    if not len(part):
        raise DataError(
            f"data set {dataset.card.name!r} has no query with split = {name!r}."
            " Deal the splits with `weighbridge data split --data D --out FILE`."
        )
    return part


def fit(
    splits: TrainingSplits,
    table: RouteTable,
    encoder: Encoder,
    *,
    lexicon: Lexicon | None = None,
    seed: int,
    tuned: bool = False,
    notify: Notify = lambda _: None,
) -> Router:
    """Fit encoder features, heads and policy. Same inputs and seed give the same router.

    The domain head comes first; its out-of-fold probabilities are features of the other heads.
    tuned: the encoder has learned from the train split's labels itself, so those rows can be held out from no head any
    more: heads are judged and calibrated on the calibration split alone, in folds, and learn from both splits; an encoder
    that knows the domains needs no domain head's word.
    Raises FitError where a label has too few examples, DataError where route table and card disagree.
    """
    train, fold = _sample(splits, tuned=tuned, seed=seed)
    table.check_against(train.card)
    notify(f"embedding {len(train):,} queries")
    embedding = encoder.encode(train.texts)
    space, features, blocks = _columns(train, encoder, embedding, lexicon, notify)
    domain_head = table.policy.domain_head
    fitted = {domain_head: _head(domain_head, train, blocks, fold, notify)}
    if not tuned:
        with_domain = features.with_domain(_probabilities_everywhere(fitted[domain_head], len(train)))
        assert with_domain.domain is not None
        blocks = blocks.with_block("domain", with_domain.domain)
    for name in _labelled_heads(train, domain_head):
        fitted[name] = _head(name, train, blocks, fold, notify)
    also = [
        entry
        for desk in train.card.also
        if (entry := also_head(desk, train, blocks, fold, fitted[domain_head].setting, notify)) is not None
    ]
    novelty = fit_novelty(
        sentence_part(embedding[: len(splits.train)], encoder.spec),
        sentence_part(encoder.encode(splits.calibration.texts), encoder.spec),
    )
    classes = {name: entry.head.classes for name, entry in fitted.items()}
    unset = Router(
        card=train.card,
        encoder=encoder,
        space=space,
        heads={name: fitted[name].head for name in train.card.heads if name in fitted},
        also=tuple(also),
        novelty=novelty,
        policy=LabelPolicy(table, classes, threshold=table.policy.bayes_threshold),
        fitted=_evidence(splits, train, fitted, seed=seed, tuned=tuned),
        training=splits.train.queries,
    )
    return _with_threshold(unset, splits.calibration, fitted[table.policy.complexity_head] if tuned else None, train)


def _sample(splits: TrainingSplits, *, tuned: bool, seed: int) -> tuple[Dataset, Ints]:
    """The queries that heads learn from, and the fold of each."""
    train, calibration = splits.train, splits.calibration
    if not tuned:
        return train, folds(units(train.queries), seed=seed)
    judged = folds(units(calibration.queries), seed=seed, k=SEARCH_FOLDS)
    taught = np.full(len(train), NEVER_HELD_OUT, dtype=np.intp)
    return replace(train, queries=(*train.queries, *calibration.queries)), np.concatenate([taught, judged])


def fit_heads(
    train: Dataset,
    encoder: Encoder,
    *,
    lexicon: Lexicon | None = None,
    seed: int,
    notify: Notify = lambda _: None,
) -> HeadSet:
    """Fit every head that has labels, without routes: no head need be called complexity or domain.

    The head with the finest labels comes first; its out-of-fold probabilities are features of the others.
    Raises FitError where a label has too few examples or no query has any, DataError where the card forbids fitting.
    """
    train.card.require_trainable("weighbridge train")
    lead = finest_head(train)
    notify(f"embedding {len(train):,} queries")
    space, features, blocks = _columns(train, encoder, encoder.encode(train.texts), lexicon, notify)
    fold = folds(units(train.queries), seed=seed)
    fitted = {lead: _head(lead, train, blocks, fold, notify)}
    informed = features.with_finer(_probabilities_everywhere(fitted[lead], len(train)))
    assert informed.finer is not None
    blocks = blocks.with_block("finer", informed.finer)
    fitted |= {name: _head(name, train, blocks, fold, notify) for name in _labelled_heads(train, lead)}
    return HeadSet(
        card=train.card,
        encoder=encoder,
        space=space,
        heads={name: fitted[name].head for name in train.card.heads if name in fitted},
        lead=lead,
        fitted={
            "seed": seed,
            "train_n": len(train),
            "train_fingerprint": train.fingerprint(),
            "heads": heads_evidence(train, fitted),
        },
    )


def finest_head(train: Dataset) -> str:
    """The labelled head with the most labels; of equals the first on the card. Raises FitError where no head has a label."""
    labelled = _labelled_heads(train, None)
    if not labelled:
        raise FitError(
            f"data set {train.card.name!r}: none of its {len(train)} training queries has a label of any head"
            f" ({', '.join(train.card.heads)}). Label some; `weighbridge data stats` counts them."
        )
    return max(labelled, key=lambda name: len(train.card.heads[name]))


def _columns(
    train: Dataset, encoder: Encoder, embedding: Matrix, lexicon: Lexicon | None, notify: Notify
) -> tuple[FeatureSpace, Features, TrainingRows]:
    notify("learning n-grams and surface scales")
    space, features = learn_features(train, encoder, embedding, lexicon)
    return space, features, training_rows(features)


def learn_features(
    train: Dataset, encoder: Encoder, embedding: Matrix, lexicon: Lexicon | None
) -> tuple[FeatureSpace, Features]:
    """The vocabulary and scales of n queries, and their features.   embedding: (n, dim) of them."""
    ngrams = fit_ngrams(train.texts, min_count=NGRAM_MIN_COUNT, max_terms=NGRAM_MAX_TERMS)
    space = fit_feature_space(
        train.texts,
        embedding,
        ngrams=ngrams if ngrams.terms else None,
        lexicon=lexicon,
        earlier_dim=encoder.spec.sentence_dim if any(train.contexts) else 0,
    )
    return space, space.transform(train.texts, embedding, earlier_of(space, encoder, train.contexts))


def _labelled_heads(train: Dataset, first: str | None) -> list[str]:
    """The heads of the card besides `first` that have any label at all; a wholly unlabelled one is left out."""
    return [
        name for name in train.card.heads if name != first and any(label is not None for label in train.labels(name))
    ]


def _head(name: str, train: Dataset, blocks: TrainingRows, fold: Ints, notify: Notify) -> FittedHead:
    notify(f"fitting head {name}")
    return fit_head(name, train.card.heads[name], train.labels(name), blocks, fold)


def _probabilities_everywhere(fitted: FittedHead, n: int) -> Floats:
    """Out-of-fold rows where there was a label; the uniform row for queries whose domain was left open."""
    k = fitted.oof.shape[1]
    rows = np.full((n, k), 1.0 / k)
    rows[fitted.index] = fitted.oof
    return rows


def _with_threshold(router: Router, calibration: Dataset, held: FittedHead | None, taught: Dataset) -> Router:
    """Choose the threshold on the calibration split from the two prices of the route table.

    held: the head whose out-of-fold probabilities speak for the split, where the heads have learned from it themselves;
    their rows are those of `taught`.
    """
    spec = router.table.policy
    labels = calibration.labels(spec.complexity_head)
    known = [i for i, label in enumerate(labels) if label is not None]
    if not known:
        raise FitError(
            f"no calibration query has a label for head {spec.complexity_head!r}, so no threshold can be chosen. Label some."
        )
    if held is None:
        judged = [calibration.queries[i] for i in known]
        reading = router.read([query.text for query in judged], [query.context for query in judged])
        p = reading.probabilities[spec.complexity_head]
    else:
        judged = [taught.queries[i] for i in held.index]
        p = np.round(held.oof, DECIMALS)
    threshold = for_prices(
        router.policy.cheap_probability({spec.complexity_head: p}),
        np.array([query.labels.heads[spec.complexity_head] == spec.cheap_label for query in judged]),
        wrong_cheap_usd=spec.wrong_cheap_usd,
        wrong_dear_usd=spec.wrong_dear_usd,
    )
    return replace(
        router,
        policy=LabelPolicy(router.table, router.classes, threshold=threshold),
        fitted={**router.fitted, "calibration_n": len(known)},
    )


def _evidence(
    splits: TrainingSplits, taught: Dataset, fitted: Mapping[str, FittedHead], *, seed: int, tuned: bool
) -> dict[str, Any]:
    return {
        "seed": seed,
        "judged_on": "calibration" if tuned else "train",
        "train_n": len(splits.train),
        "train_fingerprint": splits.train.fingerprint(),
        "calibration_fingerprint": splits.calibration.fingerprint(),
        "heads": heads_evidence(taught, fitted),
    }
