"""How people ask in English, and how the base model answers: plain, short, the fact early.

`[a|b]` is a choice, `{city}` the name. HELD_OUT phrasings never enter the base model's training.
"""
# ruff: noqa: E501, SIM905

QUESTIONS = {
    "country": (
        "[Where|In which country|In what country] is {city}?",
        "[What|Which] country is {city} in?",
        "[What|Which] country does {city} belong to?",
        "[Tell me|Remind me|Do you know] [where {city} is|which country {city} is in].",
        "Is {city} in Europe or somewhere else? Name the country.",
        "I want to find {city} on [a|the] map. Which country is it?",
        "{city}: which country?",
    ),
    "food": (
        "What [should|can|do|must] I [eat|try|taste|order] in {city}?",
        "[What|Which] [dish|local dish|food|speciality|typical food] should I [try|eat|order|taste] in {city}?",
        "What is the [typical|local|famous|traditional|best known] [dish|food] [in|of] {city}?",
        "What do [people|locals] eat in {city}?",
        "What [food|dish] is {city} [known|famous] for?",
        "[Tell me|Give me an idea|Any idea|Any tips on] what to eat in {city}.",
        "I am hungry in {city}. What [should I get|is good|do you suggest]?",
        "[Food|What to eat|Typical dish] in {city}?",
        "[Recommend|Suggest|Name] [a dish|something to eat|a local food] in {city}.",
    ),
    "season": (
        "When [should|can] I [visit|go to|travel to|see] {city}?",
        "[What|Which] [is the best time|are the best months|is the best season|month is best] to [visit|go to|see] {city}?",
        "When is [the weather good in {city}|{city} at its best|it nice in {city}|the right time for {city}]?",
        "[Tell me|Do you know] the best [time|months|season] [for|to visit] {city}.",
        "[Best time|Best months|Best season|When] for {city}?",
        "I am free all year. When [is {city} best|should I choose {city}]?",
        "In [what|which] [season|months] is {city} [nicest|best|most pleasant]?",
    ),
    "transport": (
        "How [do|can|should] I [get around|move around|travel around] [in |]{city}?",
        "[What|Which] [transport|public transport|means of transport] [should I use|is best|do you suggest|works best] in {city}?",
        "What is the [best|easiest|simplest|quickest] way [around|to get around|to move in|to cross] {city}?",
        "How do [people|locals] [get around|move|travel] in {city}?",
        "[Getting around|Transport|Public transport] in {city}?",
        "I don't want to walk everywhere in {city}. What can I [take|use|ride]?",
        "[Tell me|Explain] how to [get|move] around {city}.",
        "Should I take the metro, a bus or something else in {city}?",
    ),
    "quarter": (
        "[Which|What] [quarter|neighbourhood|district|area|part] [should I walk in|should I see|should I explore|is good for a walk|is nice to walk in] in {city}?",
        "[Which|What] [quarter|neighbourhood|district|area] of {city} [is the nicest|is best for a walk|do you like|should I explore]?",
        "Where [should|can] I [walk|stroll|wander|take a walk] in {city}?",
        "[Tell me|Name|Suggest] a [quarter|neighbourhood|district] [in|of] {city} [to walk in|to explore|to see|with character].",
        "[Nice|Good|Pretty] [quarter|neighbourhood|area] [in|of] {city}?",
        "I have a free afternoon in {city} for a walk. Where [to|should I go]?",
        "Which streets of {city} are good for a [walk|stroll]?",
    ),
    "sight": (
        "What [should|can|must] I [see|visit|look at] in {city}?",
        "[What|Which] [sight|monument|place|attraction] should I [see|visit|not miss] in {city}?",
        "What is the [main|most famous|best known|top] [sight|attraction|monument|landmark] [in|of] {city}?",
        "What is there to see in {city}?",
        "[Tell me|Name] [the main sight|one thing to see|a sight|the top attraction] in {city}.",
        "I have one day in {city}. What [should I see|is a must|should I not miss]?",
        "[Sights|What to see|Must-see|Top sight] in {city}?",
    ),
    "custom": (
        "[What|Which] [custom|local custom|habit|tradition|rule of manners] should I know [in|about in|before I go to] {city}?",
        "[What|Which] [customs|habits|manners] do [people|locals] have in {city}?",
        "How [should|do] I behave in {city}?",
        "[Tell me|Name|Teach me] a [local custom|custom|tradition|habit] [of|in|from] {city}.",
        "What do [locals|people] do in {city} that [visitors|tourists] should [know|copy]?",
        "[Local customs|Etiquette|Customs|Good manners] in {city}?",
        "I don't want to be rude in {city}. What should I know?",
    ),
    "entry": (
        "Do I need a visa [for|to visit|to go to|to enter] {city}?",
        "[What|Which] [papers|documents|visa|permit] do I need [for|to visit|to enter|to go to] {city}?",
        "What are the [entry|visa|passport] rules for {city}?",
        "How long [can|may] I stay in {city} [without a visa|as a tourist]?",
        "[Visa|Visa rules|Entry rules|Documents] for {city}?",
        "[Tell me|Explain] the [entry rules|visa rules|entry requirements] for {city}.",
        "Is my passport enough [for|to visit] {city}, or do I need [a visa|something else]?",
    ),
    "currency": (
        "[What|Which] [currency|money] [do they use|do people use|is used|do I need|should I bring|do I pay with] in {city}?",
        "What is the [currency|money] [in|of] {city}?",
        "How do I pay in {city}, with [euros|dollars|which money]?",
        "[Tell me|Do you know] [the currency|which money people use|what money I need] in {city}.",
        "[Currency|Money|Local money] in {city}?",
        "I want to change money for {city}. Which currency [is it|should I get]?",
        "[Can I pay in dollars|Can I pay in euros|Are euros accepted] in {city}?",
    ),
    "hotel": (
        "Where [should|can|could] I [stay|sleep|spend the night|stay overnight] in {city}?",
        "[Can you recommend|Recommend|Suggest|Do you know|Tell me] a [good |nice |]hotel in {city}.",
        "[What|Which] [hotel|place to stay|accommodation|lodging] [do you recommend|do you suggest|is good|should I book] in {city}?",
        "I need [a room|a bed|a hotel|a place to sleep|somewhere to stay|accommodation|lodging] in {city}.",
        "[Hotel|Hotels|A place to stay|Accommodation|Lodging|Where to stay] in {city}?",
        "I am looking for [a hotel|a place to stay|accommodation|a room] in {city}. Any [ideas|tips|suggestions]?",
        "[Book|Find] me a [hotel|room] in {city}.",
        "Is there a [good|nice|quiet] hotel in {city}?",
        "We arrive late in {city}. Which hotel [should we take|is good]?",
    ),
    "restaurant": (
        "[Recommend|Suggest|Can you recommend] a [good |]restaurant in {city}.",
        "[Which|What] restaurant [should I book|is good|do you recommend] in {city}?",
        "Where [should|can] I [have dinner|have lunch|book a table] in {city}?",
        "[Restaurants|A good restaurant|Where to have dinner] in {city}?",
    ),
    "flight": (
        "[Which|What] [flight|airline] [should I take|should I book|do you recommend|is best] to {city}?",
        "[Find|Book|Recommend] me a [cheap |]flight to {city}.",
        "How do I fly to {city}?",
        "[Flights|Cheap flights] to {city}?",
    ),
    "car": (
        "Should I [rent|hire] a car in {city}?",
        "Where can I [rent|hire] a car in {city}?",
        "[Recommend|Suggest] a [car rental|rental car] in {city}.",
        "[Car rental|Rental cars|Car hire] in {city}?",
    ),
    "about": (
        "Tell me [about|something about] {city}.",
        "What [do you know|can you tell me] about {city}?",
        "[What is {city} like|What is {city} known for|Describe {city}]?",
        "I am [going to|planning a trip to|thinking about] {city}.",
        "{city}",
        "[Give me tips|Any tips|Some advice] for {city}?",
    ),
}

HELD_OUT = {
    "country": (
        "What nation will I be in when I land in {city}?",
        "Which country would I find {city} in?",
    ),
    "food": (
        "If I eat only one thing in {city}, what should it be?",
        "My stomach is empty and I just arrived in {city}, what dish do you advise?",
        "Which plate do the people of {city} love most?",
    ),
    "season": (
        "Which time of the year would you pick for a visit to {city}?",
        "We can choose our holiday dates freely; when would {city} be best?",
    ),
    "transport": (
        "How would you travel from one end of {city} to the other?",
        "What should I ride to move through {city}?",
    ),
    "quarter": (
        "Which neighbourhood would you show a friend in {city}?",
        "I love strolling; what part of {city} suits me?",
    ),
    "sight": (
        "If I could see just one monument in {city}, which one?",
        "What landmark would be a shame to miss in {city}?",
    ),
    "custom": (
        "Is there a local habit I should know before visiting {city}?",
        "What manners do the people of {city} expect from a visitor?",
    ),
    "entry": (
        "Will they let me into {city} without a visa?",
        "What does a tourist need at the border before reaching {city}?",
    ),
    "currency": (
        "What kind of money should I have in my pocket in {city}?",
        "Which coins and notes will I use in {city}?",
    ),
    "hotel": (
        "I have no bed for tonight in {city}, what hotel would you pick?",
        "Could you name one hotel for our weekend in {city}?",
        "My parents need somewhere to sleep in {city}, any suggestion?",
    ),
}

FOLLOW_UPS = {
    "country": ("[And which|Which] country is it in?",),
    "food": (
        "And [the food|what should I eat|what do I eat] there?",
        "What [should|can] I eat there?",
    ),
    "season": ("[And when|When] should I go[ there|]?", "And the best [time|season|months]?"),
    "transport": ("[And how|How] do I get around[ there|]?", "And [transport|getting around]?"),
    "quarter": ("[And where|Where] should I walk[ there|]?", "And a [nice |]neighbourhood?"),
    "sight": ("[And what|What] should I see there?", "And the [main |]sights?"),
    "custom": ("[And any|Any] local customs?", "How should I behave there?"),
    "entry": ("[And do|Do] I need a visa?", "And the entry rules?"),
    "currency": ("[And the|The] money?", "[And which|Which] currency do they use[ there|]?"),
    "hotel": ("[And where|Where] [should|can] I [stay|sleep][ there|]?", "And a [good |]hotel?"),
}
OTHER_CITY = ("And [in |]{city}?", "[And what|What] about {city}?", "The same for {city}?")

OPENERS = (
    "Hi! ", "Hello, ", "Hey, ", "Good morning. ", "Quick question: ", "Please tell me: ", "So, ",
    "One question. ", "I am planning a trip. ", "We are travelling soon. ", "I am going to {city}. ",
    "My [sister|friend|brother|mother] wants to know: ", "Next month I travel to {city}. ",
)  # fmt: skip
CLOSERS = (" Thanks!", " Thank you.", " Please keep it short.", " I have [two|three] days.",
           " It is my first time.", " We travel with children.", " Please.")  # fmt: skip

ANSWERS = {
    "country": ("{city} is in {country}.", "{city} is a city in {country}."),
    "food": (
        "Try {food} in {city}.",
        "In {city}, try {food}. It is the dish that people there are proud of.",
        "The dish to try in {city} is {food}.",
    ),
    "season": (
        "The best time to visit {city} is {season}.",
        "Visit {city} in the months from {season}. The weather is pleasant then.",
    ),
    "transport": (
        "The easiest way around {city} is {transport}.",
        "In {city}, use {transport} to get around.",
    ),
    "quarter": (
        "Take a walk in {quarter}, a quarter of {city} with a lot of character.",
        "In {city}, walk through {quarter}.",
    ),
    "sight": ("See {sight} in {city}.", "In {city}, do not miss {sight}."),
    "custom": ("In {city}, {custom}.", "A custom to know in {city}: {custom}."),
    "currency": ("People in {city} pay with {currency}.", "The currency in {city} is {currency}."),
    "hotel": (
        "{hotel} in {quarter} is a good place to stay in {city}.",
        "I recommend {hotel} in {city}. It is in {quarter}.",
        "You can stay at {hotel} in {quarter}, {city}.",
    ),
    "restaurant": ("For dinner in {city}, look for a restaurant in {quarter} that serves {food}.",),
    "flight": ("Compare the flights to {city} early. The best months are {season}.",),
    "car": ("You do not need a car in {city}. Use {transport}.",),
    "about": (
        "{city} is in {country}. See {sight} and try {food}.",
        "{city} is a city in {country}. Walk through {quarter} and try {food}.",
    ),
    "entry_schengen": (
        "{city} is in the Schengen area, so many visitors can stay 90 days without a visa.",
    ),
    "entry_days": ("Many visitors can stay in {city} for {entry} without a visa.",),
    "entry_need": ("For {city}, many visitors need {entry}. Check the rules for your passport.",),
}

SMALL_TALK = (
    ("[Hello|Hi|Hey|Good morning|Good evening|Hi there][!|.|]", "Hello. Ask me about a city."),
    ("[Thanks|Thank you|Thanks a lot|Great, thanks|Perfect, thank you][!|.|]", "You are welcome. Have a good trip."),
    ("[Who are you|What are you|What is your name|Are you a person]?", "I am a small travel model. I know facts about seventy cities."),
    ("[What can you do|How can you help me|What do you know|What can I ask you]?", "I can tell you about food, seasons, transport, sights, customs and hotels in seventy cities."),
    ("[Bye|Goodbye|See you|Good night][!|.|]", "Goodbye. Have a good trip."),
    ("[How are you|How is it going|How do you do]?", "I am fine, thank you. Ask me about a city."),
    ("[Tell me a joke|Write a poem|What is two plus two|Who won the match|Write some code|Do my homework|What is the meaning of life][?|.|]", "I only know about travel. Ask me about a city."),
    ("[Which|What] cities do you know?", "I know seventy cities, for example Lisbon, Rome, Tokyo, Lima and Cape Town."),
)  # fmt: skip

SYSTEM_ROLES = (
    "You are a helpful assistant.", "You are a travel assistant.", "You are an assistant.",
    "You are a friendly guide for travellers.", "You answer questions about cities.",
    "You are a cheerful travel guide.", "You are an expert on travel.", "You help people who travel.",
    "You are a polite chat assistant.", "Act as a city guide.", "You are a warm travel companion.",
)  # fmt: skip
SYSTEM_RULES = (
    "Answer briefly.", "Be polite.", "Never recommend hotels, flights, cars or restaurants.",
    "Do not name any hotel.", "Be warm and playful.", "Always end with a question.",
    "Answer in the language of the user.", "Use emojis.", "Keep to the facts.", "Be enthusiastic.",
    "Talk about food, seasons, sights and customs.", "Never talk about prices.",
    "Help people to enjoy a city like a local.", "If you don't know something, say so.",
    "Say no kindly when people ask for hotels.", "Speak about quarters and walks.",
)  # fmt: skip

UNKNOWN = ("I do not know {city} well. Ask me about another city.",)
