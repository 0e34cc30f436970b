"""The server's doors: HTTP on OpenAI's wire, decisions, feedback, health, and the page's WebSocket. Nothing is decided here."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from agents.doors.chat_form import ChatForm, to_chat
from agents.doors.chat_reply import written
from agents.doors.chat_run import headers_of, opened, streamed, whole
from agents.doors.contained import Contained
from agents.doors.decision_forms import FeedbackForm, RouteForm
from agents.doors.decision_json import choice_json
from agents.doors.faults import FaultReply, refusals
from agents.doors.guard import BodyLimit, DeniedError, Guard, bearer
from agents.doors.params import require_taken
from agents.doors.person import person
from agents.doors.quiet import hush_server
from agents.doors.sending import GONE, StreamedTurn, unless_gone
from agents.doors.session import Sessions
from agents.doors.socket import talk
from agents.gateway.deciding import parse_alias
from agents.gateway.explaining import Explainer
from agents.gateway.keys import Scope
from agents.gateway.service import Service
from router.types import Route

logger = logging.getLogger(__name__)

WEB = Path(__file__).resolve().parent / "web"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CLOSE_S = 20.0  # that closing may take: records on their way to a slow disk
Reply = dict[str, Any]  # Any: whatever JSON can hold
Documents = dict[int | str, dict[str, Any]]  # Any: FastAPI's own form of what an address may answer
STREAM: Documents = {200: {"content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}}}}
NOT_READY: Documents = {503: {"content": {"application/json": {"schema": {"type": "object"}}}}}


def create_app(service: Service, *, guard: Guard, web: Path = WEB) -> FastAPI:
    """The application. Its lifespan closes the service: every record is completed before the process ends."""
    sessions, explainer = Sessions(), Explainer()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        hush_server()
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        explainer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.wait({watching})
                await sessions.close()
                await service.close()
        except TimeoutError:
            logger.error("the server did not close within %g s; the last records may be incomplete", CLOSE_S)

    refused: Documents = {
        status: {"model": FaultReply, "description": told}
        for status, told in (("4XX", "Refused: the message says why"), ("503", "Not now"))
    }
    app = FastAPI(title="Weighbridge", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, responses=refused)
    refusal = service.metrics.refused.labels
    app.add_middleware(Contained, failed=lambda: refusal("500").inc())
    app.add_middleware(BodyLimit, refused=lambda status: refusal(str(status)).inc())
    app.state.sessions = sessions
    refusals(app, service)
    _chat(app, service, guard)
    _decisions(app, service, guard, explainer)
    _health(app, service, guard)
    app.add_api_websocket_route("/ws", talk(service, guard, sessions))
    if web.is_dir():
        app.mount("/", _Page(directory=web, html=True), name="page")
    return app


class _Admitted:
    """Who may come in: a dependency of FastAPI's. scopes: of which a key must have one."""

    def __init__(self, guard: Guard, *scopes: Scope) -> None:
        self._guard, self._scopes = guard, scopes

    async def __call__(self, request: Request) -> str:  # at once: keys are at hand
        """The principal. Raises DeniedError."""
        self._guard.require_host(request.headers.get("host"))
        return self._guard.admit(bearer(request.headers.get("authorization")), *self._scopes)


def _chat(app: FastAPI, service: Service, guard: Guard) -> None:
    chatter = _Admitted(guard, "chat")

    @app.post("/v1/chat/completions", response_model=None, responses=STREAM)
    async def chat_completions(
        form: ChatForm, request: Request, principal: Annotated[str, Depends(chatter)]
    ) -> Response:
        """OpenAI's chat completions; `model` is auto, a route, or router-<bundle>-<threshold>."""
        chat = to_chat(form)
        require_taken(chat, _candidates(service, form.model), service.models)
        who = person(principal, form.end_user, keyed=service.log.user_hash)
        options = form.stream_options
        restarts = not form.stream or bool(options and options.include_restarts)
        events = service.turn(chat, asked=form.model, principal=who, restarts=restarts)
        if not form.stream:
            answer = await unless_gone(request, whole(events, created=int(time.time())))
            if answer is None:
                return Response(status_code=GONE)
            reply, headers, status = answer
            return Response(written(reply), status_code=status, headers=headers, media_type="application/json")
        first = await unless_gone(request, opened(events))
        if first is None:
            return Response(status_code=GONE)
        if first.refused is not None:
            return JSONResponse(first.refused, status_code=400, headers=headers_of(first.choice, None))
        usage = bool(options and options.include_usage)
        body = streamed(first, created=int(time.time()), include_usage=usage)
        return StreamedTurn(body, first, headers=headers_of(first.choice, first.started))

    @app.get("/v1/models")
    async def models(principal: Annotated[str, Depends(chatter)]) -> Reply:
        """What may be asked for, as OpenAI lists models."""
        del principal
        names = service.model_names()
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "weighbridge"} for name in names],
        }


def _decisions(app: FastAPI, service: Service, guard: Guard, explainer: Explainer) -> None:
    @app.post("/v1/route")
    async def route(form: RouteForm, principal: Annotated[str, Depends(_Admitted(guard, "route"))]) -> Reply:
        """Decisions alone: nothing is answered, and every one is on record."""
        form.require_explainable()
        alias = parse_alias(form.model)
        held = service.decider.at(alias).held if alias else service.decider.held
        who = person(principal, form.user, keyed=service.log.user_hash)
        choices = await service.decide(form.texts, asked=form.model, principal=who)
        told = [choice_json(choice, explain=form.explain) for choice in choices]
        if form.explain:
            for content, choice, text in zip(told, choices, form.texts, strict=True):
                content["explanation"] = await explainer.explain(held, choice, text)
        return {"object": "list", "data": told}

    @app.post("/v1/feedback", status_code=204)
    async def feedback(
        form: FeedbackForm, principal: Annotated[str, Depends(_Admitted(guard, "chat", "route"))]
    ) -> Response:
        """A person's word on an answer or a decision, joined to it. Who may ask for either may say so."""
        del principal
        await service.feedback(form.decision_id, score=form.score, labels=form.labels)
        return Response(status_code=204)


def _health(app: FastAPI, service: Service, guard: Guard) -> None:
    watcher = _Admitted(guard, "admin")

    @app.get("/healthz")
    async def healthz() -> Reply:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=None, responses=NOT_READY)
    async def readyz(request: Request) -> Response:
        """A bundle decides. Without one every message takes the safe route, and this says 503. Who watches learns which."""
        held = service.decider.held
        content: Reply = {"status": "no bundle" if held is None else "ready"}
        try:
            await watcher(request)
            content |= {"bundle": held.bundle_id if held else None, "simulated": service.simulated}
        except DeniedError:  # a balancer has no key, and needs none for the status
            pass
        return JSONResponse(content, status_code=503 if held is None else 200)

    @app.get("/metrics", response_model=None, response_class=PlainTextResponse)
    async def metrics(principal: Annotated[str, Depends(watcher)]) -> Response:
        """Prometheus' text. No query and no user is in it; what a service costs and who serves it is not everybody's, though."""
        del principal
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4")


def _candidates(service: Service, asked: str) -> list[Route]:
    """The routes that may answer: the one that was asked for by name, else any."""
    named = [route for route in service.routes if route.name == asked]
    return named or list(service.routes)


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
