"""What would have to change for a dollar target to hold: one thing at a time, everything else at its median."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.simulate.drivers import bill, turning_point
from eval.simulate.lab import Simulation
from eval.simulate.scenario import assumptions

Floats = npt.NDArray[np.float64]
Bill = Callable[[dict[str, Floats]], tuple[Floats, Floats]]
AT_LEAST = ("saving", "routing_accuracy", "good_answers", "cache_hit_rate")
DOLLARS = ("usd_per_query", "usd_per_100k", "usd_per_month", "saving")
# as far as each share could be brought; of an exact-match cache, six in ten on repeats is a bold goal
MOST = {"conversation.stickiness": 0.99, "bad_answer.reask": 0.99, "prompt_cache.in_time": 0.99, "answer_cache": 0.6}
CHEAPEST = 0.02  # of a price or a level: the least that a single lever is moved to


def holds(target: str, value: Floats | float, wanted: float) -> npt.NDArray[np.bool_]:
    """Whether figures meet a target: at least as much of what is good, at most as much of what is not. NaN meets none."""
    found = np.asarray(value, dtype=np.float64)
    return np.asarray(found >= wanted if target in AT_LEAST else found <= wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """Something that somebody could change between `low` and `high`: one assumption, or the same one of several routes.

    factor: the values multiply each assumption's own; else they replace it.
    """

    name: str
    of: Mapping[str, float]
    now: float
    low: float
    high: float
    factor: bool = False

    def values(self, at: Floats) -> dict[str, Floats]:
        """The assumptions at each of the positions (v,)."""
        return {name: value * at if self.factor else at for name, value in self.of.items()}


def changes(made: Simulation, target: str, wanted: float) -> list[dict[str, Any]]:
    """Each single thing that could bring a dollar target about, everything else at its median; [] where nothing can."""
    volume = made.scenario.queries_per_month.value
    return nearest(levers(made), partial(bill, made), target, wanted, volume=volume)


def nearest(
    moved: Sequence[Lever], billed: Bill, target: str, wanted: float, *, volume: float
) -> list[dict[str, Any]]:  # Any: names and numbers
    """The levers that reach the target, and where; the smallest move first, on the log scale (the log-odds for shares).

    billed: assumptions at v values -> (v,) dollars a month and (v,) saving.   volume: queries a month.
    """
    if target not in DOLLARS:
        return []

    def figure(at: Floats, lever: Lever) -> Floats:
        usd, saving = billed(lever.values(at))
        shown = {"usd_per_month": usd, "usd_per_query": usd / volume, "usd_per_100k": usd / volume * 1e5}
        return shown.get(target, saving)

    rows = []
    for lever in moved:
        if holds(target, figure(np.array([lever.now]), lever)[0], wanted):
            continue
        needed = turning_point(partial(figure, lever=lever), lever.low, lever.high, wanted=wanted)
        if needed is not None:
            times = needed / lever.now if lever.now else None
            rows.append({"assumption": lever.name, "now": lever.now, "needed": needed, "times": times})
    return sorted(rows, key=lambda row: (_effort(row), row["assumption"]))


def levers(made: Simulation) -> list[Lever]:
    """Shares of the classes; per model in use its price, output, tool results and turns; cache, stickiness, re-asks, accuracy."""
    found = assumptions(made.scenario)
    rows = [
        Lever(
            name=f"queries.{entry.name}.share",
            of={f"queries.{entry.name}.share": 0.0},
            now=entry.share.value,
            low=0.001,
            high=0.999,
        )
        for entry in made.scenario.queries
        if len(made.scenario.queries) > 1
    ]
    for name, most in MOST.items():
        rows.append(Lever(name=name, of={name: 0.0}, now=found[name].value, low=0.0, high=most))
    if made.scenario.counts is None and 0 < found["router.accuracy"].value < 1:
        now = found["router.accuracy"].value
        rows.append(Lever(name="router.accuracy", of={"router.accuracy": 0.0}, now=now, low=now, high=1.0))
    return rows + _of_models(made)


def _of_models(made: Simulation) -> list[Lever]:
    """What is common to all the roads of one model, as a factor of what it is now."""
    found, rows = assumptions(made.scenario), []
    by_model: dict[str, list[str]] = {}
    for r in np.flatnonzero(made.central_outcomes[0].answers[0] > 0).tolist():
        by_model.setdefault(made.scenario.routes[r].model, []).append(made.scenario.route_names[r])
    for model, routes in by_model.items():
        for part in ("price", "output_tokens", "tool_result_tokens", "system_tokens"):
            of = {f"routes.{name}.{part}": found[f"routes.{name}.{part}"].value for name in routes}
            rows.append(Lever(name=f"{model}: {part}", of=of, now=1.0, low=CHEAPEST, high=1.0, factor=True))
        several = [name for name in routes if found[f"routes.{name}.turns"].value > 1]
        if several:
            of = {f"routes.{name}.turns": found[f"routes.{name}.turns"].value for name in several}
            rows.append(
                Lever(name=f"{model}: turns", of=of, now=1.0, low=1.0 / max(of.values()), high=1.0, factor=True)
            )
    return rows


def _effort(row: Mapping[str, Any]) -> float:
    """How far a lever must be moved: on the log-odds for shares, else on the log."""
    now, needed = row["now"], row["needed"]
    if 0 < now < 1 and 0 < needed < 1:
        return abs(float(np.log(needed / (1 - needed)) - np.log(now / (1 - now))))
    return abs(float(np.log(needed / now))) if now > 0 and needed > 0 else 99.0
