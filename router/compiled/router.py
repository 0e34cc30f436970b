"""A compiled router: text in, decision out, with NumPy, ONNX Runtime and a tokenizer. `router.compiled.files` loads one."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np

from router.compiled.layout import Floats, Layout
from router.compiled.sparse import SparseLogits
from router.compiled.tiers import Tier
from router.encoders.onnx import IN_PARALLEL_FROM
from router.encoders.protocol import Matrix
from router.errors import PolicyError
from router.files import DECIMALS
from router.policy import RULES
from router.routes import RouteTable
from router.rows import text_problem
from router.types import Decision

REMEMBER = 10_000  # decisions
CAREFUL = ("novel", "danger", "unsure")  # rules whose decisions only the last tier may take


class Decides(Protocol):
    """What a fitted router and a compiled one have in common."""

    @property
    def table(self) -> RouteTable:
        """The routes that it decides between."""

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Head name -> its labels, in the order of its probability columns."""

    def decide(self, text: str) -> Decision:
        """Where this query goes, and why."""

    def decide_many(self, texts: Sequence[str]) -> list[Decision]:
        """One decision per text, in order; each depends on its own text alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReading:
    """What one tier made of n texts, before any policy.

    probabilities: head -> (n, k), rounded to 6 decimals.   also: (n, desks) P(yes).   novelty: (n,).
    """

    tier: str
    probabilities: Mapping[str, Floats]
    also: Floats
    novelty: Floats


class TierRows(NamedTuple):
    """(n, width) probabilities of all heads side by side, and the (n, d) unit rows that novelty is measured on."""

    probabilities: Floats
    rows: Matrix


class CompiledRouter:
    """Asks its tiers in order; the first that is sure enough decides, the last one always does.

    tokenizer: a `tokenizers.Tokenizer` that cuts at the encoder's limit.   sparse: gives every tier's columns side by side.
    remember: how many of the latest decisions are kept by their exact text; 0 keeps none.
    """

    def __init__(
        self,
        layout: Layout,
        tiers: Sequence[Tier],
        *,
        tokenizer: Any,  # Any: tokenizers.Tokenizer, which has no types
        sparse: SparseLogits,
        remember: int = REMEMBER,
    ) -> None:
        self.layout = layout
        self.tiers = tuple(tiers)
        self._tokenizer = tokenizer
        self._sparse = sparse
        self._remember = remember
        self._known: OrderedDict[str, Decision] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"CompiledRouter(tiers={[tier.name for tier in self.tiers]}, heads={list(self.classes)})"

    @property
    def table(self) -> RouteTable:
        """The route table that the policy decides with."""
        return self.tiers[-1].policy.table

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Head name -> its labels, in the order of its probability columns."""
        return dict(self.layout.heads)

    def decide(self, text: str) -> Decision:
        """Where this query goes, and why. Raises PolicyError for a text that is no query (empty, too long, ...)."""
        with self._lock:
            if text in self._known:
                self._known.move_to_end(text)
                return self._known[text]
        _require_queries([text])
        decision = self._fresh(text)
        with self._lock:
            if self._remember:
                self._known[text] = decision
                while len(self._known) > self._remember:
                    self._known.popitem(last=False)
        return decision

    def decide_many(self, texts: Sequence[str]) -> list[Decision]:
        """One decision per text, in order; each depends on its own text alone. Raises PolicyError as `decide` does."""
        _require_queries(texts)
        return _each(self.decide, texts)

    def read(self, texts: Sequence[str], *, tier: int = -1) -> CompiledReading:
        """What one tier, the last unless another is named by its place, makes of n texts."""
        return self._reading(tier, self.rows(texts, tier=tier))

    def rows(self, texts: Sequence[str], *, tier: int = -1) -> TierRows:
        """The bare numbers of one tier for n > 0 texts. Raises PolicyError for a text that is no query."""
        _require_queries(texts)
        found = _each(lambda text: self._scores(tier, self._ids(text), self._sparse.logits(text)), texts)
        return TierRows(np.stack([p for p, _ in found]), np.stack([row for _, row in found]))

    def stands(self, decision: Decision, *, tier: int) -> bool:
        """Whether that tier's decision is kept: the last one's always, another's if it is sure enough and needs no care."""
        if tier == len(self.tiers) - 1:
            return True
        return decision.rule not in CAREFUL and decision.confidence >= self.tiers[tier].answers_above

    def decisions(self, reading: CompiledReading) -> list[Decision]:
        """Apply the policy of the tier that read them to n texts."""
        tier = next(tier for tier in self.tiers if tier.name == reading.tier)
        choices = tier.policy.choose(reading.probabilities, novelty=reading.novelty)
        names = self.table.names
        columns = {head: (self.layout.heads[head], p.tolist()) for head, p in reading.probabilities.items()}
        return [
            Decision(
                route=names[choices.route[i]],
                rule=RULES[choices.rule[i]],
                confidence=round(float(choices.confidence[i]), DECIMALS),
                probabilities={head: dict(zip(labels, p[i], strict=True)) for head, (labels, p) in columns.items()},
                also=self._also(tier, reading.also[i], names[choices.route[i]], RULES[choices.rule[i]]),
                novelty=float(reading.novelty[i]),
            )
            for i in range(len(reading.novelty))
        ]

    def _fresh(self, text: str) -> Decision:
        ids, logits = self._ids(text), self._sparse.logits(text)
        for at in range(len(self.tiers)):
            p, row = self._scores(at, ids, logits)
            decision = self.decisions(self._reading(at, TierRows(p[None], row[None])))[0]
            if self.stands(decision, tier=at):
                break
        return decision

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def _scores(self, tier: int, ids: list[int], logits: Floats) -> tuple[Floats, Matrix]:
        """(width,) probabilities with 6 decimals and the (d,) row of one text in one tier, whose logits stand at its place."""
        start = tier % len(self.tiers) * self.layout.width
        p, row = self.tiers[tier].scores(ids, logits[start : start + self.layout.width])
        return np.round(p, DECIMALS), row

    def _reading(self, tier: int, rows: TierRows) -> CompiledReading:
        probabilities, also = self.layout.split(rows.probabilities)
        novelty = np.round(self.tiers[tier].novelty.rank(rows.rows), DECIMALS)
        return CompiledReading(tier=self.tiers[tier].name, probabilities=probabilities, also=also, novelty=novelty)

    def _also(self, tier: Tier, p: Floats, route: str, rule: str) -> tuple[str, ...]:
        """The further desks of a query that goes to a desk; a cheap answer uses none."""
        if rule != "desk":
            return ()
        own = next(entry.desk for entry in self.table.routes if entry.name == route)
        return tuple(
            desk
            for desk, yes, above in zip(self.layout.also, p, tier.also, strict=True)
            if yes >= above and desk != own
        )


def _each(call: Any, texts: Sequence[str]) -> list[Any]:  # Any: what the call gives is what comes back
    if len(texts) < IN_PARALLEL_FROM:
        return [call(text) for text in texts]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(call, texts))


def _require_queries(texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        problem = text_problem(text)
        if problem:
            raise PolicyError(
                f"query {position + 1} of {len(texts)} {problem}. Check a file with `weighbridge data check`."
            )
