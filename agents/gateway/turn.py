"""The state of one answer on its way: what was tried, who speaks, how much time is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agents.gateway.answers import CachedAnswer
from agents.gateway.attempt import Attempt, Delta
from agents.gateway.attempt_record import AttemptRecord
from agents.gateway.events import AnswerRecord, ChatRequest, Ending, GatewayEvent, Piece, Restarted, Source, Started
from agents.gateway.settings import Settings
from agents.types import FinishReason, TextDelta
from router.errors import ModelError
from router.types import Route


class Turn:
    """One request, from its question to its record. routes: the requested one, then its fallbacks.

    restarts: whether an answer that broke may begin anew.   ending: None until the end is known.   error: why the last
    attempt failed; None where it did not, or was not sent.   why: what befell the answer that broke last.
    """

    def __init__(
        self,
        chat: ChatRequest,
        *,
        user: str,
        routes: tuple[Route, ...],
        settings: Settings,
        clock: Callable[[], float],
        restarts: bool = True,
    ) -> None:
        self.chat = chat
        self.user = user
        self.routes = routes
        self.attempts: list[AttemptRecord] = []
        self.ending: Ending | None = None
        self.error: ModelError | None = None
        self.why = ""
        self._restarts = restarts
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self._first_by = self._began + settings.failover_s
        self._speaker: Started | Restarted | None = None
        self._deltas: list[Delta] = []
        self._first_token_at: float | None = None
        self._served_model: str | None = None
        self._finish_reason: FinishReason | None = None

    @property
    def requested(self) -> Route:
        """The route that was asked for."""
        return self.routes[0]

    def limit_s(self, route: Route) -> float:
        """How long `route` may be silent now: until the deadline, less what is kept for those after it.

        They get `failover_reserve_s`, or half of what is left where that is less.
        """
        left_s = self._first_by - self._clock()
        kept_s = 0.0 if route is self.routes[-1] else min(self._settings.failover_reserve_s, left_s / 2)
        return min(self._settings.first_event_s, left_s - kept_s)

    def speaks(
        self, route: str, *, model: str | None, provider: str | None, simulated: bool, source: Source = "model"
    ) -> Started | Restarted:
        """A new answer begins; where another was begun before, that one is void."""
        self._deltas.clear()
        if self._speaker is None:
            self._speaker = Started(route=route, model=model, provider=provider, simulated=simulated, source=source)
        else:
            self._speaker = Restarted(
                route=route, model=model, provider=provider, simulated=simulated, source=source, why=self.why
            )
        return self._speaker

    def piece(self, delta: Delta) -> Piece:
        """A piece of the answer that began last, on its way to the reader."""
        if self._first_token_at is None:
            self._first_token_at = self._clock()
        self._deltas.append(delta)
        return Piece(delta=delta)

    @property
    def text(self) -> str | None:
        """The whole answer, where it ended by itself and is nothing but words; else None."""
        words = [delta.text for delta in self._deltas if isinstance(delta, TextDelta)]
        return "".join(words) if self._finish_reason == "stop" and len(words) == len(self._deltas) else None

    def after(self, attempt: Attempt, record: AttemptRecord) -> None:
        """Note what became of an attempt. Where an answer broke, the reader's waiting begins anew."""
        self.attempts.append(record)
        self.error = attempt.error
        if attempt.finished is not None:
            self.ending = "model"
            self._served_model, self._finish_reason = attempt.finished.model, attempt.finished.reason
        elif attempt.error is not None and attempt.error.kind == "bad_request":
            self.ending = "refused"
        elif attempt.streamed and not self._restarts:
            self.ending, self.why = "broken", attempt.outcome
        elif attempt.streamed:
            self.why = attempt.outcome
            self._first_by = self._clock() + self._settings.failover_s

    def skipped(self, record: AttemptRecord) -> None:
        """Note an attempt that was not sent."""
        self.attempts.append(record)
        self.error = None

    def from_cache(self, answer: CachedAnswer) -> Iterator[GatewayEvent]:
        """Say an answer from before."""
        self.ending, self._served_model, self._finish_reason = "cached", answer.model, "stop"
        yield self.speaks(
            answer.route, model=answer.model, provider=answer.provider, simulated=answer.simulated, source="cache"
        )
        yield self.piece(TextDelta(text=answer.text))

    def fixed(self) -> Iterator[GatewayEvent]:
        """Say that nobody answers."""
        self.ending = "fixed"
        yield self.speaks(self.requested.name, model=None, provider=None, simulated=False, source="fixed")
        yield self.piece(TextDelta(text=self._settings.fixed_message))

    def record(self, ending: Ending) -> AnswerRecord:
        """What became of the request."""
        whole = ending not in ("broken", "cancelled", "failed")
        first_s = None if self._first_token_at is None else self._first_token_at - self._began
        return AnswerRecord(
            requested=self.requested.name,
            route=self._speaker.route if self._speaker else self.requested.name,
            ending=ending,
            attempts=tuple(self.attempts),
            served_model=self._served_model if whole else None,
            finish_reason=self._finish_reason if whole else None,
            simulated=self._speaker.simulated if self._speaker else False,
            latency_ms=(self._clock() - self._began) * 1e3,
            first_token_ms=None if first_s is None else first_s * 1e3,
        )
