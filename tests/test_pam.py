"""The shipped data set is what its card says: whole, untorn, labelled twice, priced."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from router.agreement import agreement
from router.dataset import Dataset, queries_files, scan_all
from router.grouping import GROUP_ABOVE, shingles
from router.lexicon import Lexicon
from router.prices import Price, Usage, read_prices
from router.routes import RouteTable
from router.rows import SPLITS

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
CARD = (PAM / "CARD.md").read_text(encoding="utf-8")
NAMES = {"English": "en", "Spanish": "es", "French": "fr", "German": "de"}
FIRST_FINGERPRINT = "0d991a8ec9ce95debb545d3682147d812d05b200fa7f4fd44ec7754d18a8748f"
HEADS = ("complexity", "domain", "intent", "urgency")


def printed(pattern: str) -> list[str]:
    """The groups of the one place in the card that the pattern describes."""
    (found,) = re.finditer(pattern, CARD)
    return [group.replace(",", "") for group in found.groups()]


@pytest.fixture(scope="module")
def labellings() -> dict[str, dict[str, str]]:
    """id -> the row of both labellings."""
    with (PAM / "labellings.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_no_row_has_a_fault(pam: Dataset) -> None:
    queries, faults = scan_all(queries_files(PAM), pam.card)
    assert (len(queries), faults) == (len(pam), [])


def test_there_are_at_least_1500_queries_and_as_many_as_the_card_says(pam: Dataset) -> None:
    assert len(pam) >= 1_500
    assert [str(len(pam)), str(len({query.persona for query in pam.queries}))] == [
        *printed(r"(?m)^([\d,]+) messages to PAM"),
        *printed(r"voice of one of (\d+) invented people"),
    ]


def test_each_language_has_as_many_queries_as_the_card_says(pam: Dataset) -> None:
    counts = Counter(query.language for query in pam.queries)
    assert counts == {code: int(printed(rf"{name} ([\d,]+)")[0]) for name, code in NAMES.items()}


def test_about_a_fifth_of_the_queries_is_not_english_with_enough_of_each_language_to_judge_it(pam: Dataset) -> None:
    assert 0.15 <= sum(query.language != "en" for query in pam.queries) / len(pam) <= 0.25
    judged = Counter(query.language for query in pam.split("test").queries)
    assert all(judged[code] >= 200 for code in NAMES.values())


def test_there_are_as_many_follow_ups_as_the_card_says(pam: Dataset) -> None:
    follow_ups = pam.where(lambda query: bool(query.context))
    assert [str(len(follow_ups)), *(str(len(follow_ups.split(name))) for name in SPLITS)] == printed(
        r"(\d+) with `context`[^|]*train (\d+) · calibration (\d+) · test (\d+)"
    )


def test_the_first_edition_is_unchanged(pam_first: Dataset) -> None:
    assert pam_first.fingerprint() == FIRST_FINGERPRINT


def test_each_split_has_as_many_queries_as_the_card_says(pam: Dataset) -> None:
    counts = [str(len(pam.split(name))) for name in SPLITS]
    assert counts == printed(r"splits, by person \| train ([\d,]+) · calibration ([\d,]+) · test ([\d,]+)")
    assert sum(map(int, counts)) == len(pam)


@pytest.mark.parametrize("kind", ["persona", "group"])
def test_no_persona_and_no_group_stands_in_two_splits(pam: Dataset, kind: str) -> None:
    splits = defaultdict(set)
    for query in pam.queries:
        if getattr(query, kind) is not None:
            splits[getattr(query, kind)].add(query.split)
    assert [name for name, found in splits.items() if len(found) > 1] == []


def test_every_query_has_a_persona_a_split_and_a_language(pam: Dataset) -> None:
    assert [q.query_id for q in pam.queries if q.persona is None or q.split is None or q.language is None] == []


def test_every_text_is_unique_but_for_case_and_white_space(pam: Dataset) -> None:
    counts = Counter(" ".join(text.casefold().split()) for text in pam.conversations)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_near_duplicate_is_left_but_one_persons_follow_ups_under_one_context(pam: Dataset) -> None:
    # Two sets that overlap by t (Jaccard) share one of the |a| - ceil(t |a|) + 1 rarest of a: all others need no look.
    sets = [shingles(text) for text in pam.conversations]
    frequency = Counter(gram for grams in sets for gram in grams)
    posting: dict[str, list[int]] = defaultdict(list)
    left: list[tuple[str | None, str | None]] = []
    for j, grams in enumerate(sets):
        rarest = sorted(grams, key=frequency.__getitem__)[: len(grams) - math.ceil(GROUP_ABOVE * len(grams)) + 1]
        for i in {i for gram in rarest for i in posting[gram]}:
            shared = len(grams & sets[i])
            if shared >= GROUP_ABOVE * (len(grams) + len(sets[i]) - shared):
                both = pam.queries[i], pam.queries[j]
                if not (any(query.context for query in both) and both[0].persona == both[1].persona):
                    left.append((both[0].text, both[1].text))
        for gram in rarest:
            posting[gram].append(j)
    assert left == []


@pytest.mark.parametrize("split", SPLITS)
def test_every_label_of_the_card_and_no_other_occurs_in_every_split(pam: Dataset, split: str) -> None:
    part = pam.split(split)
    assert {head: set(part.labels(head)) - {None} for head in HEADS} == {
        head: set(pam.card.heads[head]) for head in HEADS
    }
    assert {desk for query in part.queries for desk in query.labels.also} == set(pam.card.also)


def test_the_heads_of_the_card_are_the_four_of_the_guide(pam: Dataset) -> None:
    assert tuple(pam.card.heads) == HEADS


def test_about_half_of_the_queries_is_simple(pam: Dataset) -> None:
    labels = [label for label in pam.labels("complexity") if label is not None]
    assert labels.count("simple") / len(labels) == pytest.approx(0.5, abs=0.03)


def test_chat_can_always_wait(pam: Dataset) -> None:
    rows = zip(pam.labels("intent"), pam.labels("urgency"), strict=True)
    assert {urgency for intent, urgency in rows if intent == "chat"} <= {"low", None}


def test_no_desk_is_named_as_a_further_one_of_its_own_query(pam: Dataset) -> None:
    assert [q.query_id for q in pam.queries if q.labels.heads["domain"] in q.labels.also] == []


def test_every_query_was_labelled_twice(pam: Dataset, labellings: dict[str, dict[str, str]]) -> None:
    assert set(labellings) == {query.query_id for query in pam.queries}


@pytest.mark.parametrize("head", HEADS)
def test_a_label_is_open_exactly_where_the_two_labellers_differ(
    pam: Dataset, labellings: dict[str, dict[str, str]], head: str
) -> None:
    both = [(labellings[query.query_id][f"{head}_1"], labellings[query.query_id][f"{head}_2"]) for query in pam.queries]
    assert pam.labels(head) == [first if first == second else None for first, second in both]


def test_the_further_desks_are_the_writers(pam: Dataset, labellings: dict[str, dict[str, str]]) -> None:
    writers = [set(labellings[query.query_id]["also_1"].split("+")) - {""} for query in pam.queries]
    assert [set(query.labels.also) for query in pam.queries] == writers


@pytest.mark.parametrize("head", [*HEADS, "also"])
def test_the_card_prints_the_agreement_that_the_labellings_show(
    labellings: dict[str, dict[str, str]], head: str
) -> None:
    first, second = ([row[f"{head}_{side}"] for row in labellings.values()] for side in (1, 2))
    agree = sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
    chance = sum(first.count(label) * second.count(label) for label in set(first)) / len(first) ** 2
    kappa = (agree - chance) / (1 - chance)
    assert printed(rf"\| {head} \| ([\d.]+) % \| ([\d.]+) \|") == [f"{agree:.1%}"[:-1], f"{kappa:.3f}"]


def test_the_card_file_tells_the_same_agreement(pam: Dataset) -> None:
    found = agreement(PAM, pam.card)
    assert pam.card.agreement == {head: round(found[head]["agreement"], 3) for head in pam.card.heads}


def test_every_cue_word_of_the_lexicon_counts_for_its_own_label(lexicon: Lexicon) -> None:
    dead = []
    for column, (head, label) in enumerate(lexicon.columns):
        terms = lexicon.terms[head][label]
        # a stem may be another label's whole word (toldo*, toldo): then it counts with an ending
        stands = [lexicon.counts([t.replace("*", ending) for t in terms])[:, column] > 0 for ending in ("", "xq")]
        dead += [(head, label, term) for term, *counts in zip(terms, *stands, strict=True) if not any(counts)]
    assert dead == []


def test_every_route_has_a_model_with_a_shipped_price(table: RouteTable) -> None:
    assert {route.model for route in table.routes} <= set(read_prices().prices)
    assert min(table.cost_usd(read_prices()).values()) > 0


def test_every_domain_with_a_desk_has_a_route(table: RouteTable, pam: Dataset) -> None:
    assert {route.desk for route in table.routes} - {None} == set(pam.card.also)


def shipped() -> list[Price]:
    return [price for prices in read_prices().prices.values() for price in prices]


@pytest.mark.parametrize("price", shipped(), ids=lambda price: f"{price.model} {price.effective_from}")
def test_a_shipped_price_names_its_source_and_is_half_in_batches_and_less_from_the_cache(price: Price) -> None:
    fresh = price.cost_usd(Usage(input_tokens=1_000, output_tokens=0))
    assert price.source
    assert price.cost_usd(Usage(input_tokens=1_000, output_tokens=0), tier="batch") == pytest.approx(fresh / 2)
    assert price.cost_usd(Usage(input_tokens=1_000, output_tokens=0, cache_read_tokens=1_000)) < fresh
