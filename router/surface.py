"""Named surface features: what can be seen of a text without understanding it. Plain Python and NumPy.

Each feature is a count, a ratio or a flag with a name a person can read in an explanation. Closed-class words (wh-words,
negations, conjunctions) come in the four languages of the shipped data; nothing here knows any product's topics.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Match = Callable[[str], list[str]]

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def _words(listed: str) -> Match:
    return re.compile(rf"\b(?:{'|'.join(listed.split())})\b").findall


# Lower-cased word lists: English, then Spanish, German and French where the word class differs.
LEXICONS: dict[str, Match] = {
    "why_how": _words("why how wie warum weshalb wieso pourquoi comment cómo como porqué"),
    "what_which": _words(
        "what which whats what's qué que cuál cual was welche welcher welches quel quelle quels quelles quoi"
    ),
    "where_when_who": _words(
        "where when who wheres where's whens dónde donde cuándo quién wo wann wer où ou quand qui"
    ),
    "how_much_many": re.compile(
        r"\bhow (?:much|many|far|long|often|old|big)\b|\bcu[aá]nt[oa]s?\b|\bwie ?viele?\b|\bcombien\b"
    ).findall,
    "can_could": _words(
        "can could would will puedes podrías puede kannst könnte könntest kann peux pourrais peut pouvez"
    ),
    "want_need": _words(
        "want need wanna gotta must should have quiero necesito hay will brauche möchte muss soll veux besoin faut dois"
    ),
    "conjunctions": _words(
        "and then also plus after before while y luego después además und dann danach auch et puis ensuite aussi"
    ),
    "alternatives": _words("or vs versus either instead than rather o oder statt als ou sinon plutôt"),
    "conditions": _words(
        "if unless given assuming depending without within under between considering si sin wenn falls ohne unter sans sous entre selon"
    ),
    "contrast": _words(
        "but although though however except only just pero aunque solo aber obwohl nur mais sauf seulement"
    ),
    "reasons": _words("because since so cause cuz porque weil denn da parce car donc"),
    "negations": _words(
        "no not don't dont doesn't didn't won't can't cant never none nothing isn't wasn't nunca nada nicht kein keine nie pas jamais rien ne"
    ),
    "first_person": _words(
        "i my me i'm im we our us mine mi mis yo nos nuestro ich mein meine mich mir wir unser je j mon ma mes nous notre"
    ),
    "second_person": _words("you your u ur tu te ti usted du dein dir sie vous votre toi"),
    "comparatives": re.compile(
        r"\b(?:more|less|better|worse|cheaper|best|cheapest|most|least|worth|mejor|más|peor|menos|besser|billiger|mehr|günstiger|mieux|moins|meilleur|plus)\b|\b\w+est\b"
    ).findall,
    "quantifiers": _words(
        "all every each everything any both last past whole entire total todo todos cada alle alles jede ganze tous toutes chaque tout"
    ),
    "time_words": _words(
        "today tonight tomorrow now yesterday week weeks month months day days weekend year hoy mañana ahora semana mes días heute morgen jetzt woche monat tage aujourd demain maintenant semaine mois jours"
    ),
    "politeness": _words(
        "please thanks thank hello hi hey sorry dear gracias hola por bitte danke hallo merci bonjour salut svp"
    ),
    "haste": _words(
        "asap urgent urgently emergency immediately help quick hurry stuck stranded urgente ayuda emergencia dringend hilfe notfall sofort urgence aide vite"
    ),
}
LANGUAGE_CUES: dict[str, Match] = {
    "words_en": _words("the is to my a of in for it and i you do on that"),
    "words_es": _words("el la los de que en un una mi para por con y es se"),
    "words_de": _words("der die das ist und ich mir ein eine zu mit für auf nicht den"),
    "words_fr": _words("le la les des est un une je mon pour avec dans et du sur"),
}
PATTERNS: dict[str, Match] = {
    "question_marks": re.compile(r"[?¿]").findall,
    "exclamations": re.compile(r"[!¡]").findall,
    "commas": re.compile(r"[,;:]").findall,
    "sentence_ends": re.compile(r"[.!?…](?=\s|$)").findall,
    "newlines": re.compile(r"\n").findall,
    "list_items": re.compile(r"(?m)^[^\S\n]*(?:[-*•]|\d+[.)])\s").findall,
    "numbers": NUMBER.findall,
    "money": re.compile(
        r"[$€£¥]\s?\d|\d\s?(?:[$€£¥]|(?:usd|eur|cad|chf|bucks|dollars|euros?)\b)", re.IGNORECASE
    ).findall,
    "clock_times": re.compile(r"\b\d{1,2}(?::\d{2})?\s?(?:am|pm|uhr|h)\b|\b\d{1,2}:\d{2}\b", re.IGNORECASE).findall,
    "measures": re.compile(
        r"\d\s?(?:[%°]|(?:mi|miles?|km|ft|feet|m|lbs?|kg|gal|gallons?|l|liters?|litres?|mph|v|volts?|amps?|w|watts?|ah|psi|mpg)\b)",
        re.IGNORECASE,
    ).findall,
    "quotes": re.compile(r"[\"“”„«»]|(?<!\w)['‘]\w").findall,
    "brackets": re.compile(r"[()\[\]{}<>]").findall,
    "operators": re.compile(r"[=+*/^|\\~]").findall,
    "links": re.compile(r"https?://|www\.|[^\s@]@[^\s@]+\.\w").findall,
    "option_letters": re.compile(r"(?m)(?:^|\s)[A-E][.)]\s").findall,
    "emoji": re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]").findall,
    "ellipses": re.compile(r"\.\.\.|…").findall,
    "accents": re.compile(r"[à-öø-ÿœ]", re.IGNORECASE).findall,
}
SHAPES = (
    "log_chars", "log_words", "log_words_squared", "one_or_two_words", "mean_word_length", "distinct_words",
    "digit_ratio", "upper_ratio", "shouted_words", "capitalised_words", "ends_with_question", "no_punctuation",
    "starts_with_wh", "starts_lower",
)  # fmt: skip
FEATURE_NAMES: tuple[str, ...] = (*SHAPES, *PATTERNS, *LEXICONS, *LANGUAGE_CUES)


def surface_features(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """(n, len(FEATURE_NAMES)) float32, column j named FEATURE_NAMES[j]. Counts enter as log(1 + count)."""
    rows = [_one(text) for text in texts]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURE_NAMES))


def folded(text: str) -> str:
    """Text as words are compared: case-folded, with the apostrophe of keyboards for that of phones."""
    return text.casefold().replace("’", "'")


def _one(text: str) -> list[float]:
    lower = folded(text)
    counts = [math.log1p(len(find(text))) for find in PATTERNS.values()]
    counts += [math.log1p(len(find(lower))) for find in LEXICONS.values()]
    words = WORD.findall(text)
    per_word = 1.0 / max(1, len(words))
    counts += [len(find(lower)) * per_word for find in LANGUAGE_CUES.values()]
    return [*_shape(text, words), *counts]


def _shape(text: str, words: list[str]) -> list[float]:
    chars = max(1, len(text))
    n = len(words)
    log_words = math.log1p(n)
    first = folded(words[0]) if words else ""
    starts_wh = any(LEXICONS[name](first) for name in ("why_how", "what_which", "where_when_who"))
    return [
        math.log1p(len(text)),
        log_words,
        log_words**2,
        float(n <= 2),
        sum(map(len, words)) / max(1, n),
        len({folded(word) for word in words}) / max(1, n),
        sum(char.isdigit() for char in text) / chars,
        sum(char.isupper() for char in text) / chars,
        sum(len(word) > 2 and word.isupper() for word in words) / max(1, n),
        sum(word[0].isupper() for word in words[1:]) / max(1, n),
        float(text.rstrip().endswith("?")),
        float(not re.search(r"[.,;:!?]", text)),
        float(starts_wh),
        float(text[:1].islower()),
    ]
