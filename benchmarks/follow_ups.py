"""What earlier messages, and staying on a route, are worth on follow-ups: route accuracy and changes of route.

    python benchmarks/follow_ups.py --bundle out/demo/bundle --data datasets/pam-v1 --split test

Three readings of the same follow-ups, paired: their words alone, their words in context, and in context with a route that
stays unless another saves more than a change costs. Before each follow-up the conversation stands where the router sent
the last message before it. Intervals by bootstrap over people.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.intervals import bootstrap_mean
from router.bundle import load
from router.dataset import load_dataset
from router.encoders.cache import CachedEncoder
from router.encoders.open import cache_directory
from router.policy import true_route
from router.stickiness import sticky

COSTS_USD = (0.0, 0.001, 0.002, 0.005, 0.01)  # of a change of route


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    router = load(asked.bundle)
    router = replace(router, encoder=CachedEncoder(router.encoder, cache_directory()))
    part = load_dataset(asked.data).split(asked.split).where(lambda query: bool(query.context))
    truth = [true_route(router.table, query.labels) for query in part.queries]
    kept = [i for i, route in enumerate(truth) if route is not None]
    names = router.table.names
    right = np.array([names.index(truth[i] or "") for i in kept])
    people = [part.queries[i].persona or part.queries[i].query_id for i in kept]
    texts = [part.texts[i] for i in kept]
    contexts = [part.contexts[i] for i in kept]
    before = np.array(
        [
            names.index(decision.route)
            for decision in router.decide_many([said[-1] for said in contexts], [said[:-1] for said in contexts])
        ]
    )
    alone = np.array([names.index(decision.route) for decision in router.decide_many(texts)])
    reading = router.read(texts, contexts)
    choices = router.policy.choose(reading.probabilities, novelty=reading.novelty)

    def line(what: str, routes: np.ndarray, against: np.ndarray | None) -> None:
        rng = np.random.default_rng(asked.seed)
        hits = (routes == right).astype(float)
        share = bootstrap_mean(hits, people, rng=rng)
        text = f"{what:42} {share.estimate:6.1%} [{share.interval.low:.1%}, {share.interval.high:.1%}]"
        text += f"  changes {np.mean(routes != before):5.1%}"
        if against is not None:
            gain = bootstrap_mean(hits - (against == right), people, rng=np.random.default_rng(asked.seed))
            text += f"  {gain.estimate:+.1%} [{gain.interval.low:+.1%}, {gain.interval.high:+.1%}]"
        print(text)

    print(f"{len(kept)} follow-ups of {len(set(people))} people, split {asked.split}; a route is right in ...")
    line("the words alone", alone, None)
    line("in context", choices.route, alone)
    for usd in COSTS_USD[1:]:
        stayed = sticky(router.policy, reading.probabilities, choices, before.tolist(), switch_usd=usd)
        line(f"in context, a change costs {usd:.3f} dollars", stayed.route, choices.route)


if __name__ == "__main__":
    main()
