"""What a token costs on each road, as the mean over the days of a month: a price that changes inside it counts by its days."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from eval.simulate.scenario import RouteUse, Scenario
from router.errors import PriceError
from router.prices import Price, PriceTable, Usage

Floats = npt.NDArray[np.float64]
STANDARD, LONG = 0, 1  # the tier of a call below and above the model's long-context limit
NO_LIMIT = np.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """Dollars per token on r routes, in the standard and the long-context tier; 0 where a route has a price per query.

    new: (r, 2) a token that no cache holds, written into one where the route caches prompts and the provider charges
    for that.   read: (r, 2) one that the cache holds.   output: (r, 2).   limit: (r,) input tokens above which a call is
    long, inf where there is none.   listed: (r,) the output price that the model is listed at, whatever the tier.   days:
    of the month.
    """

    new: Floats
    read: Floats
    output: Floats
    limit: Floats
    listed: Floats
    days: int


def month_rates(scenario: Scenario, prices: PriceTable, *, month: date | None = None) -> Rates:
    """The mean over the days of `month`, the scenario's own where none is named.

    Raises PriceError where a model has no price on one of the days (`ScenarioFile.require_prices` says so with the line),
    or its long-context limit changes inside the month.
    """
    days = days_of(month or scenario.month)
    rows = [_route_rates(route, prices, days) for route in scenario.routes]
    table = np.array([row[0] for row in rows])
    return Rates(
        new=table[:, 0],
        read=table[:, 1],
        output=table[:, 2],
        limit=np.array([row[1] for row in rows]),
        listed=np.array([row[2] for row in rows]),
        days=len(days),
    )


def days_of(month: date) -> list[date]:
    """Every day of the month that begins on `month`."""
    return [month + timedelta(days=k) for k in range(calendar.monthrange(month.year, month.month)[1])]


def later(month: date, months: int) -> date:
    """The first day of the month `months` after `month`.

    >>> later(date(2026, 11, 1), 2)
    datetime.date(2027, 1, 1)
    """
    years, index = divmod(month.month - 1 + months, 12)
    return date(month.year + years, index + 1, 1)


def _route_rates(route: RouteUse, prices: PriceTable, days: list[date]) -> tuple[list[list[float]], float, float]:
    if route.usd_per_query is not None:
        return [[0.0, 0.0]] * 3, NO_LIMIT, 0.0
    dated: dict[date, list[Price]] = {}
    for day in days:
        price = prices.on(route.model, day)
        dated.setdefault(price.effective_from, []).append(price)
    # a package's price is dated by the day it is asked for; equal ones are added up all the same
    weighted = [(len(same), same[0]) for same in dated.values()]
    mean = sum(count * np.array(_token_rates(price, route)) for count, price in weighted) / len(days)
    limits = {price.long_context_above_tokens for _, price in weighted} - {None}
    if len(limits) > 1:
        raise PriceError(
            f"{route.model}: its long-context limit changes between {days[0]} and {days[-1]}; wanted one a month."
            " Simulate the months before and after it."
        )
    limit = next(iter(limits), None)  # on days without one, long calls cost what short ones do
    listed = sum(count * price.output_cost_per_token for count, price in weighted) / len(days)
    return np.asarray(mean).tolist(), NO_LIMIT if limit is None else float(limit), listed


def _token_rates(price: Price, route: RouteUse) -> list[list[float]]:
    """[new, read, output], each [standard, long], read off the price of small and of large calls."""
    sizes = (1, (price.long_context_above_tokens or 0) + 1)

    def usd(size: int, *, output: int = 0, read: int = 0, write: int = 0) -> float:
        usage = Usage(input_tokens=size, output_tokens=output, cache_read_tokens=read, cache_write_tokens=write)
        return price.cost_usd(usage, tier=route.tier)

    plain = [usd(size) / size for size in sizes]
    output = [usd(size, output=1) - usd(size) for size in sizes]
    if not route.caches_prompts:
        return [plain, plain, output]
    written = price.cache_creation_input_token_cost is not None
    new = [usd(size, write=size) / size for size in sizes] if written else plain
    return [new, [usd(size, read=size) / size for size in sizes], output]
