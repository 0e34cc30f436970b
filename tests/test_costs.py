"""What an attempt cost: looked up once a day, warm before anybody waits, and never 0 for what is not known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from agents.gateway.costs import KEPT, Cost
from router.errors import PriceError
from router.prices import Price, PriceTable, Usage
from tests.scripted import DAY, PRICES

USAGE = Usage(input_tokens=100, output_tokens=10)


class Counted(PriceTable):
    """Remembers what it was asked."""

    asked: list[tuple[str, date]] = []  # noqa: RUF012  # of the class, emptied by `counted`

    def on(self, model: str, day: date) -> Price:
        self.asked.append((model, day))
        return super().on(model, day)


@pytest.fixture
def counted() -> Iterator[Counted]:
    Counted.asked.clear()
    yield Counted(prices=PRICES.prices, where="the test")
    Counted.asked.clear()


def test_a_price_is_looked_up_once_a_day(counted: Counted) -> None:
    days = iter([DAY, DAY, DAY + timedelta(days=1)])
    cost = Cost(counted, today=lambda: next(days))
    paid = [cost.of(USAGE, asked="m-fast", served=None, tier="standard") for _ in range(3)]
    assert [dollars for dollars, _ in paid] == pytest.approx([1.2e-4] * 3)
    assert [why for _, why in paid] == [None] * 3
    assert counted.asked == [("m-fast", DAY), ("m-fast", DAY + timedelta(days=1))]


def test_a_model_without_a_price_is_not_looked_for_again_and_its_cost_is_not_zero(counted: Counted) -> None:
    cost = Cost(counted, today=lambda: DAY)
    told = [cost.of(USAGE, asked="nobody-sells-this", served=None, tier="standard") for _ in range(2)]
    assert [dollars for dollars, _ in told] == [None, None]
    assert all("nobody-sells-this has no price" in str(why) for _, why in told)
    assert len(counted.asked) == 1


def test_a_tier_that_a_model_is_not_sold_in_leaves_the_cost_unknown() -> None:
    dollars, why = Cost(PRICES, today=lambda: DAY).of(USAGE, asked="m-fast", served=None, tier="batch")
    assert dollars is None
    assert "no batch price" in str(why)


def test_warming_looks_up_every_model_and_tells_which_has_no_price(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    cost = Cost(counted, today=lambda: DAY)
    with caplog.at_level(logging.WARNING):
        cost.warm(["m-fast", "nobody-sells-this"])
    before = list(counted.asked)
    cost.of(USAGE, asked="m-fast", served="m-fast-2026-11-01", tier="standard")
    assert counted.asked == before
    assert [record.getMessage().partition(" will ")[0] for record in caplog.records] == [
        "what nobody-sells-this answers"
    ]


def test_warming_opens_the_package_of_prices_even_where_the_table_knows_every_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    def package(model: str, day: date, where: str) -> Price:
        opened.append(model)
        raise PriceError("not known there either")

    monkeypatch.setattr("router.prices._from_package", package)
    Cost(PRICES, today=lambda: DAY).warm(["m-fast"])
    assert len(opened) == 1


def test_what_is_remembered_is_bounded_whatever_providers_call_their_models(counted: Counted) -> None:
    cost = Cost(counted, today=lambda: DAY)
    for number in range(3 * KEPT):
        cost.of(USAGE, asked="m-fast", served=f"strange-{number}", tier="standard")
    assert len(cost._found) <= KEPT
