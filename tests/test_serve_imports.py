"""A process that serves loads nothing that only training needs: it starts in a second and stays small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "sklearn", "scipy", "pandas", "mlflow", "matplotlib", "transformers", "sentence_transformers")
PROCESS_S = 200.0  # from the start of a process to its end: seconds, but on a busy machine
SERVE = """
import json, sys
from pathlib import Path

import typer

from agents import commands

STATE, BUNDLE = Path({state!r}), {bundle!r}


def ask(service, guard, host, port):
    from starlette.testclient import TestClient

    from serve import create_app

    with TestClient(create_app(service, guard=guard), base_url="http://localhost") as client:
        body = {{"model": "auto", "messages": [{{"role": "user", "content": "where is my refund?"}}]}}
        reply = client.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        assert client.get("/metrics").status_code == 200
        print(reply.json()["choices"][0]["message"]["content"])


app = typer.Typer()
commands.register(app, train_demo=lambda target: None, run=ask)
app(["serve", "--bundle", BUNDLE, "--state", str(STATE), {flags}], standalone_mode=False)
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def served_by_a_new_process(bundle: Path, state: Path, *flags: str) -> tuple[str, set[str]]:
    """What `weighbridge serve` answers to one request, and the modules that are loaded then."""
    body = SERVE.format(bundle=str(bundle), state=str(state), flags=", ".join(map(repr, flags)))
    done = subprocess.run(
        [sys.executable, "-c", body],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_S,
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    *said, modules = done.stdout.splitlines()
    return "\n".join(said), set(json.loads(modules))


@pytest.fixture(scope="module")
def one(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, set[str]]:
    return served_by_a_new_process(bundle, tmp_path_factory.mktemp("state"), "--simulated")


@pytest.mark.parametrize("name", HEAVY)
def test_serving_does_not_load(one: tuple[str, set[str]], name: str) -> None:
    assert name not in one[1]


def test_no_providers_sdk_is_loaded_where_all_models_are_simulated(one: tuple[str, set[str]]) -> None:
    assert not {"openai", "anthropic"} & one[1]


def test_the_verb_says_that_it_is_simulated_and_so_does_the_answer(one: tuple[str, set[str]]) -> None:
    said = one[0].splitlines()
    assert "SIMULATED" in said[0]
    assert said[1].startswith("[simulated]")
