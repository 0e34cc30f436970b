"""The installed command, run as a person runs it: every verb, every file it writes, and one line for every bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from router.bundle import MANIFEST, WEIGHTS, bundle_id
from router.dataset import Dataset, load_dataset, write_queries

COMMAND = Path(sys.executable).parent / "weighbridge"
PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
HEADS = {"complexity", "domain", "intent", "urgency"}

Rows = list[dict[str, Any]]  # Any: whatever JSON can hold
Done = subprocess.CompletedProcess[str]


def weighbridge(*arguments: str | Path, cwd: Path) -> Done:
    """Run the command with no network, one thread and the tests' own cache."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run([COMMAND, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def answered(*arguments: str | Path, cwd: Path) -> str:
    """What the command says when all is well: on standard output alone."""
    done = weighbridge(*arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(*arguments: str | Path, cwd: Path) -> str:
    """The one line that a bad input is answered with."""
    done = weighbridge(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("weighbridge: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


def rewrite(data: Path, change: Callable[[Rows], object]) -> None:
    rows = [json.loads(line) for line in (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    change(rows)
    (data / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def shop(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set's directory, as a person would have it. Tests that change it copy it first."""
    directory = tmp_path_factory.mktemp("cli") / "data"
    directory.mkdir()
    for name in ("card.toml", "routes.toml", "lexicon.toml"):
        shutil.copy(PAM / name, directory / name)
    (directory / "queries.jsonl").write_text(write_queries(small.queries), encoding="utf-8")
    return directory


@pytest.fixture
def own(shop: Path, tmp_path: Path) -> Path:
    """A copy of the data set to break."""
    return Path(shutil.copytree(shop, tmp_path / "own"))


@pytest.fixture(scope="module")
def training(shop: Path) -> tuple[Path, set[str]]:
    """Where `train` was run, and the names of what it left there beside the data."""
    place = shop.parent
    arguments = ("--data", "data", "--encoder", "hashing", "--out", "b", "--json", "train.json", "--no-mlflow")
    answered("train", *arguments, cwd=place)
    return place, {path.name for path in place.iterdir()} - {"data"}


@pytest.fixture(scope="module")
def trained(training: tuple[Path, set[str]]) -> Path:
    """The directory with the data set `data`, the bundle `b` and its figures `train.json`."""
    return training[0]


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Any:
    answered("evaluate", "--bundle", "b", "--data", "data", "--json", "e.json", cwd=trained)
    return written(trained / "e.json")


@pytest.fixture(scope="module")
def replayed(trained: Path) -> Path:
    answered("replay", "--bundle", "b", "--data", "data", "--out", "run.jsonl", cwd=trained)
    return trained / "run.jsonl"


def test_train_writes_the_bundle_and_its_figures_and_nothing_else(training: tuple[Path, set[str]]) -> None:
    assert training[1] == {"b", "train.json"}


def test_evaluate_gives_the_figures_that_train_gave(trained: Path, evaluated: Any) -> None:
    assert evaluated == written(trained / "train.json")


def test_the_figures_have_every_key(evaluated: Any) -> None:
    assert set(evaluated["heads"]) == HEADS
    for entry in evaluated["heads"].values():
        assert {"n", "accuracy", "accuracy_ci", "macro_f1", "ece", "confusion"} <= set(entry)
    assert {"precision", "recall"} <= set(evaluated["heads"]["urgency"]["high"])
    assert {"n", "accuracy", "accuracy_ci", "cost_usd_mean"} <= set(evaluated["route"])
    assert {"en", "es", "de", "fr"} <= set(evaluated["by_language"])
    assert evaluated["split"] == "test"


def test_queries_without_a_card_are_judged_by_the_card_of_the_bundle(trained: Path, shop: Path, tmp_path: Path) -> None:
    shutil.copy(shop / "queries.jsonl", tmp_path / "mine.jsonl")
    answered("evaluate", "--bundle", trained / "b", "--data", "mine.jsonl", "--json", "e.json", cwd=tmp_path)
    assert written(tmp_path / "e.json") == written(trained / "train.json")


def test_an_id_a_text_and_one_label_are_enough_to_evaluate(trained: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "text": "where is my refund?", "complexity": "simple"},
        {"id": "b", "text": "hi", "complexity": "simple"},
    ]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    answered("evaluate", "--bundle", trained / "b", "--data", "two.jsonl", "--json", "e.json", cwd=tmp_path)
    figures = written(tmp_path / "e.json")
    assert {head: entry["n"] for head, entry in figures["heads"].items()} == {
        **dict.fromkeys(HEADS, 0),
        "complexity": 2,
    }
    assert (figures["split"], figures["route"]["n"], figures["by_language"]) == ("all", 2, {})


def test_other_people_s_columns_are_mapped(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("key,prompt,hard,note\n1,hi there,simple,x\n", encoding="utf-8")
    columns = ("--map", "id=key,text=prompt,complexity=hard")
    answered("evaluate", "--bundle", trained / "b", "--data", "theirs.csv", *columns, "--json", "e.json", cwd=tmp_path)
    assert written(tmp_path / "e.json")["heads"]["complexity"]["n"] == 1


def test_two_replays_write_the_same_bytes(trained: Path, replayed: Path) -> None:
    answered("replay", "--bundle", "b", "--data", "data", "--out", "again.jsonl", cwd=trained)
    assert (trained / "again.jsonl").read_bytes() == replayed.read_bytes()


def test_a_replay_verifies(trained: Path, replayed: Path) -> None:
    said = answered("verify", replayed, "--bundle", "b", "--data", "data", cwd=trained)
    assert "156 records replay to the same bytes" in said


def test_a_changed_run_does_not_verify(trained: Path, replayed: Path, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(replayed.read_bytes().replace(b'"confidence": 0.', b'"confidence": 0.1', 1))
    said = refused("verify", tmp_path / "run.jsonl", "--bundle", "b", "--data", "data", cwd=trained)
    assert "replays differently" in said


def test_a_report_is_a_page_of_the_run(trained: Path, replayed: Path) -> None:
    answered("report", replayed, "--out", "r.html", "--against", replayed, cwd=trained)
    assert (trained / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_comparison_writes_leaderboard_report_and_runs(trained: Path) -> None:
    chosen = ("--routers", "majority,length", "--encoder", "hashing", "--bundle", "b", "--no-mlflow")
    answered("compare", "--data", "data", "--out", "cmp", "--json", "cmp.json", *chosen, cwd=trained)
    names = ["weighbridge", "majority", "length"]
    assert {path.name for path in (trained / "cmp").iterdir()} == {
        "leaderboard.json",
        "report.html",
        *(f"{name}.run.jsonl" for name in names),
    }
    assert [row["router"] for row in written(trained / "cmp.json")["rows"]] == names
    assert written(trained / "cmp.json") == written(trained / "cmp" / "leaderboard.json")


def test_one_query_is_routed_and_explained(trained: Path) -> None:
    said = answered("route", "where is my refund?", "--bundle", "b", "--explain", "--json", "x.json", cwd=trained)
    decision = written(trained / "x.json")
    assert f"→ {decision['route']}" in said
    assert {"confidence", "rule", "probabilities", "contributions", "neighbours", "flip"} <= set(decision)


def test_a_bundle_says_what_it_is(trained: Path) -> None:
    said = answered("inspect", "b", "--json", "i.json", cwd=trained)
    assert bundle_id(trained / "b") in said
    assert written(trained / "i.json") == written(trained / "b" / MANIFEST)


def test_good_data_is_found_to_be_good(shop: Path) -> None:
    assert "666 good queries, 0 faults." in answered("data", "check", shop, cwd=shop)


def test_check_lists_every_fault_by_file_line_and_field(own: Path) -> None:
    def spoil(rows: Rows) -> None:
        rows[1]["domain"] = "casino"
        rows[4].update(text="", colour="red")

    rewrite(own, spoil)
    done = weighbridge("data", "check", own, "--json", "faults.json", cwd=own)
    assert (done.returncode, done.stderr) == (2, "")
    found = {(entry["line"], entry["field"]) for entry in written(own / "faults.json")["faults"]}
    assert found == {(2, "domain"), (5, "text"), (5, "colour")}
    assert all(f"queries.jsonl, line {line}, field '{field}'" in done.stdout for line, field in found)


def test_stats_count_every_query_once(shop: Path, tmp_path: Path) -> None:
    answered("data", "stats", shop, "--json", "s.json", cwd=tmp_path)
    figures = written(tmp_path / "s.json")
    assert (figures["queries"], figures["splits"]) == (666, {"calibration": 130, "test": 156, "train": 380})
    assert sum(sum(splits.values()) for splits in figures["counts"]["domain"].values()) == 666


def test_split_deals_every_person_to_one_split(own: Path) -> None:
    rewrite(own, lambda rows: [row.pop("split") for row in rows])
    answered("data", "split", "--data", own, "--out", "dealt.jsonl", cwd=own)
    dealt = load_dataset(own / "dealt.jsonl")
    where: dict[str | None, set[str | None]] = {}
    for query in dealt.queries:
        where.setdefault(query.persona, set()).add(query.split)
    assert {len(splits) for splits in where.values()} == {1}
    assert set().union(*where.values()) == {"train", "calibration", "test"}


def test_the_doctor_names_keys_and_never_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-s3cret")
    said = answered("doctor", "--json", "d.json", cwd=tmp_path)
    found = {entry["name"]: entry["ok"] for entry in written(tmp_path / "d.json")["findings"]}
    assert (found["numpy"], found["OPENAI_API_KEY"]) == (True, True)
    assert "s3cret" not in said + (tmp_path / "d.json").read_text(encoding="utf-8")


def keep_two_urgent(rows: Rows) -> None:
    urgent = [row for row in rows if row["urgency"] == "high" and row["split"] == "train"]
    for row in urgent[2:]:
        row["urgency"] = "normal"


def no_test_split(rows: Rows) -> None:
    for row in rows:
        row["split"] = "train" if row["split"] == "test" else row["split"]


def evaluation_only(data: Path) -> None:
    card = (data / "card.toml").read_text(encoding="utf-8")
    (data / "card.toml").write_text(card.replace('use = "train"', 'use = "evaluation-only"'), encoding="utf-8")


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing data": (shutil.rmtree, "no such file or directory"),
    "missing queries": (lambda data: (data / "queries.jsonl").unlink(), "no such file"),
    "missing card": (lambda data: (data / "card.toml").unlink(), "no such file"),
    "missing routes": (lambda data: (data / "routes.toml").unlink(), "no such file; wanted a route table"),
    "no query": (lambda data: (data / "queries.jsonl").write_text("\n"), "holds no query"),
    "broken line": (
        lambda data: (data / "queries.jsonl").write_text('{"id": "a"'),
        "queries.jsonl, line 1, field '-': not a JSON object",
    ),
    "unknown label": (
        lambda data: rewrite(data, lambda rows: rows[2].update(domain="casino")),
        "line 3, field 'domain': unknown label 'casino'",
    ),
    "duplicate id": (
        lambda data: rewrite(data, lambda rows: rows.append(rows[2])),
        "line 667, field 'id': duplicate id",
    ),
    "two examples": (lambda data: rewrite(data, keep_two_urgent), "'high' has 2 of"),
    "evaluation only": (evaluation_only, "for evaluation only"),
    "no test split": (lambda data: rewrite(data, no_test_split), "no query with split = 'test'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_train_refuses_bad_data_in_one_line_and_leaves_nothing(own: Path, tmp_path: Path, name: str) -> None:
    spoil, message = BREAKS[name]
    spoil(own)
    out = tmp_path / "out"
    out.mkdir()
    said = refused("train", "--data", own, "--encoder", "hashing", "--out", out / "b", "--no-mlflow", cwd=tmp_path)
    assert message in said
    assert list(out.iterdir()) == []


def test_an_unknown_encoder_is_refused_with_one_that_is_there(shop: Path, tmp_path: Path) -> None:
    said = refused("train", "--data", shop, "--encoder", "no-such-encoder", "--out", "b", "--no-mlflow", cwd=tmp_path)
    assert "--encoder all-MiniLM-L6-v2" in said
    assert list(tmp_path.iterdir()) == []


def tamper(bundle: Path) -> None:
    weights = bytearray((bundle / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (bundle / WEIGHTS).write_bytes(weights)


def renew(bundle: Path) -> None:
    manifest = {**written(bundle / MANIFEST), "schema_version": 99}
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(tamper, "damaged or tampered with"), (renew, "schema 99 is newer"), (shutil.rmtree, "no bundle here")],
)
@pytest.mark.parametrize(
    "verb",
    [
        ("replay", "--data", "DATA", "--out", "out/x", "--bundle"),
        ("route", "hi", "--json", "out/x", "--bundle"),
        ("inspect", "--json", "out/x"),
    ],
    ids=lambda verb: verb[0],
)
def test_a_bad_bundle_is_refused_in_one_line_and_nothing_is_left(
    trained: Path, shop: Path, tmp_path: Path, verb: Sequence[str], spoil: Callable[[Path], None], message: str
) -> None:
    shutil.copytree(trained / "b", tmp_path / "bad")
    spoil(tmp_path / "bad")
    arguments = [str(shop) if part == "DATA" else part for part in verb]
    assert message in refused(*arguments, tmp_path / "bad", cwd=tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nope", "majority,nope"])
def test_an_unknown_router_is_refused_with_the_known_ones(trained: Path, tmp_path: Path, name: str) -> None:
    chosen = ("--routers", name, "--encoder", "hashing", "--bundle", trained / "b", "--no-mlflow")
    said = refused("compare", "--data", trained / "data", "--out", tmp_path / "cmp", *chosen, cwd=tmp_path)
    assert "has 'nope'; wanted `all` or some of majority" in said
    assert not (tmp_path / "cmp").exists()


def test_labels_that_the_bundle_never_learned_are_refused(trained: Path, own: Path) -> None:
    card = (own / "card.toml").read_text(encoding="utf-8")
    (own / "card.toml").write_text(card.replace('"general"', '"casino", "general"'), encoding="utf-8")
    rewrite(own, lambda rows: rows[-1].update(domain="casino"))
    assert "casino" in refused("evaluate", "--bundle", trained / "b", "--data", own, cwd=own)


@pytest.mark.parametrize(
    ("verb", "out"),
    [
        (("replay", "--bundle", "b", "--data", "data", "--out"), "file/x"),
        (("replay", "--bundle", "b", "--data", "data", "--out"), "directory"),
        (("evaluate", "--bundle", "b", "--data", "data", "--json"), "directory"),
        (("report", "run.jsonl", "--out"), "file/x"),
    ],
    ids=["a run below a file", "a run onto a directory", "figures onto a directory", "a report below a file"],
)
def test_a_place_that_cannot_be_written_is_refused_by_name(
    trained: Path, replayed: Path, tmp_path: Path, verb: Sequence[str], out: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "directory").mkdir()
    assert str(tmp_path) in refused(*verb, tmp_path / out, cwd=trained)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["directory", "file"]


def test_train_does_not_replace_what_is_no_bundle(own: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in own.iterdir())
    said = refused("train", "--data", own, "--encoder", "hashing", "--out", own, "--no-mlflow", cwd=tmp_path)
    assert "exists and is no bundle" in said
    assert sorted(path.name for path in own.iterdir()) == before


def test_a_seed_below_zero_is_refused_without_a_traceback(trained: Path) -> None:
    done = weighbridge("evaluate", "--bundle", "b", "--data", "data", "--seed", "-1", cwd=trained)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_verb_without_its_options_says_how_it_is_used(tmp_path: Path) -> None:
    done = weighbridge("evaluate", cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage: weighbridge evaluate" in done.stderr
