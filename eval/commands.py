"""The judge's verbs: train, evaluate, replay, verify, report, demo. Heavy libraries wait inside the functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from router.commands import SHIPPED_DATA, Bundle, CardFile, Columns, Data, Json

Seed = Annotated[int, typer.Option(min=0, help="Of every draw; same seed, same figures.")]
Split = Annotated[
    str | None, typer.Option(help="train, calibration, test or all. Default: test where the data has it, else all.")
]
Encoder = Annotated[
    str,
    typer.Option(
        "--encoder",
        "-e",
        help="all-MiniLM-L6-v2, multilingual-e5-small, hashing, a sentence-transformers name, or a directory.",
    ),
]
Routes = Annotated[Path | None, typer.Option("--routes", help="The route table. Default: routes.toml beside the data.")]
Mlflow = Annotated[
    bool, typer.Option("--mlflow/--no-mlflow", help="Record an MLflow run (MLFLOW_TRACKING_URI, else ./mlflow.db).")
]

DEFAULT_ENCODER = "all-MiniLM-L6-v2"


def register(app: typer.Typer) -> None:
    """Add the verbs to the one command."""
    for verb in (demo, train, evaluate, replay, verify, report):
        app.command()(verb)


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's directory; an old bundle there is replaced.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Labelled queries: a data set's directory, or one JSONL or CSV file."),
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            "--outcomes", help="An outcome table (query_id, query, model, score): learn which model answers what."
        ),
    ] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    routes: Routes = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    carry_encoder: Annotated[
        bool, typer.Option("--carry-encoder", help="Copy the ONNX encoder into the bundle, for machines without torch.")
    ] = False,
    finetune: Annotated[
        bool,
        typer.Option(
            "--finetune",
            help="First teach the encoder by the train split's labels: some 30 minutes for 8,000 queries on two cores, once"
            " per machine. The bundle carries it. Needs the `train` extra and a route table.",
        ),
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, max=20, help="--finetune: passes over the train split.")] = 3,
    models: Annotated[str | None, typer.Option(help="Outcomes: only these models, joined by commas.")] = None,
    on_straddle: Annotated[
        Literal["refuse", "drop-train"], typer.Option(help="Outcomes: texts that stand in train and in test.")
    ] = "refuse",
    json: Json = None,
    mlflow: Mlflow = True,
) -> None:
    """Fit and calibrate a router on labelled queries or on an outcome table; judge it once on test; save the bundle.

    Labelled queries without a route table: every labelled head is trained and judged, and no route is decided.
    """
    from eval.show import show_evaluation
    from eval.workflow import open_materials, test_split, train_and_judge
    from router.console import console, progress, write_json
    from router.encoders.finetune import Recipe
    from router.registry import flatten, log_run, tracking_uri
    from router.rows import parse_map

    if (data is None) == (outcomes is None):
        raise typer.BadParameter(
            "give exactly one of --data and --outcomes, as in `weighbridge train --data D --out B`."
        )
    if outcomes is not None:
        _train_outcomes(
            outcomes,
            out,
            foreign={"--routes": routes, "--card": card, "--finetune": finetune or None},
            encoder=encoder,
            columns=columns,
            models=models,
            on_straddle=on_straddle,
            seed=seed,
            carry_encoder=carry_encoder,
            json=json,
            mlflow=mlflow,
        )
        return
    assert data is not None
    if models is not None or on_straddle != "refuse":
        raise typer.BadParameter("--models and --on-straddle go with --outcomes.")
    with progress() as told:
        materials = open_materials(
            data, card=card, columns=parse_map(columns), routes=routes, encoder=encoder, seed=seed, told=told,
            recipe=Recipe(epochs=epochs, seed=seed) if finetune else None,
        )  # fmt: skip
        test_split(materials.dataset)  # none is refused before a minute of fitting
        judged = train_and_judge(materials, out, carry_encoder=carry_encoder or finetune, told=told)
    show_evaluation(console(), judged.figures)
    console().print(f"wrote bundle {judged.bundle} to {out}", markup=False)
    write_json(json, judged.figures)
    if mlflow:
        with progress() as told:
            told.notify(f"recording the run in {tracking_uri().partition('://')[0]}")
            params = {
                "verb": "train",
                "dataset": judged.figures["dataset"],
                "fingerprint": judged.figures["fingerprint"],
                "encoder": encoder,
                "seed": seed,
                "bundle": judged.bundle,
            }
            log_run(
                "train",
                params=params,
                metrics=flatten({"heads": judged.figures["heads"], "route": judged.figures["route"]}),
                artifacts=[out] if materials.table is None else [],
                bundle=None if materials.table is None else out,  # a model on the shelf is one that decides routes
            )


def _train_outcomes(
    outcomes: Path,
    out: Path,
    *,
    foreign: Mapping[str, object],
    encoder: str,
    columns: str | None,
    models: str | None,
    on_straddle: Literal["refuse", "drop-train"],
    seed: int,
    carry_encoder: bool,
    json: Path | None,
    mlflow: bool,
) -> None:
    from eval.lab import named_models, one_thread
    from router.outcome_verbs import train_outcomes

    given = [name for name, value in foreign.items() if value is not None]
    if given:
        raise typer.BadParameter(f"{given[0]} goes with --data; an outcome table needs none.")
    with one_thread():
        train_outcomes(
            outcomes,
            out,
            encoder=encoder,
            columns=columns,
            models=named_models(models),
            on_straddle=on_straddle,
            seed=seed,
            carry_encoder=carry_encoder,
            json=json,
            mlflow=mlflow,
        )


def evaluate(
    bundle: Bundle,
    data: Data,
    split: Split = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Judge a bundle on labelled queries: accuracy, F1, calibration, and routes where it decides them; with intervals."""
    from eval.metrics import evaluate as figures_of
    from eval.show import show_evaluation
    from router.bundlefiles import kind_of
    from router.bundleparts import HEADS
    from router.console import console, write_json

    if kind_of(bundle) == HEADS:
        figures = _heads_judged(bundle, data, split=split, card=card, columns=columns, seed=seed)
    else:
        figures = figures_of(_replayed(bundle, data, split=split, card=card, columns=columns, seed=seed))
    show_evaluation(console(), figures)
    write_json(json, figures)


def replay(
    bundle: Bundle,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run to write (JSONL).")],
    split: Split = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
) -> None:
    """Record the decisions over labelled queries, with simulated cost and latency. Nothing is called."""
    from eval.run import write_run
    from router.console import console

    run = _replayed(bundle, data, split=split, card=card, columns=columns, seed=seed)
    write_run(run, out)
    console().print(f"wrote {out}: {run.header.n:,} decisions on split {run.header.split}", markup=False)


def verify(
    run: Annotated[Path, typer.Argument(help="A run, as `weighbridge replay` wrote it.")],
    bundle: Bundle,
    data: Data,
    card: CardFile = None,
    columns: Columns = None,
) -> None:
    """Replay a run and compare it byte for byte. Exit 2 where it differs."""
    from eval.replay import verify as verified
    from router.bundle import read_manifest
    from router.card import card_from_mapping
    from router.console import console
    from router.dataset import load_dataset
    from router.rows import parse_map

    own = card_from_mapping(read_manifest(bundle)["card"], where=str(bundle))
    n = verified(run, bundle, load_dataset(data, card=card, columns=parse_map(columns), default_card=own))
    console().print(f"{run}: {n:,} records replay to the same bytes", markup=False)


def report(
    run: Annotated[Path, typer.Argument(help="A run, as `weighbridge replay` wrote it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="Runs of other routers over the same queries; repeatable.")
    ] = None,
) -> None:
    """One self-contained HTML page of a run: routes, confusion, calibration, threshold, worst errors."""
    from eval.compare import leaderboard
    from eval.report import write_report
    from eval.run import read_run
    from router.console import console

    ours = read_run(run)
    board = leaderboard(ours, [read_run(path) for path in against]) if against else None
    write_report(ours, out, board=board)
    console().print(f"wrote {out}", markup=False)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where bundle, runs and report go.")] = Path("out/demo"),
    data: Annotated[Path, typer.Option("--data", "-d", help="A data set's directory.")] = SHIPPED_DATA,
    encoder: Encoder = DEFAULT_ENCODER,
    seed: Seed = 0,
    mlflow: Mlflow = True,
) -> None:
    """The main job, end to end, with no key and no network: check, train, compare, replay, price, explain, report."""
    from eval.demo import run_demo

    run_demo(data, out, encoder=encoder, seed=seed, mlflow=mlflow)


def _replayed(bundle: Path, data: Path, *, split: str | None, card: Path | None, columns: str | None, seed: int):  # type: ignore[no-untyped-def]  # a Run, whose module is heavy
    from eval.replay import choose_split
    from eval.replay import replay as replayed
    from eval.workflow import data_for_bundle, encoder_cached
    from router.bundle import bundle_id, load
    from router.console import console, progress
    from router.rows import parse_map

    with progress() as told:
        told.notify("loading the bundle")
        router = encoder_cached(load(bundle, notify=told.notify), told)
        dataset = data_for_bundle(data, card=card, columns=parse_map(columns), default=router.card)
        part, name = choose_split(dataset, split)
        told.notify(f"replaying {len(part):,} queries")
        run = replayed(router, part, split=name, seed=seed, bundle=bundle_id(bundle))
    console().print(f"split {name}: {len(part):,} queries", markup=False)
    return run


def _heads_judged(
    bundle: Path, data: Path, *, split: str | None, card: Path | None, columns: str | None, seed: int
) -> dict[str, Any]:
    from eval.replay import choose_split
    from eval.workflow import data_for_bundle, encoder_cached, judge_heads
    from router.bundlefiles import bundle_id
    from router.console import console, progress
    from router.heads_bundle import load
    from router.rows import parse_map

    with progress() as told:
        told.notify("loading the bundle")
        heads = encoder_cached(load(bundle, notify=told.notify), told)
        dataset = data_for_bundle(data, card=card, columns=parse_map(columns), default=heads.card)
        part, name = choose_split(dataset, split)
        told.notify(f"judging {len(part):,} queries")
        figures = judge_heads(heads, part, split=name, seed=seed, bundle=bundle_id(bundle))
    console().print(f"split {name}: {len(part):,} queries", markup=False)
    return figures
