"""Figures of a run of six queries, worked out by hand, and what must hold of the figures of any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.intervals import wilson
from eval.metrics import evaluate
from eval.replay import Predictions, record, replay
from eval.run import Header, Record, Run
from router.dataset import Dataset
from router.pipeline import Router
from router.policy import LabelPolicy
from router.prices import read_prices
from router.routes import RouteTable
from router.types import Labels, Query

Figures = Mapping[str, Any]  # Any: whatever JSON can hold

CLASSES = {"complexity": ["simple", "complex"], "domain": ["trip", "shop", "none"], "urgency": ["low", "high"]}
POLICY = {
    "complexity": {"head": "complexity", "cheap": "simple"},
    "domain": {"head": "domain", "out_of_scope": None},
    "urgency": {"head": "urgency", "high": "high"},
    "wrong_cheap_usd": 0.02,
    "wrong_dear_usd": 0.01,
}
PRICE = {"chat": 0.001, "trip": 0.010, "shop": 0.005}

SIX = """
    id  lang  complexity  domain  urgency  p_simple  p_trip  p_shop  p_low  route  true  also  also_label
    q1  en    simple      trip    low      0.9       0.6     0.3     0.8    chat   chat  trip  -
    q2  en    complex     trip    high     0.2       0.7     0.2     0.3    trip   trip  shop  shop
    q3  en    complex     shop    low      0.4       0.5     0.4     0.4    chat   shop  -     trip
    q4  de    simple      shop    -        0.3       0.1     0.8     0.5    shop   chat  -     -
    q5  fr    -           trip    high     0.5       0.2     0.7     0.9    shop   -     -     -
    q6  -     complex     -       -        0.6       0.4     0.3     0.5    chat   -     -     -
"""


def records(table: str) -> tuple[Record, ...]:
    """A record per line; a dash is nothing."""
    names, *lines = (line.split() for line in table.strip().splitlines())
    found = []
    for line in lines:
        row = {name: None if cell == "-" else cell for name, cell in zip(names, line, strict=True)}
        simple, trip, shop, low = (float(row[name] or 0) for name in ("p_simple", "p_trip", "p_shop", "p_low"))
        rows = ([simple, 1 - simple], [trip, shop, 1 - trip - shop], [low, 1 - low])
        found.append(
            Record(
                query_id=str(row["id"]),
                text="hi",
                route=str(row["route"]),
                rule="desk",
                confidence=0.5,
                novelty=0.5,
                probabilities={head: [round(p, 6) for p in p_head] for head, p_head in zip(CLASSES, rows, strict=True)},
                also=[row["also"]] if row["also"] else [],
                labels={head: row[head] for head in CLASSES},
                also_label=[row["also_label"]] if row["also_label"] else [],
                true_route=row["true"],
                language=row["lang"],
                persona=None,
                unit=str(row["id"]),
                cost_usd=PRICE[str(row["route"])],
                latency_ms=100.0,
            )
        )
    return tuple(found)


RUN = Run(
    header=Header(
        router="by hand",
        bundle=None,
        dataset="six 1",
        fingerprint="f" * 64,
        split="test",
        n=6,
        seed=0,
        threshold=0.6,
        classes=CLASSES,
        desks=["trip", "shop"],
        policy=POLICY,
        policy_hash="p" * 64,
        cheap="chat",
        routes={
            name: {"cost_usd": usd, "latency_ms_p50": 90.0, "latency_ms_p95": 300.0} for name, usd in PRICE.items()
        },
        price_date="2026-11-22",
    ),
    records=records(SIX),
)
OPEN: dict[str, str | None] = dict.fromkeys(CLASSES)
BLANK = replace(
    RUN, records=tuple(replace(entry, labels=OPEN, true_route=None, also_label=[]) for entry in RUN.records)
)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return evaluate(RUN)


def test_accuracy_counts_the_labelled_records_alone(figures: Figures) -> None:
    # complexity: q1, q2, q3 right; q4, q6 wrong; q5 open.   domain: q1, q2, q4 right; q3, q5 wrong; q6 open.
    assert [(figures["heads"][head]["n"], figures["heads"][head]["accuracy"]) for head in CLASSES] == [
        (5, 0.6),
        (5, 0.6),
        (4, 0.5),
    ]


def test_rows_of_the_confusion_are_what_a_person_said(figures: Figures) -> None:
    assert figures["heads"]["complexity"]["confusion"] == {"labels": ["simple", "complex"], "rows": [[1, 1], [1, 2]]}


def test_macro_f1_is_the_mean_over_the_labels_that_occur(figures: Figures) -> None:
    assert figures["heads"]["complexity"]["macro_f1"] == pytest.approx((2 / 4 + 4 / 6) / 2, abs=1e-6)
    # `none` never occurs among the labels: trip 4 / (3 + 3), shop 2 / (2 + 2)
    assert figures["heads"]["domain"]["macro_f1"] == pytest.approx((4 / 6 + 2 / 4) / 2, abs=1e-6)


def test_ece_weighs_the_gaps_of_the_bins(figures: Figures) -> None:
    # 0.9 right, 0.8 right, 0.7 wrong in bins of their own; the two of 0.6 share one, half of them right
    assert figures["heads"]["complexity"]["ece"] == pytest.approx((0.1 + 0.2 + 0.7 + 2 * 0.1) / 5, abs=1e-6)


def test_log_loss_and_brier_score_are_as_by_hand(figures: Figures) -> None:
    entry = figures["heads"]["complexity"]
    assert entry["log_loss"] == pytest.approx(-sum(map(log, (0.9, 0.8, 0.6, 0.3, 0.4))) / 5, abs=1e-6)
    assert entry["brier"] == pytest.approx((0.02 + 0.08 + 0.32 + 0.98 + 0.72) / 5, abs=1e-6)


def test_the_urgent_label_has_its_own_precision_and_recall(figures: Figures) -> None:
    # said high: q2 rightly, q3 wrongly; high by its label: q2 found, q5 missed
    assert figures["heads"]["urgency"]["high"] == {
        "n": 2,
        "precision": 0.5,
        "precision_ci": wilson(1, 2).to_list(),
        "recall": 0.5,
        "recall_ci": wilson(1, 2).to_list(),
    }


def test_route_accuracy_leaves_out_undetermined_routes(figures: Figures) -> None:
    entry = figures["route"]
    assert (entry["n"], entry["n_undetermined"], entry["accuracy"]) == (4, 2, 0.5)


def test_costs_of_the_routes_taken_are_as_by_hand(figures: Figures) -> None:
    assert figures["route"]["cost_usd_mean"] == pytest.approx((3 * 0.001 + 0.010 + 2 * 0.005) / 6, abs=1e-9)
    # trip three times, shop twice; q6 has no domain label
    assert figures["route"]["cost_usd_all_dear"] == pytest.approx((3 * 0.010 + 2 * 0.005) / 5, abs=1e-9)


@pytest.mark.parametrize(("wrong", "usd"), [("q3", 0.02), ("q4", 0.01)])
def test_mistakes_are_priced_by_the_road_that_was_taken(wrong: str, usd: float) -> None:
    # q1 and q2 went right; q3 wrongly took the cheap road, q4 wrongly a dear one
    three = tuple(entry for entry in RUN.records if entry.query_id in ("q1", "q2", wrong))
    assert evaluate(replace(RUN, records=three))["route"]["mistake_usd_mean"] == pytest.approx(usd / 3, abs=1e-6)


def test_figures_of_each_route_are_as_by_hand(figures: Figures) -> None:
    keys = ("n", "share", "precision", "recall", "cost_usd_total")
    assert {name: tuple(entry[key] for key in keys) for name, entry in figures["by_route"].items()} == {
        "chat": (3, 0.5, 0.5, 0.5, 0.003),
        "trip": (1, 0.166667, 1.0, 1.0, 0.01),
        "shop": (2, 0.333333, 0.0, 0.0, 0.01),
    }


def test_further_desks_are_judged_on_queries_that_belong_to_a_desk(figures: Figures) -> None:
    # q2's shop is right, q3's trip is missed; q1 belongs to the cheap route, so its trip is no mistake
    assert figures["also"] == {"n": 2, "precision": 1.0, "recall": 0.5}


def test_a_language_is_judged_on_its_own_queries(figures: Figures) -> None:
    assert list(figures["by_language"]) == ["de", "en", "fr"]
    english = figures["by_language"]["en"]
    assert (english["n"], english["heads"]["complexity"]["accuracy"], english["route"]["accuracy"]) == (
        3,
        1.0,
        0.666667,
    )


def test_a_language_without_a_label_has_no_accuracy(figures: Figures) -> None:
    french = figures["by_language"]["fr"]
    assert french["heads"]["complexity"] == {"n": 0, "accuracy": None, "accuracy_ci": None}
    assert french["route"]["accuracy"] is None


def test_a_head_without_a_mistake_is_not_certain() -> None:
    right = tuple(replace(entry, labels={**entry.labels, "complexity": None}) for entry in RUN.records[3:])
    entry = evaluate(replace(RUN, records=(*RUN.records[:3], *right)))["heads"]["complexity"]
    assert (entry["accuracy"], entry["accuracy_ci"]) == (1.0, wilson(3, 3).to_list())


def test_a_head_that_nobody_labelled_has_no_figures_and_says_why() -> None:
    entry = evaluate(BLANK)["heads"]["urgency"]
    assert entry.pop("n") == 0
    assert "no query" in entry.pop("reason")
    assert set(entry.values()) == {None}


def test_the_keys_are_the_same_whether_or_not_there_are_labels(figures: Figures) -> None:
    assert list(key_paths(evaluate(BLANK))) == list(key_paths(figures))


def test_what_does_not_apply_to_the_routes_is_null_with_a_reason() -> None:
    entry = evaluate(BLANK)["route"]
    assert entry["accuracy"] is None
    assert entry["reason"]


def key_paths(figures: Figures, path: str = "") -> Iterator[str]:
    """Keys at any depth, except inside what is wholly null where there are no labels."""
    for key in sorted(figures):
        yield f"{path}{key}"
        if isinstance(figures[key], Mapping) and key not in ("confusion", "high"):
            yield from key_paths(figures[key], f"{path}{key}.")


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(6)))
def test_figures_do_not_depend_on_the_order_of_the_records(order: list[int]) -> None:
    assert evaluate(replace(RUN, records=tuple(RUN.records[i] for i in order))) == evaluate(RUN)


def test_shares_and_counts_of_the_routes_add_up_to_the_whole(router: Router, small: Dataset) -> None:
    figures = evaluate(replay(router, small.split("test"), split="test", seed=0, bundle=None))
    assert sum(entry["n"] for entry in figures["by_route"].values()) == figures["n_queries"]
    assert sum(entry["share"] for entry in figures["by_route"].values()) == pytest.approx(1.0, abs=1e-5)
    assert sum(map(sum, figures["heads"]["domain"]["confusion"]["rows"])) == figures["heads"]["domain"]["n"]


def all_dear(table: RouteTable, dataset: Dataset) -> float:
    """What `evaluate` says every query to its desk would cost."""
    classes = dataset.card.heads
    n = len(dataset)
    even = {head: np.full((n, len(labels)), 1 / len(labels)) for head, labels in classes.items()}
    predictions = Predictions(probabilities=even, also=[()] * n, novelty=np.zeros(n))
    run = record(
        predictions, LabelPolicy(table, dict(classes), threshold=0.5), dataset, name="even", split="all", seed=0
    )
    found: float = evaluate(run)["route"]["cost_usd_all_dear"]
    return found


def test_a_query_without_a_desk_would_go_to_the_safe_route(table: RouteTable, pam: Dataset) -> None:
    general = Query(query_id="q", text="hi", labels=Labels(heads={"complexity": "complex", "domain": "general"}))
    safe = table.cost_usd(read_prices())[table.safe]
    assert all_dear(table, replace(pam, queries=(general,))) == pytest.approx(safe)


def test_a_desk_is_found_whatever_its_route_is_called(table: RouteTable, pam: Dataset) -> None:
    renamed = [replace(route, name=f"road {route.name}", fallback=()) for route in table.routes]
    shop = Query(query_id="q", text="hi", labels=Labels(heads={"complexity": "complex", "domain": "shop"}))
    part = replace(pam, queries=(shop,))
    assert all_dear(replace(table, cheap="road chat", routes=tuple(renamed)), part) == all_dear(table, part)
