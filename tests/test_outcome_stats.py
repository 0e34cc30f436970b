"""The figures of an outcome table, and what `data check` and `data stats` print of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from router.outcome_commands import check_outcomes, stats_outcomes
from router.outcome_stats import NO_COMPLETE, NO_COST, describe_outcomes
from router.outcomes import Outcomes, equal_texts

NAN = float("nan")


def table(score: Any, cost: Any, **changed: Any) -> Outcomes:  # Any: rows of numbers; fields of the record
    scores = np.array(score, dtype=float)
    n, m = scores.shape
    texts = tuple(f"text {i}" for i in range(n))
    fields: dict[str, Any] = {
        "name": "toy",
        "ids": tuple(f"q{i}" for i in range(n)),
        "texts": texts,
        "models": tuple("abcdefgh"[:m]),
        "score": scores,
        "cost_usd": np.array(cost, dtype=float),
        **dict.fromkeys(("input_tokens", "output_tokens", "latency_ms"), np.full((n, m), NAN)),
        "dataset": (None,) * n,
        "split": (None,) * n,
        "unit": equal_texts(texts),
    }
    return Outcomes(**{**fields, **changed})


TOY = table(
    [[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, NAN, 0]],
    [[1, 2, 9], [1, 2, 9], [1, NAN, 9], [1, NAN, 9]],
    dataset=("maths", "law", "maths", None),
    split=("train", "train", "test", "test"),
)


def test_every_figure_is_what_it_is_by_hand() -> None:
    figures = describe_outcomes(TOY)
    assert figures == {
        "name": "toy",
        "queries": 4,
        "complete": 3,
        "texts": 4,
        "models": [
            {"model": "a", "mean_score": 0.5, "scores": 4, "mean_cost_usd": 1.0, "costs": 4},
            {"model": "b", "mean_score": pytest.approx(1 / 3), "scores": 3, "mean_cost_usd": 2.0, "costs": 2},
            {"model": "c", "mean_score": 0.75, "scores": 4, "mean_cost_usd": 9.0, "costs": 4},
        ],
        "datasets": {"maths": 2, "(none)": 1, "law": 1},
        "splits": {"test": 2, "train": 2},
        "best_single": {"model": "c", "score": 1.0, "cost_usd": 9.0, "n": 3, "reason": None},
        "oracle": {"model": None, "score": 1.0, "cost_usd": 4.0, "n": 3, "reason": None},
        "only_right": {
            "a": {"b": pytest.approx(1 / 3), "c": 0.25},
            "b": {"a": pytest.approx(1 / 3), "c": 0.0},
            "c": {"a": 0.5, "b": pytest.approx(2 / 3)},
        },
        "fingerprint": TOY.fingerprint(),
    }


def test_the_best_single_model_is_the_cheaper_of_two_that_tie() -> None:
    assert describe_outcomes(table([[1, 0], [0, 1]], [[1, 2]] * 2))["best_single"]["model"] == "a"


def test_graded_scores_count_for_the_higher_one() -> None:
    figures = describe_outcomes(table([[0.2, 0.7], [0.5, 0.5], [0.9, 0.1], [0.3, 0.4]], [[1, 2]] * 4))
    assert figures["only_right"] == {"a": {"b": 0.25}, "b": {"a": 0.5}}
    assert figures["oracle"]["score"] == pytest.approx((0.7 + 0.5 + 0.9 + 0.4) / 4)
    assert figures["oracle"]["cost_usd"] == pytest.approx((2 + 1 + 1 + 2) / 4)


def test_without_costs_they_are_null_with_a_reason() -> None:
    figures = describe_outcomes(table([[0, 1], [1, 1]], np.full((2, 2), NAN)))
    assert figures["oracle"] == {"model": None, "score": 1.0, "cost_usd": None, "n": 2, "reason": NO_COST}
    assert [entry["mean_cost_usd"] for entry in figures["models"]] == [None, None]


def test_without_a_complete_query_there_is_no_oracle_and_the_reason_is_said() -> None:
    figures = describe_outcomes(table([[0, NAN], [NAN, 1]], [[1, 2]] * 2))
    nothing = {"model": None, "score": None, "cost_usd": None, "n": 0, "reason": NO_COMPLETE}
    assert figures["oracle"] == figures["best_single"] == nothing
    assert figures["only_right"] == {"a": {"b": None}, "b": {"a": None}}


def test_one_model_is_its_own_oracle() -> None:
    figures = describe_outcomes(table([[0.5], [1.0]], [[1], [3]]))
    assert figures["oracle"]["score"] == figures["best_single"]["score"] == 0.75
    assert figures["oracle"]["cost_usd"] == 2.0
    assert figures["only_right"] == {"a": {}}


def test_the_figures_do_not_depend_on_the_order_of_the_queries() -> None:
    assert describe_outcomes(TOY.rows(np.array([2, 0, 3, 1]))) == describe_outcomes(TOY)


HEADER = "query_id,query,model,score,cost_usd,split"
GOOD = f"""{HEADER}
q1,first [text],[cheap],1,0.1,train
q1,first [text],dear,1,0.5,train
q2,second text,[cheap],0,0.1,test
q2,second text,dear,1,,test
"""


def test_check_prints_the_findings_and_writes_them_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    check_outcomes(path, None, tmp_path / "out.json")
    said = capsys.readouterr().out
    assert "- The cost of 1 call is missing (dear 1); it is filled" in said
    assert said.endswith("4 rows: 2 good queries, 2 models, 0 faults.\n")
    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["queries"], written["models"], written["faults"]) == (2, ["[cheap]", "dear"], [])
    assert [entry["rule"] for entry in written["findings"]] == ["constant", "missing-cost"]


def test_check_lists_every_fault_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD + "".join(f"q{i},text,m,{i},-1,train\n" for i in range(3, 9)))
    with pytest.raises(typer.Exit) as caught:
        check_outcomes(path, None, tmp_path / "out.json")
    assert caught.value.exit_code == 2
    said = capsys.readouterr().out
    assert all(f"line {line}, field '{field}'" in said for line in range(6, 12) for field in ("score", "cost_usd"))
    assert said.endswith("10 rows, 12 faults.\n")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["queries"] is None
    assert len(written["faults"]) == 12
    first = written["faults"][0]
    assert (first["file"], first["line"], first["field"]) == (str(path), 6, "score")


def test_check_reads_their_columns_through_the_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD.replace("score", "correct"))
    check_outcomes(path, "score=correct", None)
    assert "2 good queries" in capsys.readouterr().out


def test_stats_print_models_splits_and_pairs_and_write_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD)
    stats_outcomes(path, None, tmp_path / "out.json")
    said = capsys.readouterr().out
    assert "2 queries (2 complete, 2 different texts), 2 models" in said
    for shown in ("[cheap]", "best single: dear", "oracle", "train", "2 dear"):
        assert shown in said
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["oracle"]["score"] == 1.0
    assert written["only_right"] == {"[cheap]": {"dear": 0.0}, "dear": {"[cheap]": 0.5}}
    assert [entry["rule"] for entry in written["findings"]] == ["constant", "missing-cost"]
