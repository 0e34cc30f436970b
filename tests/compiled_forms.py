"""A router fitted with a tiny encoder that has a graph, and its compiled form. Test modules name this file as a plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from router.compiled.export import export
from router.compiled.making import Parts
from router.dataset import Dataset
from router.encoders.onnx import OnnxEncoder
from router.lexicon import Lexicon
from router.pipeline import Router
from router.routes import RouteTable
from router.training import fit, splits_for_training
from tests.tiny_graph import write_encoder

FOLLOWS = 3  # every third query of the small data follows the one before it


@pytest.fixture(scope="session")
def talk(small: Dataset) -> Dataset:
    """The small data as conversations: every third query comes after the two before it."""
    told = [
        replace(query, context=tuple(small.texts[i - 2 : i]) if i % FOLLOWS == 2 else ())
        for i, query in enumerate(small.queries)
    ]
    return replace(small, queries=tuple(told))


@pytest.fixture(scope="session")
def graph_router(
    talk: Dataset, table: RouteTable, lexicon: Lexicon, tmp_path_factory: pytest.TempPathFactory
) -> Router:
    """Fitted on the small conversations with an encoder that has a graph."""
    directory = tmp_path_factory.mktemp("tiny")
    encoder = OnnxEncoder(directory, write_encoder(directory, talk.split("train").texts))
    return fit(splits_for_training(talk), table, encoder, lexicon=lexicon, seed=0)


@pytest.fixture(scope="session")
def parts(talk: Dataset) -> Parts:
    return Parts(calibration=talk.split("calibration"), test=talk.split("test"))


@pytest.fixture(scope="session")
def form(graph_router: Router, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled form with everything in it; so few queries resolve no loss, so the static tier is let in by hand."""
    target = tmp_path_factory.mktemp("forms") / "form"
    export(
        graph_router, target, source_id="small", parts=parts, precisions=("fp32", "int8"), static=True, most_lost=1.0
    )
    return target
