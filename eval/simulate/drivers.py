"""What matters most, and what would have to change: one assumption at a time, everything else at its median."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from eval.simulate.amounts import Z95, Assumption
from eval.simulate.draws import Draws, central, sends_at
from eval.simulate.engine import run_policy, world
from eval.simulate.lab import Simulation
from eval.simulate.scenario import Scenario, assumptions

Floats = npt.NDArray[np.float64]
GUESS = 0.2  # how far a number is moved that the scenario is sure of, when it is sure of everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One assumption: its 5 % and 95 % point, and the routed dollars a month and the saving that come of each.

    stated: the range is the scenario's own; else it is a fifth either way.
    """

    name: str
    low: float
    high: float
    usd_low: float
    usd_high: float
    saving_low: float
    saving_high: float
    stated: bool

    @property
    def swing_usd(self) -> float:
        """Dollars a month between its two ends."""
        return abs(self.usd_high - self.usd_low)


def drivers(made: Simulation) -> list[Driver]:
    """Every uncertain assumption, and the share of each class as far as `mix_n` leaves it open; the largest swing first.

    A scenario that is sure of everything gets a fifth either way, of each number that is neither 0 nor 1.
    """
    scenario = made.scenario
    found = assumptions(scenario)
    uncertain = {name: entry for name, entry in found.items() if entry.uncertain}
    uncertain |= share_beliefs(scenario)
    stated = bool(uncertain)
    moved = uncertain or {name: _guess(entry) for name, entry in found.items() if _worth_moving(name, entry, made)}
    if not moved:
        return []
    z = np.array([-Z95, Z95])
    rows = []
    for name, entry in moved.items():
        ends = entry.at(z)
        usd, saving = bill(made, {name: ends})
        rows.append(
            Driver(
                name=name, low=float(ends[0]), high=float(ends[1]), usd_low=float(usd[0]), usd_high=float(usd[1]),
                saving_low=float(saving[0]), saving_high=float(saving[1]), stated=stated,
            )
        )  # fmt: skip
    still = 1e-9 * max(abs(row.usd_high) for row in rows)
    return sorted((row for row in rows if row.swing_usd > still), key=lambda row: (-row.swing_usd, row.name))


def bill(made: Simulation, changed: dict[str, Floats]) -> tuple[Floats, Floats]:
    """(v,) routed dollars a month and (v,) saving against the first baseline, with some assumptions at v values each."""
    draws = changed_draws(made.scenario, changed)
    worlds = world(made.scenario, draws, made.use, made.rates)
    volume = draws.values["queries_per_month"]
    usd = [run_policy(worlds, policy).usd.sum(axis=1) * volume for policy in made.policies[:2]]
    routed = usd[0] + made.scenario.router.usd_per_month
    return routed, 1.0 - np.divide(routed, usd[1], out=np.full_like(routed, np.nan), where=usd[1] > 0)


def changed_draws(scenario: Scenario, changed: dict[str, Floats]) -> Draws:
    """v central worlds but for the changed values; a share that changes takes from the other classes in proportion."""
    size = len(next(iter(changed.values())))
    draws = central(scenario, size).with_values(changed)
    shares = [name for name in changed if name.startswith("queries.") and name.endswith(".share")]
    mix = draws.mix
    if shares:
        names = [f"queries.{entry.name}.share" for entry in scenario.queries]
        mix = _rest_in_proportion(mix, {names.index(name): changed[name] for name in shares})
    sends = sends_at(scenario, draws.values["router.accuracy"], mix)
    return replace(draws, mix=mix, sends=sends)


def turning_point(at: Callable[[Floats], Floats], low: float, high: float, *, wanted: float) -> float | None:
    """Where a function that rises or falls from `low` to `high` takes the value `wanted`; None where it does not get there."""
    grid = np.linspace(low, high, 65)
    for _ in range(4):
        below = at(grid) <= wanted
        turns = np.flatnonzero(below[1:] != below[:-1])
        if not len(turns):
            return None
        grid = np.linspace(grid[turns[0]], grid[turns[0] + 1], 65)
    return float(grid[32])


def _rest_in_proportion(mix: Floats, fixed: dict[int, Floats]) -> Floats:
    out = mix.copy()
    rest = [k for k in range(mix.shape[1]) if k not in fixed]
    for k, values in fixed.items():
        out[:, k] = values
    left = 1.0 - sum(fixed.values())
    total = mix[:, rest].sum(axis=1)
    out[:, rest] = mix[:, rest] * np.divide(left, total, out=np.zeros_like(total), where=total > 0)[:, None]
    out = np.maximum(out, 0.0)
    return np.asarray(
        out / out.sum(axis=1, keepdims=True)
    )  # where no other class can take it, the changed one keeps it


def share_beliefs(scenario: Scenario) -> dict[str, Assumption]:
    """The classes' shares, as far as a count of `mix_n` queries leaves them open (normal on the log-odds); {} without one."""
    found: dict[str, Assumption] = {}
    if scenario.mix_n is None:
        return found
    for entry in scenario.queries:
        p = entry.share.value
        if 0 < p < 1:
            odds, spread = p / (1 - p), float(np.exp(Z95 / np.sqrt(scenario.mix_n * p * (1 - p))))
            low, high = odds / spread, odds * spread
            found[f"queries.{entry.name}.share"] = Assumption(
                value=p, low=low / (1 + low), high=high / (1 + high), share=True
            )
    return found


def _worth_moving(name: str, entry: Assumption, made: Simulation) -> bool:
    """A number that is neither nothing nor certainty; levels and prices of roads that take part."""
    if entry.share:
        return 0 < entry.value < 1 and not name.startswith("bad_answer.sideways")
    if name.startswith("routes."):
        used = {
            made.scenario.route_names[r]
            for outcome in made.central_outcomes[:2]
            for r in np.flatnonzero(outcome.answers[0] > 0).tolist()
        }
        moves = not name.endswith(".turns") or entry.value > 1  # an answer takes one call at least
        return moves and any(name.startswith(f"routes.{route}.") for route in used)
    return entry.value > 0


def _guess(entry: Assumption) -> Assumption:
    if entry.share:
        odds = entry.value / (1 - entry.value)
        low, high = odds * (1 - GUESS), odds / (1 - GUESS)
        return Assumption(value=entry.value, low=low / (1 + low), high=high / (1 + high), share=True)
    return Assumption(value=entry.value, low=entry.value * (1 - GUESS), high=entry.value / (1 - GUESS))
