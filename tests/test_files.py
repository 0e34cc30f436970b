"""Files are written whole or not at all, and a broken one is refused by its name."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DataError
from router.files import canonical_json, new_directory, read_toml, sha256_bytes, sha256_file, write_atomic

KEYS = st.text("abcäß", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def test_the_digest_of_abc_is_the_one_in_the_standard() -> None:
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


def test_a_file_read_in_pieces_has_the_digest_of_the_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3_000
    (tmp_path / "big").write_bytes(content)
    assert sha256_file(tmp_path / "big") == hashlib.sha256(content).hexdigest()


@settings(deadline=None, max_examples=50)
@given(value=st.dictionaries(KEYS, VALUES, max_size=4), data=st.data())
def test_the_order_of_keys_does_not_change_the_spelling(value: dict[str, object], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(value.items()))))
    assert canonical_json(shuffled) == canonical_json(value)


@settings(deadline=None, max_examples=50)
@given(value=VALUES)
def test_what_is_spelled_canonically_reads_back_the_same(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"score": value})


def test_letters_beyond_ascii_stay_readable() -> None:
    assert canonical_json("Übersicht") == '"Übersicht"'


def test_a_written_file_has_the_text_as_utf8_with_its_line_ends_untouched(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "text", "é\r\n\n")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == b"\xc3\xa9\r\n\n"


def test_writing_again_leaves_the_new_content_alone_in_the_directory(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "a long first content")
    write_atomic(tmp_path / "f", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"f": b"new"}


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "x")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    write_atomic(tmp_path / "f", "old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "f", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"f": "old"}


def test_a_text_that_is_no_unicode_leaves_the_old_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "f", "half \ud800")
    assert (tmp_path / "f").read_text() == "old"


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_a_new_directory_appears_with_all_its_files(tmp_path: Path) -> None:
    with new_directory(tmp_path / "deep" / "d") as work:
        (work / "one").write_text("1")
        assert not (tmp_path / "deep" / "d").exists()
    assert tree(tmp_path) == {"deep/d/one": "1"}


def test_a_replaced_directory_keeps_no_file_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with new_directory(tmp_path / "d") as work:
            (work / name).write_text(name)
    assert tree(tmp_path) == {"d/new": "new"}


def test_a_block_that_fails_leaves_the_old_directory_and_no_litter(tmp_path: Path) -> None:
    with new_directory(tmp_path / "d") as work:
        (work / "one").write_text("1")
    with pytest.raises(IsADirectoryError), new_directory(tmp_path / "d") as work:
        work.write_text("2")
    assert tree(tmp_path) == {"d/one": "1"}


def test_an_exchange_that_is_interrupted_halfway_puts_the_old_directory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_directory(tmp_path / "d") as work:
        (work / "one").write_text("1")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name != "d" and target.name == "d" and (self / "two").exists():
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), new_directory(tmp_path / "d") as work:
        (work / "two").write_text("2")
    assert tree(tmp_path) == {"d/one": "1"}


def test_a_toml_file_gives_its_tables(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text('[a]\nb = "ü"\n', encoding="utf-8")
    assert read_toml(tmp_path / "f.toml", what="a thing", make="Make one.") == {"a": {"b": "ü"}}


@pytest.mark.parametrize(
    "content",
    [b"a = ", b'a = "\xff"', b"a = 1\na = 2", b"\x00", b"a = " + b"[" * 20_000],
    ids=["half a line", "not UTF-8", "a key twice", "NUL", "nested too deeply"],
)
def test_a_file_that_is_not_toml_is_refused_with_its_name_and_advice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.toml").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.toml: .*wanted a thing\. Make one\."):
        read_toml(tmp_path / "f.toml", what="a thing", make="Make one.")


def test_a_missing_toml_file_is_refused_with_its_name_and_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.toml: no such file; wanted a thing\. Make one\."):
        read_toml(tmp_path / "f.toml", what="a thing", make="Make one.")


def test_a_directory_in_the_place_of_a_toml_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wanted a thing"):
        read_toml(tmp_path, what="a thing", make="Make one.")
