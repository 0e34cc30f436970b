"""Heads, labels and roads of a small made-up product, which tests of the policy are worked out on by hand."""

from __future__ import annotations

from router.routes import LabelPolicySpec
from router.types import Route

SPEC = LabelPolicySpec(
    complexity_head="level",
    cheap_label="easy",
    domain_head="topic",
    out_of_scope_label="outside",
    urgency_head="mood",
    high_label="urgent",
    wrong_cheap_usd=0.02,
    wrong_dear_usd=0.01,
    min_confidence=0.4,
    max_novelty=0.9,
)


def road(name: str, *, desk: str | None = None, safe: bool = False) -> Route:
    return Route(
        name=name, model="m", provider="p", desk=desk, safe=safe,
        input_tokens=1, output_tokens=1, latency_ms_p50=1.0, latency_ms_p95=2.0,
    )  # fmt: skip
