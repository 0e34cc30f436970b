"""Things break while people wait, in small versions of what benchmarks/serving_faults.py measures; on loopback alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.loopback
SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "serving_faults.py"
REQUESTS = 60


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """The script as a module: `benchmarks` is no package."""
    spec = importlib.util.spec_from_file_location("serving_faults", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_killed_upstream_costs_nobody_an_answer(faults: ModuleType, bundle: Path, tmp_path: Path) -> None:
    assert_met(faults.killed_upstream(bundle, REQUESTS, tmp_path))


def test_no_stream_is_spliced_or_cut_short_and_called_complete(
    faults: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    assert_met(faults.broken_streams(bundle, REQUESTS, tmp_path))


def test_a_broken_classifier_sends_everything_to_the_safe_route(
    faults: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    assert_met(faults.broken_classifier(bundle, REQUESTS, tmp_path))


def test_every_decision_that_a_client_received_outlives_a_killed_server(
    faults: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    assert_met(faults.killed_server(bundle, REQUESTS, tmp_path, kills=1))


@pytest.mark.parametrize(
    ("text", "ended", "ending", "is_spliced"),
    [
        ("east/q1/0 east/q1/1 ", "broken", "", False),
        ("east/q1/0 west/q1/0 ", "broken", "", True),
        ("east/q2/0 ", "whole", "model", True),
        ("I'm sorry", "broken", "", False),
        ("I'm sorry", "whole", "model", True),
    ],
)
def test_the_benchmark_sees_what_is_spliced(
    faults: ModuleType, text: str, ended: str, ending: str, is_spliced: bool
) -> None:
    heard = faults.Heard(question="q1", mode="stream", model="chat", text=text, ended=ended, ending=ending)
    assert faults.spliced(heard) is is_spliced


def test_half_an_answer_is_nobodys_whole_one(faults: ModuleType) -> None:
    text = faults.answer_of("east", "q1")
    whole, half = (
        faults.Heard(question="q1", mode="stream", model="chat", text=shown, ended="whole", ending="model")
        for shown in (text, text[: len(text) // 2])
    )
    assert (faults.served_by(whole), faults.served_by(half)) == ("east", None)


def assert_met(found: list[object]) -> None:
    """All that was wanted was measured; what was not is shown."""
    assert [one for one in found if not getattr(one, "met")] == []  # noqa: B009  # of a script's own class
