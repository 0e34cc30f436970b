"""Within a conversation the route stays, unless another is better by more than the change costs.

A change throws away the prompt cache of the model that answered so far, and the user hears another voice. So a label
policy's new route stands only where the money that it is expected to save exceeds that cost. What a route is expected to
cost by being wrong comes from the policy's own two prices:

    the cheap route    P(not cheap) x wrong_cheap_usd
    a desk             P(cheap) x wrong_dear_usd + P(not cheap) (1 - P(its domain)) x wrong_cheap_usd

The rules that are about safety (novel, danger, unsure) are never overruled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError
from router.policy import RULES, Choices, LabelPolicy

Floats = npt.NDArray[np.float64]
FREE = tuple(RULES.index(name) for name in ("cheap", "out-of-scope", "no-desk", "desk"))  # rules that may be overruled
NONE = -1  # the previous route of a query that begins a conversation


def expected_wrong_usd(policy: LabelPolicy, probabilities: Mapping[str, Floats]) -> Floats:
    """(n, number of routes) dollars that each route is expected to lose on each query by being the wrong one.

    A route without a desk that is not the cheap one loses as a desk whose domain is never meant.
    """
    table, spec = policy.table, policy.table.policy
    cheap = policy.cheap_probability(probabilities)
    domain = probabilities[spec.domain_head]
    labels = policy.classes[spec.domain_head]
    desk_of = table.desk_index(labels)
    mine = np.stack([domain[:, desk_of == place].sum(axis=1) for place in range(len(table.routes))], axis=1)
    dear, bad = spec.wrong_dear_usd, spec.wrong_cheap_usd
    loss: Floats = cheap[:, None] * dear + (1.0 - cheap)[:, None] * (1.0 - mine) * bad
    loss[:, table.names.index(table.cheap)] = (1.0 - cheap) * bad
    return loss


def sticky(
    policy: LabelPolicy,
    probabilities: Mapping[str, Floats],
    choices: Choices,
    previous: Sequence[int],
    *,
    switch_usd: float,
) -> npt.NDArray[np.intp]:
    """(n,) the routes of n queries whose conversations were on `previous`: the policy's own, or the previous one.

    previous: n numbers of routes in table order, `NONE` where a conversation begins.   switch_usd: what a change costs.
    Raises PolicyError for a negative cost or rows that disagree.
    """
    if not switch_usd >= 0.0:
        raise PolicyError(f"`switch_usd` is {switch_usd}; wanted dollars a change, at least 0.")
    if len(previous) != len(choices.route):
        raise PolicyError(f"{len(previous)} previous routes for {len(choices.route)} queries; wanted one for each.")
    before = np.asarray(previous, dtype=np.intp)
    rows = np.arange(len(before))
    loss = expected_wrong_usd(policy, probabilities)
    gain = loss[rows, np.maximum(before, 0)] - loss[rows, choices.route]
    stays = (before != NONE) & np.isin(choices.rule, FREE) & (gain <= switch_usd)
    kept: npt.NDArray[np.intp] = np.where(stays, before, choices.route)
    return kept
