"""Promotion: the alias moves only when the evidence holds, every move is on record, and a crash or a race loses nothing."""

from __future__ import annotations

import contextlib
import errno
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import current, promotion
from router.bundle import CARD, bundle_id, load, save
from router.current import linked, resolve
from router.errors import BundleError, PolicyError, RegistryError
from router.evidence import Evidence, GuaranteeRecord
from router.gate import PromotionError
from router.ledger import Ledger, Promotion, read_ledger
from router.pipeline import Router
from router.promotion import champion, champions, history, promote, rollback, sync
from router.registry import MODEL_NAME, log_run, logged_bundle

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's calls of SQLAlchemy warn: not ours to mend

DATA = "d" * 64
NAMES = (f"router-{i}" for i in count())
AT = "2026-11-22T09:00:00+00:00"


@dataclass(frozen=True)
class Store:
    """A real store on SQLite, with four bundles logged in it: their ids, runs and directories."""

    uri: str
    ids: tuple[str, ...]
    runs: tuple[str, ...]
    directories: tuple[Path, ...]

    @property
    def client(self) -> Any:  # mlflow's client
        import mlflow

        return mlflow.MlflowClient(self.uri)


@pytest.fixture(scope="module")
def store(router: Router, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    place = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{place / 'store.db'}"
    directories = tuple(place / letter for letter in "abcd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # MLflow keeps artefacts of a SQLite store in the working directory
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        runs = []
        for number, directory in enumerate(directories):
            save(replace(router, fitted={**router.fitted, "variant": number}), directory)
            runs.append(log_run("train", params={}, metrics={}, artifacts=[], bundle=directory))
        yield Store(uri=uri, ids=tuple(map(bundle_id, directories)), runs=tuple(runs), directories=directories)


@pytest.fixture
def name() -> str:
    """A registered model of the test's own."""
    return next(NAMES)


@pytest.fixture
def own_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, since it is going to be damaged."""
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


def evidence(challenger: str, champion: str | None = None, **changed: Any) -> Evidence:  # Any: any field
    fields: dict[str, Any] = {
        "challenger": challenger,
        "champion": champion,
        "baseline": None if champion else "lr",
        "challenger_fingerprint": DATA,
        "champion_fingerprint": DATA,
        "metric": "apgr",
        "higher_is_better": True,
        "n": 1_307,
        "estimate": 0.03,
        "low": 0.01,
        "high": 0.05,
    }
    return Evidence(**fields | changed)


def crown(store: Store, name: str, *which: int, **options: Any) -> list[Promotion]:  # Any: options of promote
    """Promote bundles by number, one after the other, each over the one that is champion then."""
    made: list[Promotion] = []
    for number in which:
        entries = history(name)
        proof = evidence(store.ids[number], entries[-1].bundle if entries else None)
        made.append(promote(store.runs[number], proof, **signed(name, **options)))
    return made


def signed(name: str, **options: Any) -> dict[str, Any]:  # Any: options of promote
    return {"name": name, "who": "ada", "why": "better on our queries", "clock": lambda: 1_795_338_000.0, **options}


def alias(store: Store, name: str) -> int:
    return int(store.client.get_model_version_by_alias(name, "champion").version)


def test_a_first_promotion_moves_the_alias_and_is_on_record(store: Store, name: str) -> None:
    (made,) = crown(store, name, 0)
    assert made == Promotion(
        name=name,
        number=1,
        kind="promotion",
        bundle=store.ids[0],
        before=None,
        who="ada",
        why="better on our queries",
        at=AT,
        follows=0,
        run_id=store.runs[0],
        evidence=evidence(store.ids[0]).digest(),
        result="apgr +0.03 [+0.01, +0.05] against lr, n 1,307",
        margin=0.0,
    )
    assert (history(name), champion(name), alias(store, name)) == ((made,), made, 1)


def test_the_record_stands_in_the_tags_of_the_version(store: Store, name: str) -> None:
    crown(store, name, 0, 1, margin=0.005)
    tags = store.client.get_model_version(name, "2").tags
    assert tags == {
        "weighbridge.kind": "promotion",
        "weighbridge.bundle": store.ids[1],
        "weighbridge.before": store.ids[0],
        "weighbridge.who": "ada",
        "weighbridge.why": "better on our queries",
        "weighbridge.at": AT,
        "weighbridge.follows": "1",
        "weighbridge.evidence": evidence(store.ids[1], store.ids[0]).digest(),
        "weighbridge.result": f"apgr +0.03 [+0.01, +0.05] against {store.ids[0]}, n 1,307",
        "weighbridge.margin": "0.005",
        "weighbridge.settled": "true",
    }


def test_a_directory_is_logged_with_its_evidence_and_serves_as_mlflows_own_model(
    store: Store, name: str, router: Router
) -> None:
    import mlflow

    made = promote(store.directories[0], evidence(store.ids[0]), **signed(name))
    artefacts = {entry.path for entry in store.client.list_artifacts(made.run_id)}
    assert artefacts == {"bundle", "evidence.json"}
    assert store.client.get_run(made.run_id).data.metrics == {
        "delta": 0.03,
        "delta_low": 0.01,
        "delta_high": 0.05,
        "n": 1307,
    }
    mlflow.set_tracking_uri(store.uri)
    answer = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(["where is my refund?"])
    assert answer[0]["route"] == router.decide("where is my refund?").route


def test_a_promotion_of_a_run_logs_nothing_anew(store: Store, name: str) -> None:
    (made,) = crown(store, name, 1)
    version = store.client.get_model_version(name, "1")
    assert (made.run_id, version.source) == (store.runs[1], logged_bundle(store.runs[1]).location)


def test_the_guarantee_is_on_record(store: Store, name: str) -> None:
    threshold = load(store.directories[0]).policy.threshold
    guarantee = GuaranteeRecord(
        bundle=store.ids[0],
        epsilon=0.02,
        delta=0.05,
        n=900,
        threshold=threshold,
        against="dear",
        expected_usd=None,
        sentence="the loss is ≤ 0.02",
    )
    proof = evidence(store.ids[0], guarantee=guarantee)
    assert promote(store.runs[0], proof, **signed(name, require_guarantee=True)).guarantee == "the loss is ≤ 0.02"
    assert history(name)[0].guarantee == "the loss is ≤ 0.02"


def test_a_refused_promotion_lists_all_that_is_missing_and_moves_nothing(
    store: Store, name: str, tmp_path: Path
) -> None:
    crown(store, name, 0)
    (tmp_path / "current").mkdir()
    proof = evidence(store.ids[2], store.ids[3], champion_fingerprint="e" * 64, n=0, low=-0.2)
    options = signed(name, who=" ", why="two\nlines", require_guarantee=True, link=tmp_path / "current")
    with pytest.raises(PromotionError) as caught:
        promote(store.runs[1], proof, **options)
    said = " ".join(caught.value.reasons)
    assert len(caught.value.reasons) == 9
    for part in ("is about bundle", "not the champion now", "different data", "n is 0", "worse by 0.2", "no guarantee"):
        assert part in said
    for part in ("--who is ' '", "--why is 'two", "current is no link"):
        assert part in said
    assert (len(history(name)), alias(store, name)) == (1, 1)
    assert len(store.client.search_model_versions(f"name = '{name}'")) == 1


def test_evidence_against_an_older_champion_is_refused(store: Store, name: str) -> None:
    crown(store, name, 0, 1)
    with pytest.raises(PromotionError, match=rf"compares with bundle {store.ids[0]}, which is not the champion now"):
        promote(store.runs[2], evidence(store.ids[2], store.ids[0]), **signed(name))


def test_the_margin_decides_about_a_challenger_that_may_be_worse(store: Store, name: str) -> None:
    proof = evidence(store.ids[0], low=-0.01)
    with pytest.raises(PromotionError, match=r"worse by 0\.01 in apgr, more than the margin 0\.005"):
        promote(store.runs[0], proof, **signed(name, margin=0.005))
    assert promote(store.runs[0], proof, **signed(name, margin=0.01)).margin == 0.01


@pytest.mark.parametrize("margin", [-0.01, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(store: Store, name: str, margin: float) -> None:
    with pytest.raises(PolicyError, match=r"--margin is .*; wanted a finite number of 0 or more"):
        promote(store.runs[0], evidence(store.ids[0]), **signed(name, margin=margin))


@pytest.mark.parametrize("wrong", ["", "a/b", "a:b", "a'b", "-a", "..", "a" * 101, "a b", "a\n"])
def test_a_name_that_a_model_cannot_have_is_refused(store: Store, wrong: str) -> None:
    with pytest.raises(RegistryError, match="is no name of a registered model"):
        promote(store.runs[0], evidence(store.ids[0]), **signed(wrong))


def test_a_tampered_bundle_is_refused(store: Store, name: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store.directories[0], tmp_path / "copy"))
    (copy / CARD).write_text("better than it is", encoding="utf-8")
    with pytest.raises(BundleError, match="damaged or tampered with"):
        promote(copy, evidence(store.ids[0]), **signed(name))
    assert history(name) == ()


def test_a_run_that_holds_no_router_or_is_none_is_refused(store: Store, name: str) -> None:
    empty = log_run("compare", params={}, metrics={}, artifacts=[])
    with pytest.raises(RegistryError, match=rf"run {empty} holds 0 routers; wanted one"):
        promote(empty, evidence(store.ids[0]), **signed(name))
    with pytest.raises(RegistryError, match=r"could not be used .*f{32}"):
        promote("f" * 32, evidence(store.ids[0]), **signed(name))


def test_a_bundle_may_become_champion_again(store: Store, name: str) -> None:
    crown(store, name, 0, 1, 0)
    assert [entry.bundle for entry in history(name)] == [store.ids[0], store.ids[1], store.ids[0]]


def test_the_same_promotion_again_records_nothing(store: Store, name: str) -> None:
    (first,) = crown(store, name, 0)
    assert promote(store.runs[0], evidence(store.ids[0]), **signed(name)) == first
    assert history(name) == (first,)


def test_the_champion_is_not_promoted_on_other_evidence(store: Store, name: str) -> None:
    crown(store, name, 0)
    with pytest.raises(PromotionError, match="is the champion already"):
        promote(store.runs[0], evidence(store.ids[0], n=5), **signed(name))


def test_a_rollback_goes_one_back_and_is_on_record(store: Store, name: str) -> None:
    crown(store, name, 0, 1)
    made = rollback(name, who="bo", why="complaints", clock=lambda: 1_795_338_000.0)
    assert made == Promotion(
        name=name,
        number=3,
        kind="rollback",
        bundle=store.ids[0],
        before=store.ids[1],
        who="bo",
        why="complaints",
        at=AT,
        follows=2,
        run_id=store.runs[0],
        restores=1,
    )
    assert (history(name)[-1], champion(name), alias(store, name)) == (made, made, 3)
    assert bundle_id(resolve(f"models:/{name}@champion")) == store.ids[0]


def test_a_second_rollback_goes_further_back_and_not_to_and_fro(store: Store, name: str) -> None:
    crown(store, name, 0, 1, 2)
    back = [rollback(name, who="bo", why="complaints").bundle for _ in range(2)]
    assert back == [store.ids[1], store.ids[0]]
    with pytest.raises(RegistryError, match=rf"no champion before this one \(5 entries.*registry history {name}"):
        rollback(name, who="bo", why="complaints")
    assert champion(name).bundle == store.ids[0]


def test_a_promotion_after_a_rollback_starts_from_where_that_went(store: Store, name: str) -> None:
    crown(store, name, 0, 1)
    rollback(name, who="bo", why="complaints")
    crown(store, name, 2)
    assert rollback(name, who="bo", why="complaints").bundle == store.ids[0]


def test_a_name_without_champions_is_not_rolled_back(store: Store, name: str) -> None:
    with pytest.raises(RegistryError, match="no champion before this one"):
        rollback(name, who="bo", why="complaints")


@pytest.mark.parametrize(("who", "why"), [("", "w"), ("w", " "), ("w", "x" * 2_001)])
def test_a_rollback_that_nobody_signs_is_refused(store: Store, name: str, who: str, why: str) -> None:
    crown(store, name, 0, 1)
    with pytest.raises(RegistryError, match=r"not rolled back: --wh[oy] is"):
        rollback(name, who=who, why=why)
    assert len(history(name)) == 2


def test_of_two_promotions_at_once_the_second_does_not_count(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(store, name, 0)

    def meanwhile(run_id: str) -> Any:
        monkeypatch.undo()
        promote(store.runs[1], evidence(store.ids[1], store.ids[0]), **signed(name, who="bo"))
        return logged_bundle(run_id)

    monkeypatch.setattr(promotion, "logged_bundle", meanwhile)  # the last step before the entry is recorded
    with pytest.raises(RegistryError, match=rf"bo made bundle {store.ids[1]} champion at the same time \(version 2\)"):
        promote(store.runs[2], evidence(store.ids[2], store.ids[0]), **signed(name))
    assert [entry.bundle for entry in history(name)] == [store.ids[0], store.ids[1]]
    assert alias(store, name) == 2
    crown(store, name, 2)  # with evidence about the champion that is one now
    assert (champion(name).bundle, champion(name).follows, alias(store, name)) == (store.ids[2], 2, 4)


def test_a_loser_that_dies_before_it_knows_is_void_for_everyone(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = crown(store, name, 0, 1)
    stale = replace(second, bundle=store.ids[2], before=first.bundle, follows=first.number)
    location = logged_bundle(store.runs[2]).location
    store.client.create_model_version(name, location, run_id=store.runs[2], tags=stale.to_tags())
    assert history(name) == (first, second)
    assert champion(name) == second


def test_promotions_from_many_threads_leave_one_winner(store: Store, name: str) -> None:
    crown(store, name, 0)
    start = threading.Barrier(3)
    outcomes: list[Promotion | RegistryError] = []

    def attempt(number: int) -> None:
        start.wait()
        try:
            outcomes.append(promote(store.runs[number], evidence(store.ids[number], store.ids[0]), **signed(name)))
        except RegistryError as err:
            outcomes.append(err)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if isinstance(outcome, Promotion)]
    assert (len(outcomes), len(won)) == (3, 1)
    assert history(name)[1:] == tuple(won)
    assert alias(store, name) == won[0].number


def cut_short(*_: object, **__: object) -> None:
    raise RegistryError("the power is gone")


def test_an_entry_whose_alias_did_not_follow_is_finished_by_the_next_call(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(store, name, 0)
    monkeypatch.setattr(promotion, "settle", cut_short)
    with pytest.raises(RegistryError, match=rf"is champion on record \(version 2\).*registry sync {name}"):
        crown(store, name, 1)
    monkeypatch.undo()
    assert alias(store, name) == 1
    with pytest.raises(RegistryError, match="the alias champion stands at version 1, the history says version 2"):
        champion(name)
    crown(store, name, 2)
    assert [entry.bundle for entry in history(name)] == list(store.ids[:3])
    assert alias(store, name) == 3


def test_a_promotion_that_was_cut_short_is_finished_by_itself(
    store: Store, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "current"
    crown(store, name, 0, link=link)
    for step in ("settle", "follow"):
        proof = evidence(store.ids[1], champion(name).bundle, n=len(step))
        if champion(name).bundle == store.ids[1]:
            rollback(name, who="bo", why="again", link=link)
            proof = evidence(store.ids[1], store.ids[0], n=len(step))
        monkeypatch.setattr(promotion, step, cut_short)
        with pytest.raises(RegistryError, match=rf"the power is gone.*sync {name} --link"):
            promote(store.runs[1], proof, **signed(name, link=link))
        monkeypatch.undo()
        recorded = history(name)
        assert linked(link) == store.ids[0]
        assert promote(store.runs[1], proof, **signed(name, link=link)) == recorded[-1]
        assert (history(name), champion(name).bundle, linked(link)) == (recorded, store.ids[1], store.ids[1])


@pytest.mark.parametrize("step", ["settle", "follow"])
def test_a_rollback_that_was_cut_short_is_finished_and_goes_no_further(
    store: Store, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    link = tmp_path / "current"
    crown(store, name, 0, 1, 2, link=link)
    monkeypatch.setattr(promotion, step, cut_short)
    with pytest.raises(RegistryError, match="the power is gone"):
        rollback(name, who="bo", why="complaints", link=link)
    monkeypatch.undo()
    assert rollback(name, who="bo", why="complaints", link=link).number == 4
    assert (champion(name).bundle, linked(link), len(history(name))) == (store.ids[1], store.ids[1], 4)
    assert rollback(name, who="bo", why="complaints", link=link).bundle == store.ids[0]


def test_an_alias_moved_by_hand_stops_promotions_until_sync(store: Store, name: str) -> None:
    crown(store, name, 0, 1)
    store.client.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(RegistryError, match=rf"stands at version 1, the history says version 2.*registry sync {name}"):
        crown(store, name, 2)
    with pytest.raises(RegistryError, match="moved by other means"):
        rollback(name, who="bo", why="complaints")
    assert sync(name).bundle == store.ids[1]
    assert alias(store, name) == 2


def test_an_alias_that_was_deleted_is_set_again_by_sync(store: Store, name: str) -> None:
    crown(store, name, 0)
    store.client.delete_registered_model_alias(name, "champion")
    with pytest.raises(RegistryError, match="the alias champion is not set"):
        champion(name)
    sync(name)
    assert alias(store, name) == 1


def test_versions_that_others_registered_are_no_entries(store: Store, name: str) -> None:
    crown(store, name, 0)
    store.client.create_model_version(name, logged_bundle(store.runs[3]).location, run_id=store.runs[3])
    crown(store, name, 1)
    assert [entry.number for entry in history(name)] == [1, 3]


def test_a_version_that_was_deleted_leaves_the_champion_in_place(store: Store, name: str) -> None:
    crown(store, name, 0, 1, 2)
    store.client.delete_model_version(name, "2")
    assert champion(name).bundle == store.ids[2]
    assert rollback(name, who="bo", why="complaints").bundle == store.ids[0]


def test_broken_tags_are_named_with_the_way_round_them(store: Store, name: str) -> None:
    crown(store, name, 0, 1)
    store.client.set_model_version_tag(name, "2", "weighbridge.follows", "one")
    with pytest.raises(RegistryError, match=r"version 2: its tags are no entry.*weighbridge\.void"):
        history(name)
    store.client.set_model_version_tag(name, "2", "weighbridge.void", "broken")
    assert sync(name).bundle == store.ids[0]


def test_a_directory_resolves_to_itself(tmp_path: Path) -> None:
    assert resolve(str(tmp_path / "b")) == tmp_path / "b"


def test_the_champion_resolves_to_a_bundle_that_decides_as_its_router(store: Store, name: str, router: Router) -> None:
    crown(store, name, 0)
    text = "plan a week from Yuma to Moab"
    assert load(resolve(f"models:/{name}@champion")).decide(text) == router.decide(text)


def test_any_alias_of_any_version_resolves(store: Store, name: str) -> None:
    store.client.create_registered_model(name)
    store.client.create_model_version(name, logged_bundle(store.runs[3]).location, run_id=store.runs[3])
    store.client.set_registered_model_alias(name, "challenger", "1")
    assert bundle_id(resolve(f"models:/{name}@challenger")) == store.ids[3]
    with pytest.raises(RegistryError, match=rf"models:/{name}@champion: no such alias \(of '{name}': challenger\)"):
        resolve(f"models:/{name}@champion")


@pytest.mark.parametrize(
    "text", ["models:/router", "models:/router/3", "models:/@champion", "models:/r@a@b", "models:/r@"]
)
def test_a_reference_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="wanted a directory or models:/NAME@ALIAS"):
        resolve(text)


def test_a_copy_that_was_damaged_is_fetched_again(store: Store, name: str, own_copies: Path) -> None:
    crown(store, name, 0)
    (resolve(f"models:/{name}@champion") / CARD).write_text("better than it is", encoding="utf-8")
    again = resolve(f"models:/{name}@champion")
    assert again == own_copies / store.ids[0]
    assert (again / CARD).read_bytes() == (store.directories[0] / CARD).read_bytes()


def test_a_copy_that_another_process_made_first_is_taken(
    store: Store, name: str, own_copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(store, name, 0)
    other = own_copies / store.ids[0]

    @contextlib.contextmanager
    def beaten(target: Path) -> Iterator[Path]:
        shutil.copytree(store.directories[0], target)
        yield target.parent
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(target))

    monkeypatch.setattr(current, "new_directory", beaten)
    assert resolve(f"models:/{name}@champion") == other


def test_a_disk_that_cannot_be_written_is_not_taken_for_a_copy(
    store: Store, name: str, own_copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(target: Path) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    crown(store, name, 0)
    monkeypatch.setattr(current, "new_directory", full)
    with pytest.raises(OSError, match="No space left"):
        resolve(f"models:/{name}@champion")


def test_a_store_that_holds_another_bundle_than_was_recorded_is_refused(
    store: Store, name: str, own_copies: Path, tmp_path: Path
) -> None:
    run_id = log_run("train", params={}, metrics={}, artifacts=[], bundle=store.directories[0])
    promote(run_id, evidence(store.ids[0]), **signed(name))
    kept = Path(logged_bundle(run_id).location) / "data" / "a"
    shutil.rmtree(kept)
    shutil.copytree(store.directories[1], kept)
    with pytest.raises(BundleError, match=rf"holds bundle {store.ids[1]}, the registry recorded {store.ids[0]}"):
        resolve(f"models:/{name}@champion")
    (kept / CARD).write_text("better than it is", encoding="utf-8")
    with pytest.raises(BundleError, match="damaged or tampered with"):
        resolve(f"models:/{name}@champion")


def test_the_link_follows_promotion_and_rollback(store: Store, name: str, tmp_path: Path) -> None:
    link = tmp_path / "served" / "current"
    crown(store, name, 0, 1, link=link)
    assert (linked(link), link.readlink()) == (store.ids[1], Path("current.bundles", store.ids[1]))
    rollback(name, who="bo", why="complaints", link=link)
    assert linked(link) == store.ids[0]
    assert {path.name for path in link.parent.iterdir()} == {"current", "current.bundles"}


def test_what_the_link_leads_to_outlives_the_original_and_the_cache(
    store: Store, name: str, tmp_path: Path, own_copies: Path
) -> None:
    copy = Path(shutil.copytree(store.directories[0], tmp_path / "mine"))
    promote(copy, evidence(store.ids[0]), **signed(name, link=tmp_path / "current"))
    shutil.rmtree(copy)
    shutil.rmtree(own_copies)
    (tmp_path / "elsewhere").mkdir()
    for part in ("current", "current.bundles"):
        (tmp_path / part).rename(tmp_path / "elsewhere" / part)
    assert load(tmp_path / "elsewhere" / "current").decide("hi").route


def test_a_link_that_points_nowhere_is_set_right(store: Store, name: str, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("gone")
    crown(store, name, 0, link=tmp_path / "current")
    assert linked(tmp_path / "current") == store.ids[0]


def test_a_damaged_bundle_behind_the_link_is_made_whole_by_sync(store: Store, name: str, tmp_path: Path) -> None:
    link = tmp_path / "current"
    crown(store, name, 0, link=link)
    (link / CARD).unlink()
    sync(name, link=link)
    assert bundle_id(link) == store.ids[0]
    assert load(link)


def test_sync_gives_another_machine_its_link(store: Store, name: str, tmp_path: Path) -> None:
    crown(store, name, 0, 1)
    sync(name, link=tmp_path / "current")
    assert linked(tmp_path / "current") == store.ids[1]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_no_link_is_never_replaced(store: Store, name: str, tmp_path: Path, kind: str) -> None:
    crown(store, name, 0, 1)
    place = tmp_path / "current"
    if kind == "file":
        place.write_text("mine", encoding="utf-8")
    else:
        place.mkdir()
    said = "current is no link; wanted a new name or an old link"
    with pytest.raises(RegistryError, match=said):
        rollback(name, who="bo", why="complaints", link=place)
    with pytest.raises(RegistryError, match=said):
        sync(name, link=place)
    assert place.exists()
    assert not place.is_symlink()
    assert champion(name).bundle == store.ids[1]


def test_the_list_of_champions_names_every_model(store: Store, name: str) -> None:
    (made,) = crown(store, name, 0)
    assert {ledger.name: ledger.head for ledger in champions()}[name] == made


def test_reading_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    reads: list[Callable[[], object]] = [
        lambda: history("router"),
        champions,
        lambda: resolve("models:/router@champion"),
    ]
    for read in reads:
        with pytest.raises(RegistryError, match=r"none.db: no such MLflow store.*MLFLOW_TRACKING_URI"):
            read()
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_the_model_on_the_command_line_is_that_of_the_registry() -> None:
    from router.registry_commands import DEFAULT_NAME

    assert DEFAULT_NAME == MODEL_NAME


class Versions:
    """MLflow's client as far as the ledger reads it."""

    def __init__(self, entries: Sequence[Promotion]) -> None:
        self.entries = entries

    def search_model_versions(self, *_: object, **__: object) -> Any:
        return Page(Version(entry) for entry in reversed(self.entries))

    def search_registered_models(self, *_: object, **__: object) -> Any:
        return Page()


class Page(list[Any]):
    token = None


class Version:
    def __init__(self, entry: Promotion) -> None:
        self.name, self.version, self.run_id, self.tags = entry.name, str(entry.number), entry.run_id, entry.to_tags()


@settings(deadline=None, max_examples=50)
@given(steps=st.lists(st.sampled_from("abcd<"), max_size=12), stale=st.lists(st.integers(0, 11), max_size=4))
def test_the_ledger_is_a_line_of_champions_whatever_was_void_in_between(steps: list[str], stale: list[int]) -> None:
    blank = Promotion(
        name="r", kind="promotion", bundle="", before=None, who="w", why="w", at=AT, follows=0, run_id="r", margin=0.1
    )
    line: list[Promotion] = []  # the second, slower way: a stack
    valid: list[Promotion] = []
    written: list[Promotion] = []
    for position, step in enumerate(steps):
        follows = valid[-1].number if valid else 0
        if position in stale and valid:  # compared with the champion before the last
            written.append(replace(blank, number=len(written) + 1, bundle="z", follows=valid[-1].follows))
        if step == "<" and len(line) < 2:
            continue
        if step == "<":
            line.pop()
            entry = replace(blank, kind="rollback", bundle=line[-1].bundle, restores=line[-1].number, follows=follows)
        else:
            entry = replace(blank, bundle=step, follows=follows)
        entry = replace(entry, number=len(written) + 1)
        line += [entry] if step != "<" else []
        written.append(entry)
        valid.append(entry)
    ledger: Ledger = read_ledger(Versions(written), "r")
    assert (ledger.entries, ledger.line()) == (tuple(valid), tuple(line))
    assert (ledger.head.bundle if ledger.head else None) == (line[-1].bundle if line else None)
