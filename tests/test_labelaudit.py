"""Label audit: suspects are counted as confident learning counts them, and labels that were spoilt on purpose are found."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cli
from eval.labelaudit import (
    NOBODY,
    confident_classes,
    confident_joint,
    confident_thresholds,
    doubted,
    joint_shares,
    noise_draws,
    noise_share,
    suspects,
)
from eval.labelled_rows import HeldOutHeads, LabelledRows, held_out_heads, labelled_rows
from eval.next_labels import choose, doubt, next_labels
from router.encoders.hashing import HashingEncoder
from router.scoring import Floats, Ints
from router.types import Labels, Query
from tests.labelled import COARSE, NOUNS, dataset, labelled, write

SPOILT_EVERY = 12  # labels; 8.3 % are wrong
SILENT = lambda _: None  # noqa: E731 -- the listener

# Six labels, of a (0) and b (1), by hand. P(a): 0.9 0.8 0.2 for the three labelled a, 0.1 0.3 0.6 for the three labelled b.
# Thresholds: a (0.9 + 0.8 + 0.2) / 3 = 0.6333, b (0.9 + 0.7 + 0.4) / 3 = 0.6667.
# Confident: a, a, b (0.8 >= 0.6667), b, b, and nobody for the last (0.6 < 0.6333, 0.4 < 0.6667).
SIX_P = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.6, 0.4]])
SIX_Y = np.array([0, 0, 0, 1, 1, 1])


def test_six_labels_by_hand() -> None:
    thresholds = confident_thresholds(SIX_P, SIX_Y)
    assert thresholds.tolist() == pytest.approx([1.9 / 3, 2.0 / 3])
    assert confident_classes(SIX_P, thresholds).tolist() == [0, 0, 1, 1, 1, NOBODY]
    assert confident_joint(SIX_P, SIX_Y).tolist() == [[2, 1], [0, 2]]
    # each row scaled to its half of the labels: 2/3 and 1/3 of it, and 0 and all of it
    assert joint_shares(SIX_P, SIX_Y).ravel().tolist() == pytest.approx([1 / 3, 1 / 6, 0, 1 / 2])
    assert noise_share(SIX_P, SIX_Y) == pytest.approx(1 / 6)
    flag, suggested = doubted(SIX_P, SIX_Y)
    assert flag.tolist() == [False, False, True, False, False, False]
    assert suggested[2] == 1


def test_of_several_thresholds_reached_the_likeliest_class_counts() -> None:
    assert confident_classes(np.array([[0.2, 0.35, 0.45]]), np.array([0.1, 0.3, 0.4])).tolist() == [2]


def test_a_class_without_a_label_is_nobody_s() -> None:
    p = np.array([[0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
    assert confident_thresholds(p, np.array([0, 1])).tolist() == pytest.approx([0.1, 0.6, np.inf])
    assert confident_joint(p, np.array([0, 1]))[:, 2].tolist() == [0, 0, 1]  # the one that is taken to be right


def test_a_label_that_is_the_likeliest_is_no_suspect_however_rare_the_other() -> None:
    # c is rarely given a chance: its threshold is 0.2; the last row reaches that alone, yet a is its likeliest and its label
    p = np.array([[0.9, 0.05, 0.05], [0.1, 0.85, 0.05], [0.5, 0.3, 0.2], [0.6, 0.19, 0.21]])
    y = np.array([0, 1, 2, 0])
    assert confident_classes(p, confident_thresholds(p, y))[3] == 2
    assert not doubted(p, y)[0][3]


def by_definition(p: Floats, y: Ints) -> list[list[int]]:
    """The confident joint as cleanlab's documentation of `compute_confident_joint` spells it out, row by row."""
    k = p.shape[1]
    thresholds = np.array([np.mean(p[:, j][y == j]) if (y == j).any() else 2 for j in range(k)])
    joint = np.zeros((k, k), dtype=int)
    for row, label in zip(p, y, strict=True):
        bins = row >= thresholds - 1e-6
        if bins.sum() == 1:
            joint[label][np.argmax(bins)] += 1
        elif bins.sum() > 1:
            joint[label][np.argmax(row)] += 1
    return [[max(1, joint[i][j]) if i == j else joint[i][j] for j in range(k)] for i in range(k)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Ints]:
    k, n = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    raw = draw(hnp.arrays(float, (n, k), elements=st.integers(1, 20).map(float)))
    return raw / raw.sum(axis=1, keepdims=True), draw(hnp.arrays(np.intp, n, elements=st.integers(0, k - 1)))


@given(tables())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_joint_is_the_published_one_and_its_rows_are_the_labels_shares(table: tuple[Floats, Ints]) -> None:
    p, y = table
    assert confident_joint(p, y).tolist() == by_definition(p, y)
    shares = joint_shares(p, y)
    assert shares.sum(axis=1).tolist() == pytest.approx((np.bincount(y, minlength=p.shape[1]) / len(y)).tolist())
    assert 0 <= noise_share(p, y) + 1e-12 <= 1 + 1e-9


@given(tables())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_row_that_weighs_two_counts_as_two_rows(table: tuple[Floats, Ints]) -> None:
    p, y = table
    weight = np.array([1.0 + i % 2 for i in range(len(y))])
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    assert joint_shares(p, y, weight) == pytest.approx(joint_shares(p[twice], y[twice]))


def test_people_are_drawn_whole_for_the_interval() -> None:
    # of two people one has every label wrong and is sure of it; half the draws hold both, a quarter one of them twice
    p = np.tile([[0.9, 0.1], [0.1, 0.9]], (4, 1))
    y = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    together = noise_draws(p, y, ["a"] * 4 + ["b"] * 4, rng=np.random.default_rng(0), draws=400)
    apart = noise_draws(p, y, range(8), rng=np.random.default_rng(0), draws=400)
    assert together.std() > apart.std()
    assert together.min() < 0.1


# ---- labels spoilt on purpose ----


@pytest.fixture(scope="module")
def spoilt() -> dict[str, str]:
    """Query id -> the label of `thing` that was taken from it."""
    return {
        query.query_id: str(query.labels.heads["thing"]) for query in labelled()[::SPOILT_EVERY][: 288 // SPOILT_EVERY]
    }


def spoil(query: Query, taken: dict[str, str]) -> Query:
    """Another label in the place of the one that was taken, the next of the list."""
    if query.query_id not in taken:
        return query
    things = list(NOUNS)
    wrong = things[(things.index(taken[query.query_id]) + 1) % len(things)]
    return replace(query, labels=Labels(heads={**query.labels.heads, "thing": wrong}))


def rows_of(queries: Sequence[Query]) -> LabelledRows:
    return labelled_rows(dataset(queries), HashingEncoder(), None, SILENT)


@pytest.fixture(scope="module")
def audited(spoilt: dict[str, str]) -> tuple[LabelledRows, HeldOutHeads]:
    rows = rows_of([spoil(query, spoilt) for query in labelled()])
    return rows, held_out_heads(rows, ["thing", "shelf"], seed=0, notify=SILENT)


def test_suspects_are_spoilt_labels_ten_times_as_often_as_chance(
    audited: tuple[LabelledRows, HeldOutHeads], spoilt: dict[str, str]
) -> None:
    rows, heads = audited
    found = suspects(rows, heads.fitted["thing"])
    hits = [entry for entry in found if entry.query.query_id in spoilt]
    chance = len(spoilt) / len(rows)
    assert chance == pytest.approx(1 / SPOILT_EVERY)
    assert len(hits) / len(found) > 10 * chance
    assert len(hits) / len(spoilt) > 0.7
    right = [entry for entry in hits if entry.suggested == spoilt[entry.query.query_id]]
    assert len(right) / len(hits) > 0.9


def test_the_widest_margin_stands_first(audited: tuple[LabelledRows, HeldOutHeads]) -> None:
    rows, heads = audited
    margins = [entry.margin for entry in suspects(rows, heads.fitted["thing"])]
    assert margins == sorted(margins, reverse=True)


def test_the_noise_share_is_near_the_share_that_was_spoilt_where_the_model_is_good(
    audited: tuple[LabelledRows, HeldOutHeads], spoilt: dict[str, str]
) -> None:
    rows, heads = audited
    fitted = heads.fitted["thing"]
    y = np.array([fitted.head.classes.index(str(rows.dataset.labels("thing")[i])) for i in fitted.index])
    assert noise_share(fitted.oof, y) == pytest.approx(len(spoilt) / len(rows), abs=0.04)


# ---- what to label next ----


def test_doubt_times_distance_chooses_and_what_is_chosen_is_known() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    known = np.array([[1.0, 0.0]], dtype=np.float32)
    worth = np.array([1.0, 0.5, 0.6, 0.9])
    # distances to what is known: 0, 1, 1, 0.4. Values: 0, 0.5, 0.6, 0.36: the third. Then its twin has 0, the last 0.2
    assert choose(worth, rows, known, count=3) == [(2, 1.0), (3, pytest.approx(0.2))]


def test_with_nothing_labelled_the_most_doubted_comes_first() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert [i for i, _ in choose(np.array([0.1, 0.9, 0.5]), rows, rows[:0], count=3)] == [1, 2, 0]


def test_doubt_is_a_share_of_the_most_there_could_be() -> None:
    assert doubt(np.full((1, 7), 1 / 7)) == pytest.approx(1.0)
    assert doubt(np.array([[0.9, 0.1]]))[0] == pytest.approx((0.9 * np.log(1 / 0.9) + 0.1 * np.log(10)) / np.log(2))


def unlabelled(*texts: str) -> list[Query]:
    return [Query(query_id=f"new-{i}", text=text) for i, text in enumerate(texts)]


def test_a_pool_gives_what_is_new_and_doubted_and_no_text_twice(audited: tuple[LabelledRows, HeldOutHeads]) -> None:
    rows, heads = audited
    known = rows.dataset.queries[5].text
    pool = dataset(unlabelled(known, "what is the meaning of quarks", "what is the meaning of quarks", "apple room"))
    found = next_labels(rows, heads, ["thing"], count=4, pool=pool)
    assert found["candidates"] == 4
    assert {entry["id"] for entry in found["queries"]} in ({"new-1", "new-3"}, {"new-2", "new-3"})
    assert "repeat" in found["reason"]
    assert set(found["queries"][0]["guesses"]) == {"thing"}


def test_of_the_set_itself_only_queries_that_lack_a_label_are_named() -> None:
    queries = labelled()
    queries[7] = replace(queries[7], labels=Labels(heads={**queries[7].labels.heads, "thing": None}))
    rows = rows_of(queries)
    heads = held_out_heads(rows, ["thing", "shelf"], seed=0, notify=SILENT)
    found = next_labels(rows, heads, ["thing", "shelf"], count=2, pool=None)
    assert [entry["id"] for entry in found["queries"]] == [queries[7].query_id]
    assert set(found["queries"][0]["guesses"]) == {"thing"}
    assert next_labels(rows, heads, ["shelf"], count=2, pool=None)["reason"].startswith(
        "every query has all its labels"
    )


def test_a_head_that_comes_later_knows_of_each_query_what_the_first_thinks_of_it_unseen(spoilt: dict[str, str]) -> None:
    open_ = {query.query_id for query in labelled()[5::SPOILT_EVERY]}
    queries = [
        replace(query, labels=Labels(heads={**query.labels.heads, "thing": None})) if query.query_id in open_ else query
        for query in (spoil(query, spoilt) for query in labelled())
    ]
    rows = rows_of(queries)
    heads = held_out_heads(rows, ["shelf"], seed=0, notify=SILENT)
    assert (heads.lead, set(heads.fitted)) == ("thing", {"thing", "shelf"})
    seen = rows.features.with_finer(heads.fitted["thing"].head.probabilities(rows.features)).finer
    assert seen is not None
    assert heads.informed.finer is not None
    gap = np.abs(heads.informed.finer - seen).max(axis=1)
    assert gap[5::SPOILT_EVERY].max() < 1e-4  # no label: the model of all labels has not seen them
    assert gap[::SPOILT_EVERY].max() > 0.1  # a wrong label: the model that learned it would repeat it


# ---- the command ----


def weighbridge(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as done:
        cli.app(["data", "audit", "--encoder", "hashing", *(str(argument) for argument in arguments)])
    return int(done.value.code or 0)


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    monkeypatch.setattr("sys.argv", ["weighbridge", "data", "audit", "-e", "hashing", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    return capsys.readouterr().err


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


SPLITS = ("train", "train", "train", "calibration", "test")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, spoilt: dict[str, str]) -> Path:
    """A place with the data set `d`, and the audit's `a.json` and `a.csv`."""
    place = tmp_path_factory.mktemp("audit")
    write(place / "d", [spoil(query, spoilt) for query in labelled(splits=SPLITS)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIGHBRIDGE_CACHE", str(place / "cache"))
        assert weighbridge("-d", place / "d", "--json", place / "a.json", "--csv", place / "a.csv", "--top", 5) == 0
    return place


def test_the_figures_have_every_key_and_null_with_a_reason(told: Path) -> None:
    found = written(told / "a.json")
    assert (found["split"], found["n_queries"], found["next"]) == ("train + calibration", 240, None)
    assert set(found["heads"]) == {"shelf", "thing"}  # mood has no label at all
    entry = found["heads"]["thing"]
    assert entry["n"] == 240
    assert len(entry["top"]) == 5 <= entry["suspects"]
    low, high = entry["noise_share_ci"]
    assert low <= entry["noise_share"] <= high
    assert sum(map(sum, entry["joint"]["rows"])) == pytest.approx(1, abs=1e-4)
    assert sum(pair["n"] for pair in entry["pairs"]) == entry["suspects"]


def test_a_head_without_enough_labels_keeps_its_keys_and_says_why(told: Path, tmp_path: Path) -> None:
    queries = labelled(splits=SPLITS)
    queries[0] = replace(queries[0], labels=Labels(heads={**queries[0].labels.heads, "mood": "good"}))
    write(tmp_path / "d", queries)
    assert weighbridge("-d", tmp_path / "d", "--json", tmp_path / "a.json") == 0
    found = written(tmp_path / "a.json")["heads"]
    assert set(found["mood"]) == set(found["thing"])
    assert found["mood"]["noise_share"] is None
    assert "'bad' has 0" in found["mood"]["reason"]


def test_the_csv_has_a_row_for_every_suspect_told(told: Path) -> None:
    with (told / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = written(told / "a.json")["heads"]
    assert [(row["id"], row["head"], row["suggested"]) for row in rows] == [
        (entry["id"], head, entry["suggested"]) for head in found for entry in found[head]["top"]
    ]
    assert all(COARSE.get(row["given"], row["given"]) in ("travel", "food") for row in rows)


def test_test_labels_are_not_looked_at_unless_asked_for(told: Path, tmp_path: Path, spoilt: dict[str, str]) -> None:
    queries = [spoil(query, spoilt) for query in labelled(splits=SPLITS)]
    other = [replace(q, labels=Labels(heads={"thing": "bread", "shelf": "food"})) if q.split == "test" else q for q in queries]  # fmt: skip
    write(tmp_path / "d", other)
    assert weighbridge("-d", tmp_path / "d", "--json", tmp_path / "a.json", "--top", 5) == 0
    assert written(tmp_path / "a.json") == written(told / "a.json")
    assert weighbridge("-d", told / "d", "--split", "test", "--head", "shelf", "--json", tmp_path / "t.json") == 0
    assert (written(tmp_path / "t.json")["split"], written(tmp_path / "t.json")["n_queries"]) == ("test", 48)


def test_a_pool_is_read_with_the_set_s_own_card(told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pool.jsonl").write_text('{"id": "p1", "text": "fly me to the moon [now]", "context": ["hello"]}\n')
    asked = ("-d", told / "d", "--head", "shelf", "--next", 2, "--pool", tmp_path / "pool.jsonl", "--top", 0)
    assert weighbridge(*asked, "--json", tmp_path / "a.json") == 0
    found = written(tmp_path / "a.json")["next"]
    assert [entry["id"] for entry in found["queries"]] == ["p1"]
    assert (found["asked"], found["source"], found["candidates"]) == (2, "pool", 1)
    said = capsys.readouterr().out
    assert "hello » fly me to the moon [now]" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--head", "colour"), "has the heads shelf, thing, mood"),
        (("--split", "calibration", "--head", "mood"), "mood"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(
    told: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    wanted: str,
) -> None:
    said = refused(capsys, monkeypatch, "-d", told / "d", *arguments)
    assert wanted in said
    assert said.count("\n") == 1


def test_a_pool_without_a_number_is_refused(told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weighbridge("-d", told / "d", "--pool", tmp_path / "pool.jsonl") == 2
    assert "--next K" in capsys.readouterr().err


def test_nothing_is_fitted_on_data_that_is_for_evaluation_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "d", labelled(people=3), use="evaluation-only")
    assert "for evaluation only, so `weighbridge data audit` must not fit on it" in refused(
        capsys, monkeypatch, "-d", data
    )
