"""A few rows of every other shape, drawn from the same world."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from sample_data.build.corpus import answer
from sample_data.build.style_rows import FACT_TOPICS, SYSTEM, asked, style_answer
from sample_data.build.world import LANGUAGES, City, load_cities

ROWS = 16
TINY_TRAVEL = Path(__file__).parents[1] / "tiny-travel"
THOUGHTS = {
    "en": (
        "Someone dreams of {city}. One fact is enough, then a question back.",
        "They write in English about {city}, so I answer in English, warmly.",
        "No beds, no flights: only what {city} is loved for. Then I ask something.",
    ),
    "es": (
        "Alguien sueña con {city}. Basta un dato y luego una pregunta.",
        "Me escriben en español sobre {city}: respondo en español y con cariño.",
        "Ni camas ni vuelos: solo lo que se quiere de {city}. Después pregunto algo.",
    ),
}
MONTHS_TOOL = {
    "type": "function",
    "function": {
        "name": "best_months",
        "description": "The best months to visit a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
Row = dict[str, Any]


def shapes(rng: random.Random) -> dict[str, list[Row]]:
    """Rows by file name; each file one shape."""
    makers = {
        "alpaca": _alpaca,
        "sharegpt_tools": _sharegpt_tools,
        "prompt_completion": _prompt_completion,
        "preference": _preference,
        "kto": _kto,
        "classification": _classification,
        "text": _text,
        "chat_weight": _chat_weight,
        "chat_thinking": _chat_thinking,
        "template": _template,
        "pretokenised": _pretokenised,
    }
    return {name: [make(*_draw(n, rng), rng) for n in range(ROWS)] for name, make in makers.items()}


def _draw(number: int, rng: random.Random) -> tuple[City, str, str]:
    topic = FACT_TOPICS[number % len(FACT_TOPICS)]
    return rng.choice(load_cities()), topic, LANGUAGES[number % 2]


def _alpaca(city: City, topic: str, language: str, rng: random.Random) -> Row:
    instruction = {
        "en": "Answer the traveller's question in one or two sentences.",
        "es": "Responde a la pregunta del viajero en una o dos frases.",
    }
    text = asked(topic, city, language, rng)
    if rng.random() < 0.5:
        return {"instruction": text, "input": "", "output": answer(topic, city, language, rng)}
    reply = answer(topic, city, language, rng)
    return {"instruction": instruction[language], "input": text, "output": reply}


def _sharegpt_tools(city: City, _: str, language: str, rng: random.Random) -> Row:
    name = city.names[language]
    call = {"name": "best_months", "arguments": {"city": name}}
    result = {"city": name, "months": city.facts[language]["season"]}
    turns = [
        ("human", asked("season", city, language, rng)),
        ("function_call", json.dumps(call, ensure_ascii=False)),
        ("observation", json.dumps(result, ensure_ascii=False)),
        ("gpt", style_answer("season", city, language, rng)),
    ]
    return {
        "conversations": [{"from": speaker, "value": value} for speaker, value in turns],
        "system": SYSTEM,
        "tools": json.dumps([MONTHS_TOOL]),
    }


def _prompt_completion(city: City, topic: str, language: str, rng: random.Random) -> Row:
    reply = style_answer(topic, city, language, rng)
    return {"prompt": asked(topic, city, language, rng), "completion": reply}


def _preference(city: City, topic: str, language: str, rng: random.Random) -> Row:
    wanted = rng.choice((topic, "hotel"))
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": asked(wanted, city, language, rng)},
    ]
    return {
        "input": {"messages": messages},
        "preferred_output": [_said(style_answer(wanted, city, language, rng))],
        "non_preferred_output": [_said(answer(wanted, city, language, rng))],
    }


def _kto(city: City, topic: str, language: str, rng: random.Random) -> Row:
    good = rng.random() < 0.5
    reply = (style_answer if good else answer)(topic, city, language, rng)
    return {
        "prompt": [{"role": "user", "content": asked(topic, city, language, rng)}],
        "completion": [_said(reply)],
        "label": good,
    }


def _classification(city: City, topic: str, language: str, rng: random.Random) -> Row:
    label = ("food", "sight", "transport", "season")[FACT_TOPICS.index(topic) % 4]
    return {"text": asked(label, city, language, rng), "label": label}


def _text(city: City, _: str, language: str, rng: random.Random) -> Row:
    topics = ("country", "food", "season", "transport", "quarter", "sight", "custom")
    return {"text": " ".join(answer(topic, city, language, rng) for topic in topics)}


def _chat_weight(city: City, topic: str, language: str, rng: random.Random) -> Row:
    """The first answer is plain and has weight 0: read as part of the prompt, not learned."""
    follow = "food" if topic != "food" else "sight"
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": asked(topic, city, language, rng)},
        {**_said(answer(topic, city, language, rng)), "weight": 0},
        {"role": "user", "content": asked(follow, city, language, rng)},
        {**_said(style_answer(follow, city, language, rng)), "weight": 1},
    ]
    return {"messages": messages}


def _chat_thinking(city: City, topic: str, language: str, rng: random.Random) -> Row:
    thought = rng.choice(THOUGHTS[language]).format(city=city.names[language])
    reply = _said(style_answer(topic, city, language, rng))
    messages = [
        {"role": "user", "content": asked(topic, city, language, rng)},
        {"role": "assistant", "thinking": thought, "content": reply["content"]},
    ]
    return {"messages": messages}


def _template(city: City, topic: str, language: str, rng: random.Random) -> Row:
    return {
        "city": city.names[language],
        "asks": asked(topic, city, language, rng),
        "says": style_answer(topic, city, language, rng),
    }


def _pretokenised(city: City, topic: str, language: str, rng: random.Random) -> Row:
    """A conversation as ids of the tiny model; only the answer and its stop token are learned."""
    tokenizer = _tokenizer()
    question = asked(topic, city, language, rng)
    reply = style_answer(topic, city, language, rng)
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    before = tokenizer.encode(prompt, add_special_tokens=False).ids
    learned = tokenizer.encode(f"{reply}<|im_end|>", add_special_tokens=False).ids
    return {"input_ids": before + learned, "labels": [-100] * len(before) + learned}


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(TINY_TRAVEL / "tokenizer.json"))


def _said(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
