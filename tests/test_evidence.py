"""Evidence: what is no comparison cannot be written down, what is written is read back, and the gate lists every lack."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DataError
from router.evidence import Evidence, GuaranteeRecord, evidence_from_mapping, read_evidence, write_evidence
from router.gate import PromotionError, shortcomings

OURS, THEIRS, OTHER = "a" * 16, "b" * 16, "c" * 16
DATA = "d" * 64
GUARANTEE = GuaranteeRecord(
    bundle=OURS,
    epsilon=0.02,
    delta=0.05,
    n=2_800,
    threshold=0.62,
    against="gpt-4-1106",
    expected_usd=0.004,
    sentence="with probability ≥ 0.95 the quality loss against gpt-4-1106 is ≤ 0.02",
)
EVIDENCE = Evidence(
    challenger=OURS,
    champion=THEIRS,
    baseline=None,
    challenger_fingerprint=DATA,
    champion_fingerprint=DATA,
    metric="apgr",
    higher_is_better=True,
    n=2_807,
    estimate=0.03,
    low=0.01,
    high=0.05,
    guarantee=GUARANTEE,
)
NAMES = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def lacks(evidence: Evidence = EVIDENCE, **changed: Any) -> list[str]:  # Any: arguments of the gate
    """What the gate says of bundle OURS that challenges THEIRS."""
    asked: dict[str, Any] = {"bundle": OURS, "champion": THEIRS, "threshold": 0.62, "margin": 0.0}
    asked |= {"require_guarantee": True, **changed}
    return [what for what, _ in shortcomings(evidence, name="router", **asked)]


def mapping(**changed: Any) -> dict[str, Any]:  # Any: whatever JSON can hold
    return {**EVIDENCE.to_mapping(), **changed}


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    write_evidence(EVIDENCE, tmp_path / "e.json")
    assert read_evidence(tmp_path / "e.json") == EVIDENCE


@settings(deadline=None, max_examples=40)
@given(name=NAMES, n=st.integers(0, 10**9), bounds=st.tuples(FINITE, FINITE), estimate=FINITE, dear=st.none() | FINITE)
def test_any_evidence_survives_json_with_its_digest(
    name: str, n: int, bounds: tuple[float, float], estimate: float, dear: float | None
) -> None:
    guarantee = replace(GUARANTEE, expected_usd=None if dear is None else abs(dear))
    low, high = sorted(bounds)
    evidence = replace(EVIDENCE, metric=name, n=n, low=low, high=high, estimate=estimate, guarantee=guarantee)
    again = evidence_from_mapping(json.loads(json.dumps(evidence.to_mapping())), where="memory")
    assert (again, again.digest()) == (evidence, evidence.digest())


def test_a_whole_number_and_its_decimal_form_have_one_digest() -> None:
    assert replace(EVIDENCE, low=0).digest() == replace(EVIDENCE, low=0.0).digest()


def test_numpy_figures_are_kept_as_plain_numbers() -> None:
    evidence = replace(EVIDENCE, n=np.int64(7), estimate=np.float32(0.5), high=np.float64(0.75))  # type: ignore[arg-type]  # the judge's arrays
    assert json.loads(json.dumps(evidence.to_mapping())) == mapping(n=7, estimate=0.5, high=0.75)


def test_one_changed_figure_changes_the_digest() -> None:
    assert replace(EVIDENCE, n=2_808).digest() != EVIDENCE.digest()


@pytest.mark.parametrize("name", ["estimate", "low", "high"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.5", True, [0.5], 10**400])
def test_a_figure_that_is_no_finite_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"e.json: evidence: {name} is .*; wanted a finite number"):
        evidence_from_mapping(mapping(**{name: value}), where="e.json")


@pytest.mark.parametrize("value", [-1, 2.0, "7", None, True])
def test_a_count_that_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"n is .*; wanted a whole number of 0 or more"):
        evidence_from_mapping(mapping(n=value), where="e.json")


@pytest.mark.parametrize("name", ["challenger", "challenger_fingerprint", "champion_fingerprint", "metric"])
@pytest.mark.parametrize("value", ["", "  ", None, 7, "two\nlines", "\ud800"])
def test_a_name_that_is_no_line_of_text_is_refused(name: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"{name} is .*; wanted one line of text"):
        evidence_from_mapping(mapping(**{name: value}), where="e.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"low": 0.2, "high": 0.1}, "ends before it begins"),
        ({"higher_is_better": 1}, "higher_is_better is 1; wanted true or false"),
        ({"baseline": "lr"}, "names a champion and a baseline"),
        ({"champion": None}, "baseline is None; wanted one line of text"),
        ({"champion": ""}, "champion is ''"),
        ({"extra": 1}, "has an unknown extra"),
        ({"schema_version": 2}, "newer than this version reads .*update Weighbridge"),
        ({"schema_version": 0}, "schema_version is 0"),
        ({"schema_version": "1"}, "schema_version is '1'"),
        ({"guarantee": [1]}, "guarantee is list; wanted a table"),
        ({"guarantee": {"epsilon": 0.1}}, "lacks guarantee.against, lacks guarantee.bundle"),
    ],
)
def test_what_is_no_comparison_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        evidence_from_mapping(mapping(**changed), where="e.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epsilon": 0.0}, "strictly between 0 and 1"),
        ({"epsilon": 1.0}, "strictly between 0 and 1"),
        ({"delta": 0.0}, "strictly between 0 and 1"),
        ({"delta": 1.0}, "strictly between 0 and 1"),
        ({"n": 0}, "n is 0; wanted a whole number of 1 or more"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"expected_usd": -0.01}, "expected_usd is -0.01; wanted 0 or more"),
        ({"sentence": ""}, "sentence is ''"),
    ],
)
def test_a_guarantee_that_bounds_nothing_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        replace(GUARANTEE, **changed)


def test_all_keys_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(DataError, match="lacks high, lacks low"):
        evidence_from_mapping(
            {key: value for key, value in mapping().items() if key not in ("low", "high")}, where="e.json"
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not evidence"),
        ("[]", "it is list; wanted a table"),
        ("{", "not evidence"),
        ('{"n": 1, "n": 2}', "a key stands twice"),
        ("[" * 100_000, "not evidence"),
    ],
    ids=["empty", "a list", "half", "a key twice", "deep"],
)
def test_a_file_that_is_no_evidence_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "e.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=rf"e.json: .*{said}"):
        read_evidence(tmp_path / "e.json")


def test_a_file_that_is_missing_is_refused_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.json: no such file.*weighbridge evidence"):
        read_evidence(tmp_path / "none.json")


def test_evidence_that_holds_lacks_nothing() -> None:
    assert lacks() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"challenger": OTHER}, f"the evidence is about bundle {OTHER}, not about this one"),
        ({"champion": OTHER}, f"it compares with bundle {OTHER}, which is not the champion now: that is {THEIRS}"),
        ({"champion": None, "baseline": "lr"}, f"it compares with the baseline lr, not with the champion {THEIRS}"),
        (
            {"champion_fingerprint": "e" * 64},
            "the two sides were judged on different data (fingerprints dddddddddddddddd and eeeeeeeeeeeeeeee)",
        ),
        ({"n": 0}, "no query was compared (n is 0)"),
        (
            {"low": -0.004},
            "it may be worse by 0.004 in apgr, more than the margin 0"
            f" (apgr +0.03 [-0.004, +0.05] against {THEIRS}, n 2,807)",
        ),
        ({"guarantee": None}, "it has no guarantee, and one is asked for"),
        (
            {"guarantee": replace(GUARANTEE, bundle=OTHER)},
            f"the guarantee is for bundle {OTHER}, not for this one",
        ),
        (
            {"guarantee": replace(GUARANTEE, threshold=0.5)},
            "the guarantee holds at threshold 0.5, the bundle decides at 0.62",
        ),
    ],
)
def test_each_lack_is_said(changed: dict[str, Any], said: str) -> None:
    assert lacks(replace(EVIDENCE, **changed)) == [said]


def test_a_first_champion_is_compared_with_a_baseline() -> None:
    assert lacks(champion=None) == [
        f"it compares with bundle {THEIRS}, but router has no champion: compare with a baseline"
    ]
    assert lacks(replace(EVIDENCE, champion=None, baseline="lr"), champion=None) == []


def test_a_champion_is_not_promoted_over_itself() -> None:
    assert lacks(champion=OURS) == ["this bundle is the champion already"]


def test_a_guarantee_that_nobody_asked_for_may_be_missing_but_not_be_of_another_bundle() -> None:
    assert lacks(replace(EVIDENCE, guarantee=None), require_guarantee=False) == []
    assert len(lacks(replace(EVIDENCE, guarantee=replace(GUARANTEE, bundle=OTHER)), require_guarantee=False)) == 1


def test_a_bundle_without_a_threshold_of_its_own_takes_the_guarantee_as_it_is() -> None:
    assert lacks(threshold=None) == []


def test_a_threshold_that_is_no_number_does_not_pass_for_the_guarantees() -> None:
    assert lacks(threshold="0.62x") == ["the guarantee holds at threshold 0.62, the bundle decides at 0.62x"]


def test_everything_that_is_missing_is_listed_at_once_with_the_next_command() -> None:
    worst = replace(EVIDENCE, challenger=OTHER, champion=OTHER, champion_fingerprint="e", n=0, low=-1, guarantee=None)
    found = shortcomings(
        worst, name="router", bundle=OURS, champion=THEIRS, threshold=0.62, margin=0.0, require_guarantee=True
    )
    error = PromotionError("router", OURS, found)
    assert len(error.reasons) == 6
    assert all(reason in str(error) for reason in error.reasons)
    assert "Next: `weighbridge evidence --bundle B" in str(error)


@settings(deadline=None, max_examples=50)
@given(low=st.floats(-1, 1), width=st.floats(0, 1), margin=st.floats(0, 1))
def test_the_margin_is_on_the_unfavourable_end_whichever_way_is_better(low: float, width: float, margin: float) -> None:
    up = replace(EVIDENCE, low=low, high=low + width)
    down = replace(EVIDENCE, low=-(low + width), high=-low, higher_is_better=False)
    assert bool(lacks(up, margin=margin)) == (low < -margin)
    assert bool(lacks(down, margin=margin)) == (low < -margin)


def test_an_interval_that_ends_at_the_margin_holds() -> None:
    assert lacks(replace(EVIDENCE, low=-0.02), margin=0.02) == []
