"""What a scenario states beside its uncertain numbers: amounts, rows of shares and constants, in words for a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eval.simulate.amounts import NOTHING, Constant, Empirical, Lognormal, Quantity
from eval.simulate.scenario import HOURS, TOKENS, RouteUse, Scenario

Row = dict[str, str]


def settings_of(scenario: Scenario) -> list[Row]:
    """[{"name", "value"}]: everything that the scenario states and `assumptions` does not list, neutral values left out."""
    rows = [*_month(scenario), *(row for route in scenario.routes for row in _route(route))]
    return [{"name": name, "value": value} for name, value in rows]


def amount_words(quantity: Quantity) -> str:
    """An amount as it stands in a file, in words.

    >>> amount_words(Quantity.of(Lognormal(median=100, p95=400), off_by=1.3))
    'median 100, 95 in 100 up to 400, mean 143; the level off by a factor of 1.3 at most'
    """
    amount = quantity.amount
    if isinstance(amount, Constant):
        words = f"{amount.value:g}"
    elif isinstance(amount, Lognormal):
        words = f"median {amount.median:g}, 95 in 100 up to {amount.p95:g}, mean {amount.mean:.3g}"
    else:
        seen = len(amount.values) if isinstance(amount, Empirical) else 0
        words = f"one of {seen} values that were seen, mean {amount.mean:.3g}"
    off_by = quantity.level.high
    return words if off_by is None else f"{words}; the level off by a factor of {off_by:g} at most"


def _month(scenario: Scenario) -> Iterator[tuple[str, str]]:
    if scenario.months > 1 or scenario.growth_per_month:
        yield "growth_per_month", f"{scenario.growth_per_month:.1%} over {scenario.months} months"
    if not scenario.chance:
        yield "chance", "the month's own luck is left out"
    if scenario.mix_n is not None:
        yield "mix_n", f"shares as sure as a count of {scenario.mix_n:g} queries"
    if scenario.counts is not None:
        yield "router.counts", scenario.counts.source
    if scenario.router.decision_ms:
        yield "router.decision_ms", f"{scenario.router.decision_ms:g}"
    if scenario.router.usd_per_month:
        yield "router.usd_per_month", f"${scenario.router.usd_per_month:g}"
    if any(route.caches_prompts for route in scenario.routes):
        yield "prompt_cache.minutes", f"{scenario.prompt_cache.minutes:g}"
    if len(set(scenario.traffic_by_hour)) > 1:
        peak = max(scenario.traffic_by_hour) / sum(scenario.traffic_by_hour)
        yield (
            "traffic_by_hour",
            f"{peak:.1%} of the day's messages in the busiest hour, {1 / HOURS:.1%} in the mean one",
        )
    for entry in scenario.queries:
        yield f"queries.{entry.name}.needs", entry.needs
        if entry.sends is not None:
            yield f"queries.{entry.name}.sends", _shares(entry.sends)
        if entry.also:
            yield f"queries.{entry.name}.also", _shares(entry.also)
    for baseline in scenario.baselines:
        rows = "; ".join(f"{name}: {_shares(row)}" for name, row in baseline.sends.items())
        yield f"baseline {baseline.name}", baseline.route or rows or "each query to the road it needs"


def _route(route: RouteUse) -> Iterator[tuple[str, str]]:
    at = f"routes.{route.name}"
    if route.tier != "standard":
        yield f"{at}.tier", route.tier
    for name in (*TOKENS, "usd_per_query", "call_ms", "tool_ms"):
        quantity = getattr(route, name)
        if quantity is not None and quantity != NOTHING:
            yield f"{at}.{name}", amount_words(quantity)
    if route.turns.most > 1:
        weights = getattr(route.turns, "weights", None)
        known = None if weights is None else ", ".join(f"{weight:g}" for weight in weights)
        yield f"{at}.turns", f"at most {route.turns.most}" if known is None else f"1, 2, ... calls: {known}"
    if route.caches_prompts:
        yield f"{at}.caches_prompts", "yes"
    if route.concurrency is not None:
        yield f"{at}.concurrency", f"{route.concurrency} answers at once"
    if route.failed_attempts.value > 0:
        billed = f", {route.billed_when_failed:.0%} of it billed" if route.billed_when_failed else ", not billed"
        yield f"{at}.retries", f"{route.retries}; a failed attempt takes {route.failed_ms:g} ms{billed}"
    yield f"{at}.fallback", route.fallback or "none: a fixed message"
    if route.good:
        yield f"{at}.good", _shares(route.good)
    if route.strength is not None:
        yield f"{at}.strength", f"{route.strength:g}"


def _shares(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.4g}" for name, share in row.items())
