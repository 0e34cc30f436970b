"""A decision as doors tell it: to a client that asked for decisions, and to the page beside each answer."""

from __future__ import annotations

from typing import Any

from agents.gateway.deciding import RouteChoice
from agents.gateway.events import Restarted, Started

Json = dict[str, Any]  # Any: whatever JSON can hold


def choice_json(choice: RouteChoice, *, explain: bool) -> Json:
    """One decision. explain: with every probability; always the rule, the confidence and the propensity."""
    found: Json = {
        "decision_id": choice.decision_id,
        "route": choice.route,
        "rule": choice.rule,
        "confidence": choice.confidence,
        "propensity": choice.propensity,
        "explored": choice.explored,
        "also": list(choice.also),
        "bundle": choice.bundle_id,
    }
    if explain:
        found |= {
            "probabilities": {head: dict(row) for head, row in choice.probabilities.items()},
            "candidates": list(choice.candidates),
            "novelty": choice.novelty,
            "policy_hash": choice.policy_hash,
        }
    return found


def beginning_json(choice: RouteChoice, begun: Started | Restarted) -> Json:
    """What the page is told when an answer begins, or begins again with another model."""
    return {
        "decision_id": choice.decision_id,
        "route": begun.route,
        "model": begun.model,
        "provider": begun.provider,
        "simulated": begun.simulated,
        "confidence": choice.confidence,
        "rule": choice.rule,
        "probabilities": {head: dict(row) for head, row in choice.probabilities.items()},
        "novelty": choice.novelty,
        "restarted": isinstance(begun, Restarted),
        "why": begun.why if isinstance(begun, Restarted) else None,
    }
