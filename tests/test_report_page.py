"""The report as a browser shows it: nothing fetched, nothing cut off on a phone, readable in the dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.replay import replay
from eval.report import write_report
from router.dataset import Dataset
from router.pipeline import Router

CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page_file(router: Router, small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(replay(router, small.split("test"), split="test", seed=0, bundle=None), path)
    return path


@pytest.fixture
def browser() -> Iterator[Any]:  # Any: playwright's browser
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=flags)


def test_the_page_fits_a_phone_without_sideways_scrolling(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_page_is_dark_where_the_reader_prefers_it(browser: Any, page_file: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(page_file.as_uri())
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (sum(int(part) for part in ground.strip("rgb()").split(",")) for ground in grounds)
    assert light > 600
    assert dark < 150


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(page_file.as_uri())
    assert asked == [page_file.as_uri()]
    assert said == []
