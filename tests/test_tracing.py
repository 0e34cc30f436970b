"""Spans as OpenTelemetry's own exporter sees them: one for the answer, a child for each attempt, and no words."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agents.gateway.answering import AnswerRecord
from agents.gateway.attempt import AttemptRecord
from agents.gateway.events import Ending
from agents.gateway.tracing import Tracing
from router.prices import Usage

NOW = 1_800_000_000_000_000_000  # nanoseconds since 1970
USAGE = Usage(input_tokens=100, output_tokens=10, cache_read_tokens=40)
FAILED = AttemptRecord(
    route="chat", model="m-chat", provider="acme", outcome="timeout", cost_reason="cut", latency_ms=300.0
)
WELL = AttemptRecord(
    route="deep", model="m-deep", provider="best", outcome="ok", served_model="m-deep-1", usage=USAGE, cost_usd=0.5, latency_ms=500.0
)  # fmt: skip


def a_record(*attempts: AttemptRecord, ending: Ending = "model", route: str = "deep") -> AnswerRecord:
    return AnswerRecord(
        requested="chat",
        route=route,
        ending=ending,
        attempts=attempts,
        served_model="m-deep-1" if ending == "model" else None,
        finish_reason="stop",
        simulated=False,
        latency_ms=1_000.0,
        first_token_ms=400.0,
    )


def spans(record: AnswerRecord) -> tuple[ReadableSpan, ...]:
    """The answer's span, then its attempts'."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Tracing(provider, clock=lambda: NOW).record("d" * 32, record)
    provider.shutdown()
    *attempts, answer = exporter.get_finished_spans()
    return answer, *attempts


def test_an_answer_is_one_span_with_a_child_for_each_attempt() -> None:
    answer, first, second = spans(a_record(FAILED, WELL))
    assert [span.name for span in (answer, first, second)] == ["chat deep", "chat m-chat", "chat m-deep"]
    assert answer.context is not None
    assert [span.parent and span.parent.span_id for span in (first, second)] == [answer.context.span_id] * 2
    assert answer.parent is None


def test_a_span_takes_as_long_as_its_answer_and_an_attempt_as_long_as_it_took() -> None:
    answer, first, second = spans(a_record(FAILED, WELL))
    assert (answer.start_time, answer.end_time) == (NOW - 1_000_000_000, NOW)
    assert (first.start_time, first.end_time) == (NOW - 1_000_000_000, NOW - 700_000_000)
    assert (second.start_time, second.end_time) == (NOW - 700_000_000, NOW - 200_000_000)


def test_the_attributes_carry_the_fields_own_names() -> None:
    _, _, attempt = spans(a_record(FAILED, WELL))
    assert dict(attempt.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "best",
        "gen_ai.request.model": "m-deep",
        "gen_ai.response.model": "m-deep-1",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 40,
    }


def test_the_answers_span_says_where_it_went_and_what_is_not_known_is_left_out() -> None:
    answer, *_ = spans(a_record(FAILED, WELL))
    assert dict(answer.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "m-deep-1",
        "weighbridge.decision_id": "d" * 32,
        "weighbridge.requested_route": "chat",
        "weighbridge.route": "deep",
        "weighbridge.ending": "model",
        "weighbridge.simulated": False,
    }  # no cost: one attempt's is not known


def test_a_failed_attempt_is_an_error_that_is_named_and_a_good_one_is_not() -> None:
    _, first, second = spans(a_record(FAILED, WELL))
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert (first.attributes or {})["error.type"] == "timeout"


def test_an_attempt_is_a_call_to_somebody_else_and_the_answer_is_not() -> None:
    assert [span.kind for span in spans(a_record(WELL))] == [SpanKind.INTERNAL, SpanKind.CLIENT]


@pytest.mark.parametrize("ending", ["cached", "fixed"])
def test_an_answer_that_no_model_gave_has_no_children(ending: Ending) -> None:
    assert len(spans(a_record(ending=ending, route="chat"))) == 1


def test_an_attempt_that_took_longer_than_the_clock_says_ends_no_later_than_its_answer() -> None:
    long = AttemptRecord(route="deep", model="m", provider="best", outcome="ok", latency_ms=5_000.0)
    answer, attempt, last = spans(a_record(long, WELL))
    assert attempt.end_time == last.start_time == last.end_time == answer.end_time
