"""What every importer ends in: cells that are checked one by one as they are read, and against each other at the end.

A cell that the source leaves empty is NaN and stays so; a number outside its range is refused by file, row and field.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from router.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("query_id", "query", "model")
NUMBERS = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_ms")
NAMES = ("dataset", "split", "contaminated", "use")
EMPTY = frozenset({"", "nan", "none", "null"})
TRUTH = {"true": 1.0, "false": 0.0}
SLACK = 1e-9  # BLEU / 100 ends at 1.0000000000000004: a sum's last bit, not another scale
SHOWN = 40  # characters of a refused cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a row was read. `unit` is what `number` counts, from 1."""

    form: str
    file: str
    number: int
    unit: Literal["line", "row", "record"] = "line"

    def fault(self, field: str, problem: str) -> DataError:
        """The error that names file, row, field and the next command."""
        return DataError(
            f"{self.file}, {self.unit} {self.number}, field {field!r}: {problem}."
            f" Mend it, then type `weighbridge data import {self.form} PATH --out FILE.parquet` again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A table in the long form, and what was dropped, chosen or computed on the way, one sentence each."""

    frame: pd.DataFrame
    notes: tuple[str, ...]


def parse_score(value: object, place: Place, field: str) -> float:
    """A score in [0, 1]; True and False are 1 and 0; NaN where the source has none.

    What passes a bound by 1e-9 is that bound. Raises DataError for any other value.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip().lower() in TRUTH:
        return TRUTH[value.strip().lower()]
    return _number(value, place, field, top=1.0)


def parse_amount(value: object, place: Place, field: str) -> float:
    """A number of dollars, tokens or milliseconds, not negative; NaN where the source has none."""
    if isinstance(value, bool):
        raise place.fault(field, f"{value} is no number")
    return _number(value, place, field, top=math.inf)


def _number(value: object, place: Place, field: str, *, top: float) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in EMPTY):
        return math.nan
    shown = repr(value)[:SHOWN]
    if not isinstance(value, int | float | str) or (isinstance(value, str) and "_" in value):
        raise place.fault(field, f"{shown} is no number")
    try:
        number = float(value)
    except (ValueError, OverflowError) as err:
        raise place.fault(field, f"{shown} is no number") from err
    if math.isnan(number):
        return math.nan
    if math.isinf(number) or not -SLACK <= number <= top + SLACK:
        wanted = "a number from 0 to 1" if top == 1.0 else "a finite number that is not negative"
        raise place.fault(field, f"{shown}, wanted {wanted}")
    return min(max(number, 0.0), top)


def parse_text(value: object, place: Place, field: str) -> str:
    """A text with at least one visible character, that UTF-8 can hold. Raises DataError for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise place.fault(field, "is missing or blank" if value is None or value == "" else "is no text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as err:
            raise place.fault(field, f"character {err.start} is half of a surrogate pair") from err
    return value


class Cells:
    """The cells of one import, in the order in which they were read."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.notes: list[str] = []
        self._places: list[Place] = []
        self._columns: dict[str, list[object]] = {name: [] for name in (*TEXTS, *NUMBERS, *NAMES)}
        self._same: dict[str, str] = {}  # a query stands here once per model: equal texts share one object

    def __len__(self) -> int:
        return len(self._places)

    def add(
        self,
        place: Place,
        *,
        query_id: str,
        query: str,
        model: str,
        score: float,
        cost_usd: float = math.nan,
        input_tokens: float = math.nan,
        output_tokens: float = math.nan,
        latency_ms: float = math.nan,
        dataset: str | None = None,
        split: str | None = None,
        contaminated: bool | None = None,
        use: str | None = None,
    ) -> None:
        """Take one cell: what one model did with one query."""
        self._places.append(place)
        cell = (self._one(query_id), self._one(query), self._one(model))
        numbers = (score, cost_usd, input_tokens, output_tokens, latency_ms)
        for column, value in zip(
            self._columns.values(), (*cell, *numbers, dataset, split, contaminated, use), strict=True
        ):
            column.append(value)

    def _one(self, text: str) -> str:
        return self._same.setdefault(text, text)

    def note(self, count: int, one: str, many: str) -> None:
        """Remember what was done to `count` things; nothing where there was none."""
        if count:
            self.notes.append(f"{count:,} {one if count == 1 else many}")

    def imported(self, *, repeats: Literal["refuse", "first"] = "refuse") -> Imported:
        """Lay the cells out, queries in the order of their first appearance; columns that nobody filled are left out.

        repeats: what to do where a (query, model) stands twice. A query in train and test keeps its test rows only.
        Raises DataError for no cells, no score at all, a repeat that is refused, and an id with two texts.
        """
        import pandas as pd

        if not self._places:
            raise DataError(f"{self.form}: no rows were found. `weighbridge data import --help` says what it reads.")
        columns: dict[str, object] = {name: values for name, values in self._columns.items() if _filled(name, values)}
        frame = pd.DataFrame(columns)
        if "contaminated" in frame and frame["contaminated"].isna().any():
            frame["contaminated"] = frame["contaminated"].astype("boolean")
        frame = self._test_only(frame)
        self._one_text(frame)
        frame = self._once(frame, repeats)
        if frame["score"].notna().sum() == 0:
            raise self._places[0].fault("score", "no row of the table has one; wanted answers that were judged")
        order = pd.factorize(frame["query_id"])[0].argsort(kind="stable")
        return Imported(frame=frame.iloc[order].reset_index(drop=True), notes=tuple(self.notes))

    def _test_only(self, frame: pd.DataFrame) -> pd.DataFrame:
        if "split" not in frame:
            return frame
        torn = frame.groupby("query_id")["split"].transform("nunique") > 1
        self.note(
            frame.loc[torn, "query_id"].nunique(),
            "query stood in train and in test: its test rows were kept",
            "queries stood in train and in test: their test rows were kept",
        )
        return frame[~torn | (frame["split"] == "test")]

    def _once(self, frame: pd.DataFrame, repeats: Literal["refuse", "first"]) -> pd.DataFrame:
        again = frame.duplicated(["query_id", "model"])
        if not again.any():
            return frame
        if repeats == "refuse":
            place, row = self._first(frame, again)
            raise place.fault("model", f"{row['model']!r} answered query {row['query_id']!r} already; wanted it once")
        self.note(
            int(again.sum()),
            "repeated cell was dropped: the first stands",
            "repeated cells were dropped: the first stand",
        )
        return frame[~again]

    def _one_text(self, frame: pd.DataFrame) -> None:
        first = frame.groupby("query_id", sort=False)["query"].transform("first")
        other = frame["query"] != first
        if other.any():
            place, row = self._first(frame, other)
            raise place.fault("query", f"query {row['query_id']!r} has another text than before; wanted one text an id")

    def _first(self, frame: pd.DataFrame, chosen: pd.Series[bool]) -> tuple[Place, Mapping[Hashable, object]]:
        """The first chosen row, and where it was read: the frame's index still counts the cells as they came."""
        position = int(chosen.to_numpy().argmax())
        return self._places[int(frame.index.to_numpy()[position])], frame.iloc[position].to_dict()


def _filled(name: str, values: list[object]) -> bool:
    if name in TEXTS or name == "score":
        return True
    return any(value is not None and value == value for value in values)  # NaN differs from itself
