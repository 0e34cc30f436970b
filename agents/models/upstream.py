"""Where a provider stands and how it is reached: what both SDKs' clients are made of, and what they must not do by themselves.

Both SDKs take from the environment what changes the wire, and write whole requests into their logs at the lowest level.
Here, the environment decides about the network alone (proxies, certificates), and no log holds what people ask.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from router.errors import DataError

if TYPE_CHECKING:
    import ssl

    import httpx2

MAX_CONNECTIONS = 256  # the gateway's bulkhead stands before this; it only bounds a runaway
CONNECT_S = 3.0  # failing over must be done within five seconds
SILENCE_S = 30.0
KEEPALIVE_S = 30.0  # a pooled connection spares a TLS handshake, an old one may be dead behind a balancer
NO_KEY = "none"  # servers of one's own ask for no key, and the SDKs insist on one
WORDY = ("openai", "anthropic", "anthropic._base_client", "httpx2", "httpcore2")  # loggers that tell requests at DEBUG


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds until a provider counts as gone: to connect, and without a single byte, before the first and between two.

    The time to the first token is the caller's to limit: a provider that sends signs of life is not silent.
    """

    connect_s: float = CONNECT_S
    silence_s: float = SILENCE_S

    def __post_init__(self) -> None:
        for name in ("connect_s", "silence_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise DataError(
                    f"`{name}` is {getattr(self, name)}; wanted seconds above 0. The defaults are {DEFAULT}."
                )


DEFAULT = "connect_s = 3, silence_s = 30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One server of models. api_key: None for one that asks for none.   local: it stands on this machine or beside it, past
    any proxy of the environment.   transport: another road than the network.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    local: bool = False
    transport: httpx2.AsyncBaseTransport | None = field(default=None, repr=False)

    def client_arguments(self) -> dict[str, Any]:  # Any: of either SDK's client, which take these under the same names
        """Both SDKs' clients, made of this: one attempt a request, our limits in time, and a pool of our own."""
        return {
            "base_url": self.base_url,
            "api_key": self.api_key or NO_KEY,
            "max_retries": 0,
            "timeout": self._timeout(),
            "http_client": self._pool(),
        }

    def _pool(self) -> httpx2.AsyncClient:
        """Redirects are not followed: these interfaces have none, and a key must not travel to where one points."""
        import httpx2

        return httpx2.AsyncClient(
            timeout=self._timeout(),
            limits=httpx2.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S
            ),
            transport=self.transport,
            trust_env=not self.local,
            verify=_tls(),
            follow_redirects=False,
        )

    def _timeout(self) -> httpx2.Timeout:
        """The SDKs' own is ten minutes. A pool without a free connection is one not had."""
        import httpx2

        return httpx2.Timeout(self.timeouts.silence_s, connect=self.timeouts.connect_s, pool=self.timeouts.connect_s)


@cache
def _tls() -> ssl.SSLContext:
    """One for all providers: it reads every certificate of the system."""
    import httpx2

    return httpx2.create_ssl_context()


def tame(client: Any) -> None:  # Any: either SDK's client
    """Take back what an SDK has read from the environment for every request, and keep requests out of its log.

    `OPENAI_CUSTOM_HEADERS` and `ANTHROPIC_CUSTOM_HEADERS` would go to every server that speaks the wire, whoever runs it.
    """
    client._custom_headers = {}
    hush(WORDY)


def hush(names: Iterable[str]) -> None:
    """Keep loggers from telling what stands in a request; whatever the root logger's level is, or the SDKs' variables say."""
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
