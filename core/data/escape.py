"""Text from data and models as content: what would control a terminal is shown as a symbol."""

from __future__ import annotations

import re

# C0 without newline, DEL, C1; bidirectional controls and line separators; lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_BIDI = {
    **dict.fromkeys(
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", "⸱"
    ),
    **dict.fromkeys("\u2028\u2029", "␤"),
    "\ufeff": "⸱",
}


def visible(text: str, newlines: bool = True, tabs: bool = True) -> str:
    """The text without anything that a terminal would obey: one symbol for each such character.

    Newlines and tabs stay as they are unless `newlines` or `tabs` is false (then ␊ and ␉). Escape
    becomes ␛, so that "\\x1b[31m" reads ␛[31m. The length in characters does not change.
    """
    kept = "\t" if tabs else ""
    text = _CONTROL.sub(lambda match: match[0] if match[0] in kept else _symbol(match[0]), text)
    return text if newlines else text.replace("\n", "␊")


def _symbol(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # the pictures of Unicode's block "Control Pictures"
    if code == 0x7F:
        return "␡"
    return _BIDI.get(character, "�")
