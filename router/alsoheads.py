"""Heads that ask of one desk: is its tool needed besides the leading desk's?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from router.dataset import Dataset
from router.files import DECIMALS
from router.fitting import FEWEST, Setting, fit_head
from router.pipeline import AlsoHead
from router.rowspace import TrainingRows
from router.scoring import Floats, Ints

ALSO_YES = ("no", "yes")


def also_head(
    desk: str,
    train: Dataset,
    blocks: TrainingRows,
    fold: Ints,
    setting: Setting,
    notify: Callable[[str], None],
) -> AlsoHead | None:
    """One against the rest, with the domain head's setting, cut where the out-of-fold F1 is best.

    None where a desk is named too rarely to learn.
    """
    labels = [ALSO_YES[desk in query.labels.also] for query in train.queries]
    if min(labels.count(answer) for answer in ALSO_YES) < FEWEST:
        return None
    notify(f"fitting also:{desk}")
    fitted = fit_head(desk, ALSO_YES, labels, blocks, fold, setting=setting)
    yes = np.array([labels[i] == "yes" for i in fitted.index])
    return AlsoHead(head=fitted.head, threshold=_best_f1_threshold(fitted.oof[:, 1], yes))


def _best_f1_threshold(score: Floats, yes: np.typing.NDArray[np.bool_]) -> float:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(yes[order])
    f1 = 2 * hits / (np.arange(1, len(score) + 1) + yes.sum())
    ranked = score[order]
    whole = np.append(ranked[1:] < ranked[:-1], True)  # a threshold cannot cut between equal scores
    cut = int(np.where(whole, f1, -1.0).argmax())
    following = score[order[cut + 1]] if cut + 1 < len(score) else 0.0
    between = round(float((score[order[cut]] + following) / 2), DECIMALS)
    return (
        between if between > following else float(score[order[cut]])
    )  # neighbours in the last decimal leave no middle
