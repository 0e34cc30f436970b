"""A text's tokens, word by word where a tokenizer treats every word by itself.

BERT's tokenizers cut a text at blanks and around every punctuation mark and cut each piece on its own: the tokens of a text
are those of its pieces, one after the other, and most pieces came before. What an ordinary keyboard of Western Europe does
not write goes through the tokenizer itself, and so does every text of another kind of tokenizer.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

from router.compiled.words import WordMemory

LETTERS = r"A-Za-z0-9À-ÖØ-öø-ÿ"
MARKS = re.escape("""!"#$%&'()*+,-./:;<=>?@\\]^_`{|}~¿¡’‘“”…–—""")  # all of them; but "[", which opens special tokens
PLAIN = re.compile(rf"[{LETTERS}{MARKS} \t\r\n]*")
PIECE = re.compile(rf"[{LETTERS}]+|[{MARKS}]")


class Tokens:
    """The tokens of a text, cut at the encoder's limit, as the `tokenizer.json` in the file `path` says."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)
        frame = self._tokenizer.encode("").ids  # what stands around every text
        half = (len(frame) + 1) // 2
        self._head, self._tail = frame[:half], frame[half:]
        self._room = max_tokens - len(frame)
        self._pieces = WordMemory(self._of_piece)
        self._by_piece = treats_pieces_alone(self._tokenizer)

    def of(self, text: str) -> list[int]:
        """At most `max_tokens` of them."""
        if self._by_piece and PLAIN.fullmatch(text):
            found = list(chain.from_iterable(self._pieces.of(PIECE.findall(text))))
            if len(found) <= self._room:
                return [*self._head, *found, *self._tail]
        return list(self._tokenizer.encode(text).ids)

    def _of_piece(self, piece: str) -> list[int]:
        return list(self._tokenizer.encode(piece, add_special_tokens=False).ids)


def treats_pieces_alone(tokenizer: Any) -> bool:  # Any: tokenizers.Tokenizer, which has no types
    """Whether a tokenizer is of the kind whose pieces can be cut one by one."""
    kinds = [type(part).__name__ for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)]
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and not any(map(PLAIN.fullmatch, special))
