"""Routers of a user's own: any installed package that names one under the entry point `weighbridge.outcome_routers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points

from router.baselines.outcomes.protocol import OutcomeRouter
from router.errors import FitError

GROUP = "weighbridge.outcome_routers"
RESERVED = ("weighbridge", "oracle", "all")  # our own row, the judge's row, and what `--routers` takes for every one
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # as a name stands in `--routers a,b` and in file names
PROMISED = ("fit", "predict", "allowed", "probabilities")


def find_user_routers(taken: Collection[str]) -> dict[str, Callable[[], OutcomeRouter]]:
    """Name -> what makes a router, by name; nothing where no installed package offers one.

    Raises FitError, naming the entry point and its distribution, for one that cannot be loaded or made, that lacks a part
    of the protocol, or whose name is taken, twice or malformed.
    """
    found: dict[str, Callable[[], OutcomeRouter]] = {}
    origin = dict.fromkeys((*taken, *RESERVED), "weighbridge itself")
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _distribution(point))):
        if not NAME.fullmatch(point.name):
            raise _refused(point, "its name is not one", "letters, digits, `.`, `_` and `-`")
        if point.name in origin:
            raise _refused(point, f"its name is taken by {origin[point.name]}", "a name of its own")
        found[point.name], origin[point.name] = _load(point), _distribution(point)
    return found


def _load(point: EntryPoint) -> Callable[[], OutcomeRouter]:
    try:
        make: Callable[[], OutcomeRouter] = point.load()
        made = make()
    except Exception as err:  # whatever a stranger's module may raise
        raise _refused(
            point, f"it fails with {type(err).__name__}: {err}", "a class or function without arguments"
        ) from err
    lacking = [name for name in PROMISED if not hasattr(made, name)]
    if lacking:
        raise _refused(point, f"what it makes has no {', '.join(lacking)}", "a router as in docs/own-router.md")
    return make


def _refused(point: EntryPoint, found: str, wanted: str) -> FitError:
    return FitError(
        f"entry point {point.name!r} = {point.value!r} of {_distribution(point)}: {found}; wanted {wanted}."
        f" Mend it, or `pip uninstall` that distribution; docs/own-router.md shows one that works."
    )


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
