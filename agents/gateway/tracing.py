"""OpenTelemetry's GenAI spans: one for the answer, one child for each attempt. Without an SDK set up they cost next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.gateway.answering import AnswerRecord
    from agents.gateway.attempt import AttemptRecord

NANOSECONDS = 1_000_000  # in a millisecond


class Tracing:
    """Writes spans when an answer has ended, with the times that it took. No text and no user is in them.

    provider: an OpenTelemetry tracer provider; None takes the global one, which does nothing until somebody sets it up.
    clock: nanoseconds since 1970.
    """

    def __init__(self, provider: Any = None, *, clock: Callable[[], int] = time.time_ns) -> None:  # Any: of the API
        from opentelemetry import trace

        self._global = provider is None
        self._tracer = trace.get_tracer("weighbridge", tracer_provider=provider)
        self._api, self._clock = trace, clock

    def _unheard(self) -> bool:
        """Whether nobody has set up an SDK (yet): then there is nothing to write, and nothing is made for it."""
        return self._global and isinstance(self._api.get_tracer_provider(), self._api.ProxyTracerProvider)

    def record(self, decision_id: str, record: AnswerRecord) -> None:
        """The span of one answer and its attempts, which are laid one after another up to now."""
        if self._unheard():
            return
        end = self._clock()
        start = end - round(record.latency_ms * NANOSECONDS)
        span = self._tracer.start_span(
            f"chat {record.route}", start_time=start, attributes=_of_answer(decision_id, record)
        )
        inside = self._api.set_span_in_context(span)
        at = start
        for attempt in record.attempts:
            after = min(end, at + round(attempt.latency_ms * NANOSECONDS))
            child = self._tracer.start_span(
                f"chat {attempt.model}",
                context=inside,
                kind=self._api.SpanKind.CLIENT,
                start_time=at,
                attributes=_of_attempt(attempt),
            )
            if attempt.outcome not in ("ok", "cancelled"):  # a reader who leaves is no fault
                child.set_status(self._api.StatusCode.ERROR)
            child.end(after)
            at = after
        span.end(end)


def _of_answer(decision_id: str, record: AnswerRecord) -> dict[str, Any]:  # Any: attribute values
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "weighbridge.decision_id": decision_id,
        "weighbridge.route": record.route,
        "weighbridge.requested_route": record.requested,
        "weighbridge.ending": record.ending,
        "weighbridge.simulated": record.simulated,
    }
    if record.served_model is not None:
        found["gen_ai.response.model"] = record.served_model
    if record.cost_usd is not None:
        found["weighbridge.cost_usd"] = record.cost_usd
    return found


def _of_attempt(attempt: AttemptRecord) -> dict[str, Any]:  # Any: attribute values
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
    }
    if attempt.outcome != "ok":
        found["error.type"] = attempt.outcome
    if attempt.served_model is not None:
        found["gen_ai.response.model"] = attempt.served_model
    if attempt.usage is not None:
        found["gen_ai.usage.input_tokens"] = attempt.usage.input_tokens
        found["gen_ai.usage.output_tokens"] = attempt.usage.output_tokens
        found["gen_ai.usage.cache_read.input_tokens"] = attempt.usage.cache_read_tokens
    return found
