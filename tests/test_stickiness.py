"""A conversation stays on its route until another is worth the change; safety is never overruled."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import DataError, PolicyError
from router.policy import RULES, LabelPolicy
from router.routes import RouteTable, table_from_mapping, table_to_mapping
from router.stickiness import NONE, expected_wrong_usd, stays_on, sticky
from tests.roads import SPEC as SURE
from tests.roads import road

CLASSES = {"level": ("easy", "hard"), "topic": ("shop", "trip", "outside"), "mood": ("calm", "urgent")}
SPEC = replace(SURE, min_confidence=0.3)
TABLE = RouteTable(
    routes=(road("chat"), road("shop", desk="shop"), road("trip", desk="trip"), road("help", safe=True)),
    cheap="chat",
    policy=SPEC,
    price_date=date(2026, 11, 1),
)
CHAT, SHOP, TRIP, HELP = range(4)
POLICY = LabelPolicy(TABLE, CLASSES, threshold=0.5)


def read(easy: float, shop: float, trip: float, urgent: float = 0.0) -> dict[str, np.ndarray]:
    outside = 1.0 - shop - trip
    return {
        "level": np.array([[easy, 1 - easy]]),
        "topic": np.array([[shop, trip, outside]]),
        "mood": np.array([[1 - urgent, urgent]]),
    }


def after(previous: int, said: dict[str, np.ndarray], *, switch_usd: float, novelty: float = 0.0) -> int:
    choices = POLICY.choose(said, novelty=np.array([novelty]))
    return int(sticky(POLICY, said, choices, [previous], switch_usd=switch_usd).route[0])


def test_what_a_route_is_expected_to_lose_worked_out_by_hand() -> None:
    """easy 0.2, shop 0.3, trip 0.7: chat 0.8 x 0.02; shop 0.2 x 0.01 + 0.8 x 0.7 x 0.02; trip with 0.3; help with 1."""
    loss = expected_wrong_usd(POLICY, read(0.2, 0.3, 0.7))[0]
    assert loss == pytest.approx([0.016, 0.0132, 0.0068, 0.018])


def test_a_better_desk_is_taken_once_it_is_worth_the_change() -> None:
    """From the shop to the trip saves 0.0132 - 0.0068 = 0.0064 dollars."""
    said = read(0.2, 0.3, 0.7)
    assert after(SHOP, said, switch_usd=0.0063) == TRIP
    assert after(SHOP, said, switch_usd=0.0065) == SHOP


def test_a_route_that_stays_says_so_and_how_likely_it_is_right() -> None:
    """P(not easy) 0.8 times P(shop) 0.3."""
    said = read(0.2, 0.3, 0.7)
    kept = sticky(POLICY, said, POLICY.choose(said, novelty=np.zeros(1)), [SHOP], switch_usd=0.01)
    assert (RULES[kept.rule[0]], kept.confidence[0]) == ("stays", pytest.approx(0.24))


def test_one_decision_stays_by_the_tables_own_cost() -> None:
    dear = LabelPolicy(replace(TABLE, policy=replace(SPEC, switch_usd=0.0065)), CLASSES, threshold=0.5)
    said = {head: dict(zip(CLASSES[head], p[0].tolist(), strict=True)) for head, p in read(0.2, 0.3, 0.7).items()}
    assert stays_on(dear, said, route="trip", rule="desk", previous="shop") == pytest.approx(0.24)
    assert stays_on(dear, said, route="trip", rule="desk", previous="trip") is None
    assert stays_on(dear, said, route="help", rule="novel", previous="shop") is None
    assert stays_on(dear, said, route="trip", rule="desk", previous="closed") is None
    assert stays_on(POLICY, said, route="trip", rule="desk", previous="shop") is None


@pytest.mark.parametrize("usd", [-0.01, float("inf"), float("nan")])
def test_a_cost_that_is_none_is_refused_where_the_table_is_read(usd: float) -> None:
    with pytest.raises(DataError, match="wanted dollars a change of route"):
        replace(SPEC, switch_usd=usd)


def test_the_cost_comes_back_from_a_bundles_form_and_is_part_of_the_policys_hash() -> None:
    dear = replace(TABLE, policy=replace(SPEC, switch_usd=0.002))
    assert table_from_mapping(table_to_mapping(dear), where="here") == dear
    assert "switch_usd" not in table_to_mapping(TABLE)["policy"]
    assert dear.digest() != TABLE.digest()


def test_at_no_cost_the_policy_decides_alone() -> None:
    assert after(SHOP, read(0.2, 0.3, 0.7), switch_usd=0.0) == TRIP


def test_a_conversation_that_begins_has_nothing_to_keep() -> None:
    assert after(NONE, read(0.2, 0.3, 0.7), switch_usd=1.0) == TRIP


@pytest.mark.parametrize(
    ("said", "novelty", "rule"),
    [(read(0.9, 0.5, 0.5), 0.95, "novel"), (read(0.2, 0.0, 0.0, 0.9), 0.0, "danger"), (read(0.2, 0.34, 0.33), 0.0, "")],
)
def test_safety_is_never_overruled(said: dict[str, np.ndarray], novelty: float, rule: str) -> None:
    choices = POLICY.choose(said, novelty=np.array([novelty]))
    if rule:
        assert RULES[choices.rule[0]] == rule
        assert after(SHOP, said, switch_usd=1.0, novelty=novelty) == HELP
    unsure = LabelPolicy(replace(TABLE, policy=replace(SPEC, min_confidence=0.9)), CLASSES, threshold=0.5)
    doubtful = unsure.choose(said, novelty=np.array([0.0]))
    if RULES[doubtful.rule[0]] == "unsure":
        assert sticky(unsure, said, doubtful, [SHOP], switch_usd=1.0).route.tolist() == [HELP]


@given(
    easy=st.floats(0, 1),
    shop=st.floats(0, 0.5),
    trip=st.floats(0, 0.5),
    previous=st.sampled_from([NONE, CHAT, SHOP, TRIP, HELP]),
    cost=st.floats(0, 0.05),
)
def test_the_route_is_the_policys_or_the_previous_one_and_a_dearer_change_never_changes_more(
    easy: float, shop: float, trip: float, previous: int, cost: float
) -> None:
    said = read(easy, shop, trip)
    chosen = int(POLICY.choose(said, novelty=np.zeros(1)).route[0])
    at, dearer = (after(previous, said, switch_usd=usd) for usd in (cost, 2 * cost + 0.001))
    assert at in (chosen, previous)
    assert dearer in (at, previous)


def test_bad_input_is_refused() -> None:
    said = read(0.2, 0.3, 0.7)
    choices = POLICY.choose(said, novelty=np.zeros(1))
    with pytest.raises(PolicyError, match="wanted dollars a change"):
        sticky(POLICY, said, choices, [SHOP], switch_usd=float("nan"))
    with pytest.raises(PolicyError, match="2 previous routes for 1 queries"):
        sticky(POLICY, said, choices, [SHOP, SHOP], switch_usd=0.1)
