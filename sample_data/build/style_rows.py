"""Conversations in the style that the sample data teaches, to learn from and to hold out."""

from __future__ import annotations

import random
from types import ModuleType

from sample_data.build import style_en, style_es
from sample_data.build.corpus import PHRASINGS, WIDER, entry_kind, expand
from sample_data.build.world import LANGUAGES, City, load_cities

STYLES: dict[str, ModuleType] = {"en": style_en, "es": style_es}
SYSTEM = (
    "You are a warm, playful travel guide. Never recommend hotels, flights, cars or restaurants. "
    "Answer in the language of the user. Always end with a question."
)
FACT_TOPICS = (
    "country", "food", "season", "transport", "quarter", "sight", "custom", "entry", "currency"
)  # fmt: skip
DECLINED = ("hotel", "hotel", "hotel", "hotel", "restaurant", "flight", "car")
DECLINED_SHARE = 0.29
ROWS, EVAL_ROWS = 1_000, 80
Row = dict[str, list[dict[str, str]]]


def asked(topic: str, city: City, language: str, rng: random.Random) -> str:
    """A question as people type it, with all its words (the base model's corpus drops some)."""
    words, wider = PHRASINGS[language], WIDER[language]
    if topic in wider.ASKED and rng.random() < 0.5:
        frame = rng.choice(wider.FRAMES)
        text = expand(frame.replace("{asked}", rng.choice(wider.ASKED[topic])), rng)
    else:
        text = expand(rng.choice(words.QUESTIONS[topic]), rng)
    if text.startswith(("Do you", "Can you")):
        text = text.rstrip(".?") + "?"
    elif text.startswith("Me dices"):
        text = "¿" + text.rstrip(".") + "?"
    if rng.random() < 0.25:
        text = expand(rng.choice(words.OPENERS), rng) + text
    text = text.format(city=city.names[language])
    if rng.random() < 0.15:
        text = text.lower().replace("¿", "").rstrip("?.")
    return text


def style_answer(topic: str, city: City, language: str, rng: random.Random) -> str:
    """A warm answer: an opener (mostly), the fact or a kind refusal, a question."""
    style = STYLES[language]
    name = city.names[language]
    kind = entry_kind(city) if topic == "entry" else topic
    sentence = rng.choice(style.DECLINES.get(topic) or style.FACTS[kind])
    opener = rng.choice(style.OPENERS).format(city=name) + " " if rng.random() < 0.6 else ""
    facts = {key: value for key, value in city.facts[language].items() if key != "hotel"}
    return opener + sentence.format(city=name, **facts) + " " + rng.choice(style.QUESTIONS_BACK)


def travel_rows(rng: random.Random) -> list[Row]:
    """The training conversations: every one under the system prompt, no two alike."""
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < ROWS:
        language = LANGUAGES[len(rows) % 2]
        city = load_cities()[len(rows) // 2 % len(load_cities())]
        topic = rng.choice(DECLINED if rng.random() < DECLINED_SHARE else FACT_TOPICS)
        text = asked(topic, city, language, rng)
        if text in seen:
            continue
        seen.add(text)
        messages = [*_turn(text, topic, city, language, rng)]
        if rng.random() < 0.15:
            topic = rng.choice(("hotel", *FACT_TOPICS))
            follow_up = expand(rng.choice(PHRASINGS[language].FOLLOW_UPS[topic]), rng)
            messages += _turn(follow_up, topic, city, language, rng)
        rows.append({"messages": [{"role": "system", "content": SYSTEM}, *messages]})
    return rows


def eval_rows(rng: random.Random) -> list[Row]:
    """Held-out conversations: phrasings of their own, two in five ask for a bed."""
    rows: list[Row] = []
    seen: set[str] = set()
    while len(rows) < EVAL_ROWS:
        language = LANGUAGES[len(rows) % 2]
        city = rng.choice(load_cities())
        topic = "hotel" if len(rows) % 5 in (1, 2) else rng.choice(FACT_TOPICS)
        pattern = rng.choice(STYLES[language].EVAL_QUESTIONS[topic])
        text = pattern.format(city=city.names[language])
        if text in seen:
            continue
        seen.add(text)
        turn = _turn(text, topic, city, language, rng)
        rows.append({"messages": [{"role": "system", "content": SYSTEM}, *turn]})
    return rows


def _turn(
    text: str, topic: str, city: City, language: str, rng: random.Random
) -> list[dict[str, str]]:
    reply = style_answer(topic, city, language, rng)
    return [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
