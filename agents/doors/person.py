"""Whom a request is for: the owner of its key, or somebody among the owner's users whom only the owner knows."""

from __future__ import annotations

import json
from collections.abc import Callable


def person(owner: str, user: str | None, *, keyed: Callable[[str], str]) -> str:
    """The name under which the gateway knows somebody: in the log, for the cache of answers, towards providers.

    user: what the client calls its user, or None. It is hashed together with the key's owner, so that two owners' users of
    one name stay apart, and never kept as it is.   keyed: a hash that nobody outside can compute.
    """
    return owner if not user else keyed(json.dumps([owner, user]))
