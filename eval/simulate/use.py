"""What one answer uses: tokens by where they come from, by what could have cached them, and by the tier of their call.

An answer is a trajectory of calls. Each call sends again all that the one before it sent, then what that one wrote and
what the tools gave back: the input of t calls grows with t². `sampled_use` draws queries once; the engine only weighs them.
`expected_use` is the same in closed form, for scenarios in which no call is long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.simulate.rates import LONG, STANDARD, Rates
from eval.simulate.scenario import TOKENS, RouteUse, Scenario

Floats = npt.NDArray[np.float64]
STATES = ("first", "same", "switched")  # a conversation's first message; a follow-up on the same road; on another one
FIRST, SAME, SWITCHED = range(3)
SOURCES = (*TOKENS, "written")  # `output_tokens` as later calls send them again; `written` is the output itself
SYSTEM, SCHEMAS, HISTORY, MESSAGE, OUTPUT, RESULT, WRITTEN = range(7)
KINDS = (
    "new",
    "loop",
    "history",
    "static",
)  # which cache could hold them: none, the call before, the message before, traffic
NEW, LOOP, PAST, STATIC = range(4)
FEWEST = 64  # sampled answers of a cell, however rare
CHUNK = 1 << 18  # answers in memory at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Use:
    """Mean tokens of one answer, for r routes, 3 states and 1 to T calls.

    tokens: (r, 3, T, 7, 4, 2) by SOURCES, KINDS and tier.   usd, square: (r, 3, T) mean and mean square of its dollars, for
    how much answers differ; NaN in the closed form.   n: sampled answers, 0 for the closed form.
    """

    tokens: Floats
    usd: Floats
    square: Floats
    n: int


def most_turns(scenario: Scenario) -> int:
    """The largest number of calls that any route's answer takes."""
    return max(route.turns.most for route in scenario.routes)


def sampled_use(scenario: Scenario, rates: Rates, *, n: int, rng: np.random.Generator) -> Use:
    """Draw about n answers, spread over the cells by how likely their turns are, at least 64 to a cell.

    One pass, in pieces of bounded size: memory does not grow with n.
    """
    turns = most_turns(scenario)
    tokens = np.zeros((len(scenario.routes), 3, turns, len(SOURCES), len(KINDS), 2))
    usd, square = np.zeros((2, len(scenario.routes), 3, turns))
    drawn = 0
    for r, route in enumerate(scenario.routes):
        if route.usd_per_query is not None:
            continue
        pmf = route.turns.pmf(np.array([route.turns.level.value]))[0]
        for state in range(3):
            for t in np.flatnonzero(pmf > 0).tolist():
                size = max(FEWEST, round(n * float(pmf[t]) / (3 * len(scenario.routes))))
                tokens[r, state, t], usd[r, state, t], square[r, state, t] = _cell(
                    route, state, t + 1, size=size, rng=rng, rates=rates, r=r, loop=scenario.prompt_cache.loop_hit.value
                )
                drawn += size
    return Use(tokens=tokens, usd=usd, square=square, n=drawn)


def expected_use(scenario: Scenario) -> Use:
    """The same mean tokens in closed form, all in the standard tier; how answers differ is not known."""
    turns = most_turns(scenario)
    tokens = np.zeros((len(scenario.routes), 3, turns, len(SOURCES), len(KINDS), 2))
    for r, route in enumerate(scenario.routes):
        means = [getattr(route, name).mean for name in TOKENS]
        for state in range(3):
            for t in range(turns if route.usd_per_query is None else 0):
                calls = t + 1
                cell = tokens[r, state, t, :, :, STANDARD]
                front = {SYSTEM: STATIC, SCHEMAS: STATIC, HISTORY: PAST if state == SAME else NEW, MESSAGE: NEW}
                for source, kind in front.items():
                    mean = means[source] if source != HISTORY or state != FIRST else 0.0
                    cell[source, kind] += mean
                    cell[source, LOOP] += mean * (calls - 1)
                for source in (OUTPUT, RESULT):
                    cell[source, NEW] = means[source] * (calls - 1)
                    cell[source, LOOP] = means[source] * (calls - 1) * (calls - 2) / 2
                cell[WRITTEN, NEW] = means[OUTPUT] * calls
    unknown = np.full(tokens.shape[:3], np.nan)
    return Use(tokens=tokens, usd=unknown, square=unknown, n=0)


def _cell(
    route: RouteUse, state: int, calls: int, *, size: int, rng: np.random.Generator, rates: Rates, r: int, loop: float
) -> tuple[Floats, float, float]:
    """(7, 4, 2) mean tokens, and the mean and mean square of the dollars, of `size` answers of one road, state and length."""
    total, sums, squares = np.zeros((len(SOURCES), len(KINDS), 2)), 0.0, 0.0
    per_token = np.stack([rates.new[r], loop * rates.read[r] + (1 - loop) * rates.new[r], rates.read[r], rates.new[r]])
    for start in range(0, size, CHUNK):
        rows = min(CHUNK, size - start)
        use = trajectories(route, state, calls, n=rows, rng=rng, limit=float(rates.limit[r]))
        total += use.sum(axis=3)
        dollars = np.einsum("skln,kl->n", use[:WRITTEN], per_token) + use[WRITTEN, NEW].T @ rates.output[r]
        sums += float(dollars.sum())
        squares += float((dollars**2).sum())
    return total / size, sums / size, squares / size


def trajectories(route: RouteUse, state: int, calls: int, *, n: int, rng: np.random.Generator, limit: float) -> Floats:
    """(7, 4, 2, n) tokens of n answers of `calls` calls each, drawn.   limit: input tokens above which a call is long."""
    use = np.zeros((len(SOURCES), len(KINDS), 2, n))
    front = [getattr(route, TOKENS[source]).amount.draw(n, rng) for source in (SYSTEM, SCHEMAS, HISTORY, MESSAGE)]
    if state == FIRST:
        front[HISTORY] = np.zeros(n)
    sent: list[tuple[int, int, Floats]] = [
        (SYSTEM, STATIC, front[SYSTEM]),
        (SCHEMAS, STATIC, front[SCHEMAS]),
        (HISTORY, PAST if state == SAME else NEW, front[HISTORY]),
        (MESSAGE, NEW, front[MESSAGE]),
    ]
    before = {source: np.zeros(n) for source in range(WRITTEN)}  # what the call before this one sent, by source
    for call in range(calls):
        size = sum(before.values()) + sum(tokens for _, _, tokens in sent)
        tier = np.asarray(size > limit).astype(np.intp)
        for source, tokens in before.items():
            _add(use, source, LOOP, tier, tokens)
        for source, kind, tokens in sent:
            _add(use, source, kind, tier, tokens)
            before[source] = before[source] + tokens
        output = route.output_tokens.amount.draw(n, rng)
        _add(use, WRITTEN, NEW, tier, output)
        if call < calls - 1:
            sent = [(OUTPUT, NEW, output), (RESULT, NEW, route.tool_result_tokens.amount.draw(n, rng))]
    return use


def _add(use: Floats, source: int, kind: int, tier: npt.NDArray[np.intp], tokens: Floats) -> None:
    if not tier.any():
        use[source, kind, STANDARD] += tokens
        return
    use[source, kind, STANDARD] += np.where(tier == LONG, 0.0, tokens)
    use[source, kind, LONG] += np.where(tier == LONG, tokens, 0.0)
