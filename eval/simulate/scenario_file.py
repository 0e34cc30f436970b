"""Scenarios as TOML files: every fault named by its line, then frozen records; prices on their days; the shipped ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.simulate.amounts import ROUNDING
from eval.simulate.circles import circle
from eval.simulate.rates import later
from eval.simulate.scenario import (
    TOKENS,
    QueryClass,
    RouterUse,
    RouteUse,
    Scenario,
    sure,
)
from eval.simulate.scenario_form import CLOSE, FORMS, DefaultsForm, Fault, RouteForm, RouterForm, ScenarioForm, told
from eval.simulate.toml_lines import KeyPath, Lines, line_of
from router.errors import DataError, PriceError
from router.files import read_toml
from router.prices import ADD, Price, PriceTable

SHIPPED = Path(__file__).resolve().parents[2] / "datasets"
COPY = "Copy datasets/scenarios/two-models.toml and change it; docs/scenarios.md explains every key."
PERFECT = "misrouting: the scenario states no accuracy, so the router is taken to be perfect"
ENTRIES = {"queries": "queries", "routes": "route", "baselines": "baseline"}  # what one of each is called in messages
SAME = frozenset(
    {"name", "title", "month", "queries_per_month", "growth_per_month", "months", "chance", "mix_n", "answer_cache"}
    | {"conversation", "prompt_cache", "bad_answer", "targets", "printed"}
)  # what the form and the record call alike


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """A scenario, and the line that each part of it stands on. outcomes: a table of recorded outcomes that it names."""

    scenario: Scenario
    path: Path
    lines: Lines
    outcomes: Path | None = None

    def require_prices(self, prices: PriceTable) -> None:
        """Refuse a model that has no price, or none of its route's tier, or is shut down, on a day that is simulated.

        Every route needs a price, used or not, but for those with `usd_per_query`. Raises DataError with the lines.
        """
        scenario = self.scenario
        months = [later(scenario.month, count) for count in range(scenario.months + 1)]
        days = [*months[:-1], months[-1] - timedelta(days=1)]
        names = {"routes": [repr(name) for name in scenario.route_names]}
        _Source(path=self.path, lines=self.lines, names=names).refuse(
            (self.lines.said(("routes", position, "model"), ("route_defaults", "model")), said)
            for position, route in enumerate(scenario.routes)
            if route.usd_per_query is None
            for said in _price_faults(route, prices, days)
        )


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file. Raises DataError as `open_scenario` does."""
    return open_scenario(path).scenario


def open_scenario(path: Path) -> ScenarioFile:
    """Read a scenario and keep its lines. Raises DataError by line and key: what was found, what was wanted, the fix.

    All that is wrong with the form is said at once; where nothing is, all that one part of the file has against another.
    """
    raw = read_toml(path, what="a scenario", make=COPY)
    source = _Source(path=path, lines=line_of(path.read_text(encoding="utf-8")), names=_entry_names(raw))
    try:
        form = ScenarioForm.model_validate(raw, context={"directory": path.parent})
    except ValidationError as err:
        raise source.refusal(map(told, err.errors(include_url=False))) from err
    source.refuse(_unready(form))
    draft = _draft(form, source.lines)
    source.refuse(_disagreements(draft))
    try:
        scenario = _scenario(draft)
    except DataError as err:
        raise source.refusal([((), f"{err} {COPY}")]) from err
    return ScenarioFile(scenario=scenario, path=path, lines=source.lines, outcomes=form.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What a message needs to say where a fault is. names: what the entries of [[queries]], [[routes]], ... are called."""

    path: Path
    lines: Lines
    names: Mapping[str, Sequence[str]]

    def refuse(self, faults: Iterable[Fault]) -> None:
        """Raise where there are any."""
        if listed := list(faults):
            raise self.refusal(listed)

    def refusal(self, faults: Iterable[Fault]) -> DataError:
        """All of them as one error, in the order of their lines."""
        listed = sorted({(self.lines.of(path), self._sentence(path, said)) for path, said in faults})
        return DataError(f"{self.path}, " + "; ".join(f"line {line}: {sentence}" for line, sentence in listed))

    def _sentence(self, path: KeyPath, said: str) -> str:
        """A fault with its key in front, unless it is a record's own message, which begins with it already."""
        rest: Sequence[str | int]
        match path:
            case (str(table), int(position), *rest) if table in ENTRIES:
                label = f"{ENTRIES[table]} {self.names[table][position]}"
            case (str(table), str(_), *_):
                label, rest = f"[{table}]", path[1:]
            case (str(table), *rest):
                label = f"[{table}]" if table in FORMS and table not in ENTRIES else table
            case _:
                return said
        where = ": ".join([label, *(f"item {step + 1}" if isinstance(step, int) else step for step in rest)])
        return said if said.startswith(where) else f"{where}: {said}"


def _entry_names(raw: Mapping[str, Any]) -> dict[str, list[str]]:  # Any: what a TOML file holds
    return {
        table: [
            repr(entry["name"]) if isinstance(entry, dict) and "name" in entry else f"no. {number}"
            for number, entry in enumerate(raw[table], start=1)
        ]
        for table in ENTRIES
        if isinstance(raw.get(table), list)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A scenario whose form is right; what its parts say of one another is still to be checked. routes: of RouteUse."""

    form: ScenarioForm
    lines: Lines
    queries: tuple[QueryClass, ...]
    routes: tuple[Mapping[str, Any], ...]  # Any: each field's own type, which the form has checked

    @property
    def route_names(self) -> list[str]:
        return [route["name"] for route in self.routes]

    @property
    def class_names(self) -> list[str]:
        return [entry.name for entry in self.queries]

    @property
    def open_classes(self) -> list[str]:
        """Those that do not say themselves where the router sends them."""
        return [entry.name for entry in self.queries if entry.sends is None]

    def key(self, route: int, *steps: str) -> KeyPath:
        """Where a setting of a route stands: with the route, or with the defaults."""
        return self.lines.said(("routes", route, *steps), ("route_defaults", *steps))


def _unready(form: ScenarioForm) -> Iterator[Fault]:
    """What must be right before counts can be read as queries."""
    counts, router = form.router.counts, form.router.said()
    if counts is None and form.queries is None:
        fix = "Write `[[queries]]` with `name`, `share` and `needs`, or `counts` in [router]."
        yield ("queries",), f"found nothing; wanted one [[queries]] table or more. {fix}"
    if counts is not None and "accuracy" in router:
        said = "found one beside `counts`; wanted one of the two, for counts say how right the router is. Take it out."
        yield ("router", "accuracy"), said
    if counts is not None and counts.own is None and "threshold" not in router:
        said = f"found counts at {len(counts.thresholds)} thresholds; wanted to know which one the router has."
        yield ("router", "counts"), f"{said} Write `threshold = 0.6` in [router]."


def _draft(form: ScenarioForm, lines: Lines) -> _Draft:
    queries = tuple(form.queries or ()) or _counted_queries(form.router)
    classes = [entry.name for entry in queries]
    routes = tuple(_settings(route, form.route_defaults, classes) for route in form.routes)
    return _Draft(form=form, lines=lines, queries=queries, routes=routes)


def _counted_queries(router: RouterForm) -> tuple[QueryClass, ...]:
    """A class for each that was counted, as large as its count at the router's threshold."""
    assert router.counts is not None, "a form without queries and without counts is refused"
    each = router.counts.n[router.counts.nearest(router.threshold)].sum(axis=1)
    shares = (each / each.sum()).tolist()
    return tuple(
        QueryClass(name=name, share=sure(share), needs=name)
        for name, share in zip(router.counts.classes, shares, strict=True)
    )


def _settings(route: RouteForm, defaults: DefaultsForm, classes: Sequence[str]) -> dict[str, Any]:  # Any: as in _Draft
    """A route's own fields before the defaults, whose tokens are not for a route with a price per query."""
    own, shared = route.said(), defaults.said()
    if "usd_per_query" in own:
        shared = {name: value for name, value in shared.items() if name not in TOKENS}
    elif not own.keys().isdisjoint(TOKENS):
        shared.pop("usd_per_query", None)
    fields = shared | own
    if isinstance(good := fields.get("good"), float):
        fields["good"] = dict.fromkeys(classes, good)
    return fields | {"fallback": fields.get("fallback") or None}


def _disagreements(draft: _Draft) -> Iterator[Fault]:
    """All that one part of a scenario has against another."""
    yield from _repeated_names(draft)
    yield from _unknown_names(draft)
    yield from _unfinished_routes(draft)
    yield from _broken_shares(draft)
    if around := circle({route["name"]: route["fallback"] for route in draft.routes}):
        said = f"found fallbacks that go in a circle, {' -> '.join(around)}; wanted an end."
        first = draft.key(draft.route_names.index(around[0]), "fallback")
        yield first, f'{said} Take one of them out, or write `fallback = ""`.'
    counts = draft.form.router.counts
    if counts is not None and draft.form.queries is not None and draft.open_classes:
        try:
            counts.onto(draft.open_classes, draft.route_names)
        except DataError as err:
            yield ("router", "counts"), f"{err} Count again, or write the names as the CSV has them."


def _broken_shares(draft: _Draft) -> Iterator[Fault]:
    total = math.fsum(entry.share.value for entry in draft.queries)
    certain = not any(entry.share.uncertain for entry in draft.queries)
    if (certain and abs(total - 1.0) > ROUNDING) or total <= 0:
        fix = f"Change them by {1.0 - total:+.6g} in all."
        yield ("queries", 0, "share"), f"found shares of [[queries]] that add up to {total:.6g}; wanted 1. {fix}"


def _repeated_names(draft: _Draft) -> Iterator[Fault]:
    baselines = [entry.name for entry in draft.form.baselines]
    for table, names in (("queries", draft.class_names), ("routes", draft.route_names), ("baselines", baselines)):
        for position, name in enumerate(names):
            if name in names[:position]:
                said = f"found the name of [[{table}]] number {names.index(name) + 1} again; wanted names that differ."
                yield (table, position, "name"), f"{said} Write another one."


def _unknown_names(draft: _Draft) -> Iterator[Fault]:
    providers = list(dict.fromkeys(route["provider"] for route in draft.routes if "provider" in route))
    outages = ((("outages", name), name) for name in draft.form.outages or ())
    for asked, known, what in (
        (_routes_asked_for(draft), draft.route_names, "the name of a route"),
        (_classes_asked_for(draft), draft.class_names, "the name of queries"),
        (outages, providers, "a provider of a route"),
    ):
        for path, name in asked:
            if name not in known:
                close = get_close_matches(name, known, n=1, cutoff=CLOSE)
                fix = f'Write "{close[0]}".' if close else "Write one of these, or add what is missing."
                yield path, f"found {name!r}; wanted {what}: {', '.join(known)}. {fix}"


def _routes_asked_for(draft: _Draft) -> Iterator[tuple[KeyPath, str]]:
    counted: KeyPath = ("router", "counts")
    for position, entry in enumerate(draft.queries):
        at: KeyPath = ("queries", position)
        yield counted if draft.form.queries is None else (*at, "needs"), entry.needs
        yield from (((*at, "also", name), name) for name in entry.also)
        yield from (((*at, "sends", name), name) for name in entry.sends or ())
    for position, route in enumerate(draft.routes):
        if route["fallback"]:
            yield draft.key(position, "fallback"), route["fallback"]
    for position, baseline in enumerate(draft.form.baselines):
        at = ("baselines", position)
        if baseline.route is not None:
            yield (*at, "route"), baseline.route
        yield from (((*at, "sends", of, name), name) for of, row in baseline.sends.items() for name in row)


def _classes_asked_for(draft: _Draft) -> Iterator[tuple[KeyPath, str]]:
    for position, baseline in enumerate(draft.form.baselines):
        yield from ((("baselines", position, "sends", name), name) for name in baseline.sends)
    for position, route in enumerate(draft.routes):
        yield from ((draft.key(position, "good", name), name) for name in route.get("good", ()))


def _unfinished_routes(draft: _Draft) -> Iterator[Fault]:
    for position, route in enumerate(draft.routes):
        for name in ("model", "provider"):
            if name not in route:
                said = "found nothing; wanted text in quotes, with the route or in [route_defaults]."
                yield ("routes", position, name), f'{said} Write `{name} = "..."`.'
        if "usd_per_query" in route and (tokens := [name for name in TOKENS if name in route]):
            said = f"found it beside {', '.join(tokens)}; wanted a price per query or tokens. Take one of the two out."
            yield draft.key(position, "usd_per_query"), said


def _scenario(draft: _Draft) -> Scenario:
    form, router = draft.form, draft.form.router.said()
    counts = router.pop("counts", None)
    notes = list(form.left_out.notes or ())
    if counts is None and "accuracy" not in router and draft.open_classes:
        notes.append(
            PERFECT if draft.open_classes == draft.class_names else f"{PERFECT} with {', '.join(draft.open_classes)}"
        )
    fields = {name: value for name, value in form.said().items() if name in SAME}
    if form.traffic_by_hour is not None:
        fields["traffic_by_hour"] = tuple(form.traffic_by_hour)
    return Scenario(
        queries=draft.queries,
        routes=tuple(RouteUse(**route) for route in draft.routes),
        baselines=tuple(form.baselines),
        router=RouterUse(**router),
        counts=counts,
        outage_hours=form.outages or {},
        left_out=tuple(notes),
        **fields,
    )


def _price_faults(route: RouteUse, prices: PriceTable, days: Sequence[date]) -> Iterator[str]:
    """days: ascending, the first and the last that are simulated and some between, on which a package is asked."""
    known, span = prices.prices.get(route.model), f"{days[0]} to {days[-1]}"
    try:
        valid = [(prices.on(route.model, day), day) for day in days] if known is None else _valid(known, days)
    except PriceError as err:
        yield f"found a model without a price; wanted one on every day, {span}. {err}"
        return
    if known is not None and known[0].effective_from > days[0]:
        said = f"found {route.model!r}, which {prices.where} has a price for from {known[0].effective_from} on"
        yield f"{said}; wanted one on every day, {span}. {ADD}"
    for price, until in valid:
        if price.shutdown is not None and price.shutdown <= until:
            fix = "Name another model, or simulate months before that."
            yield f"found {route.model!r}, which is shut down on {price.shutdown}; wanted one that answers on every day, {span}. {fix}"
    if route.tier == "batch" and any(_lacks_batch(price) for price, _ in valid):
        said = f"found {route.model!r}, which has no batch price; wanted one, as the route's tier is batch."
        yield f'{said} Add input_cost_per_token_batches and output_cost_per_token_batches, or write `tier = "standard"`.'


def _valid(known: Sequence[Price], days: Sequence[date]) -> list[tuple[Price, date]]:
    """The prices that count on some simulated day, each with the last day on which it does."""
    ends = [*(price.effective_from - timedelta(days=1) for price in known[1:]), days[-1]]
    pairs = zip(known, ends, strict=True)
    return [(price, min(end, days[-1])) for price, end in pairs if end >= days[0] and price.effective_from <= days[-1]]


def _lacks_batch(price: Price) -> bool:
    return price.input_cost_per_token_batches is None or price.output_cost_per_token_batches is None


def find_scenario(name: str) -> Path:
    """The file of that path, with or without `.toml`; else the shipped scenario that is called as the path's last part.

    Raises DataError that lists the shipped ones.
    """
    for path in (Path(name), Path(f"{name}.toml")):
        if path.is_file():
            return path
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("**/scenarios/*.toml"))}
    if found := shipped.get(Path(name).name.removesuffix(".toml")):
        return found
    raise DataError(f"found no scenario {name!r}; wanted a TOML file, or one of {', '.join(shipped)}. {COPY}")
