"""What a call costs, in dollars, on the day it was made; a model without a price is an error, never 0."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import PriceError
from router.prices import Price, PriceTable, Usage, read_prices

PRICE = Price(
    model="m",
    effective_from=date(2025, 1, 1),
    source="by hand",
    input_cost_per_token=1e-6,
    output_cost_per_token=2e-6,
    cache_read_input_token_cost=0.1e-6,
    cache_creation_input_token_cost=1.25e-6,
    input_cost_per_token_batches=0.5e-6,
    output_cost_per_token_batches=1e-6,
    long_context_above_tokens=1_000,
    input_cost_per_token_long_context=2e-6,
    output_cost_per_token_long_context=3e-6,
)
BARE = Price(
    model="m", effective_from=date(2025, 1, 1), source="x", input_cost_per_token=1e-6, output_cost_per_token=2e-6
)
ENTRY: Mapping[str, Any] = {  # Any: whatever JSON can hold
    "effective_from": "2025-01-01",
    "source": "x",
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 2e-6,
}
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
COUNT = st.integers(0, 300)


def usage(fresh: int, output: int, *, read: int = 0, write: int = 0) -> Usage:
    return Usage(
        input_tokens=fresh + read + write, output_tokens=output, cache_read_tokens=read, cache_write_tokens=write
    )


def table_of(path: Path, models: object) -> PriceTable:
    path.write_text(json.dumps({"models": models}), encoding="utf-8")
    return read_prices(path)


@pytest.mark.parametrize(
    ("used", "tier", "millionths"),
    [
        (usage(0, 0), "standard", 0),
        (usage(10, 5), "standard", 10 + 10),
        (usage(20, 0, read=60, write=20), "standard", 20 + 6 + 25),
        (usage(10, 5), "batch", 5 + 5),
        (usage(20, 0, read=60, write=20), "batch", (20 + 6 + 25) / 2),
        (usage(1_000, 10), "standard", 1_000 + 20),
        (usage(1_001, 10), "standard", 2_002 + 30),
        (usage(500, 0, read=1_500), "standard", 1_000 + 300),
    ],
    ids=["nothing", "plain", "cache", "batch", "batch cache", "at the limit", "above the limit", "long cache"],
)
def test_a_call_costs_what_the_hand_reckons(used: Usage, tier: str, millionths: float) -> None:
    assert PRICE.cost_usd(used, tier=tier) * 1e6 == pytest.approx(millionths)


def test_above_the_long_context_limit_a_batch_call_has_the_higher_price_too() -> None:
    assert PRICE.cost_usd(usage(2_000, 0), tier="batch") * 1e6 == pytest.approx(2_000 * 2 / 2)


def test_a_cached_token_without_a_price_of_its_own_costs_the_input_price() -> None:
    assert BARE.cost_usd(usage(0, 0, read=7, write=3)) == pytest.approx(BARE.cost_usd(usage(10, 0)))


def test_a_model_without_a_long_context_price_has_one_price_at_any_length() -> None:
    assert BARE.cost_usd(usage(1_000_000, 0)) == pytest.approx(1.0)


@settings(deadline=None, max_examples=50)
@given(a=st.tuples(COUNT, COUNT, COUNT, COUNT), b=st.tuples(COUNT, COUNT, COUNT, COUNT))
def test_below_the_limit_two_calls_cost_what_one_with_their_tokens_costs(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int]
) -> None:
    roomy = replace(PRICE, long_context_above_tokens=10_000)
    one, two, both = (
        roomy.cost_usd(usage(fresh, output, read=read, write=write))
        for fresh, output, read, write in (a, b, tuple(x + y for x, y in zip(a, b, strict=True)))
    )
    assert one + two == pytest.approx(both)


@settings(deadline=None, max_examples=50)
@given(
    fresh=st.integers(0, 2_000), output=COUNT, more=st.integers(1, 2_000), tier=st.sampled_from(["standard", "batch"])
)
def test_a_longer_call_never_costs_less(fresh: int, output: int, more: int, tier: str) -> None:
    assert PRICE.cost_usd(usage(fresh + more, output), tier=tier) > PRICE.cost_usd(usage(fresh, output), tier=tier)


def test_a_batch_call_to_a_model_that_is_not_sold_in_batches_is_refused() -> None:
    with pytest.raises(PriceError, match="m has no batch price"):
        BARE.cost_usd(usage(1, 1), tier="batch")


def test_a_tier_that_nobody_sells_is_refused() -> None:
    with pytest.raises(PriceError, match="tier is 'flex'; wanted one of standard, batch"):
        PRICE.cost_usd(usage(1, 1), tier="flex")


@pytest.mark.parametrize("counts", [(-1, 0, 0, 0), (0, -1, 0, 0), (5, 0, -1, 0), (5, 0, 0, -1), (5, 0, 3, 3)])
def test_a_usage_that_cannot_be_is_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(PriceError):
        Usage(**dict(zip(TOKENS, counts, strict=True)))


@settings(deadline=None, max_examples=50)
@given(days=st.lists(st.integers(0, 400), min_size=1, max_size=5, unique=True), asked=st.integers(0, 400))
def test_the_price_of_a_day_is_the_last_one_that_began_by_then(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], asked: int
) -> None:
    start = date(2025, 1, 1)
    entries = [{**ENTRY, "effective_from": str(start + timedelta(day))} for day in days]  # in any order
    table = table_of(tmp_path_factory.getbasetemp() / "dated.json", {"m": entries})
    begun = [day for day in days if day <= asked]
    if begun:
        assert table.on("m", start + timedelta(asked)).effective_from == start + timedelta(max(begun))
    else:
        with pytest.raises(PriceError, match=f"knows it from {start + timedelta(min(days))} on"):
            table.on("m", start + timedelta(asked))


@pytest.mark.parametrize(
    "models",
    [
        [],
        None,
        {"m": 5},
        {"m": []},
        {"m": {}},
        {"m": ENTRY},
        {"m": ["cheap"]},
        {"m": [ENTRY, ENTRY]},
        *({"m": [{**ENTRY, **change}]} for change in (
            {"effective_from": None},
            {"effective_from": "soon"},
            {"effective_from": 20250101},
            {"input_cost_per_token": None},
            {"input_cost_per_token": "1e-6"},
            {"input_cost_per_token": -1e-6},
            {"input_cost_per_token": 1.25},
            {"input_cost_per_token": True},
            {"output_cost_per_token": float("nan")},
            {"long_context_above_tokens": "1000"},
            {"colour": "red"},
        )),
        {"m": [{"effective_from": "2025-01-01", "source": "x", "input_cost_per_token": 1e-6}]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_price_file_that_cannot_be_used_is_refused_by_its_name(tmp_path: Path, models: object) -> None:
    with pytest.raises(PriceError, match=r"mine\.json"):
        table_of(tmp_path / "mine.json", models)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"prices": {}}', b'{"models": "\xff"}'])
def test_a_file_that_is_no_price_table_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(PriceError, match=r"mine\.json: cannot be read as a price table"):
        read_prices(tmp_path / "mine.json")


def test_a_model_that_the_table_lacks_is_priced_by_the_package() -> None:
    found = PriceTable(prices={}, where="mine.json").on("gpt-4o", date(2025, 9, 30))
    assert found.source == "genai-prices"
    assert found.cost_usd(usage(1_000_000, 1_000_000)) == pytest.approx(2.50 + 10.00)  # its list price


def test_the_table_comes_before_the_package() -> None:
    mine = replace(BARE, model="gpt-4o")
    assert PriceTable(prices={"gpt-4o": (mine,)}, where="mine.json").on("gpt-4o", date(2025, 9, 30)) is mine


def test_a_model_that_neither_knows_is_refused_with_what_to_add() -> None:
    with pytest.raises(PriceError, match=r"nobodys-model has no price in mine\.json.*Add it to datasets/prices\.json"):
        PriceTable(prices={}, where="mine.json").on("nobodys-model", date(2025, 9, 30))


def test_without_the_package_a_missing_model_is_refused_just_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(PriceError, match=r"gpt-4o has no price in mine\.json\. Add it"):
        PriceTable(prices={}, where="mine.json").on("gpt-4o", date(2025, 9, 30))
