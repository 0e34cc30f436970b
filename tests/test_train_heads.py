"""Labels without a route table, by the installed command: trained, judged, asked, and refused where routes are wanted."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cli
from eval.metrics import evaluate
from eval.replay import replay
from eval.workflow import Materials, open_materials
from router.bundlefiles import CARD, MANIFEST, bundle_id, read_manifest
from router.console import Progress
from router.dataset import Dataset, write_queries
from router.errors import DataError
from router.heads_bundle import load
from router.pipeline import NO_ROUTES, Router
from router.types import Labels, Query

FINE = ("hotel", "flight", "apple", "bread")
COARSE = {"hotel": "travel", "flight": "travel", "apple": "food", "bread": "food"}
VERBS = ("find", "book", "cancel", "show me", "buy", "describe", "recommend", "rate")
TAILS = ("now", "please", "for two", "again", "tomorrow")
SILENT = Progress(notify=lambda _: None, advance=lambda _done, _total: None)
SPLITS = ("train", "train", "train", "calibration", "test")
LANGUAGES = ("en", "de")
UNLABELLED = 12  # test queries that are out of scope: no label of any head

Figures = dict[str, Any]  # Any: whatever JSON can hold


def queries() -> Iterator[Query]:
    """160 texts that name their label, split by how they end, and some that no label fits."""
    for t, tail in enumerate(TAILS):
        for v, verb in enumerate(VERBS):
            for fine in FINE:
                yield Query(
                    query_id=f"{verb}-{fine}-{tail}",
                    text=f"{verb} a {fine} {tail}",
                    labels=Labels(heads={"thing": fine, "shelf": COARSE[fine], "mood": None}),
                    language=LANGUAGES[v % 2],
                    split=SPLITS[t],
                )
    for i in range(UNLABELLED):
        yield Query(query_id=f"odd-{i}", text=f"what is {i} times {i}", split="test")


CARD_TOML = f"""
name = "toy"
version = "2"
use = "train"
[heads.shelf]
labels = ["travel", "food"]
[heads.thing]
labels = {json.dumps(FINE)}
[heads.mood]
labels = ["good", "bad"]
"""


def weighbridge(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What the command says when all is well."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        cli.app([str(argument) for argument in arguments])
    assert done.value.code == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    """The one line that a request is refused with."""
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["weighbridge", *(str(argument) for argument in arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    said = capsys.readouterr().err
    assert done.value.code == 2, said
    assert said.startswith("weighbridge: ")
    assert said.count("\n") == 1
    return said


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


def write(directory: Path, *, card: str = CARD_TOML) -> Path:
    directory.mkdir()
    (directory / "card.toml").write_text(card, encoding="utf-8")
    (directory / "queries.jsonl").write_text(write_queries(list(queries())), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set `data`, the bundle `b`, what `train` said in `said.txt` and its figures in `train.json`."""
    place = tmp_path_factory.mktemp("heads")
    data = write(place / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIGHBRIDGE_CACHE", str(place / "cache"))
        said = trained(data, place / "b", "--json", str(place / "train.json"))
    (place / "said.txt").write_text(said, encoding="utf-8")
    return place


def trained(data: Path, out: Path, *more: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as done:
        cli.app(["train", "--data", str(data), "--encoder", "hashing", "--out", str(out), "--no-mlflow", *more])
    assert done.value.code == 0
    return said.getvalue()


@pytest.fixture
def figures(place: Path) -> Figures:
    found: Figures = written(place / "train.json")
    return found


def test_train_says_in_one_line_that_no_route_is_decided_and_how_to_add_a_table(place: Path) -> None:
    said = (place / "said.txt").read_text(encoding="utf-8")
    (line,) = [line for line in said.splitlines() if "Without a route table it decides no routes" in line]
    assert "routes.toml" in line
    assert "--routes FILE" in line
    assert bundle_id(place / "b") in said


def test_every_labelled_head_is_trained_and_one_without_a_label_is_not(figures: Figures) -> None:
    assert set(figures["heads"]) == {"shelf", "thing"}


def test_a_query_without_a_label_leaves_its_head_s_n_and_stays_among_the_queries(figures: Figures) -> None:
    labelled = len(VERBS) * len(FINE)
    assert figures["n_queries"] == labelled + UNLABELLED
    assert {entry["n"] for entry in figures["heads"].values()} == {labelled}
    assert sum(map(sum, figures["heads"]["thing"]["confusion"]["rows"])) == labelled


def test_the_figures_have_every_key_of_a_router_s_and_null_with_a_reason_for_routes(
    figures: Figures, router: Router, small: Dataset
) -> None:
    routed = evaluate(replay(router, small.split("test"), split="test", seed=0, bundle=None))
    assert set(figures) == {*routed, "reason"}
    assert (figures["route"], figures["by_route"], figures["also"], figures["reason"]) == (None, None, None, NO_ROUTES)
    assert set(figures["heads"]["thing"]) == set(routed["heads"]["domain"])
    assert set(figures["by_language"]["en"]) == set(routed["by_language"]["en"])


def test_texts_that_name_their_label_are_nearly_all_read_right(figures: Figures) -> None:
    assert figures["heads"]["thing"]["accuracy"] > 0.9
    assert figures["heads"]["shelf"]["accuracy"] > 0.9
    for entry in figures["heads"].values():
        low, high = entry["accuracy_ci"]
        assert 0 <= low <= entry["accuracy"] <= high <= 1


def test_every_language_has_its_own_share_and_no_route(figures: Figures) -> None:
    half = len(VERBS) * len(FINE) // 2
    for language in LANGUAGES:
        assert figures["by_language"][language]["n"] == half
        assert figures["by_language"][language]["heads"]["thing"]["n"] == half
        assert figures["by_language"][language]["route"] is None


def test_the_bundle_s_card_states_what_was_measured_and_that_there_are_no_routes(place: Path, figures: Figures) -> None:
    card = (place / "b" / CARD).read_text(encoding="utf-8")
    assert "routes: none" in card
    assert f"| thing | {figures['heads']['thing']['n']} | {figures['heads']['thing']['accuracy']:.3f}" in card
    metrics = read_manifest(place / "b")["metrics"]
    assert metrics == {**figures, "bundle": None}


def test_evaluate_gives_the_figures_that_train_gave(
    place: Path, figures: Figures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--bundle", place / "b", "--data", place / "data", "--json", tmp_path / "e.json")
    said = weighbridge(capsys, "evaluate", *asked)
    assert written(tmp_path / "e.json") == figures
    assert "split test: 44 queries" in said


def test_evaluate_judges_data_without_a_card_and_with_one_label(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.jsonl").write_text('{"id": "a", "text": "find a bread now", "thing": "bread"}\n')
    asked = ("--bundle", place / "b", "--data", tmp_path / "mine.jsonl", "--json", tmp_path / "e.json")
    weighbridge(capsys, "evaluate", *asked)
    found = written(tmp_path / "e.json")
    assert (found["split"], found["heads"]["thing"]["n"], found["heads"]["thing"]["accuracy"]) == ("all", 1, 1.0)
    assert found["heads"]["shelf"]["n"] == 0
    assert found["heads"]["shelf"]["accuracy"] is None
    assert "no query" in found["heads"]["shelf"]["reason"]


def test_a_label_that_the_heads_never_learned_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CARD_TOML.replace('"apple"', '"apple", "pear"')
    (tmp_path / "card.toml").write_text(card, encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text('{"id": "a", "text": "a pear", "thing": "pear"}\n')
    said = refused(capsys, monkeypatch, "evaluate", "--bundle", place / "b", "--data", tmp_path)
    assert "never learned label 'pear' of head 'thing' (hotel, flight, apple, bread)" in said


def test_one_text_gets_its_likeliest_labels_and_is_told_that_there_is_no_route(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = weighbridge(capsys, "route", "find a bread now", "--bundle", place / "b", "--json", tmp_path / "r.json")
    assert "thing: bread" in said
    assert NO_ROUTES in said
    found = written(tmp_path / "r.json")
    assert (found["route"], found["reason"]) == (None, NO_ROUTES)
    assert sum(found["probabilities"]["thing"].values()) == pytest.approx(1, abs=1e-5)
    assert max(found["probabilities"]["shelf"], key=found["probabilities"]["shelf"].__getitem__) == "food"
    assert {"rule", "confidence", "also", "novelty"} <= set(found)


def test_inspect_says_what_the_bundle_is(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = weighbridge(capsys, "inspect", place / "b", "--json", tmp_path / "i.json")
    assert bundle_id(place / "b") in said
    assert "Heads trained on toy 2" in said
    assert written(tmp_path / "i.json") == written(place / "b" / MANIFEST)


@pytest.mark.parametrize(
    ("verb", "hint"),
    [
        (("replay", "--bundle", "B", "--data", "D", "--out", "O"), "weighbridge train --data D --routes FILE"),
        (("robustness", "--bundle", "B", "--data", "D"), "weighbridge train --data D --routes FILE"),
        (("route", "hi", "--explain", "--bundle", "B"), "leave it out"),
        (
            ("compare", "--data", "D", "--encoder", "hashing", "--out", "O", "--no-mlflow"),
            "weighbridge train --data D --out B",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_routes_is_refused_in_one_line_with_what_to_do(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: Sequence[str],
    hint: str,
) -> None:
    meant: Mapping[str, str | Path] = {"B": place / "b", "D": place / "data", "O": tmp_path / "out"}
    said = refused(capsys, monkeypatch, *(meant.get(part, part) for part in verb))
    assert "no route table" in said
    assert hint in said
    assert list(tmp_path.iterdir()) == []


def test_data_that_names_desks_is_not_trained_without_its_route_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "data", card=CARD_TOML + '[also]\nlabels = ["travel"]\n')
    said = refused(capsys, monkeypatch, "train", "--data", data, "--encoder", "hashing", "--out", tmp_path / "b")
    assert "routes.toml: no such file; wanted a route table" in said
    assert "names desks" in said
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_split_that_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    data = write(tmp_path / "data")
    kept = [replace(query, split="calibration" if query.split == missing else query.split) for query in queries()]
    (data / "queries.jsonl").write_text(write_queries(kept), encoding="utf-8")
    said = refused(capsys, monkeypatch, "train", "--data", data, "--encoder", "hashing", "--out", tmp_path / "b")
    assert f"split = '{missing}'" in said
    assert "weighbridge data split" in said


def test_heads_need_no_calibration_split(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    kept = [query for query in queries() if query.split != "calibration"]
    (data / "queries.jsonl").write_text(write_queries(kept), encoding="utf-8")
    trained(data, tmp_path / "b")
    assert load(tmp_path / "b").fitted["train_n"] == sum(query.split == "train" for query in kept)


def test_a_route_table_that_was_asked_for_and_is_not_there_is_an_error(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("train", "--data", place / "data", "--routes", tmp_path / "mine.toml", "--out", tmp_path / "b")
    assert "mine.toml: no such file; wanted a route table" in refused(capsys, monkeypatch, *asked, "-e", "hashing")


def test_a_route_table_beside_the_data_is_still_read(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    (tmp_path / "data" / "routes.toml").write_text("[policy]\n")
    with pytest.raises(DataError, match="the route table lacks"):
        opened(tmp_path / "data")
    assert opened(place / "data").table is None


def opened(data: Path) -> Materials:
    return open_materials(data, card=None, columns={}, routes=None, encoder="hashing", seed=0, told=SILENT)


def test_training_again_gives_the_same_bundle(place: Path, tmp_path: Path) -> None:
    trained(place / "data", tmp_path / "again")
    assert bundle_id(tmp_path / "again") == bundle_id(place / "b")
