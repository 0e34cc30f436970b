"""The page of a simulation: one sentence, one chart, one table, the detail; whole, safe, and true to its figures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from eval.simulate.curves import across
from eval.simulate.plots import TORNADO_ROWS, Bill, bills_chart, by_ratio, tornado
from eval.simulate.report import render, write_simulation_report
from eval.simulate.sentences import (
    break_even_sentences,
    headline,
    how_drawn,
    targets_held,
)
from eval.simulate.words import spoken
from tests.simulated_figures import (
    CERTAIN,
    CHEAPER,
    COUNTED,
    DEARER,
    HOSTILE,
    MUCH_DEARER,
    OPEN,
    UNPAID,
    figures_of,
    renamed,
)

VOID = {"meta", "link", "img", "br", "hr", "input"}
CHROMIUM = shutil.which("chromium")
SECTIONS = [
    "Targets",
    "What it is compared with",
    "Where queries go",
    "How good the answers are, and what a bad one may cost",
    "How long an answer takes",
    "What moves the bill",
    "The threshold: more quality or fewer dollars",
    "Month by month",
    "Check",
    "Prices used",
    "What is left out",
    "Every assumption, and how this was made",
]


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
        self.texts.append((self.open[-1] if self.open else "", data.replace("\N{NO-BREAK SPACE}", " ")))

    def in_tag(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    @property
    def everything(self) -> str:
        """All that can be read on the page."""
        return "".join(text for tag, text in self.texts if tag != "style")


@pytest.fixture(scope="module")
def html() -> str:
    return render([figures_of(COUNTED)])


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def row_of(seen: Page, name: str) -> str:
    """The text of the first table row whose heading is `name`."""
    at = next(i for i, (tag, text) in enumerate(seen.texts) if tag == "th" and text == name)
    after = seen.texts[at + 1 :]
    end = next((i for i, (tag, _) in enumerate(after) if tag == "th"), len(after))
    return " ".join(text for _, text in after[:end])


# --- whole and safe


def test_every_tag_is_closed_in_its_turn(page: Page) -> None:
    assert (page.unbalanced, page.open) == ([], [])


def test_the_page_has_its_sections_in_order_the_targets_first(page: Page) -> None:
    assert [text.strip() for text in page.in_tag("h2")] == SECTIONS


def test_without_targets_the_baselines_come_first() -> None:
    assert Page(render([figures_of(CHEAPER)])).in_tag("h2")[0].strip() == "What it is compared with"


def test_nothing_in_the_page_comes_from_elsewhere_or_runs(html: str, page: Page) -> None:
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "xlink:href", "data", "action"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    assert any(name == "content" and "default-src 'none'" in (value or "") for name, value in page.attributes)


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_simulation_report([figures_of(COUNTED)], tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_no_figures_are_no_page() -> None:
    with pytest.raises(ValueError, match="one or more"):
        render([])


@pytest.mark.parametrize(
    "name",
    ["counted", "A counted router", "large for all", "small for all", "small", "large", "one", "counted by hand", "easy",
     "what a bad answer costs", "2026-11", "standard"],
)  # fmt: skip
@pytest.mark.parametrize("together", [False, True])
def test_a_hostile_name_is_shown_and_not_obeyed(name: str, together: bool) -> None:
    forged = renamed(figures_of(COUNTED), name, HOSTILE)
    seen = Page(render([forged, figures_of(CERTAIN)] if together else [forged]))
    assert not set(seen.tags) & {"script", "img"}
    assert (seen.unbalanced, seen.open) == ([], [])
    assert "alert(" in seen.everything


def test_every_picture_says_what_it_shows_and_every_box_that_scrolls_has_a_name(html: str) -> None:
    pictures = re.findall(r"<svg [^>]*>", html)
    assert len(pictures) == 6  # bills, drivers, three curves, months
    assert all('role="img"' in tag and 'aria-label="' in tag for tag in pictures)
    assert all("aria-label=" in tag and "tabindex" in tag for tag in re.findall(r'<div class="scroll[^>]*>', html))


def test_every_heading_of_a_table_says_what_it_heads(html: str) -> None:
    assert all('scope="' in tag for tag in re.findall(r"<th[ >][^>]*>?", html))
    assert html.count("<caption>") == html.count("<table")


def test_every_section_with_dollars_or_latency_is_marked_as_simulated(html: str) -> None:
    for block in html.split("<h2>")[1:]:
        heading, _, body = block.partition("</h2>")
        spoken_of = re.search(r"\$\d| (ms|s)</t", re.sub(r"<svg.*?</svg>", "", body))
        if spoken_of and not heading.startswith(("Prices", "Every")):
            assert "simulated" in heading, heading
    assert "simulated" in html[: html.index("<figure>")]


@pytest.mark.parametrize(
    "scenario", [CERTAIN, CHEAPER, DEARER, MUCH_DEARER, OPEN, UNPAID, COUNTED], ids=lambda s: s.name
)
def test_what_is_not_known_reads_neither_none_nor_nan(scenario: Any) -> None:
    seen = Page(render([figures_of(scenario)]))
    assert not re.search(r"\bNone\b|\bnan\b|\binf\b|\bnull\b", seen.everything)
    assert not [value for _, value in seen.attributes if value and re.search(r"\bnan\b|\binf\b|\bNone\b", value)]
    assert (seen.unbalanced, seen.open) == ([], [])


def test_latency_that_is_not_simulated_is_not_0_and_says_why() -> None:
    text = Page(render([figures_of(CERTAIN)])).everything
    assert "Latency is not simulated: no `call_ms` of small, large." in text
    assert not re.search(r"\b0 ms|\b0\.0 s", text)


def test_answers_that_are_not_judged_are_said_to_be_so() -> None:
    text = Page(render([figures_of(CERTAIN)])).everything
    assert "nothing is said of how good the answers would be" in text
    assert "good answers would be" not in text
    assert break_even_sentences(figures_of(CERTAIN)) == []


def test_the_sentence_is_the_heading_of_the_page() -> None:
    assert Page(render([figures_of(DEARER)])).in_tag("h1") == [headline(figures_of(DEARER))]


# --- what is shown


def test_every_baseline_stands_beside_the_router_with_its_dollars(page: Page) -> None:
    for row in figures_of(COUNTED)["baselines"]:
        assert "$" in row_of(page, row["name"])
    assert "as much" in row_of(page, "small for all")


def test_every_assumption_is_on_the_page_with_its_range(page: Page) -> None:
    named = page.in_tag("td")
    stated = figures_of(COUNTED)["assumptions"]
    assert len(stated) > 15
    assert {row["name"] for row in stated} <= set(named)
    assert "80,000 to 125,000" in row_of(page, "queries a month")
    assert "× 0.77 to × 1.3" in row_of(page, "small: output tokens")


def test_a_share_counted_on_few_queries_is_not_called_known(page: Page) -> None:
    assert " to " in row_of(page, "share of easy queries")


def test_an_accuracy_that_a_count_takes_the_place_of_is_not_listed(page: Page) -> None:
    assert "how often the router is right" not in [text for _, text in page.texts]


def test_the_page_says_how_it_was_drawn(page: Page) -> None:
    text = page.everything
    assert "50 worlds were drawn with seed 0" in text
    assert "from the 5th percentile to the 95th" in text
    assert "no brackets" in how_drawn(figures_of(CERTAIN))[0]


def test_what_is_left_out_is_said(page: Page) -> None:
    assert "what a bad answer costs" in page.in_tag("li")


def test_each_target_has_what_was_wanted_found_and_a_verdict_in_words(page: Page) -> None:
    found = {row["target"]: row for row in figures_of(COUNTED)["targets"]}
    cheap = row_of(page, "dollars per 100,000 queries")
    assert "at most $10,000" in cheap
    assert "holds" in cheap
    assert "in 100 %" in cheap
    right = row_of(page, "queries on the right route")
    assert "at least 90 %" in right
    assert found["routing_accuracy"]["verdict"] in right
    assert "only the threshold was tried" in right
    assert "price of large × 0." in row_of(page, "dollars a query")


def test_a_driver_s_bar_runs_between_its_ends_and_says_what_brings_them_about() -> None:
    figures = figures_of(CHEAPER)
    drawn = tornado(figures["drivers"], 167.0)
    assert figures["drivers"][0]["assumption"] == "queries_per_month"
    assert "$134 at 80,000" in drawn  # 80,000 · $0.00167
    assert "$209 at 125,000" in drawn
    assert "nothing moved: $167" in drawn


def test_a_tornado_keeps_the_order_of_the_drivers_and_the_largest_alone() -> None:
    drivers = figures_of(COUNTED)["drivers"] * 3
    drawn = tornado(drivers, None)
    names = re.findall(r'<text class="strong"[^>]*>([^<]*)<', drawn)
    assert names == [spoken(row["assumption"]) for row in drivers[:TORNADO_ROWS]]
    swings = [row["swing_usd"] for row in figures_of(COUNTED)["drivers"]]
    assert swings == sorted(swings, reverse=True)


def test_a_scenario_that_is_sure_of_everything_says_that_numbers_were_moved_all_the_same() -> None:
    assert "each number is moved by a fifth either way" in Page(render([figures_of(CERTAIN)])).everything
    assert "by a fifth" not in Page(render([figures_of(COUNTED)])).everything


def test_the_chosen_threshold_is_marked_on_every_curve_and_in_the_table(html: str, page: Page) -> None:
    assert html.count(">chosen: 0.5<") == 3
    assert "0.5" in row_of(page, "chosen")
    assert "meets: queries on the right route" in page.in_tag("th")


def test_a_router_that_stands_on_no_curve_has_no_mark_on_it() -> None:
    figures = figures_of(COUNTED)
    figures["threshold"] |= {"chosen": None, "meets_all": None, "reason": "its policy stands on no curve"}
    html = render([figures])
    assert "chosen:" not in html
    assert "meets all targets:" not in html
    assert "its policy stands on no curve." in Page(html).everything
    assert "none" in row_of(Page(html), "meets all of them")


def test_without_a_curve_the_reason_stands_in_its_place() -> None:
    text = Page(render([figures_of(CHEAPER)])).everything
    assert f"There is no curve: {figures_of(CHEAPER)['threshold']['reason']}." in text


def test_a_scenario_of_one_month_has_no_section_of_months() -> None:
    assert "Month by month" not in Page(render([figures_of(CHEAPER)])).everything


def test_months_are_all_in_the_table(page: Page) -> None:
    assert {"2026-11", "2026-12", "2027-01"} <= set(page.in_tag("th"))


def test_the_check_says_how_far_the_closed_form_is_off(page: Page) -> None:
    assert "they agree to " in page.everything
    assert "they agree exactly" in Page(render([figures_of(CERTAIN)])).everything


def test_a_queue_that_only_grows_has_no_time_and_says_at_which_hours() -> None:
    figures = figures_of(COUNTED)
    figures["latency_ms"] |= {
        "p95": None,
        "p95_ci": [2_000.0, None],
        "overloaded": {"large": [18, 19]},
        "reason": "crowded",
    }
    text = Page(render([figures])).everything
    assert "grows without end" in text
    assert "More comes to large than it can serve at 18:00, 19:00" in text


def test_the_router_s_own_cost_is_a_row_of_the_bill(page: Page) -> None:
    assert "$60" in row_of(page, "the router itself")


# --- printed figures


def test_a_scenario_that_printed_nothing_has_no_such_section(page: Page) -> None:
    assert "Printed figures" not in page.everything


# --- charts


def test_bars_stand_from_0_and_dots_where_a_bar_would_show_nothing() -> None:
    near = [
        Bill(name="a", usd=100.0, interval=None, routed=True),
        Bill(name="b", usd=900.0, interval=None, routed=False),
    ]
    far = [near[0], Bill(name="b", usd=90_000.0, interval=None, routed=False)]
    assert not by_ratio(near)
    assert by_ratio(far)
    assert bills_chart(near, unit="Dollars").count("<rect") == 2
    assert bills_chart(far, unit="Dollars").count("<circle") == 2
    assert "equal ratios" in bills_chart(far, unit="Dollars")
    assert "equal ratios" not in bills_chart(near, unit="Dollars")


def test_bars_are_as_long_as_their_dollars() -> None:
    rows = [
        Bill(name="a", usd=100.0, interval=None, routed=True),
        Bill(name="b", usd=400.0, interval=None, routed=False),
    ]
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', bills_chart(rows, unit="Dollars"))]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.3)


def test_a_baseline_of_no_dollars_or_unknown_ones_is_named_all_the_same() -> None:
    rows = [
        Bill(name="a", usd=100.0, interval=(90.0, 110.0), routed=True),
        Bill(name="free", usd=0.0, interval=None, routed=False),
        Bill(name="unknown", usd=None, interval=None, routed=False),
    ]
    drawn = bills_chart(rows, unit="Dollars")
    assert ">$0<" in drawn
    assert ">–<" in drawn
    assert "nan" not in drawn


def test_thresholds_are_probabilities_evenly_and_lambdas_by_ratio() -> None:
    even, at, ticks = across([0.0, 0.5, 1.0])
    assert [even.at(at(t)) for t in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]
    assert ticks == []
    ratio, at, ticks = across([0.0, 1.0, 10.0, 100.0])
    places = [ratio.at(at(t)) for t in (0.0, 1.0, 10.0, 100.0)]
    assert places == sorted(places)
    assert places[3] - places[2] == pytest.approx(places[2] - places[1])
    assert next(text for text in re.findall(r">([^<]*)<", "".join(ticks)) if text) == "0"


# --- what is not known


def test_a_target_without_a_figure_is_not_known_and_says_why() -> None:
    figures = figures_of(COUNTED)
    missing = {"target": "latency_ms_p50", "found": None, "found_ci": None, "verdict": None, "share_of_worlds": None}
    figures["targets"] = [figures["targets"][0] | missing | {"reason": "latency is not simulated here"}]
    row = row_of(Page(render([figures])), "half answered within")
    assert "latency is not simulated here" in row
    assert "not known" in row
    assert targets_held(figures) == "0 of 1 hold, 1 not known"


# --- several scenarios


def test_two_scenarios_stand_side_by_side_and_then_each_on_its_own() -> None:
    seen = Page(render([figures_of(COUNTED), figures_of(CERTAIN)]))
    assert (seen.unbalanced, seen.open) == ([], [])
    assert [text.strip() for text in seen.in_tag("h2")] == ["Side by side", "1. counted", "2. certain"]
    assert set(seen.in_tag("a")) == {"counted", "certain"}
    links = {value for name, value in seen.attributes if name == "href"}
    assert links == {f"#{value}" for name, value in seen.attributes if name == "id"} == {"#scenario-1", "#scenario-2"}
    assert headline(figures_of(CERTAIN)) in seen.in_tag("p")


def test_recorded_figures_are_said_to_rest_on_records() -> None:
    recorded = figures_of(COUNTED) | {"recorded": True, "scenario": "logged"}
    alone = Page(render([recorded])).everything
    assert "What calls cost and how good they were was recorded" in alone
    assert "recorded queries with replacement" in alone
    assert "was recorded in logged;" in Page(render([recorded, figures_of(CERTAIN)])).everything


# --- as a browser shows it


@pytest.fixture
def browser() -> Iterator[Any]:  # Any: playwright's browser
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=flags)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways_asks_for_nothing_and_follows_the_dark(
    browser: Any, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_simulation_report([figures_of(scenario) for scenario in (COUNTED, CERTAIN, OPEN)], path)
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


WORDS_CUT = """() => [...document.querySelectorAll('svg')].flatMap(svg => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.left < box.left - 2 || own.right > box.right + 2 || own.top < box.top - 2 || own.bottom > box.bottom + 2;
    }).map(text => text.textContent);
})"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium")
def test_no_word_of_a_chart_is_cut_off(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    long = renamed(
        figures_of(COUNTED), "large for all", "every single query of every person to the largest model there is"
    )
    write_simulation_report([renamed(long, "easy", "a class of queries with a name as long as this one")], path)
    seen = browser.new_page(viewport={"width": 390, "height": 844})
    seen.goto(path.as_uri())
    assert seen.evaluate(WORDS_CUT) == []
