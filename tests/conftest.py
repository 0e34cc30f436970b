"""What all tests share: a closed network, a cache of their own, and one small fitted router."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from router.bundle import save
from router.dataset import Dataset, load_dataset
from router.encoders.hashing import HashingEncoder
from router.lexicon import Lexicon, read_lexicon
from router.pipeline import Router
from router.routes import RouteTable, read_routes
from router.training import fit, splits_for_training
from router.types import Query

if TYPE_CHECKING:
    from agents.gateway.held import Held
    from tests.clients import Calm

pytest.register_assert_rewrite("tests.compiled_forms")  # before any test imports it, in whatever order

ROOT = Path(__file__).resolve().parent.parent
PAM = ROOT / "datasets" / "pam-v1"
FIRST_EDITION = "pam-08779"  # its last message: what stands on a part of the set stays as it is while the set grows
SMALL = {"train": 360, "calibration": 120, "test": 150}  # enough of every label, little enough to fit in seconds
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def closed_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach out; one marked `loopback` or `browser` may open sockets on this machine."""
    opened = any(request.node.get_closest_marker(name) for name in ("loopback", "browser"))
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX or (opened and isinstance(address, tuple) and address[0] in LOOPBACK)
        if not local:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings and exports of a test run go to one temporary place, shared by its tests."""
    base = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(base))


@pytest.fixture(scope="session")
def pam() -> Dataset:
    """The shipped data set, all of it."""
    return load_dataset(PAM)


@pytest.fixture(scope="session")
def table() -> RouteTable:
    """The shipped route table."""
    return read_routes(PAM / "routes.toml")


@pytest.fixture(scope="session")
def lexicon(pam: Dataset) -> Lexicon:
    """The shipped lexicon."""
    found = read_lexicon(PAM, pam.card)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def pam_first(pam: Dataset) -> Dataset:
    """Its first edition, of which no query has a context."""
    return pam.where(lambda query: query.query_id <= FIRST_EDITION)


@pytest.fixture(scope="session")
def small(pam_first: Dataset) -> Dataset:
    """A part of the shipped data with every label in every split: some 640 queries from all personas."""
    chosen: list[Query] = []
    for split, size in SMALL.items():
        rows = pam_first.split(split).queries  # by stride: a persona's messages come in the order of its day
        chosen += rows[:: len(rows) // size]
    return replace(pam_first, queries=tuple(chosen))


@pytest.fixture(scope="session")
def router(small: Dataset, table: RouteTable, lexicon: Lexicon) -> Router:
    """Fitted on the small data with the hashing encoder."""
    return fit(splits_for_training(small), table, HashingEncoder(), lexicon=lexicon, seed=0)


@pytest.fixture(scope="session")
def bundle(router: Router, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That router on disk. Tests that change it must copy it first."""
    target = tmp_path_factory.mktemp("bundles") / "small"
    save(router, target)
    return target


@pytest.fixture(scope="module")
def held(bundle: Path) -> Held:
    """That router as a server holds it."""
    from agents.gateway.loading import load_held

    return load_held(bundle)


@pytest.fixture
def calm(held: Held, tmp_path: Path) -> Iterator[Calm]:
    """A server whose model says "Hello, you." to the first five requests."""
    from tests.clients import answering

    with answering(held, tmp_path) as found:
        yield found
