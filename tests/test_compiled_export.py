"""Compiling a bundle: thresholds from the calibration split, figures from the test split, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from router.bundle import save
from router.compiled import load
from router.compiled.export import export
from router.compiled.files import STATIC
from router.compiled.making import Parts
from router.compiled_commands import register
from router.dataset import Dataset, write_queries
from router.errors import BundleError
from router.pipeline import Router
from tests.conftest import PAM

pytest_plugins = ("tests.compiled_forms",)


def test_a_static_tier_that_may_lose_too_much_is_left_out_and_the_card_says_so(
    graph_router: Router, parts: Parts, tmp_path: Path
) -> None:
    manifest = export(
        graph_router, tmp_path / "f", source_id="x", parts=parts, precisions=("fp32",), static=True, most_lost=-1.0
    )
    assert STATIC not in manifest["tiers"]
    assert "static tier: left out" in (tmp_path / "f" / "CARD.md").read_text()
    assert len(load(tmp_path / "f").tiers) == 1


def test_int8_has_thresholds_and_novelty_of_its_own(form: Path, graph_router: Router, parts: Parts) -> None:
    part, quick = parts.calibration, load(form, precision="int8", static=False)
    reading, fitted = quick.read(part.texts, part.contexts), graph_router.read(part.texts, part.contexts)
    policies = quick.tiers[0].policy, graph_router.policy
    probabilities = reading.probabilities, fitted.probabilities
    cheap = [
        int((policy.cheap_probability(p) >= policy.threshold).sum())
        for policy, p in zip(policies, probabilities, strict=True)
    ]
    assert cheap[0] == cheap[1]
    assert np.array_equal(quick.tiers[0].novelty.calibration, np.sort(reading.distance))
    assert policies[0].threshold != policies[1].threshold


def test_the_card_gives_agreement_and_accuracy_with_intervals(form: Path, parts: Parts) -> None:
    card = (form / "CARD.md").read_text()
    for name in ("fitted", "fp32", "int8", "static+fp32", "static+int8"):
        assert f"| {name} | {len(parts.test)} |" in card
        assert f"| {name} | route |" in card
    assert "| fp32 | route | " in card
    assert "0.000 [0.000, 0.000]" in card


def test_the_same_router_compiles_to_the_same_bytes(graph_router: Router, parts: Parts, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(graph_router, tmp_path / name, source_id="x", parts=parts, precisions=("fp32", "int8"), static=False)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()


def test_a_router_whose_encoder_has_no_graph_is_refused(router: Router, parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="`hashing`, which has no graph"):
        export(router, tmp_path / "f", source_id="x", parts=parts, precisions=("fp32",), static=False)


def test_a_bundle_is_not_overwritten_by_its_own_form(graph_router: Router, parts: Parts, bundle: Path) -> None:
    with pytest.raises(BundleError, match="is no compiled router"):
        export(graph_router, bundle, source_id="x", parts=parts, precisions=("fp32",), static=False)


def test_an_empty_split_is_refused(graph_router: Router, parts: Parts, tmp_path: Path) -> None:
    empty = replace(parts, calibration=parts.calibration.split("none"))
    with pytest.raises(BundleError, match="no query with split = 'calibration'"):
        export(graph_router, tmp_path / "f", source_id="x", parts=empty, precisions=("fp32",), static=False)


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_the_command_compiles_a_bundle_and_writes_its_figures(
    command: typer.Typer, graph_router: Router, talk: Dataset, tmp_path: Path
) -> None:
    save(graph_router, tmp_path / "bundle", carry_encoder=True)
    (tmp_path / "some.jsonl").write_text(write_queries(talk.queries), encoding="utf-8")
    shutil.copyfile(PAM / "card.toml", tmp_path / "card.toml")
    arguments = ["export", str(tmp_path / "bundle"), "--out", str(tmp_path / "f"), "--precision", "fp32", "--no-static"]
    arguments += ["--data", str(tmp_path / "some.jsonl"), "--json", str(tmp_path / "figures.json")]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["measured"]["fp32"]["decisions_equal"]["share"] == 1.0


@pytest.mark.parametrize("kind", ["outcomes", "heads"])
def test_the_command_refuses_what_is_no_router_by_labels(
    command: typer.Typer, form: Path, tmp_path: Path, kind: str
) -> None:
    copy = Path(shutil.copytree(form, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "kind": kind}))
    done = CliRunner().invoke(command, ["export", str(copy), "--out", str(tmp_path / "f")])
    assert isinstance(done.exception, BundleError)
    assert f"holds a router by {kind}; `export` compiles one by labels" in str(done.exception)
