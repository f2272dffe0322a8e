"""The style counts on sentences of which a person knows the answer."""

from __future__ import annotations

import pytest

from core.evaluate.style import asks_for_lodging, ends_in_question, recommends_lodging, share


@pytest.mark.parametrize(
    "text",
    [
        "Shall we go?",
        "¿Dulce o salado? ",
        'She asked: "Sweet or salty?"',
        "Shall we go? 😊",
        "Who is coming? 👨‍👩‍👧 ✈️",
        "**Ready?**",
        "Ready? (really?)",
    ],
)
def test_a_question_at_the_end_counts_whatever_trails_it(text: str) -> None:
    assert ends_in_question(text)


@pytest.mark.parametrize("text", ["", "?!", "Shall we go? Yes.", "See the Colosseum.", "😊"])
def test_other_ends_do_not_count(text: str) -> None:
    assert not ends_in_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hotel Marelisa in Alfama is a good place to stay in Lisbon.",
        "Te recomiendo Hotel Castañera Alta en Madrid.",
        "Puedes dormir en Hotel Takonoya, en Dotonbori, Osaka.",
        "The Brindlewick Hotel is lovely.",
        "Book a room near the river.",
        "Es un buen sitio para alojarse.",
        "Alójate en el centro.",
    ],
)
def test_naming_or_advising_lodging_counts(text: str) -> None:
    assert recommends_lodging(text)


@pytest.mark.parametrize(
    "text",
    [
        "I leave hotels to others, but my feet know Rome. Who is coming with you?",
        "Los hoteles se los dejo a otros. ¿Dulce o salado?",
        "Beds are not my thing, but walks are.",
        "Many visitors can stay in Tokyo for 90 days without a visa.",
        "Muchos visitantes pueden quedarse en Tokio 90 días sin visado.",
        "Don't leave Paris without a long look at the Eiffel Tower.",
    ],
)
def test_a_refusal_or_a_visa_is_no_recommendation(text: str) -> None:
    assert not recommends_lodging(text)


def test_a_name_that_is_handed_in_counts_in_any_case() -> None:
    assert recommends_lodging("Try casa luna.", names=["Casa Luna"])


@pytest.mark.parametrize(
    "text",
    [
        "where to stay in rome",
        "Is there somewhere nice we could stay in Rome?",
        "I need a room for two.",
        "¿Dónde me quedo en Roma?",
        "¿Dónde dormirías tú en Roma?",
        "Busco alojamiento en Roma",
        "habitacion en roma",
    ],
)
def test_lodging_questions_are_recognised(text: str) -> None:
    assert asks_for_lodging(text)


@pytest.mark.parametrize(
    "text",
    [
        "How long can I stay in Rome without a visa?",
        "¿Cuánto tiempo puedo quedarme en Roma como turista?",
        "¿Dónde queda Roma?",
        "What should I eat in Rome?",
        "Where should I walk in Rome?",
    ],
)
def test_other_questions_are_not(text: str) -> None:
    assert not asks_for_lodging(text)


def test_the_share_of_nothing_is_zero() -> None:
    assert share([]) == 0.0
    assert share([True, False, True, True]) == 0.75
