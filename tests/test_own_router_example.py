"""docs/own-router.md does what it says: its router registers, keeps every promise, and a broken one is named."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.baselines.outcomes import ROUTERS, Queries, user_routers
from router.errors import FitError
from tests.conformance import outcome_router as conformance

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "own-router.md"
GROUP = "weighbridge.outcome_routers"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORKING = "from router.baselines.outcomes.constant import Cheapest\n"

Install = Callable[..., None]


def block(language: str, having: str) -> str:
    """The one fenced block of the guide in that language which has that text."""
    found = [
        body for kind, body in BLOCK.findall(GUIDE.read_text(encoding="utf-8")) if kind == language and having in body
    ]
    assert len(found) == 1, f"{len(found)} blocks of {language} with {having!r}"
    return str(found[0])


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lays a distribution on the path, as `pip install` would: modules, and a .dist-info with its entry points."""

    def lay(name: str, points: Mapping[str, str], modules: Mapping[str, str]) -> None:
        site = tmp_path / name
        info = site / f"{name.replace('-', '_')}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", encoding="utf-8")
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]), encoding="utf-8")
        for module, source in modules.items():
            (site / f"{module}.py").write_text(source, encoding="utf-8")
            monkeypatch.setitem(sys.modules, module, None)  # so that the end of the test forgets it
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.syspath_prepend(str(site))

    return lay


@pytest.fixture
def example(install: Install) -> str:
    """The guide's package, installed; the name of its router."""
    project = tomllib.loads(block("toml", GROUP))
    points = project["project"]["entry-points"][GROUP]
    modules = {module: block("python", f"# {module}.py") for module in project["tool"]["setuptools"]["py-modules"]}
    install(project["project"]["name"], points, modules)
    (name,) = points
    return str(name)


def test_the_routers_of_users_are_none_of_ours() -> None:
    assert not set(user_routers()) & set(ROUTERS)


def test_the_guides_router_is_found_by_its_name_and_learns(example: str) -> None:
    assert example == "prototypes"
    conformance.it_learns_what_the_words_say(user_routers()[example])


def test_the_guides_router_says_what_its_docstring_says(example: str) -> None:
    # Model 0 answers [1, 0] and fails at [0, 1]: 0.5 + cosine to the first − cosine to the second. Model 1 never fails.
    known = Queries(texts=["a", "b"], embedding=np.eye(2, dtype=np.float32), sentence_dim=2)
    score = np.array([[1.0, 1.0], [0.0, 1.0]])
    router = user_routers()[example]().fit(known, conformance.outcomes_of(known, score), seed=0)
    assert router.predict(known).tolist() == [[1.5, 1.5], [-0.5, 1.5]]


@pytest.mark.parametrize("check", [*conformance.CHECKS, *conformance.LEARNS], ids=lambda check: check.__name__)
def test_the_guides_test_of_its_router_passes(example: str, check: conformance.Check) -> None:
    written: dict[str, Any] = {"__name__": "test_prototypes"}  # Any: whatever a module holds
    exec(compile(block("python", "# test_prototypes.py"), str(GUIDE), "exec"), written)
    (test,) = [value for name, value in written.items() if name.startswith("test_")]
    (mark,) = test.pytestmark
    assert check in mark.args[1]
    test(check)


def test_every_router_that_the_guides_command_names_is_there(example: str) -> None:
    (named,) = re.findall(r"--routers ([\w.,-]+,[\w.,-]+)", GUIDE.read_text(encoding="utf-8"))
    assert set(named.split(",")) <= {*ROUTERS, *user_routers()}


def test_a_function_without_arguments_makes_a_router_too(install: Install) -> None:
    source = "from router.baselines.outcomes.neighbours import NearestOutcomes\ndef seven():\n    return NearestOutcomes(7)\n"
    install("near", {"knn-7": "nearby:seven"}, {"nearby": source})
    made = user_routers()["knn-7"]()
    assert made.fit(*conformance.problem(), seed=0).predict(conformance.fresh(5)).shape == (5, 2)


@pytest.mark.parametrize(
    ("points", "source", "complaint"),
    [
        ({"mine": "nowhere_at_all:Router"}, "", "ModuleNotFoundError"),
        ({"mine": "broken:Router"}, "", "AttributeError"),
        ({"mine": "broken:Router"}, "raise RuntimeError('half written')", "RuntimeError: half written"),
        ({"mine": "broken:Router"}, "class Router:\n    def __init__(self, k): ...", "TypeError"),
        ({"mine": "broken:Router"}, "class Router:\n    allowed = True\n    fit = predict = print", "no probabilities"),
        ({"mine": "broken:Router"}, "Router = dict", "no fit, predict, allowed, probabilities"),
        ({"my router": "broken:Cheapest"}, WORKING, "its name is not one"),
        ({"a,b": "broken:Cheapest"}, WORKING, "its name is not one"),
        ({"lr": "broken:Cheapest"}, WORKING, "its name is taken by weighbridge itself"),
        ({"weighbridge": "broken:Cheapest"}, WORKING, "its name is taken by weighbridge itself"),
        ({"oracle": "broken:Cheapest"}, WORKING, "its name is taken by weighbridge itself"),
        ({"all": "broken:Cheapest"}, WORKING, "its name is taken by weighbridge itself"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_distribution(
    install: Install, points: Mapping[str, str], source: str, complaint: str
) -> None:
    install("half-done", points, {"broken": source})
    with pytest.raises(FitError) as caught:
        user_routers()
    assert complaint in str(caught.value)
    assert repr(next(iter(points))) in str(caught.value)
    assert "half-done 0.1.0" in str(caught.value)


def test_a_name_that_two_distributions_give_is_refused_with_both(install: Install) -> None:
    install("first", {"mine": "one:Cheapest"}, {"one": WORKING})
    install("second", {"mine": "two:Cheapest"}, {"two": WORKING})
    with pytest.raises(FitError, match=r"of second 0\.1\.0: its name is taken by first 0\.1\.0"):
        user_routers()


def test_one_broken_router_does_not_hide_behind_one_that_works(install: Install) -> None:
    install("works", {"good": "good:Cheapest"}, {"good": WORKING})
    assert "good" in user_routers()
    install("fails", {"bad": "bad:Cheapest"}, {"bad": ""})
    with pytest.raises(FitError, match="of fails"):
        user_routers()
