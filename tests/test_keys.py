"""API keys: the secret is shown once and kept nowhere; what is revoked is refused at once."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agents.gateway.keys import KeyInfo, KeyStore
from router.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def store(path: Path) -> KeyStore:
    return KeyStore(path, clock=lambda: 0.0)


def test_a_secret_opens_with_the_scopes_and_the_rate_it_was_made_with(store: KeyStore) -> None:
    secret = store.create("web", scopes={"chat", "route"}, rate_per_minute=60)
    assert store.verify(secret) == KeyInfo(
        name="web",
        prefix=secret[:10],
        scopes=frozenset({"chat", "route"}),
        rate_per_minute=60,
        created_at="1970-01-01T00:00:00+00:00",
        revoked_at=None,
    )


def test_every_secret_is_a_new_one(store: KeyStore) -> None:
    secrets = [store.create(f"k{i}", scopes=["chat"], rate_per_minute=1) for i in range(20)]
    assert len(set(secrets)) == 20
    assert all(re.fullmatch(r"wb_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    assert [found.name for secret in secrets if (found := store.verify(secret))] == [f"k{i}" for i in range(20)]


def test_the_secret_is_nowhere_in_the_file(store: KeyStore, path: Path) -> None:
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert secret[:10].encode() in path.read_bytes()
    assert secret[:12].encode() not in path.read_bytes()


@pytest.mark.parametrize("wrong", ["", "wb_", "x", "wb_" + "A" * 43, "\ud800", "🔑" * 1000])
def test_another_secret_opens_nothing(store: KeyStore, wrong: str) -> None:
    store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert store.verify(wrong) is None


def test_a_secret_with_one_letter_changed_opens_nothing(store: KeyStore) -> None:
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert store.verify(secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None
    assert store.verify(secret + " ") is None


def test_a_secret_is_looked_up_under_a_hash_that_nobody_outside_can_compute(store: KeyStore, path: Path) -> None:
    """So that how long a look-up takes tells nothing of any key: no hash of a secret is a key of the table in memory."""
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert store.verify(secret)
    sha256 = hashlib.sha256(secret.encode())
    held = set(store._known._keys)
    assert held.isdisjoint({sha256.digest(), sha256.hexdigest().encode(), secret.encode()})
    other = KeyStore(path)
    assert other.verify(secret)
    assert held.isdisjoint(other._known._keys)


def test_a_revoked_key_is_refused_at_once_by_every_process(store: KeyStore, path: Path) -> None:
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    server = KeyStore(path)
    assert server.verify(secret)
    store.revoke("web")
    assert server.verify(secret) is None
    assert [key.revoked_at for key in store.list()] == ["1970-01-01T00:00:00+00:00"]


def test_a_key_that_was_made_elsewhere_opens_at_once(store: KeyStore, path: Path) -> None:
    server = KeyStore(path)
    assert server.verify("wb_unknown") is None
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert server.verify(secret)


def test_the_file_is_read_again_only_where_it_has_changed(
    store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[KeyStore] = []
    rows = KeyStore._rows

    def counted(self: KeyStore) -> Iterator[tuple[str, KeyInfo]]:
        read.append(self)
        return rows(self)

    monkeypatch.setattr(KeyStore, "_rows", counted)
    server = KeyStore(path)
    secrets = [store.create(f"k{i}", scopes={"chat"}, rate_per_minute=60) for i in range(3)]
    for _ in range(50):
        assert all(server.verify(secret) for secret in secrets)
    store.revoke("k0")
    assert [server.verify(secret) is None for secret in secrets] == [True, False, False]
    assert len(read) == 2


def test_keys_of_many_commits_in_one_moment_are_all_seen(store: KeyStore, path: Path) -> None:
    """Times of files are coarse; the file counts its commits."""
    server = KeyStore(path)
    for number in range(30):
        secret = store.create(f"k{number}", scopes={"chat"}, rate_per_minute=60)
        assert server.verify(secret)
        store.revoke(f"k{number}")
        assert server.verify(secret) is None


def test_threads_that_ask_while_keys_come_and_go_get_what_holds(store: KeyStore, path: Path) -> None:
    server = KeyStore(path)
    lasting = store.create("lasting", scopes={"chat"}, rate_per_minute=60)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(lambda: [server.verify(lasting) for _ in range(300)]) for _ in range(4)]
        for number in range(20):
            store.create(f"k{number}", scopes={"chat"}, rate_per_minute=60)
            store.revoke(f"k{number}")
        assert all(found for answered in asked for found in answered.result(timeout=30))


def test_another_file_in_the_old_ones_place_is_another_set_of_keys(store: KeyStore, path: Path) -> None:
    server = KeyStore(path)
    old = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert server.verify(old)
    new = KeyStore(path.with_name("other.db")).create("web", scopes={"chat"}, rate_per_minute=60)
    path.with_name("other.db").replace(path)
    assert (server.verify(old), bool(server.verify(new))) == (None, True)


def test_it_is_locked_from_the_first_key_on_for_ever(store: KeyStore, path: Path) -> None:
    server = KeyStore(path)
    locked = [server.locked]
    store.create("web", scopes={"chat"}, rate_per_minute=60)
    locked.append(server.locked)
    store.revoke("web")
    assert [*locked, server.locked] == [False, True, True]


def test_where_the_file_is_gone_nobody_is_let_in_and_it_is_no_open_server(store: KeyStore, path: Path) -> None:
    secret = store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert store.verify(secret)
    path.unlink()
    for ask in (lambda: store.verify(secret), lambda: store.locked):
        with pytest.raises(DataError, match="wanted a file of keys"):
            ask()
    assert not path.exists()


def test_the_name_of_a_revoked_key_may_be_used_anew(store: KeyStore) -> None:
    old = store.create("web", scopes={"chat"}, rate_per_minute=60)
    store.revoke("web")
    new = store.create("web", scopes={"route"}, rate_per_minute=60)
    assert store.verify(old) is None
    assert store.verify(new)
    assert len(store.list()) == 1


@pytest.mark.parametrize("revoked", [True, False])
def test_only_a_valid_key_can_be_revoked(store: KeyStore, revoked: bool) -> None:
    store.create("other", scopes={"chat"}, rate_per_minute=60)
    if revoked:
        store.create("web", scopes={"chat"}, rate_per_minute=60)
        store.revoke("web")
    with pytest.raises(DataError, match="wanted one of: other"):
        store.revoke("web")


@pytest.mark.parametrize(
    ("name", "scopes", "rate"),
    [
        ("taken", {"chat"}, 60),
        ("", {"chat"}, 60),
        ("two words", {"chat"}, 60),
        ("x" * 101, {"chat"}, 60),
        ("web", set(), 60),
        ("web", {"chat", "root"}, 60),
        ("web", {"chat"}, 0),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_and_nothing_is_written(
    store: KeyStore,
    name: str,
    scopes: Collection[Any],
    rate: int,  # Any: what a person may type
) -> None:
    store.create("taken", scopes={"chat"}, rate_per_minute=1)
    before = store.list()
    with pytest.raises(DataError):
        store.create(name, scopes=scopes, rate_per_minute=rate)
    assert store.list() == before


def test_keys_are_listed_by_name_without_their_secrets(store: KeyStore) -> None:
    secrets = [store.create(name, scopes={"admin"}, rate_per_minute=5) for name in ("b", "a")]
    assert [key.name for key in store.list()] == ["a", "b"]
    assert not any(secret in repr(store.list()) for secret in secrets)


def test_the_file_is_for_its_owner_alone(store: KeyStore, path: Path) -> None:
    store.create("web", scopes={"chat"}, rate_per_minute=60)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_may_read_is_refused(store: KeyStore, path: Path) -> None:
    path.chmod(0o644)
    with pytest.raises(DataError, match="chmod 600"):
        KeyStore(path)


def test_a_file_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(DataError, match="something else"):
        KeyStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("a letter to a friend, long enough to be no header" * 9)
    path.chmod(0o600)
    with pytest.raises(DataError, match="wanted a file of keys"):
        KeyStore(path)


def test_a_newer_file_is_refused(store: KeyStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(DataError, match="newer"):
        KeyStore(path)
