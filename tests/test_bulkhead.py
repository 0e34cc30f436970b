"""The bulkhead, on a loop whose time jumps."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.gateway.bulkhead import Bulkhead
from agents.gateway.settings import Settings
from router.errors import ModelError
from tests.scripted import now, run


def a_bulkhead(*, attempts: int = 2, waiting: int = 1, wait_s: float = 0.5) -> Bulkhead:
    settings = Settings(bulkhead_attempts=attempts, bulkhead_waiting=waiting, bulkhead_wait_s=wait_s)
    return Bulkhead(settings, provider="acme")


async def hold(bulkhead: Bulkhead, seconds: float, *, wait_s: float = 9.0) -> float:
    """Hold a slot; when it was had."""
    async with bulkhead.slot(wait_s=wait_s):
        had_at = now()
        await asyncio.sleep(seconds)
    return had_at


def test_two_at_once_pass_and_the_third_waits_for_the_first_to_leave() -> None:
    async def work() -> list[float]:
        bulkhead = a_bulkhead()
        return list(await asyncio.gather(hold(bulkhead, 0.2), hold(bulkhead, 0.3), hold(bulkhead, 0.1)))

    assert run(work()) == [0.0, 0.0, 0.2]


def test_where_the_line_is_full_the_next_is_overloaded_at_once() -> None:
    async def work() -> float:
        bulkhead = a_bulkhead(attempts=1)
        held = [asyncio.create_task(hold(bulkhead, 0.2)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ModelError) as caught:
            await hold(bulkhead, 0.1)
        assert caught.value.kind == "overloaded"
        refused_at = now()
        await asyncio.gather(*held)
        return refused_at

    assert run(work()) == 0.0


@pytest.mark.parametrize(("own_s", "at"), [(9.0, 0.5), (0.3, 0.3)])
def test_nobody_stands_in_line_longer_than_the_limit_or_its_own_time(own_s: float, at: float) -> None:
    async def work() -> float:
        bulkhead = a_bulkhead(attempts=1)
        held = asyncio.create_task(hold(bulkhead, 2.0))
        await asyncio.sleep(0)
        with pytest.raises(ModelError, match="acme"):
            await hold(bulkhead, 0.1, wait_s=own_s)
        gave_up_at = now()
        assert bulkhead.waiting == 0
        await held
        return gave_up_at

    assert run(work()) == pytest.approx(at)


def test_one_who_is_cancelled_in_the_moment_of_getting_a_slot_passes_it_on() -> None:
    async def work() -> tuple[int, float]:
        bulkhead = a_bulkhead(attempts=1, waiting=2)
        async with bulkhead.slot(wait_s=1):
            leaving = asyncio.create_task(hold(bulkhead, 0.1))
            staying = asyncio.create_task(hold(bulkhead, 0.1))
            await asyncio.sleep(0)
        leaving.cancel()  # the slot is his already, and he has not run since
        had_at = await staying
        return bulkhead.active, had_at

    assert run(work()) == (0, 0.0)


def test_a_slot_passes_over_one_who_was_cancelled_in_line_a_moment_before() -> None:
    async def work() -> tuple[int, int, float]:
        bulkhead = a_bulkhead(attempts=1, waiting=2)
        async with bulkhead.slot(wait_s=1):
            leaving = asyncio.create_task(hold(bulkhead, 0.1))
            staying = asyncio.create_task(hold(bulkhead, 0.1))
            await asyncio.sleep(0)
            leaving.cancel()
        had_at = await staying
        return bulkhead.active, bulkhead.waiting, had_at

    assert run(work()) == (0, 0, 0.0)


def test_of_two_hundred_at_once_never_more_than_the_limit_are_inside_and_all_get_through() -> None:
    async def work() -> int:
        bulkhead = a_bulkhead(attempts=7, waiting=200, wait_s=60)
        most = 0

        async def one() -> None:
            nonlocal most
            async with bulkhead.slot(wait_s=60):
                most = max(most, bulkhead.active)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(one() for _ in range(200)))
        assert (bulkhead.active, bulkhead.waiting) == (0, 0)
        return most

    assert run(work()) == 7


VISIT = st.tuples(st.integers(0, 6), st.integers(1, 6), st.one_of(st.none(), st.integers(0, 6)))


@hypothesis_settings(max_examples=60, deadline=None)
@given(visits=st.lists(VISIT, max_size=12))
def test_whoever_comes_leaves_or_is_cancelled_no_slot_is_lost_or_made(
    visits: list[tuple[int, int, int | None]],
) -> None:
    async def work() -> None:
        bulkhead = a_bulkhead(attempts=2, waiting=3, wait_s=0.25)
        inside = 0

        async def visit(comes: int, stays: int) -> None:
            nonlocal inside
            await asyncio.sleep(comes / 10)
            async with bulkhead.slot(wait_s=9):
                inside += 1
                assert inside <= 2
                try:
                    await asyncio.sleep(stays / 10)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(visit(comes, stays)) for comes, stays, _ in visits]
        for task, (_, _, cancelled) in zip(tasks, visits, strict=True):
            if cancelled is not None:
                asyncio.get_running_loop().call_later(cancelled / 10, task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, ModelError | asyncio.CancelledError)
        assert (bulkhead.active, bulkhead.waiting, inside) == (0, 0, 0)

    run(work())
