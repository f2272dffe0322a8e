"""Which script and which language a row is written in.

Scripts are read from the ranges of Unicode and cost next to nothing. Languages are named by
py3langid (a copy of langid.py, Lui and Baldwin 2012): right for a sentence or more, a guess for a
few words, so no check of a row is built on them.
"""

from __future__ import annotations

import re
from collections import Counter

# Letters only; digits, punctuation and symbols belong to no script.
SCRIPTS = (
    *("", "latin", "cyrillic", "greek", "hebrew", "arabic", "devanagari", "bengali", "tamil"),
    *("telugu", "thai", "georgian", "armenian", "ethiopic", "han", "kana", "hangul", "other"),
)
_RANGES = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": "\u0400-\u052f",
    "armenian": "\u0530-\u058f",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "devanagari": "\u0900-\u097f",
    "bengali": "\u0980-\u09ff",
    "tamil": "\u0b80-\u0bff",
    "telugu": "\u0c00-\u0c7f",
    "thai": "\u0e00-\u0e7f",
    "georgian": "\u10a0-\u10ff",
    "ethiopic": "\u1200-\u137f",
    "kana": "\u3040-\u30ff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ebef",
}
_RUN = re.compile("|".join(f"(?P<{name}>[{chars}]+)" for name, chars in _RANGES.items()))
_ASCII_LETTER = re.compile("[A-Za-z]")
_LOOKED_AT = 600  # characters at the beginning of a text
_LATIN = SCRIPTS.index("latin")


def script_code(text: str) -> int:
    """The place in SCRIPTS of the script that most of a text's first letters are in."""
    head = text[:_LOOKED_AT]
    if head.isascii():
        return _LATIN if _ASCII_LETTER.search(head) else 0
    letters: Counter[str] = Counter()
    for match in _RUN.finditer(head):
        letters[match.lastgroup or ""] += match.end() - match.start()
    if not letters:
        return SCRIPTS.index("other") if any(map(str.isalpha, head)) else 0
    # Japanese writes kana and han together: the kana tell it from Chinese
    if letters["kana"] and letters["han"]:
        letters["kana"] += letters.pop("han")
    return SCRIPTS.index(letters.most_common(1)[0][0])


def load_languages() -> None:
    """Loads what `language_of` needs, which takes a second, before anyone waits for it."""
    language_of("a")


def language_of(text: str) -> str:
    """The ISO 639-1 code of the language of a text's beginning; "" without letters."""
    head = text[:_LOOKED_AT]
    if not any(map(str.isalpha, head)):
        return ""
    import py3langid

    return py3langid.classify(head)[0]
