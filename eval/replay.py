"""Decisions over recorded queries. Nothing is called: cost and latency come from the route table, marked simulated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eval.conversations import deciding, routes_before
from eval.heads import require_known_labels, unit_names
from eval.run import Header, Record, Run, read_run
from router.bundle import bundle_id, load
from router.dataset import Dataset
from router.errors import DataError, RunError
from router.files import DECIMALS
from router.pipeline import Router
from router.policy import RULES, LabelPolicy, true_route
from router.prices import PriceTable, read_prices
from router.routes import RouteTable, table_to_mapping
from router.stickiness import sticky
from router.types import Query, Route

Z95 = 1.6448536269514722  # standard normal quantile of 0.95
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What any router says of n queries: head -> (n, k); n tuples of further desks; (n,) novelty ranks."""

    probabilities: Mapping[str, Floats]
    also: Sequence[tuple[str, ...]]
    novelty: Floats


def choose_split(dataset: Dataset, split: str | None = None) -> tuple[Dataset, str]:
    """The asked split; else test where the set has one; else all rows, and the name of what it was.

    Raises DataError where the asked split is empty.
    """
    if split is None:
        return (dataset.split("test"), "test") if len(dataset.split("test")) else (dataset, "all")
    if split == "all":
        return dataset, "all"
    part = dataset.split(split)
    if not len(part):
        raise DataError(
            f"data set {dataset.card.name!r} has no query with split = {split!r}. Count them with `weighbridge data stats`."
        )
    return part, split


def replay(
    router: Router, dataset: Dataset, *, split: str, seed: int, bundle: str | None, prices: PriceTable | None = None
) -> Run:
    """Decide every query of an already chosen split, and record it. Same inputs and seed give the same bytes."""
    reading = router.read(dataset.texts, dataset.contexts)
    predictions = Predictions(
        probabilities=reading.probabilities,
        also=[decision.also for decision in router.decisions(reading)],
        novelty=reading.novelty,
    )
    before = routes_before(deciding(router), dataset.contexts) if router.table.policy.switch_usd else None
    return record(
        predictions, router.policy, dataset, name="weighbridge", split=split, seed=seed,
        bundle=bundle, prices=prices, previous=before,
    )  # fmt: skip


def record(
    predictions: Predictions,
    policy: LabelPolicy,
    dataset: Dataset,
    *,
    name: str,
    split: str,
    seed: int,
    bundle: str | None = None,
    prices: PriceTable | None = None,
    previous: Sequence[int] | None = None,
) -> Run:
    """Let a policy decide on predictions, and write down decisions, labels, and simulated cost and latency.

    previous: n numbers of the routes that conversations were on, as `router.stickiness.sticky` reads them.
    """
    table = policy.table
    cost = table.cost_usd(prices or read_prices())
    choices = policy.choose(predictions.probabilities, novelty=predictions.novelty)
    if previous is not None:
        choices = sticky(policy, predictions.probabilities, choices, previous)
    require_known_labels(dataset, policy.classes)
    unit_of = unit_names(dataset)
    rows = {head: p.tolist() for head, p in predictions.probabilities.items()}
    records = tuple(
        Record(
            query_id=query.query_id,
            text=query.text,
            route=(route := table.routes[choices.route[i]]).name,
            rule=RULES[choices.rule[i]],
            confidence=round(float(choices.confidence[i]), DECIMALS),
            novelty=float(predictions.novelty[i]),
            probabilities={head: rows[head][i] for head in rows},
            also=list(predictions.also[i]),
            labels=dict(query.labels.heads),
            also_label=list(query.labels.also),
            true_route=true_route(table, query.labels),
            language=query.language,
            persona=query.persona,
            unit=unit_of[i],
            cost_usd=round(cost[route.name], 9),
            latency_ms=simulated_latency_ms(route, query, seed=seed),
        )
        for i, query in enumerate(dataset.queries)
    )
    header = Header(
        router=name,
        bundle=bundle,
        dataset=f"{dataset.card.name} {dataset.card.version}",
        fingerprint=dataset.fingerprint(),
        split=split,
        n=len(records),
        seed=seed,
        threshold=round(policy.threshold, DECIMALS),
        classes={head: list(labels) for head, labels in policy.classes.items()},
        desks=list(dataset.card.also),
        policy=table_to_mapping(table)["policy"],
        policy_hash=table.digest(),
        cheap=table.cheap,
        safe=table.safe,
        agreement=dict(dataset.card.agreement),
        served_by=_served_by(table, policy.classes[table.policy.domain_head]),
        routes={
            route.name: {
                "cost_usd": round(cost[route.name], 9),
                "latency_ms_p50": route.latency_ms_p50,
                "latency_ms_p95": route.latency_ms_p95,
            }
            for route in table.routes
        },
        price_date=table.price_date.isoformat(),
    )
    return Run(header=header, records=records)


def _served_by(table: RouteTable, labels: tuple[str, ...]) -> dict[str, str]:
    """Domain label -> the route of what is not cheap there: its desk's, or the safe one."""
    desks = table.desk_index(labels).tolist()
    return {label: table.names[desk] if desk >= 0 else table.safe for label, desk in zip(labels, desks, strict=True)}


def simulated_latency_ms(route: Route, query: Query, *, seed: int) -> float:
    """One draw from the lognormal with the route's assumed median and 95th percentile.

    The draw depends on seed, route and query id alone, so it is the same in any order and any subset.
    """
    digest = hashlib.sha256(f"{seed} {route.name} {query.query_id}".encode()).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "big") / 2**64 for i in (0, 8))
    normal = math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second)
    sigma = math.log(route.latency_ms_p95 / route.latency_ms_p50) / Z95
    return round(route.latency_ms_p50 * math.exp(sigma * normal), 1)


def verify(run_path: Path, bundle: Path, dataset: Dataset) -> int:
    """Replay a run and compare byte for byte; return the number of records.

    Raises RunError naming the first thing that differs: bundle, data, header or query.
    """
    run = read_run(run_path)
    if run.header.bundle != bundle_id(bundle):
        raise RunError(
            f"{run_path}: was made with bundle {run.header.bundle}, {bundle} is {bundle_id(bundle)}; give the bundle it was made with."
        )
    part = dataset if run.header.split == "all" else dataset.split(run.header.split)
    if part.fingerprint() != run.header.fingerprint:
        raise RunError(
            f"{run_path}: its queries are not those of the given data (fingerprint {run.header.fingerprint[:12]}, found {part.fingerprint()[:12]})."
        )
    again = replay(load(bundle), part, split=run.header.split, seed=run.header.seed, bundle=run.header.bundle)
    if again.to_text().encode() == run_path.read_bytes():
        return len(run.records)
    if sorted(old.query_id for old in run.records) != sorted(new.query_id for new in again.records):
        raise RunError(
            f"{run_path}: does not hold the queries of the given data, {len(again.records)} of them; replay again."
        )
    if [old.query_id for old in run.records] != [new.query_id for new in again.records]:
        raise RunError(
            f"{run_path}: holds the queries of the given data in another order; give the file it was made with."
        )
    for old, new in zip(run.records, again.records, strict=True):
        if old != new:
            raise RunError(
                f"{run_path}: query {old.query_id!r} replays differently ({_first_difference(old, new)});"
                " the file or the libraries changed."
            )
    raise RunError(f"{run_path}: the header replays differently; the file, the prices or the libraries changed.")


def _first_difference(old: Record, new: Record) -> str:
    """The first field that differs, then and now; of long texts only the field's name."""
    for entry in fields(Record):
        then, now = getattr(old, entry.name), getattr(new, entry.name)
        if then != now:
            short = len(str(then)) + len(str(now)) < 60
            return f"{entry.name} was {then}, is {now}" if short else f"in {entry.name}"
    return "in spelling"
