"""Which road each message takes, and whether the message before it took the same one: a conversation as a Markov chain.

A conversation's length is geometric. A follow-up is of the class of the message before it with probability `same_need`,
else drawn from the mix; it stays on the road before with probability `stickiness`, else the router decides afresh. The
joint distribution over all messages solves a linear equation and needs no sampling (docs/simulator.md derives it).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.simulate.use import FIRST, SAME, SWITCHED

Floats = npt.NDArray[np.float64]


def message_weights(mix: Floats, sends: Floats, *, messages: Floats, same_need: Floats, stickiness: Floats) -> Floats:
    """(s, k, r, 3) the share of messages of class k that go to route r as a first message, on the same road, or on a new one.

    mix: (s, k) shares.   sends: (s, k, r) where the router sends each class.   messages (mean per conversation), same_need,
    stickiness: (s,). Each draw adds up to 1, and over routes and states to the mix.
    """
    fresh = mix[:, :, None] * sends
    follow, need, stay = (column[:, None, None] for column in (1.0 - 1.0 / messages, same_need, stickiness))
    road = fresh.sum(axis=1, keepdims=True)  # (s, 1, r): every message's road, sticky or not, has this marginal
    drawn = (1.0 - need) * mix[:, :, None] * road
    joint = ((1.0 - follow * stay) * fresh + follow * stay * drawn) / (1.0 - follow * stay * need)
    before = need * joint + drawn  # (s, k, r): the class of a follow-up and the road of the message before it
    again = before * sends  # decided afresh, and on the same road all the same
    weights = np.empty((*fresh.shape, 3))
    weights[..., FIRST] = (1.0 - follow) * fresh
    weights[..., SAME] = follow * (stay * before + (1.0 - stay) * again)
    weights[..., SWITCHED] = follow * (1.0 - stay) * np.maximum(fresh - again, 0.0)
    return weights
