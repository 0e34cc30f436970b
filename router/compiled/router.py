"""A compiled router: text in, decision out, with NumPy, ONNX Runtime and a tokenizer. `router.compiled.files` loads one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from router.compiled.earlier import Sentences
from router.compiled.layout import Floats, Layout
from router.compiled.memory import Memory
from router.compiled.sparse import SparseLogits
from router.compiled.tiers import Tier
from router.compiled.tokens import Tokens
from router.earlier import LOOK_BACK, Contexts, earlier_rows
from router.encoders.onnx import IN_PARALLEL_FROM
from router.encoders.protocol import Matrix
from router.errors import PolicyError
from router.files import DECIMALS
from router.routes import RouteTable
from router.rows import text_problem
from router.types import Decision

REMEMBER = 10_000  # decisions
CAREFUL = ("novel", "danger", "unsure")  # rules whose decisions only the last tier may take

Given = TypeVar("Given")
Found = TypeVar("Found")


class Decides(Protocol):
    """What a fitted router and a compiled one have in common."""

    @property
    def table(self) -> RouteTable:
        """The routes that it decides between."""

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Head name -> its labels, in the order of its probability columns."""

    def decide(self, text: str, context: Sequence[str] = ()) -> Decision:
        """Where this query goes, and why.   context: what the user had said before, oldest first."""

    def decide_many(self, texts: Sequence[str], contexts: Contexts | None = None) -> list[Decision]:
        """One decision per text, in order; each depends on its own text and context alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReading:
    """What one tier made of n texts, before any policy.

    rows: (n, width) probabilities of all heads side by side, rounded to 6 decimals.   distance: (n,) to the nearest
    training queries.   novelty: (n,) its rank among the calibration queries.
    """

    tier: Tier
    rows: Floats
    distance: Floats
    novelty: Floats

    @property
    def probabilities(self) -> dict[str, Floats]:
        """Head -> (n, k)."""
        return self.tier.layout.split(self.rows)[0]

    @property
    def also(self) -> Floats:
        """(n, desks) P(yes)."""
        return self.tier.layout.split(self.rows)[1]


class Query(NamedTuple):
    """One text with the messages before it that count, tokenised; `logits` of all tiers side by side."""

    text: str
    said: tuple[str, ...]
    ids: list[int]
    logits: Floats


class CompiledRouter:
    """Asks its tiers in order; the first that is sure enough decides, the last one always does.

    sparse: gives every tier's columns side by side.   remember: how many of the latest decisions are kept by their exact
    text and context; 0 keeps none.
    """

    def __init__(
        self,
        layout: Layout,
        tiers: Sequence[Tier],
        *,
        tokens: Tokens,
        sparse: SparseLogits,
        remember: int = REMEMBER,
    ) -> None:
        self.layout = layout
        self.tiers = tuple(tiers)
        self._tokens = tokens
        self._sparse = sparse
        self._known: Memory[tuple[str, tuple[str, ...]], Decision] = Memory(remember)
        self._sentences = {
            tier.name: Sentences(partial(self._sentence, tier), len(tier.earlier.mean))
            for tier in self.tiers
            if tier.earlier is not None
        }

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

    @property
    def looks_back(self) -> int:
        """How many of the user's earlier messages a decision depends on; 0 for a router that learned without context."""
        return LOOK_BACK if any(tier.earlier for tier in self.tiers) else 0

    def decide(self, text: str, context: Sequence[str] = ()) -> Decision:
        """Where this query goes, and why.   context: what the user had said before, oldest first.

        Raises PolicyError for a text that is no query (empty, too long, ...).
        """
        said = self._said(context)
        decision = self._known.get((text, said))
        if decision is None:
            _require_queries([text])
            decision = self._fresh(self._query(text, said))
            self._known.put((text, said), decision)
        return decision

    def decide_many(self, texts: Sequence[str], contexts: Contexts | None = None) -> list[Decision]:
        """One decision per text, in order; each depends on its own text and context alone. Raises as `decide` does."""
        _require_queries(texts)
        pairs = list(zip(texts, contexts or [()] * len(texts), strict=True))
        return _each(lambda pair: self.decide(*pair), pairs)

    def read(self, texts: Sequence[str], contexts: Contexts | None = None, *, tier: int = -1) -> CompiledReading:
        """What one tier, the last unless another is named by its place, makes of n texts.

        Raises PolicyError for a text that is no query.
        """
        _require_queries(texts)
        at, reader = tier % len(self.tiers), self.tiers[tier]
        pairs = list(zip(texts, contexts or [()] * len(texts), strict=True))
        found = _each(lambda pair: self._seen(at, self._query(pair[0], self._said(pair[1]))), pairs)
        rows = np.array([p for p, _ in found]).reshape(len(texts), self.layout.width)
        distance = np.array([distance for _, distance in found])
        novelty = np.round(reader.novelty.rank_of(distance), DECIMALS)
        return CompiledReading(tier=reader, rows=rows, distance=distance, novelty=novelty)

    def decisions(self, reading: CompiledReading) -> list[Decision]:
        """Apply the policy of the tier that read them to n texts."""
        one = reading.tier.choosing
        return [
            one.decision(p, novelty) for p, novelty in zip(reading.rows.tolist(), reading.novelty.tolist(), strict=True)
        ]

    def stands(self, decision: Decision, *, tier: int) -> bool:
        """Whether that tier's decision is kept: the last one's always, another's if it is sure enough and needs no care."""
        if tier == len(self.tiers) - 1:
            return True
        return decision.rule not in CAREFUL and decision.confidence >= self.tiers[tier].answers_above

    def _sentence(self, tier: Tier, text: str) -> Matrix:
        return tier.scores.sentence(self._tokens.of(text))

    def _said(self, context: Sequence[str]) -> tuple[str, ...]:
        """The messages of a context that count."""
        return tuple(context[-LOOK_BACK:]) if context and self.looks_back else ()

    def _query(self, text: str, said: tuple[str, ...]) -> Query:
        return Query(text, said, self._tokens.of(text), self._sparse.logits(text))

    def _fresh(self, query: Query) -> Decision:
        for at, tier in enumerate(self.tiers):
            p, distance = self._seen(at, query)
            novelty = round(float(tier.novelty.rank_of(np.array([distance]))[0]), DECIMALS)
            decision = tier.choosing.decision(p, novelty)
            if self.stands(decision, tier=at):
                break
        return decision

    def _seen(self, at: int, query: Query) -> tuple[list[float], float]:
        """(width,) probabilities with 6 decimals of one query in one tier, and its distance to the training queries."""
        tier, width = self.tiers[at], self.layout.width
        logits = query.logits[at * width : (at + 1) * width]
        sentences = self._sentences.get(tier.name)
        if tier.earlier is not None and sentences is not None and query.said:
            logits = logits + tier.earlier.of(query.text, earlier_rows([query.said], sentences)[0])
        seen = tier.scores(query.ids, logits)
        if sentences is not None:
            sentences.remember(query.text, seen.sentence)
        distance = tier.novelty.distance_among(seen.row, seen.about, slack=seen.slack)
        return np.round(seen.probabilities, DECIMALS).tolist(), distance


def _each(call: Callable[[Given], Found], given: Sequence[Given]) -> list[Found]:
    if len(given) < IN_PARALLEL_FROM:
        return [call(one) for one in given]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(call, given))


def _require_queries(texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        problem = text_problem(text)
        if problem:
            raise PolicyError(
                f"query {position + 1} of {len(texts)} {problem}. Check a file with `weighbridge data check`."
            )
