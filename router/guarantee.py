"""A finite-sample bound on the quality lost against one model: learn-then-test, with bets that spend δ to the last cent.

A family is a row of rules from "always MODEL" to ever cheaper, fixed before the calibration outcomes are looked at. For
each rule the null "its true loss is above ε" is tested; the tests go from the dear end and stop at the first that fails
(fixed sequence: no correction is due), so with probability ≥ 1 − δ no certified rule loses more than ε.

One test is a game against the null: wealth starts at 1 and is multiplied by 1 + bet · (ε − loss) per unit, the bet fixed
from earlier units alone. If the true loss is at least ε, no strategy makes the expected wealth grow, so it ever reaches
1/δ with probability ≤ δ (Ville), whatever the bets. Frame: Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", JRSS-B 2024; learn-then-test: Angelopoulos et al., 2021. The bets are those of Voráček and Orabona,
"STaR-Bets", 2025: at each unit, what would reach the target in the units that are left, at the variance seen so far.

What is promised: units (equal texts) are taken as an independent sample, and the loss of a unit is the mean over its
rows. So ε bounds the mean loss over distinct texts; a text that is asked ten times counts once, in every figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from router.errors import PolicyError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
# Of the largest bet that cannot lose everything. Measured: 0.5 is weak where losses are rare, 0.95 where they are rare and
# cost the whole stake; between 0.65 and 0.9 little changes.
BOLDNESS = 0.8
PRIOR_VARIANCE = 0.25  # before the first unit; it weighs as much as one
USEFUL_SHARE = 0.05  # of the calls: the least saving for which `needed_n` asks
POWER = 0.8  # `needed_n` is the size at which four samples in five certify
CANDIDATES = 64  # bounds that one pass of `upper_bound` tries; two passes place it within 2/64² of the truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """T rules seen on n queries; the first is "always `against`", each later one is cheaper.

    threshold: (T,) increasing, the parameter of each rule; the first may be −inf.   choice: (n, T) columns of `models`.
    loss: (n, T) score of `against` minus that of the chosen model, in [-1, 1]; 0 in the first column.
    cost_usd: (n, T) dollars of the chosen model's call, NaN where unknown.
    """

    models: tuple[str, ...]
    against: str
    threshold: Floats
    choice: Ints
    loss: Floats
    cost_usd: Floats

    def __post_init__(self) -> None:
        shape = self.loss.shape
        if self.loss.ndim != 2 or shape[0] == 0 or shape[1] < 2:
            raise PolicyError(
                f"`loss` is {shape}; wanted (n, T), n ≥ 1 queries by T ≥ 2 rules, the first always MODEL."
            )
        if self.choice.shape != shape or self.cost_usd.shape != shape or self.threshold.shape != shape[1:]:
            raise PolicyError(
                f"`loss` is {shape}, `choice` {self.choice.shape}, `cost_usd` {self.cost_usd.shape} and `threshold`"
                f" {self.threshold.shape}; wanted (n, T) three times and (T,)."
            )
        if not np.isfinite(self.loss).all() or np.abs(self.loss).max() > 1.0:
            raise PolicyError("`loss` has cells that are missing or outside [-1, 1]; drop the queries without a score.")
        if self.against not in self.models or np.any(self.loss[:, 0]):
            raise PolicyError(f"the first rule must always take {self.against!r}, at a loss of 0; its losses are not.")
        if not (np.diff(self.threshold) > 0).all():
            raise PolicyError("`threshold` must increase from rule to rule, without repeats or missing values.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """With probability ≥ 1 − δ over the calibration sample, the rule at `threshold` loses at most ε against a model.

    n: units that were bet on.   n_queries: their rows.   share: model -> share of the calls.   expected_usd, against_usd:
    mean dollars per query of the rule and of always calling `against`, over the same `n_priced` queries; None where no
    call's cost is known.   loss: the mean on the sample.   loss_upper: its 1 − δ upper bound had this one rule been
    fixed in advance; the choice among rules is paid for by ε alone.
    """

    against: str
    epsilon: float
    delta: float
    n: int
    n_queries: int
    seed: int
    threshold: float
    share: Mapping[str, float]
    expected_usd: float | None
    against_usd: float | None
    n_priced: int
    loss: float
    loss_upper: float

    @property
    def saved_calls(self) -> float:
        """The share of the calls that do not go to `against`."""
        return 1.0 - self.share[self.against]

    @property
    def saved_usd(self) -> float | None:
        """Expected dollars saved per query; None where costs are unknown."""
        if self.expected_usd is None or self.against_usd is None:
            return None
        return self.against_usd - self.expected_usd

    def sentence(self) -> str:
        """The guarantee in one sentence for a table's foot or a card."""
        money = "expected dollars unknown: no call has a cost"
        if self.expected_usd is not None:
            money = f"expected ${self.expected_usd:.6f} per query instead of ${self.against_usd:.6f}"
        return (
            f"with probability ≥ {1 - self.delta:g} the quality loss against {self.against} is ≤ {self.epsilon:g};"
            f" n = {self.n:,}; {self.saved_calls:.1%} of its calls saved; {money}"
        )

    def to_json(self) -> dict[str, Any]:  # Any: what JSON can hold
        """Every field, and the sentence."""
        return asdict(self) | {"saved_calls": self.saved_calls, "sentence": self.sentence()}


def certify(family: Family, *, epsilon: float, delta: float, seed: int, unit: Ints | None = None) -> Guarantee:
    """The cheapest rule of `family` whose loss is certified to be at most `epsilon`, with error probability `delta`.

    unit: (n,) the number of the group of equal texts a query belongs to; None where all differ.   seed: fixes the order
    of the bets and nothing else; choose it before the outcomes are seen.   A larger ε or δ never certifies less.
    Raises PolicyError for ε or δ outside (0, 1), and where only "always `against`" can be certified: it then names the
    n that it would take.
    """
    _require_probability("epsilon", epsilon)
    _require_probability("delta", delta)
    weight, loss = unit_means(family.loss, unit)
    loss = loss[np.random.default_rng(seed).permutation(len(loss))]
    passed = certified(loss, epsilon=epsilon, delta=delta)
    step = int(np.logical_and.accumulate(passed[1:]).sum())
    if not np.any(family.choice[:, step] != family.models.index(family.against)):
        raise PolicyError(_refusal(family, loss, epsilon=epsilon, delta=delta))
    return Guarantee(
        against=family.against,
        epsilon=epsilon,
        delta=delta,
        n=len(loss),
        n_queries=len(family.loss),
        seed=seed,
        threshold=float(family.threshold[step]),
        share={model: float(weight @ (family.choice[:, step] == column)) for column, model in enumerate(family.models)},
        loss=float(loss[:, step].mean()),
        loss_upper=min(epsilon, upper_bound(loss[:, step], delta=delta)),
        **_dollars(family.cost_usd[:, [0, step]], weight),
    )


def certified(loss: Floats, *, epsilon: float | Floats, delta: float) -> Bools:
    """(T,) whether the test of "the true mean of this column is above ε" rejects.

    loss: (n, T) in [-1, 1], rows in the order of the bets, which must not depend on them.   epsilon: one, or (T,).
    A column whose own mean is above ε is never rejected.
    Monotone: rejected at ε, a column is rejected at every larger ε. (By induction on what is left to win: the bet falls
    with it and never depends on ε but through its cap, so the game at the larger ε is never behind.)
    """
    n, columns = loss.shape
    left = np.full(columns, math.log(1.0 / delta))  # log of the factor by which wealth must still grow
    total, spread = np.zeros(columns), np.full(columns, PRIOR_VARIANCE)
    cap = BOLDNESS / (1.0 - np.asarray(epsilon, dtype=np.float64))  # a loss of 1 then costs no more than BOLDNESS
    for i in range(n):
        row = loss[i]
        bet = np.minimum(np.sqrt(2.0 * left * ((i + 1) / (n - i)) / spread), cap)
        # at 0 the target is reached: the bet is 0 from here on, and 0 it stays
        left = np.maximum(left - np.log1p(bet * (epsilon - row)), 0.0)
        total += row
        spread += (row - total / (i + 2)) ** 2
    # a bet won early could outlive a sample that ends above ε: valid, but no sentence that a person would believe
    reached: Bools = (left <= 0.0) & (total <= n * np.asarray(epsilon, dtype=np.float64))
    return reached


def upper_bound(loss: Floats, *, delta: float) -> float:
    """The 1 − δ upper confidence bound of the mean of n losses in betting order: the least ε that `certified` rejects.

    1 where nothing below is rejected. Two passes over CANDIDATES bounds, rounded up.
    """
    low, high = -1.0, 1.0
    for _ in range(2):
        tried = np.linspace(low, high, CANDIDATES + 1)[1:-1]
        rejects = certified(np.broadcast_to(loss[:, None], (len(loss), len(tried))), epsilon=tried, delta=delta)
        first = int(rejects.argmax()) if rejects.any() else len(tried)
        low, high = (float(tried[first - 1]) if first else low, float(tried[first]) if first < len(tried) else high)
    return high


def needed_n(loss: Floats, *, epsilon: float, delta: float) -> int | None:
    """About how many units it takes to certify a mean like that of n losses four times in five; None where none will do.

    With mean m and variance v the bets need n (ε − m) ≥ (z(1−δ) + z(0.8)) √(n v) + ln(1/δ) / BOLDNESS: the normal
    approximation of the test, and what it costs that a bet is capped. `benchmarks/guarantee.py` checks it: right where mean
    and variance are known, rough (often by a factor of two) where a small sample has to tell them.
    """
    mean = float(loss.mean())
    gap = epsilon - mean
    if gap <= 0.0:
        return None
    normal = NormalDist()
    half = (normal.inv_cdf(1.0 - delta) + normal.inv_cdf(POWER)) * float(loss.std()) / (2.0 * gap)
    return math.ceil((half + math.sqrt(half**2 + math.log(1.0 / delta) / (BOLDNESS * gap))) ** 2)


def unit_means(values: Floats, unit: Ints | None) -> tuple[Floats, Floats]:
    """(n,) weights that let every unit count once, and (u, T) the means of the rows of `values` per unit.

    Raises PolicyError for a shape other than (n,).
    """
    n = len(values)
    if unit is None:
        return np.full(n, 1.0 / n), values
    if unit.shape != (n,):
        raise PolicyError(f"`unit` is {unit.shape} and `loss` has {n} rows; wanted one number of a unit per row.")
    index, size = np.unique(unit, return_inverse=True, return_counts=True)[1:]
    by_unit = np.argsort(index, kind="stable")
    sums = np.add.reduceat(values[by_unit], np.concatenate([[0], np.cumsum(size)[:-1]]), axis=0)
    return 1.0 / (len(size) * size[index]), sums / size[:, None]


def _dollars(cost_usd: Floats, weight: Floats) -> dict[str, Any]:  # Any: dollars or None
    """Means over the queries whose two costs (always MODEL, the rule) are both known."""
    known = np.isfinite(cost_usd).all(axis=1)
    if not known.any():
        return {"expected_usd": None, "against_usd": None, "n_priced": 0}
    always, rule = (weight[known] @ cost_usd[known] / weight[known].sum()).tolist()
    return {"expected_usd": rule, "against_usd": always, "n_priced": int(known.sum())}


def _refusal(family: Family, loss: Floats, *, epsilon: float, delta: float) -> str:
    """Why nothing but always MODEL can be certified, and what would change that."""
    moved = (family.choice != family.models.index(family.against)).mean(axis=0)
    if not moved.any():
        return f"no rule ever leaves {family.against}; there is nothing to save. Compare with a dearer model."
    step = int((moved >= min(USEFUL_SHARE, float(moved.max()))).argmax())
    n, mean = needed_n(loss[:, step], epsilon=epsilon, delta=delta), float(loss[:, step].mean())
    found = (
        f"with n = {len(loss):,} only always calling {family.against} can be certified at ε = {epsilon:g}, δ = {delta:g};"
        f" the rule that saves {moved[step]:.0%} of its calls loses {mean:.4f} on this sample"
    )
    if n is None:
        return f"{found}, which is not below ε: no n will do. Ask for a larger ε, or train a better router."
    return f"{found}: as far as this sample can tell, it takes about n = {max(n, len(loss) + 1):,}. Bring that many queries, or ask for a larger ε or δ."


def _require_probability(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise PolicyError(f"`{name}` is {value}; it must lie strictly between 0 and 1.")
