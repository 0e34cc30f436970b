"""The circuit breaker, on a fake clock."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from agents.gateway.breaker import Breaker, BreakerState, Permit, Verdict
from agents.gateway.settings import Settings
from tests.scripted import FakeClock

FAILURES: tuple[Verdict, ...] = ("failure",) * 5
NEUTRALS: tuple[Verdict, ...] = ("neutral",) * 50


def state_of(breaker: Breaker) -> BreakerState:
    return breaker.state


def a_breaker() -> tuple[Breaker, FakeClock]:
    clock = FakeClock()
    return Breaker(Settings(), clock=clock), clock


def attempts(breaker: Breaker, *verdicts: Verdict) -> None:
    for verdict in verdicts:
        permit = breaker.admit()
        assert permit is not None
        breaker.settle(permit, verdict)


def opened() -> tuple[Breaker, FakeClock]:
    breaker, clock = a_breaker()
    attempts(breaker, *FAILURES[:5])
    return breaker, clock


def test_four_failures_out_of_four_are_too_few_to_open() -> None:
    breaker, _ = a_breaker()
    attempts(breaker, *FAILURES[:4])
    assert state_of(breaker) == "closed"


def test_three_failures_of_six_open_and_two_of_five_do_not() -> None:
    breaker, _ = a_breaker()
    attempts(breaker, "success", "success", "success", "failure", "failure")
    assert state_of(breaker) == "closed"
    attempts(breaker, "failure")
    assert state_of(breaker) == "open"
    assert breaker.admit() is None


def test_failures_of_more_than_ten_seconds_ago_are_forgotten() -> None:
    breaker, clock = a_breaker()
    attempts(breaker, *FAILURES[:4])
    clock.now = 10.1
    attempts(breaker, "failure")
    assert state_of(breaker) == "closed"


def test_what_is_not_the_providers_fault_counts_neither_way() -> None:
    breaker, _ = a_breaker()
    attempts(breaker, *NEUTRALS, *FAILURES[:4])
    assert state_of(breaker) == "closed"
    attempts(breaker, *NEUTRALS, "failure")
    assert state_of(breaker) == "open"


def test_it_stays_open_for_five_seconds_and_then_lets_one_through() -> None:
    breaker, clock = opened()
    clock.now = 4.99
    assert breaker.admit() is None
    clock.now = 5.0
    assert state_of(breaker) == "half_open"
    assert breaker.admit() is not None
    assert breaker.admit() is None


def test_a_probe_that_fails_opens_it_for_another_five_seconds() -> None:
    breaker, clock = opened()
    clock.now = 6.0
    attempts(breaker, "failure")
    clock.now = 10.9
    assert (breaker.state, breaker.openings) == ("open", 2)
    clock.now = 11.0
    assert state_of(breaker) == "half_open"


def test_a_probe_whose_reader_left_makes_room_for_the_next() -> None:
    breaker, clock = opened()
    clock.now = 5.0
    attempts(breaker, "neutral")
    assert state_of(breaker) == "half_open"
    assert breaker.admit() is not None


def test_a_probe_that_begins_to_answer_closes_it_before_the_answer_is_whole() -> None:
    breaker, clock = opened()
    clock.now = 5.0
    probe = breaker.admit()
    assert probe is not None
    breaker.speaks(probe)
    assert state_of(breaker) == "closed"
    breaker.settle(probe, "failure")
    attempts(breaker, *FAILURES[:3])
    assert state_of(breaker) == "closed"
    attempts(breaker, "failure")  # with the probe's own, the fifth
    assert state_of(breaker) == "open"


def test_an_attempt_from_before_it_opened_neither_closes_it_nor_opens_it_anew() -> None:
    breaker, clock = a_breaker()
    late = [breaker.admit() for _ in range(3)]
    attempts(breaker, *FAILURES[:5])
    clock.now = 5.0
    for permit, verdict in zip(late, ("success", "failure", "neutral"), strict=True):
        assert permit is not None
        breaker.settle(permit, verdict)  # type: ignore[arg-type]  # zip forgets the Literal
        assert (breaker.state, breaker.openings) == ("half_open", 1)


class AnyOrder(RuleBasedStateMachine):
    """Attempts that overlap in every way: at most one probe is out, and nobody passes an open breaker."""

    permits: Bundle[Permit] = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.clock = a_breaker()
        self.out: list[Permit] = []

    def unsettled_probes(self) -> list[Permit]:
        return [permit for permit in self.out if permit.probe]

    @rule(target=permits)
    def admit(self) -> Permit:
        state, probes = self.breaker.state, self.unsettled_probes()
        permit = self.breaker.admit()
        if permit is None:
            assert state != "closed"
            permit = Permit(era=-1, probe=False)
        else:
            assert state != "open"
            assert state == "closed" or not [probe for probe in probes if probe.era == permit.era]
            self.out.append(permit)
        return permit

    @rule(permit=consumes(permits), verdict=st.sampled_from(["success", "failure", "neutral"]), spoke=st.booleans())
    def settle(self, permit: Permit, verdict: Verdict, spoke: bool) -> None:
        if permit in self.out:
            if spoke:
                self.breaker.speaks(permit)
            self.breaker.settle(permit, verdict)
            self.out.remove(permit)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def one_probe_at_most(self) -> None:
        if self.breaker.state == "half_open":
            probes = self.unsettled_probes()
            current = [probe for probe in probes if probe.era == max(permit.era for permit in probes)]
            assert len(current) <= 1

    @invariant()
    def with_no_attempt_out_it_is_never_stuck(self) -> None:
        if not self.out and self.breaker.state == "half_open":
            permit = self.breaker.admit()
            assert permit is not None
            self.breaker.settle(permit, "neutral")


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
