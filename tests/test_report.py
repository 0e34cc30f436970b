"""The report is one page: whole, self-contained, the same bytes every time, and safe to open whatever was asked."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from eval.compare import Bench, baseline_run, leaderboard
from eval.replay import replay
from eval.report import render, write_report
from eval.run import Run
from router.dataset import Dataset
from router.encoders.hashing import HashingEncoder
from router.pipeline import Router
from router.routes import RouteTable
from router.training import splits_for_training

VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = """<script>alert("x")</script><img src=http://evil.example/a.png onerror='y'> & "quotes" """
SECTIONS = [
    "Against other routers",
    "Routes",
    "The threshold",
    "Do the probabilities mean what they say?",
    "What is taken for what",
    "By language",
    "Where the errors are",
    "The worst errors",
]

Board = dict[str, Any]  # Any: whatever JSON can hold


class Page(HTMLParser):
    """What a browser would see: tags that do not match, references, texts and headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[tuple[str, str]] = []  # (innermost tag, text)
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def headings(self) -> list[str]:
        return [text for tag, text in self.texts if tag == "h2"]


@pytest.fixture(scope="module")
def run(router: Router, small: Dataset) -> Run:
    return replay(router, small.split("test"), split="test", seed=0, bundle="0123456789abcdef")


@pytest.fixture(scope="module")
def board(run: Run, small: Dataset, table: RouteTable) -> Board:
    bench = Bench(
        splits=splits_for_training(small),
        test=small.split("test"),
        table=table,
        encoder=HashingEncoder(),
        lexicon=None,
        seed=0,
    )
    return leaderboard(run, [baseline_run("majority", bench)])


@pytest.fixture(scope="module")
def page(run: Run, board: Board) -> Page:
    return Page(render(run, board=board))


def wrong_about(run: Run, text: str) -> Run:
    """The first queries are all asked in the same words, and all sent astray."""
    astray = [replace(record, text=text, true_route="chat", route="trip", confidence=1.0) for record in run.records[:5]]
    return replace(run, records=(*astray, *run.records[5:]))


def test_every_tag_is_closed_in_its_turn(page: Page) -> None:
    assert (page.unbalanced, page.open) == ([], [])


def test_the_page_has_all_its_sections_in_order(page: Page) -> None:
    assert page.headings() == SECTIONS


def test_a_page_without_a_comparison_has_the_other_sections(run: Run) -> None:
    assert Page(render(run)).headings() == SECTIONS[1:]


def test_nothing_in_the_page_comes_from_elsewhere(run: Run, board: Board, page: Page) -> None:
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"}
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "xlink:href", "data", "action"}
    assert not re.search(r"https?:|//[a-z]|@import|url\(", render(run, board=board))


def test_no_attribute_runs_anything(page: Page) -> None:
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_forbids_itself_to_load_anything(page: Page) -> None:
    assert any(name == "content" and "default-src 'none'" in (value or "") for name, value in page.attributes)


def test_the_same_run_gives_the_same_bytes(run: Run, board: Board, tmp_path: Path) -> None:
    write_report(run, tmp_path / "a.html", board=board)
    write_report(run, tmp_path / "b.html", board=board)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_hostile_text_is_shown_and_not_obeyed(run: Run) -> None:
    html = render(wrong_about(run, HOSTILE))
    seen = Page(html)
    assert escape(HOSTILE) in html
    assert ("td", HOSTILE) in seen.texts
    assert not seen.tags & {"script", "img"}


@pytest.mark.parametrize("field", ["router", "bundle", "dataset", "split", "fingerprint", "policy_hash", "price_date"])
def test_a_hostile_header_is_shown_and_not_obeyed(run: Run, field: str) -> None:
    forged: Any = {field: "<script>x"}  # Any: what a file may hold in any field
    assert "script" not in Page(render(replace(run, header=replace(run.header, **forged)))).tags


def test_a_hostile_label_is_shown_and_not_obeyed(run: Run) -> None:
    labels = ['<script>"', *run.header.classes["domain"][1:]]
    renamed = replace(run, header=replace(run.header, classes={**run.header.classes, "domain": labels}))
    moved = [
        replace(record, labels={**record.labels, "domain": '<script>"'})
        if record.labels["domain"] == run.header.classes["domain"][0]
        else record
        for record in run.records
    ]
    seen = Page(render(replace(renamed, records=tuple(moved))))
    assert ("th", '<script>"') in seen.texts
    assert "script" not in seen.tags


def test_a_text_with_markup_breaks_no_tag(run: Run) -> None:
    seen = Page(render(wrong_about(run, "</td></table></main><p>")))
    assert (seen.unbalanced, seen.open) == ([], [])


def test_the_number_of_wrong_routes_is_the_run_s(run: Run, page: Page) -> None:
    wrong = sum(record.true_route not in (None, record.route) for record in run.records)
    assert ("summary", f"route: {wrong:,} wrong") in page.texts


def test_the_surest_error_stands_first(run: Run) -> None:
    texts = Page(render(wrong_about(run, "surely astray"))).texts
    errors = texts[texts.index(("h2", "The worst errors")) :]
    assert next(text for tag, text in errors if tag == "td") == "surely astray"


def test_cost_and_latency_are_marked_as_simulated(page: Page) -> None:
    assert [text for tag, text in page.texts if tag == "span" and text == "simulated"] == ["simulated"] * 3


def test_ours_is_told_apart_from_the_other_routers(page: Page) -> None:
    names = {text for tag, text in page.texts if tag == "td"}
    assert "majority" in names
    assert "weighbridge" not in names


@pytest.mark.parametrize("split", ["train", "all"])
def test_only_a_test_split_is_said_to_be_unseen_in_training(run: Run, split: str) -> None:
    assert "none seen in training" in render(run)
    assert "none seen in training" not in render(replace(run, header=replace(run.header, split=split)))


def test_a_run_without_labels_still_gives_a_whole_page(run: Run) -> None:
    records = tuple(replace(record, labels={}, true_route=None, also_label=[], language=None) for record in run.records)
    seen = Page(render(replace(run, records=records)))
    assert (seen.unbalanced, seen.open) == ([], [])
    assert seen.headings() == [
        "Routes",
        "Do the probabilities mean what they say?",
        "What is taken for what",
        "Where the errors are",
        "The worst errors",
    ]


def test_one_query_alone_gives_a_whole_page(run: Run) -> None:
    one = replace(run, header=replace(run.header, n=1), records=run.records[:1])
    seen = Page(render(one))
    assert (seen.unbalanced, seen.open) == ([], [])
