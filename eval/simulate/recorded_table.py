"""A recorded outcome table as a simulation needs it: whole rows that the router has not seen, and where each policy sends them.

A route of the scenario is a model of the table. What is left out on the way is counted, in sentences for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.evidence import FEWEST_UNITS
from eval.simulate.scenario import Baseline, Scenario
from router.errors import DataError
from router.outcome_checks import with_costs_filled
from router.outcome_policy import AnyPolicy
from router.outcome_router import ModelRouter
from router.outcomes import Outcomes, equal_texts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
IN_DOMAIN = "in-domain: what is learned on one table does not carry over to other traffic"
NOT_REPRICED = "prices: costs are as they were recorded, not as they would be billed in the month"
NOT_USED = "the scenario's shares, tokens, turns, caches, conversations, failures and outages: recorded calls stand in their place"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """Where a policy sends n queries: `choice` (n,) answers first, `again` (n,) a second try, by column of the table."""

    name: str
    choice: Ints
    again: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """n queries that every model answered at a known cost, and the policies in the order of every list: routed first.

    value, expected_usd: (n, m) what the router says of each
    call, None for dollars that it does not expect.   policy: its own.   left_out: sentences.
    """

    scenario: Scenario
    outcomes: Outcomes
    policies: tuple[Sent, ...]
    value: Floats
    expected_usd: Floats | None
    policy: AnyPolicy
    left_out: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.outcomes)

    def cells(self, table: Floats, column: Ints) -> Floats:
        """(n,) one cell of each row of an (n, m) table."""
        return np.asarray(table[np.arange(len(self)), column])

    def right(self, column: Ints) -> Bools:
        """(n,) whether no model answered a query better than the one in its column."""
        score = self.outcomes.score
        return np.asarray(self.cells(score, column) >= score.max(axis=1))

    def tries(self, sent: Sent, reask: float | Floats) -> Floats:
        """How often each query is expected to be asked again: (n,), or (s, n) for (s, 1) chances to ask again.

        reask·bad / (1 − reask·bad again): a person who asks again may do so once more.
        """
        bad, bad_again = (1.0 - self.cells(self.outcomes.score, column) for column in (sent.choice, sent.again))
        return np.asarray(reask * bad / (1.0 - reask * bad_again))


def recorded(scenario: Scenario, outcomes: Outcomes, router: ModelRouter | None) -> Recorded:
    """Choose the rows, fill missing costs as the router lab does, and ask the router and the baselines where they go.

    Rows: the test split where there is one; never what the router learned from or chose its policy on. Raises DataError
    without a router, for routes or baselines that the table cannot play, without costs, and where too few rows are left.
    """
    named = _named(scenario, outcomes)
    router = _fitting(scenario, outcomes, router)
    filled = with_costs_filled(named, np.arange(len(named)))
    kept, left_out = _unseen(named, router)
    part = _in_order(filled.rows(kept))
    missing = int((~np.isfinite(named.cost_usd[kept])).sum())
    if missing:
        left_out.append(
            f"costs that were not recorded: {missing:,} of {part.cost_usd.size:,}; the model's mean on the same data set stands"
            " for each"
        )
    if len(named.models) < len(outcomes.models):
        others = [model for model in outcomes.models if model not in named.models]
        left_out.append(f"models of the table that are no route of the scenario: {', '.join(others)}")
    said = router.scored(part)
    order = [router.models.index(model) for model in part.models]
    column = np.array([part.models.index(model) for model in router.models])
    routed = Sent(
        name="routed",
        choice=column[router.policy.choose(said.p, said.expected_usd).model],
        again=_needed(scenario, part),
    )
    return Recorded(
        scenario=scenario,
        outcomes=part,
        policies=(routed, *(_fixed(baseline, part) for baseline in scenario.baselines)),
        value=said.p[:, order],
        expected_usd=None if said.expected_usd is None else said.expected_usd[:, order],
        policy=router.policy,
        left_out=(*left_out, IN_DOMAIN, NOT_REPRICED, NOT_USED),
    )


def _named(scenario: Scenario, outcomes: Outcomes) -> Outcomes:
    """The table's columns that are routes of the scenario."""
    unknown = [name for name in scenario.route_names if name not in outcomes.models]
    if unknown:
        raise DataError(
            f"scenario {scenario.name!r}: no model {unknown[0]!r} in the outcome table {outcomes.name!r}; it has"
            f" {', '.join(outcomes.models)}. Name each of [[routes]] after one of them, or simulate without --outcomes."
        )
    shared = [baseline.name for baseline in scenario.baselines if baseline.sends]
    if shared:
        raise DataError(
            f"baseline {shared[0]!r} has `sends`; wanted, on recorded outcomes, a `route`, or neither for the best model of"
            " each query: a share of a class names no query. Take `sends` out, or simulate without --outcomes."
        )
    if scenario.bad_answer.reask.value >= 1:
        raise DataError(
            "[bad_answer]: reask is 1; wanted less: on recorded outcomes a query that is answered badly once may be so for"
            " ever. Write `reask = 0.9`, or less."
        )
    named = outcomes.only(scenario.route_names)
    if not named.has_cost:
        silent = [m for m, cost in zip(named.models, named.cost_usd.T, strict=True) if not np.isfinite(cost).any()]
        raise DataError(
            f"outcomes {named.name!r}: no cost of {', '.join(silent)} is recorded; wanted `cost_usd` of some calls of every"
            " route. Record it, take the route out, or simulate without --outcomes."
        )
    return named


def _fitting(scenario: Scenario, outcomes: Outcomes, router: ModelRouter | None) -> ModelRouter:
    """The router, where it decides between the scenario's routes."""
    if router is None:
        raise DataError(
            f"found the outcome table {outcomes.name!r} and no bundle; wanted a router over its models. Train one with"
            f" `weighbridge train --outcomes TABLE --models {','.join(scenario.route_names)} --out B`, then give"
            " `--bundle B` as well."
        )
    if set(router.models) != set(scenario.route_names):
        raise DataError(
            f"the bundle decides between {', '.join(router.models)}, scenario {scenario.name!r} between"
            f" {', '.join(scenario.route_names)}; wanted the same. Change [[routes]], or train again with"
            f" `weighbridge train --outcomes TABLE --models {','.join(scenario.route_names)} --out B`."
        )
    return router


def _unseen(outcomes: Outcomes, router: ModelRouter) -> tuple[Ints, list[str]]:
    """Positions of the rows that count, and what was left out, in sentences.

    Raises DataError where the rows that are left come from too few groups of equal texts.
    """
    kept, left_out = np.ones(len(outcomes), dtype=np.bool_), []
    elsewhere = np.array([name != "test" for name in outcomes.split], dtype=np.bool_)
    reasons: list[tuple[Bools, str]] = [
        (_seen(outcomes, router), "queries that the bundle learned from or chose its policy on"),
        (elsewhere if not elsewhere.all() else ~kept, "queries of other splits than test"),
        (~outcomes.complete, "queries that some model did not answer"),
    ]
    for out, words in reasons:
        count = int((kept & out).sum())
        kept &= ~out
        if count:
            left_out.append(f"{words}: {count:,}")
    units = len(np.unique(outcomes.unit[kept]))
    if units < FEWEST_UNITS:
        raise DataError(
            f"outcomes {outcomes.name!r}: {units} of {len(outcomes):,} queries are left, equal texts counted once; wanted"
            f" {FEWEST_UNITS} or more. Left out: {'; '.join(left_out) or 'none'}. Bring a table with rows of split test that"
            " the bundle has not seen."
        )
    return np.flatnonzero(kept), left_out


def _seen(outcomes: Outcomes, router: ModelRouter) -> Bools:
    """(n,) whether the router was fitted on a query's text, or its policy was chosen on this query.

    A bundle keeps its calibration queries without their texts: one is known by its id and what the models made of it.
    """
    learned = len(router.training)
    unit = equal_texts([*router.training.texts, *outcomes.texts])
    seen: Bools = np.isin(unit[learned:], unit[:learned])
    held = {name: i for i, name in enumerate(router.calibration.ids)}
    columns = [outcomes.models.index(model) for model in router.models]
    for i, name in enumerate(outcomes.ids):
        if name in held:
            same = np.array_equal(outcomes.score[i, columns], router.calibration.score[held[name]], equal_nan=True)
            seen[i] = seen[i] or same
    return np.isin(outcomes.unit, outcomes.unit[seen])


def _in_order(outcomes: Outcomes) -> Outcomes:
    """By id, equal texts numbered from 0: so the order of the table's rows changes no draw."""
    ordered = outcomes.rows(np.array(sorted(range(len(outcomes)), key=outcomes.ids.__getitem__), dtype=np.intp))
    number: dict[int, int] = {}
    unit = [number.setdefault(name, len(number)) for name in ordered.unit.tolist()]
    return replace(ordered, unit=np.array(unit, dtype=np.intp))


def _needed(scenario: Scenario, outcomes: Outcomes) -> Ints:
    """(n,) the model that each query's class needs: the class named like its data set, else the first one."""
    needs = {entry.name: outcomes.column(entry.needs) for entry in scenario.queries}
    first = outcomes.column(scenario.queries[0].needs)
    return np.array([needs.get(name or "", first) for name in outcomes.dataset], dtype=np.intp)


def _fixed(baseline: Baseline, outcomes: Outcomes) -> Sent:
    """A baseline: one model for all, else the cheapest of those that answered best. A second try goes where the first did."""
    if baseline.route is None:
        choice = outcomes.oracle()
    else:
        choice = np.full(len(outcomes), outcomes.column(baseline.route), dtype=np.intp)
    return Sent(name=baseline.name, choice=choice, again=choice)


def by_model(values: Floats, column: Ints, models: Sequence[str]) -> Floats:
    """(n, m) with each of n values in its query's column and 0 elsewhere."""
    table = np.zeros((len(column), len(models)))
    table[np.arange(len(column)), column] = values
    return table
