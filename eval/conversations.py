"""Where a conversation stood before its last message: the routes that a router with a price on changes gives the messages before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.earlier import Contexts
from router.pipeline import Router
from router.policy import Choices
from router.stickiness import NONE, sticky


def routes_before(router: Router, contexts: Contexts) -> list[int]:
    """Of n queries the number, in table order, of the route that their conversation was on; `NONE` where one begins.

    contexts: the user's earlier messages of each, oldest first. Every message is decided in the context of those before
    it, the first ones of all conversations at once, then the second ones.
    """
    before = [NONE] * len(contexts)
    for depth in range(max(map(len, contexts), default=0)):
        at = [i for i, said in enumerate(contexts) if len(said) > depth]
        texts, earlier = [contexts[i][depth] for i in at], [contexts[i][:depth] for i in at]
        choices = decided(router, texts, earlier, [before[i] for i in at])
        for i, route in zip(at, choices.route.tolist(), strict=True):
            before[i] = route
    return before


def decided(router: Router, texts: Sequence[str], contexts: Contexts, previous: Sequence[int]) -> Choices:
    """What becomes of n messages of conversations that were on the routes `previous`."""
    reading = router.read(texts, contexts)
    choices = router.policy.choose(reading.probabilities, novelty=np.asarray(reading.novelty))
    return sticky(router.policy, reading.probabilities, choices, previous)
