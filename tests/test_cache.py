"""The store of embeddings: each text is embedded once, and nothing is lost to crashes, damage or several writers."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

import router.encoders.cache
from router.encoders.cache import MERGE_FROM, CachedEncoder, text_key
from router.encoders.hashing import HashingEncoder
from router.encoders.protocol import Encoder, EncoderSpec, Matrix

DIM = 16


class Counting:
    """The hashing encoder, which counts how often it was asked for each text."""

    def __init__(self, *, dim: int = DIM) -> None:
        self._inner = HashingEncoder(dim=dim)
        self.asked: Counter[str] = Counter()

    @property
    def spec(self) -> EncoderSpec:
        return self._inner.spec

    def encode(self, texts: Sequence[str]) -> Matrix:
        self.asked.update(texts)
        return self._inner.encode(texts)


def segments(root: Path, *, dim: int = DIM) -> list[Path]:
    return sorted((root / "embeddings" / HashingEncoder(dim=dim).spec.digest[:32]).glob("*.safetensors"))


def kept(root: Path) -> set[bytes]:
    """The keys of all texts that stand in the store."""
    return {bytes(key) for path in segments(root) for key in load(path.read_bytes())["keys"]}


def plain(texts: Sequence[str]) -> bytes:
    return HashingEncoder(dim=DIM).encode(texts).tobytes()


def test_a_text_that_stands_twice_is_embedded_once(tmp_path: Path) -> None:
    encoder = Counting()
    CachedEncoder(encoder, tmp_path).encode(["a", "b", "a"])
    assert encoder.asked == {"a": 1, "b": 1}


def test_a_text_known_from_an_earlier_call_is_not_embedded_again(tmp_path: Path) -> None:
    encoder = Counting()
    cached = CachedEncoder(encoder, tmp_path)
    cached.encode(["a", "b"])
    cached.encode(["b", "c"])
    assert encoder.asked == {"a": 1, "b": 1, "c": 1}


def test_a_text_known_from_an_earlier_run_is_not_embedded_again(tmp_path: Path) -> None:
    CachedEncoder(HashingEncoder(dim=DIM), tmp_path).encode(["a", "b"])
    later = Counting()
    assert CachedEncoder(later, tmp_path).encode(["b", "a"]).tobytes() == plain(["b", "a"])
    assert later.asked == {}


def test_encoders_of_different_digests_do_not_share_vectors(tmp_path: Path) -> None:
    CachedEncoder(Counting(dim=DIM), tmp_path).encode(["a"])
    other = Counting(dim=DIM + 1)
    CachedEncoder(other, tmp_path).encode(["a"])
    assert other.asked == {"a": 1}


@settings(deadline=None, max_examples=25)
@given(calls=st.lists(st.lists(st.sampled_from(["a", "b", "c", "é", "\ud800", " a"]), max_size=6), max_size=5))
def test_vectors_are_those_of_the_wrapped_encoder_whatever_was_asked_before(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]]
) -> None:
    cached = CachedEncoder(HashingEncoder(dim=DIM), tmp_path_factory.mktemp("cache"))
    assert [cached.encode(texts).tobytes() for texts in calls] == [plain(texts) for texts in calls]


def test_no_texts_write_nothing(tmp_path: Path) -> None:
    assert CachedEncoder(Counting(), tmp_path).encode([]).shape == (0, DIM)
    assert segments(tmp_path) == []


def test_progress_is_told_of_new_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.encoders.cache, "CHUNK", 2)
    told: list[tuple[int, int]] = []
    cached = CachedEncoder(Counting(), tmp_path, progress=lambda done, total: told.append((done, total)))
    cached.encode(["a", "b", "c"])
    cached.encode(["c", "a"])
    assert told == [(0, 3), (2, 3), (3, 3)]


class Dying(Counting):
    """Fails at its second part, as a run that is stopped does."""

    def encode(self, texts: Sequence[str]) -> Matrix:
        if self.asked:
            raise KeyboardInterrupt
        return super().encode(texts)


def test_what_was_embedded_before_a_run_was_stopped_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.encoders.cache, "CHUNK", 2)
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(Dying(), tmp_path).encode(["a", "b", "c", "d"])
    assert kept(tmp_path) == {text_key("a"), text_key("b")}


def test_many_segments_are_merged_into_one_that_holds_them_all(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(MERGE_FROM + 1)]
    for text in texts:
        CachedEncoder(Counting(), tmp_path).encode([text])
    assert len(segments(tmp_path)) == 1
    again = Counting()
    assert CachedEncoder(again, tmp_path).encode(texts).tobytes() == plain(texts)
    assert again.asked == {}


def spoil(path: Path, how: str) -> None:
    """Damage a segment in one of the ways in which files get damaged."""
    content = path.read_bytes()
    tensors = load(content)
    rows = tensors["rows"].copy()
    if how == "nan":
        rows[0, 0] = np.nan
    spoiled = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "other": b"these are no tensors",
        "no-rows": save({"keys": tensors["keys"]}),
        "narrow": save({"keys": tensors["keys"], "rows": rows[:, 1:].copy()}),
        "fewer": save({"keys": tensors["keys"], "rows": rows[1:].copy()}),
        "double": save({"keys": tensors["keys"], "rows": rows.astype(np.float64)}),
        "nan": save({"keys": tensors["keys"], "rows": rows}),
        "one-bit": content[:-2] + bytes([content[-2] ^ 1]) + content[-1:],
    }
    path.write_bytes(spoiled[how])


DAMAGES = pytest.mark.parametrize(
    "how", ["cut", "empty", "other", "no-rows", "narrow", "fewer", "double", "nan", "one-bit"]
)


@DAMAGES
def test_a_damaged_segment_is_set_aside_and_its_texts_are_embedded_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    CachedEncoder(Counting(), tmp_path).encode(["a", "b", "c"])
    CachedEncoder(Counting(), tmp_path).encode(["d"])
    broken = next(path for path in segments(tmp_path) if len(load(path.read_bytes())["keys"]) == 3)
    spoil(broken, how)
    again = Counting()
    with caplog.at_level(logging.WARNING):
        assert CachedEncoder(again, tmp_path).encode(["a", "b", "c", "d"]).tobytes() == plain(["a", "b", "c", "d"])
    assert again.asked == {"a": 1, "b": 1, "c": 1}
    assert broken.with_suffix(".damaged").exists()
    assert "is damaged" in caplog.text


def test_a_store_that_cannot_be_written_costs_a_warning_and_no_vector(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "embeddings").write_text("a file where a directory should be")
    with caplog.at_level(logging.WARNING):
        assert CachedEncoder(Counting(), tmp_path).encode(["a"]).tobytes() == plain(["a"])
    assert "are not kept" in caplog.text


def test_no_text_is_logged_or_stands_in_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        CachedEncoder(Counting(), tmp_path).encode(["a very private question"])
    assert "private" not in caplog.text
    assert b"private" not in b"".join(path.read_bytes() for path in segments(tmp_path))


def test_two_threads_that_write_and_merge_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.encoders.cache, "CHUNK", 1)
    shares = [[f"{name} {i}" for i in range(30)] for name in ("left", "right")]
    failures: list[BaseException] = []
    start = threading.Barrier(2)

    def write(texts: list[str]) -> None:
        try:
            start.wait()
            CachedEncoder(Counting(), tmp_path).encode(texts)
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=write, args=(texts,)) for texts in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert kept(tmp_path) == {text_key(text) for texts in shares for text in texts}


WRITER = """
import sys
from pathlib import Path
import router.encoders.cache as cache
from router.encoders.hashing import HashingEncoder
cache.CHUNK = 1
name, root = sys.argv[1:]
encoder = cache.CachedEncoder(HashingEncoder(dim=16), Path(root))
sys.stdin.readline()  # both begin together
encoder.encode([f"{name} {i}" for i in range(40)])
"""


def test_two_processes_that_write_and_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    names = ("left", "right")
    command = [sys.executable, "-W", "error", "-c", WRITER]
    writers = [
        subprocess.Popen([*command, name, str(tmp_path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in names
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [(writer.returncode, text) for writer, text in zip(writers, said, strict=True)] == [(0, ""), (0, "")]
    assert kept(tmp_path) == {text_key(f"{name} {i}") for name in names for i in range(40)}


def test_a_segment_that_another_process_merged_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CachedEncoder(Counting(), tmp_path).encode(["a"])
    gone = segments(tmp_path)[0].with_name("0" * 32 + ".safetensors")
    cached = CachedEncoder(Counting(), tmp_path)
    monkeypatch.setattr(cached, "_segments", lambda: [gone, *segments(tmp_path)])
    assert cached.encode(["a"]).tobytes() == plain(["a"])


def test_a_cached_encoder_says_whom_it_wraps(tmp_path: Path) -> None:
    inner: Encoder = Counting()
    cached = CachedEncoder(inner, tmp_path)
    assert (cached.inner, cached.spec) == (inner, inner.spec)
