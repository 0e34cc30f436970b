"""Outcome routers side by side: the same parts, the same embeddings, the same expected costs for all.

A router learns from each part's training queries and gives values for the queries that the part holds out; the values of
all parts are pooled and judged together (`eval.board`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from router.baselines.outcomes import ROUTERS, OutcomeRouter, Queries, user_routers
from router.boilerplate import learn_boilerplate
from router.encoders.protocol import Encoder
from router.errors import DataError, FitError
from router.fitting import folds as deal_folds
from router.outcome_checks import OnStraddle, require_no_straddle, with_costs_filled
from router.outcomes import Outcomes
from router.success.contender import Weighbridge
from router.success.costs import fit_costs
from router.success.principal import Principal
from router.success.space import fit_space

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
OURS, ORACLE = "weighbridge", "oracle"
FOLDS = 5
TIMED = 200  # queries that are decided one call at a time, to time a decision

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How queries are dealt. kind: "folds" or "split".   parts: (training positions, judged positions) of each part."""

    kind: str
    parts: tuple[tuple[Ints, Ints], ...]
    description: Mapping[str, Any]


def protocol_of(
    outcomes: Outcomes, *, folds: int | None, seed: int, on_straddle: OnStraddle
) -> tuple[Outcomes, Protocol]:
    """`folds` where given; else the table's own split; else five folds. Equal texts stay together.

    Judged are the queries that every model answered. Returns the table that the positions refer to, which lacks what
    `on_straddle` drops. Raises DataError where nothing is left to learn from or to judge.
    """
    splits = set(outcomes.split)
    if folds is None and {"train", "test"} <= splits:
        whole = replace(outcomes, split=tuple(name or "train" for name in outcomes.split))
        kept = require_no_straddle(whole, on_straddle)
        test = np.array([name == "test" for name in kept.split])
        parts = [(np.flatnonzero(~test), np.flatnonzero(test & kept.complete))]
        kind, how = "split", "the table's own split; fitted on all that is not test"
    else:
        kept = outcomes
        dealt = deal_folds(kept.unit.tolist(), seed=seed, k=folds or FOLDS)
        numbers = np.unique(dealt).tolist()
        parts = [(np.flatnonzero(dealt != k), np.flatnonzero((dealt == k) & kept.complete)) for k in numbers]
        kind, how = "folds", f"{len(numbers)} folds, equal texts in one; held-out values pooled"
    if min(min(len(train), len(test)) for train, test in parts) == 0:
        raise DataError(
            f"outcomes {outcomes.name!r}: a part has no query to learn from, or none that every model answered."
            " See `weighbridge data check`, or name fewer models with `--models`."
        )
    return kept, Protocol(
        kind=kind, parts=tuple(parts), description={"kind": kind, "how": how, "seed": seed, "parts": len(parts)}
    )


def choose_routers(names: str) -> list[str]:
    """Read `--routers a,b` or `all` (with users' own). Raises DataError for a name that is not known."""
    known = [OURS, *ROUTERS, *user_routers(), ORACLE]
    if names == "all":
        return known
    chosen = [name.strip() for name in dict.fromkeys(names.split(",")) if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise DataError(
            f"--routers has {unknown[0] if unknown else names!r}; wanted `all` or some of {', '.join(known)}."
        )
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One router's values for the judged queries.

    value: (n, m), None where the router could not take part, and `reason` says why.   fit_s: seconds of all fits.
    decide_us: median microseconds from embedding to values, one query at a time.   chosen: what it chose for itself.
    """

    router: str
    allowed: bool
    probabilities: bool
    value: Floats | None
    fit_s: float | None = None
    decide_us: float | None = None
    reason: str | None = None
    chosen: Sequence[Mapping[str, Any]] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    train: Outcomes
    judged: Ints
    learn: Queries
    ask: Queries


class Contest:
    """The table, dealt and embedded once; `run` puts one router through it."""

    def __init__(self, outcomes: Outcomes, protocol: Protocol, encoder: Encoder, *, seed: int) -> None:
        outcomes.require_trainable("weighbridge compare")
        self.seed, self.protocol = seed, protocol
        filled = [with_costs_filled(outcomes, train) for train, _ in protocol.parts]
        judged = [table.cost_usd[own] for table, (_, own) in zip(filled, protocol.parts, strict=True)]
        self.judged_index = np.concatenate([own for _, own in protocol.parts])
        self.judged = replace(outcomes.rows(self.judged_index), cost_usd=np.vstack(judged))
        self._parts = _dealt(filled, protocol, encoder)
        self.expected_usd = self._expected() if outcomes.has_cost else None

    def _expected(self) -> Floats:
        """(n, m) dollars that each judged call is expected to cost, learned from each part's training queries."""
        found = []
        for part in self._parts:
            space = fit_space(part.learn.texts, part.learn.embedding)
            principal = Principal(space.dense(part.learn.texts, part.learn.embedding))
            costs = fit_costs(principal, part.train.cost_usd)
            found.append(costs.expected_usd(space.dense(part.ask.texts, part.ask.embedding)))
        return np.vstack(found)

    def run(self, name: str, *, notify: Notify = lambda _: None) -> Entry:
        """Fit and ask one router, part by part. A table that the router cannot take gives an entry with the reason."""
        if name == ORACLE:
            return self._oracle()
        make = {OURS: lambda: Weighbridge(notify=notify), **ROUTERS, **user_routers()}[name]
        kind = make()
        values, fit_s, chosen = [], 0.0, []
        try:
            for number, part in enumerate(self._parts, start=1):
                notify(f"{name}: part {number} of {len(self._parts)}")
                start = time.perf_counter()
                router: OutcomeRouter = make().fit(_told(part.learn, kind.allowed), part.train, seed=self.seed)
                fit_s += time.perf_counter() - start
                ask = _told(part.ask, kind.allowed)
                values.append(_checked(router.predict(ask), name, len(ask), len(part.train.models)))
                if isinstance(router, Weighbridge):
                    chosen.append(dict(router.model_.fitted))
            decide_us = _timed(router, ask)
        except FitError as err:
            return Entry(
                router=name, allowed=kind.allowed, probabilities=kind.probabilities, value=None, reason=str(err)
            )
        return Entry(
            router=name,
            allowed=kind.allowed,
            probabilities=kind.probabilities,
            value=np.vstack(values),
            fit_s=round(fit_s, 3),
            decide_us=round(decide_us, 1),
            chosen=chosen,
        )

    def _oracle(self) -> Entry:
        """Knows every score beforehand. Among equal gains the order is drawn, as no router could know it."""
        drawn = np.random.default_rng(self.seed).uniform(-1e-6, 1e-6, self.judged.score.shape)
        return Entry(router=ORACLE, allowed=False, probabilities=False, value=self.judged.score + drawn)


def _dealt(filled: Sequence[Outcomes], protocol: Protocol, encoder: Encoder) -> list[_Part]:
    """Each part's queries without the boilerplate of its training prompts; every distinct text is embedded once.

    filled: the table once per part, its missing costs filled by that part's training queries.
    """
    outcomes, texts = filled[0], []
    for train, judged in protocol.parts:
        boilerplate = learn_boilerplate([outcomes.texts[i] for i in train])
        texts.append([boilerplate.strip(outcomes.texts[i]) for i in (*train, *judged)])
    distinct = list(dict.fromkeys(text for part in texts for text in part))
    rows = encoder.encode(distinct)
    position = {text: i for i, text in enumerate(distinct)}
    found = []
    for (train, judged), part, table in zip(protocol.parts, texts, filled, strict=True):
        index = np.array([position[text] for text in part], dtype=np.intp)
        everything = Queries(
            texts=part,
            embedding=rows[index],
            sentence_dim=encoder.spec.sentence_dim,
            dataset=[outcomes.dataset[i] for i in (*train, *judged)],
        )
        n = np.arange(len(part))
        found.append(
            _Part(
                train=table.rows(train),
                judged=judged,
                learn=everything.rows(n[: len(train)]),
                ask=everything.rows(n[len(train) :]),
            )
        )
    return found


def _told(queries: Queries, allowed: bool) -> Queries:
    """What a router sees: the data set's name only where it is not meant for use anyway."""
    return replace(queries, dataset=None) if allowed else queries


def _checked(value: Floats, name: str, n: int, m: int) -> Floats:
    if value.shape != (n, m) or not np.isfinite(value).all():
        raise FitError(
            f"router {name!r} gave values of shape {value.shape}, or some that are not finite; wanted {(n, m)}, finite."
            " Run it through tests/conformance/outcome_router.py."
        )
    return value


def _timed(router: OutcomeRouter, ask: Queries) -> float:
    taken = []
    for i in range(min(TIMED, len(ask))):
        one = ask.rows(np.array([i], dtype=np.intp))
        start = time.perf_counter()
        router.predict(one)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)) * 1e6
