"""Small changes of a text that leave its meaning: what a router should not care about.

The changes are made by rule, not by people. Words are English; the other kinds work in any script. A change of case or
of line breaks can matter in code, and two clauses swapped can shift an emphasis: look at examples before you blame a router.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.errors import DataError
from router.rows import text_problem

KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
TYPO_LETTERS = 4  # of a word that gets a typo: in shorter ones it often makes another word
LETTERS_PER_TYPO = 40
MOST_TYPOS = 3
CLAUSE_WORDS = 3  # on either side of a connector; with fewer it joins words, not clauses
STRETCHED = 0.3  # of the gaps between words get more white space
FILLERS = ("um", "uh", "well", "basically", "so yeah", "like", "you know")
POLITE = ("please {}", "{} please", "hi, {}", "{}, thanks", "hello, {} thank you", "could you please help: {}")

CONNECTOR = re.compile(r"\s*,?\s+(?:and|because)\s+|\s*[,;]\s+", re.IGNORECASE)
PAIR = re.compile(r"\b(?:between|both|either)\b", re.IGNORECASE)  # then "and" joins two things, not two clauses
ENDINGS = " .?!\n\r\t"

Change = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbed:
    """n texts after one kind of change.   changed: (n,) whether it changed this one."""

    kind: str
    texts: tuple[str, ...]
    changed: npt.NDArray[np.bool_]


def perturb(texts: Sequence[str], kind: str, *, seed: int) -> Perturbed:
    """Change every text in one way. What becomes of a text depends on kind, seed and that text alone.

    A text stays as it is where the change does not apply, or where what comes out would be no query (too long).
    Raises DataError for a kind that is not known.
    """
    if kind not in PERTURBATIONS:
        raise DataError(f"perturbation {kind!r} is not known; wanted some of {', '.join(PERTURBATIONS)}.")
    made = tuple(_one(text, kind, seed) for text in texts)
    changed = np.array([new != old for new, old in zip(made, texts, strict=True)], dtype=bool)
    return Perturbed(kind=kind, texts=made, changed=changed)


def _one(text: str, kind: str, seed: int) -> str:
    key = hashlib.sha256(f"{seed}\0{kind}\0{text}".encode("utf-8", "surrogatepass")).digest()
    made = PERTURBATIONS[kind](text, np.random.default_rng(int.from_bytes(key[:16], "big")))
    return text if text_problem(made) else made


def typos(text: str, rng: np.random.Generator) -> str:
    """One slip in each of one to three words, by length: a neighbouring key, two letters swapped, or one left out.

    Numbers and short words are spared.
    """
    words = [match.span() for match in re.finditer(r"[^\W\d_]+", text) if len(match[0]) >= TYPO_LETTERS]
    letters = sum(char.isalpha() for char in text)
    most = min(MOST_TYPOS, 1 + letters // LETTERS_PER_TYPO, len(words))
    chosen = rng.choice(len(words), size=most, replace=False).tolist() if most else []
    for start, end in sorted((words[i] for i in chosen), reverse=True):
        text = text[:start] + _slip(text[start:end], rng) + text[end:]
    return text


def _slip(word: str, rng: np.random.Generator) -> str:
    position = int(rng.integers(len(word) - 1))
    here, following = word[position], word[position + 1]
    kinds = ["drop"]
    kinds += ["swap"] if here != following else []
    kinds += ["neighbour"] if here.lower() in NEIGHBOURS else []
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "swap":
        return word[:position] + following + here + word[position + 2 :]
    if kind == "drop":
        return word[:position] + word[position + 1 :]
    beside = NEIGHBOURS[here.lower()]
    other = beside[int(rng.integers(len(beside)))]
    return word[:position] + (other.upper() if here.isupper() else other) + word[position + 1 :]


def _neighbours() -> dict[str, str]:
    """Letter -> the letters on the keys beside, above and below it (each row stands half a key to the right)."""
    place = {letter: (x + y / 2, y) for y, row in enumerate(KEYBOARD) for x, letter in enumerate(row)}
    return {
        letter: "".join(
            other for other, (u, v) in place.items() if other != letter and abs(u - x) <= 1 and abs(v - y) <= 1
        )
        for letter, (x, y) in place.items()
    }


NEIGHBOURS: Mapping[str, str] = _neighbours()


def lower(text: str, _: np.random.Generator) -> str:
    """all in lower case."""
    return text.lower()


def upper(text: str, _: np.random.Generator) -> str:
    """ALL IN UPPER CASE."""
    return text.upper()


def title(text: str, _: np.random.Generator) -> str:
    """Each Word With A Capital; the rest of a word stays, so that "don't" and "RVs" keep their form."""
    return re.sub(r"\S+", lambda word: word[0][0].upper() + word[0][1:], text)


def whitespace(text: str, rng: np.random.Generator) -> str:
    """Some gaps doubled or broken into a new line, and something invisible at the end."""
    gaps = re.split(r"(\s+)", text)
    for i in range(1, len(gaps) - 1, 2):
        if rng.random() < STRETCHED:
            gaps[i] = (gaps[i] + " ", "\n")[int(rng.integers(2))]
    return "".join(gaps) + ("  ", "\n", " \n")[int(rng.integers(3))]


def filler(text: str, rng: np.random.Generator) -> str:
    """A word that says nothing, in front or in a gap between two words."""
    word = FILLERS[int(rng.integers(len(FILLERS)))]
    gaps = [match.end() for match in re.finditer(r"(?<=\w) (?=\w)", text)]
    place = int(rng.integers(len(gaps) + 1))
    if place == len(gaps):
        return f"{word}, {text}"
    return f"{text[: gaps[place]]}{word} {text[gaps[place] :]}"


def politeness(text: str, rng: np.random.Generator) -> str:
    """A greeting, a please or a thank-you around the text."""
    return POLITE[int(rng.integers(len(POLITE)))].replace("{}", text)


def clauses(text: str, _: np.random.Generator) -> str:
    """The two clauses around the only comma, "and" or "because" of a one-sentence text, swapped; else the text itself.

    >>> clauses("it will not start because the fuse is gone!", np.random.default_rng(0))
    'because the fuse is gone, it will not start!'
    """
    body = text.rstrip(ENDINGS)
    end = text[len(body) :]
    found = list(CONNECTOR.finditer(body))
    if len(found) != 1 or PAIR.search(body) or re.search(r"[.?!]\s|\n", body):
        return text
    first, second = body[: found[0].start()], body[found[0].end() :]
    if min(len(first.split()), len(second.split())) < CLAUSE_WORDS:
        return text
    if "because" in found[0][0].lower():
        return f"because {second}, {first}{end}"
    return f"{second}{found[0][0]}{first}{end}"


PERTURBATIONS: Mapping[str, Change] = {
    "typos": typos,
    "lower": lower,
    "upper": upper,
    "title": title,
    "whitespace": whitespace,
    "filler": filler,
    "politeness": politeness,
    "clauses": clauses,
}
