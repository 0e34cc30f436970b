"""An encoder taught by a data set's own train split: `weighbridge train --finetune`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from router.dataset import Dataset
from router.encoders.finetune import UNLABELLED, Lesson, Recipe, finetuned
from router.encoders.open import cache_directory, model_directory, open_model
from router.encoders.protocol import Encoder


def lesson_of(train: Dataset) -> Lesson:
    """The texts and labels of a split, but for follow-ups: what they mean does not stand in their words."""
    alone = [query for query in train.queries if not query.context]
    labels = {}
    for head, classes in train.card.heads.items():
        number = {label: j for j, label in enumerate(classes)}
        found = (query.labels.heads[head] for query in alone)
        labels[head] = [UNLABELLED if label is None else number[label] for label in found]
    return Lesson(texts=[query.text for query in alone], labels=labels)


def taught_encoder(
    name: str, train: Dataset, recipe: Recipe, *, notify: Callable[[str], None] = lambda _: None
) -> Encoder:
    """The encoder `name` taught by a train split, once per machine. Raises EncoderError where its files are not here."""
    source = model_directory(name, notify=notify)
    taught = finetuned(source, lesson_of(train), recipe, shelf=cache_directory() / "finetuned", notify=notify)
    return open_model(taught, f"{Path(name).name}, taught by {train.card.name} {train.card.version}", notify=notify)
