"""Within a conversation the route stays, unless another is better by more than the change costs.

A change throws away the prompt cache of the model that answered so far, and the user hears another voice: `switch_usd` of the
route table. So a label policy's new route stands only where the money that it is expected to save exceeds that. What a route
is expected to cost by being wrong comes from the policy's own two prices:

    the cheap route    P(not cheap) x wrong_cheap_usd
    a desk             P(cheap) x wrong_dear_usd + P(not cheap) (1 - P(its domain)) x wrong_cheap_usd

The rules that are about safety (novel, danger, unsure) are never overruled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError
from router.policy import RULES, STAYS, Choices, LabelPolicy

Floats = npt.NDArray[np.float64]
FREE = tuple(RULES.index(name) for name in ("cheap", "out-of-scope", "no-desk", "desk"))  # rules that may be overruled
NONE = -1  # the previous route of a query that begins a conversation


def right_probability(policy: LabelPolicy, probabilities: Mapping[str, Floats]) -> Floats:
    """(n, number of routes) the probability that a query's labels lead there; 0 for a route without a desk."""
    table, spec = policy.table, policy.table.policy
    cheap = policy.cheap_probability(probabilities)
    domain = probabilities[spec.domain_head]
    desk_of = table.desk_index(policy.classes[spec.domain_head])
    mine = np.stack([domain[:, desk_of == place].sum(axis=1) for place in range(len(table.routes))], axis=1)
    right: Floats = (1.0 - cheap)[:, None] * mine
    right[:, table.names.index(table.cheap)] = cheap
    return right


def expected_wrong_usd(policy: LabelPolicy, probabilities: Mapping[str, Floats]) -> Floats:
    """(n, number of routes) dollars that each route is expected to lose on each query by being the wrong one.

    A route without a desk that is not the cheap one loses as a desk whose domain is never meant.
    """
    return _wrong_usd(policy, policy.cheap_probability(probabilities), right_probability(policy, probabilities))


def _wrong_usd(policy: LabelPolicy, cheap_p: Floats, right: Floats) -> Floats:
    table, spec, cheap = policy.table, policy.table.policy, cheap_p[:, None]
    loss: Floats = cheap * spec.wrong_dear_usd + (1.0 - cheap - right) * spec.wrong_cheap_usd
    loss[:, table.names.index(table.cheap)] = (1.0 - cheap_p) * spec.wrong_cheap_usd
    return loss


def sticky(
    policy: LabelPolicy,
    probabilities: Mapping[str, Floats],
    choices: Choices,
    previous: Sequence[int],
    *,
    switch_usd: float | None = None,
) -> Choices:
    """What becomes of n choices whose conversations were on the routes `previous`: the policy's own, or the previous route.

    previous: n numbers of routes in table order, `NONE` where a conversation begins.   switch_usd: what a change costs, the
    route table's unless told. Raises PolicyError for a negative cost or rows that disagree.
    """
    usd = policy.table.policy.switch_usd if switch_usd is None else switch_usd
    if not usd >= 0.0:
        raise PolicyError(f"`switch_usd` is {usd}; wanted dollars a change, at least 0.")
    if len(previous) != len(choices.route):
        raise PolicyError(f"{len(previous)} previous routes for {len(choices.route)} queries; wanted one for each.")
    if usd == 0.0:
        return choices
    before = np.asarray(previous, dtype=np.intp)
    rows = np.arange(len(before))
    right = right_probability(policy, probabilities)
    loss = _wrong_usd(policy, policy.cheap_probability(probabilities), right)
    gain = loss[rows, np.maximum(before, 0)] - loss[rows, choices.route]
    stays = (before != NONE) & (before != choices.route) & np.isin(choices.rule, FREE) & (gain <= usd)
    return Choices(
        route=np.where(stays, before, choices.route),
        rule=np.where(stays, RULES.index(STAYS), choices.rule),
        confidence=np.where(stays, right[rows, np.maximum(before, 0)], choices.confidence),
    )


def stays_on(
    policy: LabelPolicy, probabilities: Mapping[str, Mapping[str, float]], *, route: str, rule: str, previous: str
) -> float | None:
    """The confidence of staying on `previous`, where one decision is overruled; None where it stands.

    probabilities: head -> label -> p.   A previous route that the table does not have is none.
    """
    names = policy.table.names
    if previous not in names or policy.table.policy.switch_usd == 0.0:
        return None
    rows = {head: np.array([[p[label] for label in policy.classes[head]]]) for head, p in probabilities.items()}
    own = Choices(route=np.array([names.index(route)]), rule=np.array([RULES.index(rule)]), confidence=np.zeros(1))
    found = sticky(policy, rows, own, [names.index(previous)])
    return float(found.confidence[0]) if found.rule[0] == RULES.index(STAYS) else None
