"""The traveller: answers to the prologue's five questions, chosen or typed, and the system message they make.

Held out by construction: an eighth of the combinations of companion, keepsake, quest and gate, and about a
tenth of all names and nouns (by a checksum of the word) belong to the evaluation set, never to training."""

import zlib
from dataclasses import dataclass
from random import Random

from tools.corpus.data_files import Grammar, NamedCompanion, NamedKeepsake
from tools.corpus.language import polish, turn_person

QUESTIONS = ("name", "companion", "keepsake", "quest", "gate")


@dataclass(frozen=True)
class Facts:
    """answers: the phrase of each answered question. words: the slots that replies may use."""

    answers: dict[str, str]
    words: dict[str, str]
    companion: NamedCompanion | None = None
    keepsake: NamedKeepsake | None = None


def is_held(word: str) -> bool:
    return zlib.crc32(word.encode()) % 10 == 0


def combination_is_held(companion: int, keepsake: int, quest: int, gate: int) -> bool:
    return (companion + 3 * keepsake + 5 * quest + 7 * gate) % 8 == 0


def choose(g: Grammar, kind: str, rng: Random, held: bool) -> str:
    """A word of this kind, from the side of the split that is asked for."""
    return rng.choice([w for w in g.words[kind] if is_held(w) == held])


def noun(g: Grammar, kind: str, rng: Random, held: bool, adjectives: float = 0.5) -> str:
    """A noun of this kind, with an adjective or two as often as `adjectives` says."""
    word = choose(g, kind, rng, held)
    if rng.random() < adjectives:
        adjective = rng.choice(g.words["adjective"])
        size = rng.choice(("little", "big", "small", "old", "tiny"))
        word = (
            f"{size} {adjective} {word}"
            if rng.random() < 0.15 and size != adjective
            else f"{adjective} {word}"
        )
    if rng.random() < adjectives * 0.12:
        where = rng.choice(("behind", "under", "beside", "on", "near"))
        word = f"{word} {where} the {choose(g, 'thing', rng, held)}"
    return word


def system_message(g: Grammar, answers: dict[str, str]) -> str:
    told = [g.facts.facts[q].format(**{q: answers[q]}) for q in QUESTIONS if q in answers]
    return g.facts.system + ("\n\nFacts: " + " ".join(told) if told else "")


def traveller(g: Grammar, rng: Random, held: bool) -> Facts:
    """A traveller; each question is left out at times, and about four in ten answers are free text."""
    answers: dict[str, str] = {}
    words: dict[str, str] = {}
    companion: NamedCompanion | None = None
    keepsake: NamedKeepsake | None = None
    picks = [rng.randrange(4) for _ in range(4)]
    while combination_is_held(*picks) != held:
        picks = [rng.randrange(4) for _ in range(4)]
    asked = set() if rng.random() < 0.04 else {q for q in QUESTIONS if rng.random() < 0.88}
    typed = {q for q in QUESTIONS if rng.random() < 0.4}
    if "name" in asked:
        answers["name"] = words["name"] = _name(g, rng, held, typed="name" in typed)
    if "companion" in asked:
        if "companion" in typed:
            answers["companion"] = _typed_companion(g, rng, held, words)
        else:
            companion = g.companions.named[picks[0]]
            mine = "my" if companion.alias == "shadow" else "the"
            full = companion.phrase.replace("nobody but a very", "your very")
            words |= {"c": companion.short, "cfull": full, "calias": companion.alias}
            words["cthe"] = rng.choice([f"{mine} {companion.alias}", companion.short.replace("your", "my")])
            answers["companion"] = companion.phrase
    if "keepsake" in asked:
        if "keepsake" in typed:
            answers["keepsake"] = _typed_keepsake(g, rng, held, words)
        else:
            keepsake = g.keepsakes.named[picks[1]]
            mine = rng.choice([f"my {keepsake.alias}", f"the {keepsake.alias}", keepsake.short])
            words |= {"k": keepsake.short, "kfull": keepsake.phrase, "kmy": mine}
            answers["keepsake"] = keepsake.phrase
    if "quest" in asked:
        quest = _typed_quest(g, rng, held) if "quest" in typed else g.facts.quests[picks[2]]
        answers["quest"] = words["qmy"] = quest
        words["quest"] = turn_person(quest)
    if "gate" in asked:
        gate = choose(g, "gate_way", rng, held) if "gate" in typed else g.gates[picks[3]].phrase
        answers["gate"] = words["gate"] = gate
    return Facts(answers, words, companion, keepsake)


def _name(g: Grammar, rng: Random, held: bool, *, typed: bool) -> str:
    if not typed and not held:
        return rng.choice(g.facts.names)
    if rng.random() < 0.4:
        return choose(g, "name", rng, held)
    while True:
        name = "".join(
            rng.choice(g.words["syllables"]) for _ in range(rng.choice((2, 2, 2, 3, 3)))
        ).capitalize()
        if is_held(name) == held:
            break
    last = choose(g, "name", rng, held) if rng.random() < 0.1 else ""
    return f"{name} {last}".strip() if rng.random() < 0.92 else name.lower()


def _typed_companion(g: Grammar, rng: Random, held: bool, words: dict[str, str]) -> str:
    kind = rng.choices(("verb_animal", "companion_thing", "companion_person"), (5, 3, 3))[0]
    who = choose(g, kind, rng, held)
    adjective, name = rng.choice(g.words["adjective"]), _name(g, rng, held, typed=True)
    trait = rng.choice(g.words["trait"])
    form = rng.randrange(10)
    words |= {"c": f"the {who}", "calias": who, "cthe": rng.choice((f"the {who}", f"my {who}", f"the {who}"))}
    if form <= 2:
        words["trait"] = trait
        phrase = f"a {adjective} {who} who {trait}" if form else f"a {who} who {trait}"
    elif form <= 4:
        phrase = f"a {adjective} {who}"
    elif form == 5:
        phrase = f"a talking {who}"
    elif form == 6:
        phrase = rng.choice((f"my {who}", f"my {adjective} {who}"))
        words |= {"c": f"your {who}", "cthe": f"my {who}"}
    elif form == 7:
        phrase = rng.choice(
            (f"a {who} called {name}", f"a {who} named {name}", f"{name} the {who}", f"my {who} {name}")
        )
        words |= {"c": name, "calias": name, "cthe": name}
    elif form == 8:
        phrase = name
        words |= {"c": name, "calias": name, "cthe": name}
    elif rng.random() < 0.7:
        phrase = f"{who}"
        words["cfull"] = polish(f"a {who}").lower()
    else:
        for slot in ("c", "calias", "cthe"):
            del words[slot]
        return rng.choice(("nobody", "no one", "nobody at all"))
    phrase = _articles(phrase)
    words.setdefault("cfull", turn_person(phrase))
    return phrase


def _typed_keepsake(g: Grammar, rng: Random, held: bool, words: dict[str, str]) -> str:
    thing = choose(g, "thing", rng, held)
    adjective, form = rng.choice(g.words["adjective"]), rng.randrange(10)
    words |= {"k": f"the {thing}", "kmy": rng.choice((f"my {thing}", f"the {thing}"))}
    if form <= 4:
        phrase = f"a {adjective} {thing}"
    elif form == 5:
        box, content = rng.choice(g.words["container"]), rng.choice(g.words["material_of"])
        phrase = f"a {box} of {content}"
        words |= {"k": f"the {box} of {content}", "kmy": rng.choice((f"my {box} of {content}", f"the {box}"))}
    elif form == 6:
        phrase = rng.choice(
            (f"my {thing}", f"my {adjective} {thing}", f"my grandmother's {thing}", f"my old {thing}")
        )
        words |= {"k": f"your {thing}", "kmy": f"my {thing}"}
    elif form == 7:
        phrase = f"a {thing} that {rng.choice(g.words['trait'])}"
    elif form == 8 or rng.random() < 0.7:
        phrase = thing if form == 9 else f"a {thing}"
        words["kfull"] = _articles(f"a {thing}")
    else:
        del words["k"], words["kmy"]
        return rng.choice(("nothing", "nothing at all"))
    phrase = _articles(phrase)
    words.setdefault("kfull", turn_person(phrase))
    return phrase


def _typed_quest(g: Grammar, rng: Random, held: bool) -> str:
    form = rng.randrange(6)
    if form <= 2:
        return choose(g, "quest_thing", rng, held)
    if form == 3:
        return f"the {choose(g, 'person', rng, held)}"
    return _articles(f"{rng.choice(('a', 'the', 'my'))} {noun(g, 'thing', rng, held, 1.0)}")


def _articles(phrase: str) -> str:
    fixed = polish(phrase)
    return fixed if phrase[:1].isupper() else fixed[:1].lower() + fixed[1:]
