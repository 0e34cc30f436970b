"""Make the SIMULATED outcome table of datasets/pam-outcomes-v1: no model was called, every score and dollar is invented.

    python benchmarks/simulate_outcomes.py --out datasets/pam-outcomes-v1/simulated-outcomes.csv

1,200 of pam-v1's queries (edition 1.0.0) by four models that do not exist. Whether a model answers well is drawn from a logistic model:

    P(good) = 0 for the share HOPELESS of queries, else
    P(good) = (1 − SLIP) × sigmoid(skill + strength[domain] − foreign × [not English] − burden × load)
    load    = COMPLEX × [complex] + HURRY × [urgency high] + LENGTH × doublings of the length + SPREAD × z(query)

z(query) is a standard normal draw that the four models share. It stands nowhere in the text, nor does who is hopeless:
that no router can know. All else can be read off the text, or learned. Tokens are lognormal by complexity, dollars
follow from invented prices, latency from tokens. A cell's draws hang on the seed, its query's id and its model alone
(through SHA-256, not a random generator), so they are the same on any machine, in any order and in any company.

The constants were chosen together so that the cheapest model answers some 55 % well, the dearest 88 % and the oracle
95 %, and so that logistic regression on the embedding gets some two thirds of the oracle's APGR (on MMLU it is a half).
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

from router.dataset import load_dataset
from router.errors import DataError
from router.files import sha256_bytes, write_atomic
from router.rows import SPLITS
from router.types import Query

PAM = Path(__file__).resolve().parent.parent / "datasets" / "pam-v1"
QUERIES = 1_200  # enough for a router to learn something; as CSV with the texts in it, below 1 MB
SEED = 0
NEEDED = ("complexity", "domain", "urgency")  # labels that the simulation looks at: a contested one leaves a query out
COLUMNS = (
    "query_id", "model", "score", "cost_usd", "input_tokens", "output_tokens", "latency_ms", "dataset", "split", "query",
)  # fmt: skip

# What makes a query hard, in logits of a model with burden 1.
COMPLEX = 4.0  # by the labelling guide a complex query needs tools or several steps: the main thing a router can learn
HURRY = 0.3  # urgent messages are terse and leave out what the answer would need; small, as they are few
LENGTH = 0.25  # per doubling of the number of words: more to get wrong; kept small, so that length alone routes badly
LAST = "pam-08779"  # of the edition of pam-v1 that the shipped table was made from
USUAL_WORDS = 14  # the median of pam-v1: such a message is neither long nor short
MAX_DOUBLINGS = 2  # one word is not much easier than four, nor a pasted post harder than a long message
SPREAD = 1.0  # deviation of what the text does not tell; shared, so that models fail together as real ones do
HOPELESS = 0.03  # asks for what nobody could know; without such queries the oracle would come near to 1
SLIP = 0.02  # any model, any query: a refusal, a wrong format, a judge's mistake

# Calls that went wrong, so that readers meet missing cells: together a few per mille.
NO_ANSWER = 0.003  # timed out: no score, tokens, dollars or latency
NO_USAGE = 0.002  # answered and scored, but the usage was not reported: no tokens and no dollars

# Lognormals: median tokens by complexity, deviation of the logarithm for what the models share and for each alone.
INPUT = {"simple": 450, "complex": 1_300}  # instructions and profile; a complex query brings tool results with it
OUTPUT = {"simple": 110, "complex": 380}  # a sentence or two; a plan or an analysis
INPUT_SPREAD = 0.25  # how much context stands before the query: the same for all models
OUTPUT_SPREAD = 0.35  # how much the question asks for, shared by the models
OWN_SPREAD = 0.25  # how much each makes of it
JITTER = 0.20  # of the latency: network and load

NORMAL = NormalDist()
POINTS = 64  # of the hidden difficulty, at equal ranks: their mean stands for the integral over it
HEX_DIGITS = 13  # 52 bits: with the half that is added, a double holds them exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedModel:
    """A model that does not exist. Prices are USD per million tokens, in a real ladder's ratio of 1 : 4 : 15 : 50.

    skill: logit of answering a simple English query of usual length well.   burden: how much of a query's load it feels.
    foreign: logits lost outside English.   strength: logits by domain, else 0; they cross, so that none is best everywhere.
    verbosity: its output length, relative to the medians.   latency: first_ms until the first token, token_ms for each.
    """

    name: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    skill: float
    burden: float
    foreign: float
    verbosity: float
    first_ms: float
    token_ms: float
    strength: Mapping[str, float] = field(default_factory=dict)


# Up the ladder skill rises a little and burden falls a lot: simple queries all models answer much alike, complex ones not.
# Small models lose more outside English. Dearer ones write more, and more slowly.
MODELS = (
    SimulatedModel(
        name="sim-feather", input_usd_per_mtok=0.1, output_usd_per_mtok=0.4, skill=3.0, burden=1.0, foreign=1.5,
        verbosity=0.95, first_ms=150, token_ms=4,
        strength={"general": 2.2, "dashboard": 0.6, "trip": -0.4, "budget": -0.7},  # chat and look-ups, no sums, no maps
    ),
    SimulatedModel(
        name="sim-light", input_usd_per_mtok=0.4, output_usd_per_mtok=1.6, skill=3.1, burden=0.85, foreign=0.8,
        verbosity=1.0, first_ms=220, token_ms=6,
        strength={"budget": 2.2, "community": -0.7, "out_of_scope": -0.8},  # good with figures: beats the next one there
    ),
    SimulatedModel(
        name="sim-medium", input_usd_per_mtok=1.5, output_usd_per_mtok=6.0, skill=3.4, burden=0.72, foreign=0.4,
        verbosity=1.05, first_ms=350, token_ms=10,
        strength={"community": 2.0, "out_of_scope": 2.0, "budget": -0.7},  # tactful: moderates and declines well
    ),
    SimulatedModel(
        name="sim-heavy", input_usd_per_mtok=5.0, output_usd_per_mtok=20.0, skill=3.5, burden=0.35, foreign=0.1,
        verbosity=1.15, first_ms=600, token_ms=16,
        strength={"trip": 1.1, "general": -1.1, "out_of_scope": -2.2},  # plans well; answers what it should decline
    ),
)  # fmt: skip


def main() -> None:
    """Write the table and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="The CSV file to write.")
    parser.add_argument("--seed", type=int, default=SEED, help="The shipped table is that of 0.")
    asked = parser.parse_args()
    queries = choose(load_dataset(PAM).where(lambda query: query.query_id <= LAST).queries, QUERIES)
    write_atomic(asked.out, table_text(queries, seed=asked.seed))
    print(f"{asked.out}: {len(queries):,} queries, {len(MODELS)} models, all SIMULATED")


def choose(queries: Sequence[Query], n: int) -> list[Query]:
    """n of the queries whose needed labels are all agreed on, in the order of their ids.

    Every so-manieth of a list sorted by split, language, domain and complexity: all of them keep their shares. Within
    these, and so in who is taken, the order is that of a hash. Raises DataError where there are not n.
    """
    agreed = [query for query in queries if all(query.labels.heads[head] is not None for head in NEEDED)]
    if len(agreed) < n:
        raise DataError(
            f"{len(agreed):,} queries have all of {', '.join(NEEDED)}; wanted {n:,}."
            " `weighbridge data stats` counts the labels."
        )
    ranked = sorted(agreed, key=_stratum)
    return sorted((ranked[(2 * i + 1) * len(ranked) // (2 * n)] for i in range(n)), key=lambda query: query.query_id)


def _stratum(query: Query) -> tuple[int, str, str, str, float]:
    return (
        SPLITS.index(query.split or ""),
        query.language or "",
        label(query, "domain"),
        label(query, "complexity"),
        uniform("chosen", query.query_id),
    )


def label(query: Query, head: str) -> str:
    """The query's label, which is agreed on."""
    found = query.labels.heads[head]
    assert found is not None
    return found


def table_text(queries: Sequence[Query], *, seed: int) -> str:
    """The CSV: a row per query and model, the models from the cheapest to the dearest; an empty cell is missing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(query, model, seed=seed) for query in queries for model in MODELS)
    return text.getvalue()


def row(query: Query, model: SimulatedModel, *, seed: int) -> dict[str, str | int | float | None]:
    """One cell of the table, simulated."""
    known: dict[str, str | int | float | None] = {
        "query_id": query.query_id,
        "model": model.name,
        "dataset": label(query, "domain"),
        "split": query.split,
        "query": query.text,
    }
    if uniform(seed, query.query_id, model.name, "answer") < NO_ANSWER:
        return known
    tokens_in, tokens_out = tokens(query, model, seed=seed)
    known["score"] = int(uniform(seed, query.query_id, model.name, "score") < probability(query, model, seed=seed))
    jitter = math.exp(JITTER * normal(seed, query.query_id, model.name, "latency"))
    known["latency_ms"] = round((model.first_ms + model.token_ms * tokens_out) * jitter)
    if uniform(seed, query.query_id, model.name, "usage") < NO_USAGE:
        return known
    dollars = (tokens_in * model.input_usd_per_mtok + tokens_out * model.output_usd_per_mtok) / 1e6
    return known | {"input_tokens": tokens_in, "output_tokens": tokens_out, "cost_usd": f"{dollars:.7f}"}


def probability(query: Query, model: SimulatedModel, *, seed: int) -> float:
    """P(good answer), the query's hidden draws known: what the score is drawn from."""
    if uniform(seed, query.query_id, "hopeless") < HOPELESS:
        return 0.0
    return _good(query, model, hidden=SPREAD * normal(seed, query.query_id, "difficulty"))


def visible_probability(query: Query, model: SimulatedModel) -> float:
    """P(good answer) for one who knows the labels, the language and the length alone: the best that a router can learn."""
    ranks = ((i + 0.5) / POINTS for i in range(POINTS))
    return (1 - HOPELESS) * math.fsum(_good(query, model, hidden=SPREAD * NORMAL.inv_cdf(p)) for p in ranks) / POINTS


def _good(query: Query, model: SimulatedModel, *, hidden: float) -> float:
    doublings = math.log2(len(query.text.split()) / USUAL_WORDS)
    load = (
        COMPLEX * (label(query, "complexity") == "complex")
        + HURRY * (label(query, "urgency") == "high")
        + LENGTH * max(-MAX_DOUBLINGS, min(MAX_DOUBLINGS, doublings))
        + hidden
    )
    able = model.skill + model.strength.get(label(query, "domain"), 0.0) - model.foreign * (query.language != "en")
    return (1 - SLIP) / (1 + math.exp(model.burden * load - able))


def tokens(query: Query, model: SimulatedModel, *, seed: int) -> tuple[int, int]:
    """Input and output tokens of one call."""
    kind, key = label(query, "complexity"), query.query_id
    context = math.exp(INPUT_SPREAD * normal(seed, key, "input"))
    asked = OUTPUT_SPREAD * normal(seed, key, "output")
    own = OWN_SPREAD * normal(seed, key, model.name, "output")
    return round(INPUT[kind] * context), max(1, round(OUTPUT[kind] * model.verbosity * math.exp(asked + own)))


def uniform(*key: object) -> float:
    """A number in (0, 1) that looks random and is the same for the same key on any machine."""
    digest = sha256_bytes("\n".join(map(str, key)).encode("utf-8"))
    return (int(digest[:HEX_DIGITS], 16) + 0.5) / 16.0**HEX_DIGITS


def normal(*key: object) -> float:
    """A standard normal number for a key."""
    return NORMAL.inv_cdf(uniform(*key))


if __name__ == "__main__":
    main()
