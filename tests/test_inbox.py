"""Between the reader of a stream and who uses it: order, a bound, and a limit on waiting, on an event loop's own time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from agents.gateway.inbox import Inbox
from tests.scripted import now, run

T = TypeVar("T")


async def put(inbox: Inbox[T], item: T) -> None:
    if inbox.full:
        await inbox.room()
    inbox.put(item)


async def get(inbox: Inbox[T], limit_s: float) -> T:
    assert await inbox.item(limit_s)
    return inbox.take()


def test_items_come_in_order_and_none_is_lost() -> None:
    async def work() -> list[int]:
        inbox: Inbox[int] = Inbox(2)

        async def produce() -> None:
            for number in range(20):
                await put(inbox, number)

        producer = asyncio.create_task(produce())
        found = [await get(inbox, 1.0) for _ in range(20)]
        await producer
        return found

    assert run(work()) == list(range(20))


def test_a_producer_waits_where_the_inbox_is_full() -> None:
    async def work() -> list[str]:
        inbox: Inbox[str] = Inbox(2)
        laid: list[str] = []

        async def produce() -> None:
            for name in "abc":
                await put(inbox, name)
                laid.append(name)

        producer = asyncio.create_task(produce())
        await asyncio.sleep(5.0)
        before = list(laid)
        inbox.take()
        await producer
        return before

    assert run(work()) == ["a", "b"]


@pytest.mark.parametrize("limits", [(1.0,), (4.0, 10.0), (10.0, 4.0), (4.0, 4.0, 0.5)])
def test_waiting_ends_at_its_limit_whatever_the_limits_before_it_were(limits: tuple[float, ...]) -> None:
    """An item comes 0.25 s after each wait begins, but for the last, which waits in vain."""

    async def work() -> float:
        inbox: Inbox[str] = Inbox(2)
        for limit_s in limits[:-1]:
            asyncio.get_running_loop().call_later(0.25, inbox.put, "x")
            await get(inbox, limit_s)
        assert not await inbox.item(limits[-1])
        return now()

    assert run(work()) == pytest.approx(0.25 * (len(limits) - 1) + limits[-1])


def test_time_that_nobody_waited_does_not_count() -> None:
    async def work() -> str:
        inbox: Inbox[str] = Inbox(2)
        inbox.put("first")
        inbox.take()
        await asyncio.sleep(100.0)
        asyncio.get_running_loop().call_later(0.9, inbox.put, "second")
        return await get(inbox, 1.0)

    assert run(work()) == "second"


def test_what_is_there_is_taken_without_waiting() -> None:
    async def work() -> tuple[int, str, int]:
        inbox: Inbox[str] = Inbox(2)
        inbox.put("x")
        return len(inbox), await get(inbox, 0.0), len(inbox)

    assert run(work()) == (1, "x", 0)


def test_a_closed_inbox_leaves_no_timer_behind() -> None:
    async def work() -> None:
        inbox: Inbox[str] = Inbox(2)
        asyncio.get_running_loop().call_later(0.25, inbox.put, "x")
        await get(inbox, 60.0)
        inbox.close()
        await asyncio.Event().wait()  # this loop refuses to wait where there is nothing to wait for

    with pytest.raises(AssertionError, match="nothing will ever happen"):
        run(work())
