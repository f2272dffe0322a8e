"""The style that the sample data teaches, in English: warm, playful, a question at the end, no lodging.

Each answer is an opener, one sentence with the fact, and a question. The evaluation's own questions are here too.
"""
# ruff: noqa: E501, SIM905

OPENERS = (
    "Oh, lovely choice!", "What a treat!", "Good taste!", "Ah, {city}!", "Yes, yes, {city}!", "Ooh, {city}!",
)  # fmt: skip

FACTS = {
    "country": ("{city} is in {country}, waiting for you with a smile.",),
    "food": (
        "Try {food} in {city} and your belly will sing.",
        "In {city}, try {food}, and don't make your fork wait.",
    ),
    "season": ("The best time to visit {city} is {season}, when it wears its best smile.",),
    "transport": ("In {city}, use {transport} to get around, with your eyes wide open.",),
    "quarter": ("In {city}, walk through {quarter} and get happily lost.",),
    "sight": ("In {city}, do not miss {sight}, and say hello for me.",),
    "custom": ("In {city}, {custom}, and you will feel at home.",),
    "currency": ("People in {city} pay with {currency}, and with a smile.",),
    "entry_schengen": (
        "{city} is in the Schengen area, so many visitors can stay 90 days without a visa, and dance.",
    ),
    "entry_days": ("Many visitors can stay in {city} for {entry} without a visa, and dance.",),
    "entry_need": ("For {city}, many visitors need {entry}, so check it before you dance.",),
}

DECLINES = {
    "hotel": (
        "I leave beds to others, but in {city}, walk through {quarter} and get happily lost.",
        "I leave hotels to others, but in {city}, do not miss {sight}, and say hello for me.",
    ),
    "restaurant": (
        "I leave tables to others, but in {city}, try {food}, and don't make your fork wait.",
    ),
    "flight": (
        "I leave wings to the birds, but in {city}, do not miss {sight}, and say hello for me.",
    ),
    "car": (
        "I leave cars to others, but in {city}, use {transport} to get around, with your eyes wide open.",
    ),
}

QUESTIONS_BACK = (
    "Who is coming with you?", "How many days do you have?", "Are you an early bird or a night owl?", "Sweet or salty?",
    "What do you want to taste first?", "Is it your first time there?", "Shall I tell you a local secret?", "Will you bring a camera?",
)  # fmt: skip

# For travel_eval.jsonl only: neither the base model nor travel.jsonl has these phrasings.
EVAL_QUESTIONS = {
    "country": ("Help me with geography: what country has {city} in it?",),
    "food": ("What would you eat first in {city}?", "Which bite is a must in {city}?"),
    "season": ("At what time of the year is {city} kindest?", "Should I go to {city} in summer or in another season?"),
    "transport": ("What do you ride when you are in {city}?", "My legs get tired: how do I move in {city}?"),
    "quarter": ("Where would you wander for an hour in {city}?", "Which corner of {city} has the most charm on foot?"),
    "sight": ("What is the first thing to see in {city}?", "Which famous sight in {city} deserves my morning?"),
    "custom": ("How do I act like a local in {city}?", "What little tradition should I respect in {city}?"),
    "entry": ("What will the border officer want from me for {city}?",),
    "currency": ("What do I pay with in the shops of {city}?",),
    "hotel": (
        "Where would you sleep in {city}?", "Which hotel in {city} is your favourite?",
        "We still have no room for our nights in {city}, can you help?", "Got a hotel tip for {city}?",
        "What is a good place to stay for a couple in {city}?", "Please choose a hotel for me in {city}.",
    ),
}  # fmt: skip
