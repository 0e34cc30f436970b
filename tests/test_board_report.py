"""The leaderboard's page and tables: whole, self-contained, safe, the same bytes every time, and true to the board."""

from __future__ import annotations

import copy
import csv
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.board import Judge, board
from eval.board_axes import LETTER, cost_scale, even_ticks, labels, short_name
from eval.board_details import details
from eval.board_queries import HEAT_ROUTERS, SHOWN_LOSSES
from eval.board_report import render, write_board_csv, write_board_report, write_losses_csv
from eval.contest import OURS, Entry
from router.outcomes import Outcomes

VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = '<script>alert("x")</script><img src=http://evil.example/a.png onerror=y>\'&'
SECTIONS = [
    "Leaderboard",
    "Quality for the money",
    "Do the probabilities mean what they say?",
    "By data set",
    "Which queries each router loses",
    "How this was made",
    "What ours chose for itself",
    "What the words mean",
]
CHROMIUM = shutil.which("chromium")

Board = dict[str, Any]  # Any: whatever JSON can hold
Pages = tuple[Board, Board]


class Page(HTMLParser):
    """What a browser would see: tags that do not match, attributes, texts with the tag they stand in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def in_tag(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    @property
    def everything(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def made(*, n: int = 90, m: int = 3, cost: bool = True, ours: bool = True, sets: int = 3, routers: int = 6) -> Pages:
    """A board and its details: ours knows much, the others less and less, an oracle, one that took no part."""
    rng = np.random.default_rng(5)
    score = (rng.random((n, m)) < np.linspace(0.35, 0.9, m)).astype(np.float64)
    dollars = rng.random((n, m)) * 10.0 ** np.arange(m) * 1e-4
    unknown = np.full((n, m), np.nan)
    outcomes = Outcomes(
        name="toy table",
        ids=tuple(f"id-{i:03}" for i in range(n)),
        texts=tuple(f"secret text {i}" for i in range(n)),
        models=tuple(f"maker/model-{j}" for j in range(m)),
        score=score,
        cost_usd=dollars if cost else unknown,
        input_tokens=unknown,
        output_tokens=unknown,
        latency_ms=unknown,
        dataset=tuple(f"set {i % sets}" for i in range(n)),
        split=(None,) * n,
        unit=np.arange(n),
    )
    judge = Judge(outcomes, dollars if cost else None, seed=0)
    names = [*([OURS] if ours else []), "lr", "random", *(f"knn-{k}" for k in range(routers - 4)), "cheapest", "oracle"]
    judged = []
    for k, name in enumerate(names):
        skill = 1.0 if name == "oracle" else 0.4 - 0.35 * k / len(names)
        value = (
            np.tile(np.eye(m)[0], (n, 1)) if name == "cheapest" else skill * score + (1 - skill) * rng.random((n, m))
        )
        allowed, meant = name != "oracle", name != "random"
        entry = Entry(router=name, allowed=allowed, probabilities=meant, value=value, fit_s=1.5, decide_us=40.0)
        judged.append(judge.judge(entry))
    absent = [
        Entry(router="dataset-mean", allowed=False, probabilities=True, value=None, reason="no data set is known")
    ]
    settings = {"linear": {"penalty": 2.5, "routing_error": {"5.0": 0.2, "2.5": 0.1}}, "blend": {"kind": "shared"}}
    protocol = {
        "kind": "folds",
        "how": "5 folds, equal texts in one",
        "seed": 0,
        "parts": 1,
        "left_out_incomplete": 1234,
        "costs": None,
        "findings": ["12 scores are missing."],
        "chosen": [{"seed": 0, "n": 72, "settings": settings}],
    }
    return board(judge, judged, absent, table=outcomes.name, protocol=protocol), details(judge, judged)


@pytest.fixture(scope="module")
def pages() -> Pages:
    return made()


@pytest.fixture(scope="module")
def page(pages: Pages) -> Page:
    return Page(render(*pages))


def with_row(pages: Pages, router: str, **changed: Any) -> Board:  # Any: whatever JSON can hold
    changed_board = copy.deepcopy(pages[0])
    next(row for row in changed_board["rows"] if row["router"] == router).update(changed)
    return changed_board


def title_of(made_board: Board, details_of: Board) -> str:
    return Page(render(made_board, details_of)).in_tag("h1")[0]


# --- whole and safe


def test_every_tag_is_closed_in_its_turn(page: Page) -> None:
    assert (page.unbalanced, page.open) == ([], [])


def test_the_page_has_all_its_sections_in_order(page: Page) -> None:
    assert page.in_tag("h2") == SECTIONS


def test_nothing_in_the_page_comes_from_elsewhere_or_runs(pages: Pages, page: Page) -> None:
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "xlink:href", "data", "action"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", render(*pages))
    assert any(name == "content" and "default-src 'none'" in (value or "") for name, value in page.attributes)


def test_the_same_board_gives_the_same_bytes(pages: Pages, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_board_report(*pages, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_no_query_s_text_is_on_the_page_but_its_id_is(pages: Pages) -> None:
    html = render(*pages)
    assert "secret text" not in html
    assert pages[1]["losses"]["lr"][0]["query_id"] in html


def renamed(value: Any, old: str, new: str) -> Any:  # Any: whatever JSON can hold
    if isinstance(value, dict):
        return {(new if key == old else key): renamed(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [renamed(entry, old, new) for entry in value]
    return new if value == old else value


@pytest.mark.parametrize(
    "name",
    ["lr", "knn-0", "maker/model-0", "maker/model-2", "set 1", "id-000", "toy table", "12 scores are missing.",
     "no data set is known", "linear", "shared", "how", "5 folds, equal texts in one"],
)  # fmt: skip
def test_a_hostile_name_is_shown_and_not_obeyed(pages: Pages, name: str) -> None:
    details_of = copy.deepcopy(pages[1])
    details_of["losses"]["lr"][0]["query_id"] = "id-000"
    seen = Page(render(renamed(pages[0], name, HOSTILE), renamed(details_of, name, HOSTILE)))
    assert not set(seen.tags) & {"script", "img"}
    assert (seen.unbalanced, seen.open) == ([], [])
    assert "alert(" in seen.everything


def test_every_picture_says_what_it_shows_and_every_box_that_scrolls_has_a_name(pages: Pages) -> None:
    html = render(*pages)
    pictures = re.findall(r"<svg [^>]*>", html)
    assert len(pictures) > 6
    assert all('aria-label="' in tag or 'aria-hidden="true"' in tag for tag in pictures)
    assert all("aria-label=" in tag and "tabindex" in tag for tag in re.findall(r'<div class="scroll[^>]*>', html))
    assert f"{OURS} 0." in html[html.index("At half the dearest") :][:200]


@pytest.mark.parametrize("cost", [True, False])
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_a_page_comes_out_whole_whatever_the_table(m: int, cost: bool, ours: bool) -> None:
    seen = Page(render(*made(m=m, cost=cost, ours=ours)))
    assert (seen.unbalanced, seen.open) == ([], [])
    assert "nan" not in seen.everything.lower().split()
    assert not [value for _, value in seen.attributes if value and re.search(r"\bnan\b|\binf\b", value)]
    assert "None" not in seen.everything.split()


def test_a_board_of_which_no_router_took_part_is_still_a_page(pages: Pages) -> None:
    alone = copy.deepcopy(pages[0])
    alone["rows"] = [row for row in alone["rows"] if row["router"] == "dataset-mean"]
    nothing = {**pages[1], "curves": {}, "calibration": {}, "losses": {}}
    nothing["datasets"] = {**pages[1]["datasets"], "routers": {}}
    seen = Page(render(alone, nothing))
    assert (seen.unbalanced, seen.open) == ([], [])
    assert "no router" in seen.in_tag("h1")[0]


# --- the sentence at the top


def test_the_top_says_who_wins_by_how_much_and_that_it_is_in_domain(pages: Pages) -> None:
    changed = with_row(pages, "lr", delta=0.05, delta_ci=[0.02, 0.08], verdict="better")
    title = title_of(changed, pages[1])
    assert title.startswith(f"In-domain, {OURS} beats lr")
    assert "+0.050 [0.020, 0.080]" in title


def test_the_top_calls_a_tie_a_tie_and_says_what_would_have_been_seen(pages: Pages) -> None:
    changed = with_row(
        pages, "lr", delta=0.01, delta_ci=[-0.02, 0.04], verdict="tie", minimum_detectable=0.045, p_holm=0.6
    )
    seen = Page(render(changed, pages[1]))
    assert f"{OURS} and lr, the best of the others, tie" in seen.in_tag("h1")[0]
    assert "A true difference of 0.045 would be found four times in five" in seen.everything
    assert "beats" not in seen.in_tag("h1")[0]


def test_a_tie_by_correction_alone_says_so(pages: Pages) -> None:
    changed = with_row(pages, "lr", delta=0.03, delta_ci=[0.001, 0.06], verdict="tie", p_holm=0.12)
    text = Page(render(changed, pages[1])).everything
    assert "p 0.12 after Holm's correction), so it is called a tie" in text
    assert "a tie *" in text


def test_the_top_says_that_ours_lost_where_it_lost(pages: Pages) -> None:
    changed = with_row(pages, "lr", aiq=0.99, delta=-0.05, delta_ci=[-0.08, -0.02], verdict="worse")
    assert title_of(changed, pages[1]).startswith(f"In-domain, lr beats {OURS}: AIQ 0.990 against")


def test_the_best_of_the_others_is_never_one_that_may_not_be_used(pages: Pages) -> None:
    assert "oracle" not in title_of(*pages)
    assert "oracle" not in title_of(*made(ours=False))


def test_a_board_that_is_not_complete_says_that_it_is_partial(pages: Pages) -> None:
    assert "Not all routers have finished" in render({**pages[0], "complete": False}, pages[1])
    assert "Not all routers have finished" not in render({**pages[0], "complete": True}, pages[1])


# --- the tables


def leaderboard_rows(html: str) -> list[list[str]]:
    table = html[html.index('<table class="board">') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = re.findall(r"<tr.*?</tr>", body)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_the_leaderboard_is_in_order_of_the_headline_and_the_absent_stand_last(pages: Pages) -> None:
    rows = leaderboard_rows(render(*pages))
    figures = [float(row[2].split()[0]) for row in rows if row[2] != "–"]
    assert figures == sorted(figures, reverse=True)
    assert rows[-1][0].startswith("dataset-mean")
    assert len(rows) == len(pages[0]["rows"])


def test_the_leaderboard_says_which_routers_may_be_used(pages: Pages) -> None:
    usable = {row[0]: row[1] for row in leaderboard_rows(render(*pages))}
    assert (usable[OURS], usable["lr"], usable["oracle"]) == ("yes", "yes", "no")


def test_figures_in_the_leaderboard_are_the_board_s(pages: Pages) -> None:
    row = next(row for row in pages[0]["rows"] if row["router"] == "lr")
    shown = next(cells for cells in leaderboard_rows(render(*pages)) if cells[0] == "lr")
    assert shown[2] == f"{row['aiq']:.3f} [{row['aiq_ci'][0]:.3f}, {row['aiq_ci'][1]:.3f}]"
    assert shown[3] == f"{row['delta']:+.3f} [{row['delta_ci'][0]:.3f}, {row['delta_ci'][1]:.3f}]"
    assert row["verdict"] in shown[4]


def test_a_column_without_any_figure_is_left_out_and_the_reason_given(page: Page) -> None:
    assert "CPT 50 %" not in page.in_tag("th")
    assert "APGR and CPT need a pair of models." in page.everything
    pair = Page(render(*made(m=2)))
    assert "CPT 50 %" in pair.in_tag("th")
    assert "APGR and CPT need" not in pair.everything


def test_the_reason_why_a_router_took_no_part_is_a_note_at_its_row(page: Page) -> None:
    assert "no data set is known" in page.in_tag("li")
    assert "1" in page.in_tag("sup")


def test_the_heat_map_has_a_row_per_data_set_and_at_most_a_dozen_routers() -> None:
    html = render(*made(n=180, sets=60, routers=20))
    table = html[html.index('<table class="heat">') :]
    table = table[: table.index("</table>")]
    assert table.count("<tr>") == 61
    assert table.count('class="tall"') == HEAT_ROUTERS + 2
    assert "color-mix" not in table  # three queries each are too few to be coloured


def test_a_data_set_is_coloured_by_the_difference_to_the_best_single_model(pages: Pages) -> None:
    changed = copy.deepcopy(pages[1])
    position = changed["datasets"]["names"].index("set 0")
    changed["datasets"]["best_single"][position] = 0.5
    for router, value in (("lr", 0.65), (OURS, 0.35)):
        changed["datasets"]["routers"][router][position] = value
    html = render(pages[0], changed)
    assert 'var(--accent) 55%, var(--card))" title="+0.150">0.65' in html
    assert 'var(--warn) 55%, var(--card))" title="-0.150">0.35' in html


def test_each_router_shows_its_first_losses_and_says_how_many_there_are(pages: Pages) -> None:
    html = render(*pages)
    lost = pages[1]["losses"]["cheapest"]
    assert len(lost) > SHOWN_LOSSES
    assert f"cheapest: {len(lost)} of 90 queries" in html
    block = html[html.index("<summary>cheapest:") :]
    block = block[: block.index("</details>")]
    assert block.count("<tr>") == SHOWN_LOSSES + 1
    assert lost[SHOWN_LOSSES]["query_id"] not in block


def test_only_ours_is_open_among_the_losses(page: Page) -> None:
    assert [name for name, _ in page.attributes].count("open") == 1


def test_the_protocol_the_findings_and_the_settings_are_told(page: Page) -> None:
    assert "Dealt: 5 folds, equal texts in one." in page.in_tag("li")
    assert "Not judged, as some model did not answer: 1,234." in page.in_tag("li")
    assert "12 scores are missing." in page.in_tag("li")
    assert "penalty 2.5" in page.in_tag("td")
    assert "part 1, linear: routing error 5.0: 0.2, 2.5: 0.1" in page.in_tag("li")


def test_a_board_without_settings_has_no_section_about_them(pages: Pages) -> None:
    plain = {**pages[0], "protocol": {"how": "by hand"}}
    assert "What ours chose for itself" not in Page(render(plain, pages[1])).in_tag("h2")


# --- the charts


def test_every_curve_is_drawn_and_ours_over_the_others(pages: Pages) -> None:
    html = render(*pages)
    chart = html[html.index("<h3>Curves</h3>") : html.index("<h3>What nothing beats")]
    lines = re.findall(r'<polyline class="line (\w+)"', chart)
    assert len(lines) == len(pages[1]["curves"])
    assert lines[-1] == "ours"
    assert re.findall(r'<polygon class="band (\w+)"', chart) == ["best", "ours"]


@pytest.mark.parametrize(("m", "cost"), [(2, False), (3, True), (5, False)])
def test_no_point_of_a_chart_lies_outside_its_frame(m: int, cost: bool) -> None:
    html = render(*made(m=m, cost=cost))
    pairs = [
        tuple(map(float, pair.split(",")))
        for points in re.findall(r' points="([^"]*)"', html)
        for pair in points.split()
    ]
    pairs += [(float(x), float(y)) for x, y in re.findall(r'cx="([^"]*)" cy="([^"]*)"', html)]
    assert pairs
    assert all(51.9 <= x <= 446.1 and 13.9 <= y <= 258.1 for x, y in pairs)


def test_labels_cover_neither_a_dot_nor_one_another() -> None:
    crowd = [(f"model-{k}", (200.0 + 5 * k, 150.0 + 3 * (k % 4))) for k in range(12)]
    drawn = labels(crowd)
    assert 0 < len(drawn) < 12  # a crowd has room for some
    boxes = []
    for text in drawn:
        x, y, name = re.findall(r'x="([\d.]+)" y="([\d.]+)">(.*)</text>', text)[0]
        boxes.append((float(x), float(y) - 9, float(x) + LETTER * len(name), float(y) + 2))
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
        for _, (px, py) in crowd:
            assert not (a[0] < px < a[2] and a[1] < py < a[3])


def test_costs_that_differ_by_much_stand_on_an_axis_of_ratios_and_a_free_model_on_an_even_one() -> None:
    dollars = {"cost_unit": "USD per query"}
    assert cost_scale([1e-4, 1e-2], dollars).log
    assert not cost_scale([1e-3, 1e-2], dollars).log
    assert not cost_scale([0.0, 1e-2], dollars).log


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.61, 0.64), (0.0, 3e-9), (12.0, 91_000.0)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    ticks = even_ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-9 * high <= tick <= high * (1 + 1e-9) for tick in ticks)


def test_a_long_name_of_a_model_is_cut_and_says_so() -> None:
    assert short_name("org/" + "x" * 40) == "x" * 23 + "…"
    assert short_name("trailing/") == "trailing"


# --- the CSV files


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_board_as_csv_has_a_row_per_router_and_two_columns_per_interval(pages: Pages, tmp_path: Path) -> None:
    write_board_csv(pages[0], tmp_path / "board.csv")
    rows = read_csv(tmp_path / "board.csv")
    assert [row["router"] for row in rows] == [row["router"] for row in pages[0]["rows"]]
    lr = next(row for row in rows if row["router"] == "lr")
    known = next(row for row in pages[0]["rows"] if row["router"] == "lr")
    assert [float(lr["delta_ci_low"]), float(lr["delta_ci_high"])] == known["delta_ci"]
    assert float(lr["share maker/model-1"]) == known["share"]["maker/model-1"]
    assert "delta_ci" not in lr
    absent = next(row for row in rows if row["router"] == "dataset-mean")
    assert (absent["aiq"], absent["aiq_ci_low"], absent["share maker/model-0"]) == ("", "", "")
    assert None not in absent.values()


def test_every_loss_is_in_the_csv_not_only_those_on_the_page(pages: Pages, tmp_path: Path) -> None:
    write_losses_csv(pages[1], tmp_path / "losses.csv")
    rows = read_csv(tmp_path / "losses.csv")
    assert len(rows) == sum(len(lost) for lost in pages[1]["losses"].values())
    assert list(rows[0]) == ["router", "query_id", "dataset", "chosen", "score", "best", "best_score"]


def test_a_name_with_a_comma_a_quote_or_a_line_break_survives_the_csv(pages: Pages, tmp_path: Path) -> None:
    odd = 'a, "b"\nc'
    write_losses_csv(renamed(pages[1], "maker/model-0", odd), tmp_path / "losses.csv")
    assert odd in {row["chosen"] for row in read_csv(tmp_path / "losses.csv")}


def test_a_query_without_a_data_set_has_an_empty_cell(tmp_path: Path) -> None:
    lost = {"query_id": "q", "dataset": None, "chosen": "a", "score": 0.0, "best": "b", "best_score": 1.0}
    write_losses_csv({"losses": {"lr": [lost]}}, tmp_path / "losses.csv")
    assert (tmp_path / "losses.csv").read_text().splitlines()[1] == "lr,q,,a,0.0,b,1.0"


# --- as a browser shows it


@pytest.fixture
def browser() -> Iterator[Any]:  # Any: playwright's browser
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=flags)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_never_scrolls_sideways_asks_for_nothing_and_follows_the_dark(
    browser: Any, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_board_report(*made(n=180, m=5, sets=60, routers=20), path)
    grounds, said = [], []
    for scheme in ("light", "dark"):
        seen = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        asked: list[str] = []
        seen.on("request", lambda request, asked=asked: asked.append(request.url))
        seen.on("console", lambda message: said.append(message.text))
        seen.goto(path.as_uri())
        assert seen.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [path.as_uri()]
        ground = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        grounds.append(sum(int(part) for part in ground.strip("rgb()").split(",")))
    assert said == []
    assert grounds[0] > 600
    assert grounds[1] < 150
