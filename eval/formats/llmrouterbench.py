"""LLMRouterBench's result folders: one JSON file per dataset, split and model, with a record per query.

The form is that of data_collector/storage.py (`ResultsStorage.save_result`) and the section "Result File Structure"
of README.md in ynulihao/LLMRouterBench: results/bench/<dataset>/<split>/<model>/<dataset>-<split>-<model>-<time>.json
with model_name, dataset_name, split, demo and records (index, origin_query, prompt, score, cost, prompt_tokens,
completion_tokens, ...). Which file of several counts, and that the query is `prompt`, is as in baselines/data_loader.py
and baselines/adaptors there.
"""

from __future__ import annotations

import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from eval.formats.cells import Cells, Imported, Place, parse_amount, parse_score, parse_text
from eval.formats.files import Row, find_files, need, parse_json
from router.errors import DataError

FORM = "llmrouterbench"
ARCHIVES = (".gz", ".tgz", ".tar")
TIME = re.compile(r"(\d{8}_\d{6})\.json$")
WANTED = "LLMRouterBench's `bench` folder, its bench-release.tar.gz, or one result file"
Key = tuple[str, str, str]
FIELDS = ("index", "score", "cost", "prompt_tokens", "completion_tokens")


def load(path: Path) -> Imported:
    """Read the result files of a folder or of the packed release (nothing is unpacked), or one file.

    Of several files for one dataset, split and model the latest counts; trial runs (`demo`) are passed over. The id is
    dataset/split/index; the source's split names a part of the benchmark, not train or test, and goes no further. A
    cost of 0 means that none was recorded, a negative token count the same. Raises DataError for a broken file.
    """
    cells = Cells(FORM)
    latest: dict[Key, tuple[str, str, list[Row]]] = {}
    same: dict[str, str] = {}  # every model's file repeats the queries: equal texts share one object
    passed = {"demo": 0, "older": 0, "other": 0}
    for name, content in _documents(path):
        document = parse_json(content, source=name, form=FORM)
        if not isinstance(document, dict) or not isinstance(document.get("records"), list):
            passed["other"] += 1
        elif document.get("demo"):
            passed["demo"] += 1
        else:
            key = _key(document, name)
            stamp = _stamp(name)
            passed["older"] += key in latest
            if key not in latest or (stamp, name) > latest[key][:2]:
                latest[key] = (stamp, name, [_kept(record, name, same) for record in document["records"]])
    for key in sorted(latest):
        _add(cells, key, *latest[key][1:])
    cells.note(
        passed["older"], "result file was passed over for a later one", "result files were passed over for later ones"
    )
    cells.note(passed["demo"], "trial run was passed over", "trial runs were passed over")
    cells.note(
        passed["other"], "JSON file without records was passed over", "JSON files without records were passed over"
    )
    return cells.imported()


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        yield from _packed(path)
        return
    for file in find_files(path, FORM, suffixes=(".json",), wanted=WANTED):
        yield str(file), file.read_bytes()


def _packed(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.name.endswith(".json") else None
                if file is not None:
                    yield f"{path}:{member.name}", file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as err:
        raise DataError(
            f"{path}: cannot be read as a tar archive ({err}). Fetch it again: `weighbridge data fetch llmrouterbench`."
        ) from err


def _stamp(name: str) -> str:
    found = TIME.search(name)
    return found.group(1) if found else ""


def _key(document: Row, name: str) -> Key:
    """Dataset, split and model: from the document, else (as in the first releases) from the folders it lies in."""
    folders = PurePosixPath(name.replace("\\", "/")).parts[-4:-1]
    place = Place(form=FORM, file=name, number=1, unit="record")
    named = [document.get(field) for field in ("dataset_name", "split", "model_name")]
    if all(part is None for part in named) and len(folders) == 3:
        named = list(folders)
    fields = ("dataset_name", "split", "model_name")
    dataset, split, model = (parse_text(part, place, field) for part, field in zip(named, fields, strict=True))
    return dataset, split, model


def _kept(record: object, name: str, same: dict[str, str]) -> Row:
    """A record with its query and without its answer: the release holds gigabytes of those.

    The query is what the model was asked; messages and other structures are spelled out as JSON, as the source does.
    """
    if not isinstance(record, dict):
        raise DataError(f"{name}: `records` holds a {type(record).__name__}, wanted objects. Fetch the file again.")
    query: Any = record.get("prompt") or record.get("origin_query")
    if isinstance(query, list | dict):
        query = json.dumps(query, ensure_ascii=False)
    kept = {field: record[field] for field in FIELDS if field in record}
    return {**kept, "prompt": same.setdefault(query, query) if isinstance(query, str) else query}


def _add(cells: Cells, key: Key, name: str, records: list[Row]) -> None:
    dataset, split, model = key
    for number, record in enumerate(records, start=1):
        place = Place(form=FORM, file=name, number=number, unit="record")
        need(record, place, ("index", "score"))
        cells.add(
            place,
            query_id=f"{dataset}/{split}/{record['index']}",
            query=parse_text(record["prompt"], place, "prompt"),
            model=model,
            score=parse_score(record["score"], place, "score"),
            cost_usd=parse_amount(record.get("cost"), place, "cost") or math.nan,
            input_tokens=_tokens(record.get("prompt_tokens"), place, "prompt_tokens"),
            output_tokens=_tokens(record.get("completion_tokens"), place, "completion_tokens"),
            dataset=dataset,
        )


def _tokens(value: object, place: Place, field: str) -> float:
    if isinstance(value, int | float) and value < 0:
        return math.nan
    return parse_amount(value, place, field)
