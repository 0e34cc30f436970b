"""A replay is a pure function of router, queries and seed; `verify` holds it to its bytes and says what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.conversations import deciding, routes_before
from eval.metrics import by_route, route_figures
from eval.replay import choose_split, replay, simulated_latency_ms, verify
from eval.run import Record, Run, write_run
from router.bundle import MANIFEST, bundle_id, load
from router.dataset import Dataset
from router.errors import DataError, RunError
from router.pipeline import Router
from router.policy import LabelPolicy
from router.prices import read_prices
from router.routes import RouteTable
from router.stickiness import NONE
from router.types import Labels, Query

Change = Callable[[list[dict[str, Any]]], None]  # Any: whatever JSON can hold


@pytest.fixture(scope="module")
def few(small: Dataset) -> Dataset:
    """Sixteen test queries: eight of them of people with several."""
    test = small.split("test").queries
    several = [query for query in test if sum(query.persona == other.persona for other in test) > 1]
    return replace(small, queries=(*several[:8], *[query for query in test if query not in several[:8]][:8]))


@pytest.fixture(scope="module")
def run(router: Router, few: Dataset) -> Run:
    return replay(router, few, split="test", seed=0, bundle=None)


@pytest.fixture(scope="module")
def records_of(router: Router, few: Dataset) -> Callable[[Sequence[int]], list[Record]]:
    """The records of some of the sixteen, replayed in that order."""

    def replayed(order: Sequence[int]) -> list[Record]:
        part = replace(few, queries=tuple(few.queries[i] for i in order))
        return list(replay(router, part, split="test", seed=0, bundle=None).records)

    return replayed


@pytest.fixture
def recorded(bundle: Path, few: Dataset, tmp_path: Path) -> Path:
    """A run of the bundle on disk."""
    path = tmp_path / "run.jsonl"
    write_run(replay(load(bundle), few, split="test", seed=0, bundle=bundle_id(bundle)), path)
    return path


def rewrite(path: Path, change: Change) -> None:
    """Change the rows of a run; the header is row 0."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(rows)
    lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_two_replays_give_the_same_bytes(router: Router, few: Dataset, run: Run) -> None:
    assert replay(router, few, split="test", seed=0, bundle=None).to_text() == run.to_text()


def test_the_loaded_router_replays_to_the_bytes_of_the_fitted_one(bundle: Path, few: Dataset, run: Run) -> None:
    assert replay(load(bundle), few, split="test", seed=0, bundle=None).to_text() == run.to_text()


def test_another_seed_draws_other_latencies_and_changes_nothing_else(router: Router, few: Dataset, run: Run) -> None:
    other = replay(router, few, split="test", seed=1, bundle=None)
    assert [record.latency_ms for record in other.records] != [record.latency_ms for record in run.records]
    still = tuple(
        replace(record, latency_ms=before.latency_ms) for record, before in zip(other.records, run.records, strict=True)
    )
    assert still == run.records


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(16)))
def test_a_record_does_not_depend_on_the_order_of_the_other_queries(
    records_of: Callable[[Sequence[int]], list[Record]], order: list[int]
) -> None:
    in_file_order = records_of(range(16))
    for i, record in zip(order, records_of(order), strict=True):
        assert record == in_file_order[i]


@settings(deadline=None, max_examples=25)
@given(kept=st.lists(st.integers(0, 15), min_size=1, max_size=15, unique=True))
def test_a_decision_does_not_depend_on_which_other_queries_there_are(
    records_of: Callable[[Sequence[int]], list[Record]], kept: list[int]
) -> None:
    among_all = records_of(range(16))
    for i, record in zip(kept, records_of(kept), strict=True):
        assert replace(record, unit="") == replace(among_all[i], unit="")


def test_queries_of_one_person_are_one_unit(run: Run) -> None:
    units: dict[str, set[str]] = {}
    for record in run.records:
        units.setdefault(str(record.persona), set()).add(record.unit)
    assert all(len(names) == 1 for names in units.values())
    assert len(units) < len(run.records)


def test_every_record_costs_what_its_route_costs_on_the_price_date(run: Run, table: RouteTable) -> None:
    price = {
        route.name: read_prices().on(route.model, table.price_date).input_cost_per_token * route.input_tokens
        + read_prices().on(route.model, table.price_date).output_cost_per_token * route.output_tokens
        for route in table.routes
    }
    assert [record.cost_usd for record in run.records] == pytest.approx([price[r.route] for r in run.records])


def test_the_costs_of_the_routes_add_up_to_the_total(run: Run) -> None:
    total = sum(entry["cost_usd_total"] for entry in by_route(run).values())
    assert total == pytest.approx(route_figures(run)["cost_usd_mean"] * len(run.records), abs=1e-7)
    assert sum(entry["n"] for entry in by_route(run).values()) == len(run.records)


@pytest.mark.parametrize("name", ["chat", "trip"])
def test_simulated_latencies_have_the_median_and_the_95th_percentile_of_the_route(table: RouteTable, name: str) -> None:
    route = next(route for route in table.routes if route.name == name)
    drawn = [simulated_latency_ms(route, Query(query_id=f"q{i}", text="hi"), seed=0) for i in range(20_000)]
    assert np.quantile(drawn, 0.5) == pytest.approx(route.latency_ms_p50, rel=0.02)
    assert np.quantile(drawn, 0.95) == pytest.approx(route.latency_ms_p95, rel=0.04)


def test_a_route_whose_percentiles_agree_always_takes_that_long(table: RouteTable) -> None:
    steady = replace(table.routes[0], latency_ms_p50=400.0, latency_ms_p95=400.0)
    assert {simulated_latency_ms(steady, Query(query_id=str(i), text="hi"), seed=0) for i in range(50)} == {400.0}


def test_the_test_split_is_replayed_where_there_is_one(small: Dataset) -> None:
    part, name = choose_split(small)
    assert (name, {query.split for query in part.queries}) == ("test", {"test"})


def test_all_queries_are_replayed_where_none_has_a_split(few: Dataset) -> None:
    whole = replace(few, queries=tuple(replace(query, split=None) for query in few.queries))
    assert choose_split(whole) == (whole, "all")


def test_an_asked_split_without_queries_is_refused(few: Dataset) -> None:
    with pytest.raises(DataError, match="no query with split = 'calibration'"):
        choose_split(few, "calibration")


def test_a_label_that_the_router_never_learned_is_refused(router: Router, few: Dataset) -> None:
    heads = {**few.card.heads, "domain": (*few.card.heads["domain"], "casino")}
    strange = replace(few.queries[0], labels=Labels(heads={"domain": "casino"}))
    foreign = replace(few, card=replace(few.card, heads=heads), queries=(strange,))
    with pytest.raises(DataError, match="casino"):
        replay(router, foreign, split="test", seed=0, bundle=None)


def test_an_untouched_run_verifies_to_its_number_of_records(recorded: Path, bundle: Path, few: Dataset) -> None:
    assert verify(recorded, bundle, few) == 16


def test_a_changed_record_is_named_by_its_query(recorded: Path, bundle: Path, few: Dataset) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[3]["confidence"] = 0.123456
        rows[5]["confidence"] = 0.123456

    rewrite(recorded, change)
    with pytest.raises(RunError, match=f"query '{few.queries[2].query_id}' replays differently"):
        verify(recorded, bundle, few)


def test_a_changed_header_is_named(recorded: Path, bundle: Path, few: Dataset) -> None:
    rewrite(recorded, lambda rows: rows[0].update(threshold=0.5))
    with pytest.raises(RunError, match="the header replays differently"):
        verify(recorded, bundle, few)


def test_another_bundle_is_named(recorded: Path, bundle: Path, few: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
    (other / MANIFEST).write_text(json.dumps({**manifest, "threshold": 0.5}), encoding="utf-8")
    with pytest.raises(RunError, match=f"made with bundle {bundle_id(bundle)}, .* is {bundle_id(other)}"):
        verify(recorded, other, few)


def test_other_data_is_named(recorded: Path, bundle: Path, few: Dataset) -> None:
    reworded = replace(few, queries=(replace(few.queries[0], text="something else"), *few.queries[1:]))
    with pytest.raises(RunError, match="its queries are not those of the given data"):
        verify(recorded, bundle, reworded)


def test_a_run_without_its_last_record_is_refused_even_if_its_header_agrees(
    recorded: Path, bundle: Path, few: Dataset
) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.pop()
        rows[0]["n"] = 15

    rewrite(recorded, change)
    with pytest.raises(RunError):
        verify(recorded, bundle, few)


def test_the_same_queries_in_another_order_are_not_blamed_on_a_query(
    recorded: Path, bundle: Path, few: Dataset
) -> None:
    with pytest.raises(RunError, match="order"):
        verify(recorded, bundle, replace(few, queries=few.queries[::-1]))


def test_a_change_of_white_space_alone_does_not_verify(recorded: Path, bundle: Path, few: Dataset) -> None:
    recorded.write_bytes(recorded.read_bytes().replace(b'"also": ', b'"also":', 1))
    with pytest.raises(RunError):
        verify(recorded, bundle, few)


def test_a_replay_keeps_a_conversations_route_where_a_change_is_too_dear(router: Router, few: Dataset) -> None:
    """Follow-ups made of pairs of queries: at a price that nothing is worth, each stays where its first message went."""
    firsts, seconds = few.queries[:8], few.queries[8:]
    follow_ups = tuple(replace(b, context=(a.text,)) for a, b in zip(firsts, seconds, strict=True))
    part = replace(few, queries=follow_ups)
    spec = replace(router.table.policy, switch_usd=1.0)
    policy = LabelPolicy(replace(router.table, policy=spec), router.classes, threshold=router.policy.threshold)
    own, dear = (
        replay(one, part, split="test", seed=0, bundle=None).records for one in (router, replace(router, policy=policy))
    )
    begun = [decision.route for decision in router.decide_many([query.text for query in firsts])]
    stayed = [record for record in dear if record.rule == "stays"]
    assert stayed
    for record, free, first in zip(dear, own, begun, strict=True):
        safety = free.rule in ("novel", "danger", "unsure")
        assert record.route == (free.route if safety else first)
        assert record.rule == ("stays" if not safety and free.route != first else free.rule)


def test_a_conversation_is_followed_message_by_message(router: Router, few: Dataset) -> None:
    texts = [query.text for query in few.queries[:3]]
    before = routes_before(deciding(router), [(), (texts[0],), (texts[0], texts[1])])
    names = router.table.names
    first = router.decide(texts[0]).route
    second = router.decide_many([texts[1]], [(texts[0],)])[0].route
    assert before == [NONE, names.index(first), names.index(second)]
