"""The label policy: arrays of probabilities in, arrays of routes and reasons out. Pure: no files, no clock, no draws.

The rules, in order; the first that applies decides:

    novel         less like the training data than all but a few calibration queries: the safe route
    cheap         P(cheap label) reaches the threshold: the cheap route
    danger        an out-of-scope query that is urgent: the safe route, for more than a refusal
    out-of-scope  no desk should serve it: the cheap route, for a short refusal
    no-desk       not cheap, and its domain has no desk: the safe route
    unsure        the probability of the chosen desk is below the floor: the safe route
    desk          not cheap, and a desk owns the domain: that desk

Within a conversation one more may follow (`router.stickiness`):

    stays         the route so far, because another would not be worth the change
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError
from router.routes import RouteTable
from router.types import Labels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
DECIDING = ("novel", "cheap", "danger", "out-of-scope", "no-desk", "unsure", "desk")  # in their order
STAYS = "stays"
RULES = (*DECIDING, STAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a policy said of n queries: `route` (n,) indexes the route table, `rule` (n,) indexes RULES.

    confidence: (n,) the probability that the labels the rule read are right.
    """

    route: Ints
    rule: Ints
    confidence: Floats


class LabelPolicy:
    """Sends cheap-labelled queries to the cheap route and the others to their domain's desk.

    threshold: the P(cheap label) from which a query counts as cheap, in [0, 1].
    """

    def __init__(self, table: RouteTable, classes: Mapping[str, tuple[str, ...]], *, threshold: float) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise PolicyError(
                f"`threshold` is {threshold}; it must lie in [0, 1]. Train again with `weighbridge train`."
            )
        spec = table.policy
        for head in (spec.complexity_head, spec.domain_head, *((spec.urgency_head,) if spec.urgency_head else ())):
            if head not in classes:
                raise PolicyError(
                    f"the policy reads head {head!r}; the router has {', '.join(classes)}. Mend [policy] in the route table."
                )
        self.table = table
        self.threshold = threshold
        self.classes = dict(classes)
        self._cheap_column = classes[spec.complexity_head].index(spec.cheap_label)
        self._desk_route = table.desk_index(classes[spec.domain_head])
        self._cheap = table.names.index(table.cheap)
        self._safe = table.names.index(table.safe)

    def cheap_probability(self, probabilities: Mapping[str, Floats]) -> Floats:
        """(n,) P(cheap label): the score that the threshold cuts."""
        cheap: Floats = probabilities[self.table.policy.complexity_head][:, self._cheap_column]
        return cheap

    def choose(self, probabilities: Mapping[str, Floats], *, novelty: Floats) -> Choices:
        """Decide n queries at once.

        probabilities: head -> (n, k).   novelty: (n,) in [0, 1], the share of calibration queries that are more
        familiar. Raises PolicyError if the shapes disagree.
        """
        spec = self.table.policy
        domain = probabilities[spec.domain_head]
        cheap_p = self.cheap_probability(probabilities)
        if any(len(p) != len(novelty) for p in probabilities.values()):
            raise PolicyError(
                f"rows disagree: {', '.join(f'{head} {len(p)}' for head, p in probabilities.items())},"
                f" novelty {len(novelty)}; wanted one row a query of each."
            )
        top = domain.argmax(axis=1)
        sure = domain[np.arange(len(top)), top]
        desk = self._desk_route[top]
        outside = self._out_of_scope(top)
        tests = {
            "novel": novelty > spec.max_novelty,
            "cheap": cheap_p >= self.threshold,
            "danger": outside & self._urgent(probabilities, len(top)),
            "out-of-scope": outside,
            "no-desk": desk < 0,
            "unsure": sure < spec.min_confidence,
            "desk": np.ones(len(top), dtype=bool),
        }
        rule = np.stack([tests[name] for name in DECIDING]).argmax(axis=0)
        target = {"cheap": self._cheap, "out-of-scope": self._cheap}
        fixed = np.array([target.get(name, self._safe) for name in DECIDING], dtype=np.intp)
        route = np.where(rule == RULES.index("desk"), desk, fixed[rule])
        confidence = np.where(rule == RULES.index("cheap"), cheap_p, (1.0 - cheap_p) * sure)
        confidence = np.where(rule == RULES.index("out-of-scope"), sure, confidence)
        return Choices(route=route, rule=rule, confidence=confidence)

    def _out_of_scope(self, top: Ints) -> npt.NDArray[np.bool_]:
        label = self.table.policy.out_of_scope_label
        names = self.classes[self.table.policy.domain_head]
        outside: npt.NDArray[np.bool_] = top == (names.index(label) if label is not None else -1)
        return outside

    def _urgent(self, probabilities: Mapping[str, Floats], n: int) -> npt.NDArray[np.bool_]:
        spec = self.table.policy
        if spec.urgency_head is None or spec.high_label is None:
            return np.zeros(n, dtype=bool)
        p = probabilities[spec.urgency_head]
        urgent: npt.NDArray[np.bool_] = p.argmax(axis=1) == self.classes[spec.urgency_head].index(spec.high_label)
        return urgent


def true_route(table: RouteTable, labels: Labels) -> str | None:
    """Where a query belongs by its labels, or None where the labels leave it open.

    The same rules as the policy's, read with certainty: an open complexity leaves the route open unless the domain is
    out of scope and not urgent; an open domain only matters for what is not cheap.
    """
    spec = table.policy
    complexity, domain = labels.heads.get(spec.complexity_head), labels.heads.get(spec.domain_head)
    urgency = labels.heads.get(spec.urgency_head) if spec.urgency_head else None
    if complexity == spec.cheap_label:
        return table.cheap
    if domain is not None and domain == spec.out_of_scope_label:
        if spec.high_label is not None and urgency is None:
            return None
        if spec.high_label is None or urgency != spec.high_label:
            return table.cheap
        return table.safe if complexity is not None else None
    if complexity is None or domain is None:
        return None
    return next((route.name for route in table.routes if route.desk == domain), table.safe)
