"""Labelled queries as rows that heads are fitted on: where the learning curve and the label audit both begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router.columnspace import training_rows
from router.dataset import Dataset
from router.encoders.protocol import Encoder, Matrix
from router.errors import DataError, FitError
from router.features import Features, FeatureSpace
from router.fitting import FittedHead, fit_head, folds
from router.grouping import units, with_groups
from router.lexicon import Lexicon
from router.pipeline import earlier_of
from router.rowspace import TrainingRows
from router.scoring import Floats
from router.training import finest_head, learn_features

ALL = "all"

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """n queries with their features, none of which has seen a label.

    unit: (n,) numbers of what is held out and drawn whole: people, and near-duplicates.   embedding: (n, dim).
    """

    dataset: Dataset
    unit: Sequence[int]
    embedding: Matrix
    encoder: Encoder
    space: FeatureSpace
    features: Features
    blocks: TrainingRows

    def __len__(self) -> int:
        return len(self.dataset)

    def others(self, dataset: Dataset) -> tuple[Features, Matrix]:
        """Further queries through the same space: (features, embedding)."""
        embedding = self.encoder.encode(dataset.texts)
        earlier = earlier_of(self.space, self.encoder, dataset.contexts)
        return self.space.transform(dataset.texts, embedding, earlier), embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutHeads:
    """Heads fitted on all their labelled rows, each with its out-of-fold probabilities.

    lead: the head whose probabilities the others know; None where it could not be fitted.   fitted: head -> its fit.
    unfit: head -> why there is none.   informed: the rows' features, knowing what the lead thinks of each unseen.
    """

    lead: str | None
    fitted: Mapping[str, FittedHead]
    unfit: Mapping[str, str]
    informed: Features

    def inform(self, features: Features) -> Features:
        """The features of further queries, knowing what the lead thinks of them."""
        if self.lead is None:
            return features
        return features.with_finer(self.fitted[self.lead].head.probabilities(features))


def part_of(dataset: Dataset, splits: Sequence[str], *, verb: str) -> tuple[Dataset, str]:
    """The queries of the named splits, and their names; all queries where the set has no splits.

    Near-duplicates of a set that nobody has split yet are grouped first, as `weighbridge data split` would. Raises
    DataError where the card forbids fitting, or where the set has splits and none of these.
    """
    dataset.card.require_trainable(verb)
    if ALL in splits or all(query.split is None for query in dataset.queries):
        return with_groups(dataset), ALL
    part = dataset.where(lambda query: query.split in splits)
    if not len(part):
        raise DataError(
            f"data set {dataset.card.name!r} has splits, but no query with split = {' or '.join(map(repr, splits))}."
            " Deal the splits with `weighbridge data split --data D --out FILE`, or take them all out."
        )
    found = {query.split for query in part.queries}
    return part, " + ".join(name for name in splits if name in found)


def asked_heads(dataset: Dataset, names: str | None, *, option: str) -> list[str]:
    """The heads that `--heads a,b` names, or every head that has a label. Raises DataError for a head that is not there."""
    if names is None or names == ALL:
        finest_head(dataset)  # raises where nothing is labelled
        return [name for name in dataset.card.heads if any(label is not None for label in dataset.labels(name))]
    asked = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in asked if name not in dataset.card.heads]
    if unknown or not asked:
        raise DataError(
            f"{option} has {unknown[0] if unknown else names!r}; card {dataset.card.name!r} has the heads"
            f" {', '.join(dataset.card.heads)}. Name some of them, joined by commas."
        )
    return asked


def labelled_rows(dataset: Dataset, encoder: Encoder, lexicon: Lexicon | None, notify: Notify) -> LabelledRows:
    """Embed the queries and compute their features once, as training does."""
    notify(f"embedding {len(dataset):,} queries")
    embedding = encoder.encode(dataset.texts)
    notify("n-grams and surface features")
    space, features = learn_features(dataset, encoder, embedding, lexicon)
    return LabelledRows(
        dataset=dataset,
        unit=units(dataset.queries),
        embedding=embedding,
        encoder=encoder,
        space=space,
        features=features,
        blocks=training_rows(features),
    )


def held_out_heads(rows: LabelledRows, names: Sequence[str], *, seed: int, notify: Notify) -> HeldOutHeads:
    """Fit the named heads as `fit_heads` does: the one with the finest labels first, its word a feature of the others.

    A head that has too few labels is left out with the reason. Raises FitError where that leaves none.
    """
    fold = folds(rows.unit, seed=seed)
    fitted: dict[str, FittedHead] = {}
    unfit: dict[str, str] = {}

    def fit(name: str, blocks: TrainingRows) -> None:
        notify(f"fitting head {name}")
        try:
            fitted[name] = fit_head(name, rows.dataset.card.heads[name], rows.dataset.labels(name), blocks, fold)
        except FitError as err:
            unfit[name] = str(err)

    lead = finest_head(rows.dataset)
    fit(lead, rows.blocks)
    informed, blocks = rows.features, rows.blocks
    if lead in fitted:
        informed = rows.features.with_finer(_everywhere(fitted[lead], rows.features))
        assert informed.finer is not None
        blocks = rows.blocks.with_block("finer", informed.finer)
    for name in names:
        if name != lead:
            fit(name, blocks)
    if not set(names) & set(fitted):
        raise FitError(next(unfit[name] for name in names))
    return HeldOutHeads(lead=lead if lead in fitted else None, fitted=fitted, unfit=unfit, informed=informed)


def _everywhere(fitted: FittedHead, features: Features) -> Floats:
    """(n, k): out-of-fold where a row has the label; where it has none, no model has seen one, and the head may speak."""
    p = fitted.head.probabilities(features)
    p[fitted.index] = fitted.oof
    return p


def class_numbers(classes: Sequence[str], labels: Sequence[str | None]) -> np.typing.NDArray[np.intp]:
    """(n,) the number of each label, -1 where there is none."""
    position = {label: j for j, label in enumerate(classes)}
    return np.array([-1 if label is None else position[label] for label in labels], dtype=np.intp)
