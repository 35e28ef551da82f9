"""What a short text asks, as far as telling questions apart needs it. Pure; a language's words are data."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from prologue.faq.spelling import WORD, Spelling

WHETHER = "whether"  # asks for yes or no
REQUEST = "request"  # "tell me the price"
TOLD = "told "  # asks for nothing; the first word follows
QUOTED = re.compile(r'["“”«»„]')
CLAUSE_END = re.compile(r"[,;:.!?()…—–]+|\s-\s")


class Words(BaseModel):
    """The lists of words.LANG.toml, where each says what it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge_least: float
    judge_sure: float
    threshold: float
    sure: float
    plain_sure: float
    thin: float
    plain_words: int
    overlap: float
    max_words: int
    least_letters: int
    endings: tuple[str, ...]
    tags: tuple[str, ...]
    first_person: frozenset[str]
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
    telling: frozenset[str]
    others: frozenset[str]
    compounds: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    stop_words: frozenset[str]
    plain: frozenset[str]
    shorthand: dict[str, str]

    @staticmethod
    def path(language: str) -> Path:
        return Path(__file__).with_name(f"words.{language}.toml")

    @classmethod
    def load(cls, language: str = "en") -> "Words | None":
        """None for a language that nothing is known of."""
        path = cls.path(language)
        return cls.model_validate(tomllib.loads(path.read_text("utf-8"))) if path.is_file() else None


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
    said: Mapping[str, str] = field(default_factory=dict)  # content to the word that was said


class Reader:
    """Args:
    vocabulary: texts whose words a misspelt one may have been.
    knows: whether there is such a word in English; other languages are hardly known to the tokenizer.
    """

    def __init__(
        self, words: Words, vocabulary: Iterable[str] = (), knows: Callable[[str], bool] = lambda _: True
    ) -> None:
        self.words = words
        heard = {word for text in vocabulary for word in WORD.findall(text.casefold())}
        meant = heard.union(words.stop_words, *words.synonyms)
        self._spelling = Spelling(words.shorthand, meant, knows, words.least_letters)
        self._meanings = {self.stem(word): self.stem(group[0]) for group in words.synonyms for word in group}
        leads = dict.fromkeys(words.fillers, False) | dict.fromkeys(words.requests, True)
        longest_first = sorted(leads.items(), key=lambda lead: -len(lead[0]))
        self._leads = [(lead.split(), requests) for lead, requests in longest_first]
        self._passed = words.stop_words | words.negations | words.questions.keys()
        self._of_duration = {self.meaning(word) for word in words.durations}
        self._compounds = re.compile(rf"\b({'|'.join(words.compounds)})\b")
        self._tag = re.compile("|".join(words.tags))

    def stem(self, word: str) -> str:
        return stem(word, self.words.endings)

    def meaning(self, word: str) -> str:
        """The stem that stands for `word` and its synonyms."""
        root = self.stem(word)
        return self._meanings.get(root, root)

    def meanings(self, words: Iterable[str]) -> frozenset[str]:
        return frozenset(map(self.meaning, words))

    def read(self, text: str) -> Reading | None:
        """None for speech in quotation marks, for more than `max_words`, and for nothing but small words."""
        if QUOTED.search(text) or len(text.split()) > self.words.max_words:
            return None
        clauses = [clause.strip() for clause in CLAUSE_END.split(self._plain(text))]
        asked = "?" in text
        if any(self._tag.fullmatch(clause) for clause in clauses[1:]):  # "it's free, isn't it"
            asked, clauses = True, [clauses[0], *(c for c in clauses[1:] if not self._tag.fullmatch(c))]
        ask, words, requested = "", list[str](), False
        for clause in clauses:
            tokens, request = self._without_leads(WORD.findall(clause))
            requested |= request
            tokens = self._without_polite_not(tokens) if asked else tokens
            asks = self._ask(tokens, asked=asked)
            if asks and not ask and self._empty(words):  # "I am new here, what is this?"
                words = []
            ask = ask or asks
            words += tokens
        if not words:
            return None
        if not ask and asked and words[0] not in self.words.first_person:
            ask = WHETHER  # "free?"
        ask = ask or (REQUEST if requested else TOLD + self.meaning(words[0]))
        negative = sum(word in self.words.negations for word in words) % 2 == 1
        said = self._content(words, ask)
        return Reading(" ".join(words), ask, negative, frozenset(said), said) if said else None

    def _plain(self, text: str) -> str:
        return self._compounds.sub(lambda found: found[0].replace(" ", ""), self._spelling(text))

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

    def _empty(self, words: list[str]) -> bool:
        small = self._passed | self.words.plain | self.words.first_person
        return all(word in small for word in words)

    def _content(self, words: list[str], ask: str) -> dict[str, str]:
        """The words that carry meaning. "the curtain" is a thing in the story, "Curtain" is this program."""
        content = {
            f"{before} {word}"
            if word in self.words.names and before in self.words.determiners
            else self.meaning(word): word
            for before, word in zip(["", *words], words, strict=False)
            if word not in self._passed and not word.isdigit()
        }
        passed = self._of_duration if ask == "how long" else ()
        return {meaning: word for meaning, word in content.items() if meaning not in passed}


def stem(word: str, endings: Sequence[str]) -> str:
    """`word` without its inflection, roughly: enough for "stored", "stores" and "storing" to be the same."""
    if word == "here":  # not "her"
        return word
    for ending in endings:
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3:
            doubled = ending in ("ing", "ed") and root[-1] == root[-2] and root[-1] not in "ls"
            root = root[:-1] if doubled else root
            return root[:-1] + "y" if root.endswith("i") else root.removesuffix("e")
    return word
