"""Outcome tables are read alike from Parquet, CSV and JSONL, and every fault is named by file, row and field."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import DataError
from router.outcome_cells import check_cells
from router.outcome_files import FIELDS, looks_like_outcomes, read_long
from router.outcome_rows import read_outcomes
from router.outcomes import PER_CELL
from router.rows import parse_map

SUFFIXES = ("jsonl", "csv", "parquet")
Row = Mapping[str, Any]  # Any: whatever a cell can hold


def write(path: Path, rows: Sequence[Row]) -> Path:
    """The rows in the form of the path's suffix; CSV spells a null as an empty cell, JSONL leaves it out."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".jsonl":
        lines = (json.dumps({name: cell for name, cell in row.items() if cell is not None}) for row in rows)
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({name: "" if cell is None else cell for name, cell in row.items()} for row in rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    return path


def row(query: str = "q1", model: str = "a", score: object = 1.0, **more: object) -> Row:
    return {"query_id": query, "query": f"text of {query}", "model": model, "score": score, **more}


CALLS: Mapping[str, Row] = {
    "dear": {"score": 1.0, "cost_usd": 0.5, "input_tokens": 7, "output_tokens": 9, "latency_ms": 12.5},
    "cheap": {"score": 0.25, "cost_usd": 0.125, "input_tokens": 7, "output_tokens": None, "latency_ms": 3.5},
}
GRID: list[Row] = [
    {**row(f"q{i}", model), "query": f"text {i}, “quoted”\nwith lines", **call, "score": call["score"] * i / 2}
    for i in range(3)
    for model, call in CALLS.items()
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_cell_lands_in_its_place_and_the_cheaper_model_comes_first(tmp_path: Path, suffix: str) -> None:
    grid = [{**entry, "dataset": "maths", "split": "test"} for entry in GRID]
    outcomes, findings = read_outcomes(write(tmp_path / f"t.{suffix}", grid))
    assert outcomes.name == "t"
    assert outcomes.ids == ("q0", "q1", "q2")
    assert outcomes.texts[2] == "text 2, “quoted”\nwith lines"
    assert outcomes.models == ("cheap", "dear")
    assert outcomes.score.tolist() == [[0.0, 0.0], [0.125, 0.5], [0.25, 1.0]]
    assert outcomes.cost_usd.tolist() == [[0.125, 0.5]] * 3
    assert outcomes.input_tokens.tolist() == [[7.0, 7.0]] * 3
    assert np.isnan(outcomes.output_tokens[:, 0]).all()
    assert outcomes.output_tokens[:, 1].tolist() == [9.0] * 3
    assert outcomes.latency_ms.tolist() == [[3.5, 12.5]] * 3
    assert outcomes.dataset == ("maths",) * 3
    assert outcomes.split == ("test",) * 3
    assert findings.entries == ()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_the_file_does_not_say_is_missing_and_never_zero(tmp_path: Path, suffix: str) -> None:
    rows = [row("q1", "a", 1.0, cost_usd=None), row("q1", "b", None, cost_usd=0.0), row("q2", "b", 0.0, cost_usd=0.5)]
    outcomes, _ = read_outcomes(write(tmp_path / f"t.{suffix}", rows))
    assert outcomes.models == ("b", "a")
    np.testing.assert_array_equal(outcomes.score, [[np.nan, 1.0], [0.0, np.nan]])
    np.testing.assert_array_equal(outcomes.cost_usd, [[0.0, np.nan], [0.5, np.nan]])
    assert np.isnan(outcomes.latency_ms).all()
    assert outcomes.dataset == outcomes.split == (None, None)


NAMES = st.sampled_from(["gpt", "Ünï/4", 'a"b', "x,y", "7"])
AMOUNTS = st.none() | st.floats(0, 1e9, allow_subnormal=False) | st.integers(0, 10**9)


@st.composite
def grids(draw: st.DrawFn) -> list[Row]:
    """Rows of some queries and models with cells that any of the three forms can hold."""
    models = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    rows: list[Row] = []
    for i in range(draw(st.integers(1, 4))):
        query = {
            "query_id": f"q{i}",
            "query": draw(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=9)),
            "dataset": draw(st.none() | st.sampled_from(["maths", "law, civil"])),
            "split": draw(st.none() | st.sampled_from(["train", "calibration", "test"])),
        }
        for model in models:
            amounts = {field: draw(AMOUNTS) for field in PER_CELL if field != "score"}
            rows.append({**query, "model": model, "score": draw(st.floats(0, 1)), **amounts})
    return rows


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=grids(), seed=st.integers(0, 99))
def test_the_form_of_the_file_and_the_order_of_its_rows_change_nothing(
    tmp_path: Path, rows: list[Row], seed: int
) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    tables = [read_outcomes(write(tmp_path / f"t.{suffix}", rows))[0] for suffix in SUFFIXES]
    tables += [read_outcomes(write(tmp_path / f"t.{suffix}", shuffled))[0] for suffix in SUFFIXES]
    assert len({table.fingerprint() for table in tables}) == 1
    first = tables[0]
    for table in tables[1:]:
        assert (table.ids, table.texts, table.models) == (first.ids, first.texts, first.models)
        assert (table.dataset, table.split) == (first.dataset, first.split)
        assert table.unit.tolist() == first.unit.tolist()
        for field in PER_CELL:
            np.testing.assert_array_equal(getattr(table, field), getattr(first, field))


def test_a_row_that_leaves_the_dataset_open_agrees_with_the_one_that_names_it(tmp_path: Path) -> None:
    rows = [row("q1", "a", dataset=None), row("q1", "b", dataset="maths"), row("q1", "c", dataset=None)]
    assert read_outcomes(write(tmp_path / "t.jsonl", rows))[0].dataset == ("maths",)


def test_the_error_names_the_first_three_faults_their_number_and_the_command_that_lists_all(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [row(f"q{i}", score=2 if i % 2 else 1) for i in range(12)])
    with pytest.raises(DataError) as caught:
        read_outcomes(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: 6 faults: line 3, field 'score': is '2'; wanted a number in [0, 1]")
    assert [word for word in ("line 5", "line 7", "line 9") if word in said] == ["line 5", "line 7"]
    assert said.endswith(f"; and 3 more. List all with `weighbridge data check {path}`.")


def test_a_fault_in_a_csv_is_counted_in_lines_and_one_in_parquet_in_rows(tmp_path: Path) -> None:
    rows = [{**row("q1"), "query": "two\nlines"}, row("q2", score=1.5)]
    with pytest.raises(DataError, match="1 fault: line 4, field 'score'"):
        read_outcomes(write(tmp_path / "t.csv", rows))
    with pytest.raises(DataError, match=r"1 fault: row 2, field 'score': is 1\.5"):
        read_outcomes(write(tmp_path / "t.parquet", rows))


def test_a_line_that_cannot_be_read_is_a_fault_among_the_others(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f"{json.dumps(row('q1'))}\n{{broken\n{json.dumps(row('q2', score=3))}\n", encoding="utf-8")
    found = check_cells(read_long(path))[1]
    assert [(fault.line, fault.field) for fault in found] == [(2, "-"), (3, "score")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_column_is_refused_with_those_there_are_and_the_way_to_name_it(tmp_path: Path, suffix: str) -> None:
    rows = [{"query_id": "q1", "prompt": "hello", "model": "a", "score": 1.0}]
    with pytest.raises(DataError, match=r"no column query; it has .*'prompt'.*`--map query=YOURS`"):
        read_outcomes(write(tmp_path / f"t.{suffix}", rows))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_their_columns_are_read_under_our_names(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": 3, "prompt": "hello", "llm": "a", "correct": True, "score": 9.0}]
    columns = parse_map("query_id=id,query=prompt,model=llm,score=correct")
    outcomes, findings = read_outcomes(write(tmp_path / f"t.{suffix}", rows), columns=columns)
    assert (outcomes.ids, outcomes.texts, outcomes.models) == (("3",), ("hello",), ("a",))
    assert outcomes.score.tolist() == [[1.0]]
    assert findings.sentences[-1] == "1 column is none of ours and passed over: 'score'."


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("mapped", "said"), [({"price": "cost_usd"}, "'price', which is no field"), ({"split": "part"}, "split=part")]
)
def test_a_mapped_name_that_either_side_lacks_is_refused(
    tmp_path: Path, suffix: str, mapped: dict[str, str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read_outcomes(write(tmp_path / f"t.{suffix}", [row()]), columns=mapped)


def test_a_table_without_any_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no score of any model is known"):
        read_outcomes(write(tmp_path / "t.csv", [row("q1", "a", None), row("q1", "b", None)]))


def test_only_the_chosen_models_are_read_and_the_others_do_not_count(tmp_path: Path) -> None:
    rows = [row("q1", "a", 1.0), row("q1", "b", 0.0), row("q1", "mute", None), row("q2", "a", 0.0), row("q2", "b", 0.5)]
    path = write(tmp_path / "t.jsonl", rows)
    with pytest.raises(DataError, match=r"no score of mute is known.*`--models a,b`"):
        read_outcomes(path)
    outcomes, findings = read_outcomes(path, models=["b", "a"])
    assert outcomes.models == ("b", "a")
    assert [entry.rule for entry in findings.entries] == ["missing-cost"]
    with pytest.raises(DataError, match="no model 'z'"):
        read_outcomes(path, models=["z"])


@pytest.mark.parametrize("spelt", [True, "true", "TRUE", 1, "1", 1.0])
def test_a_query_is_left_out_where_any_of_its_rows_is_contaminated(tmp_path: Path, spelt: object) -> None:
    rows = [row("q1", "a", contaminated=None), row("q1", "b", contaminated=spelt), row("q2", "a"), row("q2", "b", 0.0)]
    outcomes, findings = read_outcomes(write(tmp_path / "t.jsonl", rows))
    assert outcomes.ids == ("q2",)
    assert findings.count("contaminated") == 1


def test_a_table_of_contaminated_queries_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all 2 queries are marked contaminated"):
        read_outcomes(write(tmp_path / "t.csv", [row("q1", contaminated=True), row("q2", contaminated="1")]))


def test_one_row_for_evaluation_only_closes_the_whole_table(tmp_path: Path) -> None:
    rows = [row("q1", use="train"), row("q2", use=None), row("q3", use="evaluation-only")]
    outcomes, findings = read_outcomes(write(tmp_path / "t.csv", rows))
    assert outcomes.use == "evaluation-only"
    assert findings.count("evaluation-only") == 3
    with pytest.raises(DataError, match="must not fit"):
        outcomes.require_trainable("compare")


def test_without_all_costs_models_come_from_the_worst_to_the_best_and_ties_by_name(tmp_path: Path) -> None:
    scores = {"z": (0.5, 0.5), "b": (1.0, 0.0), "a": (0.0, 1.0), "low": (0.0, 0.25)}
    rows = [row(f"q{i}", model, pair[i]) for model, pair in scores.items() for i in (0, 1)]
    rows[0] = {**rows[0], "cost_usd": 0.001}
    assert read_outcomes(write(tmp_path / "t.csv", rows))[0].models == ("low", "a", "b", "z")


def test_costs_that_add_up_to_the_same_in_another_order_tie(tmp_path: Path) -> None:
    costs = (0.1, 0.2, 0.3)
    assert 0.1 + 0.2 + 0.3 > 0.3 + 0.2 + 0.1  # for a machine that adds as it goes
    rows = [row(f"q{i}", "a", cost_usd=cost) for i, cost in enumerate(costs)]
    rows += [row(f"q{i}", "b", cost_usd=cost) for i, cost in enumerate(reversed(costs))]
    assert read_outcomes(write(tmp_path / "t.parquet", rows))[0].models == ("a", "b")


def test_equal_texts_are_one_unit(tmp_path: Path) -> None:
    rows = [{**row(f"q{i}"), "query": text} for i, text in enumerate(["Hi  you", "other", "hi you"])]
    assert read_outcomes(write(tmp_path / "t.jsonl", rows))[0].unit.tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.jsonl"])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such file"):
        read_outcomes(tmp_path / name)


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.csv.gz"])
def test_another_suffix_is_refused_with_those_that_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"wanted \.parquet, \.csv or \.jsonl"):
        read_outcomes(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", "holds no row"),
        ("t.csv", b"query_id,query,model,score\n", "holds no row"),
        ("t.csv", b"query_id,query,model,score,score\na,b,c,1,0\n", "stands twice"),
        ("t.csv", b"query_id,query,model,score\n\xe9,b,c,1\n", "not UTF-8 at byte 27"),
        ("t.jsonl", b"\n\n", "holds no row"),
        ("t.jsonl", b"[1]\n", "wanted an object"),
        ("t.parquet", b"PAR1 or so", "cannot be read as Parquet"),
        ("t.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_holds_no_table_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_outcomes(tmp_path / name)


def test_a_parquet_table_without_rows_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [(name, pa.string() if name != "score" else pa.float64()) for name in FIELDS[:4]]
    pq.write_table(pa.schema(fields).empty_table(), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="holds no row"):
        read_outcomes(tmp_path / "t.parquet")


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.array([cell]) for cell in ("q", "text", "a", 1.0, 0.0)]
    pq.write_table(pa.table(arrays, names=["query_id", "query", "model", "score", "score"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="'score' stands twice"):
        read_outcomes(tmp_path / "t.parquet")


def test_coded_texts_decimals_and_small_numbers_of_a_parquet_file_are_read(tmp_path: Path) -> None:
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    coded = pa.array(["a", "b", "a"]).dictionary_encode()
    columns = {
        "query_id": pa.array([1, 1, 2], pa.int32()),
        "query": pa.array(["x", "x", "y"], pa.large_string()),
        "model": coded,
        "score": pa.array([True, False, None]),
        "cost_usd": pa.array([Decimal("0.25"), Decimal("0.50"), Decimal("0.75")]),
        "latency_ms": pa.array([float("nan"), 1.0, 2.0], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet", row_group_size=2)
    outcomes, _ = read_outcomes(tmp_path / "t.parquet")
    assert (outcomes.ids, outcomes.models) == (("1", "2"), ("a", "b"))
    np.testing.assert_array_equal(outcomes.score, [[1.0, 0.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(outcomes.cost_usd, [[0.25, 0.5], [0.75, np.nan]])
    np.testing.assert_array_equal(outcomes.latency_ms, [[np.nan, 1.0], [2.0, np.nan]])


def test_a_folder_that_is_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "split=test"
    folder.mkdir()
    assert read_outcomes(write(folder / "t.parquet", [row()]))[0].split == (None,)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_looks_like_outcomes_when_its_header_has_a_model_and_a_score(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t.{suffix}", [row()])
    assert looks_like_outcomes(path)
    assert not looks_like_outcomes(path, columns={"score": "correct"})
    labelled = write(tmp_path / f"l.{suffix}", [{"id": "1", "text": "hi", "model": "x"}])
    assert not looks_like_outcomes(labelled)
    assert looks_like_outcomes(labelled, columns={"score": "text"})


def test_a_null_score_or_a_broken_line_at_the_head_does_not_hide_an_outcome_table(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("{broken\n" + '{"query_id": "q", "model": "a"}\n' + json.dumps(row()) + "\n", encoding="utf-8")
    assert looks_like_outcomes(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", b""), ("t.csv", b"\xff\xfe"), ("t.parquet", b"no"), ("t.jsonl", b"[1]"), ("t.txt", b"model,score")],
)
def test_what_cannot_be_read_does_not_look_like_outcomes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert not looks_like_outcomes(tmp_path / name)


def test_neither_a_folder_nor_a_missing_file_looks_like_outcomes(tmp_path: Path) -> None:
    assert not looks_like_outcomes(tmp_path)
    assert not looks_like_outcomes(tmp_path / "none.csv")
