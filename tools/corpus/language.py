"""Small helpers of English: slots, articles, capitals, "my" turned into "your", and slips of the keyboard."""

import re
from collections.abc import Mapping
from random import Random

SLOT = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"\[([^\[\]]*)\]")
SOUNDS_LIKE_YOU = ("uni", "use", "usu", "eu", "one", "once", "uti")
PLACED = re.compile(r" (?:behind|under|beside|on|near|with) the ")
SILENT_H = ("hour", "honest", "heir", "honour")


def slots(template: str) -> set[str]:
    """The names of the slots, lower-cased: {Quest} is the slot quest with a capital."""
    return {name.lower() for name in SLOT.findall(template)}


def fill(template: str, words: Mapping[str, str]) -> str:
    """The template with its slots filled; KeyError names a slot that has no word."""

    def word(match: re.Match[str]) -> str:
        name = match[1]
        value = words[name.lower()]
        return value[:1].upper() + value[1:] if name[0].isupper() else value

    return SLOT.sub(word, template)


def vary(template: str, rng: Random) -> str:
    """The template with each [one|other] settled."""
    return CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)


def polish(text: str) -> str:
    """Right articles ("an apple") and a capital at the start of each sentence."""
    text = re.sub(r"\b([Aa])n? (?=(\w+))", lambda m: m[1] + ("n " if _vowel(m[2].lower()) else " "), text)
    return re.sub(r'(^|[.!?] |\." )(\w)', lambda m: m[1] + m[2].upper(), text)


def _vowel(word: str) -> bool:
    if word.startswith(SILENT_H):
        return True
    return word[0] in "aeiou" and not word.startswith(SOUNDS_LIKE_YOU)


def turn_person(text: str) -> str:
    """What a speaker says, seen from the other side: my hat, your hat; myself, yourself."""
    other = {"my": "your", "your": "my", "myself": "yourself", "me": "you", "mine": "yours"}
    return re.sub(r"\b(my|your|myself|me|mine)\b", lambda m: other[m[0]], text)


def head(noun: str, adjectives: frozenset[str]) -> str:
    """The noun without leading adjectives and without its place: "green door behind the well" is a door."""
    words = re.split(PLACED, noun)[0].split()
    while len(words) > 1 and words[0] in adjectives:
        words = words[1:]
    return " ".join(words)


def plural(noun: str) -> str | None:
    """The regular plural; None where it might be another."""
    if noun.endswith(("f", "fe", "ouse", "oose", "fish", "dice", "man", "foot", "tooth")):
        return None
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + "s"


def slip(text: str, rng: Random) -> str:
    """The text with two neighbouring letters swapped or one left out."""
    if len(text) < 6:
        return text
    i = rng.randrange(1, len(text) - 2)
    return text[:i] + (text[i + 1] + text[i] if rng.random() < 0.5 else text[i]) + text[i + 2 :]
