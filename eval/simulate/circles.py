"""Fallbacks must come to an end."""

from __future__ import annotations

from collections.abc import Mapping


def circle(following: Mapping[str, str | None]) -> tuple[str, ...]:
    """The first circle among names that each lead to one other or to nothing, its first name repeated; () where none is.

    >>> circle({"a": "b", "b": None})
    ()
    >>> circle({"a": "b", "b": "c", "c": "b"})
    ('b', 'c', 'b')
    """
    for start in following:
        path: list[str] = []
        at: str | None = start
        while at is not None and at not in path:
            path.append(at)
            at = following.get(at)
        if at is not None:
            return (*path[path.index(at) :], at)
    return ()
