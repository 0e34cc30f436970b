"""What does it cost to know a month under a thousand assumptions? Queries drawn once and weighed, against drawn anew each time.

    python benchmarks/simulate.py [--queries 1000000] [--draws 1000] [--rows 10000000] [--sample 2] [--rounds 3]

The naive way draws all queries again in every world; it is timed on `--sample` worlds and scaled to `--draws`, since worlds
are independent. Both ways give the dollars of the same scenario, which are compared. Then `--rows` recorded queries are
tallied at every threshold in blocks, with the memory that this takes. Everything is simulated. CPU seconds on one thread of
linear algebra; absolute times on shared machines mean nothing, the ratio, measured side by side, does.
"""

from __future__ import annotations

import argparse
import resource
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from eval.simulate.counts import Tally
from eval.simulate.draws import Draws, sample
from eval.simulate.engine import run_policy, world
from eval.simulate.lab import policies_of
from eval.simulate.rates import Rates, month_rates
from eval.simulate.scenario import Scenario
from eval.simulate.scenario_file import find_scenario, read_scenario
from eval.simulate.use import sampled_use
from router.prices import read_prices

Floats = npt.NDArray[np.float64]
BLOCK = 1 << 18


def main() -> None:
    """Print seconds, the ratio, the agreement, and the memory of a long tally."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="pam-2026-11")
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--sample", type=int, default=2, help="worlds that the naive way is really timed on")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    scenario = read_scenario(find_scenario(asked.scenario))
    rates = month_rates(scenario, read_prices())
    draws = sample(scenario, asked.draws, seed=0)
    with threadpool_limits(limits=1):
        compare(scenario, rates, draws, asked)
        tally(asked.rows)


def compare(scenario: Scenario, rates: Rates, draws: Draws, asked: argparse.Namespace) -> None:
    """Both ways in turn, `--rounds` times."""
    spent: dict[str, list[float]] = {"drawn once": [], "drawn anew": []}
    for _ in range(asked.rounds):
        once, seconds = timed(lambda: usd(scenario, rates, draws, queries=asked.queries, seed=0))
        spent["drawn once"].append(seconds)
        anew, seconds = timed(lambda: redrawn(scenario, rates, draws, asked))
        spent["drawn anew"].append(seconds * asked.draws / asked.sample)
    fast, slow = (float(np.median(column)) for column in spent.values())
    worst = float(np.abs(anew / once[: asked.sample] - 1).max())
    print(f"{asked.queries:,} queries x {asked.draws:,} worlds of {scenario.name} (simulated), every policy in each")
    print(f"  drawn once, weighed   {fast:10.1f} s")
    print(f"  drawn anew (scaled)   {slow:10.1f} s   ratio {slow / fast:8.0f}")
    print(f"  dollars differ by at most {worst:.2%} (the sampling error of both)")
    print(f"  most memory of the process so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def usd(scenario: Scenario, rates: Rates, draws: Draws, *, queries: int, seed: int) -> Floats:
    """(s,) routed dollars per query; the baselines are run as well, as a simulation does."""
    use = sampled_use(scenario, rates, n=queries, rng=np.random.default_rng(seed))
    made = world(scenario, draws, use, rates)
    dollars: list[Floats] = [run_policy(made, policy).usd.sum(axis=1) for policy in policies_of(scenario)]
    return dollars[0]


def redrawn(scenario: Scenario, rates: Rates, draws: Draws, asked: argparse.Namespace) -> Floats:
    """The same for the first worlds, each with queries of its own."""
    found = [
        usd(scenario, rates, one_of(draws, index), queries=asked.queries, seed=index + 1)
        for index in range(asked.sample)
    ]
    return np.concatenate(found)


def one_of(draws: Draws, index: int) -> Draws:
    """A single world."""
    here = slice(index, index + 1)
    values = {name: column[here] for name, column in draws.values.items()}
    return replace(draws, values=values, mix=draws.mix[here], sends=draws.sends[here])


def tally(rows: int) -> None:
    """Count recorded queries at 1,001 thresholds, block by block."""
    routes = ("chat", "dashboard", "budget", "trip")
    rng = np.random.default_rng(0)
    for size in (rows // 10, rows):
        counter = Tally(np.linspace(0, 1, 1_001), routes=routes, cheap="chat")
        tracemalloc.start()
        start = time.process_time()
        for at in range(0, size, BLOCK):
            n = min(BLOCK, size - at)
            counter.add(rng.integers(0, 4, n), rng.integers(1, 4, n), rng.random(n), rng.random(n) < 0.01)
        counted = counter.counts(own=None, source="simulated")
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert counted.n[0].sum() == size
        print(f"{size:,} recorded queries (simulated) at 1,001 thresholds: {seconds:.1f} s, peak {peak / 1e6:.0f} MB")


def timed(call: Callable[[], Floats]) -> tuple[Floats, float]:
    """What it gives, and the CPU seconds that it took."""
    start = time.process_time()
    return call(), time.process_time() - start


if __name__ == "__main__":
    main()
