"""What does it cost to know every operating point? One sorted pass against a pass per threshold or per λ, interleaved.

    python benchmarks/sweep.py [--queries 1000000] [--models 10] [--points 1000] [--sample 3] [--rounds 3]

The slow ways are timed on `--sample` thresholds or λ and scaled to `--points`; the passes are independent of each
other, so that this is what all of them would take. The inputs are simulated. Absolute times on shared machines mean
nothing; the ratio, measured side by side, does. CPU seconds; memory is the peak beyond the inputs.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.sweeps import sweep, threshold_sweep

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of doing it: `call` does a part of the work, `times` of which are all of it."""

    name: str
    call: Callable[[], object]
    times: float = 1.0


def main() -> None:
    """Print seconds, ratios and peak memory of both sweeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument(
        "--points", type=int, default=1_000, help="thresholds, and λ, that the slow ways must pass over"
    )
    parser.add_argument("--sample", type=int, default=3, help="of them, how many are really timed")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    print(
        f"{asked.queries:,} simulated queries; slow ways timed on {asked.sample} of {asked.points:,} points and scaled"
    )
    report("thresholds of a pair", pair_ways(asked, rng), asked.rounds)
    report(f"λ over {asked.models} models", model_ways(asked, rng), asked.rounds)


def pair_ways(asked: argparse.Namespace, rng: np.random.Generator) -> list[Way]:
    """One sort for all thresholds; a numpy pass per threshold; RouteLLM's pass, which adds and counts in Python."""
    value = rng.random(asked.queries)
    weak, strong = (rng.random((2, asked.queries)) < np.stack([0.9 - value / 2, 0.9 - value / 9])).astype(np.float64)
    thresholds = np.quantile(value, np.linspace(0, 1, asked.points))
    sample = thresholds[np.linspace(0, asked.points - 1, asked.sample + 2).astype(int)[1:-1]]

    def once() -> object:
        swept = threshold_sweep(value, weak, strong)
        index = swept.index(thresholds)
        return swept.share[index], swept.quality[index]

    def passes() -> object:
        return [((sent := value >= cut).mean(), np.where(sent, strong, weak).mean()) for cut in sample]

    def as_routellm() -> object:
        found = []
        for cut in sample[:1]:
            sent = value >= cut
            results, models = np.where(sent, strong, weak), np.where(sent, "strong", "weak")
            found.append((sum(results) / len(results), Counter(models)))
        return found

    scale = asked.points / asked.sample
    return [
        Way(name="sorted once", call=once),
        Way(name="numpy pass each", call=passes, times=scale),
        Way(name="RouteLLM's pass each", call=as_routellm, times=asked.points),
    ]


def model_ways(asked: argparse.Namespace, rng: np.random.Generator) -> list[Way]:
    """The envelope, which gives every λ there is; an argmax per λ, which gives `--points` of them."""
    shape = (asked.queries, asked.models)
    p = rng.random(shape)
    cost = np.sort(rng.random(shape) * 0.01, axis=1) * rng.lognormal(size=(asked.queries, 1))
    score = (rng.random(shape) < p).astype(np.float64)
    row = np.arange(asked.queries)
    sample = np.geomspace(1.0, 1e4, asked.sample)

    def naive() -> object:
        chosen = [(p - lam * cost).argmax(axis=1) for lam in sample]
        return [(cost[row, best].mean(), score[row, best].mean()) for best in chosen]

    return [
        Way(name="envelope, every λ", call=lambda: sweep(p, cost, score, cost)),
        Way(name="argmax per λ", call=naive, times=asked.points / asked.sample),
    ]


def report(title: str, ways: list[Way], rounds: int) -> None:
    """Time the ways in turn, then measure the memory of each in a run of its own, which tracing slows down."""
    spent: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            start = time.process_time()
            way.call()
            spent[way.name].append((time.process_time() - start) * way.times)
    first = float(np.median(spent[ways[0].name]))
    print(title)
    for way in ways:
        took = float(np.median(spent[way.name]))
        scaled = "" if way.times == 1 else "  (scaled)"
        print(f"  {way.name:<22}{took:10.2f} s  ratio {took / first:8.1f}  memory {peak_mb(way.call):6.0f} MB{scaled}")


def peak_mb(call: Callable[[], object]) -> float:
    """The most that `call` holds at once, in MB."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


if __name__ == "__main__":
    main()
