"""Boilerplate: lines that many prompts of a table share (few-shot examples, answer formats), and queries without them.

An encoder that is cut at 256 tokens sees little else of a long prompt, so there the question is what is kept; a text that
fits is left whole. The lines are learned from training prompts alone; what is left of a query depends on that query alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 0.02  # of the training prompts: rarer lines may well be somebody's question
FEWEST = 10  # prompts
FITS = 800  # characters, some 200 tokens: a text up to here is seen whole


@dataclass(frozen=True)
class Boilerplate:
    """lines: what is taken out, stripped of white space at both ends."""

    lines: frozenset[str]

    def strip(self, text: str) -> str:
        """A long text without the known lines; the whole text where nothing with a letter or digit would be left.

        >>> Boilerplate(frozenset({"An example." * 100})).strip("An example." * 100 + "\\nWhy is the sky blue?")
        'Why is the sky blue?'
        """
        if len(text) <= FITS or not self.lines:
            return text
        kept = "\n".join(line for line in text.split("\n") if line.strip() not in self.lines).strip()
        return kept if any(char.isalnum() for char in kept) else text

    def strip_all(self, texts: Sequence[str]) -> list[str]:
        """The n texts without the known lines."""
        return [self.strip(text) for text in texts]


def learn_boilerplate(texts: Sequence[str]) -> Boilerplate:
    """The lines that stand in at least 2 % of the different texts, and in ten of them; only long texts are looked at.

    A text of a single line is its own question and takes no part, so a popular question is never taken for boilerplate.
    """
    different = dict.fromkeys(texts)
    counts: Counter[str] = Counter()
    for text in (text for text in different if len(text) > FITS):
        lines = {line.strip() for line in text.split("\n")}
        if len(lines) > 1:
            counts.update(lines)
    enough = max(FEWEST, SHARE * len(different))
    return Boilerplate(frozenset(line for line, count in counts.items() if line and count >= enough))
