"""What both wires share: when to ask again, and limits in time."""

from __future__ import annotations

import pytest

from agents.models.upstream import Timeouts
from agents.models.wire import ADVICE, STATUS_KINDS, WORD_KINDS, retry_after_s
from router.errors import DataError, ModelError


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Sun, 01 Nov 2026 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Sat, 31 Oct 2026 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers, now_s=1793491200.0) == wait_s  # 2026-11-01 00:00:00 UTC


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_in_time_is_above_zero_and_finite(seconds: float) -> None:
    with pytest.raises(DataError, match="silence_s"):
        Timeouts(silence_s=seconds)


def test_every_kind_has_its_advice_and_no_other_is_told() -> None:
    assert set(ADVICE) == set(ModelError.KINDS)
    assert {*STATUS_KINDS.values(), *(kind for _, kind in WORD_KINDS)} <= set(ModelError.KINDS)
