"""A compiled form on disk is verified when it is loaded, executes nothing and needs no training library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.bundle import load as load_bundle
from router.compiled import load
from router.compiled.export import export
from router.compiled.making import Parts
from router.errors import BundleError
from router.pipeline import Router

pytest_plugins = ("tests.compiled_forms",)
ALONE = """
import json, sys
before = set(sys.modules)
from pathlib import Path
from router.compiled import load
assert load(Path({form!r})).decide("where is my refund?").route
names = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names) - {{"router"}}
print(json.dumps(sorted(name for name in names if not name.startswith("_"))))
"""


@pytest.fixture
def copy(form: Path, tmp_path: Path) -> Path:
    """A form that a test may spoil."""
    return Path(shutil.copytree(form, tmp_path / "copy"))


def rewrite(form: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((form / "manifest.json").read_text())
    change(manifest)
    (form / "manifest.json").write_text(json.dumps(manifest))


def test_a_form_loads_without_any_training_library(form: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(form=str(form))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
    assert set(json.loads(done.stdout)) == {"numpy", "onnxruntime", "safetensors", "tokenizers"}


def test_every_file_is_one_that_executes_nothing(form: Path) -> None:
    assert {path.suffix for path in form.iterdir()} == {".json", ".md", ".onnx", ".safetensors"}


@pytest.mark.parametrize(
    "file", ["graph-int8.onnx", "graph-fp32.onnx", "weights.safetensors", "tokenizer.json", "ngrams.json", "CARD.md"]
)
def test_a_changed_byte_is_refused(copy: Path, file: str) -> None:
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(BundleError, match="damaged or tampered with"):
        load(copy)


def test_a_newer_schema_is_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest.update(schema_version=99))
    with pytest.raises(BundleError, match="schema 99 is newer"):
        load(copy)


@pytest.mark.parametrize("key", ["tiers", "heads", "routes", "also", "card", "static"])
def test_a_manifest_that_lacks_a_part_is_refused(copy: Path, key: str) -> None:
    rewrite(copy, lambda manifest: manifest.pop(key))
    with pytest.raises(BundleError, match="export"):
        load(copy)


def test_a_precision_that_is_not_there_is_refused_with_the_command(
    graph_router: Router, parts: Parts, tmp_path: Path
) -> None:
    export(graph_router, tmp_path / "f", source_id="x", parts=parts, precisions=("int8",), static=False)
    with pytest.raises(BundleError, match=r"no graph in fp32 \(there is int8\).*--precision both"):
        load(tmp_path / "f", precision="fp32")


def test_a_bundle_and_a_form_are_not_taken_for_each_other(bundle: Path, form: Path) -> None:
    with pytest.raises(BundleError, match="holds a router by labels"):
        load(bundle)
    with pytest.raises(BundleError, match="holds a router by compiled"):
        load_bundle(form)
