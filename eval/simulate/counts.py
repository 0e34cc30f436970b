"""Where a router sent queries of each class, at every threshold that it could have: counted, from a run or a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.run import Header, Record, stream_run
from router.errors import DataError, RunError
from router.files import write_atomic
from router.policy import RULES, LabelPolicy
from router.routes import RouteTable, table_from_mapping

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
BLOCK = 4_096  # records in memory at once
COLUMNS = ("threshold", "queries", "route", "n")
GRID = 41  # thresholds that are kept of a run: 0 to 1 in steps of 0.025, and the run's own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """n: (p, k, r) queries of each class that each route got at each threshold.   thresholds: (p,) ascending, of P(cheap
    label).   own: the threshold that the router really has, None where the file does not say. source: for a person.

    Raises DataError for shapes that disagree, and for a class of which nothing was counted.
    """

    thresholds: Floats
    classes: tuple[str, ...]
    routes: tuple[str, ...]
    n: Floats
    own: float | None
    source: str

    def __post_init__(self) -> None:
        if self.n.shape != (len(self.thresholds), len(self.classes), len(self.routes)) or not len(self.thresholds):
            raise DataError(
                f"{self.source}: counts have the shape {self.n.shape}; wanted thresholds x classes x routes."
            )
        if not (np.isfinite(self.thresholds).all() and (np.diff(self.thresholds) > 0).all()):
            raise DataError(
                f"{self.source}: the thresholds are no ascending numbers; wanted each once, the lowest first."
            )
        empty = [name for name, total in zip(self.classes, self.n.sum(axis=2).min(axis=0), strict=True) if total <= 0]
        if empty:
            raise DataError(
                f"{self.source}: no query of class {empty[0]!r} was counted at some threshold; wanted one or more."
            )

    def nearest(self, threshold: float | None) -> int:
        """The position of the threshold next to the one asked for; of the router's own where none is asked for."""
        asked = self.own if threshold is None else threshold
        if asked is None and len(self.thresholds) == 1:
            return 0
        if asked is None:
            raise DataError(f"{self.source}: which of {len(self.thresholds)} thresholds? Set `threshold` in [router].")
        return int(np.abs(self.thresholds - asked).argmin())

    def onto(self, classes: Sequence[str], routes: Sequence[str]) -> Floats:
        """(p, k, r) for a scenario's classes and routes. Raises DataError for one that the scenario or the counts lack."""
        if missing := [name for name in classes if name not in self.classes]:
            raise DataError(
                f"{self.source}: nothing was counted for queries {missing[0]!r}; it has {', '.join(self.classes)}."
            )
        used = [name for name, total in zip(self.routes, self.n.sum(axis=(0, 1)), strict=True) if total > 0]
        if unknown := [name for name in used if name not in routes]:
            raise DataError(
                f"{self.source}: sends queries to {unknown[0]!r}; the scenario's routes are {', '.join(routes)}."
            )
        rows = [self.classes.index(name) for name in classes]
        out = np.zeros((len(self.thresholds), len(classes), len(routes)))
        for name in used:
            out[:, :, list(routes).index(name)] = self.n[:, rows, self.routes.index(name)]
        return out


class Tally:
    """Counts queries one block after the other, in one pass and in memory that does not grow with them.

    thresholds: (p,) ascending, of P(cheap label).   routes, cheap: by name.
    """

    def __init__(self, thresholds: Floats, *, routes: Sequence[str], cheap: str) -> None:
        self.thresholds, self.routes = thresholds, tuple(routes)
        self._cheap = self.routes.index(cheap)
        size = len(self.routes)
        self._cheap_up_to = np.zeros((len(thresholds) + 1, size, size))  # by how many thresholds P(cheap) reaches
        self._never = np.zeros((size, size))

    def add(self, needs: Ints, otherwise: Ints, cheap_p: Floats, never: npt.NDArray[np.bool_]) -> None:
        """Count a block of n queries, all arrays (n,).

        needs, otherwise: the route that each needs, and the one it goes to when it does not count as cheap.   cheap_p:
        P(cheap label).   never: what goes to `otherwise` at every threshold (too novel for the router to judge).
        """
        reached = np.searchsorted(self.thresholds, cheap_p, side="right")
        np.add.at(self._never, (needs[never], otherwise[never]), 1.0)
        open_ = ~never
        np.add.at(self._cheap_up_to, (reached[open_], needs[open_], otherwise[open_]), 1.0)

    def counts(self, *, own: float | None, source: str) -> Counts:
        """What was counted. Raises DataError where nothing was."""
        below = np.cumsum(self._cheap_up_to, axis=0)[:-1]  # (p, k, r): P(cheap) does not reach threshold p
        n = below + self._never
        n[:, :, self._cheap] += self._cheap_up_to.sum(axis=(0, 2)) - below.sum(axis=2)
        seen = np.flatnonzero(n[0].sum(axis=1) > 0)
        names = tuple(self.routes[k] for k in seen)
        return Counts(
            thresholds=self.thresholds, classes=names, routes=self.routes, n=n[:, seen], own=own, source=source
        )


def counts_of_run(path: Path) -> Counts:
    """Read a run block by block, and count at a grid of thresholds by the route that each query's labels ask for.

    The label policy's own rules say where a query goes that does not count as cheap. Queries whose true route is open are
    left out. Raises RunError where none is left, and for a run that does not say which route is the safe one.
    """
    header, records = stream_run(path)
    tally = Tally(np.unique(np.append(np.round(np.linspace(0.0, 1.0, GRID), 6), header.threshold)),
                  routes=list(header.routes), cheap=header.cheap)  # fmt: skip
    policy = _policy(header)
    counted, known = 0, (record for record in records if record.true_route is not None)
    while block := list(islice(known, BLOCK)):
        counted += len(block)
        _count(tally, policy, header, block)
    if not counted:
        raise RunError(f"{path}: no query of it has a true route; replay over labelled queries.")
    source = f"{header.router} on {header.dataset}, split {header.split}"
    return tally.counts(own=header.threshold, source=source)


def _count(tally: Tally, policy: LabelPolicy, header: Header, block: Sequence[Record]) -> None:
    probabilities = {
        head: np.array([record.probabilities[head] for record in block], dtype=np.float64) for head in header.classes
    }
    novelty = np.array([record.novelty for record in block])
    cheap_p = policy.cheap_probability(probabilities).copy()
    head = policy.table.policy.complexity_head
    dear = {**probabilities, head: np.zeros_like(probabilities[head])}  # nothing counts as cheap
    choices = policy.choose(dear, novelty=novelty)
    needs = np.array([tally.routes.index(str(record.true_route)) for record in block], dtype=np.intp)
    tally.add(needs, choices.route, cheap_p, choices.rule == RULES.index("novel"))


def _policy(header: Header) -> LabelPolicy:
    """The run's label policy at a threshold that probabilities of nothing stay below."""
    classes = {head: tuple(labels) for head, labels in header.classes.items()}
    return LabelPolicy(_table(header), classes, threshold=1.0)


def _table(header: Header) -> RouteTable:
    """The route table as far as a policy reads it; models and tokens decide nothing and are left empty."""
    if header.safe not in header.routes:
        raise RunError("the run does not say which route is the safe one; replay again with `weighbridge replay`.")
    # a desk that is the safe route as well serves its domain either way
    desks = {route: label for label, route in header.served_by.items() if route != header.safe}
    routes = [
        {"name": name, "model": "", "provider": "", "desk": desks.get(name), "safe": name == header.safe,
         "cheap": name == header.cheap, "input_tokens": 0, "output_tokens": 0, "latency_ms_p50": 1, "latency_ms_p95": 1}
        for name in header.routes
    ]  # fmt: skip
    return table_from_mapping(
        {"price_date": header.price_date, "policy": header.policy, "routes": routes}, where=f"run of {header.router}"
    )


def read_counts(path: Path) -> Counts:
    """Read a CSV of `threshold,queries,route,n`. Raises DataError by file and line."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise DataError(f"{path}: cannot be read ({err}); wanted a CSV of {', '.join(COLUMNS)}.") from err
    if not rows or set(rows[0]) - {None} != set(COLUMNS):
        raise DataError(f"{path}: wanted a CSV with the columns {', '.join(COLUMNS)}, one row or more.")
    cells: dict[tuple[float, str, str], float] = {}
    for line, row in enumerate(rows, start=2):
        try:
            if None in row or None in row.values():
                raise ValueError(f"found another number of cells than {len(COLUMNS)}")
            key = (float(row["threshold"]), row["queries"], row["route"])
            amount = float(row["n"])
        except (TypeError, ValueError) as err:
            raise DataError(f"{path}, line {line}: {err}; wanted numbers under `threshold` and `n`.") from err
        if not 0 <= amount < float("inf") or key in cells:
            raise DataError(f"{path}, line {line}: n is {row['n']}, or the row stands twice; wanted counts, each once.")
        cells[key] = amount
    thresholds = np.unique([key[0] for key in cells])
    classes = tuple(dict.fromkeys(name for _, name, _ in cells))
    routes = tuple(dict.fromkeys(name for _, _, name in cells))
    n = np.zeros((len(thresholds), len(classes), len(routes)))
    for (threshold, name, route), amount in cells.items():
        n[np.searchsorted(thresholds, threshold), classes.index(name), routes.index(route)] = amount
    return Counts(thresholds=thresholds, classes=classes, routes=routes, n=n, own=None, source=path.name)


def write_counts(counts: Counts, path: Path) -> None:
    """Write the CSV that `read_counts` reads: no text of any query is in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for position, threshold in enumerate(counts.thresholds.tolist()):
        for k, name in enumerate(counts.classes):
            for r, route in enumerate(counts.routes):
                if (amount := counts.n[position, k, r]) > 0:
                    writer.writerow([f"{threshold:.9g}", name, route, f"{amount:.15g}"])
    write_atomic(path, text.getvalue())
