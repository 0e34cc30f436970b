"""Dollars, answers and tokens of one policy in s worlds at once. Queries were drawn once (`use`); a world only weighs them.

What an answer costs is linear in the levels of its tokens and in the chances that a cache holds them, so a world takes a
few sums over the cells (route, state, calls) whatever the number of sampled queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.simulate.chain import message_weights
from eval.simulate.draws import Draws
from eval.simulate.policies import Policy
from eval.simulate.rates import Rates
from eval.simulate.scenario import HOURS, TOKENS, Scenario
from eval.simulate.service import Answering, Served, answering, quality, serve
from eval.simulate.use import LOOP, NEW, PAST, SAME, STATIC, WRITTEN, Use

Floats = npt.NDArray[np.float64]
MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one answer takes in s worlds, before anybody knows how much traffic keeps the caches warm.

    cold, warm: (s, r, 3) dollars with nothing of the fixed prompt cached by traffic, and what a warm cache takes off.
    sent, read, warmed: (s, r, 3) input tokens; those read from a cache; those that a warm cache adds. spread: (r, 3) mean
    square of an answer's dollars over the square of their mean: 1 where all cost the same.
    """

    cold: Floats
    warm: Floats
    sent: Floats
    read: Floats
    warmed: Floats
    spread: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What all policies share in s worlds: prices of answers, who answers when something fails, what is good."""

    scenario: Scenario
    draws: Draws
    rates: Rates
    answers: Answers
    ways: Answering
    good: Floats
    handoff: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """One policy in s worlds, per message unless it says otherwise.

    usd: (s, k) dollars by class (their sum is dollars per message).   spend: (s, r).   square: (s, k) mean square dollars
    of a message of the class, about.   roads: (s, r) where messages were decided to go.   accuracy: (s,) on the road that
    is needed.   good: (s,) share answered well at the first try.   reasks, unanswered: (s,).   cached: (s,) share of
    input tokens read from a cache.   answers: (s, r) paid for.
    """

    usd: Floats
    spend: Floats
    square: Floats
    roads: Floats
    accuracy: Floats
    good: Floats
    reasks: Floats
    unanswered: Floats
    cached: Floats
    answers: Floats
    served: Served


def world(scenario: Scenario, draws: Draws, use: Use, rates: Rates) -> World:
    """Everything that does not depend on the policy."""
    values, size = draws.values, len(draws)
    routes = [route.name for route in scenario.routes]
    failed, handoff = (_columns(values, routes, name) for name in ("failed_attempts", "handoff"))
    hours = rates.days * HOURS
    down = {name: np.minimum(values[f"outages.{name}"] / hours, 1.0) for name in scenario.outage_hours}
    levels = {name: values[f"bad_answer.{name}"] for name in ("right", "weak", "strong", "sideways")}
    return World(
        scenario=scenario,
        draws=draws,
        rates=rates,
        answers=price_answers(scenario, draws, use, rates),
        ways=answering(scenario, failed=failed, down=down, size=size),
        good=quality(scenario, strength(scenario, rates), levels, size=size),
        handoff=handoff,
    )


def strength(scenario: Scenario, rates: Rates) -> Floats:
    """(r,) how able each route's model is: as the scenario says, else its answer's price, else its output's list price."""
    return np.array(
        [
            route.strength
            if route.strength is not None
            else route.usd_per_query.mean
            if route.usd_per_query is not None
            else rates.listed[r]
            for r, route in enumerate(scenario.routes)
        ]
    )


def price_answers(scenario: Scenario, draws: Draws, use: Use, rates: Rates) -> Answers:
    """What one answer costs on each route and in each state."""
    values, routes = draws.values, [route.name for route in scenario.routes]
    turns = use.tokens.shape[2]
    chance = np.zeros((len(draws), len(routes), turns))
    for r, route in enumerate(scenario.routes):
        chance[:, r, : route.turns.most] = route.turns.pmf(values[f"routes.{route.name}.turns"])
    levels = np.stack(
        [_columns(values, routes, name) for name in TOKENS] + [_columns(values, routes, "output_tokens")], axis=2
    )
    tokens = np.einsum("srt,rjtckx->srjckx", chance, use.tokens)
    tokens = tokens * levels[:, :, None, :, None, None]
    price = _columns(values, routes, "price")[:, :, None]
    sent = tokens[:, :, :, :WRITTEN].sum(axis=3)  # (s, r, 3, kinds, 2)
    new, read, output = (table[None, :, None] for table in (rates.new, rates.read, rates.output))
    saved = new - read  # (1, r, 1, 2) what a cached token spares
    dollars = (sent.sum(axis=3) * new).sum(axis=3) + (tokens[:, :, :, WRITTEN, NEW] * output).sum(axis=3)
    loop, in_time = (values[f"prompt_cache.{name}"][:, None, None] for name in ("loop_hit", "in_time"))
    cacheable = np.array([route.caches_prompts for route in scenario.routes], dtype=np.float64)[None, :, None]
    hit = {LOOP: loop * cacheable, PAST: in_time * cacheable}
    alive = np.zeros_like(hit[PAST] * np.ones((1, 1, 3)))
    alive[..., SAME] = hit[PAST][..., 0]  # the message before it left the fixed prompt in the cache too
    held = sum(sent[:, :, :, kind] * hit[kind][..., None] for kind in (LOOP, PAST))
    held = held + sent[:, :, :, STATIC] * alive[..., None]
    could = sent[:, :, :, STATIC] * (cacheable - alive)[..., None]
    flat = _flat_prices(scenario, values)
    return Answers(
        cold=price * (dollars - (held * saved).sum(axis=3)) + flat[:, :, None],
        warm=price * (could * saved).sum(axis=3),
        sent=sent.sum(axis=(3, 4)),
        read=np.asarray(held).sum(axis=3),
        warmed=could.sum(axis=3),
        spread=_spread(scenario, use),
    )


def run_policy(made: World, policy: Policy) -> Outcome:
    """Send every message where the policy says, and add up what follows."""
    scenario, draws = made.scenario, made.draws
    values = draws.values
    weights = weights_of(made, policy)
    reached = 1.0 - values["answer_cache"]
    served = serve(
        scenario, weights * reached[:, None, None, None], made.ways, made.good,
        again=policy.again(scenario, draws), handoff=made.handoff, reask=values["bad_answer.reask"],
    )  # fmt: skip
    load = served.answers.sum(axis=(1, 3))  # (s, r) answers per message
    warm = warmth(made, load)[:, :, None]
    cost = made.answers.cold - warm * made.answers.warm
    usd = np.einsum("skrj,srj->skr", served.answers, cost)
    read = made.answers.read + warm * made.answers.warmed
    sent_total = np.einsum("skrj,srj->s", served.answers, made.answers.sent)
    read_total = np.einsum("skrj,srj->s", served.answers, read)
    rows = np.arange(len(scenario.queries))
    arrived = np.maximum(reached, np.finfo(np.float64).tiny)
    return Outcome(
        usd=usd.sum(axis=2),
        spend=usd.sum(axis=1),
        square=np.einsum("skrj,srj->sk", served.answers, cost**2 * made.answers.spread),
        roads=served.roads.sum(axis=1),
        accuracy=served.roads[:, rows, scenario.needs].sum(axis=1) / arrived,
        good=served.good.sum(axis=1) / arrived,
        reasks=served.reasks,
        unanswered=served.unanswered,
        cached=np.divide(read_total, sent_total, out=np.zeros_like(read_total), where=sent_total > 0),
        answers=load,
        served=served,
    )


def weights_of(made: World, policy: Policy) -> Floats:
    """(s, k, r, 3) where a policy sends the messages of every world; see `message_weights`."""
    draws = made.draws
    stickiness = draws.values["conversation.stickiness"]
    return message_weights(
        draws.mix,
        policy.sends(made.scenario, draws),
        messages=np.maximum(draws.values["conversation.messages"], 1.0),
        same_need=draws.values["conversation.same_need"],
        stickiness=stickiness if policy.sticky else np.zeros(len(draws)),
    )


def warmth(made: World, load: Floats) -> Floats:
    """(s, r) P(traffic has kept a route's fixed prompt in the cache), over the hours of the day weighed by their traffic.

    load: (s, r) answers per message. Arrivals are Poisson; a prefix lives from its last use on.
    """
    scenario = made.scenario
    hours = np.array(scenario.traffic_by_hour) / sum(scenario.traffic_by_hour)
    per_minute = made.draws.values["queries_per_month"][:, None] * load / made.rates.days / MINUTES_PER_HOUR
    arrivals = per_minute[:, :, None] * hours * scenario.prompt_cache.minutes
    return np.asarray((hours * -np.expm1(-arrivals)).sum(axis=2))


def _columns(values: Mapping[str, Floats], routes: list[str], name: str) -> Floats:
    return np.stack([values[f"routes.{route}.{name}"] for route in routes], axis=1)


def _flat_prices(scenario: Scenario, values: Mapping[str, Floats]) -> Floats:
    """(s, r) dollars of an answer where the route states them."""
    flat = np.zeros((len(values["queries_per_month"]), len(scenario.routes)))
    for r, route in enumerate(scenario.routes):
        if route.usd_per_query is not None:
            at = f"routes.{route.name}"
            flat[:, r] = route.usd_per_query.mean * values[f"{at}.usd_per_query"] * values[f"{at}.price"]
    return flat


def _spread(scenario: Scenario, use: Use) -> Floats:
    """(r, 3) mean square over squared mean of an answer's dollars, over its central number of calls; 1 where unknown."""
    out = np.ones(use.square.shape[:2])
    for r, route in enumerate(scenario.routes):
        if route.usd_per_query is not None:
            mean, square = np.array([route.usd_per_query.mean]), np.array([route.usd_per_query.amount.mean_square])
        else:
            pmf = route.turns.pmf(np.array([route.turns.level.value]))[0]
            mean, square = use.usd[r, :, : len(pmf)] @ pmf, use.square[r, :, : len(pmf)] @ pmf
        out[r] = np.divide(square, mean**2, out=np.ones_like(mean), where=mean > 0)
    return out
