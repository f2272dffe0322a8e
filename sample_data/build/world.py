"""The travel world: real cities with real facts in two languages, and one invented hotel for each.

Reads `cities.txt` and `countries.txt` beside this file; knows nothing of phrasings.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "es")
TOPICS = (
    "country",
    "food",
    "season",
    "transport",
    "quarter",
    "sight",
    "custom",
    "entry",
    "currency",
    "hotel",
)
HERE = Path(__file__).parent
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
}
ARTICLES = re.compile(r"^(the|an?|el|la|los|las|una?) ", re.IGNORECASE)


@dataclass(frozen=True)
class City:
    """One city: `names[language]` and `facts[language][topic]`, ready to stand in a sentence."""

    names: dict[str, str]
    facts: dict[str, dict[str, str]]

    def key(self, topic: str, language: str) -> str:
        """The folded words that an answer must hold to have named the fact."""
        fact = self.facts[language][topic]
        return fold(ARTICLES.sub("", fact))


def fold(text: str) -> str:
    """Lowercase without accents, every run of other characters as one space."""
    text = text.casefold().replace("ø", "o").replace("ð", "d").replace("ı", "i")
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", " ", plain).strip()


def names_fact(answer: str, key: str) -> bool:
    """Whether the folded `key` stands in `answer` as whole words."""
    return f" {key} " in f" {fold(answer)} "


@cache
def load_cities() -> tuple[City, ...]:
    """All cities, in the order of `cities.txt`."""
    countries = {row[0]: row[1:] for row in _rows(HERE / "countries.txt")}
    return tuple(_city(row, countries[row[1]]) for row in _rows(HERE / "cities.txt"))


def _rows(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[f.strip() for f in line.split("|")] for line in lines if line[:1] not in ("", "#")]


def _city(row: list[str], country: list[str]) -> City:
    name, _, food, months, transport, quarter, sight, custom, hotel = row
    country_name, currency, entry = country
    facts = {}
    for language in LANGUAGES:
        facts[language] = {
            "country": _side(country_name, language),
            "food": _side(food, language),
            "season": _season(months, language),
            "transport": _side(transport, language),
            "quarter": _side(quarter, language),
            "sight": _side(sight, language),
            "custom": _side(custom, language),
            "entry": _entry(entry, language),
            "currency": _side(currency, language),
            "hotel": hotel,
        }
    return City({language: _side(name, language) for language in LANGUAGES}, facts)


def _side(field: str, language: str) -> str:
    english, _, spanish = field.partition(" / ")
    return spanish if spanish and language == "es" else english


def _season(months: str, language: str) -> str:
    first, last = (MONTHS[language].split()[int(number) - 1] for number in months.split("-"))
    return f"{first} to {last}" if language == "en" else f"de {first} a {last}"


def _entry(rule: str, language: str) -> str:
    if rule == "schengen":
        return "Schengen"
    kind, _, rest = rule.partition(" ")
    if kind == "days":
        return f"{rest} days" if language == "en" else f"{rest} días"
    return _side(rest, language)
