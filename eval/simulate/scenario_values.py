"""What the values of a scenario file may look like, and what to say of one that looks otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from eval.simulate.amounts import ROUNDING, Amount, Assumption, Constant, Empirical, Lognormal, Quantity
from eval.simulate.counts import Counts, read_counts
from eval.simulate.scenario import (
    HOURS,
    sure,
)
from eval.simulate.turns import MOST_TURNS, FixedTurns, PoissonTurns, Turns
from router.errors import DataError

MOST_HOURS = 744  # of a month
FAR = 1e300  # above this a number is a slip of the hand, and may not fit a float


def misfit() -> PydanticCustomError:
    """A value of another form than its key's; `told` says which one is wanted."""
    return PydanticCustomError("misfit", "another form is wanted")


def _number(raw: object) -> float:
    """A TOML number; `true` is none."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and abs(raw) < FAR:
        return float(raw)
    raise misfit()


def _assumption(raw: object, *, share: bool = False) -> Assumption:
    if isinstance(raw, dict) and set(raw) == {"low", "high"}:
        return Assumption.between(_number(raw["low"]), _number(raw["high"]), share=share)
    return Assumption(value=_number(raw), share=share)


def _share(raw: object) -> Assumption:
    return _assumption(raw, share=True)


def _volume(raw: object) -> Assumption:
    found = _assumption(raw)
    if found.value <= 0:
        raise DataError(f"found {found.value:g}; wanted more than 0.")
    return found


def as_messages(raw: object) -> Assumption:
    """Of a conversation."""
    found = _assumption(raw)
    if (found.low or found.value) < 1:
        raise DataError(f"found {found.low or found.value:g}; wanted 1 or more: a conversation has a first message.")
    return found


def _hours(raw: object) -> Assumption:
    found = _assumption(raw)
    if (found.high or found.value) > MOST_HOURS:
        raise DataError(f"found {found.high or found.value:g} hours; wanted 0 to {MOST_HOURS}, a whole month.")
    return found


def _quantity(raw: object) -> Quantity:
    if not isinstance(raw, dict):
        return Quantity.of(Constant(value=_number(raw)))
    amount: Amount
    match {name: value for name, value in raw.items() if name != "off_by"}:
        case {"value": value, **rest} if not rest:
            amount = Constant(value=_number(value))
        case {"median": median, "p95": p95, **rest} if not rest:
            amount = Lognormal(median=_number(median), p95=_number(p95))
        case {"values": list(values), **rest} if not rest:
            amount = Empirical(values=tuple(_number(value) for value in values))
        case _:
            raise misfit()
    return Quantity.of(amount, off_by=_number(raw.get("off_by", 1.0)))


def as_turns(raw: object) -> Turns:
    """A number of calls, weights of 1, 2, ... calls, or a mean with the most there are."""
    match raw:
        case int(calls) if not isinstance(calls, bool) and 1 <= calls <= MOST_TURNS:
            return FixedTurns(weights=(0.0,) * (calls - 1) + (1.0,))
        case list(weights) if weights:
            return FixedTurns(weights=tuple(_number(weight) for weight in weights))
        case {"mean": mean, **rest} if not rest:
            return PoissonTurns(mean=_assumption(mean))
        case {"mean": mean, "most": int(most), **rest} if not rest and not isinstance(most, bool):
            return PoissonTurns(mean=_assumption(mean), most=most)
    raise misfit()


def as_good(raw: object) -> float | dict[str, float]:
    """P(good answer), for every class or class by class."""
    if isinstance(raw, dict):
        return {name: sure(_number(value)).value for name, value in raw.items()}
    return sure(_number(raw)).value


def _whole(row: dict[str, float]) -> dict[str, float]:
    if abs(math.fsum(row.values()) - 1.0) > ROUNDING:
        raise DataError(f"found shares that add up to {math.fsum(row.values()):.6g}; wanted 1.")
    return row


def day(hours: list[float]) -> list[float]:
    """Weights of the hours from midnight on."""
    if len(hours) != HOURS or sum(hours) <= 0:
        raise DataError(f"found {len(hours)} weights that add up to {sum(hours):g}; wanted {HOURS}, some above 0.")
    return hours


def first_day(raw: object) -> date:
    """Of a month."""
    if type(raw) is not date or raw.day != 1:  # a day with a time is a date to isinstance
        raise misfit()
    return raw


def beside(raw: object, info: ValidationInfo) -> Path:
    """A file that the scenario names, seen from its own directory."""
    assert info.context is not None, "open_scenario says where the file lies"
    if isinstance(raw, str) and (path := Path(info.context["directory"]) / raw).is_file():
        return path
    raise misfit()


def counted(raw: object, info: ValidationInfo) -> Counts:
    """What such a file counts."""
    return read_counts(beside(raw, info))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is wanted of a key, and what to do about it; KEY stands for its name."""

    wanted: str
    fix: str


def advice(wanted: str, example: str) -> Advice:
    """To write something like `example`."""
    return Advice(wanted=wanted, fix=f"Write {example}.")


Text = Annotated[str, Field(min_length=1), advice("text in quotes", '`KEY = "..."`')]
Volume = Annotated[
    Assumption,
    PlainValidator(_volume),
    advice("a number above 0, or a range", "`KEY = 100_000`, or `KEY = { low = 80_000, high = 125_000 }`"),
]
Hours = Annotated[
    Assumption,
    PlainValidator(_hours),
    advice("hours a month for each provider", "`provider = 2`, or `provider = { low = 0.5, high = 4 }`"),
]
Share = Annotated[
    Assumption,
    PlainValidator(_share),
    advice("a share in [0, 1], or a range", "`KEY = 0.7`, or `KEY = { low = 0.6, high = 0.8 }`"),
]
Used = Annotated[
    Quantity,
    PlainValidator(_quantity),
    advice(
        "a number, { value }, { median, p95 } or { values }, with or without off_by",
        "`KEY = 500`, or `KEY = { median = 130, p95 = 420, off_by = 1.3 }`",
    ),
]
Part = Annotated[float, Field(ge=0, le=1), advice("a share in [0, 1]", "`KEY = 0.7`")]
Positive = Annotated[float, Field(ge=0), advice("a number, 0 or more", "`KEY = 8`")]
Parts = Annotated[dict[str, Part], advice("a share in [0, 1] for each route", "`KEY = { trip = 0.2 }`")]
Row = Annotated[
    dict[str, Part],
    AfterValidator(_whole),
    advice("shares of routes that add up to 1", "`KEY = { small = 0.9, large = 0.1 }`"),
]
