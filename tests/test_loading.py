"""From a directory to what decides: which form of a bundle is served, and what is refused before it decides anything."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from agents.gateway import loading
from agents.gateway.loading import Form, compiled_beside, load_held, stamp_of
from router.bundle import bundle_id, save
from router.bundlefiles import MANIFEST, WEIGHTS
from router.compiled import load
from router.earlier import LOOK_BACK
from router.errors import BundleError, PolicyError
from router.pipeline import HeadSet, Router
from tests.decided import TEXTS

pytest_plugins = ("tests.compiled_forms",)


@pytest.fixture(scope="module")
def shelf(graph_router: Router, form: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its compiled form beside it."""
    target = tmp_path_factory.mktemp("shelf") / "bundle"
    save(graph_router, target, carry_encoder=True)
    shutil.copytree(form, compiled_beside(target))
    change(compiled_beside(target), source=bundle_id(target))
    return target


@pytest.fixture
def copy(shelf: Path, tmp_path: Path) -> Path:
    """A bundle and its form that a test may spoil."""
    shutil.copytree(compiled_beside(shelf), tmp_path / "bundle.compiled")
    return Path(shutil.copytree(shelf, tmp_path / "bundle"))


def change(directory: Path, **changed: object) -> None:
    """Rewrite a manifest."""
    path = directory / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changed}), encoding="utf-8")


def without(form: Path, *tiers: str) -> None:
    """Take tiers out of a form's manifest."""
    named = json.loads((form / MANIFEST).read_text(encoding="utf-8"))["tiers"]
    change(form, tiers={name: tier for name, tier in named.items() if name not in tiers})


# Which form decides


@pytest.mark.parametrize(
    ("asked", "decides"),
    [("auto", "int8"), ("fitted", "fitted"), ("fp32", "fp32"), ("int8", "int8"), ("static", "static+int8")],
)
def test_the_form_that_is_asked_for_decides(shelf: Path, asked: Form, decides: str) -> None:
    held = load_held(shelf, form=asked)
    assert (held.form, held.bundle_id) == (decides, bundle_id(shelf))


def test_where_only_single_precision_was_exported_it_decides(copy: Path) -> None:
    without(compiled_beside(copy), "int8", "static")
    assert load_held(copy).form == "fp32"


def test_without_an_export_the_fitted_router_decides(copy: Path) -> None:
    shutil.rmtree(compiled_beside(copy))
    assert load_held(copy).form == "fitted"


def test_single_precision_decides_as_the_fitted_router(shelf: Path) -> None:
    exact, fitted = load_held(shelf, form="fp32"), load_held(shelf, form="fitted")
    for text in TEXTS:
        one, other = exact.verdict(text), fitted.verdict(text)
        assert (one.route, one.rule, one.also) == (other.route, other.rule, other.also)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert one.novelty == pytest.approx(other.novelty, abs=1e-5)


@pytest.mark.parametrize("asked", ["int8", "static"])
def test_a_compiled_form_says_what_it_says_by_itself(shelf: Path, asked: Form) -> None:
    held, alone = load_held(shelf, form=asked), load(compiled_beside(shelf), static=asked == "static")
    for text in TEXTS:
        verdict, said = held.verdict(text), alone.decide(text)
        assert (verdict.route, verdict.rule, verdict.probabilities) == (said.route, said.rule, said.probabilities)
        assert (verdict.confidence, verdict.also, verdict.novelty) == (said.confidence, said.also, said.novelty)


def test_what_decides_has_a_name_of_its_own_in_the_log(shelf: Path) -> None:
    forms: tuple[Form, ...] = ("fitted", "fp32", "int8", "static")
    held = [load_held(shelf, form=form) for form in forms]
    hashes = [each.policy_hash for one in held for each in (one, one.at(0.25))]
    assert len(set(hashes)) == len(hashes)
    assert held[2].at(0.25).policy_hash == load_held(shelf).at(0.25).policy_hash


@pytest.mark.parametrize("asked", ["int8", "static"])
def test_a_threshold_that_is_asked_for_moves_every_tier_and_leaves_the_bundle_as_it_was(
    shelf: Path, asked: Form
) -> None:
    held = load_held(shelf, form=asked)
    before = [held.verdict(text) for text in TEXTS]
    cheapest = [held.at(0.0).verdict(text) for text in TEXTS]
    dearest = [held.at(1.0).verdict(text) for text in TEXTS]
    assert {one.rule for one in cheapest} <= {"cheap", "novel", "danger", "out-of-scope"}
    assert "cheap" not in {one.rule for one in dearest}
    assert [held.verdict(text) for text in TEXTS] == before


def test_a_threshold_that_is_no_probability_is_refused(shelf: Path) -> None:
    with pytest.raises(PolicyError, match="threshold"):
        load_held(shelf, form="int8").at(1.5)


def test_a_form_may_be_served_by_itself(shelf: Path) -> None:
    alone, beside = load_held(compiled_beside(shelf)), load_held(shelf)
    assert (alone.form, alone.bundle_id) == ("int8", bundle_id(compiled_beside(shelf)))
    assert [alone.verdict(text) for text in TEXTS] == [beside.verdict(text) for text in TEXTS]
    with pytest.raises(BundleError, match="name its bundle"):
        load_held(compiled_beside(shelf), form="fitted")


# What is not of this bundle, or not there


def test_the_form_of_another_bundle_is_left_alone_and_told(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(compiled_beside(copy), source="another")
    with caplog.at_level(logging.WARNING):
        assert load_held(copy).form == "fitted"
    assert f"weighbridge export {copy} --out {compiled_beside(copy)}" in caplog.text


@pytest.mark.parametrize("asked", ["fp32", "int8", "static"])
@pytest.mark.parametrize("there", [True, False])
def test_a_form_that_is_asked_for_and_cannot_be_had_is_refused(copy: Path, asked: Form, there: bool) -> None:
    if there:
        change(compiled_beside(copy), source="another")
    else:
        shutil.rmtree(compiled_beside(copy))
    with pytest.raises(BundleError, match="weighbridge export"):
        load_held(copy, form=asked)


def test_a_static_tier_that_was_not_exported_is_refused(copy: Path) -> None:
    without(compiled_beside(copy), "static")
    with pytest.raises(BundleError, match="--static"):
        load_held(copy, form="static")


def test_a_precision_that_was_not_exported_is_refused(copy: Path) -> None:
    without(compiled_beside(copy), "int8")
    with pytest.raises(BundleError, match="no graph in int8"):
        load_held(copy, form="int8")


@pytest.mark.parametrize("place", ["bundle", "bundle.compiled"])
def test_what_was_tampered_with_is_refused_in_bundle_and_form_alike(copy: Path, place: str) -> None:
    (copy.with_name(place) / WEIGHTS).write_bytes(b"")
    with pytest.raises(BundleError, match="hash"):
        load_held(copy)


def test_a_stamp_names_the_bundle_and_the_form_that_may_decide(copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(copy)
    whole, bundle_alone = stamp_of(link), stamp_of(link, "fitted")
    shutil.rmtree(compiled_beside(copy))
    assert bundle_alone == bundle_id(copy)
    assert whole is not None
    assert whole.startswith(f"{bundle_alone}+")
    assert stamp_of(link) == bundle_alone
    shutil.rmtree(copy)
    assert stamp_of(link) is None


# Whatever a directory holds


def test_a_bundle_of_heads_alone_is_refused(monkeypatch: pytest.MonkeyPatch, router: Router, tmp_path: Path) -> None:
    heads = HeadSet(
        card=router.card,
        encoder=router.encoder,
        space=router.space,
        heads=router.heads,
        lead="domain",
        fitted=router.fitted,
    )
    monkeypatch.setattr(loading, "load_any", lambda _: heads)
    with pytest.raises(BundleError, match="no route table"):
        load_held(tmp_path)


def test_a_bundle_over_which_a_library_stumbles_is_refused_as_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stumble(_: Path) -> None:
        raise ZeroDivisionError("in a library")

    monkeypatch.setattr(loading, "load_any", stumble)
    with pytest.raises(BundleError, match="ZeroDivisionError"):
        load_held(tmp_path)


def test_a_bundle_that_loads_but_decides_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    def trip(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Router, "decide_many", trip)
    with pytest.raises(BundleError, match="decides nothing"):
        load_held(bundle)


def test_a_bundle_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    stamps = iter(["before", "after"])
    monkeypatch.setattr(loading, "stamp_of", lambda *_: next(stamps))
    with pytest.raises(BundleError, match="changed while it was read"):
        load_held(bundle)


def test_every_form_reads_as_many_earlier_messages_as_the_fitted_router(shelf: Path) -> None:
    forms: tuple[Form, ...] = ("fitted", "fp32", "int8", "static")
    assert {load_held(shelf, form=form).looks_back for form in forms} == {LOOK_BACK}


def test_what_was_said_before_counts_in_every_form(shelf: Path) -> None:
    said = ("plan a trip to Yuma", "what does diesel cost there", "and the camp")
    exact, fitted = load_held(shelf, form="fp32"), load_held(shelf, form="fitted")
    ours, theirs = exact.verdict("and next week?", said), fitted.verdict("and next week?", said)
    assert (ours.route, ours.rule) == (theirs.route, theirs.rule)
    assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-5)
    assert ours.confidence != exact.verdict("and next week?").confidence
