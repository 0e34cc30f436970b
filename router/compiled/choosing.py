"""The label policy for one query at a time: `LabelPolicy.choose` in plain numbers, which arrays of one would slow down.

The rules and their order are `router.policy`'s; a test holds both to the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.compiled.layout import YES, Layout
from router.files import DECIMALS
from router.policy import LabelPolicy
from router.types import Decision


class OneByOne:
    """Turns one row of probabilities into a decision.   also: the P(yes) from which a further desk is named."""

    def __init__(self, layout: Layout, policy: LabelPolicy, also: Sequence[float]) -> None:
        table, spec = policy.table, policy.table.policy
        spans = dict(zip(layout.heads, layout.spans, strict=False))
        self._labels = [(head, labels, spans[head]) for head, labels in layout.heads.items()]
        self._spec, self._threshold = spec, policy.threshold
        self._cheap_route, self._safe_route = table.cheap, table.safe
        self._cheap_at = spans[spec.complexity_head].start + layout.heads[spec.complexity_head].index(spec.cheap_label)
        self._domain = spans[spec.domain_head]
        domains = layout.heads[spec.domain_head]
        self._outside = -1 if spec.out_of_scope_label is None else domains.index(spec.out_of_scope_label)
        self._desks = [None if at < 0 else table.routes[at] for at in table.desk_index(domains).tolist()]
        self._urgency, self._high = None, -1
        if spec.urgency_head is not None and spec.high_label is not None:
            self._urgency = spans[spec.urgency_head]
            self._high = layout.heads[spec.urgency_head].index(spec.high_label)
        starts = layout.starts[len(layout.heads) :].tolist()
        self._also = [(desk, start + YES, above) for desk, start, above in zip(layout.also, starts, also, strict=True)]

    def decision(self, p: Sequence[float], novelty: float) -> Decision:
        """Where a query goes, and why.   p: (width,) rounded probabilities of all heads.   novelty: in [0, 1]."""
        route, rule, confidence = self._chosen(p, novelty)
        return Decision(
            route=route,
            rule=rule,
            confidence=round(confidence, DECIMALS),
            probabilities={head: dict(zip(labels, p[span], strict=True)) for head, labels, span in self._labels},
            also=self._further(p) if rule == "desk" else (),
            novelty=novelty,
        )

    def _chosen(self, p: Sequence[float], novelty: float) -> tuple[str, str, float]:
        cheap, domain, spec = p[self._cheap_at], p[self._domain], self._spec
        sure = max(domain)
        top = domain.index(sure)
        dear = (1.0 - cheap) * sure
        if novelty > spec.max_novelty:
            return self._safe_route, "novel", dear
        if cheap >= self._threshold:
            return self._cheap_route, "cheap", cheap
        if top == self._outside:
            return (self._safe_route, "danger", dear) if self._urgent(p) else (self._cheap_route, "out-of-scope", sure)
        desk = self._desks[top]
        if desk is None:
            return self._safe_route, "no-desk", dear
        if sure < spec.min_confidence:
            return self._safe_route, "unsure", dear
        return desk.name, "desk", dear

    def _urgent(self, p: Sequence[float]) -> bool:
        if self._urgency is None:
            return False
        urgency = p[self._urgency]
        return urgency.index(max(urgency)) == self._high

    def _further(self, p: Sequence[float]) -> tuple[str, ...]:
        """The further desks of a query that goes to a desk; a cheap answer uses none."""
        domain = p[self._domain]
        lead = self._desks[domain.index(max(domain))]
        return tuple(desk for desk, at, above in self._also if p[at] >= above and (lead is None or desk != lead.desk))
