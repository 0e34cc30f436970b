"""A scenario file says what it means or is refused: by line, with what was found, what was wanted and what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.simulate.amounts import Assumption, Constant, Empirical, Lognormal, Quantity
from eval.simulate.scenario import (
    BadAnswer,
    Baseline,
    Conversation,
    PromptCache,
    QueryClass,
    RouterUse,
    RouteUse,
    Scenario,
    sure,
)
from eval.simulate.scenario_file import find_scenario, open_scenario, read_scenario
from eval.simulate.turns import FixedTurns, PoissonTurns
from router.errors import DataError
from router.prices import Price, PriceTable, read_prices

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
TEXT = """\
name = "by-hand"
title = "Two roads and a spare one"
month = 2026-11-01
queries_per_month = { low = 80_000, high = 125_000 }
months = 2

[[queries]]
name = "easy"
share = 0.9
needs = "small"
also = { large = 0.25 }

[[queries]]
name = "hard"
share = 0.1
needs = "large"
sends = { small = 0.2, large = 0.8 }

[router]
accuracy = { low = 0.8, high = 0.9 }
decision_ms = 8

[conversation]
messages = 2
stickiness = 0.5

[prompt_cache]
minutes = 5
in_time = 0.7

[bad_answer]
weak = { low = 0.3, high = 0.6 }
usd = 0.02

[outages]
acme = { low = 0.5, high = 4 }

[route_defaults]
provider = "acme"
system_tokens = { value = 900, off_by = 1.2 }
turns = { mean = { low = 2, high = 3 }, most = 8 }
fallback = "backup"

[[routes]]
name = "small"
model = "small-1"
output_tokens = { median = 130, p95 = 420, off_by = 1.3 }
turns = 1
tier = "batch"

[[routes]]
name = "large"
model = "large-1"
output_tokens = { values = [100, 200, 600] }
good = { easy = 0.97, hard = 0.9 }

[[routes]]
name = "backup"
model = "backup-1"
usd_per_query = 0.001
turns = [0.7, 0.3]
fallback = ""
good = 0.5

[[baselines]]
name = "large for all"
route = "large"

[[baselines]]
name = "half"
sends = { easy = { small = 0.5, large = 0.5 } }

[targets]
saving = 0.4

[printed]
saving = 0.5

[left_out]
notes = ["what people do"]
"""
SCENARIO = Scenario(
    name="by-hand",
    title="Two roads and a spare one",
    month=date(2026, 11, 1),
    queries_per_month=Assumption.between(80_000, 125_000),
    months=2,
    queries=(
        QueryClass(name="easy", share=sure(0.9), needs="small", also={"large": 0.25}),
        QueryClass(name="hard", share=sure(0.1), needs="large", sends={"small": 0.2, "large": 0.8}),
    ),
    router=RouterUse(accuracy=Assumption.between(0.8, 0.9, share=True), decision_ms=8),
    conversation=Conversation(messages=Assumption(value=2), stickiness=sure(0.5)),
    prompt_cache=PromptCache(minutes=5, in_time=sure(0.7)),
    bad_answer=BadAnswer(weak=Assumption.between(0.3, 0.6, share=True), usd=0.02),
    outage_hours={"acme": Assumption.between(0.5, 4)},
    routes=(
        RouteUse(
            name="small",
            model="small-1",
            provider="acme",
            tier="batch",
            system_tokens=Quantity.of(Constant(value=900), off_by=1.2),
            output_tokens=Quantity.of(Lognormal(median=130, p95=420), off_by=1.3),
            fallback="backup",
        ),
        RouteUse(
            name="large",
            model="large-1",
            provider="acme",
            system_tokens=Quantity.of(Constant(value=900), off_by=1.2),
            output_tokens=Quantity.of(Empirical(values=(100, 200, 600))),
            turns=PoissonTurns(mean=Assumption.between(2, 3), most=8),
            good={"easy": 0.97, "hard": 0.9},
            fallback="backup",
        ),
        RouteUse(
            name="backup",
            model="backup-1",
            provider="acme",
            usd_per_query=Quantity.of(Constant(value=0.001)),
            turns=FixedTurns(weights=(0.7, 0.3)),
            good={"easy": 0.5, "hard": 0.5},
        ),
    ),
    baselines=(
        Baseline(name="large for all", route="large"),
        Baseline(name="half", sends={"easy": {"small": 0.5, "large": 0.5}}),
    ),
    targets={"saving": 0.4},
    printed={"saving": 0.5},
    left_out=("what people do",),
)
COUNTED = TEXT.replace("accuracy = { low = 0.8, high = 0.9 }", 'counts = "counts.csv"').replace(
    "decision_ms = 8", "threshold = 0.55"
)
COUNTS = "threshold,queries,route,n\n0.5,easy,small,8\n0.5,hard,large,2\n0.9,easy,small,5\n0.9,hard,large,5\n"
CLASSES = re.compile(r"\[\[queries\]\].*(?=\[router\])", re.DOTALL)


def written(directory: Path, text: str, *, counts: str | None = None) -> Path:
    path = directory / "s.toml"
    path.write_text(text, encoding="utf-8")
    if counts is not None:
        (directory / "counts.csv").write_text(counts, encoding="utf-8")
    return path


def refused(path: Path, read: Callable[[Path], object] = read_scenario) -> list[str]:
    """What is said of each fault: 'line 9: ...'."""
    with pytest.raises(DataError) as found:
        read(path)
    head, _, said = str(found.value).partition(", ")
    assert head == str(path)
    return re.split(r"; (?=line \d)", said)


def changed(old: str, new: str, *, text: str = TEXT) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_a_scenario_file_is_read_as_it_says(tmp_path: Path) -> None:
    assert read_scenario(written(tmp_path, TEXT)) == SCENARIO


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.lists(st.integers(0, TEXT.count("\n")), max_size=5))
def test_blank_lines_and_comments_change_the_lines_and_not_the_scenario(tmp_path: Path, at: list[int]) -> None:
    rows = TEXT.split("\n")
    for position in at:
        rows.insert(position, '# [router] "')
    file = open_scenario(written(tmp_path, "\n".join(rows)))
    assert file.scenario == SCENARIO
    assert "usd_per_query" in rows[file.lines.of(("routes", 2, "usd_per_query")) - 1]


@pytest.mark.parametrize("path", sorted(DATASETS.glob("**/scenarios/*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_can_be_read_and_has_its_prices_or_a_table_of_outcomes(path: Path) -> None:
    file = open_scenario(path)
    assert file.scenario.name == path.stem
    if file.outcomes is None:
        file.require_prices(read_prices())


@pytest.mark.parametrize(
    ("written_as", "read_as"),
    [
        ("500", Quantity.of(Constant(value=500))),
        ("1_000.5", Quantity.of(Constant(value=1000.5))),
        ("{ value = 500, off_by = 2 }", Quantity.of(Constant(value=500), off_by=2)),
        ("{ median = 10, p95 = 20 }", Quantity.of(Lognormal(median=10, p95=20))),
        ("{ values = [1, 2.5], off_by = 1.5 }", Quantity.of(Empirical(values=(1, 2.5)), off_by=1.5)),
    ],
)
def test_an_amount_can_be_written_in_four_forms(tmp_path: Path, written_as: str, read_as: Quantity) -> None:
    scenario = read_scenario(written(tmp_path, changed("turns = 1\n", f"tool_ms = {written_as}\n")))
    assert scenario.routes[0].tool_ms == read_as


@pytest.mark.parametrize(
    ("written_as", "weights"), [("1", (1.0,)), ("3", (0.0, 0.0, 1.0)), ("[0.5, 0.25, 0.25]", (0.5, 0.25, 0.25))]
)
def test_a_number_of_turns_is_always_that_many_and_a_list_weighs_them(
    tmp_path: Path, written_as: str, weights: tuple[float, ...]
) -> None:
    scenario = read_scenario(written(tmp_path, changed("turns = 1\n", f"turns = {written_as}\n")))
    assert scenario.routes[0].turns == FixedTurns(weights=weights)


def test_a_route_with_a_price_per_query_takes_no_tokens_from_the_defaults(tmp_path: Path) -> None:
    small, _, backup = read_scenario(written(tmp_path, TEXT)).routes
    assert (small.system_tokens.mean, backup.system_tokens.mean) == (900, 0)


def test_a_route_with_tokens_takes_no_price_per_query_from_the_defaults(tmp_path: Path) -> None:
    text = changed("system_tokens = { value = 900, off_by = 1.2 }", "usd_per_query = 3")
    small, large, backup = read_scenario(written(tmp_path, text)).routes
    assert small.usd_per_query is None
    assert large.usd_per_query is None
    assert backup.usd_per_query == Quantity.of(Constant(value=0.001))


def test_a_fallback_of_nothing_ends_what_the_defaults_would_go_on_with(tmp_path: Path) -> None:
    assert [route.fallback for route in read_scenario(written(tmp_path, TEXT)).routes] == ["backup", "backup", None]


def test_a_router_of_which_nothing_is_said_is_perfect_and_the_scenario_says_so(tmp_path: Path) -> None:
    said_nothing = changed("accuracy = { low = 0.8, high = 0.9 }\n", "")
    said_nothing = changed("sends = { small = 0.2, large = 0.8 }\n", "", text=said_nothing)
    scenario = read_scenario(written(tmp_path, said_nothing))
    assert scenario.router.accuracy == sure(1.0)
    note = "misrouting: the scenario states no accuracy, so the router is taken to be perfect"
    assert scenario.left_out == ("what people do", note)


def test_a_router_of_which_something_is_said_for_some_queries_is_perfect_with_the_others(tmp_path: Path) -> None:
    text = changed("accuracy = { low = 0.8, high = 0.9 }\n", "")
    assert read_scenario(written(tmp_path, text)).left_out[-1].endswith("taken to be perfect with easy")


def test_a_router_of_which_every_query_says_where_it_sends_it_is_not_called_perfect(tmp_path: Path) -> None:
    text = changed("accuracy = { low = 0.8, high = 0.9 }\n", "")
    text = changed("also = { large = 0.25 }", "sends = { small = 1 }", text=text)
    assert read_scenario(written(tmp_path, text)).left_out == ("what people do",)


def test_outcomes_lie_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"")
    file = open_scenario(written(tmp_path, f'outcomes = "table.parquet"\n{TEXT}'))
    assert file.outcomes == tmp_path / "table.parquet"
    assert open_scenario(written(tmp_path, TEXT)).outcomes is None


def test_counts_lie_beside_the_scenario(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, COUNTED, counts=COUNTS))
    assert scenario.counts is not None
    assert scenario.counts.thresholds.tolist() == [0.5, 0.9]
    assert scenario.router.threshold == 0.55


def test_without_queries_the_counted_ones_are_asked_as_often_as_at_the_nearest_threshold(tmp_path: Path) -> None:
    counts = COUNTS.replace("small", "easy").replace("large", "hard")
    text = CLASSES.sub("", COUNTED).replace("small", "easy").replace("large", "hard")
    queries = read_scenario(written(tmp_path, text, counts=counts)).queries
    assert [(entry.name, entry.needs, entry.share) for entry in queries] == [
        ("easy", "easy", sure(0.8)),
        ("hard", "hard", sure(0.2)),
    ]


def test_what_a_query_says_itself_need_not_be_counted(tmp_path: Path) -> None:
    counts = "threshold,queries,route,n\n0.5,easy,small,8\n"
    hard = read_scenario(written(tmp_path, COUNTED, counts=counts)).queries[1]
    assert hard.sends == {"small": 0.2, "large": 0.8}


def test_counts_that_no_query_needs_are_not_held_against_the_scenario(tmp_path: Path) -> None:
    text = changed("also = { large = 0.25 }", "sends = { small = 1 }", text=COUNTED)
    counts = "threshold,queries,route,n\n0.5,easy,tiny,8\n"
    assert read_scenario(written(tmp_path, text, counts=counts)).counts is not None


@pytest.mark.parametrize(
    ("counts", "line", "said", "fix"),
    [
        (
            None,
            20,
            "[router]: counts: found 'counts.csv'; wanted a CSV of threshold,queries,route,n",
            "Write `counts =",
        ),
        ("queries,n\na,1\n", 20, "wanted a CSV with the columns threshold, queries, route, n", "Write `counts ="),
        ("threshold,queries,route,n\n0.5,easy,small,-1\n", 20, "counts.csv, line 2: n is -1", "Write `counts ="),
        (
            "threshold,queries,route,n\n0.5,easy,small,many\n",
            20,
            "counts.csv, line 2: could not convert",
            "Write `count",
        ),
        ("threshold,queries,route,n\n0.5,odd,small,1\n", 20, "nothing was counted for queries 'easy'", "Count again"),
        ("threshold,queries,route,n\n0.5,easy,tiny,1\n", 20, "sends queries to 'tiny'", "write the names as the CSV"),
    ],
)
def test_counts_that_cannot_be_used_are_refused_where_the_scenario_names_them(
    tmp_path: Path, counts: str | None, line: int, said: str, fix: str
) -> None:
    (found,) = refused(written(tmp_path, COUNTED, counts=counts))
    assert found.startswith(f"line {line}: ")
    assert said in found
    assert fix in found


def test_counts_without_the_routers_own_threshold_are_refused(tmp_path: Path) -> None:
    text = changed("threshold = 0.55\n", "", text=COUNTED)
    assert refused(written(tmp_path, text, counts=COUNTS)) == [
        "line 20: [router]: counts: found counts at 2 thresholds; wanted to know which one the router has."
        " Write `threshold = 0.6` in [router]."
    ]


def test_counts_beside_an_accuracy_are_refused_as_one_of_them_would_mean_nothing(tmp_path: Path) -> None:
    text = changed("threshold = 0.55", "threshold = 0.55\naccuracy = 0.9", text=COUNTED)
    (found,) = refused(written(tmp_path, text, counts=COUNTS))
    assert found.startswith("line 22: [router]: accuracy: found one beside `counts`")
    assert found.endswith("Take it out.")


def test_a_class_that_was_counted_and_has_no_route_of_its_name_is_refused_at_the_counts(tmp_path: Path) -> None:
    found = refused(written(tmp_path, CLASSES.sub("", COUNTED), counts=COUNTS))
    assert found[0] == (
        "line 8: [router]: counts: found 'easy'; wanted the name of a route: small, large, backup."
        " Write one of these, or add what is missing."
    )


FORM = [
    ("month = 2026-11-01", "month = 2026-11-02", 3, "month: found 2026-11-02; wanted the first day", "month = 2026-11-01"),
    ("month = 2026-11-01", 'month = "2026-11-01"', 3, "month: found '2026-11-01'; wanted the first", "without quotes"),
    ("month = 2026-11-01", "month = 2026-11-01T09:00:00", 3, "found 2026-11-01T09:00:00; wanted", "without a time"),
    ("{ low = 80_000, high = 125_000 }", "-100_000", 4, "queries_per_month: found -100000; wanted 0 or more", "= 100_000"),
    ("{ low = 80_000, high = 125_000 }", "0", 4, "found 0; wanted more than 0", "Write `queries_per_month = 100_000`"),
    ("{ low = 80_000, high = 125_000 }", "true", 4, "found true; wanted a number above 0", "queries_per_month = 100_000"),
    ("{ low = 80_000, high = 125_000 }", '"100_000"', 4, "found '100_000'; wanted a number", "queries_per_month = 100_000"),
    ("{ low = 80_000, high = 125_000 }", "{ low = 80_000 }", 4, "found {'low': 80000}; wanted a number", "{ low = 80_000"),
    ("{ low = 80_000, high = 125_000 }", "{ low = 9, high = 2 }", 4, "found low = 9, high = 2; wanted 0 < low", "{ low ="),
    ("{ low = 80_000, high = 125_000 }", f"1{'0' * 400}", 4, "queries_per_month: found 1000", "queries_per_month = 100_000"),
    ("months = 2", "months = 0", 5, "months: found 0; wanted a whole number of months, 1 to 60", "Write `months = 6`"),
    ("months = 2", "months = 1.5", 5, "months: found 1.5; wanted a whole number", "Write `months = 6`"),
    ("months = 2", "months = true", 5, "months: found true; wanted a whole number", "Write `months = 6`"),
    ("months = 2", "mouths = 2", 5, "mouths: found a key of this name; wanted none but name, title", "Write `months`"),
    ("months = 2", "growth_per_month = -1", 5, "found -1; wanted growth from month to month", "growth_per_month = 0.05"),
    ("months = 2", "mix_n = 0", 5, "mix_n: found 0; wanted the number of queries", "Write `mix_n = 400`"),
    ("months = 2", "mix_n = inf", 5, "mix_n: found inf; wanted the number of queries", "Write `mix_n = 400`"),
    ("months = 2", 'chance = "no"', 5, "chance: found 'no'; wanted true or false", "Write `chance = false`"),
    ("months = 2", "answer_cache = 1.5", 5, "answer_cache: found 1.5; wanted a share in [0, 1]", "answer_cache = 0.7"),
    ("months = 2", "traffic_by_hour = [1, 2]", 5, "found 2 weights that add up to 3; wanted 24", "traffic_by_hour = [1, 1"),
    ("months = 2", "traffic_by_hour = [1, -2]", 5, "traffic_by_hour: item 2: found -2; wanted 24 weights", "[1, 1, ...]"),
    ("months = 2", 'outcomes = "none.parquet"', 5, "outcomes: found 'none.parquet'; wanted a table that", "outcomes ="),
    ("share = 0.9", "share = 1.9", 9, "queries 'easy': share: found 1.9; wanted a share in [0, 1]", "Write `share = 0.7`"),
    ("share = 0.9", 'share = "most"', 9, "share: found 'most'; wanted a share in [0, 1], or a range", "share = 0.7"),
    ("share = 0.9", "share = { low = 0.5, high = 1 }", 9, "found low = 0.5, high = 1; wanted 0 < low <= high < 1", "share ="),
    ('needs = "small"', "needs = 3", 10, "queries 'easy': needs: found 3; wanted text in quotes", 'Write `needs = "..."`'),
    ('needs = "small"', 'need = "small"', 7, "queries 'easy': needs: found nothing; wanted text", 'Write `needs = "..."`'),
    ("also = { large = 0.25 }", "also = { large = 2 }", 11, "also: large: found 2; wanted a share", "also = { trip = 0.2 }"),
    ("small = 0.2, large = 0.8", "small = 0.2, large = 0.7", 17, "sends: found shares that add up to 0.9; wanted 1", "sends"),
    ("low = 0.8, high = 0.9", "low = 0.9, high = 0.8", 20, "[router]: accuracy: found low = 0.9, high = 0.8", "accuracy = 0"),
    ("decision_ms = 8", "decision_ms = -1", 21, "[router]: decision_ms: found -1; wanted a number, 0 or more", "decision_ms"),
    ("decision_ms = 8", 'counts = ""', 21, "[router]: counts: found ''; wanted a CSV", "Write `counts ="),
    ("messages = 2", "messages = 0.5", 24, "[conversation]: messages: found 0.5; wanted 1 or more", "Write `messages = 2`"),
    ("messages = 2", "messages = { low = 0.5, high = 4 }", 24, "messages: found 0.5; wanted 1 or more", "messages = 2"),
    ("stickiness = 0.5", "stickyness = 0.5", 25, "[conversation]: stickyness: found a key", "Write `stickiness`"),
    ("minutes = 5", "minutes = 0", 28, "[prompt_cache]: minutes: found 0; wanted minutes, more than 0", "Write `minutes = 5`"),
    ("usd = 0.02", "usd = -0.02", 33, "[bad_answer]: usd: found -0.02; wanted a number, 0 or more", "Write `usd = 8`"),
    ("low = 0.5, high = 4", "low = 0.5, high = 800", 36, "[outages]: acme: found 800 hours; wanted 0 to 744", "provider = 2"),
    ("off_by = 1.2", "off_by = 0.5", 40, "system_tokens: found off_by = 0.5; wanted a factor of 1 or more", "system_tokens"),
    ("mean = { low = 2", "mean = { low = 0.5", 41, "[route_defaults]: turns: found a mean of", "Write `turns = 1`"),
    ("median = 130, p95 = 420", "median = 500, p95 = 420", 47, "found median = 500, p95 = 420; wanted 0 < median", "p95 ="),
    ("median = 130, p95 = 420", "median = 130", 47, "route 'small': output_tokens: found {'median': 130", "output_tokens = 500"),
    ("median = 130, p95 = 420", "value = nan", 47, "route 'small': output_tokens: found {'value': nan", "output_tokens = 500"),
    ("turns = 1\n", "turns = 0\n", 48, "route 'small': turns: found 0; wanted model calls", "Write `turns = 1`"),
    ("turns = 1\n", "turns = true\n", 48, "turns: found true; wanted model calls of an answer: 1 to 40", "Write `turns = 1`"),
    ("turns = 1\n", "retries = 1.5\n", 48, "retries: found 1.5; wanted a whole number, 0 to 10", "Write `retries = 2`"),
    ("turns = 1\n", "concurrency = 0\n", 48, "concurrency: found 0; wanted a whole number, 1 or more", "concurrency = 40"),
    ("turns = 1\n", "caches_prompts = 1\n", 48, "caches_prompts: found 1; wanted true or false", "caches_prompts = true"),
    ("turns = 1\n", "billed_when_failed = 3\n", 48, "billed_when_failed: found 3; wanted a share", "billed_when_failed ="),
    ('tier = "batch"', 'tier = "premium"', 49, "tier: found 'premium'; wanted one of standard, batch", 'tier = "standard"'),
    ("[100, 200, 600]", "[]", 54, "output_tokens: found a list of values that is empty", "Write `output_tokens = 500`"),
    ("easy = 0.97", "easy = 97", 55, "route 'large': good: found 97; wanted a share in [0, 1]", "Write `good = 0.9`"),
    ("[0.7, 0.3]", "[0.7, 0.4]", 61, "turns: the weights of the turns add up to 1.1; wanted 1", "Write `turns = 1`"),
    ('name = "backup"', "", 57, "route no. 3: name: found nothing; wanted text in quotes", 'Write `name = "..."`'),
    ("small = 0.5, large = 0.5", "small = 0.5", 71, "sends: easy: found shares that add up to 0.5; wanted 1", "Write `sends"),
    ('route = "large"', 'route = "large"\nsends = { easy = { small = 1 } }', 65, "has `route` and `sends`; wanted one", "route ="),
    ("saving = 0.4", "savings = 0.4", 74, "[targets]: savings: found 'savings'; wanted numbers", "cache_hit_rate. Write `saving"),
    ("saving = 0.5", 'saving = "half"', 77, "[printed]: saving: found 'half'; wanted a number", "Write `saving = 0.87`"),
    ('["what people do"]', '"what people do"', 80, "[left_out]: notes: found 'what people do'; wanted a list", "notes = ["),
    ("[conversation]", "[[conversation]]", 23, "[conversation]: found [{'messages'", "Write `[conversation]`"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said", "fix"), FORM)
def test_a_fault_in_the_form_is_named_by_its_line_with_what_to_write(
    tmp_path: Path, old: str, new: str, line: int, said: str, fix: str
) -> None:
    found = refused(written(tmp_path, changed(old, new)))
    fault = next(entry for entry in found if said in entry)
    assert fault.startswith(f"line {line}: ")
    assert fix in fault
    assert len(fault) < 900


BETWEEN = [
    ("share = 0.9", "share = 0.8", 9, "found shares of [[queries]] that add up to 0.9; wanted 1", "Change them by +0.1"),
    ('needs = "small"', 'needs = "smal"', 10, "needs: found 'smal'; wanted the name of a route: small", 'Write "small".'),
    ("also = { large", "also = { huge", 11, "queries 'easy': also: huge: found 'huge'; wanted the name", "Write one of these"),
    ("sends = { small", "sends = { smal", 17, "queries 'hard': sends: smal: found 'smal'; wanted", 'Write "small".'),
    ('name = "hard"', 'name = "easy"', 14, "name: found the name of [[queries]] number 1 again", "Write another one."),
    ("acme = {", "acne = {", 36, "[outages]: acne: found 'acne'; wanted a provider of a route: acme", 'Write "acme".'),
    ('fallback = "backup"', 'fallback = "spare"', 42, "[route_defaults]: fallback: found 'spare'; wanted the", "Write one of"),
    ('name = "large"\n', 'name = "small"\n', 52, "name: found the name of [[routes]] number 1 again; wanted", "Write another"),
    ("good = { easy", "good = { eazy", 55, "route 'large': good: eazy: found 'eazy'; wanted the name of queries", 'Write "easy".'),
    ('provider = "acme"', "", 44, "route 'small': provider: found nothing; wanted text in quotes", 'Write `provider = "..."`'),
    ('model = "large-1"', "", 51, "route 'large': model: found nothing; wanted text in quotes, with the route or", "Write `model"),
    ("usd_per_query = 0.001", "usd_per_query = 1\noutput_tokens = 2", 60, "usd_per_query: found it beside output_tokens", "Take one"),
    ('fallback = ""', 'fallback = "small"', 42, "found fallbacks that go in a circle, small -> backup -> small", 'fallback = ""'),
    ('fallback = ""', "", 42, "found fallbacks that go in a circle, backup -> backup; wanted an end", "Take one of them out"),
    ('route = "large"', 'route = "lager"', 67, "baseline 'large for all': route: found 'lager'; wanted", 'Write "large".'),
    ('name = "half"', 'name = "large for all"', 70, "found the name of [[baselines]] number 1 again", "Write another one."),
    ("{ easy = { small", "{ heavy = { small", 71, "sends: heavy: found 'heavy'; wanted the name of queries", "Write one of"),
    ("large = 0.5 }", "larger = 0.5 }", 71, "sends: easy: larger: found 'larger'; wanted the name", 'Write "large".'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said", "fix"), BETWEEN)
def test_what_one_part_has_against_another_is_named_by_its_line_with_what_to_write(
    tmp_path: Path, old: str, new: str, line: int, said: str, fix: str
) -> None:
    found = refused(written(tmp_path, changed(old, new)))
    fault = next(entry for entry in found if said in entry)
    assert fault.startswith(f"line {line}: ")
    assert fix in fault


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"month = .*\n", "month: found nothing; wanted the first day of a month"),
        (r"queries_per_month = .*\n", "queries_per_month: found nothing; wanted a number above 0"),
        (r"(?s)\[\[queries\]\].*(?=\[router\])", "queries: found nothing; wanted one [[queries]] table or more"),
        (r"(?s)\[\[routes\]\].*(?=\[\[baselines)", "routes: found nothing; wanted one [[routes]] table or more"),
        (r"(?s)\[\[baselines\]\].*(?=\[targets\])", "baselines: found nothing; wanted one [[baselines]] table or more"),
    ],
)
def test_what_every_scenario_must_have_is_asked_for_at_its_first_line(tmp_path: Path, pattern: str, said: str) -> None:
    found = refused(written(tmp_path, re.sub(pattern, "", TEXT)))
    assert any(entry.startswith(f"line 1: {said}") and " Write " in entry for entry in found)


def test_all_faults_of_the_form_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = changed("months = 2", "mouths = 2")
    text = changed('tier = "batch"', 'tier = "premium"', text=text)
    text = changed("share = 0.1", "share = 1.1", text=text)
    assert [entry.partition(":")[0] for entry in refused(written(tmp_path, text))] == ["line 5", "line 15", "line 49"]


def test_all_that_the_parts_have_against_one_another_is_told_at_once(tmp_path: Path) -> None:
    text = changed("share = 0.1", "share = 0.2")
    text = changed('route = "large"', 'route = "lager"', text=text)
    text = changed("acme = {", "acne = {", text=text)
    assert [entry.partition(":")[0] for entry in refused(written(tmp_path, text))] == ["line 9", "line 36", "line 67"]


def test_a_fault_in_the_defaults_is_told_once_and_not_for_every_route(tmp_path: Path) -> None:
    assert len(refused(written(tmp_path, changed('fallback = "backup"', 'fallback = "spare"')))) == 1


@pytest.mark.parametrize("number", [n for n, row in enumerate(TEXT.split("\n")) if re.match(r"\w+ = ", row)])
def test_no_key_can_be_misspelt_unseen(tmp_path: Path, number: int) -> None:
    rows = TEXT.split("\n")
    key = rows[number].partition(" ")[0]
    rows[number] = rows[number].replace(key, f"{key}x", 1)
    found = (
        refused(written(tmp_path, "\n".join(rows))) if rows[number] != "savingx = 0.5" else [f"line {number + 1}: x"]
    )
    assert any(entry.startswith(f"line {number + 1}: ") for entry in found)


VALUES = [
    "0",
    "1",
    "-3",
    "0.5",
    "1e308",
    "nan",
    "-inf",
    "true",
    "2026-11-01",
    "12:00:00",
    '""',
    '"small"',
    "[]",
    "[[1], 2]",
]
VALUES += [
    "{}",
    "{ a = 1 }",
    "{ low = 1, high = 2 }",
    "{ low = true, high = [] }",
    "{ mean = 2, most = 1e9 }",
    "0xffffffffffff",
]
VALUES += [
    "{ mean = { low = 0.1, high = 3 }, most = 2 }",
    "{ median = 1, p95 = 2, off_by = {} }",
    "{ values = [0, '1'] }",
]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, TEXT.count("\n") - 1), value=st.sampled_from(VALUES))
def test_whatever_stands_behind_a_key_is_read_or_refused_by_line(tmp_path: Path, number: int, value: str) -> None:
    rows = TEXT.split("\n")
    rows[number] = re.sub("= .*", f"= {value}", rows[number])
    path, said = written(tmp_path, "\n".join(rows)), ""
    try:
        read_scenario(path)
    except DataError as err:
        said = str(err)
    assert re.fullmatch(rf"({re.escape(str(path))}, line \d+: .* wanted .*)?", said)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(1, 1_000), min_size=1, max_size=6), slip=st.floats(0.001, 0.5))
def test_shares_are_accepted_exactly_where_they_add_up(tmp_path: Path, parts: list[int], slip: float) -> None:
    def text(shares: list[float]) -> str:
        blocks = [f'[[queries]]\nname = "{k}"\nshare = {share!r}\nneeds = "large"\n' for k, share in enumerate(shares)]
        mixed = CLASSES.sub("".join(blocks), TEXT)
        return re.sub(r"(?m)^good = \{.*\}$|^sends = \{ easy.*$", "", mixed)

    shares = [part / sum(parts) for part in parts]
    assert [entry.share.value for entry in read_scenario(written(tmp_path, text(shares))).queries] == shares
    (found,) = refused(written(tmp_path, text([shares[0] * (1 - slip), *shares[1:]])))
    assert found.startswith("line 9: queries '0': share: found shares of [[queries]] that add up to ")


def test_a_file_that_is_no_toml_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s\.toml: cannot be read as TOML \(.*line 3.*two-models\.toml"):
        read_scenario(written(tmp_path, changed("month = ", "month : ")))


def test_a_missing_file_is_refused_with_the_one_to_copy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml: no such file; wanted a scenario\. Copy .*two-models\.toml"):
        read_scenario(tmp_path / "none.toml")


def price(model: str, day: str, *, shutdown: str | None = None, batch: float | None = 1e-6) -> Price:
    return Price(
        model=model,
        effective_from=date.fromisoformat(day),
        source="by hand",
        input_cost_per_token=2e-6,
        output_cost_per_token=4e-6,
        input_cost_per_token_batches=batch,
        output_cost_per_token_batches=batch,
        shutdown=None if shutdown is None else date.fromisoformat(shutdown),
    )


def table(*prices: Price) -> PriceTable:
    """Prices by hand for the two models that need one; those given replace a model's own."""
    models = {"small-1": [price("small-1", "2026-01-01")], "large-1": [price("large-1", "2026-11-01", batch=None)]}
    models |= {entry.model: [other for other in prices if other.model == entry.model] for entry in prices}
    return PriceTable(prices={name: tuple(known) for name, known in models.items()}, where="by hand")


def test_models_with_a_price_on_every_simulated_day_are_accepted(tmp_path: Path) -> None:
    open_scenario(written(tmp_path, TEXT)).require_prices(table())  # backup-1 has none: its route has usd_per_query


@pytest.mark.parametrize(
    ("prices", "line", "said", "fix"),
    [
        ([price("small-1", "2026-11-02")], 46, "which by hand has a price for from 2026-11-02 on", "Add it to datasets"),
        ([price("small-1", "2027-01-01")], 46, "wanted one on every day, 2026-11-01 to 2026-12-31", "or pass --prices"),
        ([price("small-1", "2026-01-01", shutdown="2026-12-31")], 46, "which is shut down on 2026-12-31", "Name another"),
        ([price("small-1", "2026-01-01", shutdown="2026-06-01")], 46, "which is shut down on 2026-06-01", "Name another"),
        ([price("small-1", "2026-01-01"), price("small-1", "2026-12-05", shutdown="2026-12-09")], 46, "shut down", "or sim"),
        ([price("small-1", "2026-01-01", batch=None)], 46, "which has no batch price; wanted one", 'tier = "standard"'),
        ([price("small-1", "2026-01-01"), price("small-1", "2026-12-31", batch=None)], 46, "no batch price", "or write"),
        ([price("small-1", "2026-01-01", batch=None), price("small-1", "2026-11-02")], 46, "no batch price", "or write"),
        ([price("large-1", "2026-11-30")], 53, "which by hand has a price for from 2026-11-30 on", "Add it to datasets"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_priced_on_every_day_is_refused_at_its_line(
    tmp_path: Path, prices: list[Price], line: int, said: str, fix: str
) -> None:
    file = open_scenario(written(tmp_path, TEXT))
    (found,) = refused(file.path, lambda _: file.require_prices(table(*prices)))
    assert found.startswith(f"line {line}: route ")
    assert said in found
    assert fix in found


@pytest.mark.parametrize(
    "prices",
    [
        [price("small-1", "2026-01-01", shutdown="2027-01-01")],
        [price("small-1", "2026-01-01", shutdown="2026-11-20"), price("small-1", "2026-11-20")],
        [price("small-1", "2026-01-01", batch=None), price("small-1", "2026-11-01")],
        [price("small-1", "2026-01-01"), price("small-1", "2027-01-01", batch=None, shutdown="2027-01-02")],
        [price("small-1", "2026-01-01", shutdown="2027-02-01"), price("small-1", "2027-03-01")],
    ],
)
def test_only_the_prices_of_simulated_days_count(tmp_path: Path, prices: list[Price]) -> None:
    open_scenario(written(tmp_path, TEXT)).require_prices(table(*prices))


def test_a_model_that_nobody_knows_is_refused_at_its_line(tmp_path: Path) -> None:
    file = open_scenario(written(tmp_path, changed('"large-1"', '"no-such-model-anywhere"')))
    (found,) = refused(file.path, lambda _: file.require_prices(table()))
    assert found.startswith("line 53: route 'large': model: found a model without a price; wanted one on every day")
    assert "Add it to datasets/prices.json" in found


def test_a_model_that_only_the_package_knows_is_priced_by_it(tmp_path: Path) -> None:
    file = open_scenario(written(tmp_path, changed('"large-1"', '"gpt-4o"')))
    file.require_prices(table())
    batched = replace(file.scenario.routes[1], tier="batch")
    scenario = replace(file.scenario, routes=(file.scenario.routes[0], batched, file.scenario.routes[2]))
    (found,) = refused(file.path, lambda _: replace(file, scenario=scenario).require_prices(table()))
    assert "line 53: route 'large': model: found 'gpt-4o', which has no batch price" in found


def test_a_model_from_the_defaults_is_refused_there_and_once(tmp_path: Path) -> None:
    text = changed('provider = "acme"', 'provider = "acme"\nmodel = "small-1"')
    text = changed('model = "small-1"\noutput', "output", text=changed('model = "large-1"\n', "", text=text))
    file = open_scenario(written(tmp_path, text))
    (found,) = refused(file.path, lambda _: file.require_prices(table(price("small-1", "2026-11-09"))))
    assert found.startswith("line 40: [route_defaults]: model: found 'small-1'")


def test_a_shipped_scenario_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = DATASETS / "pam-v1" / "scenarios" / "pam-2025-09.toml"
    for name in ("pam-2025-09", "pam-2025-09.toml", "scenarios/pam-2025-09"):
        assert find_scenario(name) == shipped


def test_a_file_that_exists_is_found_before_a_shipped_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pam-2025-09.toml").touch()
    assert find_scenario("pam-2025-09") == Path("pam-2025-09.toml")
    assert find_scenario(str(tmp_path / "pam-2025-09.toml")) == tmp_path / "pam-2025-09.toml"


def test_a_scenario_that_nobody_has_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DataError, match=r"found no scenario 'pam-2030'; wanted .* pam-2025-09, .*two-models\. Copy"):
        find_scenario("pam-2030")
