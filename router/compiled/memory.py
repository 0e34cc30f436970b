"""What was found lately, by what it was found for; two threads at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """Keeps the `size` entries that were asked for last; 0 keeps none.

    >>> memory = Memory[str, int](2)
    >>> for name in ("a", "b", "a", "c"): memory.put(name, ord(name))
    >>> memory.get("a"), memory.get("b")
    (97, None)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """What was put there, None where nothing is left."""
        if not self._size:
            return None
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Key, value: Value) -> None:
        """Keep an entry, and forget the one asked for longest ago where there are too many."""
        if not self._size:
            return
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
