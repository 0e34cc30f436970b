"""Which line of a TOML file each key stands on: `tomllib` does not say, and a message about a scenario must."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

KeyPath = tuple[str | int, ...]  # ("routes", 2, "output_tokens", "p95"): keys, and positions in arrays
BLANKS = re.compile(r"[ \t]*")
GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # what may stand between statements, and within an array
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
BARE_VALUE = re.compile(r"[^,\]}#\n]+")
# A string over several lines may end in up to two quotes of its own before the three that close it.
STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:\\.|[^"\\])*"|' r"'[^']*'", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """at: 1-based line by key path, of every key, table and array element of one file.

    >>> lines = line_of("[a]\\nb = [1,\\n  2]\\n")
    >>> lines.of(("a", "b", 1)), lines.of(("a", "b", 7)), lines.of(("c",))
    (3, 2, 1)
    """

    at: Mapping[KeyPath, int]

    def of(self, path: KeyPath) -> int:
        """The line of the longest part of `path`, from its start, that the file has; 1 where it has none."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.at:
                return self.at[path[:end]]
        return 1

    def said(self, *paths: KeyPath) -> KeyPath:
        """The first of `paths` that the file has itself, else the first one: a value may come from a table of defaults."""
        return next((path for path in paths if path in self.at), paths[0])


def line_of(text: str) -> Lines:
    """Lines of a text that `tomllib` has accepted. What comes back for one that it has not is undefined."""
    return Lines(at=_Scanner(text).scan())


class _Scanner:
    """Walks over a valid TOML text once and remembers where it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.ends = [match.start() for match in re.finditer("\n", text)]
        self.at: dict[KeyPath, int] = {}
        self.sizes: dict[KeyPath, int] = {}  # of arrays of tables, so far

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(GAP) < len(self.text):
            line = self._line()
            if self._take("[["):
                table = self._element(self._key(), line)
                self.position += len("]]")
            elif self._take("["):
                table = self._table(self._key(), line)
                self.position += len("]")
            else:
                self._pair(table)
        return self.at

    def _table(self, key: tuple[str, ...], line: int) -> KeyPath:
        """Note a [header]; a name on the way that is an array of tables means its last element."""
        path: KeyPath = ()
        for part in key[:-1]:
            path = (*path, part)
            self.at.setdefault(path, line)
            if path in self.sizes:
                path = (*path, self.sizes[path] - 1)
        path = (*path, key[-1])
        if path not in self.sizes:
            self.at[path] = line
        return path

    def _element(self, key: tuple[str, ...], line: int) -> KeyPath:
        array = self._table(key, line)
        size = self.sizes.get(array, 0)
        self.sizes[array] = size + 1
        self.at[(*array, size)] = line
        return (*array, size)

    def _pair(self, table: KeyPath) -> None:
        line, path = self._line(), table
        for part in self._key():
            path = (*path, part)
            self.at.setdefault(path, line)
        self._take("=")
        self._skip(BLANKS)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            for index in self._items("]"):
                self.at[(*path, index)] = self._line()
                self._value((*path, index))
        elif self._take("{"):
            for _ in self._items("}"):
                self._pair(path)
        else:
            self._skip(STRING if self.text[self.position] in "\"'" else BARE_VALUE)

    def _items(self, close: str) -> Iterator[int]:
        """0, 1, ... for each thing that stands before `close`; whoever asks steps over it."""
        for index in count():
            self._skip(GAP)
            if self._take(close):
                return
            yield index
            self._skip(GAP)
            self._take(",")

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while not parts or self._take("."):
            start = self._skip(BLANKS)
            if self.text[start] in "\"'":
                written = self.text[start : self._skip(STRING)]
                parts.append(tomllib.loads(f"key = {written}")["key"])
            else:
                parts.append(self.text[start : self._skip(BARE_KEY)])
            self._skip(BLANKS)
        return tuple(parts)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Step over what matches here, and say where that leads to."""
        match = pattern.match(self.text, self.position)
        assert match is not None, "the text was accepted by tomllib"
        self.position = match.end()
        return self.position

    def _take(self, mark: str) -> bool:
        found = self.text.startswith(mark, self.position)
        self.position += len(mark) * found
        return found

    def _line(self) -> int:
        return bisect_left(self.ends, self.position) + 1
