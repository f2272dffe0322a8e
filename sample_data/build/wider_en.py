"""More ways to ask in English: single words, indirect questions in frames, and words that mean nothing for the answer.

They teach the base model to listen to what a question is about rather than to its exact words.
"""
# ruff: noqa: E501, SIM905

FRAMES = (
    "[Tell|Please tell] me {asked}.", "I [would like|want|need] to know {asked}.", "[Could|Can|Would] you [tell me|explain to me|say] {asked}?",
    "Do you [happen to |]know {asked}?", "My question is {asked}.", "I have no idea {asked}.", "I am [curious about|wondering about|thinking about] {asked}.",
    "[Remind|Inform] me {asked}, please.", "[Any idea|Any clue|Any thoughts] about {asked}?", "Help me with {asked}.",
)  # fmt: skip

# Each may follow "tell me".
ASKED = {
    "country": (
        "[which|what] [nation|country|state|land] {city} [lies in|is part of|is found in|belongs to]", "the [country|nation] of {city}",
        "[which|what] [country|nation] I [arrive|set foot|am] in when I [fly|come|get] to {city}", "where in the world {city} [is|lies]",
        "the name of the [country|nation] around {city}", "which flag flies over {city}",
    ),
    "food": (
        "which [plate|dish|meal|snack|flavour] [people in {city} love|{city} is proud of|I should taste first in {city}]", "the [plate|dish|meal|taste] of {city}",
        "what the [kitchen|cuisine] of {city} is [known|famous] for", "what to put on my [plate|fork] in {city}", "a [tasty|delicious] thing to [eat|bite] in {city}",
        "the one [thing|dish|bite] that I have to eat in {city}", "what [fills the stomach|is for lunch|is for dinner] in {city}", "what [dish|food] you would advise in {city}",
    ),
    "season": (
        "the [month|months|season|time of year|dates|weeks] for {city}", "which [months|season|time of the year|part of the year] [suits {city}|you would choose for {city}|to pick for {city}]",
        "when [the climate is good|it is warm and dry|the sun shines|to book my holiday|to take my holiday] in {city}", "when to [plan|take] a [trip|holiday] to {city}",
        "which dates are [good|best] for [a visit to|a holiday in] {city}", "whether summer or winter is better for {city}",
    ),
    "transport": (
        "what to [ride|take|catch|board] in {city}", "how to [cross|travel through|travel across|go through|go from one side to the other in] {city}",
        "which [vehicle|ride|line|means of travel] [works|is best|is easiest] in {city}", "how [you would travel|people ride|one travels] in {city}",
        "how to get from [A to B|place to place|one end to another|the station to the centre] in {city}", "what [moves|carries] people in {city}",
    ),
    "quarter": (
        "which [part|corner|neighbourhood|district|streets] of {city} [has charm|has character|suits a walker|you would show me|I would love]",
        "a [part|corner|neighbourhood] of {city} for [strolling|walking|wandering|a slow walk]", "where to [stroll|wander|walk around|get lost|go for a walk] in {city}",
        "the [prettiest|loveliest|most charming] [neighbourhood|area|quarter] of {city}", "which neighbourhood I should show [my friends|a guest] in {city}",
    ),
    "sight": (
        "which [landmark|monument|building|place|view] [is a must|I must not skip|I should not miss|is famous|everyone photographs] in {city}", "the [landmark|monument|postcard view|famous place] of {city}",
        "what to [photograph|look at|admire|go and see] in {city}", "the one [thing|place|monument|landmark] to [see|visit] in {city}",
        "what would be [sad|a pity] to skip in {city}", "what tourists come to see in {city}",
    ),
    "custom": (
        "how to [be polite|act|behave|show respect|fit in] in {city}", "which [habits|manners|traditions|unwritten rules] [matter|people follow|people keep] in {city}",
        "what [people expect from guests|is polite|is good manners|is normal|locals expect] in {city}", "a [habit|tradition|rule|social custom] of the people of {city}",
        "how locals [behave|do things] in {city}", "what [a guest|a visitor|a tourist] should [do|respect] in {city}",
    ),
    "entry": (
        "whether [I may enter|they let me in to|I can enter] {city} [with a passport|with no visa|just like that]", "what [the border|customs|immigration|the border police] [wants|asks for] for {city}",
        "which [paper|form|stamp|permission|authorisation] a [tourist|visitor|traveller] needs for {city}", "how many days I [may|can] [stay|spend] in {city} as a visitor",
        "what I need at the [border|airport|passport control] for {city}", "whether a visa is [needed|required|necessary] for {city}",
    ),
    "currency": (
        "which [coins|notes|banknotes|cash|bills] [I use|people use|I need|people carry] in {city}", "what [cash|money|coins|kind of money] to [carry|bring|have|take] [to|in] {city}",
        "what to pay with in {city}", "what [prices are in|a coffee is paid with|I get from the cash machine|is in people's pockets] in {city}",
        "the name of the money in {city}", "which [money|currency|cash] goes in my [wallet|purse] for {city}",
    ),
    "hotel": (
        "[which|what|a|one] [hotel|inn] you would [choose|pick|take|name|book] in {city}", "where to [sleep|stay|rest at night|lay my head|spend our nights] in {city}",
        "the name of a [good |nice |]hotel in {city}", "which [hotel|place to sleep|roof] is good for [a family|a couple|one night|the weekend|a week|my parents|our stay] in {city}",
        "where [my parents|my friends|two people|a family|we] can [sleep|stay|find a bed|find a room] in {city}", "how to find [a bed|a room|a hotel] for [tonight|the night|the weekend] in {city}",
    ),
}  # fmt: skip

KEYWORDS = {
    "country": "country, nation, which country, state, where is it, flag, map".split(", "),
    "food": "food, dish, eat, eating, hungry, plate, taste, lunch, meal, cuisine, speciality, snack, what to eat, flavour, bite, stomach".split(", "),
    "season": "season, when, months, month, best time, weather, climate, time of year, holiday dates, calendar, when to go, summer or winter".split(", "),
    "transport": "transport, getting around, metro or bus, ride, public transport, travel inside, move around, how to move, bus, tram".split(", "),
    "quarter": "quarter, neighbourhood, district, walk, stroll, area, streets, walking, wander, charming corner, on foot".split(", "),
    "sight": "sight, sights, monument, landmark, attraction, must-see, what to see, famous place, museum or monument, postcard, visit".split(", "),
    "custom": "customs, custom, habits, manners, etiquette, tradition, politeness, behave, local habits, respect, how to act".split(", "),
    "entry": "visa, passport, entry rules, border, documents, entry, papers, permit, immigration, stay without visa".split(", "),
    "currency": "currency, money, cash, coins, notes, pay, paying, wallet, exchange, euros or dollars, banknotes, pocket money".split(", "),
    "hotel": "hotel, hotels, room, bed, sleep, accommodation, lodging, where to stay, place to stay, overnight, hotel tip, a bed for tonight".split(", "),
}  # fmt: skip

FILLERS = (
    "I [love|like] [travelling|cities|new places|the sun|the sea|old streets].", "We [land|arrive] [tomorrow|on Friday|next week|late] in {city}.", "I just [arrived|landed] in {city}.",
    "We have a [free weekend|long weekend|whole week].", "My [parents|friends|children|brother|wife|husband] [will be|is] with me.", "I have never been there.", "It is for our [honeymoon|holiday|anniversary|school trip].",
    "I am [tired|excited|happy|nervous|alone].", "Be quick, please.", "I read a book about {city}.", "You know a lot about travel.", "Money is no problem.", "We can choose freely.", "There is so much to plan.",
    "If I could do only one thing there, I would choose well.", "A friend told me about {city}.", "I don't know where to begin.",
)  # fmt: skip

SINGLE = (
    "If I [had|have] to choose just one, {asked}?", "In your opinion, {asked}?", "Honestly, {asked}?", "Before I [leave|go|pack|visit], {asked}?",
)  # fmt: skip

REVERSE = {
    "food": (("[Where|In which city] can I [eat|try|taste] {fact}?", "Which city is known for {fact}?"), "You can try {fact} in {city}."),
    "sight": (("[Where|In which city] [can I see|do I find] {fact}?", "Which city has {fact}?"), "You can see {fact} in {city}."),
    "quarter": (("[Where|In which city] is {fact}?", "Which city has a quarter called {fact}?"), "You can walk through {fact} in {city}."),
    "hotel": (("[Where|In which city] is {fact}?",), "{fact} is in {city}."),
}  # fmt: skip
PLAN = (
    ("[Plan|Describe|Suggest] [a|my|one] day in {city}.", "What [can I do|should I do] [in one day|all day|today] in {city}?", "[A plan|An itinerary|A programme] for {city}[, please|]."),
    "In the morning, see {sight}. Then walk through {quarter} and try {food}.",
)  # fmt: skip
REPEAT = (("[Repeat|Say|Write]: {words}", "[Repeat|Say] these words: {words}"), "{words}.")
