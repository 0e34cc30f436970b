"""Where a conversation stood before its last message: the routes of the messages before it, where a change of route has a price."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from router.earlier import Contexts
from router.pipeline import Router
from router.policy import Choices
from router.stickiness import NONE, sticky

Decide = Callable[[Sequence[str], Contexts, Sequence[int]], Choices]  # texts, what was said before, the routes so far


def routes_before(decide: Decide, contexts: Contexts) -> list[int]:
    """Of n queries the number, in table order, of the route that their conversation was on; `NONE` where one begins.

    contexts: the user's earlier messages of each, oldest first. Every message is decided in the context of those before
    it, the first ones of all conversations at once, then the second ones.
    """
    before = [NONE] * len(contexts)
    for depth in range(max(map(len, contexts), default=0)):
        at = [i for i, said in enumerate(contexts) if len(said) > depth]
        texts, earlier = [contexts[i][depth] for i in at], [contexts[i][:depth] for i in at]
        for i, route in zip(at, decide(texts, earlier, [before[i] for i in at]).route.tolist(), strict=True):
            before[i] = route
    return before


def deciding(router: Router) -> Decide:
    """How a router decides messages of conversations that were on known routes."""

    def decide(texts: Sequence[str], contexts: Contexts, previous: Sequence[int]) -> Choices:
        reading = router.read(texts, contexts)
        choices = router.policy.choose(reading.probabilities, novelty=reading.novelty)
        return sticky(router.policy, reading.probabilities, choices, previous)

    return decide
