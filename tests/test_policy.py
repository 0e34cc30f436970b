"""The label policy: every rule by hand, then what must hold for any table and any probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from router.errors import PolicyError
from router.policy import RULES, Choices, Floats, LabelPolicy, true_route
from router.routes import RouteTable
from router.types import Labels
from tests.roads import SPEC, road

CLASSES: Mapping[str, tuple[str, ...]] = {
    "level": ("easy", "hard"),
    "topic": ("shop", "trip", "talk", "outside"),  # `talk` has no desk
    "mood": ("calm", "urgent"),
}
EASY, HARD = [1.0, 0.0], [0.0, 1.0]
SHOP, TRIP, TALK, OUTSIDE = np.eye(4).tolist()
CALM, URGENT = [1.0, 0.0], [0.0, 1.0]
TABLE = RouteTable(
    routes=(road("chat"), road("shop", desk="shop", safe=True), road("trip", desk="trip")),
    cheap="chat",
    policy=SPEC,
    price_date=date(2026, 11, 22),
)
NO_URGENCY = replace(TABLE, policy=replace(SPEC, urgency_head=None, high_label=None))
NO_SCOPE = replace(TABLE, policy=replace(SPEC, out_of_scope_label=None))


def probabilities(level: object, topic: object, mood: object) -> dict[str, Floats]:
    return {"level": np.array(level), "topic": np.array(topic), "mood": np.array(mood)}


def choose(policy: LabelPolicy, read: Mapping[str, Floats], novelty: Floats | None = None) -> Choices:
    return policy.choose(read, novelty=np.zeros(len(read["level"])) if novelty is None else novelty)


def one(
    level: list[float],
    topic: list[float],
    mood: list[float] = CALM,
    *,
    novelty: float = 0.0,
    threshold: float = 0.6,
    table: RouteTable = TABLE,
) -> tuple[str, str]:
    """(rule, route) of one query."""
    policy = LabelPolicy(table, CLASSES, threshold=threshold)
    said = choose(policy, probabilities([level], [topic], [mood]), np.array([novelty]))
    return RULES[said.rule[0]], table.names[said.route[0]]


def confidence(level: list[float], topic: list[float]) -> float:
    """How sure the policy is of a calm and familiar query."""
    said = choose(LabelPolicy(TABLE, CLASSES, threshold=0.6), probabilities([level], [topic], [CALM]))
    return float(said.confidence[0])


def test_a_query_unlike_the_training_data_goes_the_safe_way_however_easy_it_looks() -> None:
    assert one(EASY, TRIP, novelty=0.91) == ("novel", "shop")


def test_a_query_at_the_limit_of_novelty_is_not_novel() -> None:
    assert one(EASY, TRIP, novelty=0.9) == ("cheap", "chat")


def test_a_query_that_just_reaches_the_threshold_goes_the_cheap_way() -> None:
    assert one([0.6, 0.4], TRIP) == ("cheap", "chat")


def test_a_query_that_just_misses_the_threshold_goes_to_its_desk() -> None:
    assert one([0.59, 0.41], TRIP) == ("desk", "trip")


def test_a_cheap_query_stays_cheap_when_it_is_urgent_and_out_of_scope() -> None:
    assert one(EASY, OUTSIDE, URGENT) == ("cheap", "chat")


def test_an_urgent_query_out_of_scope_gets_more_than_a_refusal() -> None:
    assert one(HARD, OUTSIDE, URGENT) == ("danger", "shop")


def test_a_calm_query_out_of_scope_gets_a_short_refusal_on_the_cheap_route() -> None:
    assert one([0.2, 0.8], [0.1, 0.1, 0.1, 0.7]) == ("out-of-scope", "chat")


def test_a_domain_without_a_desk_goes_the_safe_way() -> None:
    assert one(HARD, TALK) == ("no-desk", "shop")


def test_a_desk_below_the_floor_of_confidence_is_not_trusted() -> None:
    assert one(HARD, [0.3, 0.39, 0.31, 0.0]) == ("unsure", "shop")


def test_a_desk_at_the_floor_of_confidence_is_trusted() -> None:
    assert one(HARD, [0.3, 0.4, 0.3, 0.0]) == ("desk", "trip")


@pytest.mark.parametrize(
    ("level", "topic", "expected"),
    [
        ([0.7, 0.3], TRIP, 0.7),
        ([0.2, 0.8], [0.1, 0.1, 0.1, 0.7], 0.7),
        ([0.5, 0.5], [0.0, 0.8, 0.2, 0.0], 0.5 * 0.8),
        ([0.1, 0.9], [0.35, 0.3, 0.35, 0.0], 0.9 * 0.35),
    ],
    ids=["cheap", "out-of-scope", "desk", "unsure"],
)
def test_the_confidence_is_the_probability_of_the_labels_that_the_rule_read(
    level: list[float], topic: list[float], expected: float
) -> None:
    assert confidence(level, topic) == pytest.approx(expected)


def test_without_an_urgency_head_nothing_out_of_scope_is_dangerous() -> None:
    assert one(HARD, OUTSIDE, URGENT, table=NO_URGENCY) == ("out-of-scope", "chat")


def test_without_an_out_of_scope_label_that_domain_is_one_without_a_desk() -> None:
    assert one(HARD, OUTSIDE, table=NO_SCOPE) == ("no-desk", "shop")


def test_a_threshold_of_zero_sends_everything_familiar_the_cheap_way() -> None:
    assert one(HARD, OUTSIDE, URGENT, threshold=0.0)[0] == "cheap"


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_outside_zero_to_one_is_refused(threshold: float) -> None:
    with pytest.raises(PolicyError, match=r"\[0, 1\]"):
        LabelPolicy(TABLE, CLASSES, threshold=threshold)


@pytest.mark.parametrize("missing", ["level", "topic", "mood"])
def test_a_policy_that_reads_a_head_the_router_lacks_is_refused(missing: str) -> None:
    with pytest.raises(PolicyError, match=missing):
        LabelPolicy(TABLE, {name: labels for name, labels in CLASSES.items() if name != missing}, threshold=0.5)


@pytest.mark.parametrize("short", ["level", "topic", "mood", "novelty"])
def test_arrays_with_different_numbers_of_rows_are_refused(short: str) -> None:
    read = probabilities([HARD, HARD], [TRIP, OUTSIDE], [CALM, URGENT])
    novelty = np.zeros(1 if short == "novelty" else 2)
    read = {name: p[:1] if name == short else p for name, p in read.items()}
    with pytest.raises(PolicyError, match="rows disagree"):
        choose(LabelPolicy(TABLE, CLASSES, threshold=0.5), read, novelty)


def test_no_queries_give_no_choices() -> None:
    said = choose(LabelPolicy(TABLE, CLASSES, threshold=0.5), {name: np.zeros((0, 4)) for name in CLASSES})
    assert (said.route.shape, said.rule.shape, said.confidence.shape) == ((0,), (0,), (0,))


ROWS = 6
P = st.floats(0, 1)
READS = st.fixed_dictionaries(
    {name: hnp.arrays(float, (ROWS, len(labels)), elements=P) for name, labels in CLASSES.items()}
)
NOVELTIES = hnp.arrays(float, ROWS, elements=P)


@st.composite
def tables(draw: st.DrawFn) -> RouteTable:
    """Tables of up to four routes: any may be cheap, any safe, and a desk may own a domain, none, or one that is taken."""
    desks = draw(st.lists(st.sampled_from([None, "shop", "trip", "outside", "elsewhere"]), min_size=1, max_size=4))
    safe = draw(st.integers(0, len(desks) - 1))
    routes = tuple(road(f"r{i}", desk=desk, safe=i == safe) for i, desk in enumerate(desks))
    urgency = draw(st.booleans())
    spec = replace(
        SPEC,
        out_of_scope_label=draw(st.sampled_from([None, "outside"])),
        urgency_head="mood" if urgency else None,
        high_label="urgent" if urgency else None,
    )
    return RouteTable(
        routes=routes, cheap=routes[draw(st.integers(0, len(desks) - 1))].name, policy=spec, price_date=date(2026, 1, 1)
    )


@settings(deadline=None, max_examples=50)
@given(table=tables(), read=READS, novelty=NOVELTIES, low=P, high=P)
def test_raising_the_threshold_sends_no_further_query_the_cheap_way(
    table: RouteTable, read: dict[str, Floats], novelty: Floats, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    cheap = table.names.index(table.cheap)
    at_low = choose(LabelPolicy(table, CLASSES, threshold=low), read, novelty).route == cheap
    at_high = choose(LabelPolicy(table, CLASSES, threshold=high), read, novelty).route == cheap
    assert not (at_high & ~at_low).any()


@settings(deadline=None, max_examples=50)
@given(table=tables(), read=READS, novelty=NOVELTIES, threshold=P, order=st.permutations(range(ROWS)))
def test_choices_follow_their_queries_when_queries_are_reordered(
    table: RouteTable, read: dict[str, Floats], novelty: Floats, threshold: float, order: list[int]
) -> None:
    policy = LabelPolicy(table, CLASSES, threshold=threshold)
    said = choose(policy, read, novelty)
    moved = choose(policy, {name: p[order] for name, p in read.items()}, novelty[order])
    assert moved.route.tolist() == said.route[order].tolist()
    assert moved.rule.tolist() == said.rule[order].tolist()
    assert moved.confidence.tolist() == said.confidence[order].tolist()


@settings(deadline=None, max_examples=50)
@given(table=tables(), read=READS, novelty=NOVELTIES, threshold=P)
def test_every_query_gets_a_route_of_the_table_and_a_confidence_in_zero_to_one(
    table: RouteTable, read: dict[str, Floats], novelty: Floats, threshold: float
) -> None:
    said = choose(LabelPolicy(table, CLASSES, threshold=threshold), read, novelty)
    assert ((said.route >= 0) & (said.route < len(table.routes))).all()
    assert ((said.confidence >= 0) & (said.confidence <= 1)).all()


def certain(table: RouteTable, labels: tuple[str, ...]) -> str:
    """Where the policy sends a query whose labels it knows beyond doubt."""
    read = {
        head: np.eye(len(names))[[names.index(label)]]
        for (head, names), label in zip(CLASSES.items(), labels, strict=True)
    }
    return table.names[int(choose(LabelPolicy(table, CLASSES, threshold=0.5), read).route[0])]


def true(table: RouteTable, labels: tuple[str | None, ...]) -> str | None:
    return true_route(table, Labels(heads=dict(zip(CLASSES, labels, strict=True))))


@settings(deadline=None, max_examples=50)
@given(table=tables())
def test_the_true_route_is_the_one_the_policy_takes_when_it_is_certain(table: RouteTable) -> None:
    every = list(product(*CLASSES.values()))
    assert {labels: true(table, labels) for labels in every} == {labels: certain(table, labels) for labels in every}


@pytest.mark.parametrize("table", [TABLE, NO_URGENCY, NO_SCOPE], ids=["all heads", "no urgency", "no out-of-scope"])
def test_a_true_route_is_known_where_every_way_to_fill_the_open_labels_leads_to_it(table: RouteTable) -> None:
    for labels in product(*((*names, None) for names in CLASSES.values())):
        ways = product(*(names if got is None else (got,) for got, names in zip(labels, CLASSES.values(), strict=True)))
        ends = {certain(table, way) for way in ways}
        assert true(table, labels) == (ends.pop() if len(ends) == 1 else None), labels


def test_of_two_routes_to_one_desk_the_first_is_taken() -> None:
    table = replace(TABLE, routes=(*TABLE.routes, road("trip-2", desk="trip")))
    labels = ("hard", "trip", "calm")
    assert (certain(table, labels), true(table, labels)) == ("trip", "trip")
