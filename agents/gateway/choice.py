"""What became of a bundle's decision on a message: the record of a choice."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

CLASSIFIER_FAILED = "classifier-failed"
CLASSIFIER_BUSY = "classifier-busy"
ASKED_FOR = "asked-for"
EXPLORED = "explored"
SUCCESS = "success"  # the head under which a router over models tells P(good answer) of each


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChoice:
    """Where one message goes, why, and how probable that was.

    rule: the policy's, or "asked-for", "classifier-failed", "classifier-busy", "explored".   candidates: the routes that
    were chosen between.   propensity: the probability with which `route` was taken from them.   confidence, novelty: None
    where no verdict says them.   explored: whether a draw took another route than the policy's own.   cached: whether the
    verdict was at hand.
    """

    decision_id: str
    route: str
    rule: str
    confidence: float | None
    probabilities: Mapping[str, Mapping[str, float]]
    candidates: tuple[str, ...]
    propensity: float
    novelty: float | None
    bundle_id: str | None
    policy_hash: str | None
    also: tuple[str, ...]
    explored: bool
    cached: bool


def new_decision_id() -> str:
    """32 hex digits that nobody can guess."""
    return uuid.uuid4().hex
