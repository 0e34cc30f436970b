"""Dated price tables: what a call costs, in dollars, on the day it was made.

`datasets/prices.json` comes first: it owns validity dates, batch prices and history. For a model it lacks, the
`genai-prices` package is asked. A model without a price is an error, never 0. Names are LiteLLM's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from router.errors import PriceError

SHIPPED = Path(__file__).resolve().parent.parent / "datasets" / "prices.json"
ADD = "Add it to datasets/prices.json (effective_from, source, input_cost_per_token, output_cost_per_token) or pass --prices FILE."
TIERS = ("standard", "batch")
REQUIRED = ("input_cost_per_token", "output_cost_per_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call. `cache_read_tokens` and `cache_write_tokens` are part of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def __post_init__(self) -> None:
        cached = self.cache_read_tokens + self.cache_write_tokens
        if min(self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens) < 0:
            raise PriceError(f"{self}: token counts must not be negative.")
        if cached > self.input_tokens:
            raise PriceError(f"{self}: {cached} cached tokens are more than the input holds; they are a part of it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars per token of one model from one day on. None: the provider sells no such thing, or it is not known."""

    model: str
    effective_from: date
    source: str
    input_cost_per_token: float
    output_cost_per_token: float
    cache_read_input_token_cost: float | None = None
    cache_creation_input_token_cost: float | None = None
    input_cost_per_token_batches: float | None = None
    output_cost_per_token_batches: float | None = None
    long_context_above_tokens: int | None = None
    input_cost_per_token_long_context: float | None = None
    output_cost_per_token_long_context: float | None = None
    shutdown: date | None = None

    def cost_usd(self, usage: Usage, *, tier: str = "standard") -> float:
        """Dollars for one call. A cached token costs its own price, or the input price where none is listed.

        tier: "standard" or "batch". Above the long-context limit every token of the call has the higher price,
        a batch call's by the same factor.
        Raises PriceError for a tier that the model is not sold in.
        """
        per_input, per_output = self._rates(usage, tier)
        multiplier = _factor(per_input, self.input_cost_per_token)
        read, write = (
            per_input if listed is None else listed * multiplier
            for listed in (self.cache_read_input_token_cost, self.cache_creation_input_token_cost)
        )
        fresh = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
        return (
            fresh * per_input
            + usage.cache_read_tokens * read
            + usage.cache_write_tokens * write
            + usage.output_tokens * per_output
        )

    def _rates(self, usage: Usage, tier: str) -> tuple[float, float]:
        if tier not in TIERS:
            raise PriceError(f"tier is {tier!r}; wanted one of {', '.join(TIERS)}.")
        if tier == "batch":
            if self.input_cost_per_token_batches is None or self.output_cost_per_token_batches is None:
                raise PriceError(f"{self.model} has no batch price from {self.effective_from} on. {ADD}")
            per_input, per_output = self._standard_rates(usage)
            return (
                self.input_cost_per_token_batches * _factor(per_input, self.input_cost_per_token),
                self.output_cost_per_token_batches * _factor(per_output, self.output_cost_per_token),
            )
        return self._standard_rates(usage)

    def _standard_rates(self, usage: Usage) -> tuple[float, float]:
        limit = self.long_context_above_tokens
        if limit is not None and usage.input_tokens > limit:
            return (
                self.input_cost_per_token_long_context or self.input_cost_per_token,
                self.output_cost_per_token_long_context or self.output_cost_per_token,
            )
        return self.input_cost_per_token, self.output_cost_per_token


def _factor(rate: float, usual: float) -> float:
    """How many times the usual rate; 1 where that is nothing."""
    return rate / usual if usual else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Every known price of every model, each list in the order of its dates."""

    prices: Mapping[str, tuple[Price, ...]]
    where: str

    def on(self, model: str, day: date) -> Price:
        """The price of `model` that is valid on `day`.

        Raises PriceError where no price is known for that day, naming the days that are.
        """
        known = self.prices.get(model)
        if known is None:
            return _from_package(model, day, self.where)
        valid = [price for price in known if price.effective_from <= day]
        if not valid:
            raise PriceError(
                f"{model} has no price on {day}; {self.where} knows it from {known[0].effective_from} on. {ADD}"
            )
        return valid[-1]


def read_prices(path: Path = SHIPPED) -> PriceTable:
    """Read a price file: {"models": {name: [{effective_from, source, ...}, ...]}}. Raises PriceError by model and field."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        models: Any = raw["models"]  # Any: what a JSON file holds
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise PriceError(
            f"{path}: cannot be read as a price table ({err}); see datasets/prices.json for the form."
        ) from err
    if not isinstance(models, dict):
        raise PriceError(f"{path}: `models` is {models!r}; wanted an object, model name to list of prices. {ADD}")
    return PriceTable(
        prices={model: _dated(model, entries, path) for model, entries in models.items()}, where=str(path)
    )


def _dated(model: str, entries: Any, path: Path) -> tuple[Price, ...]:  # Any: what a JSON file holds
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise PriceError(f"{path}: {model} is {entries!r}; wanted a list of one price or more. {ADD}")
    prices = sorted((_price(model, entry, path) for entry in entries), key=lambda price: price.effective_from)
    days = [price.effective_from for price in prices]
    if len(set(days)) != len(days):
        raise PriceError(f"{path}: {model} has two prices from the same day; wanted one.")
    return tuple(prices)


def _price(model: str, entry: Mapping[str, Any], path: Path) -> Price:
    fields = dict(entry)
    try:
        for name in ("effective_from", "shutdown"):
            if name in fields and (name == "effective_from" or fields[name] is not None):
                fields[name] = date.fromisoformat(fields[name])
        price = Price(model=model, **fields)
    except (TypeError, ValueError) as err:
        raise PriceError(f"{path}: {model}: {err}. {ADD}") from err
    amounts = {
        name: value for name, value in fields.items() if "cost" in name and (value is not None or name in REQUIRED)
    }
    for name, value in amounts.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise PriceError(f"{path}: {model}: `{name}` is {value!r}; wanted dollars per token, 0 or more.")
    limit = price.long_context_above_tokens
    if limit is not None and type(limit) is not int:
        raise PriceError(f"{path}: {model}: `long_context_above_tokens` is {limit!r}; wanted a whole number. {ADD}")
    return price


def _from_package(model: str, day: date, where: str) -> Price:
    try:
        from genai_prices import Usage as PackageUsage
        from genai_prices import calc_price
    except ImportError as err:
        raise PriceError(f"{model} has no price in {where}. {ADD}") from err
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    try:
        per_thousand = [
            float(calc_price(usage, model_ref=model, genai_request_timestamp=at).total_price)
            for usage in (PackageUsage(input_tokens=1_000), PackageUsage(output_tokens=1_000))
        ]
    except LookupError as err:
        raise PriceError(
            f"{model} has no price in {where}, and the genai-prices package does not know it. {ADD}"
        ) from err
    return Price(
        model=model,
        effective_from=day,
        source="genai-prices",
        input_cost_per_token=per_thousand[0] / 1e3,
        output_cost_per_token=per_thousand[1] / 1e3,
    )
