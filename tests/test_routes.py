"""The route table is read whole or refused, and what it says can be priced and carried in a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from router.dataset import Dataset
from router.errors import DataError, PriceError
from router.files import canonical_json
from router.prices import read_prices
from router.routes import RouteTable, read_routes, table_from_mapping, table_to_mapping

Raw = dict[str, Any]  # Any: what a TOML file holds
Change = Callable[[Raw], object]


@pytest.fixture
def raw(table: RouteTable) -> Raw:
    """The shipped table as parsed TOML, to be changed freely."""
    return deepcopy(table_to_mapping(table))


def test_the_threshold_of_equal_regret_follows_from_the_two_prices(table: RouteTable) -> None:
    spec = replace(table.policy, wrong_cheap_usd=0.03, wrong_dear_usd=0.01)
    assert spec.bayes_threshold == pytest.approx(0.75)  # at 0.75: 0.25 x 0.03 = 0.75 x 0.01


def test_a_route_costs_its_tokens_at_its_models_price(table: RouteTable) -> None:
    cost = table.cost_usd(read_prices())
    assert cost["chat"] == pytest.approx(500 * 0.10e-6 + 150 * 0.50e-6)
    assert cost["budget"] == pytest.approx(3_200 * 2e-6 + 420 * 10e-6)


def test_a_route_in_the_batch_tier_costs_the_batch_price(table: RouteTable) -> None:
    slow = replace(table, routes=tuple(replace(route, tier="batch") for route in table.routes))
    assert slow.cost_usd(read_prices())["chat"] == pytest.approx(table.cost_usd(read_prices())["chat"] / 2)


def test_a_model_that_nobody_has_a_price_for_is_refused(table: RouteTable) -> None:
    unknown = replace(table, routes=tuple(replace(route, model="model-of-nobody") for route in table.routes))
    with pytest.raises(PriceError, match="model-of-nobody has no price"):
        unknown.cost_usd(read_prices())


def test_a_table_survives_the_form_that_a_bundle_carries(table: RouteTable) -> None:
    assert table_from_mapping(json.loads(canonical_json(table_to_mapping(table))), where="x") == table


def test_a_table_without_urgency_and_refusals_survives_it_too(table: RouteTable) -> None:
    plain = replace(table.policy, urgency_head=None, high_label=None, out_of_scope_label=None)
    smaller = replace(table, policy=plain)
    assert table_from_mapping(table_to_mapping(smaller), where="x") == smaller


def test_any_change_of_what_decides_changes_the_digest(table: RouteTable) -> None:
    first, *others = table.routes
    changed = [
        replace(table, policy=replace(table.policy, wrong_cheap_usd=0.5)),
        replace(table, policy=replace(table.policy, max_novelty=0.5)),
        replace(table, price_date=date(2026, 1, 1)),
        replace(table, cheap="shop"),
        replace(table, routes=(replace(first, output_tokens=1), *others)),
        replace(table, routes=(*others, first)),
    ]
    assert len({each.digest() for each in (table, *changed)}) == 1 + len(changed)


def test_the_same_table_has_the_same_digest_whoever_read_it(table: RouteTable, raw: Raw) -> None:
    assert table_from_mapping(raw, where="elsewhere").digest() == table.digest()


def test_a_label_without_a_desk_has_no_route(table: RouteTable) -> None:
    found = table.desk_index(("shop", "general", "dashboard"))
    assert found.tolist() == [table.names.index("shop"), -1, table.names.index("dashboard")]


def test_the_shipped_table_reads_what_the_shipped_card_has(table: RouteTable, pam: Dataset) -> None:
    table.check_against(pam.card)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("complexity_head", "size", "reads head 'size'"),
        ("cheap_label", "tiny", "label 'tiny' is not one of head 'complexity'"),
        ("out_of_scope_label", "nonsense", "label 'nonsense' is not one of head 'domain'"),
        ("urgency_head", "haste", "reads head 'haste'"),
        ("high_label", "now", "label 'now' is not one of head 'urgency'"),
    ],
)
def test_a_head_or_label_that_the_card_lacks_is_refused(
    table: RouteTable, pam: Dataset, field: str, value: str, message: str
) -> None:
    spec: Raw = {field: value}
    with pytest.raises(DataError, match=message):
        replace(table, policy=replace(table.policy, **spec)).check_against(pam.card)


BROKEN: dict[str, Change] = {
    "no policy": lambda raw: raw.pop("policy"),
    "no routes": lambda raw: raw.pop("routes"),
    "no price date": lambda raw: raw.pop("price_date"),
    "a date that is none": lambda raw: raw.update(price_date="soon"),
    "no complexity": lambda raw: raw["policy"].pop("complexity"),
    "no name": lambda raw: raw["routes"][0].pop("name"),
    "no latency": lambda raw: raw["routes"][0].pop("latency_ms_p50"),
    "an unknown key": lambda raw: raw["routes"][0].update(colour="red"),
    "a route that is text": lambda raw: raw["routes"].append("chat"),
    "two of one name": lambda raw: raw["routes"].append(dict(raw["routes"][2])),
    "nothing cheap": lambda raw: raw["routes"][0].update(cheap=False),
    "two cheap": lambda raw: raw["routes"][2].update(cheap=True),
    "nothing safe": lambda raw: raw["routes"][1].update(safe=False),
    "two safe": lambda raw: raw["routes"][2].update(safe=True),
    "a fallback nobody knows": lambda raw: raw["routes"][0].update(fallback=["cellar"]),
    "a fallback to itself": lambda raw: raw["routes"][0].update(fallback=["chat"]),
    "negative tokens": lambda raw: raw["routes"][0].update(input_tokens=-1),
    "tokens as text": lambda raw: raw["routes"][0].update(input_tokens="500"),
    "no time at all": lambda raw: raw["routes"][0].update(latency_ms_p50=0),
    "p50 above p95": lambda raw: raw["routes"][0].update(latency_ms_p50=901),
    "a mistake for free": lambda raw: raw["policy"].update(wrong_cheap_usd=0),
    "a mistake without a number": lambda raw: raw["policy"].update(wrong_dear_usd=float("nan")),
    "a mistake without an end": lambda raw: raw["policy"].update(wrong_cheap_usd=float("inf")),
    "a mistake in words": lambda raw: raw["policy"].update(wrong_cheap_usd="much"),
    "confidence above one": lambda raw: raw["policy"].update(min_confidence=1.5),
    "negative novelty": lambda raw: raw["policy"].update(max_novelty=-0.1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_table_that_cannot_be_used_is_refused_by_its_files_name(raw: Raw, name: str) -> None:
    BROKEN[name](raw)
    with pytest.raises(DataError, match=r"^mine\.toml: "):
        table_from_mapping(raw, where="mine.toml")


def test_a_price_date_with_a_time_of_day_means_that_day(table: RouteTable, raw: Raw) -> None:
    raw["price_date"] = datetime(2026, 11, 22, 9, 30)  # TOML has times without a zone
    found = table_from_mapping(raw, where="mine.toml")
    assert found.cost_usd(read_prices()) == table.cost_usd(read_prices())


def test_a_missing_table_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"routes\.toml: no such file"):
        read_routes(tmp_path / "routes.toml")
