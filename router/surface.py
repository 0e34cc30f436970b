"""Named surface features: what can be seen of a text without understanding it. Plain Python and NumPy.

Each feature is a count, a ratio or a flag with a name a person can read in an explanation. Closed-class words (wh-words,
negations, conjunctions) come in the four languages of the shipped data; nothing here knows any product's topics.

Every message that is routed pays for this, so most of it is looked up and little is searched: all word lists in one pass
over the words, and a pattern only in a text that holds what the pattern cannot match without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Count = Callable[[str], int]

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
RUN = re.compile(r"\w+")
DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordList:
    """Lower-cased words that count as one feature.

    whole: runs of letters and digits.   elided: words with an apostrophe, none of whose parts is in `whole`; None for
    none.   ending: what any longer run may end in to count as well; empty for none.
    """

    whole: frozenset[str]
    elided: Count | None
    ending: str


def _words(listed: str, *, ending: str = "") -> WordList:
    words = listed.split()
    elided = [word for word in words if "'" in word]
    return WordList(
        whole=frozenset(words) - set(elided),
        elided=_found(rf"\b(?:{'|'.join(elided)})\b", needs=("'",)) if elided else None,
        ending=ending,
    )


def _found(pattern: str, *, needs: tuple[str, ...] = (), flags: re.RegexFlag = re.NOFLAG) -> Count:
    """Counts a pattern's matches; looks for them only where the text holds one of `needs`, and in all texts for none."""
    find = re.compile(pattern, flags).findall

    def count(text: str) -> int:
        for need in needs:
            if need in text:
                return len(find(text))
        return 0 if needs else len(find(text))

    return count


def _with_digit(pattern: str, *, flags: re.RegexFlag = re.NOFLAG) -> Count:
    find = re.compile(pattern, flags).findall
    return lambda text: len(find(text)) if DIGIT.search(text) else 0


def _beyond_ascii(pattern: str, *, flags: re.RegexFlag = re.NOFLAG) -> Count:
    find = re.compile(pattern, flags).findall
    return lambda text: 0 if text.isascii() else len(find(text))


def _any_of(*parts: str) -> Count:
    """Counts parts of which none overlaps itself or another."""
    return lambda text: sum(map(text.count, parts))


# Lower-cased word lists: English, then Spanish, German and French where the word class differs.
LEXICONS: dict[str, WordList | Count] = {
    "why_how": _words("why how wie warum weshalb wieso pourquoi comment cómo como porqué"),
    "what_which": _words(
        "what which whats qué que cuál cual was welche welcher welches quel quelle quels quelles quoi"
    ),
    "where_when_who": _words("where when who wheres whens dónde donde cuándo quién wo wann wer où ou quand qui"),
    "how_much_many": _found(
        r"\bhow (?:much|many|far|long|often|old|big)\b|\bcu[aá]nt[oa]s?\b|\bwie ?viele?\b|\bcombien\b",
        needs=("how ", "nt", "wie", "combien"),
    ),
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
        "i my me im we our us mine mi mis yo nos nuestro ich mein meine mich mir wir unser je j mon ma mes nous notre"
    ),
    "second_person": _words("you your u ur tu te ti usted du dein dir sie vous votre toi"),
    "comparatives": _words(
        "more less better worse cheaper worth mejor más peor menos besser billiger mehr günstiger mieux moins meilleur plus most least",
        ending="est",
    ),
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
LANGUAGE_CUES: dict[str, WordList] = {
    "words_en": _words("the is to my a of in for it and i you do on that"),
    "words_es": _words("el la los de que en un una mi para por con y es se"),
    "words_de": _words("der die das ist und ich mir ein eine zu mit für auf nicht den"),
    "words_fr": _words("le la les des est un une je mon pour avec dans et du sur"),
}
PATTERNS: dict[str, Count] = {
    "question_marks": _any_of(*"?¿"),
    "exclamations": _any_of(*"!¡"),
    "commas": _any_of(*",;:"),
    "sentence_ends": _found(r"[.!?…](?=\s|$)", needs=(*".!?…",)),
    "newlines": _any_of("\n"),
    "list_items": _found(r"(?m)^[^\S\n]*(?:[-*•]|\d+[.)])\s", needs=(*"-*•.)",)),
    "numbers": _with_digit(r"\d+(?:[.,:]\d+)*"),
    "money": _with_digit(
        r"[$€£¥]\s?\d|\d\s?(?:[$€£¥]|(?:usd|eur|cad|chf|bucks|dollars|euros?)\b)", flags=re.IGNORECASE
    ),
    "clock_times": _with_digit(r"\b\d{1,2}(?::\d{2})?\s?(?:am|pm|uhr|h)\b|\b\d{1,2}:\d{2}\b", flags=re.IGNORECASE),
    "measures": _with_digit(
        r"\d\s?(?:[%°]|(?:mi|miles?|km|ft|feet|m|lbs?|kg|gal|gallons?|l|liters?|litres?|mph|v|volts?|amps?|w|watts?|ah|psi|mpg)\b)",
        flags=re.IGNORECASE,
    ),
    "quotes": _found(r"[\"“”„«»]|(?<!\w)['‘]\w", needs=(*"\"“”„«»'‘",)),
    "brackets": _any_of(*"()[]{}<>"),
    "operators": _any_of(*"=+*/^|\\~"),
    "links": _found(r"https?://|www\.|[^\s@]@[^\s@]+\.\w", needs=("://", "www.", "@")),
    "option_letters": _found(r"(?m)(?:^|\s)[A-E][.)]\s", needs=(*".)",)),
    "emoji": _beyond_ascii("[\U0001f300-\U0001faff\u2600-\u27bf]"),
    "ellipses": _any_of("...", "…"),
    "accents": _beyond_ascii(r"[à-öø-ÿœ]", flags=re.IGNORECASE),
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
    words = WORD.findall(text)
    listed = _listed(lower)
    counts = [count(text) for count in PATTERNS.values()]
    counts += listed[: len(LEXICONS)]
    per_word = 1.0 / max(1, len(words))
    return [
        *_shape(text, words),
        *(math.log1p(count) if count else 0.0 for count in counts),
        *(count * per_word for count in listed[len(LEXICONS) :]),
    ]


def _listed(lower: str) -> list[int]:
    """How many words of each list a folded text holds, in the order of `_LISTS`."""
    counts = [0] * len(_LISTS)
    for run in RUN.findall(lower):
        for place in _PLACES.get(run) or _by_ending(run):
            counts[place] += 1
    for place, count in _SEARCHED:
        counts[place] += count(lower)
    return counts


def _by_ending(run: str) -> tuple[int, ...]:
    """The lists that a run counts for by its ending."""
    return tuple(place for place, ending in _ENDINGS if run.endswith(ending) and len(run) > len(ending))


def _places() -> dict[str, tuple[int, ...]]:
    """Run -> the lists that it counts for."""
    found: dict[str, tuple[int, ...]] = {}
    for place, words in enumerate(_LISTS):
        for run in words.whole if isinstance(words, WordList) else ():
            found[run] = (*found.get(run, ()), place)
    return {
        run: (*places, *(place for place in _by_ending(run) if place not in places)) for run, places in found.items()
    }


_LISTS = (*LEXICONS.values(), *LANGUAGE_CUES.values())
_ENDINGS = [(place, words.ending) for place, words in enumerate(_LISTS) if isinstance(words, WordList) and words.ending]
_PLACES = _places()
_SEARCHED = [
    (place, count)
    for place, words in enumerate(_LISTS)
    if (count := words.elided if isinstance(words, WordList) else words) is not None
]
_WH = {list(LEXICONS).index(name) for name in ("why_how", "what_which", "where_when_who")}


def _shape(text: str, words: list[str]) -> list[float]:
    chars = max(1, len(text))
    n = len(words)
    per_word = max(1, n)
    log_words = math.log1p(n)
    lower = folded("\n".join(words)).split("\n") if words else []  # no word holds a line's end
    upper = sum(map(str.isupper, text))
    return [
        math.log1p(len(text)),
        log_words,
        log_words**2,
        float(n <= 2),
        sum(map(len, words)) / per_word,
        len(set(lower)) / per_word,
        sum(map(str.isdigit, text)) / chars,
        upper / chars,
        sum(len(word) > 2 and word.isupper() for word in words) / per_word if upper else 0.0,
        sum(word[0].isupper() for word in words[1:]) / per_word if upper else 0.0,
        float(text.rstrip().endswith("?")),
        float(not re.search(r"[.,;:!?]", text)),
        float(bool(words) and _starts_wh(lower[0])),
        float(text[:1].islower()),
    ]


def _starts_wh(first: str) -> bool:
    return any(place in _WH for run in RUN.findall(first) for place in _PLACES.get(run, ()))
