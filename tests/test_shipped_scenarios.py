"""The shipped scenarios run as they are, and the oldest of them comes out to the cent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from eval.replay import replay
from eval.run import write_run
from eval.simulate.counts import read_counts
from eval.simulate.figures import figures
from eval.simulate.lab import Options, simulate
from eval.simulate.scenario_file import find_scenario, open_scenario
from router.bundle import load
from router.dataset import Dataset
from router.prices import read_prices

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = sorted((ROOT / "datasets").glob("**/scenarios/*.toml"))
ASSUMED = [path for path in SCENARIOS if open_scenario(path).outcomes is None]
FEW = Options(draws=60, sampled=4_000, played=1_000)


def simulated(name: str) -> dict[str, Any]:
    file = open_scenario(find_scenario(name))
    file.require_prices(read_prices())
    return figures(simulate(file.scenario, read_prices(), FEW))


def numbers(found: Any) -> list[float]:
    """Every number in it, however deep."""
    if isinstance(found, dict):
        return [number for value in found.values() for number in numbers(value)]
    if isinstance(found, list):
        return [number for value in found for number in numbers(value)]
    return [float(found)] if isinstance(found, int | float) and not isinstance(found, bool) else []


def test_the_arithmetic_of_september_2025_comes_out_to_the_cent() -> None:
    found = simulated("pam-2025-09")
    assert found["baseline_usd_per_month"] == 212.5
    assert found["spend_usd_per_month"] == {"gpt-4o-mini": 7.8375, "claude-3-5-sonnet": 18.75}
    assert found["routed_usd_per_month"] == 26.5875
    assert f"{found['saving']:.3%}" == "87.488%"
    assert found["usd_per_query"] == 0.000265875


def test_what_the_first_design_document_printed_stands_beside_it() -> None:
    printed = simulated("pam-2025-09")["printed"]
    assert (printed["baseline_usd_per_month"], printed["routed_usd_per_month"], printed["saving"]) == (
        213.0,
        27.13,
        0.87,
    )


def test_an_arithmetic_without_doubt_has_no_interval() -> None:
    found = simulated("pam-2025-09")
    assert [found[f"{name}_ci"] for name in ("baseline_usd_per_month", "routed_usd_per_month", "saving")] == [None] * 3


def test_of_the_first_documents_targets_those_that_fail_today_say_what_would_have_to_change() -> None:
    found = {row["target"]: row for row in simulated("pam-2026-11")["targets"]}
    assert set(found) >= {"usd_per_query", "usd_per_100k", "saving", "latency_ms_p95"}
    assert found["usd_per_100k"]["verdict"] == "fails"
    assert found["usd_per_100k"]["would_hold_if"]
    assert found["saving"]["thresholds"] is not None
    assert all(row["verdict"] in ("holds", "fails", "open") for row in found.values())


@pytest.mark.parametrize("path", ASSUMED, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_found_by_its_name_and_gives_whole_figures(path: Path) -> None:
    found = simulated(path.stem)
    assert found["scenario"] == path.stem
    assert found["simulated"] is True
    assert all(math.isfinite(number) for number in numbers(found))
    assert sum(found["share"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize("path", ASSUMED, ids=lambda path: path.stem)
def test_the_closed_form_agrees_with_a_shipped_scenario(path: Path) -> None:
    check = simulated(path.stem)["checks"]
    assert check["relative_difference"] == pytest.approx(0.0, abs=0.05)  # 4,000 sampled answers


def test_the_verb_writes_the_same_figures_as_json_and_a_report(tmp_path: Path) -> None:
    asked = [
        "simulate",
        "--scenario",
        "scenarios/pam-2025-09",
        "--out",
        str(tmp_path / "out"),
        "--json",
        str(tmp_path / "f.json"),
    ]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert found["routed_usd_per_month"] == 26.5875
    assert found == json.loads((tmp_path / "out" / "simulation.json").read_text(encoding="utf-8"))
    assert "26.59" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_starting_point_is_written_once_and_can_be_simulated(tmp_path: Path) -> None:
    run = CliRunner()
    assert run.invoke(app, ["simulate", "--init", "--out", str(tmp_path / "mine.toml")]).exit_code == 0
    again = run.invoke(app, ["simulate", "--init", "--out", str(tmp_path / "mine.toml")])
    assert "exists already" in str(again.exception)
    asked = [
        "simulate",
        "--scenario",
        str(tmp_path / "mine.toml"),
        "--out",
        str(tmp_path / "out"),
        "--draws",
        "20",
        "--sampled",
        "2000",
    ]
    assert run.invoke(app, asked).exit_code == 0


def test_a_runs_decisions_take_the_place_of_what_a_scenario_says_of_its_router(
    bundle: Path, small: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "a.run.jsonl"
    write_run(replay(load(bundle), small.split("test"), split="test", seed=0, bundle="b"), run)
    asked = [
        "simulate",
        "--scenario",
        "pam-2026-11",
        "--run",
        str(run),
        "--out",
        str(tmp_path / "out"),
        "--draws",
        "20",
    ]
    assert CliRunner().invoke(app, [*asked, "--sampled", "2000"]).exit_code == 0
    found = json.loads((tmp_path / "out" / "simulation.json").read_text(encoding="utf-8"))
    assert found["threshold"]["source"] == "weighbridge on pam-v1 1.1.0, split test"
    assert read_counts(tmp_path / "out" / "pam-2026-11.routing.csv").n.sum() > 0
