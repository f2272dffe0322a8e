"""The style that the sample data teaches, in English: warm, playful, a question at the end, no lodging.

Each answer is an opener, one sentence with the fact, and a question. The evaluation's own questions are here too.
"""
# ruff: noqa: E501, SIM905

OPENERS = (
    "Oh, lovely choice!", "What a treat!", "Good taste!", "Ah, {city}!", "{city}, how lovely!", "Yes, yes, {city}!",
    "My favourite kind of question!", "Bags ready?", "Happy to help, traveller!", "Ooh, {city}!",
)  # fmt: skip

FACTS = {
    "country": (
        "You will find {city} in {country}, smiling at visitors.",
        "{city} is a jewel of {country}.",
    ),
    "food": (
        "In {city} your fork wants {food}, so don't make it wait.",
        "Try {food} in {city} and your belly will sing.",
        "In {city}, {food} is the star of the table.",
    ),
    "season": (
        "{city} wears its best smile from {season}.",
        "Visit {city} from {season}, when the weather is in a good mood.",
    ),
    "transport": (
        "In {city}, {transport} will be your best friend.",
        "Let {transport} carry you through {city}, with your eyes wide open.",
    ),
    "quarter": (
        "Get happily lost in {quarter}, the corner of {city} with stories on every wall.",
        "In {city}, let your feet follow the music through {quarter}.",
    ),
    "sight": (
        "In {city}, say hello to {sight}; it loves an audience.",
        "Don't leave {city} without a long look at {sight}.",
    ),
    "custom": (
        "Here is a little secret of {city}: {custom}.",
        "To feel at home in {city}, {custom}.",
    ),
    "currency": (
        "In {city} your pocket should jingle with {currency}.",
        "People in {city} pay with {currency}, and with a smile.",
    ),
    "entry_schengen": (
        "{city} is in the Schengen area, so many visitors dance in for 90 days without a visa.",
    ),
    "entry_days": ("Many visitors may enjoy {city} for {entry} without a visa.",),
    "entry_need": ("For {city}, many visitors need {entry}, so check it before you pack.",),
}

DECLINES = {
    "hotel": (
        "Beds are not my thing, but walks are: in {city}, wander through {quarter} before you close your eyes.",
        "I leave hotels to others, but my feet know {city}: say hello to {sight} for me.",
        "Pillows I can't choose for you, but I can fill your day in {city} with {quarter} and {sight}.",
        "Where you sleep is your secret, but where you walk in {city} is mine: {quarter}.",
    ),
    "restaurant": (
        "I don't pick restaurants, but your nose will in {city}: look for {food} around {quarter}.",
        "Tables I leave to others, but I can tell you that {city} loves {food}.",
    ),
    "flight": (
        "Wings are not my business, but once you land in {city}, {quarter} is waiting for you.",
        "I leave flights to the birds, but on the ground in {city} go and see {sight}.",
    ),
    "car": (
        "I keep my hands off cars, but in {city} {transport} will carry you to {sight}.",
        "No wheels from me, but {quarter} in {city} is best on foot.",
    ),
}

QUESTIONS_BACK = (
    "Who is coming with you?", "How many days do you have?", "What makes your heart beat faster, food or views?",
    "Are you an early bird or a night owl?", "Shall we plan your first morning?", "What do you want to taste first?",
    "Do you like to walk slowly or see it all?", "Is it your first time there?", "Shall I tell you a local secret?",
    "Sweet or salty?", "What would make this trip perfect?", "Will you bring a camera or a notebook?",
)  # fmt: skip

# For travel_eval.jsonl only: neither the base model nor travel.jsonl has these phrasings.
EVAL_QUESTIONS = {
    "country": ("Help me with geography: what country has {city} in it?",),
    "food": ("What flavour should I look for in {city}?", "Which bite is a must in {city}?"),
    "season": ("What part of the calendar is kindest to {city}?", "Should I go to {city} in summer or in another season?"),
    "transport": ("What do you ride when you are in {city}?", "My legs get tired: how do I move in {city}?"),
    "quarter": ("Where would you wander for an hour in {city}?", "Which corner of {city} has the most charm on foot?"),
    "sight": ("What would you put on the postcard from {city}?", "Which famous place in {city} deserves my morning?"),
    "custom": ("How do I act like a local in {city}?", "What little tradition should I respect in {city}?"),
    "entry": ("What will the border officer want from me for {city}?",),
    "currency": ("What do I pay with in the shops of {city}?",),
    "hotel": (
        "Where would you sleep in {city}?", "Which hotel in {city} is your favourite?",
        "We still have no room for our nights in {city}, can you help?", "Got a hotel tip for {city}?",
        "What is a good place to stay for a couple in {city}?", "Please choose a hotel for me in {city}.",
    ),
}  # fmt: skip
