"""Follow-ups: what was said before decides where the words alone do not, and only there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli import app
from router.bundle import load, save
from router.dataset import Dataset
from router.earlier import brevity, earlier_rows
from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import EncoderSpec, Matrix
from router.explain import all_contributions, explain
from router.grouping import with_groups
from router.pipeline import Router
from router.routes import RouteTable
from router.training import fit, splits_for_training
from router.types import Query

VECTORS = {"north": [1.0, 0.0], "east": [0.0, 1.0]}
THEN = "and the other one?"


class Compass:
    """An encoder of two words, which counts what it is asked."""

    spec = EncoderSpec(name="compass", digest="c", dim=2, sentence_dim=2, max_tokens=8)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Matrix:
        self.asked += texts
        return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def test_the_last_message_counts_twice_the_one_before_it() -> None:
    rows = earlier_rows([["north", "east"], ["east"], []], Compass())
    assert rows.tolist() == [pytest.approx([1 / 3, 2 / 3]), [0.0, 1.0], [0.0, 0.0]]


def test_only_the_last_three_messages_count() -> None:
    assert earlier_rows([["north", "east", "east", "east"]], Compass()).tolist() == [[0.0, 1.0]]


def test_each_earlier_message_is_embedded_once() -> None:
    encoder = Compass()
    earlier_rows([["north", "east"], ["north"], ["east", "north"]], encoder)
    assert sorted(encoder.asked) == ["east", "north"]


def test_nothing_before_means_nothing_to_embed() -> None:
    encoder = Compass()
    assert not earlier_rows([(), ()], encoder).any()
    assert encoder.asked == []


def test_a_shorter_message_leans_more_on_what_came_before() -> None:
    one, four, many = brevity(["why", "and the other one", "how far is it from Moab to Page tomorrow"]).ravel()
    assert (one, four) == pytest.approx((0.8, 0.5))
    assert many < four


@pytest.fixture(scope="module")
def conversations(small: Dataset) -> Dataset:
    """The small data, and the same words after each of its trips and budgets, labelled as what they follow."""
    made: list[Query] = []
    for query in small.queries:
        if query.labels.heads["domain"] in ("trip", "budget") and query.split in ("train", "calibration"):
            made.append(
                replace(
                    query,
                    query_id=f"{query.query_id}-then",
                    text=THEN,
                    context=(query.text,),
                    group=None,
                )
            )
    return replace(small, queries=(*small.queries, *made))


@pytest.fixture(scope="module")
def listener(conversations: Dataset, table: RouteTable) -> Router:
    """Fitted on queries and follow-ups."""
    return fit(splits_for_training(conversations), table, HashingEncoder(), seed=0)


@pytest.fixture(scope="module")
def places(small: Dataset) -> str:
    """Said of a trip."""
    return next(query.text for query in small.split("train").queries if query.labels.heads["domain"] == "trip")


@pytest.fixture(scope="module")
def money(small: Dataset) -> str:
    """Said of a budget."""
    return next(query.text for query in small.split("train").queries if query.labels.heads["domain"] == "budget")


def domain_of(router: Router, text: str, *context: str) -> str:
    p = router.decide(text, context).probabilities["domain"]
    return max(p, key=lambda label: p[label])


def test_the_same_words_after_two_things_are_two_queries(listener: Router, places: str, money: str) -> None:
    assert domain_of(listener, THEN, places) == "trip"
    assert domain_of(listener, THEN, money) == "budget"


def test_a_batch_decides_each_query_in_its_own_context(listener: Router, places: str, money: str) -> None:
    texts = [THEN, THEN, "hi"]
    contexts = [(places,), (money,), ()]
    alone = [listener.decide(text, context) for text, context in zip(texts, contexts, strict=True)]
    assert listener.decide_many(texts, contexts) == alone


def test_a_query_without_context_reads_the_same_however_it_is_asked(listener: Router, places: str) -> None:
    assert listener.decide(places) == listener.decide(places, ()) == listener.decide_many([places])[0]


def test_a_router_that_learned_without_context_passes_over_it(router: Router, money: str) -> None:
    assert router.space.earlier_dim == 0
    assert router.decide(THEN, [money]) == router.decide(THEN)


def test_a_bundle_keeps_what_it_learned_of_context(listener: Router, tmp_path: Path, money: str) -> None:
    save(listener, tmp_path / "b")
    assert load(tmp_path / "b").decide(THEN, [money]) == listener.decide(THEN, [money])
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["features"]["earlier"] is True


def test_an_explanation_names_the_earlier_messages_and_still_adds_up(listener: Router, money: str) -> None:
    reading = listener.read([THEN], [(money,)])
    head = listener.heads["domain"]
    first, second = np.argsort(-reading.probabilities["domain"][0], kind="stable")[:2].tolist()
    parts = all_contributions(listener, "domain", reading.features, first, second)
    logits = head.logits(reading.features)[0]
    whole = sum(part.log_odds for part in parts) + float(head.intercept[first]) - float(head.intercept[second])
    assert whole == pytest.approx(float(logits[first] - logits[second]), abs=1e-9)
    shown = explain(listener, THEN, [money]).contributions["domain"]
    assert "earlier messages" in [part.name for part in shown]


def test_near_duplicates_are_judged_with_what_was_said_before(conversations: Dataset, places: str, money: str) -> None:
    first = conversations.queries[0]
    after = [
        replace(first, query_id=name, text=THEN, context=(said,), persona=None, group=None)
        for name, said in (("a", places), ("b", money), ("c", money))
    ]
    groups = [query.group for query in with_groups(replace(conversations, queries=tuple(after))).queries]
    assert groups == [None, "b", "b"]


def test_the_command_takes_what_was_said_before(listener: Router, tmp_path: Path, places: str, money: str) -> None:
    save(listener, tmp_path / "b")
    found = []
    for said in (places, money):
        out = tmp_path / "d.json"
        asked = ["route", THEN, "--bundle", str(tmp_path / "b"), "--context", said, "--json", str(out)]
        assert CliRunner().invoke(app, asked, catch_exceptions=False).exit_code == 0
        p = json.loads(out.read_text(encoding="utf-8"))["probabilities"]["domain"]
        found.append(max(p, key=lambda label: p[label]))
    assert found == ["trip", "budget"]
