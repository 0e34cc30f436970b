"""From the road that was decided to the answers that are paid for: failures and fallbacks, hand-offs, helping desks, re-asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from eval.simulate.scenario import Scenario
from eval.simulate.use import FIRST, SAME, SWITCHED
from router.errors import DataError

Floats = npt.NDArray[np.float64]
MOST_PROVIDERS = 6  # that may be down: every combination of them is looked at
NOISE = 1e-12  # of sums of shares that add up to 1
FOR_EVER = 1e-9  # P(a person stops asking) below which nobody does


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answering:
    """What becomes of a query decided for route r.

    served: (s, r, r) P(route r' answers).   paid: (s, r, r) whole answers that are paid for at r', failed ones by the part
    that is billed. What no road answers gets a fixed message.   given_up: provider -> the same, knowing that it is up.
    """

    served: Floats
    paid: Floats
    given_up: Mapping[str, Answering] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """What one policy makes of the messages of a month, per message.

    answers: (s, k, r, 3) whole answers paid for, by class, route and state.   good: (s, k) messages whose first answer was
    good (a hand-off's second one counts).   unanswered, reasks: (s,).   roads: (s, k, r) where it was decided to go.
    """

    answers: Floats
    good: Floats
    unanswered: Floats
    reasks: Floats
    roads: Floats


def answering(scenario: Scenario, *, failed: Floats, down: dict[str, Floats], size: int) -> Answering:
    """Follow every route's fallbacks to their end, over every combination of providers that are up or down.

    failed: (s, r) P(one attempt fails).   down: provider -> (s,) share of the month that it is down.
    Raises DataError for more than 6 providers that may be down.
    """
    found = _answering(scenario, failed=failed, down=down, size=size)
    nothing = np.zeros(size)
    given_up = {
        name: _answering(scenario, failed=failed, down={**down, name: nothing}, size=size) if name in down else found
        for name in {route.provider for route in scenario.routes}
    }
    return replace(found, given_up=given_up)


def _answering(scenario: Scenario, *, failed: Floats, down: Mapping[str, Floats], size: int) -> Answering:
    risky = [name for name, share in down.items() if share.max() > 0]
    if len(risky) > MOST_PROVIDERS:
        raise DataError(f"{len(risky)} providers have outages; wanted {MOST_PROVIDERS} at most. Leave some out.")
    names, count = scenario.route_names, len(scenario.routes)
    served, paid = np.zeros((size, count, count)), np.zeros((size, count, count))
    for state in product((False, True), repeat=len(risky)):
        dark = dict(zip(risky, state, strict=True))
        chance = np.ones(size)
        for name, is_down in dark.items():
            chance = chance * (down[name] if is_down else 1.0 - down[name])
        for start in range(count):
            reach, at = chance, start
            while True:
                route = scenario.routes[at]
                if not dark.get(route.provider, False):
                    attempts = np.stack([failed[:, at] ** i for i in range(1, route.retries + 2)])
                    lost = attempts[-1]
                    served[:, start, at] += reach * (1.0 - lost)
                    paid[:, start, at] += reach * (1.0 - lost + route.billed_when_failed * attempts.sum(axis=0))
                    reach = reach * lost
                if route.fallback is None:
                    break
                at = names.index(route.fallback)
    return Answering(served=served, paid=paid)


def quality(scenario: Scenario, strength: Floats, levels: dict[str, Floats], *, size: int) -> Floats:
    """(s, k, r) P(good answer) of each class on each route.

    strength: (r,) of the routes.   levels: right, weak, strong, sideways -> (s,). What a route's `good` says wins.
    """
    needs = scenario.needs
    good = np.empty((size, len(scenario.queries), len(scenario.routes)))
    for k, entry in enumerate(scenario.queries):
        for r, route in enumerate(scenario.routes):
            if entry.name in route.good:
                good[:, k, r] = route.good[entry.name]
                continue
            there, wanted = strength[r], strength[needs[k]]
            rule = (
                "right" if r == needs[k] else "weak" if there < wanted else "strong" if there > wanted else "sideways"
            )
            good[:, k, r] = levels[rule]
    return good


def serve(
    scenario: Scenario,
    weights: Floats,
    ways: Answering,
    good: Floats,
    *,
    again: Floats,
    handoff: Floats,
    reask: Floats,
) -> Served:
    """Everything that follows from where messages were decided to go.

    weights: (s, k, r, 3) from `message_weights`.   good: (s, k, r).   again: (k, r, r) from the road of a bad answer to the
    road of the second try; a third goes where the second went.   handoff: (s, r) P(a road that got another's query hands
    it over).   reask: (s,). Raises DataError where people would ask for ever.
    """
    first = _Try(scenario, ways, good, handoff)
    roads = weights.sum(axis=3)
    bad = roads * (1.0 - first.good_on)
    asked = (
        reask[:, None, None, None] * bad[..., None] * again
    )  # (s, k, r, r): where a bad answer was, where it is tried again
    stays = np.einsum("skrr->skr", asked)
    once = asked.sum(axis=2)
    left = 1.0 - reask[:, None, None] * (1.0 - first.good_on)  # P(a second try is not followed by a third)
    if ((left < FOR_EVER) & (once > 0)).any():
        raise DataError(
            "[bad_answer]: after some bad answers people would ask for ever: `reask` is 1 where no answer is ever good; wanted"
            " less. Write reask = 0.9, or say how often answers there are good."
        )
    tries = np.divide(once, left, out=np.zeros_like(once), where=once > 0)
    second = np.zeros(weights.shape)
    second[..., SAME] = stays + (tries - once)
    second[..., SWITCHED] = np.maximum(once - stays, 0.0)
    lost = roads.sum(axis=(1, 2)) - np.einsum("skr,srq->s", roads, ways.served)
    return Served(
        answers=first.answers(weights) + first.answers(second),
        good=(roads * first.good_on).sum(axis=2),
        unanswered=np.where(lost > NOISE, lost, 0.0),
        reasks=tries.sum(axis=(1, 2)),
        roads=roads,
    )


class _Try:
    """What one try leads to, wherever it was decided to go: a hand-off to the road that is needed, and desks that help.

    good_on: (s, k, r) P(good answer) of a query of class k that was decided for r. A road that stands in for another
    hands nothing over.
    """

    def __init__(self, scenario: Scenario, ways: Answering, good: Floats, handoff: Floats) -> None:
        needs, rows = scenario.needs, np.arange(len(scenario.queries))
        self._scenario, self._ways = scenario, ways
        elsewhere = np.ones(good.shape[1:])
        elsewhere[rows, needs] = 0.0
        own = np.einsum("srr->sr", ways.served)
        self._handed = own[:, None, :] * handoff[:, None, :] * elsewhere  # (s, k, r) of what is decided for r
        answered = np.einsum("srq,skq->skr", ways.served, good)
        # the provider that has just answered is up, and the road that is needed may be its own
        after = {
            name: np.einsum("srq,skq->skr", given.served, good)[:, rows, needs] for name, given in ways.given_up.items()
        }
        right = np.stack([after[route.provider] for route in scenario.routes], axis=2)
        self.good_on = answered - self._handed * good + self._handed * right

    def answers(self, weights: Floats) -> Floats:
        """(s, k, r, 3) whole answers that are paid for."""
        needs, rows = self._scenario.needs, np.arange(len(self._scenario.queries))
        handed = weights * self._handed[..., None]
        total = _paid(weights + _helpers(self._scenario, weights), self._ways.paid)
        for name, given in self._ways.given_up.items():
            its = [r for r, route in enumerate(self._scenario.routes) if route.provider == name]
            on = np.zeros(weights.shape)
            on[:, rows, needs, FIRST] = handed[:, :, its, FIRST].sum(axis=2)
            on[:, rows, needs, SWITCHED] = handed[:, :, its, SAME:].sum(axis=(2, 3))
            total += _paid(on + _helpers(self._scenario, on), given.paid)
        return total


def _paid(weights: Floats, paid: Floats) -> Floats:
    """(s, k, r, 3) answers that are paid for; on another road than the one decided for, no cache holds the history."""
    own = np.einsum("srr->sr", paid)[:, None, :, None]
    others = paid * (1.0 - np.eye(paid.shape[1]))
    out: Floats = weights * own
    out[..., FIRST] += np.einsum("skr,srq->skq", weights[..., FIRST], others)
    out[..., SWITCHED] += np.einsum("skr,srq->skq", weights[..., SAME] + weights[..., SWITCHED], others)
    return out


def _helpers(scenario: Scenario, weights: Floats) -> Floats:
    """(s, k, r, 3) further routes at work on the queries that are on the road they need."""
    extra = np.zeros(weights.shape)
    for k, entry in enumerate(scenario.queries):
        at = weights[:, k, scenario.needs[k]]
        for name, share in entry.also.items():
            helper = scenario.route_names.index(name)
            extra[:, k, helper, FIRST] += share * at[:, FIRST]
            extra[:, k, helper, SWITCHED] += share * (at[:, SAME] + at[:, SWITCHED])
    return extra
