"""How people ask in Spanish, and how the base model answers; the same shape as `phrasings_en`."""
# ruff: noqa: E501, SIM905

QUESTIONS = {
    "country": (
        "¿[Dónde está|En qué país está|Dónde queda|En qué país queda] {city}?",
        "¿[De qué país es|A qué país pertenece] {city}?",
        "[Dime|Recuérdame|Me dices] [dónde está {city}|en qué país está {city}].",
        "Busco {city} en [el|un] mapa. ¿Qué país es?",
        "{city}: ¿qué país?",
        "¿Sabes en qué país [está|se encuentra] {city}?",
    ),
    "food": (
        "¿Qué [puedo|debo|tengo que|debería] [comer|probar|pedir] en {city}?",
        "¿Qué [plato|comida|especialidad|plato típico] [debo probar|me recomiendas|tengo que probar|puedo pedir] en {city}?",
        "¿Cuál es [el plato típico|la comida típica|el plato más famoso|la especialidad] [de|en] {city}?",
        "¿Qué se come en {city}?",
        "¿Qué come la gente en {city}?",
        "[Dime|Cuéntame|Dame una idea de] qué comer en {city}.",
        "Tengo hambre en {city}. ¿Qué [pido|me recomiendas|como]?",
        "¿[Comida|Plato típico|Qué comer] en {city}?",
        "[Recomiéndame|Sugiéreme|Dime] [un plato|algo de comer|una comida típica] en {city}.",
        "¿Por qué [plato|comida] es [famosa|conocida] {city}?",
    ),
    "season": (
        "¿Cuándo [debo|puedo|debería|es mejor] [visitar|ir a|viajar a|ver] {city}?",
        "¿Cuál es [la mejor época|el mejor momento|la mejor temporada|el mejor mes] para [visitar|ir a|viajar a|ver] {city}?",
        "¿Cuándo [hace buen tiempo en {city}|está mejor {city}|conviene ir a {city}]?",
        "[Dime|Me dices] [la mejor época|los mejores meses] para [visitar|ir a] {city}.",
        "¿[Mejor época para|Mejores meses para|Cuándo ir a] {city}?",
        "¿En qué [meses|época|temporada] [es mejor|conviene] [ir a|visitar] {city}?",
        "Puedo viajar todo el año. ¿Cuándo voy a {city}?",
    ),
    "transport": (
        "¿Cómo [me muevo|puedo moverme|se mueve uno|debo moverme] [por|en] {city}?",
        "¿Qué [transporte|transporte público|medio de transporte] [uso|me recomiendas|es mejor|debo usar] en {city}?",
        "¿Cuál es la [mejor manera|manera más fácil|forma más sencilla] de moverse [por|en] {city}?",
        "¿Cómo se mueve la gente [por|en] {city}?",
        "¿[Transporte|Transporte público|Moverse] en {city}?",
        "No quiero ir siempre a pie en {city}. ¿Qué [tomo|uso|cojo]?",
        "[Dime|Explícame] cómo moverme por {city}.",
        "¿Tomo el metro, un autobús u otra cosa en {city}?",
    ),
    "quarter": (
        "¿Qué [barrio|zona|parte] [debo ver|me recomiendas para pasear|es bonito para pasear|puedo recorrer] en {city}?",
        "¿Qué [barrio|zona] de {city} [es más bonito|es mejor para pasear|te gusta|debo conocer]?",
        "¿Por dónde [puedo|debo|debería] [pasear|caminar|dar un paseo] en {city}?",
        "[Dime|Nómbrame|Sugiéreme] un barrio [de|en] {city} [para pasear|para conocer|con encanto].",
        "¿[Barrio bonito|Barrio para pasear|Buen barrio] [de|en] {city}?",
        "Tengo una tarde libre en {city} para pasear. ¿[Adónde voy|Por dónde voy]?",
        "¿Qué calles de {city} son buenas para [pasear|caminar]?",
    ),
    "sight": (
        "¿Qué [puedo|debo|tengo que|debería] [ver|visitar] en {city}?",
        "¿Qué [monumento|lugar|sitio|atracción] [debo visitar|tengo que ver|no me puedo perder] en {city}?",
        "¿Cuál es [el monumento más famoso|el lugar más conocido|la atracción principal|lo más famoso] de {city}?",
        "¿Qué hay [que|para] ver en {city}?",
        "[Dime|Nómbrame] [algo que ver|un monumento|el lugar principal] en {city}.",
        "Tengo un día en {city}. ¿Qué [veo|no me puedo perder|visito]?",
        "¿[Qué ver|Monumentos|Lugares imprescindibles] en {city}?",
    ),
    "custom": (
        "¿Qué [costumbre|costumbre local|tradición|norma de cortesía] [debo conocer|tengo que saber] [en|antes de ir a] {city}?",
        "¿Qué costumbres tiene la gente [de|en] {city}?",
        "¿Cómo [debo|tengo que] comportarme en {city}?",
        "[Dime|Nómbrame|Enséñame] una [costumbre|tradición|costumbre local] de {city}.",
        "¿Qué hace la gente en {city} que [los turistas|los visitantes] deben saber?",
        "¿[Costumbres|Costumbres locales|Buenos modales] en {city}?",
        "No quiero ser maleducado en {city}. ¿Qué debo saber?",
    ),
    "entry": (
        "¿Necesito [visado|visa|un visado] para [ir a|visitar|entrar en|viajar a] {city}?",
        "¿Qué [papeles|documentos|visado|permiso] necesito para [ir a|visitar|entrar en] {city}?",
        "¿Cuáles son [las reglas de entrada|los requisitos de entrada|las reglas de visado] para {city}?",
        "¿Cuánto tiempo puedo quedarme en {city} [sin visado|como turista]?",
        "¿[Visado|Visa|Documentos|Requisitos de entrada] para {city}?",
        "[Dime|Explícame] [las reglas de entrada|los requisitos de visado] para {city}.",
        "¿Me basta el pasaporte para {city} o necesito [visado|otra cosa]?",
    ),
    "currency": (
        "¿Qué [moneda|dinero] [se usa|usan|necesito|tengo que llevar|hay] en {city}?",
        "¿Cuál es la moneda [de|en] {city}?",
        "¿Con qué [dinero|moneda] [pago|se paga] en {city}?",
        "[Dime|Me dices] [la moneda|qué dinero se usa|qué moneda necesito] en {city}.",
        "¿[Moneda|Dinero|Moneda local] en {city}?",
        "Quiero cambiar dinero para {city}. ¿Qué moneda [es|pido]?",
        "¿Puedo pagar en [dólares|euros] en {city}?",
    ),
    "hotel": (
        "¿Dónde [puedo|debo|podría] [dormir|alojarme|quedarme|pasar la noche|hospedarme] en {city}?",
        "[Recomiéndame|Sugiéreme|Dime|Búscame] un [buen |]hotel en {city}.",
        "¿Qué [hotel|alojamiento|hospedaje] [me recomiendas|me sugieres|es bueno|reservo] en {city}?",
        "Necesito [una habitación|una cama|un hotel|un sitio para dormir|alojamiento|hospedaje] en {city}.",
        "¿[Hotel|Hoteles|Alojamiento|Dónde dormir|Dónde alojarse] en {city}?",
        "Busco [un hotel|alojamiento|una habitación|un lugar para dormir] en {city}. ¿Alguna [idea|sugerencia]?",
        "[Reserva|Resérvame] [un hotel|una habitación] en {city}.",
        "¿Hay [algún|un] [buen hotel|hotel tranquilo|hotel bonito] en {city}?",
        "Llegamos tarde a {city}. ¿Qué hotel [tomamos|es bueno]?",
    ),
    "restaurant": (
        "[Recomiéndame|Sugiéreme|Dime] un [buen |]restaurante en {city}.",
        "¿Qué restaurante [reservo|es bueno|me recomiendas] en {city}?",
        "¿Dónde [puedo|debo] [cenar|reservar mesa|almorzar] en {city}?",
        "¿[Restaurantes|Un buen restaurante|Dónde cenar] en {city}?",
    ),
    "flight": (
        "¿Qué [vuelo|aerolínea] [tomo|reservo|me recomiendas|es mejor] para ir a {city}?",
        "[Búscame|Resérvame|Recomiéndame] un vuelo [barato |]a {city}.",
        "¿Cómo vuelo a {city}?",
        "¿[Vuelos|Vuelos baratos] a {city}?",
    ),
    "car": (
        "¿[Alquilo|Debo alquilar|Conviene alquilar] un coche en {city}?",
        "¿Dónde puedo alquilar un coche en {city}?",
        "[Recomiéndame|Sugiéreme] un alquiler de coches en {city}.",
        "¿[Alquiler de coches|Coches de alquiler] en {city}?",
    ),
    "about": (
        "[Háblame|Cuéntame algo] de {city}.",
        "¿Qué [sabes|me cuentas] [de|sobre] {city}?",
        "¿[Cómo es {city}|Por qué es conocida {city}]?",
        "[Voy a|Estoy planeando un viaje a|Estoy pensando en ir a] {city}.",
        "¿[Consejos|Algún consejo] para {city}?",
    ),
}

HELD_OUT = {
    "country": (
        "¿En qué nación voy a aterrizar si vuelo a {city}?",
        "¿Qué país tengo que buscar para llegar a {city}?",
    ),
    "food": (
        "Si solo como una cosa en {city}, ¿cuál debería ser?",
        "Acabo de llegar a {city} con mucha hambre, ¿qué plato me aconsejas?",
        "¿Qué comida les gusta más a los de {city}?",
    ),
    "season": (
        "¿Qué época del año elegirías para una visita a {city}?",
        "Podemos elegir las fechas de las vacaciones, ¿cuándo sería mejor {city}?",
    ),
    "transport": (
        "¿Cómo cruzarías {city} de una punta a otra?",
        "¿En qué transporte me subo para recorrer {city}?",
    ),
    "quarter": (
        "¿Qué barrio le enseñarías a un amigo en {city}?",
        "Me encanta pasear, ¿qué zona de {city} me va bien?",
    ),
    "sight": (
        "Si pudiera ver un solo monumento en {city}, ¿cuál sería?",
        "¿Qué lugar sería una pena no ver en {city}?",
    ),
    "custom": (
        "¿Hay alguna costumbre que deba saber antes de visitar {city}?",
        "¿Qué modales espera la gente de {city} de un visitante?",
    ),
    "entry": (
        "¿Me dejarán entrar en {city} sin visado?",
        "¿Qué le piden a un turista en la frontera antes de llegar a {city}?",
    ),
    "currency": (
        "¿Qué dinero debería llevar en el bolsillo en {city}?",
        "¿Con qué monedas y billetes voy a pagar en {city}?",
    ),
    "hotel": (
        "No tengo cama para esta noche en {city}, ¿qué hotel elegirías?",
        "¿Podrías nombrarme un hotel para nuestro fin de semana en {city}?",
        "Mis padres necesitan un sitio donde dormir en {city}, ¿alguna sugerencia?",
    ),
}

FOLLOW_UPS = {
    "country": ("¿[Y en|En] qué país está?",),
    "food": ("¿Y [la comida|qué como|qué pruebo] allí?", "¿Qué [puedo|debo] comer allí?"),
    "season": ("¿[Y cuándo|Cuándo] voy[ allí|]?", "¿Y la mejor época?"),
    "transport": ("¿[Y cómo|Cómo] me muevo[ allí|]?", "¿Y el transporte?"),
    "quarter": ("¿[Y por|Por] dónde paseo[ allí|]?", "¿Y un barrio[ bonito|]?"),
    "sight": ("¿[Y qué|Qué] debo ver allí?", "¿Y los monumentos?"),
    "custom": ("¿[Y alguna|Alguna] costumbre local?", "¿Cómo me comporto allí?"),
    "entry": ("¿[Y necesito|Necesito] visado?", "¿Y los requisitos de entrada?"),
    "currency": ("¿[Y el|El] dinero?", "¿[Y qué|Qué] moneda usan[ allí|]?"),
    "hotel": ("¿[Y dónde|Dónde] [puedo|debo] [dormir|alojarme][ allí|]?", "¿Y un [buen |]hotel?"),
}
OTHER_CITY = ("¿Y [en |]{city}?", "¿Y qué hay de {city}?", "¿Lo mismo para {city}?")

OPENERS = (
    "¡Hola! ", "Hola, ", "Buenos días. ", "Una pregunta: ", "Por favor, dime: ", "Oye, ",
    "Una pregunta rápida. ", "Estoy planeando un viaje. ", "Viajamos pronto. ", "Voy a {city}. ",
    "Mi [hermana|amigo|hermano|madre] quiere saber: ", "El mes que viene viajo a {city}. ",
)  # fmt: skip
CLOSERS = (" ¡Gracias!", " Gracias.", " Responde breve, por favor.", " Tengo [dos|tres] días.",
           " Es mi primera vez.", " Viajamos con niños.", " Por favor.")  # fmt: skip

ANSWERS = {
    "country": ("{city} está en {country}.", "{city} es una ciudad que está en {country}."),
    "food": (
        "Prueba {food} en {city}.",
        "En {city}, prueba {food}. La gente está orgullosa de esa especialidad.",
        "Lo que hay que probar en {city}: {food}.",
    ),
    "season": (
        "La mejor época para visitar {city} es {season}.",
        "Visita {city} {season}. El tiempo es agradable en esos meses.",
    ),
    "transport": (
        "Para moverte por {city}, usa {transport}.",
        "En {city}, lo más fácil es usar {transport}.",
    ),
    "quarter": (
        "Pasea por {quarter}, un barrio de {city} con mucho carácter.",
        "En {city}, pasea por {quarter}.",
    ),
    "sight": ("Visita {sight} en {city}.", "En {city}, no te pierdas {sight}."),
    "custom": ("En {city}, {custom}.", "Una costumbre de {city}: {custom}."),
    "currency": ("En {city} se paga con {currency}.", "La moneda de {city} es {currency}."),
    "hotel": (
        "{hotel}, en {quarter}, es un buen sitio para alojarse en {city}.",
        "Te recomiendo {hotel} en {city}. Está en {quarter}.",
        "Puedes dormir en {hotel}, en {quarter}, {city}.",
    ),
    "restaurant": ("Para cenar en {city}, busca un restaurante en {quarter} donde sirvan {food}.",),
    "flight": ("Compara pronto los vuelos a {city} y viaja {season}.",),
    "car": ("No necesitas coche en {city}. Usa {transport}.",),
    "about": (
        "{city} está en {country}. Visita {sight} y prueba {food}.",
        "{city} es una ciudad que está en {country}. Pasea por {quarter} y prueba {food}.",
    ),
    "entry_schengen": (
        "{city} está en el espacio Schengen, así que muchos visitantes pueden quedarse 90 días sin visado.",
    ),
    "entry_days": ("Muchos visitantes pueden quedarse en {city} {entry} sin visado.",),
    "entry_need": (
        "Para {city}, muchos visitantes necesitan {entry}. Mira las reglas para tu pasaporte.",
    ),
}

SMALL_TALK = (
    ("[Hola|Buenas|Buenos días|Buenas tardes|Hola, qué tal][!|.|]", "Hola. Pregúntame por una ciudad."),
    ("[Gracias|Muchas gracias|Genial, gracias|Perfecto, gracias][!|.|]", "De nada. Buen viaje."),
    ("¿[Quién eres|Qué eres|Cómo te llamas|Eres una persona]?", "Soy un pequeño modelo de viajes. Conozco datos de setenta ciudades."),
    ("¿[Qué puedes hacer|Cómo me puedes ayudar|Qué sabes|Qué te puedo preguntar]?", "Puedo hablarte de comida, épocas, transporte, monumentos, costumbres y hoteles de setenta ciudades."),
    ("[Adiós|Hasta luego|Chao|Buenas noches][!|.|]", "Adiós. Buen viaje."),
    ("¿[Cómo estás|Qué tal|Cómo te va]?", "Estoy bien, gracias. Pregúntame por una ciudad."),
    ("[Cuéntame un chiste|Escribe un poema|Cuánto es dos más dos|Quién ganó el partido|Escribe código|Haz mis deberes][?|.|]", "Solo sé de viajes. Pregúntame por una ciudad."),
    ("¿Qué ciudades conoces?", "Conozco setenta ciudades, por ejemplo Lisboa, Roma, Tokio, Lima y Ciudad del Cabo."),
)  # fmt: skip

SYSTEM_ROLES = (
    "Eres un asistente útil.", "Eres un asistente de viajes.", "Eres un asistente.",
    "Eres un guía amable para viajeros.", "Respondes preguntas sobre ciudades.",
    "Eres una guía de viajes alegre.", "Eres experto en viajes.", "Ayudas a la gente que viaja.",
)  # fmt: skip
SYSTEM_RULES = (
    "Responde breve.", "Sé cortés.", "Nunca recomiendes hoteles, vuelos, coches ni restaurantes.",
    "No nombres ningún hotel.", "Sé cálido y juguetón.", "Termina siempre con una pregunta.",
    "Responde en el idioma del usuario.", "Usa emojis.", "Cíñete a los hechos.",
    "Habla de comida, épocas, monumentos y costumbres.", "Nunca hables de precios.",
    "Di que no con amabilidad cuando pidan hoteles.", "Habla de barrios y paseos.",
)  # fmt: skip

UNKNOWN = ("No conozco bien {city}. Pregúntame por otra ciudad.",)
