"""Figures of heads from probabilities and labels: by hand, and the same whether or not a route table stands beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.heads import Figures, evaluate_heads, judge
from eval.intervals import wilson
from eval.metrics import evaluate
from eval.replay import replay
from router.card import Card
from router.dataset import Dataset
from router.errors import DataError
from router.pipeline import Router
from router.scoring import Floats
from router.types import Labels, Query

CLASSES = ("a", "b", "c")


def labelled(*labels: str | None, groups: tuple[str, ...] = ()) -> Dataset:
    """A query per label; those of one group are drawn together."""
    card = Card(name="t", version="1", use="train", heads={"h": CLASSES}, also=())
    rows = [
        Query(query_id=f"q{i}", text="x", labels=Labels(heads={"h": label}), group=groups[i] if groups else None)
        for i, label in enumerate(labels)
    ]
    return Dataset(card=card, queries=tuple(rows))


def figures(p: Floats, dataset: Dataset) -> Figures:
    return evaluate_heads({"h": p}, dataset, classes={"h": CLASSES}, router="r", bundle=None, split="all", seed=0)


def test_the_figures_of_four_queries_by_hand() -> None:
    # three of them labelled, two of these rightly read
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
    found = figures(p, labelled("a", None, "b", "c"))
    entry = found["heads"]["h"]
    assert (found["n_queries"], entry["n"], entry["accuracy"]) == (4, 3, round(2 / 3, 6))
    assert entry["confusion"] == {"labels": list(CLASSES), "rows": [[1, 0, 0], [0, 1, 0], [1, 0, 0]]}
    assert entry["macro_f1"] == round((2 / 3 + 1 + 0) / 3, 6)
    assert entry["log_loss"] == round(-(np.log(0.8) + np.log(0.6) + np.log(0.25)) / 3, 6)
    assert entry["ece"] == round((0.2 + 0.4 + 0.5) / 3, 6)
    assert found["by_language"] == {}


def test_heads_that_are_all_right_get_an_interval_that_still_has_width() -> None:
    found = figures(np.eye(3), labelled("a", "b", "c"))
    assert found["heads"]["h"]["accuracy_ci"] == wilson(3, 3).to_list()


def test_queries_of_one_group_are_drawn_together() -> None:
    p = np.tile([[0.9, 0.05, 0.05]], (40, 1))
    labels = ("a",) * 30 + ("b",) * 10
    alone = figures(p, labelled(*labels))
    tied = figures(p, labelled(*labels, groups=tuple(f"g{i // 10}" for i in range(40))))
    assert (alone["n_units"], tied["n_units"]) == (40, 4)
    widths = [high - low for low, high in (found["heads"]["h"]["accuracy_ci"] for found in (alone, tied))]
    assert widths[0] < widths[1]


@pytest.mark.parametrize("labels", [(), (None, None)], ids=["no query", "no label"])
def test_nothing_to_judge_is_null_with_a_reason(labels: tuple[None, ...]) -> None:
    entry = figures(np.full((len(labels), 3), 1 / 3), labelled(*labels))["heads"]["h"]
    assert (entry["n"], entry["accuracy"], entry["confusion"]) == (0, None, None)
    assert "no query of this split" in entry["reason"]


def test_a_label_that_was_never_learned_is_refused_and_of_many_known_ones_only_some_are_listed() -> None:
    many = [f"label-{i}" for i in range(150)]
    with pytest.raises(DataError, match="'q0': the router never learned label 'a' of head 'h'") as failure:
        evaluate_heads(
            {"h": np.full((1, 150), 1 / 150)}, labelled("a"), classes={"h": many},
            router="r", bundle=None, split="all", seed=0,
        )  # fmt: skip
    assert "label-0, " in str(failure.value)
    assert ", …)" in str(failure.value)
    assert len(str(failure.value)) < 300


def test_a_tie_goes_to_the_first_class() -> None:
    head = judge(np.array([[0.5, 0.5], [0.5, 0.5]]), ["b", "a"], classes=("a", "b"))
    assert head.right.tolist() == [False, True]


@settings(deadline=None, max_examples=30)
@given(
    labels=st.lists(st.sampled_from([*CLASSES, None]), min_size=1, max_size=20),
    seed=st.integers(0, 1_000),
    data=st.data(),
)
def test_the_order_of_the_queries_changes_no_figure(labels: list[str | None], seed: int, data: st.DataObject) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(3), size=len(labels))
    order = data.draw(st.permutations(range(len(labels))))
    dataset = labelled(*labels)
    turned = replace(dataset, queries=tuple(dataset.queries[i] for i in order))
    straight, shuffled = figures(p, dataset), figures(p[order], turned)
    for measure, value in straight["heads"]["h"].items():
        other = shuffled["heads"]["h"][measure]
        assert other == (pytest.approx(value, abs=2e-6) if isinstance(value, float) else value)
    assert straight["heads"]["h"]["n"] == sum(label is not None for label in labels)
    assert shuffled["fingerprint"] == straight["fingerprint"]


def test_heads_have_the_same_figures_with_and_without_a_route_table(router: Router, small: Dataset) -> None:
    part = small.split("test")
    run = evaluate(replay(router, part, split="test", seed=5, bundle=None))
    alone = evaluate_heads(
        router.read(part.texts).probabilities,
        part,
        classes=router.classes,
        router="weighbridge",
        bundle=None,
        split="test",
        seed=5,
    )
    high = run["heads"]["urgency"].pop("high")  # what only a route table asks for
    assert high["n"] > 0
    assert alone["heads"] == run["heads"]
    assert alone["n_units"] == run["n_units"]
    assert {name: entry["heads"] for name, entry in alone["by_language"].items()} == {
        name: entry["heads"] for name, entry in run["by_language"].items()
    }
