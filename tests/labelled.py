"""A small labelled set whose texts name their labels: what the tests of the learning curve and the label audit share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from router.card import Card
from router.dataset import Dataset, write_queries
from router.types import Labels, Query

NOUNS = {
    "hotel": ("room", "suite", "lodge", "motel", "hostel"),
    "flight": ("plane", "airport", "ticket", "boarding", "pilot"),
    "fruit": ("apple", "pear", "melon", "cherry", "grape"),
    "bread": ("loaf", "bun", "bagel", "toast", "crust"),
}
COARSE = {"hotel": "travel", "flight": "travel", "fruit": "food", "bread": "food"}
VERBS = ("find", "book", "cancel", "show me", "describe", "rate", "compare", "forget")
TAILS = ("now", "please", "for two", "again", "tomorrow", "at noon", "or not", "near the lake")
CARD = Card(
    name="toy",
    version="3",
    use="train",
    heads={"shelf": ("travel", "food"), "thing": tuple(NOUNS), "mood": ("good", "bad")},
    also=(),
)


def labelled(*, people: int = 24, each: int = 12, seed: int = 0, splits: Sequence[str | None] = (None,)) -> list[Query]:
    """people x each queries; a person's all stand in one split, in turn, and none has a mood."""
    rng = np.random.default_rng(seed)
    queries = []
    for person in range(people):
        for i in range(each):
            thing = str(rng.choice(list(NOUNS)))
            text = f"{rng.choice(VERBS)} {rng.choice(NOUNS[thing])} {rng.choice(TAILS)} {rng.choice(TAILS)}"
            queries.append(
                Query(
                    query_id=f"q-{person:03}-{i:02}",
                    text=text,
                    labels=Labels(heads={"shelf": COARSE[thing], "thing": thing, "mood": None}),
                    persona=f"person-{person}",
                    split=splits[person % len(splits)],
                )
            )
    return queries


def dataset(queries: Sequence[Query]) -> Dataset:
    return Dataset(card=CARD, queries=tuple(queries))


def write(directory: Path, queries: Sequence[Query], *, use: str = "train") -> Path:
    """The set as a person has it: a card and a file of queries."""
    directory.mkdir(parents=True)
    heads = "".join(f"[heads.{name}]\nlabels = {json.dumps(labels)}\n" for name, labels in CARD.heads.items())
    card = f'name = "{CARD.name}"\nversion = "{CARD.version}"\nuse = "{use}"\n{heads}'
    (directory / "card.toml").write_text(card, encoding="utf-8")
    (directory / "queries.jsonl").write_text(write_queries(queries), encoding="utf-8")
    return directory
