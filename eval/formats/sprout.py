"""SPROUT, the table of CARROT: one row a prompt, and per model a struct with its score and token counts.

The form is that which carrot/gen_sprout.py in somerstep/CARROT reads (load_dataset("CARROT-LLM-Routing/SPROUT")):
key, dataset, dataset_level, dataset_idx, prompt, golden_answer, and a column per model that holds {score,
num_input_tokens, num_output_tokens, response, judge_response}. The prices are those of carrot/constants.py
(`SPROUT_COSTS`), in dollars per million tokens; the source evaluates with them and has no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from eval.formats.cells import Cells, Imported, Place, parse_amount, parse_score, parse_text
from eval.formats.files import JSONL, PARQUET, Row, find_files, need, parquet_rows, split_of, text_rows

FORM = "sprout"
META = ("key", "dataset", "dataset_level", "dataset_idx", "prompt", "golden_answer")
LEAVES = ("score", "num_input_tokens", "num_output_tokens")
TOKENS_PER_MTOK = 1_000_000
WANTED = "SPROUT's Parquet or JSONL files, or a folder of such"
PRICES_USD_PER_MTOK = {
    "aws-claude-3-5-sonnet-v1": (3.0, 15.0),
    "aws-titan-text-premier-v1": (0.8, 3.2),
    "openai-gpt-4o": (2.5, 10.0),
    "openai-gpt-4o-mini": (0.15, 0.6),
    "wxai-granite-3-2b-instruct-8k-max-tokens": (0.1, 0.1),
    "wxai-granite-3-8b-instruct-8k-max-tokens": (0.2, 0.2),
    "wxai-llama-3-1-70b-instruct": (0.9, 0.9),
    "wxai-llama-3-1-8b-instruct": (0.2, 0.2),
    "wxai-llama-3-2-1b-instruct": (0.06, 0.06),
    "wxai-llama-3-2-3b-instruct": (0.06, 0.06),
    "wxai-llama-3-3-70b-instruct": (0.9, 0.9),
    "wxai-mixtral-8x7b-instruct-v01": (0.6, 0.6),
    "wxai-llama-3-405b-instruct": (3.5, 3.5),
}


def load(path: Path) -> Imported:
    """Read .parquet or .jsonl files; `split` comes from names such as `test-00000-of-00001.parquet`.

    Validation rows are train rows, as CARROT itself fits on both. `cost_usd` is computed from the token counts and the
    source's prices, and missing where it has no price. Answers, judgements and golden answers are dropped. Raises
    DataError for a row without key or prompt, and for a file without a column that holds structs with a score.
    """
    cells = Cells(FORM)
    unpriced: set[str] = set()
    for file in find_files(path, FORM, suffixes=(*PARQUET, *JSONL), wanted=WANTED):
        models: list[str] = []
        for place, row in _rows(file):
            need(row, place, ("key", "prompt"))
            models = _models(row, models)
            if not models:
                raise place.fault("MODEL", "no column holds objects with a `score`; wanted one such column per model")
            unpriced.update(model for model in models if model not in PRICES_USD_PER_MTOK)
            _add(cells, place, row, models, split_of(file))
    cells.notes.append("cost_usd is computed from token counts and the prices in CARROT's constants.py, not billed")
    cells.note(len(unpriced), "model has no price there: no cost", "models have no price there: no cost")
    return cells.imported(repeats="first")


def _rows(file: Path) -> Iterator[tuple[Place, Row]]:
    if file.suffix.lower() in PARQUET:
        return parquet_rows(file, FORM, keep=lambda leaf: leaf in META or leaf.rpartition(".")[2] in LEAVES)
    return text_rows(file, FORM)


def _models(row: Row, known: list[str]) -> list[str]:
    """The models named so far and those of this row: a model may be null where it did not answer."""
    return known + [
        name
        for name, cell in row.items()
        if name not in META and name not in known and isinstance(cell, dict) and "score" in cell
    ]


def _add(cells: Cells, place: Place, row: Row, models: list[str], split: str | None) -> None:
    query_id = parse_text(str(row["key"]) if isinstance(row["key"], int) else row["key"], place, "key")
    query = parse_text(row["prompt"], place, "prompt")
    dataset = None if row.get("dataset") is None else parse_text(row["dataset"], place, "dataset")
    for model in models:
        cell = row.get(model) or {}
        if not isinstance(cell, dict):
            raise place.fault(model, f"a {type(cell).__name__}, wanted an object with a `score`")
        tokens = [parse_amount(cell.get(leaf), place, f"{model}.{leaf}") for leaf in LEAVES[1:]]
        prices = PRICES_USD_PER_MTOK.get(model, (math.nan, math.nan))
        cells.add(
            place,
            query_id=query_id,
            query=query,
            model=model,
            score=parse_score(cell.get("score"), place, f"{model}.score"),
            cost_usd=(tokens[0] * prices[0] + tokens[1] * prices[1]) / TOKENS_PER_MTOK,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            dataset=dataset,
            split=split,
        )
