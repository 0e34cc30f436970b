"""What an operator reads at /metrics: each answer is counted once, under how it ended."""

from __future__ import annotations

import pytest

from agents.gateway.attempt import AttemptRecord
from agents.gateway.events import AnswerRecord, Ending
from agents.gateway.metrics import Metrics
from router.prices import Usage

WELL = AttemptRecord(
    route="chat", model="m", provider="acme", outcome="ok", cost_usd=0.25, latency_ms=500.0,
    usage=Usage(input_tokens=100, output_tokens=10, cache_read_tokens=40),
)  # fmt: skip
UNKNOWN = AttemptRecord(route="chat", model="m", provider="acme", outcome="timeout", cost_reason="no usage")


def a_record(*attempts: AttemptRecord, ending: Ending = "model", route: str = "chat") -> AnswerRecord:
    return AnswerRecord(
        requested="chat", route=route, ending=ending, attempts=attempts, served_model=None, finish_reason=None,
        simulated=False, latency_ms=1_500.0, first_token_ms=None if ending == "cancelled" else 200.0,
    )  # fmt: skip


def lines(metrics: Metrics) -> set[str]:
    return set(metrics.exposition().decode().splitlines())


@pytest.mark.parametrize(
    ("ending", "route", "kind"),
    [
        ("model", "chat", "model"),
        ("model", "deep", "fallback"),
        ("cached", "chat", "cached"),
        ("fixed", "chat", "fixed"),
        ("refused", "chat", "refused"),
        ("cancelled", "chat", "cancelled"),
        ("failed", "chat", "failed"),
    ],
)
def test_an_answer_is_counted_under_how_it_ended(ending: Ending, route: str, kind: str) -> None:
    metrics = Metrics()
    metrics.answered(a_record(ending=ending, route=route))
    counted = {line for line in lines(metrics) if line.startswith("weighbridge_answers_total{")}
    assert counted == {f'weighbridge_answers_total{{kind="{kind}",route="{route}"}} 1.0'}


def test_dollars_and_tokens_are_summed_and_what_is_not_known_is_counted_apart() -> None:
    metrics = Metrics()
    for record in (a_record(WELL), a_record(WELL), a_record(UNKNOWN, WELL)):
        metrics.answered(record)
    assert lines(metrics) >= {
        'weighbridge_cost_usd_total{route="chat"} 0.5',
        'weighbridge_unpriced_answers_total{route="chat"} 1.0',
        'weighbridge_attempts_total{model="m",outcome="ok",provider="acme"} 3.0',
        'weighbridge_attempts_total{model="m",outcome="timeout",provider="acme"} 1.0',
        'gen_ai_client_token_usage_total{kind="input",model="m",provider="acme"} 300.0',
        'gen_ai_client_token_usage_total{kind="output",model="m",provider="acme"} 30.0',
        'gen_ai_client_token_usage_total{kind="cache_read",model="m",provider="acme"} 120.0',
    }


def test_times_are_in_seconds_and_only_of_what_happened() -> None:
    metrics = Metrics()
    metrics.answered(a_record(WELL))
    metrics.answered(a_record(ending="cancelled"))
    assert lines(metrics) >= {
        'gen_ai_client_operation_duration_seconds_sum{route="chat"} 3.0',
        'weighbridge_first_token_seconds_sum{route="chat"} 0.2',
        'weighbridge_first_token_seconds_count{route="chat"} 1.0',
    }


def test_two_servers_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()
    one.decided("chat", "cheap", 0.004)
    assert 'weighbridge_decisions_total{route="chat",rule="cheap"} 1.0' in lines(one)
    assert not [line for line in lines(other) if "chat" in line]
