"""From the decision log back to data: an outcome table to learn models' success from, or queries that people labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agents.gateway.choice import SUCCESS
from agents.gateway.decision_log import KEEP_TEXT, LoggedDecision, read_log
from router.dataset import query_to_row
from router.errors import DataError
from router.files import canonical_json, write_atomic
from router.rows import text_problem
from router.types import Labels, Query

Kind = Literal["labelled", "outcomes"]
SUFFIX = ".jsonl"
SOURCE = "decision log"

Row = dict[str, Any]  # whatever JSON can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """The rows of a file, and how many decisions gave none: no text was kept of them, or nobody answered."""

    rows: tuple[Row, ...]
    without_text: int
    without_answer: int


def write_from_log(log: Path, out: Path, *, kind: Kind) -> Extract:
    """Write what a log holds as JSONL, whole or not at all, and say what it was.

    Raises DataError for another suffix, a log that cannot be read, one that kept no text, and where nothing is left.
    """
    if out.suffix != SUFFIX:
        raise DataError(f"{out}: the suffix is {out.suffix or 'missing'}; wanted {SUFFIX}.")
    decisions = list(read_log(log))
    kept = [decision for decision in decisions if decision.query is not None and text_problem(decision.query) is None]
    if not kept:
        raise DataError(
            f"{log}: {len(decisions):,} decisions, no query text of any; wanted texts to make {kind} of."
            f" Keep them from now on with `weighbridge serve {KEEP_TEXT}`."
        )
    rows = outcome_rows(kept) if kind == "outcomes" else labelled_rows(kept)
    if not rows or (kind == "outcomes" and all(row["score"] is None for row in rows)):
        raise DataError(
            f"{log}: {len(kept):,} decisions with a text, and no score of any answer; wanted some."
            " Give scores with POST /v1/feedback."
        )
    write_atomic(out, "".join(canonical_json(row) + "\n" for row in rows))
    return Extract(rows=tuple(rows), without_text=len(decisions) - len(kept), without_answer=len(kept) - len(rows))


def outcome_rows(decisions: Iterable[LoggedDecision]) -> list[Row]:
    """A row per decision that a model answered, as `read_outcomes` reads them; what is not known is null, never 0.

    An answer from the cache is no outcome. Cost, tokens and latency are of the call that answered, not of those that
    failed before it.   propensity: an extra column, of the decided route; null where another route answered, because the
    answer then says nothing of that decision.   dataset: "simulated" for what no real model answered.
    """
    rows = []
    for decision in decisions:
        call = _answering_call(decision)
        if decision.served_model is not None and call is not None:
            usage = call.get("usage") or {}
            rows.append(
                {
                    "query_id": decision.decision_id,
                    "query": decision.query,
                    "model": decision.served_model,
                    "score": None if decision.feedback is None else decision.feedback.score,
                    "cost_usd": call.get("cost_usd"),
                    "input_tokens": usage.get("input_tokens"),
                    "output_tokens": usage.get("output_tokens"),
                    "latency_ms": call.get("latency_ms"),
                    "dataset": "simulated" if call.get("simulated") else None,
                    "propensity": decision.propensity if call.get("route") == decision.route else None,
                }
            )
    return rows


def _answering_call(decision: LoggedDecision) -> Row | None:
    """The attempt that went well, as the gateway records one; None where none did."""
    return next((dict(tried) for tried in reversed(decision.attempts or ()) if tried.get("outcome") == "ok"), None)


def labelled_rows(decisions: Iterable[LoggedDecision]) -> list[Row]:
    """A row per decision, as `load_dataset` reads them: labels that a person confirmed or corrected, null elsewhere.

    Predicted labels are left out: a router that learned from them would learn its own mistakes.
    """
    kept = list(decisions)
    heads = {head for decision in kept for head in (*decision.probabilities, *_labels(decision)) if head != SUCCESS}
    return [
        query_to_row(
            Query(
                query_id=decision.decision_id,
                text=decision.query or "",
                labels=Labels(heads={head: _labels(decision).get(head) for head in sorted(heads)}),
                source=SOURCE,
            )
        )
        for decision in kept
    ]


def _labels(decision: LoggedDecision) -> Mapping[str, str]:
    return {} if decision.feedback is None else decision.feedback.labels
