"""A data set is read whole or refused, and its fingerprint says which one it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.card import Card, card_from_mapping, card_to_mapping, read_card
from router.dataset import Dataset, find_card, load_dataset, scan_all, write_queries
from router.errors import DataError
from router.types import Labels, Query

CARD_TEXT = """
name = "toy"
version = "1"
use = "train"
[heads.size]
labels = ["small", "large"]
[also]
labels = ["attic", "cellar"]
"""
CARD = Card(name="toy", version="1", use="train", heads={"size": ("small", "large")}, also=("attic", "cellar"))
TEXT = (
    st.text('aé "\\\n\t\u2028', min_size=1, max_size=8)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
).filter(str.strip)
Put = Callable[..., Path]
WORD = st.none() | st.sampled_from(["a", "b", "é"])


@st.composite
def queries_of(draw: st.DrawFn) -> tuple[Query, ...]:
    """One to five queries with every field filled or left open."""
    return tuple(
        Query(
            query_id=f"q{i}",
            text=draw(TEXT),
            labels=Labels(
                heads={"size": draw(st.sampled_from([None, "small", "large"]))},
                also=draw(st.sampled_from([(), ("attic",), ("cellar", "attic")])),
            ),
            language=draw(WORD),
            persona=draw(WORD),
            group=draw(WORD),
            source=draw(WORD),
            split=draw(st.sampled_from([None, "train", "test"])),
            context=tuple(draw(st.lists(TEXT, max_size=2))),
        )
        for i in range(draw(st.integers(1, 5)))
    )


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write the toy card and files of queries into one directory, and give the directory."""

    def write(**files: str) -> Path:
        (tmp_path / "card.toml").write_text(CARD_TEXT, encoding="utf-8")
        for name, content in files.items():
            (tmp_path / f"{name}.jsonl").write_text(content, encoding="utf-8")
        return tmp_path

    return write


def line(query_id: str, text: str = "hello", more: str = "") -> str:
    return f'{{"id": "{query_id}", "text": "{text}"{more}}}\n'


def test_the_files_of_a_directory_are_read_in_the_order_of_their_names(put: Put) -> None:
    data = load_dataset(put(**{"queries-2": line("c"), "queries-1": line("a") + line("b"), "notes": "not ours"}))
    assert [query.query_id for query in data.queries] == ["a", "b", "c"]


@settings(deadline=None, max_examples=50)
@given(queries=queries_of())
def test_queries_written_and_read_are_the_same_queries(
    tmp_path_factory: pytest.TempPathFactory, queries: tuple[Query, ...]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.jsonl"
    path.write_bytes(write_queries(queries).encode("utf-8"))
    assert load_dataset(path, default_card=CARD) == Dataset(card=CARD, queries=queries)


def test_an_id_that_stands_twice_is_refused_with_both_places(put: Put) -> None:
    files = {"queries-1": line("a") + line("b"), "queries-2": "\n" + line("b", "other")}
    with pytest.raises(DataError, match=r"-2\.jsonl, line 2, field 'id': .*'b', first in queries-1\.jsonl on line 2"):
        load_dataset(put(**files))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (line("a") + "{oops\n", "line 2, field '-': not a JSON object"),
        (line("a") + line("b", "x", ', "size": "medium"'), "line 2, field 'size': unknown label 'medium'"),
        (line("a", " "), "line 1, field 'text': is empty"),
        (line("a", "x" * 100_000), "line 1, field 'text': has 100,000 characters"),
        (line("a", r"\u0000"), r"line 1, field 'text': has the control character U\+0000"),
        (line("a", r"\ud800"), r"line 1, field 'text': has the lone surrogate U\+D800"),
        (line("a", "x", ', "colour": 1'), "line 1, field 'colour': unknown field"),
    ],
    ids=lambda value: value[-30:],
)
def test_a_fault_is_refused_by_file_line_and_field_with_the_next_command(put: Put, content: str, message: str) -> None:
    data = put(queries=content)
    with pytest.raises(DataError, match=rf"queries\.jsonl, {message}.*`weighbridge data check {data}`"):
        load_dataset(data)


def test_the_fault_that_stands_first_in_the_file_is_named_and_the_others_counted(put: Put) -> None:
    data = put(queries=line("a") + line("a") + "{oops\n[1]\n")
    with pytest.raises(DataError, match=r"line 2, field 'id': .*\(2 more\)"):
        load_dataset(data)


def test_a_scan_gives_the_good_queries_beside_all_faults(put: Put) -> None:
    data = put(queries="{oops\n" + line("a") + line("a") + line("b", ""))
    queries, faults = scan_all([data / "queries.jsonl"], CARD)
    assert [query.query_id for query in queries] == ["a"]
    assert {(path.name, fault.line) for path, fault in faults} == {("queries.jsonl", n) for n in (1, 3, 4)}


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_a_query_is_refused(put: Put, content: str) -> None:
    with pytest.raises(DataError, match="holds no query"):
        load_dataset(put(queries=content))


def test_a_directory_without_queries_is_refused_by_the_files_name(put: Put) -> None:
    with pytest.raises(DataError, match=r"queries\.jsonl: no such file"):
        load_dataset(put())


def test_data_that_is_not_there_is_refused_with_a_set_that_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or directory.*--data datasets/pam-v1"):
        load_dataset(tmp_path / "none")


def test_a_csv_with_other_names_for_columns_is_read_through_a_map(put: Put) -> None:
    path = put() / "theirs.csv"
    path.write_text("key,prompt,model,size\n7,hello,gpt,small\n", encoding="utf-8")
    found = load_dataset(path, columns={"id": "key", "text": "prompt"})
    assert found.queries == (Query(query_id="7", text="hello", labels=Labels(heads={"size": "small"})),)


def test_further_desks_of_a_csv_are_cut_at_semicolons_under_any_columns_name(put: Put) -> None:
    path = put() / "theirs.csv"
    path.write_text("id,text,desks\na,hello,attic;cellar\n", encoding="utf-8")
    (found,) = load_dataset(path, columns={"also": "desks"}).queries
    assert found.labels.also == ("attic", "cellar")


@settings(deadline=None, max_examples=25)
@given(queries=queries_of(), data=st.data())
def test_the_order_of_rows_does_not_change_the_fingerprint(queries: tuple[Query, ...], data: st.DataObject) -> None:
    shuffled = tuple(data.draw(st.permutations(queries)))
    prints = {Dataset(card=CARD, queries=order).fingerprint() for order in (queries, shuffled)}
    assert len(prints) == 1


def test_any_changed_field_changes_the_fingerprint() -> None:
    start = Query(query_id="a", text="x")
    fields = ("query_id", "text", "language", "persona", "group", "split", "source")
    changes: list[dict[str, Any]] = [{name: "y"} for name in fields]  # Any: the fields differ in type
    changes += [{"context": ("y",)}, {"labels": Labels(also=("attic",))}, {"labels": Labels(heads={"size": "small"})}]
    prints = {Dataset(card=CARD, queries=(replace(start, **change),)).fingerprint() for change in ({}, *changes)}
    assert len(prints) == 1 + len(changes)


def test_a_query_without_a_group_is_its_own() -> None:
    data = Dataset(card=CARD, queries=(Query(query_id="a", text="x", group="g"), Query(query_id="b", text="y")))
    assert data.groups == ["g", "b"]


def test_a_split_that_the_set_does_not_have_is_empty() -> None:
    assert len(Dataset(card=CARD, queries=(Query(query_id="a", text="x"),)).split("test")) == 0


def test_the_card_given_wins_over_the_one_beside_which_wins_over_the_default(put: Put, tmp_path: Path) -> None:
    data, other = put(queries=line("a")), replace(CARD, name="default")
    (tmp_path / "mine.toml").write_text(CARD_TEXT.replace("toy", "mine"), encoding="utf-8")
    given_card = find_card(data, card=tmp_path / "mine.toml", default=other).name
    beside = find_card(data, default=other).name
    (data / "card.toml").unlink()
    assert [given_card, beside, find_card(data, default=other).name] == ["mine", "toy", "default"]


def test_data_without_any_card_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text(line("a"), encoding="utf-8")
    with pytest.raises(DataError, match=r"card\.toml: no such file.*--card FILE"):
        load_dataset(tmp_path)


def test_a_card_survives_the_form_that_a_bundle_carries() -> None:
    assert card_from_mapping(card_to_mapping(CARD), where="x") == CARD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('use = "train"', 'use = "maybe"'),
        ('use = "train"', ""),
        ('["small", "large"]', '["small"]'),
        ('["small", "large"]', '["small", "small"]'),
        ('["small", "large"]', '"small"'),
        ('["attic", "cellar"]', '"attic"'),
        ("[heads.size]", "[head.size]"),
        ("[heads.size]", "[size]"),
        ("[heads.size]\nlabels", "heads"),
        ("name =", "name "),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_by_its_files_name(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "card.toml").write_text(CARD_TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"card\.toml"):
        read_card(tmp_path / "card.toml")


def test_a_set_for_evaluation_only_is_refused_where_something_would_be_fitted() -> None:
    with pytest.raises(DataError, match="evaluation only, so `train` must not"):
        replace(CARD, use="evaluation-only").require_trainable("train")
