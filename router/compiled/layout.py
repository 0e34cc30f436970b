"""Where each head's columns stand when all heads are laid side by side, and what they were fitted to do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from router.calibration import Calibration, Isotonic, Temperature
from router.features import DOMAIN_SCALE, SMALLEST_PROBABILITY
from router.heads import Head
from router.pipeline import Router

Floats = npt.NDArray[np.float64]
YES = 1  # the column of "yes" in the two of an also-head


@dataclass(frozen=True)
class Layout:
    """The columns of one row of logits: the heads of the card in its order, then two columns for each desk of `also`."""

    heads: Mapping[str, tuple[str, ...]]
    domain: str
    also: tuple[str, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many columns each head has, the desks' after the card's."""
        return (*(len(classes) for classes in self.heads.values()), *(2 for _ in self.also))

    @cached_property
    def starts(self) -> npt.NDArray[np.intp]:
        """(number of heads,) the first column of each."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.intp)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """The columns of each head."""
        return tuple(slice(int(a), int(a) + size) for a, size in zip(self.starts, self.sizes, strict=True))

    @property
    def width(self) -> int:
        """Columns in all."""
        return sum(self.sizes)

    @cached_property
    def domain_at(self) -> int:
        """The place of the domain head among the heads."""
        return list(self.heads).index(self.domain)

    def split(self, p: Floats) -> tuple[dict[str, Floats], Floats]:
        """(n, width) probabilities as head -> (n, k), and the (n, number of also-heads) P(yes)."""
        named = {name: p[:, span] for name, span in zip(self.heads, self.spans, strict=False)}
        return named, p[:, self.starts[len(self.heads) :] + YES]


@dataclass(frozen=True)
class Stack:
    """The heads of one fitted router in the order of a layout; what they weigh, as matrices over all columns."""

    layout: Layout
    heads: tuple[Head, ...]

    def block(self, name: str, rows: int) -> Floats:
        """(rows, width) the weights of one block; zeros where a head does without it."""
        weights = np.zeros((rows, self.layout.width))
        for head, span in zip(self.heads, self.layout.spans, strict=True):
            if name in head.weights:
                weights[:, span] = head.weights[name]
        return weights

    @property
    def intercept(self) -> Floats:
        """(width,)."""
        return np.concatenate([head.intercept.astype(np.float64) for head in self.heads])

    @property
    def domain_weights(self) -> Floats:
        """(k, width) what ln max(P(domain), floor) adds to all logits: scaling and centring are folded in."""
        k = self.layout.sizes[self.layout.domain_at]
        centred = (np.eye(k) - 1.0 / k) * DOMAIN_SCALE
        return centred @ self.block("domain", k)

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """One per head."""
        return tuple(head.calibration for head in self.heads)


def stack_of(router: Router) -> Stack:
    """The stack of a fitted router."""
    layout = Layout(
        heads=router.classes,
        domain=router.table.policy.domain_head,
        also=tuple(entry.head.name for entry in router.also),
    )
    return Stack(layout, (*router.heads.values(), *(entry.head for entry in router.also)))


@dataclass(frozen=True)
class Tail:
    """From logits without the domain's share to calibrated probabilities, all heads at once, in NumPy.

    domain_weights: (k, width) as `Stack.domain_weights`.   calibrations: one per head.
    """

    layout: Layout
    domain_weights: Floats
    calibrations: tuple[Calibration, ...]

    @cached_property
    def _per_degree(self) -> Floats:
        """(width,) 1/t of each column; 1 for a head of another calibration."""
        t = [entry.t if isinstance(entry, Temperature) else 1.0 for entry in self.calibrations]
        return np.repeat(1.0 / np.array(t), self.layout.sizes)

    def probabilities(self, logits: Floats) -> Floats:
        """(n, width) -> (n, width); the columns of each head sum to 1."""
        at = self.layout.domain_at
        span = self.layout.spans[at]
        domain = self.calibrations[at].apply(logits[:, span])
        whole = logits + np.log(np.maximum(domain, SMALLEST_PROBABILITY)) @ self.domain_weights
        scaled = whole * self._per_degree
        starts, sizes = self.layout.starts, self.layout.sizes
        powers = np.exp(scaled - np.repeat(np.maximum.reduceat(scaled, starts, axis=1), sizes, axis=1))
        p: Floats = powers / np.repeat(np.add.reduceat(powers, starts, axis=1), sizes, axis=1)
        for entry, part in zip(self.calibrations, self.layout.spans, strict=True):
            if isinstance(entry, Isotonic):
                p[:, part] = entry.apply(whole[:, part])
        return p
