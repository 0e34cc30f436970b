"""Does the guarantee hold, and is it worth having? Simulation where the truth is known, and a real table as the truth.

    python benchmarks/guarantee.py [--repeats 1000] [--seed 0] [--table FILE --strong MODEL]

Simulated (all numbers of the first two tables): queries fall into cells, a rule sends the first so many cells to the
cheap model, so the true loss of every rule is a sum worked out beforehand. Beside the bets stand learn-then-test with the
rescaled Hoeffding-Bentkus bound, and the cheapest rule whose sample mean is within ε, without any bound. In the `edge`
processes the loss reaches ε exactly at a rule and lies a millionth above it at all later ones: the hardest case there is.

With a table: values are kNN-100 means of the scores, out of fold over the sentence embedding. "Drawn" takes the table as
the population and draws calibration units from it with replacement, so the true loss is known there too; "halves"
calibrates on one random half and judges on the other, whose own noise also lifts its loss above ε.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from eval.intervals import wilson
from router.encoders import open_encoder
from router.encoders.cache import CachedEncoder
from router.encoders.open import cache_directory
from router.errors import PolicyError
from router.guarantee import certified, needed_n, unit_means
from router.outcome_rows import read_outcomes
from router.outcome_thresholds import for_guarantee
from router.outcomes import Outcomes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
Test = Callable[[Floats, float, float], Bools]
EPSILON, DELTA = 0.02, 0.05
SIZES = (500, 2000, 5000)
EXCESS = 1e-6  # of the true loss above ε in the edge processes
AT_ONCE = 50  # repeats that are simulated together
TABLE_REPEATS = 200
NEIGHBOURS, FOLDS = 100, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """Cells of queries in the order in which rules give them up. A cell's cheap answers lose `mean` in the mean.

    weight, mean, spread: (k,). graded: losses are uniform within `spread` of the mean; else they are −1, 0 or 1, and
    `spread` is the share that is not 0.
    """

    name: str
    weight: Floats
    mean: Floats
    spread: Floats
    graded: bool = False

    @property
    def truth(self) -> Floats:
        """(k + 1,) the true loss of giving up the first 0 … k cells."""
        return np.concatenate([[0.0], np.cumsum(self.weight * self.mean)])

    def draw(self, n: int, repeats: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """(repeats, n) cells and losses of the cheap answers."""
        cell = rng.choice(len(self.weight), p=self.weight, size=(repeats, n))
        mean, spread, u = self.mean[cell], self.spread[cell], rng.random((repeats, n))
        if self.graded:
            return cell, mean + spread * (2 * u - 1)
        return cell, np.where(u < (spread + mean) / 2, 1.0, np.where(u < spread, -1.0, 0.0))


def processes() -> list[Process]:
    """The cases; twenty cells where ties do not make them fewer."""
    k = 20
    even, disagree = np.full(k, 1 / k), np.full(k, 0.36)
    rising = np.linspace(-0.05, 0.3, k)
    at_edge = np.where(np.arange(k) < 5, EPSILON / (5 / k), 0.0)
    at_edge[5] = EXCESS * k
    few = np.array([0.5, 0.3, 0.2])
    return [
        Process(name="good router, {-1, 0, 1}", weight=even, mean=rising, spread=disagree),
        Process(name="good router, graded", weight=even, mean=rising, spread=np.full(k, 0.3), graded=True),
        Process(name="three values only", weight=few, mean=np.array([0.01, 0.05, 0.2]), spread=np.full(3, 0.36)),
        Process(name="useless router", weight=even, mean=np.full(k, 0.12), spread=disagree),
        Process(name="edge, {-1, 0, 1}", weight=even, mean=at_edge, spread=disagree),
        Process(name="edge, losses only", weight=even, mean=at_edge, spread=np.abs(at_edge)),
        Process(name="edge, graded", weight=even, mean=at_edge, spread=np.full(k, 0.3), graded=True),
    ]


def hoeffding_bentkus(loss: Floats, epsilon: float, delta: float) -> Bools:
    """(T,) whether the smaller of Hoeffding's and Bentkus' p-values of losses rescaled to [0, 1] is ≤ δ (Bates et al., 2021)."""
    n = len(loss)
    seen, bound = (loss.mean(axis=0) + 1) / 2, (epsilon + 1) / 2
    low = np.clip(np.minimum(seen, bound), 1e-12, 1 - 1e-12)
    distance = low * np.log(low / bound) + (1 - low) * np.log((1 - low) / (1 - bound))
    bentkus = np.e * binom.cdf(np.ceil(n * seen - 1e-9), n, bound)
    rejects: Bools = np.minimum(np.exp(-n * distance), bentkus) <= delta
    return rejects


def plug_in(loss: Floats, epsilon: float, delta: float) -> Bools:  # noqa: ARG001
    """(T,) whether the sample mean is within ε: no bound at all."""
    within: Bools = loss.mean(axis=0) <= epsilon
    return within


def fixed_sequence(passed: Bools) -> Ints:
    """(r, T) tests -> (r,) the last rule before the first failure; the first rule is always MODEL."""
    last: Ints = np.logical_and.accumulate(passed[:, 1:], axis=1).sum(axis=1)
    return last


def cheapest_within(passed: Bools) -> Ints:
    """(r, T) tests -> (r,) the cheapest rule that passed, wherever it stands."""
    last: Ints = passed.shape[1] - 1 - passed[:, ::-1].argmax(axis=1)
    return last


METHODS: tuple[tuple[str, Test, Callable[[Bools], Ints]], ...] = (
    ("bets", lambda loss, epsilon, delta: certified(loss, epsilon=epsilon, delta=delta), fixed_sequence),
    ("Hoeffding-Bentkus", hoeffding_bentkus, fixed_sequence),
    ("plug-in mean", plug_in, cheapest_within),
)


def chosen_steps(process: Process, *, n: int, repeats: int, rng: np.random.Generator) -> dict[str, Ints]:
    """Per method, the rule that each repeat chose."""
    found: dict[str, list[Ints]] = {name: [] for name, *_ in METHODS}
    rules = np.arange(len(process.weight) + 1)
    for at in range(0, repeats, AT_ONCE):
        r = min(AT_ONCE, repeats - at)
        cell, lost = process.draw(n, r, rng)
        loss = np.where(cell.T[:, :, None] < rules, lost.T[:, :, None], 0.0).reshape(n, -1)
        for name, test, choose in METHODS:
            found[name].append(choose(test(loss, EPSILON, DELTA).reshape(r, -1)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def simulate(repeats: int, seed: int) -> None:
    """Print violations and savings of every method, process and size."""
    print(
        f"simulated, {repeats:,} repeats each: share of repeats whose true loss is above ε = {EPSILON}, against δ = {DELTA}"
    )
    print(f"{'process':26}{'n':>6}  {'method':20}{'violations [95 %]':>24}  calls saved")
    for number, process in enumerate(processes()):
        saved = np.concatenate([[0.0], np.cumsum(process.weight)])
        for n in SIZES:
            steps = chosen_steps(process, n=n, repeats=repeats, rng=np.random.default_rng([seed, number, n]))
            for name, step in steps.items():
                print(f"{process.name:26}{n:6,}  {name:20}{_share(process.truth[step] > EPSILON + EXCESS / 2)}  {saved[step].mean():11.1%}")  # fmt: skip


def check_needed_n(repeats: int, seed: int) -> None:
    """Print how often a sample of the size that `needed_n` names certifies, knowing the losses and from a pilot of 150."""
    print(f"\nsimulated: the size that `needed_n` asks for, and how often it certifies ε = {EPSILON} (meant: 80 %)")
    print(f"{'losses':34}{'n':>8}{'certifies':>12}  from pilots of 150: median n [quartiles]")
    for number, (mean, spread) in enumerate(((0.0, 0.01), (0.005, 0.05), (0.01, 0.05), (0.0, 0.36), (-0.02, 0.36))):
        rng = np.random.default_rng([seed, 99, number])
        process = Process(name="one", weight=np.ones(1), mean=np.array([mean]), spread=np.array([spread]))
        n = needed_n(process.draw(400_000, 1, rng)[1][0], epsilon=EPSILON, delta=DELTA)
        assert n is not None
        hits = [
            certified(process.draw(n, r, rng)[1].T, epsilon=EPSILON, delta=DELTA)
            for r in _batches(min(repeats, 400), at_once=max(1, 2_000_000 // n))
        ]
        pilots = [needed_n(row, epsilon=EPSILON, delta=DELTA) for row in process.draw(150, 400, rng)[1]]
        guess = np.array([np.inf if pilot is None else pilot for pilot in pilots])
        low, middle, high = np.quantile(guess, [0.25, 0.5, 0.75], method="nearest")
        label = f"mean {mean:g}, {spread:.0%} not 0"
        print(f"{label:34}{n:8,}{np.concatenate(hits).mean():12.1%}  {middle:,.0f} [{low:,.0f}, {high:,.0f}]")


def judge_table(path: Path, strong: str, *, repeats: int, seed: int) -> None:
    """Print what the guarantee saves on a real table, and how often it is broken."""
    outcomes, _ = read_outcomes(path)
    outcomes = outcomes.rows(outcomes.complete)
    value = neighbour_values(outcomes, seed=seed)
    units = int(np.unique(outcomes.unit).size)
    print(f"\n{outcomes.name}: {len(outcomes):,} complete queries, {units:,} texts, {len(outcomes.models)} models, against {strong}")  # fmt: skip
    for way, sample in (("drawn", drawn), ("halves", halves)):
        for size in (units // 8, units // 2):
            rng = np.random.default_rng([seed, size])
            tried = [
                judge(outcomes, value, *sample(outcomes.unit, size, rng), strong=strong, seed=i) for i in range(repeats)
            ]
            saved, loss = np.array(tried).T
            refused = np.isnan(loss)
            low, high = np.quantile(saved, [0.05, 0.95])
            print(
                f"{way:7} n = {size:,}: calls saved {saved.mean():.1%} (5-95 %: {low:.1%} to {high:.1%});"
                f" refused {refused.sum()} of {repeats}; loss above ε {_share(loss > EPSILON)}; mean loss {np.nanmean(loss):.4f}"
            )


def judge(
    outcomes: Outcomes, value: Floats, rows: Ints, unit: Ints, judged: Ints, *, strong: str, seed: int
) -> tuple[float, float]:
    """Share of calls saved and mean loss over the units of the `judged` rows; 0 and NaN where nothing could be certified."""
    column, models = outcomes.column(strong), outcomes.models
    try:
        policy, _ = for_guarantee(
            value[rows], outcomes.score[rows], models=models, against=strong, epsilon=EPSILON, delta=DELTA, seed=seed,
            unit=unit,
        )  # fmt: skip
    except PolicyError:
        return 0.0, float("nan")
    model = policy.choose(value[judged], None).model
    score = outcomes.score[judged]
    figures = np.stack([model != column, score[:, column] - score[np.arange(len(judged)), model]], axis=1)
    saved, loss = unit_means(figures, outcomes.unit[judged])[1].mean(axis=0)
    return float(saved), float(loss)


def drawn(unit: Ints, size: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """`size` units with replacement, each draw a unit of its own; judged by the whole table."""
    by_unit = np.argsort(unit, kind="stable")
    start, count = np.unique(unit[by_unit], return_index=True, return_counts=True)[1:]
    picked = rng.integers(len(start), size=size)
    copies = np.repeat(np.arange(size), count[picked])
    within = np.arange(len(copies)) - np.repeat(np.cumsum(count[picked]) - count[picked], count[picked])
    return by_unit[start[picked][copies] + within], copies, np.arange(len(unit))


def halves(unit: Ints, size: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """`size` random units; judged by all the others."""
    inside = np.isin(unit, rng.permutation(np.unique(unit))[:size])
    rows = np.flatnonzero(inside)
    return rows, unit[rows], np.flatnonzero(~inside)


def neighbour_values(outcomes: Outcomes, *, seed: int) -> Floats:
    """(n, m) mean score of the nearest queries in the other folds; equal texts share a fold."""
    encoder = open_encoder()
    embedding = CachedEncoder(encoder, cache_directory()).encode(outcomes.texts)[:, : encoder.spec.sentence_dim]
    fold = np.random.default_rng(seed).integers(FOLDS, size=int(outcomes.unit.max()) + 1)[outcomes.unit]
    value = np.empty_like(outcomes.score)
    for held in range(FOLDS):
        inside, outside = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        nearest = np.argpartition(-(embedding[inside] @ embedding[outside].T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        value[inside] = outcomes.score[outside[nearest]].mean(axis=1)
    return value


def _batches(total: int, *, at_once: int) -> Iterator[int]:
    for at in range(0, total, at_once):
        yield min(at_once, total - at)


def _share(hits: Bools) -> str:
    bounds = wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():10.1%} [{bounds.low:5.1%}, {bounds.high:5.1%}]"


def main() -> None:
    """Simulate, then judge the table where one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--strong")
    asked = parser.parse_args()
    if (asked.table is None) != (asked.strong is None):
        parser.error("--table and --strong go together")
    start = time.perf_counter()
    simulate(asked.repeats, asked.seed)
    check_needed_n(asked.repeats, asked.seed)
    if asked.table is not None:
        judge_table(asked.table, asked.strong, repeats=min(asked.repeats, TABLE_REPEATS), seed=asked.seed)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
