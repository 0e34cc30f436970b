"""Decisions, why they were taken, feedback, health and metrics over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
import pytest

from agents.doors.decision_forms import MOST_EXPLAINED
from agents.gateway.choice import RouteChoice
from agents.gateway.deciding import Decider
from agents.gateway.explaining import Explainer
from agents.gateway.held import Held, LabelBundle, ModelBundle
from router.explain import explain
from router.outcome_explain import explain_outcome
from router.pipeline import Router
from tests.clients import ASKED, Calm, client, get, post
from tests.outcome_tables import fitted
from tests.served import Watched, a_service, logged, ran, served, whole

pytestmark = pytest.mark.loopback

DIESEL = "how much did we spend on diesel in March?"  # which the threshold decides


def decided(calm: Calm, **form: object) -> list[dict[str, Any]]:  # Any: JSON
    found: list[dict[str, Any]] = post(calm[0], "/v1/route", form).json()["data"]
    return found


def test_many_messages_are_decided_as_each_alone_and_put_on_record(calm: Calm, tmp_path: Path) -> None:
    texts = ["hello", "plan my trip to Rome", "how much did I spend on food?"]
    many = decided(calm, input=texts)
    alone = [decided(calm, input=text)[0] for text in texts]
    assert [row["route"] for row in many] == [row["route"] for row in alone]
    assert len({row["decision_id"] for row in (*many, *alone)}) == 6
    assert {row.decision_id for row in logged(tmp_path)} == {row["decision_id"] for row in (*many, *alone)}


def test_an_explained_decision_shows_probabilities_that_sum_to_one(calm: Calm) -> None:
    (plain,), (told,) = decided(calm, input="hello"), decided(calm, input="hello", explain=True)
    assert not {"probabilities", "explanation"} & set(plain)
    sums = {head: sum(row.values()) for head, row in told["probabilities"].items()}
    assert sums == pytest.approx(dict.fromkeys(sums, 1.0), abs=1e-5)
    assert told["route"] in told["candidates"]


def test_feedback_is_joined_to_its_decision(calm: Calm, tmp_path: Path) -> None:
    server, _, asking = calm
    raw = asking.chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    decision_id = raw.headers["x-weighbridge-decision-id"]
    said = {"decision_id": decision_id, "score": 0.75, "labels": {"complexity": "simple"}}
    assert post(server, "/v1/feedback", said).status_code == 204
    (row,) = logged(tmp_path)
    assert row.feedback is not None
    assert (row.feedback.score, dict(row.feedback.labels)) == (0.75, {"complexity": "simple"})


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"labels": {}},
        {"score": 2},
        {"score": "NaN"},
        {"labels": {"complexity": "a" * 101}},
        {"labels": {"": "simple"}},
        {"labels": {"complexity": "sim\nple"}},
        {"labels": {f"head {number}": "a" for number in range(21)}},
    ],
)
def test_feedback_of_nothing_or_of_anything_but_scores_and_labels_is_refused(calm: Calm, said: dict[str, Any]) -> None:
    raw = calm[2].chat.completions.with_raw_response.create(model="chat", messages=ASKED)
    decision_id = raw.headers["x-weighbridge-decision-id"]
    assert post(calm[0], "/v1/feedback", {"decision_id": decision_id, **said}).status_code == 400


def test_feedback_on_nothing_is_not_found(calm: Calm) -> None:
    reply = post(calm[0], "/v1/feedback", {"decision_id": "0" * 32, "score": 0.5})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "decision_not_found")


def test_the_log_keeps_what_was_answered_and_what_it_cost(held: Held, tmp_path: Path) -> None:
    with served(a_service(held, tmp_path, Watched(whole("Hello.")))) as server, client(server) as asking:
        asking.chat.completions.create(model="chat", messages=ASKED)
    (row,) = logged(tmp_path)
    assert (row.route, row.rule, row.served_model) == ("chat", "asked-for", "claude-haiku-5-5")
    assert row.cost_usd == pytest.approx(0.00015)
    assert row.tokens is not None
    assert row.tokens.output_tokens == 100


def test_health_says_alive_ready_and_which_bundle(calm: Calm, held: Held) -> None:
    assert get(calm[0], "/healthz").json() == {"status": "ok"}
    ready = get(calm[0], "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "bundle": held.bundle_id, "simulated": False})


def test_metrics_count_what_was_decided_answered_and_refused(calm: Calm) -> None:
    server, _, asking = calm
    asking.chat.completions.create(model="chat", messages=ASKED)
    with pytest.raises(openai.NotFoundError):
        asking.chat.completions.create(model="gpt-9", messages=ASKED)
    lines = get(server, "/metrics").text.splitlines()
    assert 'weighbridge_decisions_total{route="chat",rule="asked-for"} 1.0' in lines
    assert 'weighbridge_answers_total{kind="model",route="chat"} 1.0' in lines
    assert 'weighbridge_refused_total{status="404"} 1.0' in lines


def test_words_are_kept_where_that_was_switched_on(held: Held, tmp_path: Path) -> None:
    service = a_service(held, tmp_path, Watched(whole("fine")), keep_text=True)
    with served(service) as server, client(server) as asking:
        asking.chat.completions.create(model="auto", messages=ASKED)
    assert [row.query for row in logged(tmp_path)] == ["where is my refund?"]


# ---- Explanations ----


def test_an_explanation_adds_up_what_speaks_for_the_label_against_the_next(calm: Calm, router: Router) -> None:
    (told,) = decided(calm, input=DIESEL, explain=True)
    said, truth = told["explanation"], explain(router, DIESEL)
    assert (said["available"], said["reason"], said["flip"]) == (True, None, truth.flip)
    for head, rows in told["probabilities"].items():
        first, second = sorted(rows, key=rows.__getitem__, reverse=True)[:2]
        shown = said["heads"][head]
        assert (shown["label"], shown["against"], shown["unit"]) == (first, second, "log-odds")
        assert [(part["name"], part["amount"]) for part in shown["parts"]] == [
            (part.name, pytest.approx(part.log_odds, abs=1e-6)) for part in truth.contributions[head]
        ]


def test_an_explanation_names_training_queries_by_their_ids_and_shows_none_of_their_words(
    calm: Calm, router: Router
) -> None:
    (told,) = decided(calm, input="where is my refund?", explain=True)
    near = told["explanation"]["neighbours"]
    texts = {query.query_id: query.text for query in router.training}
    assert len(near) == 3
    assert [set(row) for row in near] == [{"query_id", "similarity"}] * 3
    assert not [row for row in near if texts[row["query_id"]] in json.dumps(told["explanation"])]


def test_what_would_flip_a_decision_is_told_for_the_threshold_that_was_asked_for(calm: Calm) -> None:
    (told,) = decided(calm, input=DIESEL, model="router-current-0.25", explain=True)
    assert "(now 0.250)" in told["explanation"]["flip"]


def test_where_no_classifier_decided_there_is_nothing_to_explain_and_it_says_so(calm: Calm) -> None:
    (told,) = decided(calm, input="hello", model="chat", explain=True)
    assert told["explanation"] == {"available": False, "reason": "no classifier decided it: asked-for"}


def test_a_compiled_form_says_that_it_has_no_coefficients_to_show(held: Held) -> None:
    assert isinstance(held, LabelBundle)
    compiled: Any = SimpleNamespace(tiers=(SimpleNamespace(name="static"), SimpleNamespace(name="int8")))
    choice = RouteChoice(
        decision_id="d", route="chat", rule="cheap", confidence=0.75, probabilities={"complexity": {"simple": 0.75}},
        candidates=("chat",), propensity=1.0, novelty=0.5, bundle_id=held.bundle_id, policy_hash="p", also=(),
        explored=False, cached=False,
    )  # fmt: skip
    said = ran(Explainer().explain(replace(held, router=compiled), choice, "hello"))
    assert said["available"] is False
    assert "compiled form static+int8, which keeps no coefficients" in said["reason"]
    assert "--form fitted" in said["reason"]


def test_a_decision_of_a_bundle_that_was_replaced_is_not_explained_by_another(held: Held) -> None:
    (made,) = ran(Decider(held, safe="chat", rng=np.random.default_rng(0)).choose_many([DIESEL]))
    said = ran(Explainer().explain(held, replace(made, bundle_id="the one before"), DIESEL))
    assert (said["available"], "replaced meanwhile" in said["reason"]) == (False, True)


def test_a_router_over_models_is_explained_by_its_views(tmp_path: Path) -> None:
    router = fitted()
    bundle = ModelBundle.of(router, bundle_id="b", stamp="b")
    text = router.training.texts[0]
    with served(a_service(bundle, tmp_path, Watched())) as server:
        (told,) = post(server, "/v1/route", {"input": text, "explain": True}).json()["data"]
    truth = explain_outcome(router, text)
    said = told["explanation"]
    assert (said["available"], said["model"], said["against"]) == (True, truth.decision.model, truth.against)
    assert set(said["views"]) == {"blend", *truth.views}
    assert said["views"]["blend"]["base"] == pytest.approx(truth.blend.base)


def test_more_than_a_few_explanations_at_once_are_refused_and_nothing_is_decided(calm: Calm, tmp_path: Path) -> None:
    reply = post(calm[0], "/v1/route", {"input": ["hello"] * (MOST_EXPLAINED + 1), "explain": True})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "explain")
    assert logged(tmp_path) == []
