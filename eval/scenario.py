"""A cost scenario in closed form: volume x share x tokens x dated prices, beside the figures somebody printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from router.errors import DataError
from router.files import read_toml
from router.prices import PriceTable, Usage

ADVICE = "See datasets/pam-v1/scenarios/pam-2025-09.toml for the form."
WANTED = {"date": date, "queries_per_month": int, "input_tokens": int, "output_tokens": int}
SAID = {date: "a day as 2025-09-01, without quotes", int: "a whole number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRoute:
    """One road: the share of queries it takes, its model and price tier, and what was printed for it (or None)."""

    name: str
    share: float
    model: str
    tier: str = "standard"
    printed_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Assumptions of one month. Shares add up to 1; tokens are per query, the same on every road."""

    name: str
    date: date
    queries_per_month: int
    input_tokens: int
    output_tokens: int
    baseline: ScenarioRoute
    routes: tuple[ScenarioRoute, ...]
    printed_routed_usd: float | None
    printed_saving: float | None
    left_out: tuple[str, ...]

    def __post_init__(self) -> None:
        total = sum(route.share for route in self.routes)
        if abs(total - 1.0) > 1e-9 or any(route.share < 0 for route in self.routes):
            raise DataError(
                f"scenario {self.name!r}: the shares add up to {total:.6g}; wanted fractions that add up to 1. {ADVICE}"
            )
        if self.queries_per_month <= 0:
            raise DataError(
                f"scenario {self.name!r}: queries_per_month is {self.queries_per_month}; wanted more than 0. {ADVICE}"
            )


def _check_types(raw: Mapping[str, Any]) -> None:
    for name, wanted in WANTED.items():
        if type(raw[name]) is not wanted:  # a time of day is a date to isinstance, and true a whole number
            raise DataError(f"{name} is {raw[name]!r}; wanted {SAID[wanted]}. {ADVICE}")


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises DataError with the file's name."""
    raw = read_toml(path, what="a scenario", make=ADVICE)
    try:
        _check_types(raw)
        printed: Mapping[str, Any] = raw.get("printed", {})
        return Scenario(
            name=raw["name"],
            date=raw["date"],
            queries_per_month=raw["queries_per_month"],
            input_tokens=raw["input_tokens"],
            output_tokens=raw["output_tokens"],
            baseline=ScenarioRoute(**{"share": 1.0, **raw["baseline"]}),
            routes=tuple(ScenarioRoute(**route) for route in raw["routes"]),
            printed_routed_usd=printed.get("routed_usd"),
            printed_saving=printed.get("saving"),
            left_out=tuple(raw.get("left_out", {}).get("notes", ())),
        )
    except (KeyError, TypeError, AttributeError) as err:
        raise DataError(f"{path}: the scenario lacks or misspells {err}. {ADVICE}") from err
    except DataError as err:
        raise DataError(f"{path}: {err}") from err


def price_scenario(scenario: Scenario, prices: PriceTable) -> dict[str, Any]:
    """Dollars per month of every road, of the whole, and of the baseline; the saving; printed figures beside them.

    Raises PriceError for a model without a price on the scenario's date.
    """
    usage = Usage(input_tokens=scenario.input_tokens, output_tokens=scenario.output_tokens)

    def monthly(route: ScenarioRoute) -> float:
        each = prices.on(route.model, scenario.date).cost_usd(usage, tier=route.tier)
        return route.share * scenario.queries_per_month * each

    rows = [
        {
            "name": route.name,
            "queries": round(route.share * scenario.queries_per_month),
            "usd": _usd(monthly(route)),
            "printed_usd": route.printed_usd,
        }
        for route in scenario.routes
    ]
    baseline, routed = monthly(scenario.baseline), sum(monthly(route) for route in scenario.routes)
    return {
        "scenario": scenario.name,
        "baseline": scenario.baseline.name,
        "baseline_usd_per_month": _usd(baseline),
        "baseline_printed_usd": scenario.baseline.printed_usd,
        "routes": rows,
        "routed_usd_per_month": _usd(routed),
        "routed_printed_usd": scenario.printed_routed_usd,
        "usd_per_query": _usd(routed / scenario.queries_per_month),
        "saving": round(1.0 - routed / baseline, 9),
        "saving_printed": scenario.printed_saving,
        "left_out": list(scenario.left_out),
    }


def _usd(value: float) -> float:
    return float(f"{value:.9f}")
