"""The OpenAPI document is kept: whatever it allows or forbids is sent, and every answer is one that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agents.gateway.deciding import load_held
from agents.models.simulated import SimulatedModel
from tests.served import PROVIDER, Server, a_service, served

pytestmark = pytest.mark.loopback

EXAMPLES = 8
CHECKS: list[Any] = [  # Any: schemathesis' own callables
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ADDRESSES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/route"),
    ("POST", "/v1/feedback"),
    ("GET", "/v1/models"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("state")
    with served(a_service(load_held(bundle), state, SimulatedModel(PROVIDER))) as running:
        yield running


def cases(server: Server, method: str, path: str, mode: GenerationMode) -> Any:  # Any: a strategy of schemathesis' own
    return schemathesis.openapi.from_dict(server.app.openapi())[path][method].as_strategy(generation_mode=mode)


def hold(server: Server, strategy: Any) -> None:  # Any: as above
    @seed(20_261_130)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def check(case: Case[Any]) -> None:  # Any: the document's own kind
        case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=10)

    check()


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_what_the_document_allows_is_answered_as_it_says(server: Server, method: str, path: str) -> None:
    hold(server, cases(server, method, path, GenerationMode.POSITIVE))


@pytest.mark.parametrize(("method", "path"), ADDRESSES[:3])
def test_what_the_document_forbids_is_refused_as_it_says(server: Server, method: str, path: str) -> None:
    hold(server, cases(server, method, path, GenerationMode.NEGATIVE))


def test_the_document_names_every_address_and_no_other(server: Server) -> None:
    named = {(method.upper(), path) for path, item in server.app.openapi()["paths"].items() for method in item}
    assert named == set(ADDRESSES)
