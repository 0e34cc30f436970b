"""The page for whoever reads it: by keyboard, phone, screen reader, night or voice."""

from __future__ import annotations

import re

import pytest

from tests.browser import FIXTURES, NEEDS_CHROMIUM, PHONE, Open, answered, ask, says, until
from tests.web_server import Stage, decision, final

pytestmark = NEEDS_CHROMIUM
theatre, stage, open_page = FIXTURES

READABLE = 4.5  # WCAG 2.2, 1.4.3: the contrast of text
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
