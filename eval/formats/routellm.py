"""RouteLLM's evaluation tables: which of the models answered which prompt rightly.

The form is that of routellm/evals/mmlu/responses/mmlu_<domain>.csv (prompt, then a column of True and False per
model), routellm/evals/gsm8k/gsm8k_responses.csv (the same, and a <model>_response column with each answer) and
contaminated_prompts.jsonl beside them in lm-sys/RouteLLM, whose `eval_prompt` routellm/evals/benchmarks.py leaves out.
"""

from __future__ import annotations

from pathlib import Path

from eval.formats.cells import Cells, Imported, Place, parse_score, parse_text
from eval.formats.files import Row, find_files, need, text_rows
from router.errors import DataError

FORM = "routellm"
ANSWER = "_response"
CONTAMINATED = "contaminated_prompts.jsonl"
WANTED = "RouteLLM's `evals` folder, its `mmlu` or `gsm8k`, or one csv of these"


def load(path: Path) -> Imported:
    """Read mmlu_*.csv and gsm8k_responses.csv below a folder, or one csv; the n-th row of `x` has the id `x.n`, from 0.

    `contaminated` marks the rows whose prompt is listed as such; a table without a list beside it does not have it.
    Answers are dropped; RouteLLM records no cost. Raises DataError for a missing prompt and a cell that is no score.
    """
    cells = Cells(FORM)
    for file in _tables(path):
        listed = _contaminated(file)
        dataset = file.stem.removeprefix("mmlu_").removesuffix("_responses")
        for position, (place, row) in enumerate(text_rows(file, FORM)):
            query = parse_text(_prompt(row, place), place, "prompt")
            for model in _models(row, place):
                cells.add(
                    place,
                    query_id=f"{dataset}.{position}",
                    query=query,
                    model=model,
                    score=parse_score(row[model], place, model),
                    dataset=dataset,
                    contaminated=None if listed is None else query in listed,
                )
    return cells.imported()


def _tables(path: Path) -> list[Path]:
    files = find_files(path, FORM, suffixes=(".csv",), wanted=WANTED)
    if path.is_dir():
        files = [file for file in files if file.name.startswith("mmlu_") or file.name == "gsm8k_responses.csv"]
    if not files:
        raise DataError(f"{path}: no mmlu_*.csv and no gsm8k_responses.csv in this folder; wanted {WANTED}.")
    return files


def _prompt(row: Row, place: Place) -> object:
    need(row, place, ("prompt",))
    return row["prompt"]


def _models(row: Row, place: Place) -> list[str]:
    named = [name for name in row if name not in ("", "prompt") and not name.startswith("Unnamed:")]
    models = [name for name in named if not (name.endswith(ANSWER) and name.removesuffix(ANSWER) in named)]
    if not models:
        raise place.fault("MODEL", "the row has no column beside `prompt`; wanted one per model")
    return models


def _contaminated(table: Path) -> frozenset[str] | None:
    """The prompts listed beside the table, or beside its `responses` folder; None where there is no list."""
    beside = [table.parent / CONTAMINATED]
    if table.parent.name == "responses":
        beside.append(table.parent.parent / CONTAMINATED)
    for file in beside:
        if file.is_file():
            return frozenset(_eval_prompt(row, place) for place, row in text_rows(file, FORM))
    return None


def _eval_prompt(row: Row, place: Place) -> str:
    need(row, place, ("eval_prompt",))
    return parse_text(row["eval_prompt"], place, "eval_prompt")
