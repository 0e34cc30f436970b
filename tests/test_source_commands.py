"""`data import` and `data fetch` as a person types them: what is written, what is said, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from eval import source_commands
from eval.sources import SOURCES, Source
from router.errors import DataError

CSV = "prompt,weak,strong\nQ0,True,True\nQ1,False,True\nQ2,,False\n"
LISTED = '{"eval_prompt": "Q1"}\n'


@pytest.fixture
def evals(tmp_path: Path) -> Path:
    folder = tmp_path / "evals" / "mmlu"
    (folder / "responses").mkdir(parents=True)
    (folder / "responses" / "mmlu_law.csv").write_text(CSV, encoding="utf-8")
    (folder / "contaminated_prompts.jsonl").write_text(LISTED, encoding="utf-8")
    return tmp_path / "evals"


def typed(*arguments: str | Path) -> Result:
    """What the two verbs answer; an error raised on purpose comes out as it was raised."""
    app = typer.Typer()
    data_app = typer.Typer()
    source_commands.register(data_app)
    app.add_typer(data_app, name="data")
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


def test_an_import_writes_the_table_and_counts_queries_models_and_missing_cells(evals: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "law.parquet", tmp_path / "f.json"
    done = typed("import", "routellm", evals, "--out", out, "--json", figures)
    assert done.exit_code == 0
    assert "3 queries by 2 models, 1 of 6 scores and 6 costs missing, 1 marked contaminated" in done.output
    assert f"next: weighbridge compare --outcomes {out}" in done.output
    table = pd.read_parquet(out)
    assert table[["query_id", "model"]].drop_duplicates().shape == (6, 2)
    assert written(figures)["models"]["weak"] == {
        "scores": 2,
        "missing_scores": 1,
        "missing_costs": 3,
        "score_mean": 0.5,
        "cost_usd_mean": None,
    }
    assert (written(figures)["contaminated_queries"], written(figures)["use"]) == (1, None)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_import_writes_the_form_that_the_suffix_names(evals: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"law.{suffix}"
    assert typed("import", "routellm", evals, "--out", out).exit_code == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    if suffix == "csv":
        assert lines[0] == "query_id,query,model,score,dataset,contaminated"
        assert lines[5] == "law.2,Q2,weak,,law,False"
    else:
        assert json.loads(lines[4])["score"] is None
        assert len(lines) == 6


def test_a_cell_whose_row_is_absent_counts_as_missing(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "model_name": "x", "performance": 1.0},
        {"query": "b", "model_name": "x", "performance": 0.0},
        {"query": "b", "model_name": "y", "performance": 0.0},
    ]
    source = tmp_path / "r.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = typed("import", "llmrouter", source, "--out", tmp_path / "o.csv", "--json", tmp_path / "f.json")
    assert done.exit_code == 0
    figures = written(tmp_path / "f.json")
    assert (figures["cells"], figures["missing_scores"], figures["models"]["y"]["missing_scores"]) == (4, 1, 1)


def test_an_evaluation_only_table_says_so_and_offers_no_training(tmp_path: Path) -> None:
    entry = {"global index": "A_1", "prompt": "q", "prediction": "m", "accuracy": 1.0, "cost": 0.1}
    (tmp_path / "p.json").write_text(json.dumps([entry]), encoding="utf-8")
    done = typed("import", "routerarena", tmp_path / "p.json", "--out", tmp_path / "o.jsonl")
    assert "evaluation-only: nothing may be fitted on this table" in done.output
    assert "next:" not in done.output
    assert json.loads((tmp_path / "o.jsonl").read_text(encoding="utf-8"))["use"] == "evaluation-only"


def test_a_wrong_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--out .*o\.xlsx: the suffix is \.xlsx"):
        typed("import", "routellm", tmp_path / "absent", "--out", tmp_path / "o.xlsx")


def test_a_refused_import_leaves_no_file(evals: Path, tmp_path: Path) -> None:
    (evals / "mmlu" / "responses" / "mmlu_broken.csv").write_text("prompt,weak\nQ,85\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mmlu_broken\.csv, line 2, field 'weak'"):
        typed("import", "routellm", evals, "--out", tmp_path / "o.parquet")
    assert not (tmp_path / "o.parquet").exists()


def test_the_list_names_every_source_with_its_licence_and_use(tmp_path: Path) -> None:
    done = typed("fetch", "--list", "--json", tmp_path / "f.json")
    assert done.exit_code == 0
    for source in SOURCES.values():
        assert source.name in done.output
    listed = written(tmp_path / "f.json")["sources"]
    assert [(entry["name"], entry["licence"], entry["use"]) for entry in listed] == [
        (source.name, source.licence, source.use) for source in SOURCES.values()
    ]


@pytest.mark.parametrize("arguments", [(), ("clinc150", "--list")])
def test_a_fetch_takes_a_name_or_list(arguments: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="takes one name, or --list"):
        typed("fetch", *arguments)


def test_a_fetched_source_says_where_it_lies_and_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path]] = []

    def fake(name: str, *, cache: Path, **listeners: object) -> Path:
        asked.append((name, cache))
        return cache / name

    monkeypatch.setattr("eval.fetch.fetch", fake)
    done = typed("fetch", "routellm-mmlu", "--out", tmp_path / "here", "--json", tmp_path / "f.json")
    home = tmp_path / "here" / "routellm-mmlu"
    assert asked == [("routellm-mmlu", tmp_path / "here")]
    assert f"routellm-mmlu lies in {home}. Licence: Apache-2.0." in done.output
    assert f"next: weighbridge data import routellm {home} --out routellm-mmlu.parquet" in done.output
    assert written(tmp_path / "f.json")["directory"] == str(home)


@pytest.mark.parametrize("source", list(SOURCES.values()), ids=list(SOURCES))
def test_the_next_step_of_a_source_is_an_import_or_an_explanation(source: Source, tmp_path: Path) -> None:
    told = source_commands.next_step(source, tmp_path)
    assert told == source.then or told.startswith(f"next: weighbridge data import {source.form} {tmp_path}")
