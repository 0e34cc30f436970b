"""A first scenario is read as it is, holds what the route table says, and tells a person what to replace."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Constant, Lognormal, Quantity
from eval.simulate.circles import circle
from eval.simulate.scenario import Scenario
from eval.simulate.scenario_file import open_scenario, read_scenario
from eval.simulate.starting_point import starting_scenario
from router.prices import read_prices
from router.routes import RouteTable
from router.types import Route

UNREAD = re.compile(r"^\s*(#.*|\[.*|name = .*|title = .*|provider = .*|route = .*|)$")  # nothing there to decide


def started(directory: Path, table: RouteTable, *, name: str = "first") -> Scenario:
    path = directory / "first.toml"
    path.write_text(starting_scenario(table, name=name, month=table.price_date), encoding="utf-8")
    return read_scenario(path)


def test_the_shipped_route_table_makes_a_scenario_that_has_its_prices(tmp_path: Path, table: RouteTable) -> None:
    path = tmp_path / "first.toml"
    path.write_text(starting_scenario(table, name="first", month=date(2026, 11, 22)), encoding="utf-8")
    file = open_scenario(path)
    assert (file.scenario.name, file.scenario.month) == ("first", date(2026, 11, 1))
    file.require_prices(read_prices())


def test_routes_use_what_the_table_assumes_of_them(tmp_path: Path, table: RouteTable) -> None:
    made = started(tmp_path, table)
    assert made.route_names == tuple(table.names)
    trip = made.routes[table.names.index("trip")]
    assert (trip.model, trip.provider, trip.tier) == ("claude-sonnet-5-5", "anthropic", "standard")
    assert trip.message_tokens == Quantity.of(Constant(value=4200))
    assert trip.output_tokens == Quantity.of(Constant(value=600))
    assert trip.call_ms == Quantity.of(Lognormal(median=2600, p95=6500))


def test_half_of_all_queries_are_cheap_and_the_desks_share_the_rest(tmp_path: Path, table: RouteTable) -> None:
    shares = {entry.needs: entry.share.value for entry in started(tmp_path, table).queries}
    assert shares == {"chat": 0.5, "dashboard": 0.1, "budget": 0.1, "trip": 0.1, "community": 0.1, "shop": 0.1}


def test_routing_is_compared_with_the_safe_route_the_cheap_one_and_a_perfect_router(
    tmp_path: Path, table: RouteTable
) -> None:
    baselines = started(tmp_path, table).baselines
    assert [entry.route for entry in baselines] == ["dashboard", "chat", None]
    assert not any(entry.sends for entry in baselines)


def test_a_fallback_that_would_close_a_circle_is_left_out_and_the_file_says_so(
    tmp_path: Path, table: RouteTable
) -> None:
    fallbacks = {route.name: route.fallback for route in started(tmp_path, table).routes}
    assert fallbacks == dict.fromkeys(["budget", "trip", "community", "shop", "chat"], "dashboard") | {
        "dashboard": None
    }
    text = starting_scenario(table, name="first", month=table.price_date)
    assert 'fallback = ""                 # left out, as the fallbacks would go in a circle: "chat"' in text


def test_of_a_route_tables_fallbacks_the_first_that_closes_no_circle_is_taken(
    tmp_path: Path, table: RouteTable
) -> None:
    named = {"chat": ("dashboard",), "dashboard": ("chat", "shop"), "shop": ("chat", "dashboard", "trip")}
    routes = tuple(replace(route, fallback=named.get(route.name, ())) for route in table.routes)
    fallbacks = {route.name: route.fallback for route in started(tmp_path, replace(table, routes=routes)).routes}
    assert (fallbacks["chat"], fallbacks["dashboard"], fallbacks["shop"]) == ("dashboard", "shop", "trip")


def test_without_a_desk_the_safe_route_is_what_the_other_half_needs(tmp_path: Path, table: RouteTable) -> None:
    routes = tuple(replace(route, desk=None) for route in table.routes)
    queries = started(tmp_path, replace(table, routes=routes)).queries
    assert [(entry.needs, entry.share.value) for entry in queries] == [("chat", 0.5), ("dashboard", 0.5)]


def test_shares_add_up_where_equal_ones_have_no_end(tmp_path: Path, table: RouteTable) -> None:
    routes = tuple(
        replace(route, desk=None if route.name in ("shop", "trip") else route.desk) for route in table.routes
    )
    shares = [entry.share.value for entry in started(tmp_path, replace(table, routes=routes)).queries]
    assert shares == [0.5, 0.166667, 0.166667, 0.166666]


def test_every_number_that_a_person_must_think_about_has_a_comment(table: RouteTable) -> None:
    rows = starting_scenario(table, name="first", month=table.price_date).split("\n")
    bare = [
        row for before, row in zip(["", *rows], rows, strict=False)
        if not UNREAD.match(row) and "#" not in row and not before.startswith("#") and not row.startswith("notes")
    ]  # fmt: skip
    assert bare == []


def test_targets_wait_to_be_meant(tmp_path: Path, table: RouteTable) -> None:
    text = starting_scenario(table, name="first", month=table.price_date)
    assert not started(tmp_path, table).targets
    path = tmp_path / "meant.toml"
    path.write_text(re.sub(r"(?m)^# (?=\[targets\]|\w+ = [\d.]+)", "", text), encoding="utf-8")
    assert read_scenario(path).targets["saving"] == 0.4


@st.composite
def route_tables(draw: st.DrawFn, shipped: RouteTable) -> RouteTable:
    """The shipped policy with other routes: any names, desks, fallbacks and tokens."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=6)
    names = draw(st.lists(text, min_size=1, max_size=6, unique=True))
    safe, cheap = draw(st.sampled_from(names)), draw(st.sampled_from(names))
    routes = []
    for name in names:
        others = [other for other in names if other != name]
        p50 = draw(st.floats(1e-3, 1e6))
        routes.append(
            Route(
                name=name,
                model=draw(text),
                provider=draw(text),
                desk=draw(st.none() | text),
                safe=name == safe,
                input_tokens=draw(st.integers(0, 10**6)),
                output_tokens=draw(st.integers(0, 10**6)),
                latency_ms_p50=p50,
                latency_ms_p95=p50 * draw(st.floats(1, 9)),
                fallback=tuple(draw(st.permutations(others)))[: draw(st.integers(0, 5))],
                tier=draw(st.sampled_from(["standard", "batch"])),
            )
        )
    return replace(shipped, routes=tuple(routes), cheap=cheap)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_route_table_makes_a_scenario_that_is_read_as_it_is(
    tmp_path: Path, table: RouteTable, data: st.DataObject
) -> None:
    drawn = data.draw(route_tables(table))
    made = started(tmp_path, drawn, name=data.draw(st.sampled_from(["first", 'a "b" \\ \x7f\n'])))
    assert made.route_names == tuple(drawn.names)
    assert sum(entry.share.value for entry in made.queries) == pytest.approx(1.0, abs=1e-9)
    assert circle({route.name: route.fallback for route in made.routes}) == ()
    for route, said in zip(made.routes, drawn.routes, strict=True):
        assert route.fallback is None or route.fallback in said.fallback
        assert (route.message_tokens.mean, route.output_tokens.mean) == (said.input_tokens, said.output_tokens)
        assert route.call_ms == Quantity.of(Lognormal(median=said.latency_ms_p50, p95=said.latency_ms_p95))
