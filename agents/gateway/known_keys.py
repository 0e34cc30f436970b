"""The keys of a file, held in memory, and read again whenever the file has changed: to see that it has not costs microseconds."""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

K = TypeVar("K")
COUNTER_AT, COUNTER_BYTES = (
    24,
    4,
)  # of an SQLite file: its commits are counted there (sqlite.org/fileformat2.html, 1.3.7)

File = tuple[int, int]  # device and inode


class KnownKeys(Generic[K]):
    """Which key has a secret, as the file says now. Threads may ask at once.

    rows: reads the file: (hex SHA-256 of the secret, what is known of it) of each key.
    """

    def __init__(self, path: Path, rows: Callable[[], Iterable[tuple[str, K]]]) -> None:
        self._path, self._rows = path, rows
        self._blind = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._file: File | None = None
        self._handle = -1
        self._stamp: tuple[File, bytes] | None = None
        self._keys: dict[bytes, K] = {}

    def get(self, sha256: str) -> K | None:
        """What is known of the key with that hash; None for nobody's. Raises OSError where the file is gone.

        It is looked up under a keyed hash that nobody outside can compute: how long that takes tells nothing of any key.
        """
        return self._now().get(self._blinded(sha256))

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[bytes, K]:
        stamp = self._look()
        if stamp != self._stamp:
            with self._lock:
                stamp = self._look()  # before the rows are read: what changes meanwhile is seen the next time
                self._keys = {self._blinded(sha256): key for sha256, key in self._rows()}
                self._stamp = stamp
        return self._keys

    def _look(self) -> tuple[File, bytes]:
        """Another one after every commit, and where another file takes the place.

        The handle stays open: closing any would let go of the locks that SQLite holds on the file in this process.
        """
        found = self._path.stat()
        file = found.st_dev, found.st_ino
        if file != self._file:
            with self._lock:
                self._file, self._handle = file, os.open(self._path, os.O_RDONLY)
        return file, os.pread(self._handle, COUNTER_BYTES, COUNTER_AT)

    def _blinded(self, sha256: str) -> bytes:
        return hmac.digest(self._blind, sha256.encode(), "sha256")
