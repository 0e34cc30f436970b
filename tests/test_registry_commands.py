"""The registry on the command line: what it prints, what it writes, and that every refusal is one clear error."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from router.bundle import bundle_id, save
from router.current import linked
from router.errors import DataError, RegistryError, WeighbridgeError
from router.evidence import Evidence, write_evidence
from router.gate import PromotionError
from router.pipeline import Router
from router.registry import log_run, tracking_uri
from router.registry_commands import register

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's calls of SQLAlchemy warn: not ours to mend

NAMES = (f"shelf-{i}" for i in count())


@dataclass(frozen=True)
class Store:
    """Two bundles logged in a real store, and evidence: of the first against a baseline, of the second against it."""

    place: Path
    ids: tuple[str, str]
    runs: tuple[str, str]

    def promote(self, which: int, *more: str | Path) -> list[str]:
        """The arguments that promote one of the two."""
        proof = ("--evidence", self.place / f"e{which}.json", "--why", "better [for us]")
        return list(map(str, ("promote", "--bundle", f"runs:/{self.runs[which]}", *proof, *more)))


@pytest.fixture(scope="module")
def store(router: Router, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    place = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # MLflow keeps artefacts of a SQLite store in the working directory
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'store.db'}")
        ids, runs = [], []
        for number in (0, 1):
            save(replace(router, fitted={**router.fitted, "variant": number}), place / f"b{number}")
            ids.append(bundle_id(place / f"b{number}"))
            runs.append(log_run("train", params={}, metrics={}, artifacts=[], bundle=place / f"b{number}"))
            write_evidence(evidence(ids[number], ids[0] if number else None), place / f"e{number}.json")
        yield Store(place=place, ids=(ids[0], ids[1]), runs=(runs[0], runs[1]))


@pytest.fixture
def name() -> str:
    return next(NAMES)


@pytest.fixture
def crowned(store: Store, name: str) -> str:
    """A name whose champion is the second bundle, after the first."""
    for which in (0, 1):
        said(*store.promote(which, "--name", name, "--who", "ada"))
    return name


def evidence(challenger: str, champion: str | None) -> Evidence:
    return Evidence(
        challenger=challenger,
        champion=champion,
        baseline=None if champion else "lr",
        challenger_fingerprint="d" * 64,
        champion_fingerprint="d" * 64,
        metric="apgr",
        higher_is_better=True,
        n=1_307,
        estimate=0.03,
        low=0.01,
        high=0.05,
    )


def invoke(*arguments: str | Path) -> Any:  # Any: typer's result
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def said(*arguments: str | Path) -> str:
    """What a command prints when all is well."""
    done = invoke(*arguments)
    assert done.exception is None, done.exception
    assert (done.exit_code, done.stderr) == (0, "")
    return str(done.stdout)


def refused(*arguments: str | Path) -> WeighbridgeError:
    """The error that `cli.main` prints on one line before it leaves with 2."""
    error = invoke(*arguments).exception
    assert isinstance(error, WeighbridgeError)
    return error


def written(path: Path) -> Any:  # Any: whatever JSON can hold
    return json.loads(path.read_text(encoding="utf-8"))


def test_promote_says_who_is_champion_and_why(store: Store, name: str, tmp_path: Path) -> None:
    link = tmp_path / "current"
    told = said(*store.promote(0, "--name", name, "--who", "ada", "--link", link, "--json", tmp_path / "p.json"))
    assert f"{name}: champion is bundle {store.ids[0]} (the first), by promotion, version 1" in told
    assert "ada: better [for us]; apgr +0.03 [+0.01, +0.05] against lr, n 1,307, margin 0; evidence " in told
    assert f"{link} leads to it." in told
    figures = written(tmp_path / "p.json")
    assert (figures["bundle"], figures["number"], figures["link"]) == (store.ids[0], 1, str(link))
    assert {"before", "evidence", "guarantee", "restores", "run_id"} <= set(figures)
    assert linked(link) == store.ids[0]


def test_without_a_link_promote_says_how_a_server_follows(store: Store, name: str) -> None:
    assert f"weighbridge registry sync {name} --link PATH" in said(*store.promote(0, "--name", name))


def test_who_promotes_is_the_login_name_where_no_other_is_given(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "grace")
    assert "grace: better [for us]" in said(*store.promote(0, "--name", name))


def test_an_account_without_a_name_is_asked_for_one(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert "--who NAME" in str(refused(*store.promote(0, "--name", name)))


def test_a_directory_is_promoted_as_it_lies_there(store: Store, name: str) -> None:
    arguments = (
        "--bundle",
        store.place / "b0",
        "--evidence",
        store.place / "e0.json",
        "--why",
        "first",
        "--name",
        name,
    )
    assert f"champion is bundle {store.ids[0]}" in said("promote", *arguments)


def test_a_champion_of_one_name_is_promoted_under_another(
    store: Store, crowned: str, name: str, tmp_path: Path
) -> None:
    write_evidence(evidence(store.ids[1], None), tmp_path / "e.json")
    other = f"{name}-live"
    arguments = ("--bundle", f"models:/{crowned}@champion", "--evidence", tmp_path / "e.json", "--why", "went well")
    assert f"{other}: champion is bundle {store.ids[1]}" in said("promote", *arguments, "--name", other)


def test_a_refusal_lists_what_is_missing_and_writes_nothing(store: Store, crowned: str, tmp_path: Path) -> None:
    arguments = store.promote(0, "--name", crowned, "--require-guarantee", "--json", tmp_path / "p.json")
    error = refused(*arguments)
    assert isinstance(error, PromotionError)
    assert error.reasons == (
        f"it compares with the baseline lr, not with the champion {store.ids[1]}",
        "it has no guarantee, and one is asked for",
    )
    assert "Next: `weighbridge " in str(error)
    assert not (tmp_path / "p.json").exists()


def test_a_margin_is_passed_on(store: Store, name: str, tmp_path: Path) -> None:
    write_evidence(replace(evidence(store.ids[0], None), low=-0.01), tmp_path / "e.json")
    chosen = ("--bundle", f"runs:/{store.runs[0]}", "--evidence", tmp_path / "e.json", "--why", "w", "--name", name)
    assert "more than the margin 0 " in str(refused("promote", *chosen))
    assert "margin 0.01" in said("promote", *chosen, "--margin", "0.01")


def test_evidence_that_is_missing_is_refused_before_anything_is_opened(store: Store, name: str, tmp_path: Path) -> None:
    error = refused("promote", "--bundle", store.place / "b0", "--evidence", tmp_path / "none.json", "--why", "w")
    assert isinstance(error, DataError)


def test_list_names_every_champion(store: Store, crowned: str, tmp_path: Path) -> None:
    told = said("registry", "list", "--json", tmp_path / "l.json")
    (row,) = [line for line in told.splitlines() if line.split()[:1] == [crowned]]
    assert store.ids[1] in row
    (entry,) = [entry for entry in written(tmp_path / "l.json")["models"] if entry["name"] == crowned]
    assert (entry["champion"]["bundle"], entry["moves"], entry["in_order"]) == (store.ids[1], 2, True)


def test_list_says_where_an_alias_was_moved_by_other_means(store: Store, crowned: str) -> None:
    import mlflow

    assert f"registry sync {crowned}" not in said("registry", "list")
    mlflow.MlflowClient(tracking_uri()).set_registered_model_alias(crowned, "champion", "1")
    assert f"{crowned}: the alias champion stands elsewhere" in said("registry", "list")
    assert f"champion is bundle {store.ids[1]}" in said("registry", "sync", crowned)
    assert f"{crowned}: the alias champion stands elsewhere" not in said("registry", "list")


def test_history_tells_every_move_oldest_first(store: Store, crowned: str, tmp_path: Path) -> None:
    said("registry", "rollback", crowned, "--why", "complaints", "--who", "bo")
    told = said("registry", "history", crowned, "--json", tmp_path / "h.json")
    entries = written(tmp_path / "h.json")["entries"]
    assert [(entry["kind"], entry["before"], entry["bundle"], entry["who"]) for entry in entries] == [
        ("promotion", None, store.ids[0], "ada"),
        ("promotion", store.ids[0], store.ids[1], "ada"),
        ("rollback", store.ids[1], store.ids[0], "bo"),
    ]
    assert "better [for us]" in " ".join(told.split())
    assert "complaints" in told


def test_the_history_of_an_unknown_name_is_empty(store: Store, name: str, tmp_path: Path) -> None:
    said("registry", "history", name, "--json", tmp_path / "h.json")
    assert written(tmp_path / "h.json") == {"name": name, "entries": []}


def test_show_verifies_what_an_alias_stands_for(store: Store, crowned: str, tmp_path: Path) -> None:
    told = said("registry", "show", f"{crowned}@champion", "--json", tmp_path / "s.json")
    assert f"bundle {store.ids[1]} in " in told
    assert "every file matches its manifest" in told
    shown = written(tmp_path / "s.json")
    assert (shown["bundle"], shown["entry"]["number"]) == (store.ids[1], 2)
    assert bundle_id(Path(shown["path"])) == store.ids[1]


def test_show_does_not_call_a_former_champion_the_champion(store: Store, crowned: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri())
    client.set_registered_model_alias(crowned, "previous", "1")
    assert f"once champion of {crowned} by promotion, version 1" in said("registry", "show", f"{crowned}@previous")
    now = said("registry", "show", f"{crowned}@champion")
    assert f"champion of {crowned} by promotion, version 2" in now
    assert "once" not in now


@pytest.mark.parametrize("reference", ["router", "router@", "router@nobody", "models:/router/1"])
def test_show_refuses_what_stands_for_nothing(store: Store, reference: str) -> None:
    assert isinstance(refused("registry", "show", reference), RegistryError)


def test_rollback_moves_alias_and_link_back(store: Store, crowned: str, tmp_path: Path) -> None:
    said("registry", "sync", crowned, "--link", tmp_path / "current")
    assert linked(tmp_path / "current") == store.ids[1]
    told = said("registry", "rollback", crowned, "--why", "complaints", "--link", tmp_path / "current")
    assert f"champion is bundle {store.ids[0]} (after {store.ids[1]}), by rollback, version 3" in told
    assert linked(tmp_path / "current") == store.ids[0]
    assert "no champion before this one" in str(refused("registry", "rollback", crowned, "--why", "again"))


def test_why_is_not_optional(store: Store, name: str) -> None:
    done = invoke("registry", "rollback", name)
    assert done.exit_code == 2
    assert "--why" in done.stderr


def test_sync_of_a_name_without_champion_says_how_to_make_one(store: Store, name: str) -> None:
    assert f"weighbridge promote --name {name}" in str(refused("registry", "sync", name))
