"""What goes wrong at the door, in OpenAI's form: what was found, what was wanted, and which parameter it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from agents.doors.chat_reply import error_json, written
from agents.doors.guard import DeniedError
from agents.doors.params import ADVICE, UNKNOWN, UnsupportedError
from agents.gateway.service import NotRecordedError, Service, UnknownDecisionError
from router.errors import DataError, PolicyError

KINDS = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}  # of errors, by status
EXTRA = "extra_forbidden"  # pydantic's word for a field that the form does not have
FIELD = re.compile("(?!(?:str|int|float|bool|none)$)[a-z_]+")  # not "str", "list[TextPart]", "constrained-str"
TOLD = 5  # faults of one body


class Fault(BaseModel):
    """An error as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str | None


class FaultReply(BaseModel):
    """What comes back where a request is refused."""

    error: Fault


def refusals(app: FastAPI, service: Service) -> None:
    """Answer every error in OpenAI's form, and count it."""

    def refuse(
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        service.metrics.refused.labels(str(status)).inc()
        kind = KINDS.get(status, "invalid_request_error")
        body = written(error_json(message, kind=kind, code=code, param=param))
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

    @app.exception_handler(UnknownDecisionError)
    async def unknown_decision(_: Request, err: UnknownDecisionError) -> Response:
        return refuse(404, str(err), code="decision_not_found")

    @app.exception_handler(UnsupportedError)
    async def unsupported(_: Request, err: UnsupportedError) -> Response:
        return refuse(400, str(err), code=err.code, param=err.param)

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
        faults = err.errors()
        first = faults[0]
        code = "unknown_parameter" if first["type"] == EXTRA else None
        return refuse(400, _told(faults), code=code, param=_place(first) or None)


def _told(faults: Sequence[Mapping[str, Any]]) -> str:  # Any: pydantic's own
    """All in words: where, what is wrong and what to do; never the value that was sent: it may be somebody's words."""
    words = []
    for fault in faults[:TOLD]:
        place = _place(fault)
        root = place.partition(".")[0]
        wrong = "" if fault["type"] == EXTRA else f"{fault['msg']}"
        advice = ADVICE.get(root) or (UNKNOWN if fault["type"] == EXTRA else "")
        words.append(f"{place or 'body'}: {'; '.join(filter(None, (wrong, advice)))}")
    return "; ".join(words)


def _place(fault: Mapping[str, Any]) -> str:  # Any: as above
    """`messages.0.content`, without the names that pydantic gives to the branches of a choice between forms."""
    _, *parts = fault["loc"]
    if fault["type"] != EXTRA:
        parts = [part for part in parts if isinstance(part, int) or FIELD.fullmatch(part)]
    return ".".join(map(str, parts))
