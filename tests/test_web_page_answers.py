"""What the page shows of one answer: its text, its decision, its figures, and what became of it."""

from __future__ import annotations

import re

import pytest

from tests.browser import FIXTURES, NEEDS_CHROMIUM, PHONE, Open, answered, ask, says
from tests.web_server import Stage, decision, final

pytestmark = NEEDS_CHROMIUM
theatre, stage, open_page = FIXTURES


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


def test_an_answer_can_be_copied_as_it_was_written(open_page: Open, stage: Stage) -> None:
    page = open_page()
    answered(page, stage, "Go to **Moab**.")
    page.get_by_role("button", name="Copy answer").click()
    page.locator("[aria-live=polite]").get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "Go to **Moab**."
