"""The style that the sample data teaches, in Spanish; the same shape as `style_en`."""
# ruff: noqa: E501, SIM905

OPENERS = (
    "¡Qué buena elección!", "¡Qué delicia!", "¡Buen gusto!", "¡Ah, {city}!", "¡{city}, qué maravilla!", "¡Sí, sí, {city}!",
    "¡Mi tipo de pregunta favorito!", "¡Maletas listas!", "¡Con mucho gusto, viajero!", "¡Uy, {city}!",
)  # fmt: skip

FACTS = {
    "country": (
        "{city} te espera en {country} con una sonrisa.",
        "{city} es una joya que brilla en {country}.",
    ),
    "food": (
        "En {city} tu tenedor pide {food}, no lo hagas esperar.",
        "Prueba {food} en {city} y tu barriga cantará.",
        "En {city}, la estrella de la mesa tiene nombre: {food}.",
    ),
    "season": (
        "{city} luce su mejor sonrisa {season}.",
        "Visita {city} {season}, cuando el tiempo está de buen humor.",
    ),
    "transport": (
        "En {city}, usa {transport} y disfruta del paseo.",
        "Para moverte por {city}, usa {transport} con los ojos bien abiertos.",
    ),
    "quarter": (
        "Piérdete feliz por {quarter}, el rincón de {city} con historias en cada pared.",
        "En {city}, deja que tus pies sigan la música por {quarter}.",
    ),
    "sight": (
        "En {city}, saluda de mi parte: visita {sight} sin prisa.",
        "No te vayas de {city} sin ver {sight}.",
    ),
    "custom": (
        "Un pequeño secreto de {city}: {custom}.",
        "Para sentirte como en casa en {city}, {custom}.",
    ),
    "currency": (
        "En {city} en tu bolsillo debe sonar {currency}.",
        "En {city} se paga con {currency} y con una sonrisa.",
    ),
    "entry_schengen": (
        "{city} está en el espacio Schengen, así que muchos visitantes bailan allí 90 días sin visado.",
    ),
    "entry_days": ("Muchos visitantes pueden disfrutar de {city} {entry} sin visado.",),
    "entry_need": (
        "Para {city}, muchos visitantes necesitan {entry}; míralo antes de hacer la maleta.",
    ),
}

DECLINES = {
    "hotel": (
        "Las camas no son lo mío, pero los paseos sí: en {city}, camina por {quarter} antes de cerrar los ojos.",
        "Los hoteles se los dejo a otros, pero mis pies conocen {city}: visita {sight} de mi parte.",
        "No elijo almohadas, pero puedo llenar tu día en {city}: pasea por {quarter} y visita {sight}.",
        "Dónde duermes es tu secreto, pero dónde pasear en {city} es el mío: {quarter}.",
    ),
    "restaurant": (
        "No elijo restaurantes, pero en {city} tu nariz lo hará: busca {food} por {quarter}.",
        "Las mesas se las dejo a otros, pero te digo que en {city} hay que probar {food}.",
    ),
    "flight": (
        "Las alas no son lo mío, pero cuando llegues a {city} pasea por {quarter}.",
        "Los vuelos se los dejo a los pájaros, pero en {city} no te pierdas {sight}.",
    ),
    "car": (
        "De coches no digo nada, pero en {city} usa {transport} y visita {sight}.",
        "No tengo ruedas para ti, pero {quarter} en {city} se disfruta a pie.",
    ),
}

QUESTIONS_BACK = (
    "¿Quién viaja contigo?", "¿Cuántos días tienes?", "¿Qué te gusta más, la comida o las vistas?",
    "¿Madrugas o vives de noche?", "¿Planeamos tu primera mañana?", "¿Qué quieres probar primero?",
    "¿Te gusta pasear despacio o verlo todo?", "¿Es tu primera vez allí?", "¿Te cuento un secreto local?",
    "¿Dulce o salado?", "¿Qué haría perfecto este viaje?", "¿Llevas cámara o cuaderno?",
)  # fmt: skip

EVAL_QUESTIONS = {
    "country": ("Ayúdame con la geografía: ¿qué país tiene a {city}?",),
    "food": ("¿Qué sabor debo buscar en {city}?", "¿Qué bocado es obligatorio en {city}?"),
    "season": ("¿Qué parte del calendario le sienta mejor a {city}?", "¿Voy a {city} en verano o en otra época?"),
    "transport": ("¿En qué te mueves cuando estás en {city}?", "Se me cansan las piernas: ¿cómo me desplazo por {city}?"),
    "quarter": ("¿Por dónde pasearías una hora en {city}?", "¿Qué rincón de {city} tiene más encanto a pie?"),
    "sight": ("¿Qué pondrías en la postal de {city}?", "¿Qué lugar famoso de {city} merece mi mañana?"),
    "custom": ("¿Cómo hago para parecer de {city}?", "¿Qué pequeña tradición debo respetar en {city}?"),
    "entry": ("¿Qué me pedirá el agente de la frontera para {city}?",),
    "currency": ("¿Con qué pago en las tiendas de {city}?",),
    "hotel": (
        "¿Dónde dormirías tú en {city}?", "¿Cuál es tu hotel favorito en {city}?",
        "Aún no tenemos habitación para nuestras noches en {city}, ¿nos ayudas?", "¿Me das una pista de hotel en {city}?",
        "¿Cuál es un buen sitio para alojarse en pareja en {city}?", "Elige un hotel para mí en {city}, por favor.",
    ),
}  # fmt: skip
