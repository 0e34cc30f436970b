"""The server's own libraries keep what people say, and their keys, out of the log, whatever level is asked for."""

from __future__ import annotations

import logging

# Through it, uvicorn has websockets tell every frame and every header at DEBUG: a browser's key is one of the headers.
WIRE_LOGGER = "uvicorn.error"


class _NothingBelowInfo(logging.Filter):
    """A filter, not a level: uvicorn sets levels as it starts, before or after the application is made."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record may pass."""
        return record.levelno >= logging.INFO


_QUIET = _NothingBelowInfo()


def hush_server() -> None:
    """Do so, once."""
    logging.getLogger(WIRE_LOGGER).addFilter(_QUIET)  # added once, however often
