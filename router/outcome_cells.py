"""The cells of an outcome table, each checked, with every fault named by row and field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.card import USES
from router.outcome_files import LongTable
from router.outcomes import PER_CELL, Floats, Ints
from router.rows import SPLITS, Fault, text_problem
from router.types import MAX_TEXT_CHARS

MAX_NAME_CHARS = 200
MAX_AMOUNT = 1e12  # of dollars, tokens or milliseconds: beyond it is a broken cell, and sums stay finite below it
FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "1", "1.0"), True),
    **dict.fromkeys(("false", "0", "0.0"), False),  # truths with gaps are often stored as 1.0 and 0.0
}
BORNE = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) - {"\0", "\x1b"}  # controls a recorded query may hold
AS_SPACES = str.maketrans(dict.fromkeys(BORNE, " "))
SLACK = 1e-9  # a sum of parts ends at 1.0000000000000004: the last bit of a score, not another scale
ABSENT = -1
MAX_SHOWN = 60  # characters of a bad cell in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """N checked rows. query, model: (N,) positions in `ids` and `models`, which are sorted.

    names: field -> (N,) names or None.   amounts: field -> (N,), NaN where missing.   contaminated: (N,).
    """

    ids: Sequence[str]
    models: Sequence[str]
    query: Ints
    model: Ints
    names: Mapping[str, Sequence[str | None]]
    amounts: Mapping[str, Floats]
    contaminated: npt.NDArray[np.bool_]


def check_cells(table: LongTable) -> tuple[Cells, list[Fault]]:
    """Check every row; return the cells, which mean something only where no fault comes with them, and all faults.

    Faults come in the order of their rows, and within a row in the order of our fields.
    """
    found = _Faults(table=table, faults=[])
    column = {field: table.columns.get(field) or [None] * len(table) for field in (*NAMES, *PER_CELL, "contaminated")}
    names = {field: _names(column[field], found, field) for field in NAMES}
    cells = {field: _amounts(column[field], found, field) for field in PER_CELL}
    flags = _flags(column["contaminated"], found)
    ids, query = _positions(names["query_id"])
    models, model = _positions(names["model"])
    whole = (query != ABSENT) & (model != ABSENT)
    _each_once(query, model, whole, found)
    for field in ("query", "dataset", "split"):
        _one_per_query(query, names[field], found, field)
    checked = Cells(ids=ids, models=models, query=query, model=model, names=names, amounts=cells, contaminated=flags)
    order = {field: place for place, field in enumerate(table.columns)}
    every = sorted((*table.broken, *found.faults), key=lambda fault: (fault.line, order.get(fault.field, -1)))
    return checked, every


@dataclass(frozen=True, slots=True, kw_only=True)
class _Faults:
    """The faults found so far, by the number that each row has in its file."""

    table: LongTable
    faults: list[Fault]

    def add(self, position: int, field: str, message: str) -> None:
        self.faults.append(Fault(line=self.table.numbers[position], field=field, message=message))

    def where(self, position: int) -> str:
        return f"{self.table.place} {self.table.numbers[position]}"


def _name_problem(name: str) -> str | None:
    return text_problem(name, limit=MAX_NAME_CHARS)


def _query_problem(text: str) -> str | None:
    """`text_problem`, but only NUL and ESC are refused of the control characters.

    Public tables hold others (wrongly decoded quotation marks in 80 queries of MMLU), and the models answered them: a
    finding counts those. A text that is printable at a glance is not looked at one character at a time.
    """
    spaced = text.translate(AS_SPACES)
    if len(text) <= MAX_TEXT_CHARS and spaced.isprintable() and not spaced.isspace() and text:
        return None
    return text_problem(spaced)


def _one_of(allowed: Sequence[str]) -> Callable[[str], str | None]:
    return lambda name: None if name in allowed else f"is {name!r}; wanted one of {', '.join(allowed)}, or null"


# field -> what is wrong with a text in it, and whether there must be one
NAMES: Mapping[str, tuple[Callable[[str], str | None], bool]] = {
    "query_id": (_name_problem, True),
    "query": (_query_problem, True),
    "model": (_name_problem, True),
    "dataset": (_name_problem, False),
    "split": (_one_of(SPLITS), False),
    "use": (_one_of(USES), False),
}


def _names(column: Sequence[object], found: _Faults, field: str) -> list[str | None]:
    """Texts; a whole number is one where it is an id. What is no good is named and comes back as None."""
    problem_of, required = NAMES[field]
    if field == "query_id":
        column = [str(cell) if type(cell) is int else cell for cell in column]
    wrong = {
        cell: problem for cell in {cell for cell in column if isinstance(cell, str)} if (problem := problem_of(cell))
    }
    names: list[str | None] = []
    for position, cell in enumerate(column):
        if isinstance(cell, str) and cell not in wrong:
            names.append(cell)
            continue
        names.append(None)
        if required or not (cell is None or cell == ""):
            found.add(position, field, wrong[cell] if isinstance(cell, str) else f"is {_shown(cell)}; wanted text")
    return names


def _amounts(column: Sequence[object], found: _Faults, field: str) -> Floats:
    """(N,) numbers, NaN where missing or no good. A score may be spelt true or false, and may pass a bound by 1e-9."""
    top, wanted = (
        (1.0, "a number in [0, 1]") if field == "score" else (MAX_AMOUNT, f"a number from 0 to {MAX_AMOUNT:g}")
    )
    cells = [_number(cell, truth=field == "score") for cell in column]
    amounts = np.array([math.inf if cell is None else cell for cell in cells], dtype=np.float64)
    slack = SLACK if field == "score" else 0.0
    wrong = (amounts < -slack) | (amounts > top + slack)
    for position in np.flatnonzero(wrong).tolist():
        found.add(position, field, f"is {_shown(column[position])}; wanted {wanted}, or null")
    return np.where(wrong, np.nan, np.clip(amounts, 0.0, top))


def _number(cell: object, *, truth: bool) -> float | None:
    """The number that a cell holds, NaN for a missing one, None for what is no number."""
    if cell is None or cell == "":
        return math.nan
    if isinstance(cell, bool) or (truth and isinstance(cell, str) and cell.lower() in ("true", "false")):
        return float(FLAGS[str(cell).lower()]) if truth else None
    if isinstance(cell, str) and "_" in cell:  # Python reads 1_000; no other tool does
        return None
    try:
        return float(cell)  # type: ignore[arg-type]  # anything: what float() refuses is no number
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def _flags(column: Sequence[object], found: _Faults) -> npt.NDArray[np.bool_]:
    """(N,) truths, spelt true/false or 1/0; a missing one is not marked."""
    flags = [False if cell is None or cell == "" else FLAGS.get(str(cell).lower()) for cell in column]
    for position, flag in enumerate(flags):
        if flag is None:
            said = f"is {_shown(column[position])}; wanted true, false, 1, 0 or null"
            found.add(position, "contaminated", said)
    return np.array([flag is True for flag in flags], dtype=np.bool_)


def _shown(cell: object) -> str:
    text = "missing" if cell is None else repr(cell)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _positions(names: Iterable[str | None]) -> tuple[list[str], Ints]:
    """The distinct names, sorted, and (N,) where each row's stands among them; ABSENT where there is none."""
    listed = list(names)
    distinct = sorted({name for name in listed if name is not None})
    place: dict[str | None, int] = {name: position for position, name in enumerate(distinct)}
    return distinct, np.array([place.get(name, ABSENT) for name in listed], dtype=np.intp)


def _first(key: Ints, among: npt.NDArray[np.bool_]) -> Ints:
    """(N,) for each row among those meant, the first of them with its key; ABSENT for the others."""
    first = np.full(len(key), ABSENT, dtype=np.intp)
    _, start, group = np.unique(key[among], return_index=True, return_inverse=True)
    first[among] = np.flatnonzero(among)[start][group]
    return first


def _each_once(query: Ints, model: Ints, whole: npt.NDArray[np.bool_], found: _Faults) -> None:
    """A query and a model stand together in one row."""
    first = _first(query * (int(model.max(initial=0)) + 1) + model, whole)
    for position in np.flatnonzero(whole & (first != np.arange(len(query)))).tolist():
        where = found.where(int(first[position]))
        found.add(position, "model", f"stands for this query already in {where}; wanted each query and model once")


def _one_per_query(query: Ints, names: Sequence[str | None], found: _Faults, field: str) -> None:
    """All rows of a query agree; a row that says nothing agrees with all."""
    value = _positions(names)[1]
    said = (query != ABSENT) & (value != ABSENT)
    first = _first(query, said)
    for position in np.flatnonzero(said & (value != value[first])).tolist():
        where = found.where(int(first[position]))
        found.add(position, field, f"differs from what {where} says of the same query_id; wanted one {field} per query")
