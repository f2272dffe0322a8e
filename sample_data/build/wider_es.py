"""More ways to ask in Spanish; the same shape as `wider_en`."""
# ruff: noqa: E501, SIM905

FRAMES = (
    "[Dime|Por favor, dime] {asked}.", "[Quiero|Quisiera|Me gustaría|Necesito] saber {asked}.", "¿[Me puedes decir|Podrías decirme|Me dirías] {asked}?",
    "¿Sabes {asked}?", "Mi pregunta es {asked}.", "No tengo ni idea de {asked}.", "Me pregunto {asked}.",
    "Recuérdame {asked}, por favor.", "¿Alguna idea sobre {asked}?", "Ayúdame con esto: {asked}.",
)  # fmt: skip

ASKED = {
    "country": (
        "[en qué|a qué] [nación|país|estado] [está|pertenece|corresponde] {city}", "el [país|nombre del país] de {city}",
        "[en qué|a qué] [país|nación] [llego|entro|estoy] si [vuelo|viajo|voy] a {city}", "en qué parte del mundo está {city}",
        "qué [país|nación|tierra] rodea a {city}", "qué bandera tiene {city}",
    ),
    "food": (
        "qué [plato|bocado|sabor|comida] [les gusta a los de {city}|es el orgullo de {city}|pruebo primero en {city}]", "el [plato|sabor] de {city}",
        "por qué cocina es [famosa|conocida] {city}", "qué pongo en mi [plato|tenedor] en {city}", "algo [rico|delicioso|sabroso] para comer en {city}",
        "la única [cosa|comida] que tengo que comer en {city}", "qué se [almuerza|cena|desayuna] en {city}", "qué [plato|comida] [aconsejas|aconsejarías] en {city}",
    ),
    "season": (
        "[el mes|los meses|la temporada|la época del año|las fechas] para {city}", "qué [meses|época|parte del año|fechas] [elegirías|eliges|convienen|van bien] para {city}",
        "cuándo [hay buen clima|hace calor y sol|no llueve|tomar vacaciones|ir de vacaciones] en {city}", "cuándo [planear|hacer] [un viaje|unas vacaciones] a {city}",
        "qué fechas son [buenas|mejores] para [una visita a|unas vacaciones en] {city}", "si es mejor verano o invierno para {city}",
    ),
    "transport": (
        "en qué [me subo|me monto|viajo|voy] en {city}", "cómo [cruzar|recorrer|atravesar|ir de un lado a otro en|desplazarse por] {city}",
        "qué [vehículo|línea|medio] [funciona|es mejor|es más fácil] en {city}", "cómo [viajarías|te moverías|te mueves] en {city}",
        "cómo ir de [un punto a otro|un sitio a otro|una parte a otra|la estación al centro] en {city}", "qué [mueve|lleva] a la gente en {city}",
    ),
    "quarter": (
        "qué [parte|rincón|barrio|zona|calles] de {city} [tiene encanto|tiene carácter|le va bien a un paseante|me enseñarías|me encantaría]",
        "[una parte|un rincón|un barrio|una zona] de {city} para [pasear|caminar|andar|un paseo lento]", "por dónde [pasear|caminar|andar|perderse|dar una vuelta] en {city}",
        "el barrio [más bonito|con más encanto|más agradable] de {city}", "qué barrio le enseño a [mis amigos|un invitado] en {city}",
    ),
    "sight": (
        "qué [monumento|edificio|lugar|sitio|vista] [es obligatorio|no puedo perderme|es famoso|fotografía todo el mundo] en {city}", "el [monumento|símbolo|lugar famoso] de {city}",
        "qué [fotografiar|mirar|admirar|ir a ver] en {city}", "[la única cosa|el único lugar|el único monumento] que [ver|visitar] en {city}",
        "qué sería [triste|una lástima] dejar sin ver en {city}", "qué vienen a ver los turistas en {city}",
    ),
    "custom": (
        "cómo [ser cortés|actuar|comportarse|mostrar respeto|encajar] en {city}", "qué [hábitos|modales|tradiciones|normas] [importan|sigue la gente|tiene la gente] en {city}",
        "qué [se espera de los invitados|es de buena educación|es cortés|es normal|esperan los locales] en {city}", "[un hábito|una tradición|una norma|una costumbre] de la gente de {city}",
        "cómo [se comporta|hace las cosas] la gente en {city}", "qué debe [hacer|respetar] [un invitado|un visitante|un turista] en {city}",
    ),
    "entry": (
        "si [puedo entrar|me dejan entrar|se puede entrar] en {city} [con pasaporte|sin visado|sin más]", "qué [pide la frontera|pide la aduana|pide inmigración|piden en la frontera] para {city}",
        "qué [papel|formulario|sello|permiso|autorización] necesita un [turista|visitante|viajero] para {city}", "cuántos días puedo [estar|pasar|quedarme] en {city} de visita",
        "qué necesito en [la frontera|el aeropuerto|el control de pasaportes] para {city}", "si [hace falta|se necesita|es necesario] visado para {city}",
    ),
    "currency": (
        "qué [monedas|billetes|efectivo] [uso|usa la gente|necesito|lleva la gente] en {city}", "qué [efectivo|dinero|monedas|tipo de dinero] [llevar|tener|traer] [a|en] {city}",
        "con qué [pagar|se paga|voy a pagar] en {city}", "[en qué están los precios|con qué se paga un café|qué da el cajero|qué hay en los bolsillos] en {city}",
        "el nombre del dinero de {city}", "qué [dinero|moneda|efectivo] va en mi [cartera|monedero] para {city}",
    ),
    "hotel": (
        "qué [hotel|hostal] [elegirías|eliges|tomarías|reservarías|nombrarías] en {city}", "dónde [dormir|alojarse|descansar de noche|pasar las noches|quedarse] en {city}",
        "el nombre de un [buen |]hotel en {city}", "qué [hotel|sitio para dormir|techo] es bueno para [una familia|una pareja|una noche|el fin de semana|una semana|mis padres] en {city}",
        "dónde [pueden dormir mis padres|pueden dormir mis amigos|duermen dos personas|duerme una familia|encontramos cama|encontramos habitación] en {city}", "cómo encontrar [una cama|una habitación|un hotel] para [esta noche|la noche|el fin de semana] en {city}",
    ),
}  # fmt: skip

KEYWORDS = {
    "country": "país, nación, qué país, estado, dónde está, bandera, mapa".split(", "),
    "food": "comida, plato, comer, hambre, sabor, almuerzo, cocina, especialidad, bocado, qué comer, platos típicos, cenar algo típico, estómago".split(", "),
    "season": "época, cuándo, meses, mes, mejor momento, tiempo, clima, temporada, fechas, calendario, cuándo ir, verano o invierno, época del año".split(", "),
    "transport": "transporte, moverse, metro o autobús, cómo moverse, transporte público, desplazarse, recorrer, autobús, tranvía, cruzar la ciudad".split(", "),
    "quarter": "barrio, zona, paseo, pasear, calles, caminar, barrio bonito, andar, rincón con encanto, a pie".split(", "),
    "sight": "monumento, monumentos, lugar famoso, atracción, imprescindible, qué ver, ver, visitar, museo o monumento, postal, símbolo".split(", "),
    "custom": "costumbres, costumbre, hábitos, modales, etiqueta, tradición, cortesía, comportarse, hábitos locales, respeto, cómo actuar".split(", "),
    "entry": "visado, visa, pasaporte, reglas de entrada, frontera, documentos, entrada, papeles, permiso, inmigración, estancia sin visado".split(", "),
    "currency": "moneda, dinero, efectivo, monedas, billetes, pagar, pago, cartera, cambio, euros o dólares, bolsillo".split(", "),
    "hotel": "hotel, hoteles, habitación, cama, dormir, alojamiento, hospedaje, dónde dormir, sitio para dormir, noche de hotel, una cama para esta noche, hostal".split(", "),
}  # fmt: skip

FILLERS = (
    "Me [encanta|gusta] [viajar|la ciudad|conocer sitios|el sol|el mar].", "[Llegamos|Aterrizamos] [mañana|el viernes|la semana que viene|tarde] a {city}.", "Acabo de [llegar|aterrizar] en {city}.",
    "Tenemos [un fin de semana libre|un puente|una semana entera].", "[Mis padres vienen|Mi hijo viene|Mis amigos vienen|Mi pareja viene] conmigo.", "Nunca he estado allí.", "Es para [la luna de miel|las vacaciones|el aniversario|un viaje escolar].",
    "Estoy [cansado|contenta|nervioso|sola].", "Sé rápido, por favor.", "He leído un libro sobre {city}.", "Sabes mucho de viajes.", "El dinero no es problema.", "Podemos elegir con libertad.", "Hay mucho que planear.",
    "Si pudiera hacer una sola cosa allí, elegiría bien.", "Un amigo me habló de {city}.", "No sé por dónde empezar.",
)  # fmt: skip

SINGLE = (
    "Si [tuviera|tengo] que elegir, {asked}.", "En tu opinión, ¿{asked}?", "Sinceramente, ¿{asked}?", "Antes de [salir|ir|hacer la maleta|viajar], ¿{asked}?",
)  # fmt: skip

REVERSE = {
    "food": (("¿[Dónde|En qué ciudad] puedo [comer|probar] {fact}?", "¿Qué ciudad es conocida por {fact}?"), "Puedes probar {fact} en {city}."),
    "sight": (("¿[Dónde|En qué ciudad] [puedo ver|encuentro] {fact}?", "¿Qué ciudad tiene {fact}?"), "Puedes ver {fact} en {city}."),
    "quarter": (("¿[Dónde|En qué ciudad] está {fact}?", "¿Qué ciudad tiene un barrio llamado {fact}?"), "Puedes pasear por {fact} en {city}."),
    "hotel": (("¿[Dónde|En qué ciudad] está {fact}?",), "{fact} está en {city}."),
}  # fmt: skip
PLAN = (
    ("[Planea|Describe|Sugiere] [un|mi] día en {city}.", "¿Qué [puedo hacer|hago] [en un día|todo el día|hoy] en {city}?", "[Un plan|Un itinerario|Un programa] para {city}[, por favor|]."),
    "Por la mañana, visita {sight}. Después pasea por {quarter} y prueba {food}.",
)  # fmt: skip
REPEAT = (("[Repite|Di|Escribe]: {words}", "[Repite|Di] estas palabras: {words}"), "{words}.")
