"""The judge's verbs: train, evaluate, replay, verify, compare, report, demo. Heavy libraries wait inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router.commands import SHIPPED_DATA, Bundle, CardFile, Columns, Data, Json

Seed = Annotated[int, typer.Option(min=0, help="Of every draw; same seed, same figures.")]
Split = Annotated[
    str | None, typer.Option(help="train, calibration, test or all. Default: test where the data has it, else all.")
]
Encoder = Annotated[
    str,
    typer.Option("--encoder", "-e", help="all-MiniLM-L6-v2, hashing, a sentence-transformers name, or its directory."),
]
Routes = Annotated[Path | None, typer.Option("--routes", help="The route table. Default: routes.toml beside the data.")]
Mlflow = Annotated[
    bool, typer.Option("--mlflow/--no-mlflow", help="Record an MLflow run (MLFLOW_TRACKING_URI, else ./mlflow.db).")
]

DEFAULT_ENCODER = "all-MiniLM-L6-v2"


def register(app: typer.Typer) -> None:
    """Add the verbs to the one command."""
    for verb in (demo, train, evaluate, replay, verify, compare, report):
        app.command()(verb)


def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's directory; an old bundle there is replaced.")],
    encoder: Encoder = DEFAULT_ENCODER,
    routes: Routes = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    carry_encoder: Annotated[
        bool, typer.Option("--carry-encoder", help="Copy the ONNX encoder into the bundle, for machines without torch.")
    ] = False,
    json: Json = None,
    mlflow: Mlflow = True,
) -> None:
    """Fit and calibrate a router on labelled queries; judge it once on the test split; save the bundle."""
    from eval.show import show_evaluation
    from eval.workflow import fit_router, judge_and_save, open_materials, test_split
    from router.console import console, progress, write_json
    from router.registry import flatten, log_run, tracking_uri
    from router.rows import parse_map

    with progress() as told:
        materials = open_materials(
            data, card=card, columns=parse_map(columns), routes=routes, encoder=encoder, seed=seed, told=told
        )
        test_split(materials.dataset)  # none is refused before a minute of fitting
        judged = judge_and_save(fit_router(materials, told), materials, out, carry_encoder=carry_encoder, told=told)
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
                artifacts=[],
                bundle=out,
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
    """Judge a bundle on labelled queries: accuracy, F1, calibration, routes; with intervals."""
    from eval.metrics import evaluate as figures_of
    from eval.show import show_evaluation
    from router.console import console, write_json

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


def compare(
    data: Annotated[Path | None, typer.Option("--data", "-d", help="Labelled queries: compare label routers.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A directory for leaderboard, runs and report.")
    ] = None,
    routers: Annotated[str, typer.Option(help="`all`, or names joined by commas.")] = "all",
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "-b", help="Ours, already trained on this data; else it is trained now.")
    ] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    routes: Routes = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
    mlflow: Mlflow = True,
) -> None:
    """Ours against majority, length, keywords, TF-IDF, centroids, kNN and plain encoder + LR: paired, with intervals."""
    from eval.compare import OURS, choose_baselines
    from eval.replay import replay as replayed
    from eval.report import write_report
    from eval.run import write_run
    from eval.show import show_leaderboard
    from eval.workflow import compare_routers, encoder_cached, fit_router, open_materials, test_split
    from router.bundle import bundle_id, load
    from router.console import console, progress, write_json
    from router.registry import flatten, log_run
    from router.rows import parse_map

    if data is None or out is None:
        raise typer.BadParameter(
            "give --data D and --out DIR, as in `weighbridge compare --data datasets/pam-v1 --out out/compare`."
        )
    with progress() as told:
        materials = open_materials(
            data, card=card, columns=parse_map(columns), routes=routes, encoder=encoder, seed=seed, told=told
        )
        choose_baselines(routers, materials.lexicon)  # a misspelt name is refused before anything is fitted
        test = test_split(materials.dataset)
        router = encoder_cached(load(bundle), told) if bundle else fit_router(materials, told)
        ours = replayed(router, test, split="test", seed=seed, bundle=bundle_id(bundle) if bundle else None)
        board, runs = compare_routers(ours, materials, routers, told)
    for run in (ours, *runs):
        write_run(run, out / f"{run.header.router}.run.jsonl")
    write_json(out / "leaderboard.json", board)
    write_report(ours, out / "report.html", board=board)
    show_leaderboard(console(), board)
    console().print(f"wrote {out}: leaderboard.json, report.html and {len(runs) + 1} runs", markup=False)
    write_json(json, board)
    if mlflow:
        metrics = flatten({row["router"]: {"heads": row["heads"], "route": row["route"]} for row in board["rows"]})
        params = {
            "verb": "compare",
            "dataset": board["dataset"],
            "fingerprint": board["fingerprint"],
            "encoder": encoder,
            "seed": seed,
            "ours": OURS,
        }
        log_run("compare", params=params, metrics=metrics, artifacts=[out / "leaderboard.json", out / "report.html"])


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
