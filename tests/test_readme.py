"""The README says what is true: its Python runs, its commands exist, its files are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(code) == 1
    exec(compile(code[0].replace("out/demo/bundle", str(bundle)), "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() in {"chat", "dashboard", "budget", "trip", "community", "shop"}


def test_every_command_of_the_readme_exists() -> None:
    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]  # a group, typed as a command
    assert set(re.findall(r"^weighbridge (\w+)", README, flags=re.MULTILINE)) <= verbs


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    assert set(re.findall(r"make (demo|test|setup|bench|check)", README)) <= targets


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
