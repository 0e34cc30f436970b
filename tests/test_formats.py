"""Other people's outcome files come out in the long form, cell by cell; what is broken is refused by file, row and field."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
import tarfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.formats import FORMATS, load, read
from eval.formats.cells import Cells, Place, parse_amount, parse_score
from eval.formats.routerbench import turns
from eval.formats.written import write_table
from router.errors import DataError

Rows = list[dict[str, Any]]  # Any: whatever JSON can hold
HERE = Place(form="routellm", file="f.csv", number=3)


def write_csv(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def cells(frame: pd.DataFrame, column: str) -> dict[tuple[str, str], Any]:
    """(query_id, model) to a cell; NaN as None, so that two tables can be compared."""
    values = [None if pd.isna(value) else value for value in frame[column]]
    return dict(zip(zip(frame["query_id"], frame["model"], strict=True), values, strict=True))


# --- one cell


@pytest.mark.parametrize(
    ("value", "score"),
    [(True, 1.0), ("False", 0.0), ("true", 1.0), (1, 1.0), ("0.25", 0.25), (1.0000000000000004, 1.0), (-1e-12, 0.0)],
)
def test_a_score_is_a_truth_or_a_number_from_0_to_1(value: object, score: float) -> None:
    assert parse_score(value, HERE, "m") == score


@pytest.mark.parametrize("value", [None, "", "  ", "nan", "NaN", "null", "None", math.nan])
def test_an_empty_cell_is_missing_and_not_0(value: object) -> None:
    assert math.isnan(parse_score(value, HERE, "m"))
    assert math.isnan(parse_amount(value, HERE, "m"))


@pytest.mark.parametrize("value", [1.001, -0.01, 85, "85", "yes", math.inf, "inf", [], {}, 10**400, "1_0", b"1"])
def test_a_score_on_another_scale_is_refused_by_file_row_and_field(value: object) -> None:
    with pytest.raises(DataError, match=r"f\.csv, line 3, field 'm': .* again\.$"):
        parse_score(value, HERE, "m")


@pytest.mark.parametrize("value", [-1, "-0.5", math.inf, True, "12 dollars"])
def test_an_amount_is_not_negative_and_finite(value: object) -> None:
    with pytest.raises(DataError, match="line 3, field 'cost'"):
        parse_amount(value, HERE, "cost")


def test_a_refused_cell_is_not_printed_at_length() -> None:
    with pytest.raises(DataError) as refused:
        parse_score("a secret of great length " * 100, HERE, "m")
    assert len(str(refused.value)) < 250


# --- a table


def add(table: Cells, query_id: str, model: str, score: float, **more: Any) -> None:  # Any: the optional cells
    row = len(table) + 1
    table.add(
        Place(form="sprout", file="f", number=row),
        **{"query_id": query_id, "query": f"text of {query_id}", "model": model, "score": score, **more},
    )


def test_queries_stand_together_in_the_order_of_their_first_appearance() -> None:
    table = Cells("sprout")
    for query_id, model in [("b", "x"), ("a", "x"), ("b", "y"), ("a", "y")]:
        add(table, query_id, model, 1.0)
    frame = table.imported().frame
    assert list(zip(frame["query_id"], frame["model"], strict=True)) == [
        ("b", "x"),
        ("b", "y"),
        ("a", "x"),
        ("a", "y"),
    ]
    assert list(frame.index) == [0, 1, 2, 3]


def test_a_column_that_nobody_filled_is_left_out() -> None:
    table = Cells("sprout")
    add(table, "a", "x", 0.5, cost_usd=0.0)
    assert list(table.imported().frame) == ["query_id", "query", "model", "score", "cost_usd"]


def test_a_cell_that_stands_twice_is_refused_where_it_stands() -> None:
    table = Cells("sprout")
    for _ in range(2):
        add(table, "a", "x", 1.0)
    with pytest.raises(DataError, match="f, line 2, field 'model': 'x' answered query 'a' already"):
        table.imported()
    kept = table.imported(repeats="first")
    assert len(kept.frame) == 1
    assert kept.notes == ("1 repeated cell was dropped: the first stands",)


def test_an_id_with_two_texts_is_refused_even_where_repeats_are_not() -> None:
    table = Cells("sprout")
    add(table, "a", "x", 1.0)
    add(table, "a", "x", 1.0, query="another text")
    with pytest.raises(DataError, match="line 2, field 'query': query 'a' has another text"):
        table.imported(repeats="first")


def test_a_query_in_train_and_test_keeps_its_test_rows_only() -> None:
    table = Cells("sprout")
    add(table, "a", "x", 1.0, split="train")
    add(table, "b", "x", 1.0, split="train")
    add(table, "a", "x", 0.0, split="test")
    result = table.imported()
    assert cells(result.frame, "split") == {("a", "x"): "test", ("b", "x"): "train"}
    assert cells(result.frame, "score")["a", "x"] == 0.0
    assert result.notes == ("1 query stood in train and in test: its test rows were kept",)


def test_a_table_without_rows_and_one_without_scores_are_refused() -> None:
    table = Cells("sprout")
    with pytest.raises(DataError, match="no rows were found"):
        table.imported()
    add(table, "a", "x", math.nan)
    with pytest.raises(DataError, match="no row of the table has one"):
        table.imported()


# --- RouterBench

WIDE = {
    "": "20693",
    "sample_id": "mbpp.dev.1",
    "prompt": "['Write a function.']",
    "eval_name": "mbpp",
    "gpt-4": 1.0,
    "gpt-4.1": 0.25,
    "gpt-4|model_response": "['def f(): ...']",
    "gpt-4.1|model_response": "['pass']",
    "gpt-4|total_cost": 0.0109,
    "gpt-4.1|total_cost": "",
    "oracle_model_to_route_to": "gpt-4",
}


def test_routerbench_csv_gives_a_cell_per_model_with_its_cost(tmp_path: Path) -> None:
    frame = read("routerbench", write_csv(tmp_path / "mbpp_test.csv", [WIDE]))
    assert list(frame) == ["query_id", "query", "model", "score", "cost_usd", "dataset", "split"]
    assert cells(frame, "score") == {("mbpp.dev.1", "gpt-4"): 1.0, ("mbpp.dev.1", "gpt-4.1"): 0.25}
    assert cells(frame, "cost_usd") == {("mbpp.dev.1", "gpt-4"): 0.0109, ("mbpp.dev.1", "gpt-4.1"): None}
    assert set(frame["query"]) == {"Write a function."}
    assert (set(frame["dataset"]), set(frame["split"])) == ({"mbpp"}, {"test"})


def test_routerbench_parquet_and_csv_give_the_same_table(tmp_path: Path) -> None:
    rows = [WIDE, {**WIDE, "sample_id": "mbpp.dev.2", "gpt-4": 0.0}]
    by_csv = read("routerbench", write_csv(tmp_path / "all.csv", rows))
    typed = [{**row, "gpt-4.1|total_cost": None} for row in rows]
    pd.DataFrame(typed).to_parquet(tmp_path / "all.parquet")
    pd.testing.assert_frame_equal(read("routerbench", tmp_path / "all.parquet"), by_csv)


def test_routerbench_keeps_the_first_row_of_an_id_and_a_test_row_before_a_train_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "mbpp_train.csv", [{**WIDE, "gpt-4": 0.0}, {**WIDE, "sample_id": "only.train"}])
    write_csv(tmp_path / "mbpp_test.csv", [WIDE, {**WIDE, "gpt-4": 0.5}])
    result = load("routerbench", tmp_path)
    assert cells(result.frame, "score")["mbpp.dev.1", "gpt-4"] == 1.0
    assert cells(result.frame, "split") == {
        ("mbpp.dev.1", "gpt-4"): "test",
        ("mbpp.dev.1", "gpt-4.1"): "test",
        ("only.train", "gpt-4"): "train",
        ("only.train", "gpt-4.1"): "train",
    }
    assert result.notes == ("2 rows repeat a sample_id: the first stands",)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("['one']", "one"),
        ("['one', 'two']", "one\ntwo"),
        ('["it\'s\\n"]', "it's\n"),
        ("[broken", "[broken"),
        ("[]", "[]"),
        ("[1]", "[1]"),
        ("plain", "plain"),
        ("[" * 10_000, "[" * 10_000),
    ],
)
def test_a_prompt_is_its_turns_one_below_the_other(prompt: str, text: str) -> None:
    assert turns(prompt) == text


def test_a_pickle_is_refused_unread_with_the_way_around(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "routerbench_0shot.pkl").write_bytes(pickle.dumps(Bomb()))
    for path in (tmp_path / "routerbench_0shot.pkl", tmp_path):
        with pytest.raises(DataError, match=r"never opened here.*write it as Parquet"):
            read("routerbench", path)
    assert not (tmp_path / "ran").exists()


def test_routerbench_refuses_a_score_outside_0_and_1_by_file_row_and_model(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "wide.csv", [WIDE, {**WIDE, "sample_id": "x", "gpt-4.1": 7}])
    with pytest.raises(DataError, match=r"wide\.csv, line 3, field 'gpt-4\.1': '7', wanted a number from 0 to 1"):
        read("routerbench", path)


def test_a_wide_table_without_models_or_without_ids_is_refused_by_the_field(tmp_path: Path) -> None:
    bare = {"sample_id": "a", "prompt": "p", "eval_name": "e", "gpt-4": 1}
    with pytest.raises(DataError, match=r"MODEL\|total_cost"):
        read("routerbench", write_csv(tmp_path / "bare.csv", [bare]))
    with pytest.raises(DataError, match="field 'sample_id'"):
        read("routerbench", write_csv(tmp_path / "other.csv", [{"prompt": "p", "x": 1}]))


# --- RouteLLM


def mmlu(folder: Path) -> Path:
    columns = ("prompt", "mixtral-8x7b", "gpt-4-1106-preview")
    rows = [("Q0, with a comma\nA. 1", True, True), ("nan", False, True), ("Q2", "", False)]
    write_csv(folder / "mmlu/responses/mmlu_astronomy.csv", [dict(zip(columns, row, strict=True)) for row in rows])
    write_csv(folder / "mmlu/responses/mmlu_virology.csv", [dict(zip(columns, ("V", False, True), strict=True))])
    write_jsonl(folder / "mmlu/contaminated_prompts.jsonl", [{"train_prompt": "v", "eval_prompt": "V", "eval_idx": 9}])
    return folder


def test_routellm_folders_give_subjects_ids_and_contaminated_rows(tmp_path: Path) -> None:
    mmlu(tmp_path)
    gsm8k = {"prompt": "G", "mixtral-8x7b": True, "gpt-4-1106-preview": True, "mixtral-8x7b_response": "42"}
    write_csv(tmp_path / "gsm8k/gsm8k_responses.csv", [gsm8k])
    write_csv(tmp_path / "custom/notes.csv", [{"prompt": "not a table", "x": "y"}])
    frame = read("routellm", tmp_path)
    assert cells(frame, "score") == {
        ("gsm8k.0", "mixtral-8x7b"): 1.0,
        ("gsm8k.0", "gpt-4-1106-preview"): 1.0,
        ("astronomy.0", "mixtral-8x7b"): 1.0,
        ("astronomy.0", "gpt-4-1106-preview"): 1.0,
        ("astronomy.1", "mixtral-8x7b"): 0.0,
        ("astronomy.1", "gpt-4-1106-preview"): 1.0,
        ("astronomy.2", "mixtral-8x7b"): None,
        ("astronomy.2", "gpt-4-1106-preview"): 0.0,
        ("virology.0", "mixtral-8x7b"): 0.0,
        ("virology.0", "gpt-4-1106-preview"): 1.0,
    }
    marks = cells(frame, "contaminated")
    assert (marks["virology.0", "mixtral-8x7b"], marks["astronomy.0", "mixtral-8x7b"]) == (True, False)
    assert marks["gsm8k.0", "mixtral-8x7b"] is None  # no list lies beside that table
    assert set(frame["dataset"]) == {"gsm8k", "astronomy", "virology"}
    assert "nan" in set(frame["query"])  # a text, not a missing one
    assert "cost_usd" not in frame


def test_one_table_of_routellm_finds_its_list_above_the_responses(tmp_path: Path) -> None:
    mmlu(tmp_path)
    frame = read("routellm", tmp_path / "mmlu/responses/mmlu_virology.csv")
    assert frame["contaminated"].dtype == bool
    assert frame["contaminated"].tolist() == [True, True]


def test_routellm_refuses_a_row_without_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mmlu_x\.csv, line 2, field 'prompt': is missing or blank"):
        read("routellm", write_csv(tmp_path / "mmlu_x.csv", [{"prompt": "", "m": True}]))
    with pytest.raises(DataError, match="field 'MODEL'"):
        read("routellm", write_csv(tmp_path / "mmlu_y.csv", [{"prompt": "p"}]))


def test_a_row_with_too_few_cells_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "mmlu_x.csv").write_text("prompt,m\nQ,True\nQ\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3, field '-': has more or fewer cells"):
        read("routellm", tmp_path)


def test_a_folder_without_the_tables_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "other.csv", [{"prompt": "p", "m": True}])
    with pytest.raises(DataError, match=r"no mmlu_\*\.csv"):
        read("routellm", tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read("routellm", tmp_path / "absent")


# --- LLMRouterBench


def bench_file(root: Path, *, model: str, stamp: str, records: Rows, **more: Any) -> Path:  # Any: JSON's values
    content = {
        "model_name": model,
        "dataset_name": "aime",
        "split": "hybrid",
        "demo": False,
        "records": records,
        **more,
    }
    return write_json(root / f"bench/aime/hybrid/{model}/aime-hybrid-{model}-{stamp}.json", content)


def record(index: int, score: float | None, **more: Any) -> dict[str, Any]:  # Any: JSON's values
    return {
        "index": index,
        "origin_query": f"question {index}",
        "prompt": f"Solve: question {index}",
        "score": score,
        "cost": 0.002,
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prediction": "7",
        "raw_output": "so 7",
        **more,
    }


def bench(root: Path) -> Path:
    bench_file(root, model="gpt-5", stamp="20251001_000000", records=[record(1, 0.0)])
    bench_file(root, model="gpt-5", stamp="20251109_101112", records=[record(1, 1.0), record(2, None)])
    bench_file(root, model="gpt-5", stamp="20260101_000000", records=[record(1, 0.0)], demo=True)
    free = [record(1, 1.0, cost=0.0, prompt_tokens=-1), record(2, 0.5, cost=0)]
    bench_file(root, model="qwen3-8b", stamp="20251109_101112", records=free)
    write_json(root / "bench/summary.json", {"gpt-5": 0.5})
    return root / "bench"


def test_llmrouterbench_takes_the_latest_true_run_of_each_model(tmp_path: Path) -> None:
    result = load("llmrouterbench", bench(tmp_path))
    frame = result.frame
    assert cells(frame, "score") == {
        ("aime/hybrid/1", "gpt-5"): 1.0,
        ("aime/hybrid/1", "qwen3-8b"): 1.0,
        ("aime/hybrid/2", "gpt-5"): None,
        ("aime/hybrid/2", "qwen3-8b"): 0.5,
    }
    assert set(frame["query"]) == {"Solve: question 1", "Solve: question 2"}
    assert cells(frame, "cost_usd")["aime/hybrid/1", "gpt-5"] == 0.002
    assert cells(frame, "cost_usd")["aime/hybrid/1", "qwen3-8b"] is None  # 0 stands where none was recorded
    assert cells(frame, "input_tokens")["aime/hybrid/1", "qwen3-8b"] is None
    assert "split" not in frame  # the source's splits are not train and test
    assert result.notes == (
        "1 result file was passed over for a later one",
        "1 trial run was passed over",
        "1 JSON file without records was passed over",
    )


def test_the_packed_release_of_llmrouterbench_gives_the_same_table(tmp_path: Path) -> None:
    folder = bench(tmp_path)
    with tarfile.open(tmp_path / "bench-release.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="bench-release")
    packed = read("llmrouterbench", tmp_path / "bench-release.tar.gz")
    pd.testing.assert_frame_equal(packed, read("llmrouterbench", folder))


def test_a_result_file_without_names_takes_them_from_its_folders(tmp_path: Path) -> None:
    path = write_json(tmp_path / "bench/gpqa/test/glm/20250101_000000.json", {"records": [record(4, 1.0)]})
    assert cells(read("llmrouterbench", path), "score") == {("gpqa/test/4", "glm"): 1.0}


def test_llmrouterbench_refuses_an_index_whose_text_differs_between_models(tmp_path: Path) -> None:
    bench_file(tmp_path, model="a", stamp="20250101_000000", records=[record(1, 1.0)])
    bench_file(tmp_path, model="b", stamp="20250101_000000", records=[record(1, 1.0, prompt="reshuffled")])
    with pytest.raises(DataError, match="record 1, field 'query': query 'aime/hybrid/1' has another text"):
        read("llmrouterbench", tmp_path)


def test_llmrouterbench_refuses_broken_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"records": [\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json, line 2: not JSON"):
        read("llmrouterbench", tmp_path)
    (tmp_path / "b.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        read("llmrouterbench", tmp_path / "b.tar.gz")
    truncated = io.BytesIO()
    with tarfile.open(fileobj=truncated, mode="w:gz") as archive:
        archive.add(bench(tmp_path), arcname="bench")
    (tmp_path / "c.tar.gz").write_bytes(truncated.getvalue()[:-200])
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        read("llmrouterbench", tmp_path / "c.tar.gz")


def test_llmrouterbench_names_the_record_of_a_bad_score(tmp_path: Path) -> None:
    bench_file(tmp_path, model="a", stamp="20250101_000000", records=[record(1, 1.0), record(2, 85.0)])
    with pytest.raises(DataError, match=r"20250101_000000\.json, record 2, field 'score': 85\.0"):
        read("llmrouterbench", tmp_path)


# --- LLMRouter


def routing(model: str, performance: float | None, **more: Any) -> dict[str, Any]:  # Any: JSON's values
    return {
        "task_name": "gsm8k",
        "query": "How many apples?",
        "ground_truth": "2",
        "metric": "GSM8K",
        "choices": None,
        "task_id": None,
        "model_name": model,
        "response": "2",
        "token_num": 453,
        "input_tokens": 449,
        "output_tokens": 4,
        "response_time": 1.75,
        "performance": performance,
        "embedding_id": 42,
        "user_id": None,
        **more,
    }


def test_llmrouter_seconds_become_milliseconds_and_failed_calls_are_missing(tmp_path: Path) -> None:
    failure = {"input_tokens": 0, "output_tokens": 0, "response_time": 0, "response": "API Error: timeout"}
    rows = [routing("small", 0.5), routing("large", 0.0, **failure)]
    result = load("llmrouter", write_jsonl(tmp_path / "default_routing_test_data.jsonl", rows))
    frame = result.frame
    assert cells(frame, "score") == {("gsm8k.42", "small"): 0.5, ("gsm8k.42", "large"): None}
    assert cells(frame, "latency_ms") == {("gsm8k.42", "small"): 1750.0, ("gsm8k.42", "large"): None}
    assert cells(frame, "input_tokens") == {("gsm8k.42", "small"): 449.0, ("gsm8k.42", "large"): None}
    assert set(frame["split"]) == {"test"}
    assert "cost_usd" not in frame
    assert result.notes == ("1 call had failed: its cell is missing",)


def test_llmrouter_queries_without_an_embedding_id_are_told_apart_by_what_they_ask(tmp_path: Path) -> None:
    rows = [
        routing("a", 1.0, embedding_id=None),
        routing("a", 0.0, embedding_id=None, query="How many pears?"),
        routing("b", 1.0, embedding_id=None),
    ]
    frame = read("llmrouter", write_jsonl(tmp_path / "routing.jsonl", rows))
    assert cells(frame, "score") == {("gsm8k.q0", "a"): 1.0, ("gsm8k.q0", "b"): 1.0, ("gsm8k.q1", "a"): 0.0}


def test_llmrouter_refuses_a_row_without_its_query(tmp_path: Path) -> None:
    bare = {"task_name": "gsm8k", "model_name": "m", "performance": 0.5}  # a table of means, not of queries
    with pytest.raises(DataError, match=r"r\.jsonl, line 1, field 'query'"):
        read("llmrouter", write_jsonl(tmp_path / "r.jsonl", [bare]))


# --- SPROUT

GPT = "openai-gpt-4o-mini"  # $0.15 and $0.60 per million tokens, by the source


def sprout_row(key: str, **models: Any) -> dict[str, Any]:  # Any: JSON's values
    return {
        "key": key,
        "dataset": "math",
        "dataset_level": 3,
        "prompt": f"Prove {key}.",
        "golden_answer": "7",
        **models,
    }


def answer(score: float | None, tokens: tuple[int, int]) -> dict[str, Any]:  # Any: JSON's values
    return {
        "score": score,
        "num_input_tokens": tokens[0],
        "num_output_tokens": tokens[1],
        "response": "long",
        "judge_response": "good",
    }


def test_sprout_jsonl_gives_costs_by_the_sources_prices(tmp_path: Path) -> None:
    first = sprout_row("k1", **{GPT: answer(0.5, (1000, 2000)), "new-model": answer(1.0, (10, 20))})
    second = sprout_row("k2", **{GPT: answer(None, (1, 1)), "new-model": None})
    result = load("sprout", write_jsonl(tmp_path / "validation.jsonl", [first, second]))
    frame = result.frame
    assert cells(frame, "score") == {
        ("k1", GPT): 0.5,
        ("k1", "new-model"): 1.0,
        ("k2", GPT): None,
        ("k2", "new-model"): None,
    }
    cost = cells(frame, "cost_usd")
    assert cost["k1", GPT] == pytest.approx(1000 * 0.15e-6 + 2000 * 0.60e-6)
    assert cost["k1", "new-model"] is None
    assert cells(frame, "output_tokens")["k1", "new-model"] == 20.0
    assert set(frame["split"]) == {"train"}  # CARROT fits on validation, too
    assert "1 model has no price there: no cost" in result.notes


def test_sprout_parquet_and_jsonl_give_the_same_table(tmp_path: Path) -> None:
    rows = [
        sprout_row("k1", **{GPT: answer(0.5, (10, 20)), "a.b-1.5": answer(1.0, (10, 20))}),
        sprout_row("k2", **{GPT: answer(0.0, (30, 40)), "a.b-1.5": answer(None, (5, 6))}),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    by_jsonl = read("sprout", write_jsonl(tmp_path / "x" / "test.jsonl", rows))
    pd.testing.assert_frame_equal(read("sprout", tmp_path / "test-00000-of-00001.parquet"), by_jsonl)


def test_sprout_refuses_a_table_without_scored_objects(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="field 'MODEL'"):
        read("sprout", write_jsonl(tmp_path / "s.jsonl", [sprout_row("k1", gpt=1.0)]))
    (tmp_path / "s.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read("sprout", tmp_path / "s.parquet")


# --- RouterArena


def prediction(index: str, model: str, accuracy: float | None, **more: Any) -> dict[str, Any]:  # Any: JSON's values
    return {
        "global index": index,
        "prompt": f"Question {index}",
        "prediction": model,
        "generated_result": {
            "generated_answer": "A",
            "success": True,
            "token_usage": {"input_tokens": 97, "output_tokens": 43, "total_tokens": 140},
        },
        "cost": 2.5e-05,
        "accuracy": accuracy,
        "for_optimality": False,
        **more,
    }


def test_routerarena_rows_are_all_marked_evaluation_only(tmp_path: Path) -> None:
    unjudged = {"generated_result": None, "cost": None}
    entries = [
        prediction("ArcMMLU_655", "gpt-4o-mini", 0.0),
        prediction("ArcMMLU_655", "gemini", 1.0, for_optimality=True, cost=0, generated_result=""),
        prediction("Geo_Bench_1", "gemini", None, **unjudged),
    ]
    frame = read("routerarena", write_json(tmp_path / "my-router.json", entries))
    assert set(frame["use"]) == {"evaluation-only"}
    assert cells(frame, "score") == {
        ("ArcMMLU_655", "gpt-4o-mini"): 0.0,
        ("ArcMMLU_655", "gemini"): 1.0,
        ("Geo_Bench_1", "gemini"): None,
    }
    assert cells(frame, "cost_usd") == {
        ("ArcMMLU_655", "gpt-4o-mini"): 2.5e-05,
        ("ArcMMLU_655", "gemini"): None,  # 0 without a token is no cost
        ("Geo_Bench_1", "gemini"): None,
    }
    assert cells(frame, "output_tokens")["ArcMMLU_655", "gpt-4o-mini"] == 43.0
    assert cells(frame, "dataset")["Geo_Bench_1", "gemini"] == "Geo_Bench"


def test_routerarena_refuses_what_nobody_judged_and_what_is_no_list(tmp_path: Path) -> None:
    path = write_json(tmp_path / "unjudged.json", [prediction("A_1", "m", None)])
    with pytest.raises(DataError, match="record 1, field 'score': no row of the table has one"):
        read("routerarena", path)
    with pytest.raises(DataError, match="a JSON dict, wanted a list"):
        read("routerarena", write_json(tmp_path / "object.json", {"a": 1}))
    with pytest.raises(DataError, match="record 1, field 'prediction'"):
        read("routerarena", write_json(tmp_path / "bare.json", [{"global index": "A_1", "prompt": "q"}]))


# --- all of them


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_importer_refuses_an_empty_folder_a_missing_path_and_a_foreign_suffix(form: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.docx").write_text("x", encoding="utf-8")
    for path in (tmp_path / "empty", tmp_path / "absent", tmp_path / "notes.docx"):
        with pytest.raises(DataError, match="wanted"):
            read(form, path)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_importer_says_which_file_of_which_repository_its_form_is_from(form: str) -> None:
    told = import_module(f"eval.formats.{form}").__doc__ or ""
    assert "The form is that" in told
    assert "/" in told


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=f"'routebench' is no format; wanted one of {', '.join(FORMATS)}"):
        read("routebench", Path())


def test_half_of_a_surrogate_pair_is_refused_because_no_file_could_hold_it(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(routing("m", 1.0, query="a \ud800 b")), encoding="utf-8")
    with pytest.raises(DataError, match="field 'query': character 2 is half of a surrogate pair"):
        read("llmrouter", tmp_path)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_written_table_reads_back_the_same_with_its_missing_cells(suffix: str, tmp_path: Path) -> None:
    mmlu(tmp_path)
    frame = read("routellm", tmp_path)
    frame.loc[0, "query"] = 'two\rlines, a "quote" and ü'
    out = tmp_path / f"table{suffix}"
    write_table(frame, out)
    first = out.read_bytes()
    write_table(frame, out)
    assert out.read_bytes() == first
    if suffix == ".parquet":
        again = pd.read_parquet(out)
    elif suffix == ".csv":
        with out.open(newline="", encoding="utf-8") as file:
            again = pd.DataFrame(list(csv.DictReader(file)))
        again["score"] = [float(score) if score else math.nan for score in again["score"]]
    else:
        again = pd.DataFrame([json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()])
    assert cells(again, "score") == cells(frame, "score")
    assert cells(again, "query") == cells(frame, "query")


SCORES = st.lists(st.lists(st.none() | st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=5)


@settings(deadline=None, max_examples=40)
@given(scores=SCORES)
def test_whatever_the_scores_the_wide_table_loses_none_and_makes_up_none(
    scores: list[list[float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [
        {**WIDE, "sample_id": f"q{i}", "gpt-4": "" if a is None else a, "gpt-4.1": "" if b is None else b}
        for i, (a, b) in enumerate(scores)
    ]
    path = write_csv(tmp_path_factory.mktemp("wide") / "wide.csv", rows)
    if all(cell is None for row in scores for cell in row):
        with pytest.raises(DataError, match="no row of the table has one"):
            read("routerbench", path)
        return
    expected = {
        (f"q{i}", model): cell
        for i, row in enumerate(scores)
        for model, cell in zip(("gpt-4", "gpt-4.1"), row, strict=True)
    }
    assert cells(read("routerbench", path), "score") == expected
