"""Which labels to look at again: confident learning on out-of-fold probabilities.

Source: Northcutt, Jiang and Chuang, 2021, Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR 70); counted
as cleanlab 2.9 counts, without its rounding. A label is doubted where the model, which has not seen it, is as sure of
another label as it is on average of the queries that bear that one. The share of such labels holds queries that are hard
as well as labels that are wrong, and misses a mistake that all labellers share: a person has to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.heads import interval, rounded, unit_names
from eval.labelled_rows import HeldOutHeads, LabelledRows, class_numbers
from eval.power_law import quantiles
from router.fitting import FittedHead
from router.scoring import Floats, Ints
from router.types import Query

TOLERANCE = 1e-6  # by which a probability may miss its threshold, or another label lead the given one; cleanlab's
NOBODY = -1  # the confident class of a query that reaches no threshold
DRAWS = 1_000
FIGURES = (
    "accuracy", "suspects", "suspect_share", "suspect_share_ci", "noise_share", "noise_share_ci", "joint", "thresholds",
    "pairs", "top",
)  # fmt: skip

Bools = npt.NDArray[np.bool_]
Figures = dict[str, Any]  # Any: JSON's leaves


def confident_thresholds(p: Floats, y: Ints, weight: Floats | None = None) -> Floats:
    """(k,) mean probability of each class over the rows labelled with it; infinity where none is.

    p: (n, k) out-of-fold.   y: (n,).   weight: (n,) how often a row counts, once where it is None.
    """
    k = p.shape[1]
    w = np.ones(len(y)) if weight is None else weight
    bearers = np.bincount(y, weights=w, minlength=k)
    sure = np.bincount(y, weights=w * p[np.arange(len(y)), y], minlength=k)
    mean: Floats = np.divide(sure, bearers, out=np.full(k, np.inf), where=bearers > 0)
    return mean


def confident_classes(p: Floats, thresholds: Floats) -> Ints:
    """(n,) the class whose threshold a row reaches; of several the likeliest of all classes; NOBODY for none."""
    reached = p >= thresholds - TOLERANCE
    many = reached.sum(axis=1)
    found = np.where(many > 1, p.argmax(axis=1), reached.argmax(axis=1))
    return np.where(many > 0, found, NOBODY).astype(np.intp)


def confident_joint(p: Floats, y: Ints, weight: Floats | None = None) -> Floats:
    """(k, k) how many rows labelled i are confidently of class j; at least one of each class is taken to be right."""
    k = p.shape[1]
    found = confident_classes(p, confident_thresholds(p, y, weight))
    sure = found != NOBODY
    counts = np.bincount(y[sure] * k + found[sure], weights=None if weight is None else weight[sure], minlength=k * k)
    joint = counts.reshape(k, k).astype(np.float64)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1.0))
    return joint


def joint_shares(p: Floats, y: Ints, weight: Floats | None = None) -> Floats:
    """(k, k) estimated joint distribution of the given label (row) and the true one (column).

    The confident counts, each row scaled to the share of queries that bear the label: rows sum to those shares.
    """
    joint = confident_joint(p, y, weight)
    bearers = np.bincount(y, weights=weight, minlength=len(joint)).astype(np.float64)
    scaled: Floats = joint / joint.sum(axis=1, keepdims=True) * (bearers / bearers.sum())[:, None]
    return scaled


def noise_share(p: Floats, y: Ints, weight: Floats | None = None) -> float:
    """The estimated share of wrong labels: all of the joint that is off its diagonal."""
    return float(1.0 - joint_shares(p, y, weight).trace())


def noise_draws(p: Floats, y: Ints, unit: Sequence[object], *, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """(draws,) noise shares with whole units drawn with replacement, thresholds and all."""
    number = np.unique(np.array([str(name) for name in unit]), return_inverse=True)[1]
    u = int(number.max()) + 1
    drawn = rng.multinomial(u, np.full(u, 1 / u), size=draws).astype(np.float64)
    return np.array([noise_share(p, y, row[number]) for row in drawn])


def doubted(p: Floats, y: Ints) -> tuple[Bools, Ints]:
    """(n,) whether a label is doubted, and (n,) the class that is suggested for it.

    Doubted is a row off the diagonal of the confident joint whose given label is not its likeliest either.
    """
    found = confident_classes(p, confident_thresholds(p, y))
    favoured = p.copy()
    favoured[np.arange(len(y)), y] += TOLERANCE
    return (found != NOBODY) & (found != y) & (favoured.argmax(axis=1) != y), found


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One doubted label. probability: of the suggested label; margin: that less the given label's."""

    head: str
    query: Query
    given: str
    suggested: str
    probability: float
    margin: float

    def to_mapping(self) -> Figures:
        """A row of the JSON and the CSV."""
        return {
            "id": self.query.query_id,
            "text": self.query.text,
            "context": list(self.query.context),
            "given": self.given,
            "suggested": self.suggested,
            "probability": rounded(self.probability),
            "margin": rounded(self.margin),
        }


def suspects(rows: LabelledRows, fitted: FittedHead) -> list[Suspect]:
    """All doubted labels of a head, the widest margin first, ties by id."""
    classes = fitted.head.classes
    y = class_numbers(classes, rows.dataset.labels(fitted.head.name))[fitted.index]
    flag, suggested = doubted(fitted.oof, y)
    found = [
        Suspect(
            head=fitted.head.name,
            query=rows.dataset.queries[fitted.index[i]],
            given=classes[y[i]],
            suggested=classes[suggested[i]],
            probability=float(fitted.oof[i, suggested[i]]),
            margin=float(fitted.oof[i, suggested[i]] - fitted.oof[i, y[i]]),
        )
        for i in np.flatnonzero(flag).tolist()
    ]
    return sorted(found, key=lambda entry: (-entry.margin, entry.query.query_id))


def audit_figures(
    rows: LabelledRows, heads: HeldOutHeads, names: Sequence[str], *, part: str, top: int, seed: int
) -> Figures:
    """The JSON of `weighbridge data audit`, but for what to label next; every key is always there, null with a reason."""
    card = rows.dataset.card
    return {
        "dataset": f"{card.name} {card.version}",
        "fingerprint": rows.dataset.fingerprint(),
        "split": part,
        "n_queries": len(rows),
        "n_units": len(set(rows.unit)),
        "encoder": rows.encoder.spec.name,
        "seed": seed,
        "protocol": (
            "confident learning (Northcutt et al., 2021) on out-of-fold probabilities, people and near-duplicates held out"
            " whole; 95 % intervals by bootstrap over them; a suspect is a label to look at, not a wrong label"
        ),
        "heads": {
            name: _head_figures(rows, heads.fitted[name], top=top, seed=seed)
            if name in heads.fitted
            else {"n": rows_labelled(rows, name), **dict.fromkeys(FIGURES), "reason": heads.unfit[name]}
            for name in names
        },
    }


def rows_labelled(rows: LabelledRows, name: str) -> int:
    """How many rows have a label of the head."""
    return sum(label is not None for label in rows.dataset.labels(name))


def _head_figures(rows: LabelledRows, fitted: FittedHead, *, top: int, seed: int) -> Figures:
    classes = list(fitted.head.classes)
    y = class_numbers(classes, rows.dataset.labels(fitted.head.name))[fitted.index]
    p, drawn = fitted.oof, unit_names(rows.dataset)
    flag, _ = doubted(p, y)
    found = suspects(rows, fitted)
    draws = noise_draws(p, y, [rows.unit[i] for i in fitted.index], rng=np.random.default_rng(seed))
    pairs = Counter((entry.given, entry.suggested) for entry in found)
    values: Mapping[str, Any] = {  # Any: JSON's leaves
        "accuracy": rounded((p.argmax(axis=1) == y).mean()),
        "suspects": len(found),
        "suspect_share": rounded(flag.mean()),
        "suspect_share_ci": interval(flag, fitted.index, drawn, seed=seed),
        "noise_share": rounded(noise_share(p, y)),
        "noise_share_ci": quantiles(draws).to_list(),
        "joint": {"labels": classes, "rows": np.round(joint_shares(p, y), 6).tolist()},
        "thresholds": dict(zip(classes, np.round(confident_thresholds(p, y), 6).tolist(), strict=True)),
        "pairs": [
            {"given": given, "suggested": suggested, "n": n}
            for (given, suggested), n in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
        "top": [entry.to_mapping() for entry in found[:top]],
    }
    return {"n": len(y), **{name: values[name] for name in FIGURES}, "reason": None}
