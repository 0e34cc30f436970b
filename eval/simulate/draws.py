"""Draws of what is assumed: each draw is one world in which every uncertain number has a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.simulate.scenario import Scenario, assumptions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """s worlds.

    values: name of an assumption -> (s,).   mix: (s, k) shares of the classes.   sends: (s, k, r) where the router sends
    each.   luck: seed of the month's own chance, None where there is none.
    """

    values: Mapping[str, Floats]
    mix: Floats
    sends: Floats
    luck: int | None

    def __len__(self) -> int:
        return len(self.mix)

    def with_values(self, changed: Mapping[str, Floats]) -> Draws:
        """The same worlds with other values of some assumptions; for fixed ones, shares and `sends` stay as they are."""
        return replace(self, values={**self.values, **changed})


def central(scenario: Scenario, size: int = 1) -> Draws:
    """`size` equal worlds in which every assumption has its median, and no luck."""
    z = np.zeros(size)
    values = {name: entry.at(z) for name, entry in assumptions(scenario).items()}
    mix = np.repeat(_central_mix(scenario)[None], size, axis=0)
    return Draws(values=values, mix=mix, sends=sends_at(scenario, values["router.accuracy"], mix), luck=None)


def sample(scenario: Scenario, size: int, *, seed: int) -> Draws:
    """`size` worlds drawn independently. Same scenario and seed, same worlds."""
    found = assumptions(scenario)
    rng = np.random.default_rng([seed, 1])
    # one stream per assumption, in the order of their names: a new assumption does not move the others' draws
    streams = {name: np.random.default_rng([seed, 2, *name.encode()]) for name in found}
    values = {name: entry.at(streams[name].standard_normal(size)) for name, entry in found.items()}
    mix = mix_of(scenario, values)
    if scenario.mix_n is not None:
        gamma = rng.standard_gamma(np.broadcast_to(mix * scenario.mix_n, mix.shape))
        mix = gamma / np.maximum(gamma.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    sends = sends_at(scenario, values["router.accuracy"], mix)
    if scenario.counts is not None:
        sends = _counted(scenario, rng, sends)
    return Draws(values=values, mix=mix, sends=sends, luck=seed if scenario.chance else None)


def mix_of(scenario: Scenario, values: Mapping[str, Floats]) -> Floats:
    """(s, k) the classes' shares, made whole."""
    shares = np.stack([values[f"queries.{entry.name}.share"] for entry in scenario.queries], axis=1)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def sends_at(scenario: Scenario, accuracy: Floats, mix: Floats) -> Floats:
    """(s, k, r) where the router sends each class: as a query says itself, else as counted, else by the accuracy.

    What the router gets wrong goes to the roads of the other classes, by their shares.
    """
    size, needs, count = len(mix), scenario.needs, len(scenario.routes)
    sends = np.zeros((size, len(needs), count))
    counted = counted_at(scenario)
    for k, entry in enumerate(scenario.queries):
        if entry.sends is not None:
            for name, share in entry.sends.items():
                sends[:, k, scenario.route_names.index(name)] = share
        elif counted is not None:
            sends[:, k] = counted[k] / counted[k].sum()
        else:
            others = np.zeros((size, count))
            for other in range(len(needs)):
                if needs[other] != needs[k]:
                    others[:, needs[other]] += mix[:, other]
            total = others.sum(axis=1, keepdims=True)
            right = np.where(total[:, 0] > 0, accuracy, 1.0)
            sends[:, k] = (1.0 - right)[:, None] * np.divide(others, total, out=np.zeros_like(others), where=total > 0)
            sends[:, k, needs[k]] += right
    return sends


def counted_at(scenario: Scenario, position: int | None = None) -> Floats | None:
    """(k, r) the counts at one of the counted thresholds, the scenario's own by default; None where nothing was counted."""
    if scenario.counts is None:
        return None
    at = scenario.counts.nearest(scenario.router.threshold) if position is None else position
    open_ = [k for k, entry in enumerate(scenario.queries) if entry.sends is None]
    found = np.ones((len(scenario.queries), len(scenario.routes)))  # never read where a query says itself where it goes
    if open_:
        found[open_] = scenario.counts.onto([scenario.class_names[k] for k in open_], scenario.route_names)[at]
    return found


def _counted(scenario: Scenario, rng: np.random.Generator, sends: Floats) -> Floats:
    """Shares as uncertain as their counts leave them (a Dirichlet of the counts), where no query says them itself."""
    counted = counted_at(scenario)
    assert counted is not None
    gamma = rng.standard_gamma(np.broadcast_to(counted, sends.shape))
    drawn = gamma / np.maximum(gamma.sum(axis=2, keepdims=True), np.finfo(np.float64).tiny)
    stated = np.array([entry.sends is not None for entry in scenario.queries])
    return np.where(stated[None, :, None], sends, drawn)


def _central_mix(scenario: Scenario) -> Floats:
    shares = np.array([entry.share.value for entry in scenario.queries])
    return np.asarray(shares / shares.sum())
