"""The router's verbs: doctor, data, route, inspect. Heavy libraries are imported inside the functions that need them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CHECKOUT = Path(__file__).resolve().parent.parent
SHIPPED_DATA = CHECKOUT / "datasets" / "pam-v1"

Data = Annotated[
    Path,
    typer.Option("--data", "-d", help="A data set's directory (card.toml + queries*.jsonl), or one JSONL or CSV file."),
]
CardFile = Annotated[
    Path | None, typer.Option("--card", help="The card that names heads and labels, if none lies beside the data.")
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--map", help="Your columns: our field = yours, as in `text=prompt,id=key`. Other columns are then passed over."
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


def bundle_path(text: str) -> Path:
    """What `--bundle` names: a directory, or models:/NAME@ALIAS, which is fetched and verified first."""
    if not text.startswith("models:"):
        return Path(text)
    from router.current import resolve

    return resolve(text)


Bundle = Annotated[
    Path,
    typer.Option(
        "--bundle",
        "-b",
        parser=bundle_path,
        metavar="DIR",
        help="A bundle's directory, as `weighbridge train --out` wrote it, or models:/NAME@ALIAS.",
    ),
]

data_app = typer.Typer(
    help="Look at labelled queries and outcome tables: check, count, split, import, fetch.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the one command."""
    app.add_typer(data_app, name="data")
    app.command()(doctor)
    app.command()(route)
    app.command()(inspect)


def doctor(json: Json = None) -> None:
    """Say what is installed, which encoder there is, which keys are set, and how to get what is missing."""
    from router.console import console, table, write_json
    from router.health import findings

    found = findings()
    marks = {True: "[green]ok[/green]", False: "[yellow]missing[/yellow]"}
    rows = [[marks[entry.ok], entry.name, entry.found, entry.advice] for entry in found]
    console().print(table("Weighbridge on this machine", ["", "what", "found", "to get it"], rows, left=4))
    write_json(
        json,
        {
            "findings": [
                {"name": entry.name, "ok": entry.ok, "found": entry.found, "advice": entry.advice} for entry in found
            ]
        },
    )


@data_app.command("check")
def data_check(
    data: Annotated[Path, typer.Argument(help="A data set's directory, or one JSONL or CSV file.")] = SHIPPED_DATA,
    card: CardFile = None,
    columns: Columns = None,
    json: Json = None,
) -> None:
    """Check labelled queries or an outcome table; list all faults by file, line and field. Exit 2 if there is one."""
    from router.console import console, write_json
    from router.dataset import find_card, queries_files, scan_all
    from router.outcome_commands import check_outcomes
    from router.outcome_files import looks_like_outcomes
    from router.rows import parse_map

    if data.is_file() and looks_like_outcomes(data, columns=parse_map(columns)):
        check_outcomes(data, columns, json)
        return
    found = find_card(data, card=card)
    queries, faults = scan_all(queries_files(data), found, columns=parse_map(columns))
    out = console()
    for path, fault in faults:
        out.print(f"{path}, line {fault.line}, field {fault.field!r}: {fault.message}", markup=False, soft_wrap=True)
    write_json(
        json,
        {
            "queries": len(queries),
            "faults": [
                {"file": str(path), "line": fault.line, "field": fault.field, "message": fault.message}
                for path, fault in faults
            ],
        },
    )
    out.print(f"{len(queries):,} good queries, {len(faults):,} faults.")
    if faults or not queries:
        raise typer.Exit(2)


@data_app.command("stats")
def data_stats(
    data: Annotated[Path, typer.Argument(help="A data set's directory, or one JSONL or CSV file.")] = SHIPPED_DATA,
    card: CardFile = None,
    columns: Columns = None,
    json: Json = None,
) -> None:
    """Count labels, languages, splits, lengths and near-duplicates; of an outcome table models, scores and costs."""
    from router.console import console, table, write_json
    from router.dataset import load_dataset
    from router.outcome_commands import stats_outcomes
    from router.outcome_files import looks_like_outcomes
    from router.rows import parse_map
    from router.stats import describe

    if data.is_file() and looks_like_outcomes(data, columns=parse_map(columns)):
        stats_outcomes(data, columns, json)
        return
    figures = describe(load_dataset(data, card=card, columns=parse_map(columns)))
    out = console()
    out.print(
        f"{figures['queries']:,} queries, {figures['personas']:,} personas, {figures['near_duplicate_pairs']:,} near-duplicate pairs, fingerprint {figures['fingerprint'][:16]}"
    )
    for name, counts in figures["counts"].items():
        splits = list(figures["splits"])
        rows = [
            [label, *(f"{by_split.get(split, 0):,}" for split in splits), f"{sum(by_split.values()):,}"]
            for label, by_split in counts.items()
        ]
        out.print(table(name, ["label", *splits, "all"], rows))
    write_json(json, figures)


@data_app.command("agreement")
def data_agreement(
    data: Annotated[Path, typer.Argument(help="A data set's directory that ships its two labellings.")] = SHIPPED_DATA,
    json: Json = None,
) -> None:
    """How far two independent labellers agree: share and kappa per head."""
    from router.agreement import agreement
    from router.console import console, share, table, write_json
    from router.dataset import find_card

    figures = agreement(data, find_card(data))
    rows = [
        [
            head,
            f"{entry['n']:,}",
            share(entry["agreement"]),
            "–" if entry["kappa"] is None else f"{entry['kappa']:.3f}",
            ", ".join(f"{'/'.join(pair['labels'])} {pair['n']}" for pair in entry["confused"][:3]),
        ]
        for head, entry in figures.items()
    ]
    console().print(table("Two labellers", ["head", "n", "agree", "kappa", "most often confused"], rows))
    write_json(json, figures)


@data_app.command("split")
def data_split(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    card: CardFile = None,
    columns: Columns = None,
    seed: Annotated[int, typer.Option(min=0, help="Deals the splits; same seed, same splits.")] = 0,
) -> None:
    """Group near-duplicates and deal train, calibration and test by group and persona; who has a split keeps it."""
    from router.console import console
    from router.dataset import load_dataset, write_queries
    from router.files import write_atomic
    from router.grouping import with_groups, with_splits
    from router.rows import parse_map

    dealt = with_splits(with_groups(load_dataset(data, card=card, columns=parse_map(columns))), seed=seed)
    write_atomic(out, write_queries(dealt.queries))
    counts = ", ".join(f"{name} {len(dealt.split(name)):,}" for name in ("train", "calibration", "test"))
    console().print(f"wrote {out}: {counts}")


def route(
    text: Annotated[str, typer.Argument(help="The query.")],
    bundle: Bundle,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why: contributions, nearest labelled queries, smallest flip.")
    ] = False,
    context: Annotated[
        list[str] | None,
        typer.Option("--context", help="What the user had said before; once for each message, the oldest first."),
    ] = None,
    json: Json = None,
) -> None:
    """Decide where one query goes; from a bundle without a route table, say what its heads make of the query."""
    from dataclasses import asdict

    from router.bundle import load
    from router.bundlefiles import kind_of
    from router.bundleparts import HEADS
    from router.console import console, progress, write_json
    from router.errors import PolicyError
    from router.explain import explain as explained
    from router.outcome_bundle import KIND as OUTCOMES
    from router.show import show_decision, show_explanation

    before = tuple(context or ())
    if kind_of(bundle) == HEADS:
        _heads_of(text, before, bundle, explain=explain, json=json)
        return
    if kind_of(bundle) == OUTCOMES:
        from router.outcome_verbs import route_outcomes

        if before:
            raise PolicyError(f"{bundle}: a router over models reads the query alone; leave --context out.")
        route_outcomes(bundle, text, explain, json)
        return
    with progress() as told:
        router = load(bundle, notify=told.notify)
    if explain:
        told_why = explained(router, text, before)
        show_explanation(console(), router, text, told_why)
        write_json(
            json,
            {
                **asdict(told_why.decision),
                "contributions": {
                    head: [asdict(entry) for entry in entries] for head, entries in told_why.contributions.items()
                },
                "neighbours": [
                    {"similarity": similarity, "id": query.query_id, "text": query.text}
                    for similarity, query in told_why.neighbours
                ],
                "flip": told_why.flip,
            },
        )
    else:
        decision = router.decide(text, before)
        show_decision(console(), router, text, decision)
        write_json(json, asdict(decision))


def _heads_of(text: str, before: tuple[str, ...], bundle: Path, *, explain: bool, json: Path | None) -> None:
    from router.console import console, progress, write_json
    from router.errors import PolicyError
    from router.heads_bundle import load
    from router.pipeline import NO_ROUTES
    from router.show import show_heads

    if explain:
        raise PolicyError(f"{bundle}: --explain tells why a query takes its route, and {NO_ROUTES}; leave it out.")
    with progress() as told:
        heads = load(bundle, notify=told.notify)
    probabilities = heads.read_one(text, before)
    show_heads(console(), text, probabilities)
    undecided = dict.fromkeys(("route", "rule", "confidence", "also", "novelty"))
    write_json(json, {**undecided, "probabilities": probabilities, "reason": NO_ROUTES})


def inspect(
    bundle: Annotated[
        Path,
        typer.Argument(parser=bundle_path, metavar="BUNDLE", help="A bundle's directory, or models:/NAME@ALIAS."),
    ],
    json: Json = None,
) -> None:
    """Verify a bundle's hashes and say what it is."""
    from rich.markdown import Markdown

    from router.bundle import CARD, bundle_id, read_manifest
    from router.console import console, write_json

    manifest = read_manifest(bundle)
    out = console()
    out.print(
        f"bundle {bundle_id(bundle)} in {bundle}: all {len(manifest['files'])} files match the manifest", markup=False
    )
    out.print(Markdown((bundle / CARD).read_text(encoding="utf-8")))
    write_json(json, manifest)
