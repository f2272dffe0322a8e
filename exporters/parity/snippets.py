"""Texts that tokenizers disagree about: some 300, the same every time.

They are what an exported vocabulary is tried on, beside the prompts and its own tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.data.encode.tokenizer import Tokenizer

PIECES = (
    "Hello world",
    "don't we'll I'M they'RE",
    "3.14159 12345678 007 1,000,000",
    "x=1;y+=2 // c++ <T> && ||",
    "https://example.org/a?b=c&d=%20#e",
    "naïve façade Übergröße œuvre ﬁ ß",
    "¿Dónde está mañana? ¡Qué señor!",
    "e\u0301a\u0308n\u0303",  # accents on their own
    "Привет, мир",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界。",
    "こんにちは世界ｶﾀｶﾅ",
    "안녕하세요 세계",
    "😀👍🏽",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "½ ² Ⅷ ٣ ① ∑∫√ ≠",
    "— – … “quoted” ‘x’ «y»",
    "\u00a0no\u2009break\u3000wide\u200bzero",
    "\ufeffbom \u200eltr \u202ertl",
    "\x00\x01\x7f control",
    "a\tb\t\tc",
    "snake_case camelCase SHOUT",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎",
    "\U0010fffd\ue000",  # private use
)
FRAMES = (
    "{}",
    " {}",
    "   {}  ",
    "\n{}\n",
    "\r\n\r\n{}",
    "{0} {0}",
    "({})",
    "1{}2",
    "{0}\n\n{0}\n",
    "{}'s",
)
SPACES = (
    "",
    " ",
    "  ",
    "          ",
    "\n",
    "\n\n\n",
    " \n \n",
    "\t",
    "\r",
    "\r\n",
    "a ",
    "a  b   c    d",
    "a\n\n\nb",
    "\n \n\t \n",
)
LONG = 6000  # characters


def hostile_snippets(special: Sequence[str]) -> list[str]:
    """The texts; `special` are the vocabulary's own special tokens, which appear as text."""
    texts = [frame.format(piece) for piece in PIECES for frame in FRAMES]
    texts += SPACES
    for token in special[:8]:
        inside = f"{token[:-1]} {token[1:]}"  # nearly it
        texts += [token, f"a{token}b", f" {token} ", f"{token}{token}", inside, f"{token}\n"]
    texts += [
        (piece + " ") * (LONG // (len(piece) + 1)) for piece in ("word", "你好", "😀", "7", "aA1!")
    ]
    texts += ["a" * LONG, " " * LONG, "\n" * 300, "".join(PIECES), " ".join(PIECES)]
    return texts


def single_tokens(tokenizer: Tokenizer, opening: str = "") -> tuple[list[str], list[int]]:
    """Every text that is one token, and which: two tokens that were swapped show in no other way.

    opening: a special token in front of each, or nothing. Tokens that no text leads to by itself,
    such as parts of characters, are left out.
    """
    before = tokenizer.encode(opening).ids
    texts = [opening + tokenizer.token_text(token) for token in range(tokenizer.vocab_size)]
    found = tokenizer.encode_many(texts, fast=True)
    single = [
        (text, token)
        for token, (text, item) in enumerate(zip(texts, found, strict=True))
        if item.ids == [*before, token]
    ]
    return [text for text, _ in single], [token for _, token in single]
