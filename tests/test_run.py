"""A run on disk: what is written is what is read, the same bytes every time, and nothing broken is taken for a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eval.replay import replay
from eval.run import Run, read_run, write_run
from router.dataset import Dataset
from router.errors import RunError
from router.pipeline import Router

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)

Rows = list[dict[str, Any]]  # Any: whatever JSON can hold


@pytest.fixture(scope="module")
def run(router: Router, small: Dataset) -> Run:
    few = replace(small, queries=small.split("test").queries[:12])
    return replay(router, few, split="test", seed=0, bundle="0123456789abcdef")


@pytest.fixture
def broken(run: Run, tmp_path: Path) -> Callable[[Callable[[Rows], None]], Path]:
    """Writes the run after a change of its rows: the header is row 0."""

    def write(change: Callable[[Rows], None]) -> Path:
        rows: Rows = [json.loads(line) for line in run.to_text().splitlines()]
        change(rows)
        path = tmp_path / "broken.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_a_run_that_was_written_is_read_back_the_same(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path / "a.jsonl")
    assert read_run(tmp_path / "a.jsonl") == run


def test_a_run_that_was_read_is_written_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path / "a.jsonl")
    write_run(read_run(tmp_path / "a.jsonl"), tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@settings(deadline=None, max_examples=40)
@given(text=TEXTS)
@example(text="a line\u2028and a paragraph\u2029separator")
def test_any_text_of_a_query_survives_the_disk(run: Run, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.jsonl"
    worded = replace(run, records=tuple(replace(record, text=text) for record in run.records))
    write_run(worded, path)
    assert read_run(path) == worded


def test_a_run_is_one_json_object_a_line_with_sorted_keys(run: Run) -> None:
    lines = run.to_text().split("\n")
    assert lines.pop() == ""
    assert [json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False) for line in lines] == lines


def test_every_probability_is_written_with_at_most_six_decimals(run: Run) -> None:
    written = [p for record in run.records for row in record.probabilities.values() for p in row]
    assert [round(p, 6) for p in written] == written


def test_what_was_measured_is_marked_as_simulated(run: Run) -> None:
    assert json.loads(run.to_text().split("\n")[0])["simulated"] is True


def test_rows_of_a_head_stand_in_the_order_of_its_labels(run: Run) -> None:
    first = run.records[0]
    columns = dict(zip(run.header.classes["domain"], run.probabilities("domain")[0], strict=True))
    assert columns == dict(zip(run.header.classes["domain"], first.probabilities["domain"], strict=True))


def test_a_record_without_a_label_is_not_among_the_labelled(run: Run) -> None:
    blank = replace(run.records[1], labels={**run.records[1].labels, "domain": None})
    index, y = replace(run, records=(run.records[0], blank, run.records[2])).labelled("domain")
    assert index.tolist() == [0, 2]
    assert [run.header.classes["domain"][j] for j in y] == [run.records[i].labels["domain"] for i in (0, 2)]


def test_a_head_that_nobody_labelled_has_no_positions(run: Run) -> None:
    blank = replace(run, records=tuple(replace(record, labels={}) for record in run.records))
    index, y = blank.labelled("domain")
    assert (index.tolist(), y.tolist()) == ([], [])


@pytest.mark.parametrize("line", ["{broken", "[]", "null", "{}", '{"query_id": "a", "surprise": 1}', "", "[" * 100_000])
def test_a_broken_line_is_named_by_file_and_number(run: Run, tmp_path: Path, line: str) -> None:
    lines = run.to_text().split("\n")
    lines[3] = line
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RunError, match=r"a\.jsonl, line 4: not a run .*weighbridge replay"):
        read_run(tmp_path / "a.jsonl")


def test_a_header_without_a_field_is_named_as_line_one(broken: Callable[..., Path]) -> None:
    path = broken(lambda rows: rows[0].pop("policy_hash"))
    with pytest.raises(RunError, match="line 1: not a run"):
        read_run(path)


def test_a_run_of_a_newer_schema_is_refused(broken: Callable[..., Path]) -> None:
    path = broken(lambda rows: rows[0].update(schema_version=2))
    with pytest.raises(RunError, match=r"schema 2 is newer than this version reads \(1\); update"):
        read_run(path)


def test_a_newer_header_is_refused_for_its_schema_not_for_its_new_fields(broken: Callable[..., Path]) -> None:
    path = broken(lambda rows: rows[0].update(schema_version=9, energy_wh=1.0))
    with pytest.raises(RunError, match="schema 9 is newer"):
        read_run(path)


def test_a_run_that_lost_its_last_line_is_refused(broken: Callable[..., Path]) -> None:
    path = broken(lambda rows: rows.pop())
    with pytest.raises(RunError, match="holds 11 records, its header says 12"):
        read_run(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["probabilities"].pop("domain"),
        lambda record: record["probabilities"]["domain"].pop(),
        lambda record: record["labels"].update(domain="casino"),
        lambda record: record.update(route="casino"),
        lambda record: record.update(true_route="casino"),
    ],
    ids=["a head is missing", "a column is missing", "unknown label", "unknown route", "unknown true route"],
)
def test_a_record_that_does_not_fit_its_header_is_refused(
    broken: Callable[..., Path], change: Callable[[dict[str, Any]], None]
) -> None:
    path = broken(lambda rows: change(rows[3]))
    with pytest.raises(RunError, match="line 4"):
        read_run(path)


def test_a_missing_run_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run; make one with `weighbridge replay"):
        read_run(tmp_path / "none.jsonl")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"7\n", b'"text"\n'])
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=r"a\.jsonl, line 1: not a run"):
        read_run(tmp_path / "a.jsonl")


def test_a_run_that_cannot_be_spelled_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    write_run(run, tmp_path / "a.jsonl")
    impossible = replace(run, records=(replace(run.records[0], confidence=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_run(impossible, tmp_path / "a.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert read_run(tmp_path / "a.jsonl") == run
