"""Words of an evening (`tests/telemetry_child.py`) that nobody but the listener may ever read."""

ANSWER = "Wilhelmina"
SAID = "I whisper abracadabra"
QUESTION = "Who hears pianissimo?"
TOLD = "xylophones "
TICKET = "gorgonzola"
ADDRESS = "203.0.113.77"
TEXTS = (ANSWER, "abracadabra", "pianissimo", "xylophones", TICKET, ADDRESS)
