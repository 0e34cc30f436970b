"""Where a router still errs: which label is taken for which, how sure it was, and what such a query reads like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from router.files import DECIMALS

PAIRS, EXAMPLES = 5, 2  # of a head, and of a pair
UNSURE = 0.6  # below it a router says itself that it may be wrong

Figures = dict[str, Any]  # Any: whatever JSON can hold
Wrong = tuple[float, str, str, str, str]  # how sure, query id, text, the label, what the router said


def wrong_ones(
    p: npt.NDArray[np.float64], y: npt.NDArray[np.intp], named: Sequence[tuple[str, str]], *, classes: Sequence[str]
) -> list[Wrong]:
    """The wrong ones of m labelled queries, the surest first.

    p: (m, k) in the order of `classes`.   y: (m,) class numbers.   named: m query ids and texts.
    """
    wrong = [
        (float(p[row, said]), *named[row], classes[truth], classes[said])
        for row, (truth, said) in enumerate(zip(y.tolist(), p.argmax(axis=1).tolist(), strict=True))
        if truth != said
    ]
    return surest_first(wrong)


def surest_first(wrong: Sequence[Wrong]) -> list[Wrong]:
    """By falling confidence, equal ones by id."""
    return sorted(wrong, key=lambda one: (-one[0], one[1]))


def summed(wrong: Sequence[Wrong]) -> Figures:
    """The figures of one head's errors, surest first: how many, of how many it was not sure, the most frequent pairs.

    An example is an error in the middle of its pair's confidences: the usual mistake, not the oddest.
    """
    pairs: dict[tuple[str, str], list[Wrong]] = defaultdict(list)
    for one in wrong:
        pairs[one[3], one[4]].append(one)
    often = sorted(pairs.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:PAIRS]
    return {
        "n": len(wrong),
        "unsure_share": round(sum(one[0] < UNSURE for one in wrong) / len(wrong), DECIMALS) if wrong else None,
        "unsure_below": UNSURE,
        "pairs": [
            {
                "label": label,
                "said": said,
                "n": len(members),
                "share": round(len(members) / len(wrong), DECIMALS),
                "examples": [one[2] for one in _middle(members)],
            }
            for (label, said), members in often
        ],
    }


def _middle(members: Sequence[Wrong]) -> Sequence[Wrong]:
    start = max(0, (len(members) - EXAMPLES) // 2)
    return members[start : start + EXAMPLES]
