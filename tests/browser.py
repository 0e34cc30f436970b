"""A browser for the page's tests: one page, watched for what it complains of, on a leash so that no wait is for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.web_server import Json, Stage, decision, final, staged

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium"),
]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1180, "height": 760}
WAIT_MS = 20_000  # until something is to be seen: a busy machine takes its time
LEASH_S = 100.0  # of one test, and of opening and closing: playwright waits for ever for a script of the page

Page = Any  # playwright's page
Open = Callable[..., Page]


class Leash:
    """Ends playwright's driver, and with it the browser, where it is held for too long: every call then fails at once."""

    def __init__(self, driver: set[int]) -> None:
        self._driver = driver

    @contextmanager
    def held(self, seconds: float = LEASH_S) -> Iterator[None]:
        """For so long at most."""
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        for pid in self._driver:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def children() -> set[int]:
    """The processes that this one has started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text(encoding="ascii").split()))
    return found


@contextmanager
def opened() -> Iterator[tuple[Any, Leash]]:  # Any: playwright's browser
    """A browser, and its leash."""
    from playwright.sync_api import sync_playwright

    before = children()
    with sync_playwright() as driver:
        leash = Leash(children() - before)
        with leash.held():
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser, leash
        with leash.held():
            browser.close()


class Watch:
    """What a page complained of, or asked for elsewhere."""

    def __init__(self, page: Page, url: str) -> None:
        self.faults: list[str] = []
        self._here = (url, url.replace("http", "ws"), "data:")
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda said: self.faults.append(said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda asked: self._asked(asked.url))
        page.on("websocket", lambda made: self._asked(made.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(self._here):
            self.faults.append(url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theatre:
    """What all tests of a file share: a new process for each would take longer than the tests."""

    stage: Stage
    browser: Any  # Any: playwright's browser
    leash: Leash
    page: Page
    watch: Watch


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """One server, one browser and one page."""
    with staged() as stage, opened() as (browser, leash):
        with leash.held():
            page = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
            watch = Watch(page, stage.url)
        yield Theatre(stage=stage, browser=browser, leash=leash, page=page, watch=watch)


@pytest.fixture
def stage(theatre: Theatre) -> Stage:
    """The page's server, as new."""
    theatre.stage.reset()
    return theatre.stage


@pytest.fixture
def open_page(theatre: Theatre, stage: Stage) -> Iterator[Open]:
    """Opens the page, connected; afterwards, it must not have complained or asked for anything elsewhere.

    before: a script that runs before the page's own.   Nothing moves, unless a test asks for motion.
    """
    used = [(theatre.page, theatre.watch)]

    def opening(
        *, before: str = "", connected: bool = True, viewport: dict[str, int] | None = None, scheme: str = "light"
    ) -> Page:
        page = theatre.page
        if before:
            page = theatre.browser.new_page()
            page.add_init_script(before)
            used.append((page, Watch(page, stage.url)))
        page.set_viewport_size(viewport or DESK)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(stage.url)
        if connected:
            page.wait_for_selector("[data-state=connected]")
        return page

    with theatre.leash.held():
        yield opening
        theatre.page.evaluate("location.protocol === 'about:' || sessionStorage.clear()")
        theatre.page.goto("about:blank")
        for page, _ in used[1:]:
            page.close()
        faults = [fault for _, watch in used for fault in watch.faults]
        theatre.watch.faults.clear()
    assert faults == []


# A test file takes them under these names: theatre, stage, open_page = FIXTURES
FIXTURES = (theatre, stage, open_page)


def ask(page: Page, stage: Stage, text: str = "Moab or Page?") -> str:
    """Send a message by keyboard; the turn that the server is told."""
    page.locator("#box").fill(text)
    page.keyboard.press("Enter")
    turn = stage.hears("message")["turn"]
    assert isinstance(turn, str)
    return turn


def answered(
    page: Page, stage: Stage, text: str, *, decided: Json | None = None, **changed: Any
) -> str:  # Any: whatever JSON can hold
    """A whole exchange; `changed` is of its final message."""
    turn = ask(page, stage)
    stage.say("decision", turn, **(decided or decision()))
    stage.say("final", turn, **final(text, **changed))
    page.locator(".answer[aria-busy=false]").last.wait_for()
    return turn


def says(page: Page, text: str, where: str = "#conversation") -> None:
    """Wait until the text is there to be seen."""
    page.locator(where).get_by_text(text).last.wait_for()


def until(page: Page, holds: str) -> None:
    """Wait until an expression is true in the page; playwright's own way needs `eval`, which the policy forbids."""
    by = time.monotonic() + WAIT_MS / 1e3
    while not page.evaluate(holds):
        assert time.monotonic() < by, f"never came true: {holds}"
        page.wait_for_timeout(20)
