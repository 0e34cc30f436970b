"""The verb `compare`: label routers on labelled queries, or outcome routers on an outcome table. Both report the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from eval.commands import DEFAULT_ENCODER, Encoder, Mlflow, Routes, Seed
from router.commands import CardFile, Columns, Json


def register(app: typer.Typer) -> None:
    """Add the verb to the one command."""
    app.command()(compare)


def compare(
    data: Annotated[Path | None, typer.Option("--data", "-d", help="Labelled queries: compare label routers.")] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option("--outcomes", help="An outcome table (query_id, query, model, score): compare outcome routers."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A directory for leaderboard, runs and report.")
    ] = None,
    routers: Annotated[str, typer.Option(help="`all`, or names joined by commas.")] = "all",
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, max=20, help="Outcomes: folds by group, whatever the split column says. Default: the split, else 5."
        ),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Outcomes: only these models, joined by commas.")] = None,
    on_straddle: Annotated[
        Literal["refuse", "drop-train"], typer.Option(help="Outcomes: texts that stand in train and in test.")
    ] = "refuse",
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", "-b", help="Labels: ours, already trained on this data; else it is trained now."),
    ] = None,
    encoder: Encoder = DEFAULT_ENCODER,
    routes: Routes = None,
    card: CardFile = None,
    columns: Columns = None,
    seed: Seed = 0,
    json: Json = None,
    mlflow: Mlflow = True,
) -> None:
    """Routers side by side on the same queries: paired differences to ours, with intervals; a tie is called a tie."""
    if out is None or (data is None) == (outcomes is None):
        raise typer.BadParameter(
            "give --out DIR and exactly one of --data and --outcomes, as in `weighbridge compare --data datasets/pam-v1"
            " --out out/compare` or `weighbridge compare --outcomes datasets/pam-outcomes-v1/simulated-outcomes.csv --out out/lab`."
        )
    if outcomes is not None:
        foreign = [name for name, value in (("--bundle", bundle), ("--routes", routes), ("--card", card)) if value]
        if foreign:
            raise typer.BadParameter(f"{foreign[0]} goes with --data; an outcome table needs none.")
        _outcomes(
            outcomes, out, routers=routers, folds=folds, models=models, on_straddle=on_straddle, encoder=encoder,
            columns=columns, seed=seed, json=json, mlflow=mlflow,
        )  # fmt: skip
        return
    assert data is not None
    if folds is not None or models is not None or on_straddle != "refuse":
        raise typer.BadParameter("--folds, --models and --on-straddle go with --outcomes; --data uses its own splits.")
    _labels(
        data, out, routers=routers, bundle=bundle, encoder=encoder, routes=routes, card=card, columns=columns, seed=seed,
        json=json, mlflow=mlflow,
    )  # fmt: skip


def _labels(
    data: Path,
    out: Path,
    *,
    routers: str,
    bundle: Path | None,
    encoder: str,
    routes: Path | None,
    card: Path | None,
    columns: str | None,
    seed: int,
    json: Path | None,
    mlflow: bool,
) -> None:
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


def _outcomes(
    table: Path,
    out: Path,
    *,
    routers: str,
    folds: int | None,
    models: str | None,
    on_straddle: Literal["refuse", "drop-train"],
    encoder: str,
    columns: str | None,
    seed: int,
    json: Path | None,
    mlflow: bool,
) -> None:
    from eval.board_details import details
    from eval.board_report import write_board_csv, write_board_report, write_losses_csv
    from eval.board_show import show_board
    from eval.lab import LabSpec, named_models, run_lab
    from router.console import console, progress, write_json
    from router.files import canonical_json, write_atomic
    from router.rows import parse_map

    spec = LabSpec(
        table=table,
        routers=routers,
        folds=folds,
        seed=seed,
        on_straddle=on_straddle,
        models=named_models(models),
        columns=parse_map(columns),
        encoder=encoder,
    )
    lines: list[str] = []
    with progress() as told:
        result = run_lab(
            spec,
            out,
            notify=told.notify,
            advance=told.advance,
            finished=lambda row: lines.append(_partial(row)) or told.notify(lines[-1]),  # type: ignore[func-returns-value]
        )
        told.notify("drawing the report")
        seen = details(result.judge, result.judged)
    write_atomic(out / "details.json", canonical_json(seen) + "\n")
    write_board_report(result.board, seen, out / "report.html")
    write_board_csv(result.board, out / "leaderboard.csv")
    write_losses_csv(seen, out / "losses.csv")
    for sentence in result.findings.sentences:
        console().print(f"found: {sentence}", markup=False)
    show_board(console(), result.board)
    console().print(
        f"wrote {out}: leaderboard.json, leaderboard.csv, report.html, losses.csv, details.json", markup=False
    )
    write_json(json, result.board)
    if mlflow:
        _record(result.board, out, encoder=encoder)


def _partial(row: dict[str, Any]) -> str:
    metric = next((name for name in ("apgr", "aiq", "accuracy") if row[name] is not None), None)
    figure = f"{metric} {row[metric]:.4f}" if metric else f"took no part ({row['reason']})"
    return f"{row['router']}: {figure}" + (f", fitted in {row['fit_s']:.1f} s" if row["fit_s"] else "")


def _record(board: dict[str, Any], out: Path, *, encoder: str) -> None:
    """One MLflow run per router, and one with the report."""
    from router.console import progress
    from router.registry import flatten, log_run

    params = {
        "verb": "compare",
        "table": board["table"],
        "fingerprint": board["fingerprint"],
        "encoder": encoder,
        "seed": board["protocol"]["seed"],
        "protocol": board["protocol"]["kind"],
        "metric": board["metric"],
    }
    with progress() as told:
        told.notify("recording the runs")
        for row in board["rows"]:
            log_run(
                f"compare {row['router']}",
                params={**params, "router": row["router"]},
                metrics=flatten(row),
                artifacts=[],
            )
        log_run("compare", params=params, metrics={}, artifacts=[out / "leaderboard.json", out / "report.html"])
