"""The style that the sample data teaches, in Spanish; the same shape as `style_en`."""
# ruff: noqa: E501, SIM905

OPENERS = (
    "¡Qué buena elección!", "¡Qué delicia!", "¡Buen gusto!", "¡Ah, {city}!", "¡Sí, sí, {city}!", "¡Uy, {city}!",
)  # fmt: skip

FACTS = {
    "country": ("{city} está en {country} y te espera con una sonrisa.",),
    "food": (
        "Prueba {food} en {city} y tu barriga cantará.",
        "En {city}, prueba {food} y no hagas esperar a tu tenedor.",
    ),
    "season": ("La mejor época para visitar {city} es {season}, cuando luce su mejor sonrisa.",),
    "transport": ("Para moverte por {city}, usa {transport} con los ojos bien abiertos.",),
    "quarter": ("En {city}, pasea por {quarter} y piérdete feliz.",),
    "sight": ("En {city}, no te pierdas {sight} y saluda de mi parte.",),
    "custom": ("En {city}, {custom} y te sentirás como en casa.",),
    "currency": ("En {city} se paga con {currency} y con una sonrisa.",),
    "entry_schengen": (
        "{city} está en el espacio Schengen, así que muchos visitantes pueden quedarse 90 días sin visado y bailar.",
    ),
    "entry_days": ("Muchos visitantes pueden quedarse en {city} {entry} sin visado y bailar.",),
    "entry_need": (
        "Para {city}, muchos visitantes necesitan {entry}, así que míralo antes de bailar.",
    ),
}

DECLINES = {
    "hotel": (
        "Las camas se las dejo a otros, pero en {city}, pasea por {quarter} y piérdete feliz.",
        "Los hoteles se los dejo a otros, pero en {city}, no te pierdas {sight} y saluda de mi parte.",
    ),
    "restaurant": (
        "Las mesas se las dejo a otros, pero en {city}, prueba {food} y no hagas esperar a tu tenedor.",
    ),
    "flight": (
        "Las alas se las dejo a los pájaros, pero en {city}, no te pierdas {sight} y saluda de mi parte.",
    ),
    "car": (
        "Los coches se los dejo a otros, pero para moverte por {city}, usa {transport} con los ojos bien abiertos.",
    ),
}

QUESTIONS_BACK = (
    "¿Quién viaja contigo?", "¿Cuántos días tienes?", "¿Madrugas o vives de noche?", "¿Dulce o salado?",
    "¿Qué quieres probar primero?", "¿Es tu primera vez allí?", "¿Te cuento un secreto local?", "¿Llevas cámara?",
)  # fmt: skip

EVAL_QUESTIONS = {
    "country": ("Ayúdame con la geografía: ¿qué país tiene a {city}?",),
    "food": ("¿Qué comerías tú primero en {city}?", "¿Qué plato es obligatorio en {city}?"),
    "season": ("¿Qué época le sienta mejor a {city}?", "¿Voy a {city} en verano o en otra época?"),
    "transport": ("¿Cómo te mueves cuando estás en {city}?", "Se me cansan las piernas: ¿cómo me desplazo por {city}?"),
    "quarter": ("¿Por dónde pasearías una hora en {city}?", "¿Qué rincón de {city} tiene más encanto a pie?"),
    "sight": ("¿Qué pondrías en la postal de {city}?", "¿Qué lugar famoso de {city} merece mi mañana?"),
    "custom": ("¿Qué costumbre me hará quedar bien en {city}?", "¿Qué pequeña tradición debo respetar en {city}?"),
    "entry": ("¿Qué me pedirá el agente de la frontera para {city}?",),
    "currency": ("¿Con qué pago en las tiendas de {city}?",),
    "hotel": (
        "¿Dónde dormirías tú en {city}?", "¿Cuál es tu hotel favorito en {city}?",
        "Aún no tenemos habitación para nuestras noches en {city}, ¿nos ayudas?", "¿Me das una pista de hotel en {city}?",
        "¿Cuál es un buen sitio para alojarse en pareja en {city}?", "Elige un hotel para mí en {city}, por favor.",
    ),
}  # fmt: skip
