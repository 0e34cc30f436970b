"""The verb `robustness`: does a router hold its decision when only the wording changes?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.commands import Seed, Split
from router.commands import Bundle, CardFile, Columns, Json

if TYPE_CHECKING:
    from rich.console import Console

    from eval.robustness import Subject
    from router.console import Progress
    from router.dataset import Dataset
    from router.pipeline import Router

QUERIES = 500


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(robustness)


def robustness(
    bundle: Bundle,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Labelled queries, for a router by labels: a directory or a file."),
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option("--outcomes", help="An outcome table, for a router over models.")
    ] = None,
    split: Split = None,
    card: CardFile = None,
    columns: Columns = None,
    n: Annotated[
        int, typer.Option("--n", min=1, help="Queries to try, drawn by the seed; all where there are fewer.")
    ] = QUERIES,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Flip rate, and route accuracy or score, under typos, case, white space, fillers, politeness and swapped clauses.

    The changes are made by rule; a label or a recorded score is taken to hold for the changed wording.
    """
    from eval.outcome_robustness import outcome_subject
    from eval.robustness import flip_rates
    from router.console import console, progress, write_json
    from router.rows import parse_map

    if (data is None) == (outcomes is None):
        raise typer.BadParameter("give exactly one of --data (a router by labels) and --outcomes (one over models).")
    with progress() as told:
        if outcomes is not None:
            subject, header = outcome_subject(
                bundle, outcomes, split=split, columns=parse_map(columns), n=n, seed=seed, told=told
            )
        else:
            assert data is not None
            subject, header = label_subject(
                bundle, data, split=split, card=card, columns=parse_map(columns), n=n, seed=seed, told=told
            )
        figures = flip_rates(subject, seed=seed, notify=told.notify)
    show_robustness(console(), header, figures)
    write_json(json, {**header, "perturbations": figures})


def label_subject(
    bundle: Path,
    data: Path,
    *,
    split: str | None,
    card: Path | None,
    columns: Mapping[str, str],
    n: int,
    seed: int,
    told: Progress,
) -> tuple[Subject, dict[str, Any]]:
    """A label router's bundle with n labelled queries, and what the figures are of, for the head of table and JSON."""
    from eval.replay import choose_split
    from eval.workflow import data_for_bundle, encoder_cached
    from router.bundle import bundle_id, load

    told.notify("loading the bundle")
    router = encoder_cached(load(bundle, notify=told.notify), told)
    whole, name = choose_split(data_for_bundle(data, card=card, columns=columns, default=router.card), split)
    alone = whole.where(lambda query: not query.context)  # a changed text would still lean on what was said before
    part = sampled(alone, n=n, seed=seed)
    header = {
        "router": "weighbridge",
        "bundle": bundle_id(bundle),
        "dataset": part.card.name,
        "fingerprint": part.fingerprint(),
        "split": name,
        "n_queries": len(part),
        "n_split": len(alone),
        "measure": "route accuracy",
        "seed": seed,
        "protocol": "each perturbation on the queries it changed, against the same queries unchanged; changes made by rule, labels taken to hold; intervals by bootstrap over people and groups, or Wilson's",
    }
    return subject_of(router, part), header


def subject_of(router: Router, part: Dataset) -> Subject:
    """A fitted label router on labelled queries: the decision is the route, its quality whether the labels call for it."""
    from eval.robustness import Subject, label_quality
    from router.grouping import units
    from router.policy import true_route

    truth = [true_route(router.table, query.labels) for query in part.queries]
    return Subject(
        decide=lambda texts: [decision.route for decision in router.decide_many(texts)],
        texts=part.texts,
        groups=[str(unit) for unit in units(part.queries)],
        quality=label_quality(truth),
    )


def sampled(dataset: Dataset, *, n: int, seed: int) -> Dataset:
    """n of its queries in their order, each as likely as any; all of them where there are no more than n."""
    from dataclasses import replace

    import numpy as np

    if n >= len(dataset):
        return dataset
    chosen = np.sort(np.random.default_rng(seed).choice(len(dataset), size=n, replace=False))
    return replace(dataset, queries=tuple(dataset.queries[i] for i in chosen))


def show_robustness(out: Console, header: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]]) -> None:
    """A row per perturbation: how many decisions flip, and the measure before and after."""
    from router.console import share, table

    out.print(
        f"{header['dataset']}, split {header['split']}: {header['n_queries']:,} of {header['n_split']:,} queries; 95 % intervals",
        markup=False,
    )
    rows = []
    for kind, entry in figures.items():
        quality = entry["quality"] or dict.fromkeys(("before", "after", "delta", "delta_ci", "minimum_detectable"))
        rows.append(
            [
                kind,
                f"{entry['n']:,}",
                share(entry["flip_rate"], entry["flip_rate_ci"]),
                share(quality["before"]),
                share(quality["after"]),
                share(quality["delta"], quality["delta_ci"]),
                share(quality["minimum_detectable"]),
            ]
        )
    names = ["perturbation", "changed", "flips", "before", "after", "difference", "detectable"]
    out.print(table(f"Decisions and {header['measure']} when the wording changes", names, rows))
