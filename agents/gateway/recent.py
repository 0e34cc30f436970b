"""What was decided lately, by a key that nobody can read back."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

KEPT = 4_096  # what is running, with room

Value = TypeVar("Value")


def key_of(*parts: object) -> bytes:
    """The hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class Recent(Generic[Value]):
    """The latest `kept` values, each for `kept_s` from when it was put. clock: seconds, never going back."""

    def __init__(self, *, kept_s: float, kept: int = KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept, self._kept_s, self._clock = kept, kept_s, clock
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def of(self, key: bytes) -> Value | None:
        """What was put there; None where nothing was, or too long ago."""
        found = self._values.get(key)
        return found[1] if found is not None and self._clock() - found[0] < self._kept_s else None

    def put(self, key: bytes, value: Value) -> None:
        """Remember it from now on."""
        self._values[key] = self._clock(), value
        self._values.move_to_end(key)
        while len(self._values) > self._kept:
            self._values.popitem(last=False)
