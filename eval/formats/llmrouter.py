"""The LLMRouter project's routing data: JSONL, one row per query and model.

The form is that of llmrouter/data/README.md ("Routing Data JSONL") and llmrouter/data/api_calling_evaluation.py in
ulab-uiuc/LLMRouter: task_name, query, ground_truth, metric, choices, task_id, model_name, response, token_num,
input_tokens, output_tokens, response_time (seconds), performance (0 to 1), embedding_id.
"""

from __future__ import annotations

import math
from pathlib import Path

from eval.formats.cells import Cells, Imported, Place, parse_amount, parse_score, parse_text
from eval.formats.files import JSONL, Row, find_files, need, split_of, text_rows

FORM = "llmrouter"
FAILED = ("ERROR", "API Error")  # how a response begins whose call failed; the source then writes 0 everywhere
MS_PER_S = 1_000.0
IDENTITY = ("task_name", "query", "ground_truth", "metric", "choices")
WANTED = "LLMRouter's routing data (default_routing_train_data.jsonl and its like), or a folder of such"


def load(path: Path) -> Imported:
    """Read a .jsonl file or a folder of them; `split` comes from names such as `default_routing_test_data.jsonl`.

    The id is task_name.n, where n is the row's embedding_id, or else the rank of its (task, query, truth, metric,
    choices) among all. A call that failed has no score, no tokens and no latency: it is missing, not wrong. Answers
    are dropped; the source records no cost. Raises DataError for a row without query, model_name or performance.
    """
    cells = Cells(FORM)
    ranks: dict[tuple[str, ...], int] = {}
    failed = 0
    for file in find_files(path, FORM, suffixes=JSONL, wanted=WANTED):
        for place, row in text_rows(file, FORM):
            need(row, place, ("query", "model_name", "performance"))
            identity = tuple(str(row.get(field)) for field in IDENTITY)
            number = row.get("embedding_id")
            if number is None:
                number = f"q{ranks.setdefault(identity, len(ranks))}"
            failed += _add(cells, place, row, number=str(number), split=split_of(file))
    cells.note(failed, "call had failed: its cell is missing", "calls had failed: their cells are missing")
    return cells.imported(repeats="first")


def _add(cells: Cells, place: Place, row: Row, *, number: str, split: str | None) -> bool:
    """Take one row; say whether its call had failed."""
    task = parse_text(row["task_name"], place, "task_name") if row.get("task_name") is not None else "task"
    failed = str(row.get("response", "")).startswith(FAILED)

    def amount(field: str) -> float:
        return math.nan if failed else parse_amount(row.get(field), place, field)

    cells.add(
        place,
        query_id=f"{task}.{number}",
        query=parse_text(row["query"], place, "query"),
        model=parse_text(row["model_name"], place, "model_name"),
        score=math.nan if failed else parse_score(row["performance"], place, "performance"),
        input_tokens=amount("input_tokens"),
        output_tokens=amount("output_tokens"),
        latency_ms=amount("response_time") * MS_PER_S,
        dataset=None if row.get("task_name") is None else task,
        split=split,
    )
    return failed
