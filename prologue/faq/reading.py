"""What a short English text asks, as far as telling questions apart needs it. Pure; the words are data."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

WHETHER = "whether"  # asks for yes or no
REQUEST = "request"  # "tell me the price"
TOLD = "told "  # asks for nothing; the first word follows
QUOTED = re.compile(r'["“”«»„]')
CLAUSE_END = re.compile(r"[,;:.!?()…—–]+|\s-\s")
TAG = re.compile(r"right|yes|correct|or not|(?:is|are|does|do|will|can) not (?:it|this|you|they|there|i)")
WORD = re.compile(r"[^\W_]+")
EXPANSIONS = [
    (re.compile(pattern), expansion)
    for pattern, expansion in (
        (r"[’ʼ`]", "'"),
        (r"\bhow come\b", "why"),
        (r"(?<=\w)-(?=\w)", " "),
        (r"\b(?:cannot|can't)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"'re\b", " are"),
        (r"'m\b", " am"),
        (r"'ll\b", " will"),
        (r"'d\b", " would"),
        (r"'ve\b", " have"),
        (r"\b(what|who|where|when|how|why|it|that|there|here)'s\b", r"\1 is"),
        (r"'s\b", ""),
    )
]
ENDINGS = ("ing", "ed", "es", "s", "e")


class Words(BaseModel):
    """The lists of words.toml, where each says what it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    sure: float
    overlap: float
    max_words: int
    fillers: tuple[str, ...]
    requests: tuple[str, ...]
    questions: dict[str, str]
    durations: frozenset[str]
    prepositions: frozenset[str]
    auxiliaries: frozenset[str]
    subjects: frozenset[str]
    negations: frozenset[str]
    rivals: tuple[tuple[str, ...], ...]
    names: frozenset[str]
    determiners: frozenset[str]
    topics: frozenset[str]
    others: frozenset[str]
    compounds: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    stop_words: frozenset[str]

    @classmethod
    def load(cls) -> "Words":
        return cls.model_validate(tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8")))


@dataclass(frozen=True)
class Reading:
    """What is left of a text.

    `text`: in plain words, without what was said before the question.
    `ask`: what is asked for ("who", "how long", WHETHER, REQUEST), or TOLD and a word.
    """

    text: str
    ask: str
    negative: bool
    content: frozenset[str]


class Reader:
    def __init__(self, words: Words) -> None:
        self.words = words
        self._meanings = {stem(word): stem(group[0]) for group in words.synonyms for word in group}
        leads = dict.fromkeys(words.fillers, False) | dict.fromkeys(words.requests, True)
        longest_first = sorted(leads.items(), key=lambda lead: -len(lead[0]))
        self._leads = [(lead.split(), requests) for lead, requests in longest_first]
        self._passed = words.stop_words | words.negations | words.questions.keys()
        self._of_duration = {self.meaning(word) for word in ("long", *words.durations)}
        self._compounds = re.compile(rf"\b({'|'.join(words.compounds)})\b")

    def meaning(self, word: str) -> str:
        """The stem that stands for `word` and its synonyms."""
        return self._meanings.get(stem(word), stem(word))

    def read(self, text: str) -> Reading | None:
        """None for speech in quotation marks, for more than `max_words`, and for nothing but small words."""
        if QUOTED.search(text) or len(text.split()) > self.words.max_words:
            return None
        clauses = [clause.strip() for clause in CLAUSE_END.split(self._plain(text))]
        asked = "?" in text
        if any(TAG.fullmatch(clause) for clause in clauses[1:]):  # "it's free, isn't it"
            asked, clauses = True, [clauses[0], *(c for c in clauses[1:] if not TAG.fullmatch(c))]
        ask, words, requested = "", list[str](), False
        for clause in clauses:
            tokens, request = self._without_leads(WORD.findall(clause))
            requested |= request
            tokens = self._without_polite_not(tokens) if asked else tokens
            ask = ask or self._ask(tokens, asked=asked)
            words += tokens
        if not words:
            return None
        if not ask and asked and words[0] not in ("i", "we"):
            ask = WHETHER  # "free?"
        ask = ask or (REQUEST if requested else TOLD + self.meaning(words[0]))
        negative = sum(word in self.words.negations for word in words) % 2 == 1
        content = self._content(words, ask)
        return Reading(" ".join(words), ask, negative, content) if content else None

    def _plain(self, text: str) -> str:
        text = text.casefold()
        for pattern, expansion in EXPANSIONS:
            text = pattern.sub(expansion, text)
        return self._compounds.sub(lambda found: found[0].replace(" ", ""), text)

    def _without_leads(self, tokens: list[str]) -> tuple[list[str], bool]:
        """What is left, and whether a request was among what was said before it."""
        requested = False
        while lead := next((lead for lead in self._leads if tokens[: len(lead[0])] == lead[0]), None):
            tokens = tokens[len(lead[0]) :]
            requested |= lead[1]
        return tokens, requested

    def _without_polite_not(self, tokens: list[str]) -> list[str]:
        """ "Isn't it free?" asks whether it is."""
        match tokens:
            case [verb, "not", subject, *rest] if (
                verb in self.words.auxiliaries and subject in self.words.subjects
            ):
                return [verb, subject, *rest]
        return tokens

    def _ask(self, tokens: list[str], *, asked: bool) -> str:
        """What one clause asks for; "" if nothing."""
        words = self.words
        match tokens:
            case [preposition, question, *_] if (
                preposition in words.prepositions and question in words.questions
            ):
                return words.questions[question]
            case ["how", "long", *_]:
                return "how long"
            case ["how", "much" | "many", *rest] if words.durations.intersection(rest[:2]):
                return "how long"
            case ["how", degree, *_] if not (
                degree in words.auxiliaries or degree in words.subjects or degree == "to"
            ):
                return "how much"
            case [question, *_] if question in words.questions:
                return words.questions[question]
            case [verb, subject, *_] if verb in words.auxiliaries and (asked or subject in words.subjects):
                return WHETHER
        return ""

    def _content(self, words: list[str], ask: str) -> frozenset[str]:
        """The words that carry meaning. "the curtain" is a thing in the story, "Curtain" is this program."""
        content = {
            f"{before} {word}"
            if word in self.words.names and before in self.words.determiners
            else self.meaning(word)
            for before, word in zip(["", *words], words, strict=False)
            if word not in self._passed and not word.isdigit()
        }
        return frozenset(content - self._of_duration if ask == "how long" else content)


def stem(word: str) -> str:
    """`word` without its inflection, roughly: enough for "stored", "stores" and "storing" to be the same."""
    if word == "here":  # not "her"
        return word
    for ending in ENDINGS:
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3:
            doubled = ending in ("ing", "ed") and root[-1] == root[-2] and root[-1] not in "ls"
            root = root[:-1] if doubled else root
            return root[:-1] + "y" if root.endswith("i") else root.removesuffix("e")
    return word
