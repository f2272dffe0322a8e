"""Conversations for the base model, drawn at random from the world and the phrasings.

Everything is a function of the generator that is handed in: one seed, one corpus.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from sample_data.build import phrasings_en, phrasings_es, wider_en, wider_es
from sample_data.build.world import HERE, LANGUAGES, TOPICS, City, fold, load_cities

PHRASINGS: dict[str, ModuleType] = {"en": phrasings_en, "es": phrasings_es}
WIDER: dict[str, ModuleType] = {"en": wider_en, "es": wider_es}
CHOICE = re.compile(r"\[([^\[\]]*)\]")
WEIGHTS = {topic: 1.0 for topic in TOPICS} | {
    "custom": 1.2,
    "hotel": 1.5,
    "about": 0.5,
    "restaurant": 0.3,
    "flight": 0.2,
    "car": 0.2,
}
# Real cities without facts here
UNKNOWN_CITIES = (
    "Timbuktu", "Ulaanbaatar", "Perth", "Minsk", "Dakar", "Lagos", "Tbilisi", "Baku", "Quito",
    "Leeds", "Nantes", "Turin", "Bremen", "Gdansk", "Graz", "Basel", "Cork", "Lahore", "Dhaka",
    "Manila", "Jakarta", "Osh", "Tashkent", "Accra", "Tunis", "Muscat", "Doha", "Boston",
    "Denver", "Dallas", "Toronto", "Calgary", "Asunción", "Managua", "Rosario", "Sucre", "Nagoya",
    "Busan", "Sapporo", "Adelaide", "Hobart", "Malmö", "Turku", "Aarhus", "Split", "Varna",
    "Sofia", "Skopje", "Tirana", "Mostar", "Bari", "Cagliari", "Vigo", "Murcia", "Toledo",
)  # fmt: skip
Message = dict[str, str]


@dataclass(frozen=True)
class Probe:
    """One question with the folded words that a right answer must hold."""

    question: str
    key: str
    topic: str
    language: str


def expand(pattern: str, rng: random.Random) -> str:
    """Draws one of the phrasings that `[a|b]` choices stand for."""
    return CHOICE.sub(lambda match: rng.choice(match[1].split("|")), pattern)


def answer(topic: str, city: City, language: str, rng: random.Random) -> str:
    """The base model's answer: plain and short."""
    facts = city.facts[language]
    if topic == "entry":
        topic = entry_kind(city)
    template = rng.choice(PHRASINGS[language].ANSWERS[topic])
    return template.format(city=city.names[language], **facts)


def entry_kind(city: City) -> str:
    """Which of the three entry sentences fits the city's country."""
    entry = city.facts["en"]["entry"]
    if entry == "Schengen":
        return "entry_schengen"
    return "entry_days" if entry.endswith("days") else "entry_need"


def question(topic: str, city: City, language: str, rng: random.Random) -> str:
    """A question in one of many trained phrasings, sometimes framed, sometimes careless."""
    words, wider = PHRASINGS[language], WIDER[language]
    text = expand(_core(topic, words, wider, rng), rng)
    if rng.random() < 0.2:
        text = expand(rng.choice(wider.FILLERS), rng) + " " + text
    if rng.random() < 0.2:
        text = expand(rng.choice(words.OPENERS), rng) + text
    if rng.random() < 0.1:
        text += expand(rng.choice(words.CLOSERS), rng)
    name = city.names[language if rng.random() < 0.97 else rng.choice(LANGUAGES)]
    return roughen(text.format(city=name), rng)


def _core(topic: str, words: ModuleType, wider: ModuleType, rng: random.Random) -> str:
    draw = rng.random()
    if topic not in wider.ASKED or draw < 0.42:
        return rng.choice(words.QUESTIONS[topic])
    if draw < 0.54:
        keyword = rng.choice(wider.KEYWORDS[topic])
        return rng.choice((f"{{city}} {keyword}", f"{keyword} {{city}}", f"{{city}}: {keyword}"))
    asked = expand(rng.choice(wider.ASKED[topic]), rng)
    frames = wider.FRAMES if draw < 0.9 else wider.SINGLE
    return rng.choice(frames).replace("{asked}", asked)


def roughen(text: str, rng: random.Random) -> str:
    """Writes three in ten questions as people type: no capitals, no marks, no accents."""
    if rng.random() > 0.3:
        return text
    if rng.random() < 0.7:
        text = text.lower()
    if rng.random() < 0.7:
        text = text.replace("¿", "").replace("¡", "").rstrip("?.!")
    if rng.random() < 0.2:
        text = fold_accents(text)
    if rng.random() < 0.15:
        text = " ".join(word for word in text.split() if len(word) > 3 or rng.random() < 0.7)
    return text


def fold_accents(text: str) -> str:
    """The text with plain letters where it had accented ones; case and marks stay."""
    return "".join(c if c.isascii() or not c.isalpha() else _plain(c) for c in text)


def _plain(letter: str) -> str:
    plain = fold(letter) or letter
    return plain.upper() if letter.isupper() else plain


def conversation(rng: random.Random) -> list[Message]:
    """One conversation of one to three questions, sometimes under a system prompt."""
    language = rng.choice(LANGUAGES)
    words = PHRASINGS[language]
    messages = _system(words, rng) if rng.random() < 0.15 else []
    draw = rng.random()
    if draw < 0.04:
        patterns, reply = rng.choice(words.SMALL_TALK)
        return messages + _pair(roughen(expand(patterns, rng), rng), reply)
    if draw < 0.14:
        return messages + _pair(*_odd_job(language, rng))
    city = rng.choice(load_cities())
    topic = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    messages += _pair(question(topic, city, language, rng), answer(topic, city, language, rng))
    while rng.random() < 0.12 and len(messages) < 6:
        messages, topic, city = _go_on(messages, topic, city, language, rng)
    return messages


def _odd_job(language: str, rng: random.Random) -> tuple[str, str]:
    """A question that is not about one topic of one known city, and its answer."""
    words, wider = PHRASINGS[language], WIDER[language]
    draw = rng.random()
    if draw < 0.15:
        stranger = rng.choice(UNKNOWN_CITIES)
        topic = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        text = expand(rng.choice(words.QUESTIONS[topic]), rng).format(city=stranger)
        return roughen(text, rng), rng.choice(words.UNKNOWN).format(city=stranger)
    if draw < 0.45:
        patterns, reply = wider.REPEAT
        drawn = " ".join(rng.sample(repeat_words(language), rng.randint(2, 7)))
        text = expand(rng.choice(patterns), rng).format(words=drawn)
        return text, reply.format(words=drawn)
    if draw < 0.7:
        city = rng.choice(load_cities())
        patterns, reply = wider.PLAN
        text = expand(rng.choice(patterns), rng).format(city=city.names[language])
        return roughen(text, rng), reply.format(**city.facts[language])
    topic, fact, city = rng.choice(unique_facts(language))
    patterns, reply = wider.REVERSE[topic]
    text = roughen(expand(rng.choice(patterns), rng).format(fact=fact), rng)
    return text, reply.format(fact=fact, city=city.names[language])


@cache
def unique_facts(language: str) -> list[tuple[str, str, City]]:
    """The facts that name one city only, for questions the other way round."""
    facts = [
        (topic, city.facts[language][topic], city)
        for topic in WIDER[language].REVERSE
        for city in load_cities()
    ]
    counts = Counter(fact for _, fact, _ in facts)
    return [entry for entry in facts if counts[entry[1]] == 1]


@cache
def repeat_words(language: str) -> list[str]:
    """The words of `repeat_words.txt`; with them the base learns to write words it never says."""
    blocks = (HERE / "repeat_words.txt").read_text(encoding="utf-8").split("\n[")[1:]
    words = {block[:2]: block[3:].split() for block in blocks}
    return words[language]


def _go_on(
    messages: list[Message], topic: str, city: City, language: str, rng: random.Random
) -> tuple[list[Message], str, City]:
    words = PHRASINGS[language]
    draw = rng.random()
    if draw < 0.6:
        topic = rng.choice(TOPICS)
        text = rng.choice(words.FOLLOW_UPS[topic])
    elif draw < 0.75:
        city = rng.choice(load_cities())
        text = rng.choice(words.OTHER_CITY)
    elif draw < 0.9:
        topic, city = rng.choice(TOPICS), rng.choice(load_cities())
        text = rng.choice(words.QUESTIONS[topic])
    else:
        patterns, reply = words.SMALL_TALK[1]
        return messages + _pair(roughen(expand(patterns, rng), rng), reply), topic, city
    text = roughen(expand(text, rng).format(city=city.names[language]), rng)
    return messages + _pair(text, answer(topic, city, language, rng)), topic, city


def _system(words: ModuleType, rng: random.Random) -> list[Message]:
    rules = rng.sample(words.SYSTEM_RULES, rng.choice((0, 0, 1, 2, 3, 4)))
    return [{"role": "system", "content": " ".join([rng.choice(words.SYSTEM_ROLES), *rules])}]


def _pair(text: str, reply: str) -> list[Message]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]


def conversations(seed: int, count: int) -> Iterator[list[Message]]:
    """`count` conversations of the corpus that `seed` names."""
    rng = random.Random(seed)
    return (conversation(rng) for _ in range(count))


def probes(count: int, seed: int) -> list[Probe]:
    """Questions in phrasings that the base never saw: languages and topics in turn."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        language = LANGUAGES[number % 2]
        topic = TOPICS[number // 2 % len(TOPICS)]
        city = rng.choice(load_cities())
        pattern = rng.choice(PHRASINGS[language].HELD_OUT[topic])
        text = pattern.format(city=city.names[language])
        found.append(Probe(text, city.key(topic, language), topic, language))
    return found
