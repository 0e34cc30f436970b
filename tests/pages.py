"""The other end of the page's socket, as a browser would hold it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from tests.served import BOUND_S, Server

Said = dict[str, Any]  # Any: whatever JSON can hold


class Page:
    """One end of the socket. Messages are read in order; `until` gives all up to one of a kind."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def says(self, kind: str, **content: object) -> None:
        self.connection.send(json.dumps({"type": kind, **content}))

    def asks(self, turn: str, text: str = "hello", route: str = "chat") -> None:
        self.says("message", turn=turn, text=text, route=route)

    def hears(self) -> Said:
        found: Said = json.loads(self.connection.recv(timeout=BOUND_S))
        return found

    def until(self, kind: str) -> list[Said]:
        by = time.monotonic() + 2 * BOUND_S
        heard = [self.hears()]
        while heard[-1]["type"] != kind:
            assert time.monotonic() < by, f"{len(heard)} messages, and no {kind}"
            heard.append(self.hears())
        return heard


@contextmanager
def deaf(server: Server, turn: str) -> Iterator[None]:
    """A page that asks one thing, and then neither reads nor goes."""
    at = urlsplit(server.url)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.settimeout(BOUND_S)
        line.connect((at.hostname, at.port))
        line.sendall(
            b"GET /ws?session=s1 HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += line.recv(1)
        assert b" 101 " in head
        said = json.dumps({"type": "message", "turn": turn, "text": "hello", "route": "chat"}).encode()
        assert len(said) < 126
        line.sendall(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)  # masked with zeros, as a client's frame is
        yield


def page(
    server: Server, session: str = "s1", last_seq: object = 0, **options: Any
) -> ClientConnection:  # Any: of connect
    opened: ClientConnection = connect(
        f"{server.socket_url}?session={session}&last_seq={last_seq}", proxy=None, open_timeout=BOUND_S, **options
    )
    return opened
