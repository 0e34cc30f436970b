"""The server's doors: HTTP on OpenAI's wire, decisions, feedback, health, and the page's WebSocket. Nothing is decided here."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from agents.doors.chat_form import ChatForm, to_chat
from agents.doors.chat_reply import error_json, written
from agents.doors.chat_run import Opened, headers_of, opened, streamed, whole
from agents.doors.decision_json import choice_json
from agents.doors.guard import BodyLimit, DeniedError, Guard, bearer
from agents.doors.session import Sessions
from agents.doors.socket import talk
from agents.gateway.keys import Scope
from agents.gateway.service import AUTO, NotRecordedError, Service
from router.errors import DataError, PolicyError
from router.types import MAX_TEXT_CHARS

WEB = Path(__file__).resolve().parent / "web"
MOST_TEXTS = 256  # of one request for decisions
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GONE = 499  # the client went away; nobody reads this
LOOK_S = 0.25  # how often to look whether the client is still there
KINDS = {401: "authentication_error", 429: "rate_limit_error", 503: "server_error"}  # of errors, by status
T = TypeVar("T")
Reply = dict[str, Any]  # Any: whatever JSON can hold
Documents = dict[int | str, dict[str, Any]]  # Any: FastAPI's own form of what an address may answer
STREAM: Documents = {200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}}}}
NOT_READY: Documents = {503: {"content": {"application/json": {"schema": {"type": "object"}}}}}


class RouteForm(BaseModel):
    """The body of `POST /v1/route`: one message or many; `model` as in a chat completion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: (
        Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
        | Annotated[list[Annotated[str, Field(max_length=MAX_TEXT_CHARS)]], Field(min_length=1, max_length=MOST_TEXTS)]
    )
    model: Annotated[str, Field(min_length=1, max_length=200)] = AUTO
    explain: bool = False


class FeedbackForm(BaseModel):
    """The body of `POST /v1/feedback`: how good an answer was, in [0, 1], or the labels that are right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    labels: Annotated[dict[str, str], Field(max_length=20)] | None = None


class Fault(BaseModel):
    """An error as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str | None


class FaultReply(BaseModel):
    """What comes back where a request is refused."""

    error: Fault


def create_app(service: Service, *, guard: Guard, web: Path = WEB) -> FastAPI:
    """The application. Its lifespan closes the service: every record is completed before the process ends."""
    sessions = Sessions()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        await asyncio.wait({watching})
        await sessions.close()
        await service.close()

    refused: Documents = {
        status: {"model": FaultReply, "description": told}
        for status, told in (("4XX", "Refused: the message says why"), ("503", "Not now"))
    }
    app = FastAPI(title="Weighbridge", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, responses=refused)
    app.add_middleware(BodyLimit)
    app.state.sessions = sessions
    _errors(app, service)
    _wire(app, service, guard)
    _health(app, service)
    app.add_api_websocket_route("/ws", talk(service, guard, sessions))
    if web.is_dir():
        app.mount("/", _Page(directory=web, html=True), name="page")
    return app


def _wire(app: FastAPI, service: Service, guard: Guard) -> None:
    def admitted(request: Request, scope: Scope) -> str:
        guard.require_host(request.headers.get("host"))
        return guard.admit(bearer(request.headers.get("authorization")), scope)

    def chatter(request: Request) -> str:
        return admitted(request, "chat")

    def router_user(request: Request) -> str:
        return admitted(request, "route")

    @app.post("/v1/chat/completions", response_model=None, responses=STREAM)
    async def chat_completions(
        form: ChatForm, request: Request, principal: Annotated[str, Depends(chatter)]
    ) -> Response:
        """OpenAI's chat completions; `model` is auto, a route, or router-<bundle>-<threshold>."""
        events = service.turn(to_chat(form), asked=form.model, principal=principal)
        if not form.stream:
            answer = await _unless_gone(request, whole(events, created=int(time.time())))
            if answer is None:
                return Response(status_code=GONE)
            reply, headers, status = answer
            return Response(written(reply), status_code=status, headers=headers, media_type="application/json")
        first = await _unless_gone(request, opened(events))
        if first is None:
            return Response(status_code=GONE)
        if first.refused is not None:
            return JSONResponse(first.refused, status_code=400, headers=headers_of(first.choice, None))
        options = form.stream_options
        body = streamed(
            first,
            created=int(time.time()),
            include_usage=bool(options and options.include_usage),
            include_restarts=bool(options and options.include_restarts),
        )
        return _Turn(body, first, headers=headers_of(first.choice, first.started))

    @app.get("/v1/models")
    async def models(principal: Annotated[str, Depends(chatter)]) -> Reply:
        """What may be asked for, as OpenAI lists models."""
        del principal
        names = service.model_names()
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "weighbridge"} for name in names],
        }

    @app.post("/v1/route")
    async def route(form: RouteForm, principal: Annotated[str, Depends(router_user)]) -> Reply:
        """Decisions alone: nothing is answered, and every one is on record."""
        texts = [form.input] if isinstance(form.input, str) else form.input
        choices = await service.decide(texts, asked=form.model, principal=principal)
        return {"object": "list", "data": [choice_json(choice, explain=form.explain) for choice in choices]}

    @app.post("/v1/feedback", status_code=204)
    async def feedback(form: FeedbackForm, principal: Annotated[str, Depends(chatter)]) -> Response:
        """A person's word on an answer, joined to its decision."""
        del principal
        await service.feedback(form.decision_id, score=form.score, labels=form.labels)
        return Response(status_code=204)


def _health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> Reply:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=None, responses=NOT_READY)
    async def readyz() -> Response:
        """A bundle decides. Without one every message takes the safe route, and this says 503."""
        held = service.decider.held
        ready = held is not None
        content = {
            "status": "ready" if ready else "no bundle",
            "bundle": held.bundle_id if held else None,
            "simulated": service.simulated,
        }
        return JSONResponse(content, status_code=200 if ready else 503)

    @app.get("/metrics", response_model=None, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus' text. No query and no user is in it."""
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4")


def _errors(app: FastAPI, service: Service) -> None:
    def refuse(
        status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        service.metrics.refused.labels(str(status)).inc()
        kind = KINDS.get(status, "invalid_request_error")
        body = written(error_json(message, kind=kind, code=code))
        return Response(body, status_code=status, headers=headers, media_type="application/json")

    @app.exception_handler(DeniedError)
    async def denied(_: Request, err: DeniedError) -> Response:
        wait = {} if err.retry_after_s is None else {"retry-after": f"{max(1, ceil(err.retry_after_s))}"}
        return refuse(err.status, str(err), code=err.code, headers=wait)

    @app.exception_handler(HTTPException)
    async def plain(_: Request, err: HTTPException) -> Response:
        return refuse(err.status_code, str(err.detail), headers=dict(err.headers or {}))

    @app.exception_handler(NotRecordedError)
    async def not_recorded(_: Request, err: NotRecordedError) -> Response:
        return refuse(503, str(err), code="not_recorded")

    @app.exception_handler(DataError)
    async def data(_: Request, err: DataError) -> Response:
        unknown = "no model is called" in str(err)
        return refuse(404 if unknown else 400, str(err), code="model_not_found" if unknown else None)

    @app.exception_handler(PolicyError)
    async def policy(_: Request, err: PolicyError) -> Response:
        unknown = "is not loaded" in str(err)
        return refuse(404 if unknown else 400, str(err), code="model_not_found" if unknown else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, err: RequestValidationError) -> Response:
        # where and what, never the value that was sent: it may be somebody's words
        told = "; ".join(
            f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}" for fault in err.errors()[:5]
        )
        return refuse(400, told)


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T | None:  # Any: the loop's affair
    """Wait for an answer; a client that goes away cancels it, and with it the call upstream, and gets None."""
    task = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
            if await request.is_disconnected():
                return None
        return await task
    finally:
        task.cancel()
        await asyncio.wait({task})


class _Turn(StreamingResponse):
    """An opened turn as server-sent events. However it ends, also before its first piece, the call upstream is closed."""

    media_type = "text/event-stream"

    def __init__(self, body: AsyncGenerator[bytes, None], first: Opened, *, headers: dict[str, str]) -> None:
        super().__init__(body, headers=headers)
        self._body, self._events = body, first.events

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: starlette's own types
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._body.aclose()
            await self._events.aclose()


class _Page(StaticFiles):
    """The page's files, under a policy that lets them load nothing from elsewhere."""

    async def get_response(self, path: str, scope: Any) -> Response:  # Any: starlette's scope
        """A file with the page's headers."""
        response = await super().get_response(path, scope)
        response.headers["content-security-policy"] = PAGE_POLICY
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        response.headers["cache-control"] = "no-cache"
        return response
