"""A server of this machine's own, in a thread: it has begun before anybody asks, and it ends, or says where it stands."""

from __future__ import annotations

import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

BOUND_S = 30.0  # to begin, and to end: a busy machine takes its time, and one that is stuck is told
GRACE_S = 1  # that connections and answers have to end by themselves


@contextmanager
def listening(
    app: Any,  # Any: an ASGI application
    *,
    lifespan: Literal["on", "off"] = "off",
    ws: Literal["auto", "none"] = "none",
) -> Iterator[str]:
    """Serve an application until the end of the block; yields its address, without a trailing slash."""
    # asyncio sends small pieces at once only over a socket that is told to be TCP's.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app, lifespan=lifespan, ws=ws, log_config=None, access_log=False, server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True, name="server")
        thread.start()
        try:
            _begun(server, thread)
            yield url
        finally:
            server.should_exit = True
            thread.join(BOUND_S)
            assert not thread.is_alive(), f"the server did not stop within {BOUND_S:.0f} s:\n{_stack(thread)}"


def _begun(server: uvicorn.Server, thread: threading.Thread) -> None:
    by = time.monotonic() + BOUND_S
    while not server.started:
        assert thread.is_alive(), "the server ended before it began"
        assert time.monotonic() < by, f"the server did not begin within {BOUND_S:.0f} s:\n{_stack(thread)}"
        time.sleep(0.005)


def _stack(thread: threading.Thread) -> str:
    """Where a thread stands."""
    frame = sys._current_frames().get(thread.ident or -1)
    return "".join(traceback.format_stack(frame)) if frame is not None else "(it has no frame)"
