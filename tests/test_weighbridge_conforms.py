"""Ours keeps every promise that the routers it is compared with keep."""

from __future__ import annotations

import pytest

from router.success.contender import Weighbridge
from tests.conformance import outcome_router as conformance


@pytest.mark.parametrize("check", [*conformance.CHECKS, *conformance.LEARNS], ids=lambda check: check.__name__)
def test_ours_keeps_the_promise(check: conformance.Check) -> None:
    check(Weighbridge)
