"""The road of every message of a conversation, in one equation: held to the chain followed message by message."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.simulate.chain import message_weights
from eval.simulate.use import FIRST, SAME, SWITCHED

Floats = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1)
PROPERTY = settings(deadline=None, max_examples=40)
MIX = np.array([[0.7, 0.3]])
SENDS = np.array([[[0.9, 0.1], [0.2, 0.8]]])


def weights_of(
    mix: Floats, sends: Floats, *, messages: float, same_need: float = 0.0, stickiness: float = 0.0
) -> Floats:
    """`message_weights` where the conversation is the same in every world."""
    size = len(mix)
    return message_weights(
        mix,
        sends,
        messages=np.full(size, messages),
        same_need=np.full(size, same_need),
        stickiness=np.full(size, stickiness),
    )


def random_shares(seed: int, *, worlds: int = 2, classes: int = 3, routes: int = 3) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), size=worlds), rng.dirichlet(np.full(routes, 0.5), size=(worlds, classes))


def followed_message_by_message(
    mix: Floats, sends: Floats, *, messages: float, same_need: float, stickiness: float
) -> Floats:
    """(k, r, 3) of one world: the joint of class and road at each position, weighed by how many conversations get there."""
    classes, routes = sends.shape
    out = np.zeros((classes, routes, 3))
    here = mix[:, None] * sends
    out[..., FIRST] = here
    reach = 1.0
    for _ in range(2_000):
        reach *= 1.0 - 1.0 / messages
        after = np.zeros_like(here)
        for old_class in range(classes):
            for old_road in range(routes):
                for new_class in range(classes):
                    chance = same_need * (old_class == new_class) + (1.0 - same_need) * mix[new_class]
                    for road in range(routes):
                        stays = road == old_road
                        moved = stickiness * stays + (1.0 - stickiness) * sends[new_class, road]
                        part = here[old_class, old_road] * chance * moved
                        after[new_class, road] += part
                        out[new_class, road, SAME if stays else SWITCHED] += reach * part
        here = after
        if reach < 1e-12:
            break
    return np.asarray(out / out.sum())


def test_a_message_that_stands_alone_is_a_first_one_where_the_router_sends_it() -> None:
    weights = weights_of(MIX, SENDS, messages=1.0, same_need=0.4, stickiness=0.9)
    assert weights[..., FIRST] == pytest.approx(np.array([[[0.63, 0.07], [0.06, 0.24]]]))
    assert weights[..., [SAME, SWITCHED]].max() == 0.0


def test_two_messages_a_conversation_are_as_by_hand() -> None:
    # half of the messages follow another; afresh, and of an easy class: the one before was on `small` in 0.69 of cases
    weights = weights_of(MIX, SENDS, messages=2.0)
    assert weights[0, 0, 0].tolist() == pytest.approx([0.315, 0.5 * 0.63 * 0.69, 0.5 * 0.63 * 0.31])
    assert weights[0, 1, 0].tolist() == pytest.approx([0.03, 0.5 * 0.06 * 0.69, 0.5 * 0.06 * 0.31])


@settings(deadline=None, max_examples=8)
@given(seed=SEEDS, messages=st.floats(1, 4), same_need=SHARES, stickiness=SHARES)
def test_the_weights_are_those_of_the_chain_followed_message_by_message(
    seed: int, messages: float, same_need: float, stickiness: float
) -> None:
    mix, sends = random_shares(seed, worlds=1)
    found = weights_of(mix, sends, messages=messages, same_need=same_need, stickiness=stickiness)
    slow = followed_message_by_message(mix[0], sends[0], messages=messages, same_need=same_need, stickiness=stickiness)
    assert found[0] == pytest.approx(slow, abs=1e-9)


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 1_000), same_need=SHARES, stickiness=SHARES)
def test_the_weights_add_up_to_the_mix_and_none_is_below_nothing(
    seed: int, messages: float, same_need: float, stickiness: float
) -> None:
    mix, sends = random_shares(seed)
    weights = weights_of(mix, sends, messages=messages, same_need=same_need, stickiness=stickiness)
    assert weights.sum(axis=(2, 3)) == pytest.approx(mix, abs=1e-12)
    assert weights.sum(axis=(1, 2, 3)) == pytest.approx(np.ones(2))
    assert weights.min() >= 0.0


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 1_000), same_need=SHARES, stickiness=SHARES)
def test_every_conversation_has_one_first_message(
    seed: int, messages: float, same_need: float, stickiness: float
) -> None:
    mix, sends = random_shares(seed)
    weights = weights_of(mix, sends, messages=messages, same_need=same_need, stickiness=stickiness)
    assert weights[..., FIRST].sum(axis=(1, 2)) == pytest.approx(np.full(2, 1.0 / messages))


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 50), same_need=SHARES, stickiness=SHARES)
def test_stickiness_leaves_each_road_the_share_that_the_router_gave_it(
    seed: int, messages: float, same_need: float, stickiness: float
) -> None:
    mix, sends = random_shares(seed)
    weights = weights_of(mix, sends, messages=messages, same_need=same_need, stickiness=stickiness)
    assert weights.sum(axis=(1, 3)) == pytest.approx((mix[:, :, None] * sends).sum(axis=1))


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 1_000))
def test_a_conversation_of_one_need_that_stays_never_switches(seed: int, messages: float) -> None:
    mix, sends = random_shares(seed)
    weights = weights_of(mix, sends, messages=messages, same_need=1.0, stickiness=1.0)
    assert weights[..., SWITCHED].max() == 0.0
    assert weights.sum(axis=3) == pytest.approx(mix[:, :, None] * sends)


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 1_000), same_need=SHARES)
def test_nobody_switches_where_everybody_stays_whatever_is_needed(seed: int, messages: float, same_need: float) -> None:
    mix, sends = random_shares(seed)
    assert weights_of(mix, sends, messages=messages, same_need=same_need, stickiness=1.0)[..., SWITCHED].max() == 0.0


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 50), same_need=SHARES)
def test_without_stickiness_a_class_goes_where_the_router_sends_it_at_every_message(
    seed: int, messages: float, same_need: float
) -> None:
    mix, sends = random_shares(seed)
    weights = weights_of(mix, sends, messages=messages, same_need=same_need)
    assert weights.sum(axis=3) == pytest.approx(mix[:, :, None] * sends)


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1.1, 50), same_need=st.floats(0, 0.9))
def test_staying_on_a_road_never_makes_a_perfect_router_more_often_right(
    seed: int, messages: float, same_need: float
) -> None:
    mix = random_shares(seed)[0]
    perfect = np.broadcast_to(np.eye(3), (2, 3, 3))
    right = [
        np.einsum("skkj->s", weights_of(mix, perfect, messages=messages, same_need=same_need, stickiness=stickiness))
        for stickiness in (0.0, 0.3, 0.9)
    ]
    assert right[0] == pytest.approx(np.ones(2))
    assert (right[1] <= right[0] + 1e-12).all()
    assert (right[2] <= right[1] + 1e-12).all()


@PROPERTY
@given(seed=SEEDS, order=st.permutations(range(3)), roads=st.permutations(range(3)))
def test_weights_follow_their_classes_and_routes_when_these_are_reordered(
    seed: int, order: list[int], roads: list[int]
) -> None:
    mix, sends = random_shares(seed)
    whole = weights_of(mix, sends, messages=3.0, same_need=0.4, stickiness=0.3)
    moved = weights_of(mix[:, order], sends[:, order][:, :, roads], messages=3.0, same_need=0.4, stickiness=0.3)
    assert moved == pytest.approx(whole[:, order][:, :, roads], abs=1e-12)


@PROPERTY
@given(seed=SEEDS, messages=st.floats(1, 9), same_need=SHARES, stickiness=SHARES)
def test_a_world_has_the_weights_that_it_has_alone(
    seed: int, messages: float, same_need: float, stickiness: float
) -> None:
    mix, sends = random_shares(seed)
    together = message_weights(
        mix,
        sends,
        messages=np.array([messages, 2.0]),
        same_need=np.array([same_need, 0.5]),
        stickiness=np.array([stickiness, 0.1]),
    )
    alone = weights_of(mix[:1], sends[:1], messages=messages, same_need=same_need, stickiness=stickiness)
    assert together[:1] == pytest.approx(alone, abs=1e-15)
