"""The first scenario of a product: a route table written out as TOML, with a comment wherever a person must think."""

from __future__ import annotations

import json
from datetime import date

from eval.simulate.circles import circle
from router.routes import RouteTable
from router.types import Route

CHEAP_SHARE = 0.5  # half to the cheap route: no better than a guess, and the file says so
COLUMN = 30  # at which comments begin, where what they explain is no longer
DECIMALS = 6  # of the shares; the last class takes what rounding leaves
HEAD = """\
# A first scenario, made from a route table: it adds up, but the numbers marked REPLACE are nobody's yet.
# A number may be a range, { low = 2, high = 4 }, that is believed to hold nine times in ten; tokens and milliseconds may
# differ from query to query, { median = 130, p95 = 420, off_by = 1.3 }. docs/scenarios.md explains every key.
"""
ROUTER = """\
[router]
# How often the router takes the road that a query needs. REPLACE by what `weighbridge evaluate` says of your own test
# queries, or by `counts`, a CSV of where they went, with the `threshold` that the router has.
accuracy = { low = 0.8, high = 0.95 }
decision_ms = 8               # to decide one query: measure it on your machine
usd_per_month = 0             # the machine that the router runs on
"""
TALK = """\
[conversation]                # neutral: every message is a conversation of its own
messages = 1                  # the mean number in a conversation; more of them make `history_tokens` of the routes count
same_need = 0                 # P(a follow-up is of the kind of the message before it)
stickiness = 0                # P(a follow-up stays on its road, whatever the router says)

[prompt_cache]                # neutral: no route has `caches_prompts = true`, so that none of this counts
minutes = 5                   # how long a provider keeps a prefix
in_time = 0                   # P(the next message of a conversation comes within that)
loop_hit = 1                  # P(a call within one answer finds what the call before it sent)
"""
BAD_ANSWER = """\
[bad_answer]                  # neutral: an answer is good where an able road gave it, and nobody asks twice
right = 1                     # P(good answer) on the road that a query needs
strong = 1                    # ... on one whose model is abler than needed
weak = 0                      # ... on one whose model is not able enough: look at some, as { low = 0.3, high = 0.6 }
sideways = 0                  # ... on another road with a model of the same strength
reask = 0                     # P(the person asks again after a bad answer), and then the right road answers
"""
ROUTES = """\
# Where queries can go. Tokens are the route table's, all in one call and none of them cached. For an agent that works in
# several turns, say what one call holds (system_tokens, tool_schema_tokens, tool_result_tokens), and `turns`.

[route_defaults]              # what every route has that does not say otherwise
turns = 1                     # model calls of one answer: { mean = { low = 2, high = 3 }, most = 8 } for an agent
caches_prompts = false        # true where the provider caches prefixes and you ask for it
failed_attempts = 0           # the share of attempts that fail, as { low = 0.003, high = 0.015 }
retries = 1                   # further attempts, before the fallback
handoff = 0                   # P(a road that got a query which another one needs hands it over)
"""
LAST = """\
# [targets]                   # what you would call a success: take the # away from what you mean
# saving = 0.4                # of the first baseline's bill
# usd_per_query = 0.0005
# usd_per_month = 1000
# latency_ms_p95 = 2000
# routing_accuracy = 0.9
# good_answers = 0.95

[left_out]                    # what the numbers do not hold; it is shown beside them
notes = ["a first scenario: shares of queries, tokens and the router's accuracy are still to be replaced"]
"""


def starting_scenario(table: RouteTable, *, name: str, month: date) -> str:
    """The TOML of a scenario that `read_scenario` takes as it is, from a route table.

    Each route that is cheap or a desk gets a class of queries: half of all the cheap one, the others the rest in equal
    parts (the safe route, where there is no desk).   month: any day of it, as the table's `price_date`.
    """
    head = [
        HEAD,
        f"name = {_text(name)}",
        f"title = {_text(f'{name}: a first scenario')}",
        _line(f"month = {month.replace(day=1)}", "prices are those of its days"),
        _line("months = 1", "how many months to simulate, one after another"),
        _line("growth_per_month = 0", "0.05 for five per cent more queries from month to month"),
        _line("queries_per_month = { low = 80_000, high = 125_000 }", "REPLACE by what your product gets"),
    ]
    usd = _line(f"usd = {_number(table.policy.wrong_cheap_usd)}", "a bad answer beside the bill: from the route table")
    parts = ("\n".join(head), _queries(table), ROUTER, TALK, BAD_ANSWER + usd, _routes(table), _baselines(table), LAST)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _queries(table: RouteTable) -> str:
    others = [route.name for route in table.routes if route.desk is not None and route.name != table.cheap]
    if not others and table.safe != table.cheap:
        others = [table.safe]
    shares = [CHEAP_SHARE if others else 1.0, *(round((1.0 - CHEAP_SHARE) / len(others), DECIMALS) for _ in others)]
    shares[-1] = round(1.0 - sum(shares[:-1]), DECIMALS)
    blocks = [
        "# What is asked. REPLACE every share: for a start, half of all queries are simple and the desks share the rest.\n"
        "# The shares must add up to 1, unless one is a range."
    ]
    for name, share in zip((table.cheap, *others), shares, strict=True):
        part = _line(f"share = {_number(share)}", "REPLACE")
        needs = _line(f"needs = {_text(name)}", "the least dear route that answers them well")
        blocks.append(f"[[queries]]\nname = {_text(name)}\n{part}\n{needs}")
    return "\n\n".join(blocks)


def _routes(table: RouteTable) -> str:
    chosen = _fallbacks(table)
    return "\n\n".join([ROUTES.rstrip("\n"), *(_route(route, chosen[route.name]) for route in table.routes)])


def _route(route: Route, fallback: str | None) -> str:
    latency = f"{{ median = {_number(route.latency_ms_p50)}, p95 = {_number(route.latency_ms_p95)} }}"
    lines = [
        "[[routes]]",
        f"name = {_text(route.name)}",
        _line(f"model = {_text(route.model)}", "as datasets/prices.json names it"),
        f"provider = {_text(route.provider)}",
        _line(f"tier = {_text(route.tier)}", "the batch tier is for answers that nobody waits for"),
        _line(f"message_tokens = {_number(route.input_tokens)}", "REPLACE by what your prompts hold"),
        _line(f"output_tokens = {_number(route.output_tokens)}", "REPLACE by what your answers hold"),
        _line(f"call_ms = {latency}", "of one call: REPLACE by what you measured"),
        _fallback_line(route, fallback),
    ]
    return "\n".join(lines)


def _fallbacks(table: RouteTable) -> dict[str, str | None]:
    """For each route the first of its fallbacks that closes no circle with those chosen before it."""
    chosen: dict[str, str | None] = {}
    for route in table.routes:
        ends = (name for name in route.fallback if not circle({**chosen, route.name: name}))
        chosen[route.name] = next(ends, None)
    return chosen


def _fallback_line(route: Route, chosen: str | None) -> str:
    passed = route.fallback[: route.fallback.index(chosen)] if chosen is not None else route.fallback
    said = f"fallback = {_text(chosen or '')}"
    if not passed:
        return _line(said, "where a query goes when its attempts fail" if chosen else "none: then a fixed message")
    return _line(said, f"left out, as the fallbacks would go in a circle: {', '.join(map(_text, passed))}")


def _baselines(table: RouteTable) -> str:
    blocks = ["# What routing is compared with. Savings are those beside the first: put there what you run today."]
    for name in dict.fromkeys((table.safe, table.cheap)):
        blocks.append(f"[[baselines]]\nname = {_text(f'every query to {name}')}\nroute = {_text(name)}")
    perfect = _line('name = "a perfect router"', "neither `route` nor `sends`: each query to the road it needs")
    return "\n\n".join([*blocks, f"[[baselines]]\n{perfect}"])


def _line(code: str, comment: str) -> str:
    return f"{code:<{COLUMN - 1}} # {comment}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _text(value: str) -> str:
    """A basic string of TOML: JSON's, but that DEL may not stand there as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
