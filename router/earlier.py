"""What was said before: a conversation's earlier messages as features of the last one, never pasted in front of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.encoders.protocol import Encoder, Matrix, sentence_part

LOOK_BACK = 3  # messages; what was said before them says little of "and next week?"
FADE = 0.5  # how much a message counts beside the one after it
BRIEF_WORDS = 4.0  # a message of this many words leans half as much on what came before as an empty one would

Contexts = Sequence[Sequence[str]]


def earlier_rows(contexts: Contexts, encoder: Encoder) -> Matrix:
    """(n, sentence_dim) the fading mean of the sentence embeddings of each query's last earlier messages; zeros for none.

    contexts: for each of n queries the user's earlier messages, oldest first. Each message is embedded by itself, so a
    message that was once a query costs nothing where embeddings are kept.
    """
    recent = [list(context)[-LOOK_BACK:] for context in contexts]
    rows = np.zeros((len(recent), encoder.spec.sentence_dim), dtype=np.float32)
    distinct = list(dict.fromkeys(message for messages in recent for message in messages))
    if not distinct:
        return rows
    place = {message: i for i, message in enumerate(distinct)}
    vectors = sentence_part(encoder.encode(distinct), encoder.spec)
    for i, messages in enumerate(recent):
        if messages:
            weights = FADE ** np.arange(len(messages) - 1, -1, -1, dtype=np.float32)
            rows[i] = (weights / weights.sum()) @ vectors[[place[message] for message in messages]]
    return rows


def brevity(texts: Sequence[str]) -> Matrix:
    """(n, 1) in (0, 1]: near 1 for a word or two, which mean little alone; near 0 for a message that stands by itself.

    >>> brevity(["why", "a question of four"]).ravel().tolist()
    [0.800000011920929, 0.5]
    """
    words = np.array([len(text.split()) for text in texts], dtype=np.float32)
    return (1.0 / (1.0 + words / np.float32(BRIEF_WORDS)))[:, None].astype(np.float32)
