"""Figures of heads, from their probabilities and the labels a person gave: what each says of the queries that have its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import Wrong, summed, wrong_ones
from eval.intervals import bootstrap_mean, wilson
from router.dataset import Dataset
from router.errors import DataError
from router.files import DECIMALS
from router.grouping import units
from router.pipeline import NO_ROUTES
from router.scoring import Floats, Ints, brier, confusion, log_loss, macro_f1, precision_recall_f1, reliability

Figures = dict[
    str, Any
]  # Any: the JSON of design.md; every key is always there, null with a reason where it does not apply
Bools = npt.NDArray[np.bool_]

NO_LABELS = "no query of this split has a label of this head"
MEASURES = ("accuracy", "accuracy_ci", "macro_f1", "ece", "ece_bias", "ece_debiased", "log_loss", "brier", "confusion")
SHOWN_LABELS = 12  # of a head, in an error
OF_ROUTES = ("also", "route", "by_route")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One head over the queries that have its label.

    index: (m,) their positions among all queries.   p: (m, k) in the order of `classes`.   y: (m,) class numbers.
    """

    classes: Sequence[str]
    index: Ints
    p: Floats
    y: Ints

    @property
    def predicted(self) -> Ints:
        """(m,) the most probable class, the first where two tie."""
        best: Ints = self.p.argmax(axis=1)
        return best

    @property
    def right(self) -> Bools:
        """(m,) whether that is the label."""
        hits: Bools = self.predicted == self.y
        return hits


def judge(p: Floats, labels: Sequence[str | None], *, classes: Sequence[str]) -> Judged:
    """Set the (n, k) probabilities of one head against its n labels, None where a query has none.

    Raises KeyError for a label that is none of the classes.
    """
    position = {label: j for j, label in enumerate(classes)}
    index = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.intp)
    y = np.array([position[label] for label in labels if label is not None], dtype=np.intp)
    return Judged(classes=classes, index=index, p=p[index], y=y)


def judged_errors(head: Judged, named: Sequence[tuple[str, str]]) -> list[Wrong]:
    """Its errors, the surest first.   named: the ids and texts of all n queries."""
    return wrong_ones(head.p, head.y, [named[i] for i in head.index], classes=head.classes)


def evaluate_heads(
    probabilities: Mapping[str, Floats],
    dataset: Dataset,
    *,
    classes: Mapping[str, Sequence[str]],
    router: str,
    bundle: str | None,
    split: str,
    seed: int,
) -> Figures:
    """The evaluation JSON of heads without routes: as `metrics.evaluate`, but what speaks of routes is null.

    probabilities: head -> (n, k), one row per query of an already chosen split. Raises DataError for a label that the
    heads never learned.
    """
    require_known_labels(dataset, classes)
    drawn, named = unit_names(dataset), [(query.query_id, query.text) for query in dataset.queries]
    heads = {head: judge(p, dataset.labels(head), classes=classes[head]) for head, p in probabilities.items()}
    return {
        "router": router,
        "bundle": bundle,
        "dataset": f"{dataset.card.name} {dataset.card.version}",
        "fingerprint": dataset.fingerprint(),
        "split": split,
        "n_queries": len(dataset),
        "n_units": len(set(drawn)),
        "heads": {name: head_figures(head, drawn, seed=seed) for name, head in heads.items()},
        "agreement": {head: dataset.card.agreement.get(head) for head in heads},
        "errors": {name: summed(judged_errors(head, named)) for name, head in heads.items()},
        **dict.fromkeys(OF_ROUTES),
        "by_language": {
            language: {"n": int(spoken.sum()), "heads": head_shares(heads, spoken), "route": None}
            for language, spoken in speakers([query.language for query in dataset.queries]).items()
        },
        "reason": NO_ROUTES,
    }


def head_figures(head: Judged, drawn: Sequence[str], *, seed: int, flagged: Sequence[str] = ()) -> Figures:
    """Accuracy, macro F1, calibration and confusion of one head.

    drawn: of all n queries, the names of what the bootstrap draws whole.   flagged: labels whose precision and recall are
    reported on their own.
    """
    classes = list(head.classes)
    if len(head.y) == 0:
        return {"n": 0, **dict.fromkeys(MEASURES), **dict.fromkeys(flagged), "reason": NO_LABELS}
    matrix = confusion(head.y, head.predicted, k=len(classes))
    bins = reliability(head.p, head.y)
    return {
        "n": len(head.y),
        "accuracy": rounded(head.right.mean()),
        "accuracy_ci": interval(head.right, head.index, drawn, seed=seed),
        "macro_f1": rounded(macro_f1(matrix)),
        "ece": rounded(bins.ece),
        "ece_bias": rounded(bins.ece_bias),
        "ece_debiased": rounded(max(0.0, bins.ece - bins.ece_bias)),
        "log_loss": rounded(log_loss(head.p, head.y)),
        "brier": rounded(brier(head.p, head.y)),
        "confusion": {"labels": classes, "rows": matrix.tolist()},
        **{label: _precision_recall(matrix, classes.index(label)) for label in flagged},
        "reason": None,
    }


def _precision_recall(matrix: Ints, j: int) -> Figures:
    precision, recall, _ = precision_recall_f1(matrix)
    hits, predicted, there = int(matrix[j, j]), int(matrix[:, j].sum()), int(matrix[j].sum())
    return {
        "n": there,
        "precision": rounded(precision[j]) if predicted else None,
        "precision_ci": wilson(hits, predicted).to_list() if predicted else None,
        "recall": rounded(recall[j]) if there else None,
        "recall_ci": wilson(hits, there).to_list() if there else None,
    }


def speakers(languages: Sequence[str | None]) -> dict[str, Bools]:
    """Language -> (n,) which queries are in it, for those that queries name, in order."""
    named = sorted({language for language in languages if language})
    return {name: np.array([language == name for language in languages]) for name in named}


def head_shares(heads: Mapping[str, Judged], chosen: Bools) -> dict[str, Figures]:
    """Head -> its accuracy over the chosen ones of the n queries."""
    return {name: share(head.right[chosen[head.index]]) for name, head in heads.items()}


def share(right: Bools) -> Figures:
    """How many, the share that is right, and Wilson's interval; null for none."""
    n = len(right)
    return {
        "n": n,
        "accuracy": rounded(right.mean()) if n else None,
        "accuracy_ci": wilson(int(right.sum()), n).to_list() if n else None,
    }


def interval(right: Bools, index: Ints, drawn: Sequence[str], *, seed: int) -> list[float] | None:
    """95 % of the mean of (m,) hits at the positions `index`: by bootstrap over groups, Wilson's where that cannot vary."""
    if not len(index):
        return None
    groups = [drawn[i] for i in index]
    if len(set(groups)) < 2 or right.all() or not right.any():
        return wilson(int(right.sum()), len(right)).to_list()
    rng = np.random.default_rng(seed)
    return bootstrap_mean(right.astype(np.float64), groups, rng=rng).interval.to_list()


def rounded(value: float | np.floating[Any]) -> float:
    """As all figures are written down."""
    return round(float(value), DECIMALS)


def unit_names(dataset: Dataset) -> list[str]:
    """The n names of the units that are drawn whole: the smallest id of each, whatever the order of the queries."""
    names: dict[int, str] = {}
    found = units(dataset.queries)
    for unit, query in zip(found, dataset.queries, strict=True):
        names[unit] = min(names.get(unit, query.query_id), query.query_id)
    return [names[unit] for unit in found]


def require_known_labels(dataset: Dataset, classes: Mapping[str, Sequence[str]]) -> None:
    """Raise DataError for the first label that the heads never learned."""
    for query in dataset.queries:
        for head, known in classes.items():
            label = query.labels.heads.get(head)
            if label is not None and label not in known:
                shown = ", ".join([*known[:SHOWN_LABELS], *("…" for _ in known[SHOWN_LABELS : SHOWN_LABELS + 1])])
                raise DataError(
                    f"query {query.query_id!r}: the router never learned label {label!r} of head {head!r}"
                    f" ({shown}); train one on data that has it, or map the label."
                )
