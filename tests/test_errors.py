"""Where a router still errs: counted by hand, told in figures, card and report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.errors import EXAMPLES, PAIRS, summed
from eval.metrics import evaluate, head_errors, route_errors
from eval.replay import replay
from eval.report_errors import errors_section
from eval.run import Run
from router.bundle import save
from router.card import card_from_mapping, card_to_mapping
from router.dataset import Dataset
from router.errors import DataError
from router.pipeline import Router


@pytest.fixture(scope="module")
def run(router: Router, small: Dataset) -> Run:
    return replay(router, small.split("test"), split="test", seed=0, bundle=None)


def test_pairs_shares_and_examples_worked_out_by_hand() -> None:
    """Four errors: shop for trip three times, trip for shop once; one of them unsure."""
    wrong = [
        (0.9, "1", "a tent", "shop", "trip"),
        (0.8, "2", "a lamp", "shop", "trip"),
        (0.7, "3", "a rope", "trip", "shop"),
        (0.5, "4", "a pan", "shop", "trip"),
    ]
    found = summed(wrong)
    assert (found["n"], found["unsure_share"]) == (4, 0.25)
    assert [(pair["label"], pair["said"], pair["n"], pair["share"]) for pair in found["pairs"]] == [
        ("shop", "trip", 3, 0.75),
        ("trip", "shop", 1, 0.25),
    ]
    assert found["pairs"][0]["examples"] == ["a tent", "a lamp"]


def test_a_head_without_errors_has_none() -> None:
    assert summed([]) == {"n": 0, "unsure_share": None, "unsure_below": 0.6, "pairs": []}


def test_errors_are_what_accuracy_leaves_over(run: Run) -> None:
    figures = evaluate(run)
    for head, entry in figures["errors"].items():
        accuracy, n = figures["heads"][head]["accuracy"], figures["heads"][head]["n"]
        assert entry["n"] == round((1 - accuracy) * n)
        assert sum(pair["n"] for pair in entry["pairs"]) <= entry["n"]
        assert len(entry["pairs"]) <= PAIRS
        assert all(1 <= len(pair["examples"]) <= EXAMPLES for pair in entry["pairs"])
    route = figures["route"]
    assert len(route_errors(run)) == round((1 - route["accuracy"]) * route["n"])


def test_the_surest_error_comes_first(run: Run) -> None:
    sure = [one[0] for one in head_errors(run, "domain")]
    assert sure == sorted(sure, reverse=True)


def test_figures_name_the_agreement_of_two_labellings_where_there_is_one(run: Run, small: Dataset) -> None:
    assert evaluate(run)["agreement"] == dict(small.card.agreement)
    once = replace(run, header=replace(run.header, agreement={}))
    assert evaluate(once)["agreement"] == dict.fromkeys(run.header.classes)
    assert "Nobody labelled this data set twice" in errors_section(once, evaluate(once))


def test_the_report_shows_pairs_and_escapes_texts(run: Run) -> None:
    hostile = replace(run, records=tuple(replace(record, text="<b>&</b>") for record in run.records))
    page = errors_section(hostile, evaluate(hostile))
    assert "Where the errors are" in page
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in page
    assert "<b>&" not in page


def test_a_bundles_card_tells_where_it_errs_and_how_far_one_could_come(
    router: Router, run: Run, tmp_path: Path
) -> None:
    save(router, tmp_path / "b", metrics=evaluate(run))
    card = (tmp_path / "b" / "CARD.md").read_text()
    assert "## Where it still errs" in card
    assert "| two labellings agree |" in card
    pair = evaluate(run)["errors"]["domain"]["pairs"][0]
    assert f"| domain | {pair['label']} | {pair['said']} |" in card


def test_the_agreement_of_a_card_comes_back_and_is_a_share() -> None:
    raw = {
        "name": "n", "version": "1", "use": "train",
        "heads": {"mood": {"labels": ["a", "b"], "agreement": 0.9}, "tone": {"labels": ["c", "d"]}},
    }  # fmt: skip
    card = card_from_mapping(raw, where="here")
    assert card.agreement == {"mood": 0.9}
    assert card_from_mapping(card_to_mapping(card), where="there") == card
    raw["heads"]["mood"]["agreement"] = 90  # type: ignore[index]
    with pytest.raises(DataError, match="wanted a share in"):
        card_from_mapping(raw, where="here")
