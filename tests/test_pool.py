"""The classifier's threads: a call's own work is limited, not the crowd before it; one that is stuck takes nobody with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from agents.gateway.pool import BusyError, ClosedError, Pool, PoolError, PoolLimits, StuckError
from router.errors import PolicyError

T = TypeVar("T")
BOUND_S = 20.0  # no test waits longer
LONG_S = 15.0  # a limit that no test reaches
SHORT_S = 0.02


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Calls may wait for it; it opens when the test is over."""
    made = threading.Event()
    yield made
    made.set()


def pool(**limits: Any) -> Pool:  # Any: the limits' own values
    return Pool(PoolLimits(**{"work_s": LONG_S, "wait_s": LONG_S, **limits}))


def run(made: Pool, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work within a bound, then close the pool."""

    async def bounded() -> T:
        async with asyncio.timeout(BOUND_S):
            return await work()

    try:
        return asyncio.run(bounded())
    finally:
        made.close()


def held_up(gate: threading.Event, begun: threading.Event | None = None) -> Callable[[], str]:
    def call() -> str:
        if begun is not None:
            begun.set()
        assert gate.wait(BOUND_S)
        return "late"

    return call


async def ended(calls: list[asyncio.Task[str]]) -> list[str]:
    """What each call gave, or the name of what it raised."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [one if isinstance(one, str) else type(one).__name__ for one in done]


def begin(made: Pool, *calls: Callable[[], str]) -> list[asyncio.Task[str]]:
    return [asyncio.get_running_loop().create_task(made.run(call)) for call in calls]


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.002)


def test_a_call_gives_what_it_returns_and_raises_what_it_raises() -> None:
    made = pool()

    async def work() -> str:
        with pytest.raises(ZeroDivisionError):
            await made.run(lambda: str(1 // 0))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await made.run(lambda: next(iter(())))
        return await made.run(lambda: "well")

    assert run(made, work) == "well"


def test_calls_run_in_as_many_threads_as_there_are_and_off_the_event_loop() -> None:
    made = pool(threads=2)
    together = threading.Barrier(2, timeout=BOUND_S)

    def call() -> str:
        together.wait()  # two must be in here at once
        return threading.current_thread().name

    async def work() -> set[str]:
        return set(await asyncio.gather(*(made.run(call) for _ in range(4))))

    assert run(made, work) == {"classifier"}
    assert threading.current_thread().name != "classifier"


def test_a_crowd_makes_nobody_late_where_each_call_is_quick() -> None:
    """Thirty calls of 50 ms in one thread: the last waits 1.5 s, and may work for 1 s only."""
    made = pool(threads=1, work_s=1.0)

    def call() -> str:
        time.sleep(0.05)
        return "well"

    async def work() -> list[str]:
        return await ended(begin(made, *[call] * 30))

    assert run(made, work) == ["well"] * 30


def test_a_call_that_works_for_too_long_is_not_waited_for(gate: threading.Event) -> None:
    made = pool(work_s=SHORT_S)

    async def work() -> None:
        with pytest.raises(StuckError, match=f"at work for {SHORT_S}"):
            await made.run(held_up(gate))

    run(made, work)


def test_one_stuck_call_takes_no_other_with_it(gate: threading.Event) -> None:
    made = pool(threads=1, work_s=0.1)

    async def work() -> tuple[list[str], int]:
        stuck, *others = begin(made, held_up(gate), *[lambda: "well"] * 20)
        return [*await ended(others), *await ended([stuck])], made.stuck

    assert run(made, work) == (["well"] * 20 + ["StuckError"], 1)


def test_a_stuck_call_whose_caller_left_takes_no_other_with_it_either(gate: threading.Event) -> None:
    made, begun = pool(threads=1, work_s=0.1), threading.Event()

    async def work() -> str:
        (stuck,) = begin(made, held_up(gate, begun))
        await until(begun.is_set)
        stuck.cancel()
        return await made.run(lambda: "well")

    assert run(made, work) == "well"


def test_a_stuck_call_that_comes_back_gives_its_thread_up_and_leaves_no_more_than_there_were(
    gate: threading.Event,
) -> None:
    made = pool(threads=2, work_s=SHORT_S)
    names: set[int] = set()

    def call() -> str:
        names.add(threading.get_ident())
        return "well"

    async def work() -> None:
        await ended(begin(made, *[held_up(gate)] * 3))
        assert made.stuck == 3
        gate.set()
        await until(lambda: made.stuck == 0)
        await ended(begin(made, *[call] * 50))

    run(made, work)
    assert len(names) <= 2


def test_where_every_thread_is_lost_nobody_waits_until_one_comes_back(gate: threading.Event) -> None:
    made = pool(threads=1, stuck=2, work_s=SHORT_S)

    async def work() -> str:
        await ended(begin(made, *[held_up(gate)] * 3))
        assert made.stuck == 3  # the first two were replaced, the third was not
        with pytest.raises(StuckError, match="lost to 3 calls"):
            await made.run(lambda: "well")
        gate.set()
        await until(lambda: made.stuck == 0)
        return await made.run(lambda: "well")

    assert run(made, work) == "well"


def test_who_stands_in_line_when_the_last_thread_is_lost_does_not_wait_there(gate: threading.Event) -> None:
    made = pool(threads=1, stuck=1, work_s=SHORT_S)

    async def work() -> list[str]:
        return await ended(begin(made, *[held_up(gate)] * 2, *[lambda: "well"] * 3))

    assert run(made, work) == ["StuckError"] * 5


def test_in_line_a_call_waits_for_so_long_and_no_longer(gate: threading.Event) -> None:
    made = pool(threads=1, wait_s=0.05)
    began = threading.Event()

    async def work() -> list[str]:
        first, late = begin(made, held_up(gate), held_up(gate, began))
        found = await ended([late])
        gate.set()
        return found + await ended([first])

    assert run(made, work) == ["BusyError", "late"]
    assert not began.is_set()  # nobody waits for it any more, so nobody does it


def test_a_full_line_turns_away_at_once(gate: threading.Event) -> None:
    made = pool(threads=1, line=2)

    async def work() -> list[str]:
        taken_up = threading.Event()
        first = begin(made, held_up(gate, taken_up))
        await until(taken_up.is_set)
        waiting = begin(made, *[lambda: "well"] * 2)
        await until(lambda: made.waiting == 2)
        with pytest.raises(BusyError, match="2 calls stand in line"):
            await made.run(lambda: "one too many")
        gate.set()
        return await ended(first + waiting)

    assert run(made, work) == ["late", "well", "well"]


def test_a_caller_who_leaves_has_nothing_done_that_was_not_begun(gate: threading.Event) -> None:
    made = pool(threads=1)
    begun = threading.Event()

    async def work() -> None:
        first, second = begin(made, held_up(gate), held_up(gate, begun))
        await until(lambda: made.waiting == 1)
        second.cancel()
        assert await ended([second]) == ["CancelledError"]
        gate.set()
        await ended([first])
        await made.run(lambda: "the line is empty")

    run(made, work)
    assert not begun.is_set()


def test_a_closed_pool_ends_what_is_in_line_and_takes_no_more(gate: threading.Event) -> None:
    made = pool(threads=1)

    async def work() -> list[str]:
        calls = begin(made, held_up(gate), lambda: "well")
        await until(lambda: made.waiting == 1)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await asyncio.to_thread(made.close)
        with pytest.raises(ClosedError):
            await made.run(lambda: "well")
        return await ended(calls)

    assert run(made, work) == ["late", "ClosedError"]


def test_closing_waits_for_no_call_that_is_stuck(gate: threading.Event) -> None:
    made = pool(threads=1, work_s=SHORT_S)

    async def work() -> None:
        await ended(begin(made, held_up(gate)))

    run(made, work)
    assert not gate.is_set()  # it is still stuck, and we are here


def test_all_its_errors_are_of_one_family() -> None:
    assert {BusyError, StuckError, ClosedError} == set(PoolError.__subclasses__())


@pytest.mark.parametrize("name", ["threads", "work_s", "wait_s", "line", "stuck"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(PolicyError, match=name):
        PoolLimits(**{name: 0})
