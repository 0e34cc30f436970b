"""Imports go one way. The table is the spine of the design; a module that is missing from it fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first; a module may import from the rows above its own, and from none beside or below it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("router", "eval"),
    ("router.errors",),
    ("router.types", "router.files"),
    ("router.card", "router.prices"),
    ("router.rows",),
    ("router.dataset", "router.routes", "router.encoders.protocol", "router.surface"),
    ("router.agreement", "router.lexicon"),
    ("router.scoring", "router.ngrams", "router.grouping", "router.encoders.hashing", "router.encoders.onnx"),
    ("router.encoders.cache", "router.encoders.export", "router.stats"),
    ("router.encoders.open",),
    ("router.encoders",),
    ("router.features", "router.calibration", "router.novelty", "router.policy", "router.thresholds"),
    ("router.heads", "router.rowspace"),
    ("router.fitting",),
    ("router.baselines.protocol",),
    ("router.baselines.perhead",),
    (
        "router.baselines.constant",
        "router.baselines.keywords",
        "router.baselines.length",
        "router.baselines.plain",
        "router.baselines.similarity",
        "router.baselines.tfidf",
    ),
    ("router.baselines",),
    ("router.pipeline", "router.bundlecard"),
    ("router.training", "router.explain"),
    ("router.bundle",),
    ("router.pyfunc", "router.registry", "router.console", "router.health"),
    ("router.show",),
    ("router.commands",),
    ("eval.intervals", "eval.charts", "eval.scenario"),
    ("eval.run",),
    ("eval.metrics", "eval.replay"),
    ("eval.compare", "eval.report", "eval.show"),
    ("eval.workflow",),
    ("eval.demo",),
    ("eval.commands",),
    ("cli",),
)
LEVEL = {module: level for level, row in enumerate(LAYERS) for module in row}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    files = [*(ROOT / "router").rglob("*.py"), *(ROOT / "eval").rglob("*.py"), ROOT / "cli.py"]
    return {module_name(path): path for path in files}


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in LEVEL else node.module


@pytest.mark.parametrize("module", sorted(sources()))
def test_a_module_imports_only_from_the_layers_above_it(module: str) -> None:
    assert module in LEVEL, f"{module} is missing from LAYERS in tests/test_layers.py"
    for imported in imports(sources()[module]):
        if imported.split(".")[0] in {"router", "eval", "cli"}:
            assert imported in LEVEL, f"{module} imports {imported}, which is missing from LAYERS"
            assert LEVEL[imported] < LEVEL[module], f"{module} must not import {imported}"


def test_every_module_of_the_table_exists() -> None:
    assert set(LEVEL) == set(sources())


def test_the_router_never_imports_the_judge() -> None:
    for module, path in sources().items():
        if module.startswith("router"):
            assert not [name for name in imports(path) if name.startswith("eval")], module


def test_datasets_holds_no_python() -> None:
    assert list((ROOT / "datasets").rglob("*.py")) == []
