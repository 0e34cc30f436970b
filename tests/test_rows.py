"""One row becomes one query or the list of what is wrong with it, by file, line and field."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.card import Card
from router.errors import DataError
from router.rows import Fault, parse_map, parse_row, read_rows, text_problem
from router.types import MAX_TEXT_CHARS, Labels, Query

CARD = Card(name="toy", version="1", use="train", heads={"size": ("small", "large")}, also=("attic", "cellar"))
GOOD: Mapping[str, Any] = {"id": "q1", "text": "hello"}  # Any: whatever JSON can hold
AWKWARD = st.text("aé ,;\"'\n\u2028\u2029", min_size=1, max_size=8)
PRINTABLE = AWKWARD | st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


def parsed(row: Mapping[str, Any], *, strict: bool = True, **columns: str) -> Query | list[Fault]:
    return parse_row(row, line=7, card=CARD, columns=columns, strict=strict)


def rows_of(path: Path, content: str | bytes) -> list[tuple[int, Any]]:
    """Line and row, or line and the word "fault" where there is one."""
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return [(line, "fault" if isinstance(row, Fault) else row) for line, row in read_rows(path)]


def test_a_row_of_id_and_text_is_a_query_whose_labels_are_open() -> None:
    assert parsed(GOOD) == Query(query_id="q1", text="hello", labels=Labels(heads={"size": None}))


def test_every_field_lands_in_its_place() -> None:
    row = {**GOOD, "size": "large", "also": ["cellar"], "context": ["hi"], "language": "en", "persona": "p"}
    assert parsed({**row, "group": "g", "split": "test", "source": "s"}) == Query(
        query_id="q1",
        text="hello",
        labels=Labels(heads={"size": "large"}, also=("cellar",)),
        language="en",
        persona="p",
        group="g",
        split="test",
        source="s",
        context=("hi",),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("id", value) for value in (None, "", 7, "x" * 201, "a\x00", "a\ud800")],
        *[("text", value) for value in (None, "", " \t\n", 7, ["hello"], "a\x00b", "a\x1b[2J", "half \ud800")],
        *[("text", "x" * length) for length in (MAX_TEXT_CHARS + 1, 100_000)],
        *[("size", value) for value in ("medium", "Small", "", 3, True, ["small"], {"small": 1})],
        *[("also", value) for value in ("attic", ["roof"], [3], {"attic": 1}, [None])],
        *[("context", value) for value in ("hi", [""], ["a\x00"], [3], ["x" * 100_000])],
        *[("split", value) for value in ("validation", "TRAIN", "", 3)],
        *[(field, value) for field in ("language", "persona", "group", "source") for value in (3, ["x"], "a\ud800")],
        ("colour", "red"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_bad_value_is_a_fault_of_its_own_field_and_line(field: str, value: object) -> None:
    found = parsed({**GOOD, field: value})
    assert isinstance(found, list)
    assert {(fault.line, fault.field) for fault in found} == {(7, field)}


def test_all_that_is_wrong_with_a_row_is_said_at_once() -> None:
    found = parsed({"text": "", "size": "medium", "split": "dev", "also": ["roof", "attic", "loft"], "colour": 1})
    assert isinstance(found, list)
    assert sorted(fault.field for fault in found) == ["also", "also", "colour", "id", "size", "split", "text"]


def test_a_text_of_the_greatest_length_with_lines_and_tabs_is_a_query() -> None:
    text = "a\n\tb\r\n".ljust(MAX_TEXT_CHARS, "x")
    assert isinstance(parsed({**GOOD, "text": text}), Query)


def test_a_renamed_column_is_read_and_the_others_are_passed_over_where_the_file_is_not_ours() -> None:
    row = {"key": "q1", "prompt": "hello", "tokens": 3}
    assert parsed(row, strict=False, id="key", text="prompt") == parsed(GOOD)


def test_labels_are_checked_in_files_that_are_not_ours_as_well() -> None:
    found = parsed({**GOOD, "bigness": "medium"}, strict=False, size="bigness")
    assert isinstance(found, list)
    assert [fault.field for fault in found] == ["size"]


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(), max_size=12))
def test_a_text_has_no_problem_exactly_when_it_encodes_shows_something_and_holds_no_control(text: str) -> None:
    controls = {chr(code) for code in (*range(32), *range(127, 160))} - set("\n\r\t")
    encodes = text.encode("utf-8", "ignore").decode("utf-8") == text
    assert (text_problem(text) is None) == (bool(text.split()) and encodes and not controls & set(text))


def test_a_problem_is_named_by_its_place() -> None:
    assert text_problem("ab\x07") == "has the control character U+0007 at 2; wanted printable text"


@pytest.mark.parametrize(
    ("text", "columns"),
    [(None, {}), ("", {}), ("text=prompt", {"text": "prompt"}), ("text=a b,id=c=d", {"text": "a b", "id": "c=d"})],
)
def test_a_map_names_our_field_and_their_column(text: str | None, columns: dict[str, str]) -> None:
    assert parse_map(text) == columns


def test_a_blank_after_a_comma_is_no_part_of_a_fields_name() -> None:
    assert parse_map("text=prompt, id=key") == {"text": "prompt", "id": "key"}


@pytest.mark.parametrize("text", ["text", "text=", "=prompt", "text=a,id"])
def test_half_a_pair_in_a_map_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DataError, match="--map text=prompt,id=key"):
        parse_map(text)


def test_broken_lines_are_faults_in_their_place_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = ['{"id": "a"}', '{"id": "b"', "", "[1]", '"x"', '{"id": "c", "id": "d"}', "[" * 100_000, '{"id": "e"}']
    found = rows_of(tmp_path / "f.jsonl", "\n".join(lines))
    broken = [(line, "fault") for line in (2, 4, 5, 6, 7)]
    assert found == [(1, {"id": "a"}), *broken, (8, {"id": "e"})]


@pytest.mark.parametrize(
    "content", [b'\xef\xbb\xbf{"id": "a"}\n', b'{"id": "a"}\r\n', b'{"id": "a"}', b'\n{"id": "a"}']
)
def test_a_byte_order_mark_and_the_kind_of_line_end_do_not_matter(tmp_path: Path, content: bytes) -> None:
    assert [row for _, row in rows_of(tmp_path / "f.jsonl", content)] == [{"id": "a"}]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_a_text_does_not_end_the_line(tmp_path: Path, separator: str) -> None:
    text = f"one{separator}two"
    assert rows_of(tmp_path / "f.jsonl", f'{{"text": "{text}"}}') == [(1, {"text": text})]


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        list(read_rows(tmp_path / "none.jsonl"))


def test_a_directory_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_file_that_is_not_utf8_is_refused_by_its_first_wrong_byte(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="not UTF-8 at byte 4"):
        rows_of(tmp_path / f"f.{suffix}", b"caf" + b"e\xe9\n")


def test_a_ragged_row_is_a_fault_of_its_line(tmp_path: Path) -> None:
    found = rows_of(tmp_path / "f.csv", "id,text\na,one\nb\nc,two,three\nd,four\n")
    assert found == [(2, {"id": "a", "text": "one"}), (3, "fault"), (4, "fault"), (5, {"id": "d", "text": "four"})]


def test_an_empty_cell_is_null_and_also_is_cut_at_semicolons(tmp_path: Path) -> None:
    found = rows_of(tmp_path / "f.csv", "\ufeffid,size,also\na,,attic;cellar\nb,small,\n")
    rows = [{"id": "a", "size": None, "also": ["attic", "cellar"]}, {"id": "b", "size": "small", "also": None}]
    assert [row for _, row in found] == rows


def test_a_broken_row_of_a_csv_does_not_hide_what_is_wrong_after_it(tmp_path: Path) -> None:
    found = rows_of(tmp_path / "f.csv", 'id,text\na,"one"x\nb,two\nc\n')
    assert [line for line, row in found if row == "fault"] == [2, 4]


def test_a_quote_that_is_never_closed_is_a_fault(tmp_path: Path) -> None:
    assert [row for _, row in rows_of(tmp_path / "f.csv", 'id,text\na,"one\n')] == ["fault"]


def test_a_column_that_stands_twice_is_never_read_as_one(tmp_path: Path) -> None:
    found = rows_of(tmp_path / "f.csv", "id,text,text\na,first,second\n")
    assert [row for _, row in found] == ["fault"]


def test_a_csv_is_known_by_its_name_in_capitals_too(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "F.CSV", "id,text\na,one\n") == [(2, {"id": "a", "text": "one"})]


@settings(deadline=None, max_examples=50)
@example(texts=["one\u2028two"], quoted=False)
@given(texts=st.lists(PRINTABLE, min_size=1, max_size=4), quoted=st.booleans())
def test_texts_come_out_of_a_csv_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], quoted: bool
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([["id", "text"], *([str(i), text] for i, text in enumerate(texts))])
    found = rows_of(tmp_path_factory.getbasetemp() / "round.csv", file.getvalue())
    assert [row for _, row in found] == [{"id": str(i), "text": text} for i, text in enumerate(texts)]
