"""The page's line to the server: it breaks and comes back, asks for a key, and carries what is written."""

from __future__ import annotations

from tests.browser import FIXTURES, NEEDS_CHROMIUM, Open, answered, ask, says
from tests.web_server import Stage, decision, final

pytestmark = NEEDS_CHROMIUM
theatre, stage, open_page = FIXTURES

LONGEST = 32_000


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
