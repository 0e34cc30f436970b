"""Who may come in: keys and their scopes, rates, origins, and how large a body may be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from agents.doors.chat_reply import error_json, written
from agents.gateway.keys import KeyInfo, KeyStore, Scope
from agents.gateway.limits import ConnectionCounter, RateLimiter

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_BODY_BYTES = 2_000_000
BODY_S = 30.0  # that a body may take: 2 MB over a slow line
OPEN_RATE = 6_000  # requests a minute on a server without keys, which only its own machine can reach
PER_KEY_SOCKETS, ALL_SOCKETS = 200, 2_000
KEY_PROTOCOL = "key."  # a browser cannot set headers on a WebSocket; the key comes as a second subprotocol

ASGI = MutableMapping[str, Any]  # Any: ASGI's own dictionaries
Receive = Callable[[], Awaitable[ASGI]]
Send = Callable[[ASGI], Awaitable[None]]


class DeniedError(Exception):
    """A request that is not let in. status: HTTP's; retry_after_s: for 429."""

    def __init__(self, status: int, message: str, *, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_s = status, code, retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """keys: without any the server is open, and must only listen on loopback. origins: pages beside its own that may
    open a WebSocket.
    """

    keys: KeyStore | None
    origins: frozenset[str] = frozenset()
    rates: RateLimiter = field(default_factory=RateLimiter)
    sockets: ConnectionCounter = field(
        default_factory=lambda: ConnectionCounter(per_key=PER_KEY_SOCKETS, total=ALL_SOCKETS)
    )
    pacing: Lock = field(default_factory=Lock)  # requests are admitted in threads, and a bucket is read, then written

    @property
    def open(self) -> bool:
        """Whether nobody needs a key, since there never was one."""
        return self.keys is None or not self.keys.locked

    def admit(self, secret: str | None, *scopes: Scope) -> str:
        """The principal's name, if the secret is a key with one of the scopes and its rate allows. Raises DeniedError."""
        if self.keys is None or not self.keys.locked:
            return self._paced("local", OPEN_RATE)
        info: KeyInfo | None = self.keys.verify(secret) if secret else None
        if info is None:
            raise DeniedError(
                401, "wanted an API key; make one with `weighbridge keys create`.", code="invalid_api_key"
            )
        if not info.scopes.intersection(scopes):
            wanted = " or ".join(map(repr, scopes))
            raise DeniedError(403, f"this key has no scope {wanted}.", code="insufficient_scope")
        return self._paced(info.name, info.rate_per_minute)

    def _paced(self, name: str, rate: int) -> str:
        with self.pacing:
            admission = self.rates.admit(name, rate_per_minute=rate)
        if not admission.admitted:
            raise DeniedError(
                429,
                f"more than {rate} requests a minute.",
                code="rate_limit_exceeded",
                retry_after_s=admission.retry_after_s,
            )
        return name

    def require_host(self, host: str | None) -> None:
        """Refuse a request to an open server by a name that is not its machine's own: a foreign page may have pointed its
        own name here, and a browser then takes the two for one origin. Raises DeniedError.
        """
        if self.open and _name(host) not in LOOPBACK:
            raise DeniedError(
                403, "a server without keys answers to 127.0.0.1 and localhost alone; make a key.", code="bad_host"
            )

    def require_origin(self, origin: str | None, host: str | None) -> None:
        """Refuse a WebSocket that a page of another origin opened in somebody's browser. Raises DeniedError."""
        if origin is None or origin in self.origins or urlsplit(origin).netloc == host:
            return
        raise DeniedError(403, "a page of another origin may not open this socket.", code="bad_origin")


def _name(host: str | None) -> str | None:
    """A Host header without its port; None where it is none."""
    try:
        return urlsplit(f"//{host or ''}").hostname
    except ValueError:
        return None


def bearer(header: str | None) -> str | None:
    """The secret of an Authorization header; None where there is none."""
    scheme, _, secret = (header or "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


class BodyLimit:
    """ASGI: answers 413 to a body that is larger than allowed, whether or not its length was announced, and 408 to one that
    does not come within `body_s`.   refused: told the status.
    """

    def __init__(
        self,
        app: Callable[[ASGI, Receive, Send], Awaitable[None]],
        *,
        most: int = MAX_BODY_BYTES,
        body_s: float = BODY_S,
        refused: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.app, self.most, self.body_s, self.refused = app, most, body_s, refused

    async def __call__(self, scope: ASGI, receive: Receive, send: Send) -> None:
        """Pass on what is small enough, and comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most:
            await self._refuse(send, 413)
            return
        by = asyncio.get_running_loop().time() + self.body_s
        seen, whole, answered = 0, False, False

        async def counted() -> ASGI:
            nonlocal seen, whole, answered
            if answered:
                return {"type": "http.disconnect"}
            if whole:  # who listens now waits for the client to leave, however long that takes
                return await receive()
            try:
                async with asyncio.timeout_at(by):
                    message = await receive()
            except TimeoutError:
                answered = True
                await self._refuse(send, 408)
                return {"type": "http.disconnect"}
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > self.most:
                answered = True
                await self._refuse(send, 413)
                return {"type": "http.disconnect"}
            return message

        async def unless_answered(message: ASGI) -> None:
            if not answered:
                await send(message)

        await self.app(scope, counted, unless_answered)

    async def _refuse(self, send: Send, status: int) -> None:
        self.refused(status)
        message, code = {
            408: (f"the body did not come within {self.body_s:g} s.", "timeout"),
            413: (f"the body is larger than {self.most} bytes.", "too_large"),
        }[status]
        body = written(error_json(message, kind="invalid_request_error", code=code))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
