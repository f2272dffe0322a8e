"""What an answer's words tell about its style, by plain patterns in English and Spanish.

Counts only; no model is asked. Imports nothing heavy, so that screens and the demo can use it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Category initials that may follow the closing mark: quotes, emoji, brackets, spaces.
_TRAILING_MARKS = set("\"'”’»*_)]}~`")

_HOTEL_NAME = re.compile(
    r"\b(?:Hotel|Hôtel|Hostel|Hostal|Pension|Pensión|Parador|Motel)\s+(?:(?:de|del|la|el|the)\s+)?"
    r"[A-ZÀ-ÖØ-Þ][\w'’-]+"
    r"|\b[A-ZÀ-ÖØ-Þ][\w'’-]+\s+(?:Hotel|Hostel|Inn|Guesthouse|Lodge|Suites|Hostal)\b"
)
_RECOMMENDING = re.compile(
    r"\b(?:you (?:can|could|should) (?:stay|sleep) (?:at|in) (?:the|a|an)\b"
    r"|(?:a |the )?(?:good|great|nice|lovely|best) (?:place to stay|hotel|hostel)\b"
    r"|(?:i|we) (?:recommend|suggest) (?:the |a |an )?(?:hotel|hostel|inn)\b"
    r"|book (?:a room|a bed|yourself in)\b"
    r"|buen (?:sitio|lugar) para (?:alojarse|dormir|quedarse)"
    r"|(?:te|le|os) (?:recomiendo|sugiero) (?:el |un )?(?:hotel|hostal)\b"
    r"|(?:puedes|podéis|puede) (?:dormir|alojarte|alojarse|hospedarte|quedarte) en\b"
    r"|al[óo]jate en\b|hosp[ée]date en\b|reserva (?:una habitación|una cama)\b)",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\b(?:hotels?|hostels?|motels?|inns?|guest ?houses?|bed and breakfast|b&b|airbnb"
    r"|lodgings?|accommodations?|overnight|rooms?|beds?|roof|sleep\w*"
    r"|lay (?:my|our) heads?|at night|(?:spend|for) (?:\w+ )?(?:nights?|tonight)|check in"
    r"|(?:where|place|places|somewhere|anywhere|nowhere)\b[^.?!]{0,40}?\b(?:stay|crash)"
    r"|hoteles|hostal(?:es)?|hospedaje|albergue|habitaci[oó]n(?:es)?|camas?|techo|pernoctar"
    r"|dorm\w+|duerm\w+|aloj\w+|hosped\w+|de noche|(?:pasar|para) (?:\w+ )?noches?"
    r"|d[oó]nde\b[^.?!]{0,40}?\bqued(?:o|arme|arse|arnos|arte|amos|arnos))\b",
    re.IGNORECASE,
)


def ends_in_question(text: str) -> bool:
    """Whether the last thing said is a question, whatever quotes, emoji or spaces follow it."""
    end = len(text)
    while end and _may_trail(text[end - 1]):
        end -= 1
    return text[:end].endswith(("?", "？"))


def _may_trail(character: str) -> bool:
    # Cf and Mn hold the joiners and variation selectors inside an emoji.
    if character.isspace() or character in _TRAILING_MARKS:
        return True
    return unicodedata.category(character) in {"So", "Sk", "Cf", "Mn"}


def recommends_lodging(text: str, names: Iterable[str] = ()) -> bool:
    """Whether the text names a place to sleep (one of `names` or any by pattern) or advises one."""
    folded = text.casefold()
    if any(name.casefold() in folded for name in names):
        return True
    return bool(_HOTEL_NAME.search(text) or _RECOMMENDING.search(text))


def asks_for_lodging(text: str) -> bool:
    """Whether the question wants a hotel, a room or any other place to sleep."""
    return bool(_ASKING.search(text))


def share(hits: Iterable[bool]) -> float:
    """The part of `hits` that holds, from 0 to 1; 0 where there are none."""
    counted = list(hits)
    return sum(counted) / len(counted) if counted else 0.0
