"""From labelled queries to a fitted router. Looks at the train split to fit, at the calibration split to set the threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from router.columnspace import training_rows
from router.dataset import Dataset
from router.encoders.protocol import Encoder, Matrix, sentence_part
from router.errors import DataError, FitError
from router.features import Features, FeatureSpace, fit_feature_space
from router.files import DECIMALS
from router.fitting import FEWEST, FittedHead, Setting, fit_head, folds
from router.grouping import units
from router.lexicon import Lexicon
from router.ngrams import fit_ngrams
from router.novelty import fit_novelty
from router.pipeline import AlsoHead, HeadSet, Router
from router.policy import LabelPolicy
from router.routes import RouteTable
from router.rowspace import TrainingRows
from router.scoring import Floats, Ints, log_loss
from router.thresholds import for_prices

NGRAM_MIN_COUNT = 2
NGRAM_MAX_TERMS = 40_000
ALSO_YES = ("no", "yes")

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
    notify: Notify = lambda _: None,
) -> Router:
    """Fit encoder features, heads and policy. Same inputs and seed give the same router.

    The domain head comes first; its out-of-fold probabilities are features of the other heads.
    Raises FitError where a label has too few examples, DataError where route table and card disagree.
    """
    train = splits.train
    table.check_against(train.card)
    notify(f"embedding {len(train):,} queries")
    embedding = encoder.encode(train.texts)
    space, features, blocks = _columns(train, embedding, lexicon, notify)
    fold = folds(units(train.queries), seed=seed)
    domain_head = table.policy.domain_head
    fitted = {domain_head: _head(domain_head, train, blocks, fold, notify)}
    everywhere = _probabilities_everywhere(fitted[domain_head], len(train))
    with_domain = features.with_domain(everywhere)
    assert with_domain.domain is not None
    blocks = blocks.with_block("domain", with_domain.domain)
    for name in _labelled_heads(train, domain_head):
        fitted[name] = _head(name, train, blocks, fold, notify)
    also = [
        entry
        for desk in train.card.also
        if (entry := _also_head(desk, train, blocks, fold, fitted[domain_head].setting, notify)) is not None
    ]
    novelty = fit_novelty(
        sentence_part(embedding, encoder.spec), sentence_part(encoder.encode(splits.calibration.texts), encoder.spec)
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
        fitted=_evidence(splits, fitted, seed=seed),
        training=train.queries,
    )
    return _with_threshold(unset, splits.calibration)


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
    space, features, blocks = _columns(train, encoder.encode(train.texts), lexicon, notify)
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
            "heads": _heads_evidence(train, fitted),
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
    train: Dataset, embedding: Matrix, lexicon: Lexicon | None, notify: Notify
) -> tuple[FeatureSpace, Features, TrainingRows]:
    notify("learning n-grams and surface scales")
    ngrams = fit_ngrams(train.texts, min_count=NGRAM_MIN_COUNT, max_terms=NGRAM_MAX_TERMS)
    space = fit_feature_space(train.texts, embedding, ngrams=ngrams if ngrams.terms else None, lexicon=lexicon)
    features = space.transform(train.texts, embedding)
    return space, features, training_rows(features)


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


def _also_head(
    desk: str, train: Dataset, blocks: TrainingRows, fold: Ints, setting: Setting, notify: Notify
) -> AlsoHead | None:
    """One against the rest, with the domain head's setting, cut where the out-of-fold F1 is best.

    None where a desk is named too rarely to learn.
    """
    labels = [ALSO_YES[desk in query.labels.also] for query in train.queries]
    if min(labels.count(answer) for answer in ALSO_YES) < FEWEST:
        return None
    notify(f"fitting also:{desk}")
    fitted = fit_head(desk, ALSO_YES, labels, blocks, fold, setting=setting)
    yes = np.array([label == "yes" for label in labels])
    return AlsoHead(head=fitted.head, threshold=_best_f1_threshold(fitted.oof[:, 1], yes))


def _best_f1_threshold(score: Floats, yes: np.typing.NDArray[np.bool_]) -> float:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(yes[order])
    f1 = 2 * hits / (np.arange(1, len(score) + 1) + yes.sum())
    ranked = score[order]
    whole = np.append(ranked[1:] < ranked[:-1], True)  # a threshold cannot cut between equal scores
    cut = int(np.where(whole, f1, -1.0).argmax())
    following = score[order[cut + 1]] if cut + 1 < len(score) else 0.0
    return round(float((score[order[cut]] + following) / 2), DECIMALS)


def _with_threshold(router: Router, calibration: Dataset) -> Router:
    """Choose the threshold on the calibration split from the two prices of the route table."""
    spec = router.table.policy
    labels = calibration.labels(spec.complexity_head)
    known = [i for i, label in enumerate(labels) if label is not None]
    if not known:
        raise FitError(
            f"no calibration query has a label for head {spec.complexity_head!r}, so no threshold can be chosen. Label some."
        )
    reading = router.read([calibration.queries[i].text for i in known])
    threshold = for_prices(
        router.policy.cheap_probability(reading.probabilities),
        np.array([labels[i] == spec.cheap_label for i in known]),
        wrong_cheap_usd=spec.wrong_cheap_usd,
        wrong_dear_usd=spec.wrong_dear_usd,
    )
    return replace(
        router,
        policy=LabelPolicy(router.table, router.classes, threshold=threshold),
        fitted={**router.fitted, "calibration_n": len(known)},
    )


def _evidence(splits: TrainingSplits, fitted: Mapping[str, FittedHead], *, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "train_n": len(splits.train),
        "train_fingerprint": splits.train.fingerprint(),
        "calibration_fingerprint": splits.calibration.fingerprint(),
        "heads": _heads_evidence(splits.train, fitted),
    }


def _heads_evidence(train: Dataset, fitted: Mapping[str, FittedHead]) -> dict[str, Any]:
    heads = {}
    for name, entry in fitted.items():
        y = np.array(
            [entry.head.classes.index(label) for label in train.labels(name) if label is not None], dtype=np.intp
        )
        heads[name] = {
            "n": len(y),
            "C": entry.setting.C,
            "ngram_factor": entry.setting.ngram_factor,
            "calibration": entry.head.calibration.kind,
            "oof_accuracy": round(float((entry.oof.argmax(axis=1) == y).mean()), DECIMALS),
            "oof_log_loss": round(log_loss(entry.oof, y), DECIMALS),
            "tried": [
                {"C": setting.C, "ngram_factor": setting.ngram_factor, "log_loss": round(loss, DECIMALS)}
                for setting, loss in entry.tried
            ],
            "calibration_log_loss": {kind: round(loss, DECIMALS) for kind, loss in entry.calibration_losses.items()},
        }
    return heads
