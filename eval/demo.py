"""The main job, end to end, on what ships: no key, no network."""

from __future__ import annotations

from pathlib import Path

from eval.report import write_report
from eval.run import write_run
from eval.show import show_evaluation, show_leaderboard
from eval.simulate.figures import figures
from eval.simulate.lab import Options, simulate
from eval.simulate.scenario_file import find_scenario, read_scenario
from eval.simulate.show import show_arithmetic
from eval.workflow import compare_routers, fit_router, judge_and_save, open_materials
from router.console import console, progress, write_json
from router.explain import explain
from router.prices import read_prices
from router.registry import flatten, log_run
from router.show import show_explanation

SCENARIO = "pam-2025-09"
SURE = Options(draws=10, sampled=1_000, played=0)  # nothing in it is uncertain
SENTENCES = (
    "hey pam, what's left in my grocery budget",
    "Moab or Page next week, given the weather and what we have left to spend?",
    "brake pedal just went soft coming down Teton Pass, pulled over, what do I do",
    "could you write my sociology thesis",
)


def run_demo(data: Path, out: Path, *, encoder: str, seed: int, mlflow: bool) -> None:
    """Check, train, compare, replay, price, explain, report; say each step and where everything is."""
    say = console()
    with progress() as told:
        told.notify("checking the data")
        materials = open_materials(data, card=None, columns={}, routes=None, encoder=encoder, seed=seed, told=told)
    card = materials.dataset.card
    say.rule(f"1. The data: {card.name}, {len(materials.dataset):,} labelled queries, no fault", align="left")
    with progress() as told:
        router = fit_router(materials, told)
        judged = judge_and_save(router, materials, out / "bundle", carry_encoder=False, told=told)
        write_run(judged.run, out / "test.run.jsonl")
    say.rule(
        f"2. A router, fitted on {len(router.training):,} of them, judged on {judged.run.header.n:,} it never saw",
        align="left",
    )
    show_evaluation(say, judged.figures)
    say.rule("3. Against the other ways to do it", align="left")
    with progress() as told:
        board, _ = compare_routers(judged.run, materials, "all", told)
    show_leaderboard(say, board)
    say.rule("4. What routing would have saved: the first design document's arithmetic", align="left")
    show_arithmetic(say, figures(simulate(read_scenario(find_scenario(SCENARIO)), read_prices(), SURE)))
    say.rule("5. A few sentences, and why they go where they go", align="left")
    for sentence in SENTENCES:
        show_explanation(say, router, sentence, explain(router, sentence, k=1))
    write_json(out / "leaderboard.json", board)
    write_json(out / "evaluation.json", judged.figures)
    write_report(judged.run, out / "report.html", board=board)
    if mlflow:
        with progress() as told:
            told.notify("recording the run in MLflow")
            params = {
                "verb": "demo",
                "dataset": judged.figures["dataset"],
                "fingerprint": judged.figures["fingerprint"],
                "encoder": encoder,
                "seed": seed,
            }
            log_run(
                "demo",
                params=params,
                metrics=flatten({"heads": judged.figures["heads"], "route": judged.figures["route"]}),
                artifacts=[out / "report.html"],
                bundle=out / "bundle",
            )
    say.rule("6. Where it is", align="left")
    say.print(
        f"  report   {out / 'report.html'}\n  bundle   {out / 'bundle'}\n  run      {out / 'test.run.jsonl'}",
        markup=False,
    )
    say.print(
        f'  next     weighbridge route "your own sentence" --bundle {out / "bundle"} --explain',
        markup=False,
        soft_wrap=True,
    )
