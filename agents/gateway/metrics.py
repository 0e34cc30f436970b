"""What an operator watches: Prometheus metrics of decisions, answers, attempts and money. Labels are bounded; no text, no user."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.gateway.answering import AnswerRecord
    from agents.gateway.pool import Pool

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One registry of its own, so that two servers in one process do not share figures."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry}  # Any: prometheus_client's own keyword arguments
        self.decisions = Counter(
            "weighbridge_decisions_total", "Decisions by route and rule.", ["route", "rule"], **made
        )
        self.decide_seconds = Histogram(
            "weighbridge_decide_seconds", "Time to decide one message.", buckets=SECONDS, **made
        )
        self.answers = Counter(
            "weighbridge_answers_total", "Answers by route and how they came.", ["route", "kind"], **made
        )
        self.attempts = Counter(
            "weighbridge_attempts_total",
            "Attempts by provider, model and outcome.",
            ["provider", "model", "outcome"],
            **made,
        )
        self.tokens = Counter(
            "gen_ai_client_token_usage_total", "Tokens by model and kind.", ["provider", "model", "kind"], **made
        )
        self.usd = Counter("weighbridge_cost_usd_total", "Dollars of attempts with a known price.", ["route"], **made)
        self.unpriced = Counter(
            "weighbridge_unpriced_answers_total", "Answers whose cost is not known.", ["route"], **made
        )
        self.answer_seconds = Histogram(
            "gen_ai_client_operation_duration_seconds", "Time to the whole answer.", ["route"], buckets=SECONDS, **made
        )
        self.first_token_seconds = Histogram(
            "weighbridge_first_token_seconds", "Time to the first piece.", ["route"], buckets=SECONDS, **made
        )
        self.open_sockets = Gauge("weighbridge_open_websockets", "WebSockets that are open.", **made)
        self.refused = Counter(
            "weighbridge_refused_total", "Requests refused at the door, by status.", ["status"], **made
        )

        self.waiting = Gauge("weighbridge_classifier_waiting", "Messages in line for the classifier.", **made)
        self.stuck = Gauge("weighbridge_classifier_stuck", "Classifier calls that have not come back.", **made)
        self._of: Callable[..., Any] = cache(lambda metric, *labels: metric.labels(*labels))  # as few as labels are

    def watch(self, pool: Pool) -> None:
        """Show how a pool of classifiers does, whenever somebody looks."""
        self.waiting.set_function(lambda: pool.waiting)
        self.stuck.set_function(lambda: pool.stuck)

    def decided(self, route: str, rule: str, seconds: float) -> None:
        """Count one decision."""
        self._of(self.decisions, route, rule).inc()
        self.decide_seconds.observe(seconds)

    def answered(self, record: AnswerRecord) -> None:
        """Count one answer and its attempts."""
        kind = "fallback" if record.ending == "model" and record.route != record.requested else record.ending
        self._of(self.answers, record.route, kind).inc()
        self._of(self.answer_seconds, record.route).observe(record.latency_ms / 1000.0)
        if record.first_token_ms is not None:
            self._of(self.first_token_seconds, record.route).observe(record.first_token_ms / 1000.0)
        if record.cost_usd is None:
            self._of(self.unpriced, record.route).inc()
        else:
            self._of(self.usd, record.route).inc(record.cost_usd)
        for attempt in record.attempts:
            self._of(self.attempts, attempt.provider, attempt.model, attempt.outcome).inc()
            if attempt.usage is not None:
                for what, count in (
                    ("input", attempt.usage.input_tokens),
                    ("output", attempt.usage.output_tokens),
                    ("cache_read", attempt.usage.cache_read_tokens),
                ):
                    self._of(self.tokens, attempt.provider, attempt.model, what).inc(count)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        from prometheus_client import generate_latest

        found: bytes = generate_latest(self.registry)
        return found
