"""The decision log: one row per decision in one SQLite file, on record before the answer begins.

Readers open the file beside the writer (write-ahead logging) and see whole commits. User names never enter the file, only
hashes keyed with the file's own salt; query texts only where that was switched on.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agents.gateway.attempt_record import usage_json
from agents.gateway.log_file import Feedback, Json, LoggedDecision, iso, prepare, read_log
from agents.gateway.log_writer import LogWriter, NotRecordedError, Statement, UnknownDecisionError, Write
from router.errors import DataError
from router.files import canonical_json
from router.prices import Usage

if TYPE_CHECKING:
    from agents.gateway.choice import RouteChoice

__all__ = [
    "KEEP_TEXT",
    "DecisionLog",
    "Feedback",
    "LoggedDecision",
    "NotRecordedError",
    "UnknownDecisionError",
    "read_log",
]

KEEP_TEXT = "--keep-text"  # of `weighbridge serve`: the setting that keeps query texts
NEWEST = 1_000  # rows that `rows` gives where no limit is asked for
MOST_LABELS, LONGEST_LABEL = 20, 200  # of one feedback; characters of a head's name and of a label
INSERT = Statement(
    0,
    "INSERT INTO decisions (decision_id, decided_at, user_hash, policy_hash, bundle_id, probabilities, candidates,"
    " propensity, route, rule, query)",
    columns=11,
)
FINISH = Statement(
    1,
    "UPDATE decisions SET served_model = column1, attempts = column2, tokens = column3, cost_usd = column4,"
    " latency_ms = column5 FROM (",
    columns=6,
    after=") WHERE decision_id = column6",
)
FEEDBACK = Statement(
    2, "UPDATE decisions SET feedback = column1 FROM (", columns=2, after=") WHERE decision_id = column2"
)


_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class DecisionLog:
    """Appends to one file, which is made where it is missing. One event loop owns it.

    Close it, or the last rows of finished answers may be lost. clock: seconds since the epoch.   keep_text: store query
    texts.   Raises DataError for a file that is no decision log, or one of a newer version.
    """

    def __init__(self, path: Path, *, keep_text: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.keep_text = keep_text
        self._clock = clock
        self._salt = prepare(path)
        self._writer = LogWriter(path)
        self._closed = False

    def user_hash(self, user: str) -> str:
        """What stands in the log for a user: the same for the same user in this file, and in no other."""
        return hmac.digest(self._salt, user.encode("utf-8", "surrogatepass"), "sha256").hex()

    async def decided(self, choice: RouteChoice, *, user: str | None = None, query: str | None = None) -> None:
        """Put a decision on record; returns when it is on disk. Raises NotRecordedError where it cannot be written."""
        kept = query.encode("utf-8", "replace").decode() if query is not None and self.keep_text else None
        values = (
            choice.decision_id,
            self._now(),
            None if user is None else self.user_hash(user),
            choice.policy_hash,
            choice.bundle_id,
            _written(choice.probabilities),  # in the order of their columns
            _written(choice.candidates),
            choice.propensity,
            choice.route,
            choice.rule,
            kept,
        )
        await self._committed(INSERT, values, choice.decision_id)

    def finished(
        self,
        decision_id: str,
        *,
        served_model: str | None,
        attempts: Sequence[Mapping[str, Json]],
        tokens: Usage | None,
        cost_usd: float | None,
        latency_ms: float,
    ) -> None:
        """Complete a row. It is on disk with the next decision, or a tenth of a second later, or when the log is closed.

        served_model: the model that answered, None where none did.   cost_usd: None where a price is not known, never 0.
        """
        usage = None if tokens is None else canonical_json(usage_json(tokens))
        tried = canonical_json([dict(attempt) for attempt in attempts])
        self._put(Write(FINISH, (served_model, tried, usage, cost_usd, latency_ms, decision_id), decision_id, None))

    async def feedback(
        self, decision_id: str, *, score: float | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        """Join what a person said to its decision; a later word replaces an earlier one. Returns when it is on disk.

        score: how good the answer was, in [0, 1].   labels: head -> label, confirmed or corrected.
        Raises UnknownDecisionError for an id that is not there, DataError for a score out of range, for more or longer
        labels than a person gives, and where nothing is said; NotRecordedError where the disk fails.
        """
        if (score is None and not labels) or (score is not None and not 0.0 <= score <= 1.0):
            raise DataError(f"feedback: score {score}, labels {labels or 'none'}; wanted a score in [0, 1] or labels.")
        _require_short(labels or {})
        said = {"score": score, "labels": dict(labels or {}), "at": self._now()}
        await self._committed(FEEDBACK, (canonical_json(said), decision_id), decision_id)

    def rows(self, since: datetime | None = None, *, limit: int = NEWEST) -> list[LoggedDecision]:
        """The first `limit` rows decided at `since` or later, in order of time. Blocks for as long as the disk takes."""
        return list(read_log(self.path, since=since, limit=limit))

    async def close(self) -> None:
        """Write all that is in line, then let the file go. Nothing may be logged afterwards."""
        if not self._closed:
            self._closed = True
            await self._writer.end()

    def _now(self) -> str:
        return iso(datetime.fromtimestamp(self._clock(), UTC))

    def _put(self, write: Write) -> None:
        if self._closed:
            raise NotRecordedError(f"{self.path}: the decision log is closed; wanted it open. Log before closing it.")
        self._writer.put(write)

    async def _committed(self, statement: Statement, values: tuple[object, ...], decision_id: str) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Write(statement, values, decision_id, committed))
        await committed


def _require_short(labels: Mapping[str, str]) -> None:
    longest = max((len(text) for pair in labels.items() for text in pair), default=0)
    if len(labels) > MOST_LABELS or longest > LONGEST_LABEL:
        raise DataError(
            f"feedback: {len(labels)} labels, of up to {longest} characters; wanted up to {MOST_LABELS}, of up to"
            f" {LONGEST_LABEL}. See the bundle's labels with `weighbridge inspect`."
        )
