"""The notebooks run from a copy of their folder, on the shipped data, without a network; and say what may be said."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
NAMES = ("01_train_and_compare.ipynb", "02_thresholds_and_guarantees.ipynb", "03_cost_simulation.ipynb")
INPUT = dict.fromkeys(NAMES[:2], "WEIGHBRIDGE_OUTCOMES") | {NAMES[2]: "WEIGHBRIDGE_SCENARIO"}
SHIPPED = "datasets/pam-outcomes-v1"
OURS_ALONE = (*INPUT.values(), "PYTHONSAFEPATH")  # a person's kernel has neither: its path begins at notebooks/
CELL_SECONDS = 600  # on a crowded machine; a quiet one needs a tenth
ABSOLUTE = re.compile(r"(?<![\w.~/:])/(?:home|root|usr|tmp|work|opt|var|private|Users|mnt|data)/")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NO_NETWORK = """
import socket
_connect = socket.socket.connect
def _guarded(self, address):
    if self.family != socket.AF_UNIX:
        raise AssertionError(f"a notebook tried to reach {address}")
    return _connect(self, address)
socket.socket.connect = _guarded
"""
DATASETS = """
import importlib.util
_spec = importlib.util.find_spec('datasets')  # Hugging Face's is another, and stands with the installed packages
_places = _spec.submodule_search_locations if _spec else []
print('importable:', [place for place in _places if 'site-packages' not in place])
"""

Notebook = Any  # nbformat ships no types

pytestmark = pytest.mark.loopback  # the kernel is another process of this machine


def read(path: Path) -> Notebook:
    """A notebook as its file has it."""
    import nbformat

    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the notebooks find beside themselves: their folder, and the shipped table."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copytree(NOTEBOOKS, copy / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / SHIPPED, copy / SHIPPED)
    return copy


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the kernels are started with: the quick encoder, and every folder that Jupyter or the cache writes to."""
    own = tmp_path_factory.mktemp("jupyter")
    with tempfile.TemporaryDirectory() as short, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", short)  # a socket's path must be short
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "WEIGHBRIDGE_CACHE"):
            patch.setenv(name, str(own / name.lower()))
        patch.setenv("WEIGHBRIDGE_ENCODER", "hashing")
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in OURS_ALONE:
            patch.delenv(name, raising=False)
        yield dict(os.environ)


@pytest.fixture(scope="module", params=NAMES)
def executed(request: pytest.FixtureRequest, desk: Path, environment: dict[str, str]) -> Notebook:
    """One notebook after a run of all its cells, between a guard before and a probe behind them."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell
    from traitlets.config import Config

    book = read(desk / "notebooks" / request.param)
    book.cells = [new_code_cell(NO_NETWORK), *book.cells, new_code_cell(DATASETS)]
    client = NotebookClient(
        book,
        kernel_name="python3",
        config=Config({"KernelManager": {"transport": "ipc", "ip": f"{environment['JUPYTER_RUNTIME_DIR']}/kernel"}}),
        timeout=CELL_SECONDS,
        allow_errors=True,
        resources={"metadata": {"path": str(desk / "notebooks")}},
    )
    client.execute(env=environment)
    return book


def outputs(book: Notebook) -> list[tuple[str, Notebook]]:
    """(id of the cell, output), in order."""
    return [(cell.id, output) for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def texts(book: Notebook) -> list[tuple[str, str]]:
    """(id of the cell, text), in order: what was printed, and every form of what was displayed."""
    found = []
    for cell, output in outputs(book):
        forms = [output.get("text", ""), *output.get("data", {}).values(), *output.get("traceback", [])]
        found += [(cell, COLOUR.sub("", str(form))) for form in forms]
    return found


def test_every_cell_runs(executed: Notebook) -> None:
    failed = [f"{cell}: {out.ename}: {out.evalue}" for cell, out in outputs(executed) if out.output_type == "error"]
    assert failed == []


def test_no_cell_warns(executed: Notebook) -> None:
    assert [(cell, out.text) for cell, out in outputs(executed) if out.get("name") == "stderr"] == []


def test_no_output_holds_a_path_of_the_machine(executed: Notebook, desk: Path) -> None:
    places = [str(place) for place in (ROOT, desk, Path.home())]
    told = [
        (cell, text)
        for cell, text in texts(executed)
        if ABSOLUTE.search(text) or any(place in text for place in places if place != "/")
    ]
    assert told == []


def test_what_is_simulated_is_marked_as_simulated_where_it_is_read(executed: Notebook) -> None:
    printed = [text for _, text in texts(executed)]
    assert any(text.startswith("SIMULATED") for text in printed)
    frames = [text for text in printed if "<iframe" in text]
    assert frames
    assert all("simulated" in frame for frame in frames)


def test_a_notebook_does_not_make_the_data_folder_importable(executed: Notebook, desk: Path) -> None:
    found = executed.cells[-1].outputs[0].text
    assert found.startswith("importable:")
    assert str(desk) not in found


def test_a_run_writes_into_out_and_nowhere_else(executed: Notebook, desk: Path) -> None:
    assert executed.cells
    assert {path.name for path in desk.iterdir()} == {"notebooks", "datasets", "out"}
    assert {path.name for path in (desk / "notebooks").iterdir()} >= set(NAMES)
    assert [path.name for path in (desk / "notebooks").iterdir() if path.name not in NAMES] == []
    assert {path.name for path in (desk / "out").iterdir()} <= {"notebook-01", "notebook-02", "notebook-03"}
    assert any((desk / "out").iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_files_hold_no_outputs_and_no_traces_of_a_run(name: str) -> None:
    book = read(NOTEBOOKS / name)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in book.cells)


@pytest.mark.parametrize("name", NAMES)
def test_words_stand_before_every_cell_of_code(name: str) -> None:
    kinds = [cell.cell_type for cell in read(NOTEBOOKS / name).cells]
    assert kinds[0] == "markdown"
    assert ("code", "code") not in pairwise(kinds)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_how_to_open_it_and_that_what_ships_is_simulated(name: str) -> None:
    opening = read(NOTEBOOKS / name).cells[0].source
    for words in ("pip install jupyterlab", INPUT[name], "**simulated**", "**in-domain**"):
        assert words in opening
