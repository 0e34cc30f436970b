"""RouterArena's prediction files: which model a router chose for a query, what it answered, and how well. Evaluation only.

The form is that of router_inference/predictions/<router>.json in RouteWorks/RouterArena, as written by
router_inference/generate_prediction_file.py and filled in by llm_inference/run.py and llm_evaluation/run.py: a list of
{"global index", "prompt", "prediction", "generated_result": {"token_usage", "success", ...}, "cost", "accuracy",
"for_optimality"}. Its entries marked `for_optimality` hold what other models did with the same query.
"""

from __future__ import annotations

import math
from pathlib import Path

from eval.formats.cells import Cells, Imported, Place, parse_amount, parse_score, parse_text
from eval.formats.files import Row, find_files, need, parse_json
from router.errors import DataError

FORM = "routerarena"
USE = "evaluation-only"
WANTED = "a prediction file of RouterArena, or a folder of such"


def load(path: Path) -> Imported:
    """Read a prediction file or a folder of them; every row is marked `use = evaluation-only`.

    An entry that was not judged has no score; a cost of 0 without any token means that none was recorded. A query that
    several routers sent to one model keeps the first file's cell. Answers are dropped. Raises DataError for an entry
    without index, prompt or prediction, and for a file in which nothing was judged.
    """
    cells = Cells(FORM)
    for file in find_files(path, FORM, suffixes=(".json",), wanted=WANTED):
        entries = parse_json(file.read_bytes(), source=str(file), form=FORM)
        if not isinstance(entries, list):
            raise DataError(f"{file}: a JSON {type(entries).__name__}, wanted a list of predictions: {WANTED}.")
        for number, entry in enumerate(entries, start=1):
            place = Place(form=FORM, file=str(file), number=number, unit="record")
            if not isinstance(entry, dict):
                raise place.fault("-", f"a {type(entry).__name__}, wanted an object")
            _add(cells, place, entry)
    return cells.imported(repeats="first")


def _add(cells: Cells, place: Place, entry: Row) -> None:
    need(entry, place, ("prediction",))
    index = parse_text(entry.get("global index") or entry.get("global_index"), place, "global index")
    result = entry.get("generated_result")
    usage = result.get("token_usage") if isinstance(result, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    tokens = [parse_amount(usage.get(field), place, field) for field in ("input_tokens", "output_tokens")]
    cost = parse_amount(entry.get("cost"), place, "cost")
    cells.add(
        place,
        query_id=index,
        query=parse_text(entry.get("prompt") or entry.get("prompt_formatted"), place, "prompt"),
        model=parse_text(entry["prediction"], place, "prediction"),
        score=parse_score(entry.get("accuracy"), place, "accuracy"),
        cost_usd=cost if cost > 0 or any(count > 0 for count in tokens) else math.nan,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        dataset=index.rpartition("_")[0] or None,
        use=USE,
    )
