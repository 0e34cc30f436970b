"""The card of a data set: which heads it has, which labels each may take, who wrote it and what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.errors import DataError
from router.files import read_toml

CARD_FILE = "card.toml"
QUERIES_FILE = "queries.jsonl"
QUERIES_GLOB = "queries*.jsonl"
USES = ("train", "evaluation-only")
CARD_ADVICE = "Copy datasets/pam-v1/card.toml and name your own heads and labels, or pass --card FILE."


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Heads and their labels, in the order that arrays use; `also` lists the desks a query may need besides.

    `use` is "train", or "evaluation-only" for sets that nothing may be fitted on. `agreement`: of a head that was labelled
    twice, the share of queries on which both labellings agree: about as right as a router can be expected to be.
    """

    name: str
    version: str
    use: str
    heads: Mapping[str, tuple[str, ...]]
    also: tuple[str, ...]
    agreement: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.use not in USES:
            raise DataError(f"card {self.name!r}: `use` is {self.use!r}; wanted one of {', '.join(USES)}.")
        for head, labels in self.heads.items():
            if len(labels) < 2 or len(set(labels)) != len(labels):
                raise DataError(
                    f"card {self.name!r}: head {head!r} has labels {list(labels)}; wanted two or more, all different."
                )
        for head, share in self.agreement.items():
            if not 0 <= share <= 1:
                raise DataError(f"card {self.name!r}: head {head!r} has agreement {share}; wanted a share in [0, 1].")

    def require_trainable(self, verb: str) -> None:
        """Raise DataError where the card forbids fitting."""
        if self.use != "train":
            raise DataError(
                f"data set {self.name!r} is for evaluation only, so `{verb}` must not fit on it."
                " Use it with `weighbridge evaluate --bundle B --data D`."
            )


def card_from_mapping(raw: Mapping[str, Any], *, where: str) -> Card:
    """Build a card from parsed TOML or JSON; `where` names the file in errors."""
    try:
        return Card(
            name=str(raw["name"]),
            version=str(raw["version"]),
            use=str(raw["use"]),
            heads={str(head): _labels(body["labels"]) for head, body in raw["heads"].items()},
            also=_labels(raw.get("also", {}).get("labels", [])),
            agreement={
                str(head): float(body["agreement"]) for head, body in raw["heads"].items() if "agreement" in body
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        raise DataError(
            f"{where}: the card lacks or misspells {err}; wanted name, version, use and [heads.NAME] labels = [...]. {CARD_ADVICE}"
        ) from err
    except DataError as err:
        raise DataError(f"{where}: {err}") from err


def _labels(labels: object) -> tuple[str, ...]:
    if not isinstance(labels, list):
        raise TypeError("`labels`, a list")
    return tuple(str(label) for label in labels)


def card_to_mapping(card: Card) -> dict[str, Any]:
    """The JSON form that a bundle carries; `card_from_mapping` reads it back."""
    return {
        "name": card.name,
        "version": card.version,
        "use": card.use,
        "heads": {
            head: {
                "labels": list(labels),
                **({"agreement": card.agreement[head]} if head in card.agreement else {}),
            }
            for head, labels in card.heads.items()
        },
        "also": {"labels": list(card.also)},
    }


def read_card(path: Path) -> Card:
    """Read a `card.toml`. Raises DataError with the file's name."""
    return card_from_mapping(read_toml(path, what="the card of a data set", make=CARD_ADVICE), where=str(path))
