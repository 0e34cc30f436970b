"""Learning curve: nested draws of whole people, a law that is recovered where it holds, and a verdict that knows its limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cli
from eval.curve_figures import head_figures
from eval.curve_outlook import FLAT, TELLS, outlook
from eval.intervals import bootstrap_mean
from eval.labelled_rows import labelled_rows
from eval.learning_curve import (
    Curve,
    chosen_setting,
    growing_shares,
    learning_curves,
    positions,
    sampled_units,
    tempered,
)
from eval.power_law import PowerLaw, fit_draws, fit_power_law
from router.encoders.finetune import RECORD
from router.encoders.hashing import HashingEncoder
from router.fitting import Setting, fit_head, folds
from router.grouping import units
from router.scoring import Floats, log_loss, softmax
from router.types import Labels, Query
from tests.labelled import COARSE, dataset, labelled, write

SIX = np.array([100.0, 160, 250, 400, 630, 1000])
SILENT = lambda _: None  # noqa: E731 -- the listener


# ---- drawing ----


@given(
    unit=st.lists(st.integers(0, 8), min_size=1, max_size=40),
    seed=st.integers(0, 100),
    percents=st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_share_holds_whole_units_and_every_smaller_share(
    unit: list[int], seed: int, percents: tuple[int, int]
) -> None:
    rows = np.array(unit)
    place = positions(rows, np.random.default_rng(seed).permutation(9))
    small, large = (place < share for share in sorted(percent / 100 for percent in percents))
    assert small.any()
    assert (small <= large).all()
    assert (place < 1).all()
    assert all(len(set(place[rows == name])) == 1 for name in set(unit))


@given(unit=st.lists(st.integers(0, 8), min_size=1, max_size=40), percent=st.integers(1, 100))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_share_is_as_near_as_whole_units_come(unit: list[int], percent: int) -> None:
    share = percent / 100
    taken = (positions(np.array(unit), np.arange(9)) < share).sum()
    ends = np.cumsum(np.unique(unit, return_counts=True)[1])  # how many rows one, two, three units are
    assert abs(taken - share * len(unit)) == pytest.approx(abs(ends - share * len(unit)).min())


def test_shares_grow_by_the_same_factor_from_a_tenth_to_all() -> None:
    assert growing_shares(6) == [0.1, 0.16, 0.25, 0.4, 0.63, 1.0]
    assert growing_shares(2) == [0.1, 1.0]


def test_of_too_many_queries_whole_people_are_drawn() -> None:
    whole = dataset(labelled(people=10, each=12))
    part = sampled_units(whole, most=50, seed=0)
    assert len(part) == 48
    assert len({query.persona for query in part.queries}) == 4
    assert sampled_units(whole, most=120, seed=0) is whole


# ---- the law ----


def test_the_law_is_read_and_read_backwards_by_hand() -> None:
    law = PowerLaw(n0=100, a=np.array([0.1]), b=np.array([0.2]), c=np.array([1.0]))
    assert law.error(400).tolist() == pytest.approx([0.15])
    assert law.labels_for(np.array([0.15])).tolist() == pytest.approx([400])
    assert law.labels_for(np.array([0.1])).tolist() == [np.inf]  # what is left of the error is not had by any number


@pytest.mark.parametrize(("a", "b", "c"), [(0.1, 2.0, 0.5), (0.0, 1.0, 0.3), (0.2, 30.0, 1.0)])
def test_a_curve_that_follows_the_law_gives_it_back(a: float, b: float, c: float) -> None:
    law = fit_power_law(SIX, (a + b * SIX**-c)[None, :], np.ones(6))
    for n in (1000, 2000, 4000):
        assert law.error(n)[0] == pytest.approx(a + b * n**-c, abs=0.002)


def test_errors_that_rise_have_nothing_to_gain_and_no_error_is_foretold_below_zero() -> None:
    law = fit_power_law(
        SIX, np.array([[0.2, 0.21, 0.22, 0.23, 0.24, 0.25], [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]]), np.ones(6)
    )
    assert law.b[0] == 0
    assert law.error(10_000)[0] == pytest.approx(0.225)
    assert law.a[1] >= 0
    assert law.labels_for(law.error(1000) - 0.01)[0] == np.inf


def test_half_the_draws_leave_out_the_first_point_and_each_stays_in_its_place() -> None:
    straight = 2.0 * SIX**-0.5
    bent = np.append(0.9, straight[1:])  # before the law begins
    found = fit_draws(SIX, np.array([straight, bent, bent]), np.ones(6)).error(2000)
    assert found[:2].tolist() == pytest.approx([2 * 2000**-0.5] * 2, abs=0.002)
    assert found[2] < found[1] - 0.002 or found[2] > found[1] + 0.002
    few = fit_draws(SIX[:4], np.array([bent[:4]] * 2), np.ones(4)).error(2000)
    assert few[0] == few[1]


@pytest.mark.parametrize("n", [[100.0], [0.0, 10.0]])
def test_a_law_needs_two_numbers_of_labels(n: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more positive"):
        fit_power_law(np.array(n), np.ones((1, len(n))), np.ones(len(n)))


# ---- the verdict ----


def wobbled(error: Floats, *, by: float, together: float = 0.01) -> Floats:
    """Draws of a curve: all points up or down together, and each by itself."""
    rng = np.random.default_rng(0)
    return error + rng.normal(0, together, (500, 1)) + rng.normal(0, by, (500, len(error)))


def test_a_steep_curve_tells_how_many_labels_bring_how_much() -> None:
    error = 2.0 * SIX**-0.5  # at 1,250 labels 0.0566; one point less takes (2 / 0.0466)^2 = 1,844 of them
    found = outlook(SIX, error, wobbled(error, by=0.001, together=0.001), n_all=1250, units=50)
    assert found["verdict"] == "about"
    assert found["more"][0]["n"] == pytest.approx(1844, rel=0.03)
    low, high = found["more"][0]["n_ci"]
    assert 1250 < low < 1844 < high < 3000
    assert found["now"]["accuracy"] == pytest.approx(1 - 0.0566, abs=0.002)
    assert found["doubled"]["gain"] == pytest.approx(0.0566 * (1 - 0.5**0.5), abs=0.002)
    assert f"there are {1250:,}" in found["said"]


def test_a_curve_at_its_end_is_called_flat() -> None:
    error = 0.2 + 5.0 * SIX**-1.5
    found = outlook(SIX, error, wobbled(error, by=0.0005), n_all=1000, units=50)
    assert (found["verdict"], found["doubled"]["gain_ci"][1] < FLAT) == ("flat", True)
    assert found["said"].startswith("flat: twice the labels (2,000)")
    assert found["more"][0]["n"] is None
    assert "or never" in found["more"][0]["reason"]


def test_a_curve_that_wobbles_as_much_as_it_falls_is_not_known() -> None:
    error = 0.25 + 0.3 * SIX**-0.4
    found = outlook(SIX, error, wobbled(error, by=0.02), n_all=1000, units=50)
    assert found["verdict"] == "not known"
    assert "twice the labels (2,000) would bring" in found["said"]


def test_a_curve_whose_last_point_is_not_what_the_others_foretell_is_not_believed() -> None:
    error = np.array([0.40, 0.36, 0.33, 0.305, 0.285, 0.20])
    found = outlook(SIX, error, wobbled(error, by=0.001), n_all=1000, units=50)
    assert found["verdict"] == "not known"
    assert found["backtest"]["missed"] > 0.05
    assert "points above what the others foretell" in found["said"]


@pytest.mark.parametrize(("points", "units", "why"), [(3, 50, "--points"), (6, 4, "only 4 people or groups")])
def test_too_few_points_or_people_foretell_nothing_and_every_key_is_there(points: int, units: int, why: str) -> None:
    error = 2.0 * SIX[-points:] ** -0.5
    found = outlook(SIX[-points:], error, wobbled(error, by=0.001), n_all=1250, units=units)
    assert (found["verdict"], [found[name] for name in TELLS]) == ("not known", [None] * len(TELLS))
    assert why in found["said"]


def test_two_shares_of_the_same_people_are_one_point() -> None:
    n = np.array([100.0, 100, 250, 400, 630, 1000])
    error = 2.0 * n**-0.5
    found = outlook(n, error, wobbled(error, by=0.001, together=0.001), n_all=1250, units=50)
    assert found["more"][0]["n"] == pytest.approx(1844, rel=0.05)


# ---- intervals ----


def curve(hits: Floats, size: Floats) -> Curve:
    p = len(hits)
    return Curve(
        shares=growing_shares(p), n=SIX[:p], people=SIX[:p] / 10, hits=hits, loss=hits, size=size,
        n_all=int(size.sum()), setting=Setting(C=0.1, ngram_factor=1.0),
    )  # fmt: skip


def test_people_who_are_all_alike_leave_no_doubt_and_repeats_that_differ_do() -> None:
    size = np.array([4.0, 4.0, 4.0])
    alike = curve(np.full((2, 2, 3), 3.0), size)
    assert np.ptp(alike.draws(alike.hits, seed=0)) == 0
    assert alike.accuracy().tolist() == [0.75, 0.75]
    differ = curve(np.stack([np.full((2, 3), 3.0), np.array([[1.0] * 3, [3.0] * 3])]), size)
    spread = differ.draws(differ.hits, seed=0)
    # the second point is 1/4 in one repeat and 3/4 in the other: of two drawn, both, or one of them twice
    assert set(np.round(spread[:, 1], 9)) == {0.25, 0.5, 0.75}
    assert np.ptp(spread[:, 0]) == 0


def test_with_one_repeat_the_interval_is_that_of_a_mean_over_people() -> None:
    rng = np.random.default_rng(1)
    size = rng.integers(3, 12, 30).astype(float)
    hits = rng.binomial(size.astype(int), rng.uniform(0.5, 1.0, 30)).astype(float)
    one = curve(hits[None, None, :], size)
    values = np.concatenate([[1.0] * int(h) + [0.0] * int(s - h) for h, s in zip(hits, size, strict=True)])
    groups = np.repeat(np.arange(30), size.astype(int)).tolist()
    direct = bootstrap_mean(values, groups, rng=np.random.default_rng(2))
    assert one.draws(one.hits, seed=3).std() == pytest.approx(direct.standard_error, rel=0.1)
    assert one.accuracy()[0] == pytest.approx(direct.estimate)


def test_the_temperature_of_a_fold_is_chosen_on_the_others() -> None:
    # fold 0 is sure and wrong, fold 1 sure and right: each is read at the temperature that the other one calls for
    logits = np.array([[4.0, 0.0]] * 2)
    loss = tempered(logits, np.array([1, 0]), np.array([0, 1]))
    cold, hot = 0.25, 4.0
    assert loss[0] == pytest.approx(-np.log(softmax(logits[:1] / cold)[0, 1]), rel=1e-6)
    assert loss[1] == pytest.approx(-np.log(softmax(logits[1:] / hot)[0, 0]), rel=1e-6)


# ---- fitting ----


def hard(**kinds: Any) -> list[Query]:  # Any: of `labelled`
    """A set that takes more than a few labels: every fifth label is the next one's."""
    queries = labelled(**kinds)
    return [replace(q, labels=queries[(i + 1) % len(queries)].labels) if i % 5 == 0 else q for i, q in enumerate(queries)]  # fmt: skip


def test_more_labels_do_better_and_the_last_point_is_what_cross_validation_finds() -> None:
    rows = labelled_rows(dataset(hard(people=30)), HashingEncoder(), None, SILENT)
    found = learning_curves(rows, ["thing"], shares=growing_shares(3), repeats=2, seed=0, notify=SILENT)["thing"]
    assert isinstance(found, Curve)
    assert found.accuracy()[-1] > found.accuracy()[0] + 0.1
    assert found.log_loss()[-1] < found.log_loss()[0]
    assert (found.hits[-1, 0] == found.hits[-1, 1]).all()
    assert not (found.hits[0, 0] == found.hits[0, 1]).all()
    assert found.n.tolist() == pytest.approx([24, 96, 288], abs=12)
    whole = fit_head(
        "thing", rows.dataset.card.heads["thing"], rows.dataset.labels("thing"), rows.blocks,
        folds(rows.unit, seed=0), setting=found.setting,
    )  # fmt: skip
    y = np.array([whole.head.classes.index(str(label)) for label in rows.dataset.labels("thing")])
    assert found.accuracy()[-1] == pytest.approx((whole.oof.argmax(axis=1) == y).mean(), abs=0.03)
    assert found.log_loss()[-1] == pytest.approx(log_loss(whole.oof, y), abs=0.05)


def test_the_setting_is_chosen_on_a_part_that_holds_every_label() -> None:
    queries = labelled(people=30)
    moody = [
        replace(query, labels=Labels(heads={**query.labels.heads, "mood": ("good", "bad")[i % 40 == 0]}))
        for i, query in enumerate(queries)
    ]
    rows = labelled_rows(dataset(moody), HashingEncoder(), None, SILENT)
    fold = folds(rows.unit, seed=0)
    assert chosen_setting(rows, "mood", fold, seed=0, most=20).C > 0  # 20 rows would hold one or none that is bad
    assert chosen_setting(rows, "thing", fold, seed=0, most=20) == chosen_setting(rows, "thing", fold, seed=0, most=20)


def test_what_was_said_before_is_learned_from() -> None:
    """Of a message that says nothing by itself, only its context tells the label."""
    rng = np.random.default_rng(0)
    queries = [
        replace(
            query,
            text=f"and {rng.choice(['then', 'now', 'next', 'after'])} {rng.choice(['please', 'again', 'too'])}",
            context=(query.text,),
        )
        for query in labelled(people=30)
    ]
    shares = [1.0]
    both = []
    for told in (queries, [replace(query, context=()) for query in queries]):
        rows = labelled_rows(dataset(told), HashingEncoder(), None, SILENT)
        found = learning_curves(rows, ["shelf"], shares=shares, repeats=1, seed=0, notify=SILENT)["shelf"]
        assert isinstance(found, Curve)
        both.append(found.accuracy()[0])
    assert both[0] > 0.8
    assert both[1] < 0.6


def test_a_head_without_a_curve_keeps_its_keys() -> None:
    known = head_figures(curve(np.full((6, 1, 12), 3.0), np.full(12, 4.0)), n_all=60, seed=0)
    unknown = head_figures("too few labels", n_all=3, seed=0)
    assert set(known) == set(unknown)
    assert (unknown["points"], unknown["outlook"], unknown["reason"]) == ([], None, "too few labels")
    assert set(known["points"][0]) == set(known["points"][1])
    assert known["points"][0]["gain"] is None


# ---- the command ----


def weighbridge(*arguments: str | Path | int) -> int:
    with pytest.raises(SystemExit) as done:
        cli.app(["data", "curve", "--encoder", "hashing", *(str(argument) for argument in arguments)])
    return int(done.value.code or 0)


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


SPLITS = ("train", "train", "train", "calibration", "test")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set `d`, what the curve said in `said.txt`, its `c.json` and its page `c.html`."""
    import contextlib
    import io

    found = tmp_path_factory.mktemp("curve")
    write(found / "d", hard(people=40, splits=SPLITS))
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("WEIGHBRIDGE_CACHE", str(found / "cache"))
        asked = ("--repeats", 2, "--points", 4, "--heads", "thing,shelf", "--json", found / "c.json")
        assert weighbridge("-d", found / "d", *asked, "--out", found / "c.html") == 0
    (found / "said.txt").write_text(said.getvalue(), encoding="utf-8")
    return found


def test_the_command_says_what_it_learned_from_and_what_the_curve_foretells(place: Path) -> None:
    said = (place / "said.txt").read_text(encoding="utf-8")
    found = written(place / "c.json")
    assert (found["split"], found["n_queries"], found["n_units"]) == ("train", 288, 24)
    assert "split train: 288 queries of 24 people or groups" in said
    for head in ("thing", "shelf"):
        assert f"{head}: {found['heads'][head]['outlook']['said']}" in said
    assert [point["share"] for point in found["heads"]["thing"]["points"]] == growing_shares(4)
    for point in found["heads"]["thing"]["points"]:
        low, high = point["accuracy_ci"]
        assert low <= point["accuracy"] <= high


def test_the_page_has_a_chart_for_every_head_and_nothing_from_outside(place: Path) -> None:
    page = (place / "c.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def without(queries: Sequence[Query], split: str) -> list[Query]:
    """The same with every label of that split turned to bread."""
    return [
        replace(query, labels=Labels(heads={"thing": "bread", "shelf": COARSE["bread"]})) if query.split == split else query
        for query in queries
    ]  # fmt: skip


def test_neither_test_nor_calibration_is_looked_at(place: Path, tmp_path: Path) -> None:
    write(tmp_path / "d", without(without(hard(people=40, splits=SPLITS), "test"), "calibration"))
    asked = ("--repeats", 2, "--points", 4, "--heads", "thing,shelf", "--json", tmp_path / "c.json")
    assert weighbridge("-d", tmp_path / "d", *asked) == 0
    assert written(tmp_path / "c.json") == written(place / "c.json")


def test_without_splits_all_queries_are_used_and_near_duplicates_are_grouped_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twins = [replace(query, persona=None, group=None) for query in labelled(people=8, each=10)]
    copies = [replace(query, query_id=f"{query.query_id}-b", text=f"{query.text}!") for query in twins]
    data = write(tmp_path / "d", [*twins, *copies])
    assert (
        weighbridge("-d", data, "--heads", "shelf", "--repeats", 1, "--points", 2, "--json", tmp_path / "c.json") == 0
    )
    found = written(tmp_path / "c.json")
    assert (found["split"], found["n_queries"]) == ("all", 160)
    assert found["n_units"] <= 80 < len(set(units([*twins, *copies])))
    assert "all queries (no splits)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--heads", "colour"), "--heads has 'colour'; card 'toy' has the heads shelf, thing, mood"),
        (("--heads", ","), "--heads has ','"),
        (("--heads", "mood"), "head 'mood': label 'good' has 0"),
    ],
)
def test_what_has_no_curve_is_refused_in_one_line(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    wanted: str,
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["weighbridge", "data", "curve", "-e", "hashing", "-d", str(place / "d"), *arguments]
    )
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert wanted in said
    assert said.count("\n") == 1


def test_a_page_has_a_page_s_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weighbridge("-d", place / "d", "--out", place / "c.png") == 2
    assert "curve.html" in capsys.readouterr().err


def test_a_set_with_splits_but_no_train_is_told_how_to_deal_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "d", labelled(people=4, splits=("test",)))
    monkeypatch.setattr("sys.argv", ["weighbridge", "data", "curve", "-e", "hashing", "-d", str(data)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    assert "weighbridge data split" in capsys.readouterr().err


def test_an_encoder_that_was_taught_by_labels_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RECORD).write_text("{}", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["weighbridge", "data", "curve", "-e", str(tmp_path), "-d", str(place / "d")])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 2
    assert "taught by labels" in capsys.readouterr().err
