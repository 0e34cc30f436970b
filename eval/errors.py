"""Where a router still errs: which label is taken for which, how sure it was, and what such a query reads like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eval.heads import Figures, rounded
from eval.run import Run

PAIRS, EXAMPLES = 5, 2  # of a head, and of a pair
UNSURE = 0.6  # below it a router says itself that it may be wrong

Wrong = tuple[float, str, str, str, str]  # how sure, query id, text, the label, what the router said


def head_errors(run: Run, head: str) -> list[Wrong]:
    """The wrong ones of the queries that have a label of this head, the surest first."""
    classes = run.header.classes[head]
    index, y = run.labelled(head)
    p = run.probabilities(head)[index]
    wrong = [
        (float(p[row, said]), run.records[i].query_id, run.records[i].text, classes[truth], classes[said])
        for row, (i, truth, said) in enumerate(zip(index, y, p.argmax(axis=1), strict=True))
        if truth != said
    ]
    return sorted(wrong, key=lambda one: (-one[0], one[1]))


def route_errors(run: Run) -> list[Wrong]:
    """The queries that went elsewhere than their labels say, the surest first."""
    wrong = [
        (record.confidence, record.query_id, record.text, record.true_route, record.route)
        for record in run.records
        if record.true_route not in (None, record.route) and record.true_route is not None
    ]
    return sorted(wrong, key=lambda one: (-one[0], one[1]))


def remaining(run: Run) -> dict[str, Figures]:
    """Per head: how many errors, how many of them it was not sure of, and the most frequent pairs with examples.

    An example is an error in the middle of its pair's confidences: the usual mistake, not the oddest.
    """
    return {head: summed(head_errors(run, head)) for head in run.header.classes}


def summed(wrong: Sequence[Wrong]) -> Figures:
    """The figures of one head's errors, as `head_errors` gives them."""
    pairs: dict[tuple[str, str], list[Wrong]] = defaultdict(list)
    for one in wrong:
        pairs[one[3], one[4]].append(one)
    often = sorted(pairs.items(), key=lambda entry: (-len(entry[1]), entry[0]))[:PAIRS]
    return {
        "n": len(wrong),
        "unsure_share": rounded(sum(one[0] < UNSURE for one in wrong) / len(wrong)) if wrong else None,
        "unsure_below": UNSURE,
        "pairs": [
            {
                "label": label,
                "said": said,
                "n": len(members),
                "share": rounded(len(members) / len(wrong)),
                "examples": [one[2] for one in _middle(members)],
            }
            for (label, said), members in often
        ],
    }


def _middle(members: Sequence[Wrong]) -> Sequence[Wrong]:
    start = max(0, (len(members) - EXAMPLES) // 2)
    return members[start : start + EXAMPLES]
