"""Near-duplicates are found and tied into groups; groups and personas are dealt to splits whole."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from router.dataset import Dataset
from router.errors import DataError
from router.types import Query

SHINGLE = 4  # characters; shorter shingles tie unrelated greetings together
GROUP_ABOVE = 0.5  # Jaccard of shingles: from here on two texts say the same with small changes
SHARES: Mapping[str, float] = {"train": 0.6, "calibration": 0.15, "test": 0.25}


def shingles(text: str) -> frozenset[str]:
    """The set of character 4-grams of a text, case and white space folded.

    >>> sorted(shingles("Hi  You"))
    [' hi ', ' you', 'hi y', 'i yo', 'you ']
    """
    folded = f" {' '.join(text.casefold().split())} "
    return frozenset(folded[i : i + SHINGLE] for i in range(max(1, len(folded) - SHINGLE + 1)))


def similar_pairs(texts: Sequence[str], *, above: float = GROUP_ABOVE) -> list[tuple[int, int, float]]:
    """All pairs (i < j, similarity) of texts whose shingles overlap by at least `above` (Jaccard).

    An inverted index of each text's rarest shingles proposes the candidates. None is missed: two texts that overlap by
    `above` share so many shingles that they cannot all lie outside the rarest ones of either.
    """
    sets = [shingles(text) for text in texts]
    count = Counter(gram for grams in sets for gram in grams)
    posting: dict[str, list[int]] = defaultdict(list)
    pairs: list[tuple[int, int, float]] = []
    for j in sorted(range(len(sets)), key=lambda index: len(sets[index])):
        grams = sets[j]
        least = math.ceil(above * len(grams) - 1e-9)  # shingles that a text as similar as that shares with this one
        rarest = sorted(grams, key=lambda gram: (count[gram], gram))[: len(grams) - least + 1]
        for i in {i for gram in rarest for i in posting[gram] if len(sets[i]) >= least}:
            shared = len(grams & sets[i])
            similarity = shared / (len(grams) + len(sets[i]) - shared)
            if similarity >= above:
                pairs.append((min(i, j), max(i, j), similarity))
        for gram in rarest:
            posting[gram].append(j)
    return sorted(pairs)


def components(n: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Union-find: the n component numbers (each the smallest member) of a graph given by its edges.

    >>> components(4, [(0, 2), (2, 3)])
    [0, 1, 0, 0]
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(i) for i in range(n)]


def with_groups(dataset: Dataset) -> Dataset:
    """Give near-duplicates, and queries that share a group already, one group name: the id of the first of them.

    A query on its own gets none.
    """
    pairs = [(i, j) for i, j, _ in similar_pairs(dataset.conversations)]
    first: dict[str, int] = {}
    pairs += [(first.setdefault(query.group, j), j) for j, query in enumerate(dataset.queries) if query.group]
    roots = components(len(dataset), pairs)
    size = Counter(roots)
    queries = [
        replace(query, group=dataset.queries[root].query_id if size[root] > 1 else None)
        for query, root in zip(dataset.queries, roots, strict=True)
    ]
    return replace(dataset, queries=tuple(queries))


def with_splits(dataset: Dataset, *, seed: int, shares: Mapping[str, float] = SHARES) -> Dataset:
    """Deal queries to splits so that no group and no persona stands in two; who has a split already keeps it.

    Within each language, the units (personas joined by shared groups) are dealt in random order, each to the split
    that is furthest below its share. Raises DataError if the shares do not add up to 1, or if a unit straddles splits.
    """
    if abs(sum(shares.values()) - 1.0) > 1e-9 or min(shares.values()) < 0:
        raise DataError(f"split shares are {dict(shares)}; wanted fractions that add up to 1.")
    unit_of = units(dataset.queries)
    members: dict[int, list[int]] = defaultdict(list)
    for index, unit in enumerate(unit_of):
        members[unit].append(index)
    split_of = {unit: _kept_split(dataset, members[unit]) for unit in members}
    rng = np.random.default_rng(seed)
    strata: dict[str, list[int]] = defaultdict(list)
    for unit in sorted(members):
        languages = Counter(dataset.queries[i].language or "" for i in members[unit])
        strata[min(languages, key=lambda name: (-languages[name], name))].append(unit)
    for stratum in sorted(strata):
        total = sum(len(members[unit]) for unit in strata[stratum])
        filled: dict[str, int] = dict.fromkeys(shares, 0)
        for unit in strata[stratum]:
            kept = split_of[unit]
            if kept is not None and kept in filled:
                filled[kept] += len(members[unit])
        for unit in rng.permutation([unit for unit in strata[stratum] if split_of[unit] is None]).tolist():
            choice = max(shares, key=lambda name: shares[name] - filled[name] / total)
            filled[choice] += len(members[unit])
            split_of[unit] = choice
    queries = [replace(query, split=split_of[unit]) for query, unit in zip(dataset.queries, unit_of, strict=True)]
    return replace(dataset, queries=tuple(queries))


def _kept_split(dataset: Dataset, members: Sequence[int]) -> str | None:
    """The split that a unit stands in already; None for a new one."""
    kept = {split for i in members if (split := dataset.queries[i].split) is not None}
    if len(kept) > 1:
        first = dataset.queries[members[0]]
        raise DataError(
            f"persona or group of query {first.query_id!r} stands in splits {sorted(kept)}; take it out of all but one, then `weighbridge data split`."
        )
    return kept.pop() if kept else None


def units(queries: Sequence[Query]) -> list[int]:
    """The n unit numbers that no split or fold may tear apart: personas joined by shared groups."""
    first: dict[tuple[str, str], int] = {}
    edges: list[tuple[int, int]] = []
    for index, query in enumerate(queries):
        for key in (("persona", query.persona), ("group", query.group)):
            if key[1]:  # neither null nor empty
                edges.append((first.setdefault((key[0], key[1]), index), index))
    return components(len(queries), edges)
