"""What both real clients share: closing a stream for certain, and every way to fail told as a ModelError.

Both SDKs stand on httpx2 and have the same family of errors, so one table serves them. No message quotes what a provider
said: it may repeat the query, a header or a key. For the same reason the SDK's own error is not kept as a cause.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Protocol

from router.errors import ModelError

CLOSE_S = 1.0  # how long giving a connection back may take when a stream is dropped

STATUS_KINDS = {401: "unauthorised", 402: "unauthorised", 403: "unauthorised", 408: "timeout", 429: "rate_limited"}
# Parts of the `type` or `code` in an error object; the first that is found decides.
WORD_KINDS = (
    ("overloaded", "overloaded"),
    ("unavailable", "overloaded"),
    ("rate_limit", "rate_limited"),
    ("quota", "rate_limited"),
    ("timeout", "timeout"),
    ("authentication", "unauthorised"),
    ("api_key", "unauthorised"),
    ("permission", "unauthorised"),
    ("billing", "unauthorised"),
    ("invalid_request", "bad_request"),
    ("badrequest", "bad_request"),
    ("not_found", "bad_request"),
    ("too_large", "bad_request"),
    ("context_length", "bad_request"),
    ("server_error", "overloaded"),
    ("servererror", "overloaded"),
    ("api_error", "overloaded"),
)
ADVICE = {
    "overloaded": "try again later or on another provider",
    "rate_limited": "wait, or raise the account's limit",
    "timeout": "raise `silence_timeout_s` of the provider if it is known to be slow",
    "unreachable": "check `base_url` and that the server runs",
    "broken_stream": "the answer was cut; ask again",
    "unauthorised": "check the key in the variable that `key_env` names, and what the account may use",
    "bad_request": "check the model's name, the tools and the length of the request",
}
PLAIN_WORD = re.compile(r"[a-z]+(_[a-z]+)*")  # an error's name; a key or a text of a user does not look like this


class Closable(Protocol):
    """A stream of an SDK."""

    async def close(self) -> None:
        """Give back the connection."""


@asynccontextmanager
async def closing(stream: Closable) -> AsyncIterator[None]:
    """Close an SDK's stream at the end of the block, also when the task is being cancelled."""
    import anyio

    try:
        yield
    finally:
        with anyio.move_on_after(CLOSE_S, shield=True):
            await stream.close()


def failures() -> tuple[type[Exception], ...]:
    """What may come out of either SDK besides its own errors: the transport's, and those of a stream that is no JSON."""
    import anyio
    import httpx2

    return (httpx2.HTTPError, httpx2.StreamError, OSError, anyio.EndOfStream, ValueError)


def model_error(err: Exception, *, provider: str, started: bool) -> ModelError:
    """An SDK's or the transport's error as a ModelError. started: whether the answer had begun to stream.

    Raise it `from None`: the original holds the request, with its key and its messages.
    """
    transport = _transport_error(err)
    if transport is not None:
        return told(provider, kind=_transport_kind(transport), found=_spaced(type(transport).__name__))
    status, body = getattr(err, "status_code", None), getattr(err, "body", None)
    if isinstance(status, int) and status >= 300:
        wait_s = retry_after_s(err.response.headers, now_s=time.time()) if hasattr(err, "response") else None
        return told(provider, kind=status_kind(status), found=f"HTTP {status}{_named(body)}", retry_after_s=wait_s)
    if isinstance(body, Mapping):
        return told(provider, kind=body_kind(body), found=f"an error in the stream{_named(body)}")
    if not started and isinstance(err, ValueError):
        return told(provider, kind="bad_request", found="a request that cannot be written as JSON")
    return told(provider, kind="broken_stream", found=f"a stream that cannot be read ({type(err).__name__})")


def told(provider: str, *, kind: str, found: str, retry_after_s: float | None = None) -> ModelError:
    """A ModelError in one sentence: who, what was found, what to do."""
    return ModelError(f"{provider}: {found}; {ADVICE[kind]}.", kind=kind, retry_after_s=retry_after_s)


def status_kind(status: int) -> str:
    """What an HTTP status means. 409 is a passing conflict; a redirect means that the address is wrong."""
    if status >= 500 or status == 409:
        return "overloaded"
    return STATUS_KINDS.get(status, "bad_request")


def body_kind(body: Mapping[str, object]) -> str:
    """What an error object means that came within a stream: by its numeric code, else by its words."""
    error = _inner(body)
    code = str(error.get("code", ""))
    if code.isdecimal() and 400 <= int(code) < 600:
        return status_kind(int(code))
    words = f"{error.get('type', '')} {code}".lower()
    return next((kind for part, kind in WORD_KINDS if part in words), "broken_stream")


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """Seconds that a provider asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date.

    None where it asks nothing, or nothing that can be read; a date that has passed is 0. now_s: seconds since 1970.
    """
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            wait_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if math.isfinite(wait_s):
            return max(0.0, wait_s)
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _transport_error(err: Exception) -> Exception | None:
    """The transport's error: `err` itself, or what the SDK wrapped."""
    import anyio
    import httpx2

    kinds = (httpx2.HTTPError, httpx2.StreamError, OSError, anyio.EndOfStream)
    return next((e for e in (err, err.__cause__) if isinstance(e, kinds)), None)


def _transport_kind(err: Exception) -> str:
    import httpx2

    if isinstance(err, httpx2.TimeoutException):
        return "timeout"
    if isinstance(err, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return "unreachable"
    return "broken_stream"


def _inner(body: Mapping[str, object]) -> Mapping[str, object]:
    inner = body.get("error")
    return inner if isinstance(inner, Mapping) else body


def _named(body: object) -> str:
    """The provider's name for an error, in brackets, where it is a plain word."""
    error = _inner(body) if isinstance(body, Mapping) else {}
    words = (error.get("code"), error.get("type"))
    return next((f" ({word})" for word in words if isinstance(word, str) and PLAIN_WORD.fullmatch(word)), "")


def _spaced(name: str) -> str:
    """`ReadTimeout` as "read timeout"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
