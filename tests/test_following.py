"""Another bundle, or another form of it, while messages come: the old one decides until the new one can."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.gateway.choice import CLASSIFIER_FAILED, RouteChoice
from agents.gateway.deciding import Decider
from agents.gateway.held import Held
from router.bundle import bundle_id, save
from router.bundlefiles import MANIFEST
from router.errors import BundleError, PolicyError
from router.pipeline import Router
from tests.decided import FakeBundle, decider, run


@pytest.fixture
def other(router: Router, tmp_path: Path) -> Path:
    """The same router with another name for its training run: another id."""
    target = tmp_path / "other"
    save(replace(router, fitted={**router.fitted, "note": "other"}), target)
    return target


def test_a_swap_changes_the_bundle_that_decides(held: Held, other: Path) -> None:
    made = decider(held)

    async def work() -> tuple[str, RouteChoice, RouteChoice]:
        before = await made.choose("hi")
        return await made.swap(other), before, await made.choose("hi")

    swapped, before, after = run(made, work())
    assert (before.bundle_id, after.bundle_id) == (held.bundle_id, bundle_id(other))
    assert swapped == bundle_id(other) != held.bundle_id
    assert not after.cached


def test_a_swap_ends_the_time_without_a_bundle(bundle: Path) -> None:
    made = decider(None)

    async def work() -> str:
        await made.swap(bundle)
        return (await made.choose("hi")).rule

    assert run(made, work()) != CLASSIFIER_FAILED


def test_a_decision_under_way_ends_on_the_bundle_that_it_began_with(bundle: Path) -> None:
    gate = threading.Event()
    made = decider(FakeBundle(gate=gate))

    async def work() -> RouteChoice:
        begun = asyncio.create_task(made.choose("budget"))
        await asyncio.sleep(0)
        await made.swap(bundle)
        gate.set()
        return await begun

    choice = run(made, work())
    assert (choice.bundle_id, choice.route) == ("fake", "budget")


def tampered(bundle: Path, tmp_path: Path) -> Path:
    target = Path(shutil.copytree(bundle, tmp_path / "tampered"))
    (target / "weights.safetensors").write_bytes(b"")
    return target


def test_a_bad_bundle_is_refused_and_the_old_one_stays(held: Held, bundle: Path, tmp_path: Path) -> None:
    made = decider(held)

    async def work() -> RouteChoice:
        for bad in (tampered(bundle, tmp_path), tmp_path / "nothing", tmp_path):
            with pytest.raises(BundleError):
                await made.swap(bad)
        return await made.choose("hi")

    assert run(made, work()).bundle_id == held.bundle_id


def test_a_bundle_that_the_server_cannot_serve_is_refused(held: Held, other: Path) -> None:
    def check(found: Held) -> None:
        raise PolicyError(f"nobody answers on {found.routes[0]}")

    made = decider(held, check=check)
    with pytest.raises(PolicyError, match="nobody answers"):
        run(made, made.swap(other))
    assert made.held is held


class SeenEnough(Exception):  # noqa: N818 - nothing went wrong
    """The test has seen enough."""


def watched(made: Decider, link: Path, steps: Sequence[Callable[[], object]]) -> list[str | None]:
    """Watch while things happen between two looks; the bundle that decides after each look."""
    seen: list[str | None] = []
    left = list(steps)

    async def sleep(_: float) -> None:
        seen.append(made.held.bundle_id if made.held else None)
        if not left:
            raise SeenEnough
        left.pop(0)()

    with pytest.raises(SeenEnough):
        run(made, made.watch(link, sleep=sleep))
    return seen


def test_the_link_is_followed_wherever_it_leads(held: Held, bundle: Path, other: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"

    def point(target: Path) -> Callable[[], object]:
        def repoint() -> None:
            link.unlink(missing_ok=True)
            link.symlink_to(target)

        return repoint

    bad = tampered(bundle, tmp_path)
    (bad / MANIFEST).write_text((bad / MANIFEST).read_text() + "\n")
    one, two = held.bundle_id, bundle_id(other)
    steps = [point(bundle), point(other), point(bad), lambda: None, link.unlink, point(bundle)]
    assert watched(decider(None), link, steps) == [None, one, two, two, two, two, one]


def test_a_refused_bundle_is_told_once(bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = tampered(bundle, tmp_path)
    assert watched(decider(None), bad, [lambda: None] * 3) == [None] * 4
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_a_compiled_form_that_appears_beside_the_bundle_is_taken(held: Held, bundle: Path, tmp_path: Path) -> None:
    """What stands beside it changes what may decide, so it is loaded anew; here the form is another bundle's, and told."""
    place = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    beside = tmp_path / "bundle.compiled"
    made, stamps = decider(None), list[str | None]()

    def appear() -> None:
        stamps.append(made.held.stamp if made.held else None)
        beside.mkdir(exist_ok=True)
        (beside / MANIFEST).write_text('{"kind": "compiled", "source": "another", "tiers": {}}')

    watched(made, place, [appear, appear])
    stamps.append(made.held.stamp if made.held else None)
    assert stamps == [held.stamp, stamps[1], stamps[1]]
    assert str(stamps[1]).startswith(f"{held.bundle_id}+")
