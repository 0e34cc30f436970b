"""RouterBench's wide form: one row a query, and per model its score, its answer and what the call cost.

The form is that of convertors/common.py and utils.py in withmartian/routerbench (`convert_to_wide_format`,
`get_models_to_route`), as its tables stand in datasets/routerbench_zs/*.csv of shuhao02/RouterDC: sample_id, prompt,
eval_name, <model>, <model>|model_response, <model>|total_cost, oracle_model_to_route_to. The prompt is a Python list
of turns, spelled out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from eval.formats.cells import Cells, Imported, Place, parse_amount, parse_score, parse_text
from eval.formats.files import PARQUET, Row, find_files, need, parquet_rows, split_of, text_rows

FORM = "routerbench"
ANSWER = "|model_response"
COST = "|total_cost"
WANTED = "RouterBench's wide table as CSV or Parquet, or a folder of such"


def load(path: Path) -> Imported:
    """Read a .csv or .parquet file, or all of a folder; `split` comes from names such as `mbpp_test.csv`.

    A sample_id that stands twice keeps its first row, as in RouterBench's own evaluation (evaluate_routers.py), and
    one of a test file before one of a train file. Answers and the oracle's choice are dropped. Raises DataError for a
    pickle, a missing column, and a score outside [0, 1].
    """
    cells = Cells(FORM)
    seen: set[str] = set()
    again = 0
    for file in find_files(path, FORM, suffixes=(".csv", *PARQUET), wanted=WANTED):
        models: list[str] = []
        for place, row in _rows(file):
            models = models or _models(row, place)
            sample_id = parse_text(row["sample_id"], place, "sample_id")
            again += sample_id in seen
            if sample_id not in seen:
                seen.add(sample_id)
                _add(cells, place, row, models, sample_id=sample_id, split=split_of(file))
    cells.note(again, "row repeats a sample_id: the first stands", "rows repeat a sample_id: the first stands")
    return cells.imported()


def _rows(file: Path) -> Iterator[tuple[Place, Row]]:
    if file.suffix.lower() in PARQUET:
        return parquet_rows(file, FORM, keep=lambda name: not name.endswith(ANSWER))
    return text_rows(file, FORM)


def _models(row: Row, place: Place) -> list[str]:
    need(row, place, ("sample_id", "prompt", "eval_name"))
    models = [name for name in row if f"{name}{COST}" in row or f"{name}{ANSWER}" in row]
    if not models:
        raise place.fault(f"MODEL{COST}", "no model has a column with its cost beside the one with its score")
    return models


def _add(cells: Cells, place: Place, row: Row, models: list[str], *, sample_id: str, split: str | None) -> None:
    query = parse_text(turns(parse_text(row["prompt"], place, "prompt")), place, "prompt")
    dataset = parse_text(row["eval_name"], place, "eval_name")
    for model in models:
        cells.add(
            place,
            query_id=sample_id,
            query=query,
            model=model,
            score=parse_score(row[model], place, model),
            cost_usd=parse_amount(row.get(f"{model}{COST}"), place, f"{model}{COST}"),
            dataset=dataset,
            split=split,
        )


def turns(prompt: str) -> str:
    """The text of a prompt that is a spelled-out list of turns, one below the other; any other prompt as it is.

    >>> turns("['Hello.', \\"How's it?\\"]")
    "Hello.\\nHow's it?"
    >>> turns("[1, 2] is a list")
    '[1, 2] is a list'
    """
    if not prompt.startswith("["):
        return prompt
    try:
        parts = ast.literal_eval(prompt)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return prompt
    whole = isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts)
    return "\n".join(parts) if whole else prompt
