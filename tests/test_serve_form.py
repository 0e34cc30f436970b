"""`weighbridge serve --form`: what of a bundle decides, and a first run that makes what it serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from agents import commands
from agents.doors.guard import Guard
from agents.gateway.service import Service
from router import compiled_commands
from router.errors import BundleError

Serve = Callable[..., Result]


@pytest.fixture
def serve(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """The verb in an empty directory; the demo's bundle is trained by copying one."""
    monkeypatch.chdir(tmp_path)

    def train(target: Path) -> None:
        shutil.copytree(bundle, target)

    def run(service: Service, guard: Guard, host: str, port: int) -> None:
        service.decider.close()

    app = typer.Typer()
    commands.register(app, train_demo=train, run=run)
    return lambda *arguments: CliRunner().invoke(app, ["serve", "--simulated", *map(str, arguments)])


def test_a_first_run_trains_the_demos_bundle_and_exports_it_beside(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[tuple[Path, Path]] = []
    monkeypatch.setattr(compiled_commands, "export", lambda bundle, out, **_: exported.append((bundle, out)))
    said = [serve().stdout for _ in range(2)]
    assert exported == [(commands.DEMO_BUNDLE, Path("out/demo/bundle.compiled"))]
    assert ["training the demo's" in one for one in said] == [True, False]


def test_whoever_wants_the_fitted_router_exports_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_commands, "export", lambda *_, **__: pytest.fail("it was exported"))
    done = serve("--form", "fitted")
    assert done.exit_code == 0, done.output
    assert "bundle out/demo/bundle (fitted)" in done.stdout


def test_a_bundle_without_an_export_is_served_as_it_was_fitted(serve: Serve, bundle: Path) -> None:
    done = serve("--bundle", bundle)
    assert done.exit_code == 0, done.output
    assert f"bundle {bundle} (fitted)" in done.stdout


@pytest.mark.parametrize("form", ["fp32", "int8", "static"])
def test_a_form_that_was_not_exported_is_refused_before_anything_listens(serve: Serve, bundle: Path, form: str) -> None:
    done = serve("--bundle", bundle, "--form", form)
    assert isinstance(done.exception, BundleError)
    assert f"weighbridge export {bundle} --out {bundle}.compiled" in str(done.exception)
