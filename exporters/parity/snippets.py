"""Texts that tokenizers disagree about: some 300, the same every time.

They are what an exported vocabulary is tried on, beside the prompts and its own tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.data.encode.template import ChatTemplate, TemplateRefusal
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
MARK = "afina-question"
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


def single_tokens(tokenizer: Tokenizer) -> tuple[list[str], list[int]]:
    """Every text that is one token, and which: two tokens that were swapped show in no other way.

    Tokens that no text leads to by itself, such as parts of characters, are left out.
    """
    texts = [tokenizer.token_text(token) for token in range(tokenizer.vocab_size)]
    found = tokenizer.encode_many(texts, fast=True)
    single = [
        (text, token)
        for token, (text, item) in enumerate(zip(texts, found, strict=True))
        if item.ids == [token]
    ]
    return [text for text, _ in single], [token for _, token in single]


def opening(tokenizer: Tokenizer, template: ChatTemplate) -> str:
    """What a prompt puts in front of a text, where the tokenizer reads the bare text otherwise.

    Mistral's puts a space in front of a text, unless one is there, and none behind a special token.
    A program that is fed prompts needn't do the same for other texts. Empty for most tokenizers.
    """
    special = next(iter(tokenizer.specials), "")
    ids = [tokenizer.encode(text).ids for text in ("a", " a", f"{special}a")]
    inside = ids[0] == ids[1] or ids[0] != ids[2][1 if special else 0 :]
    question = [{"role": "user", "content": MARK}]
    try:
        text = template.render(question, add_generation_prompt=True).text if inside else ""
    except TemplateRefusal:  # it wants more than a question
        return special
    return text.partition(MARK)[0]
