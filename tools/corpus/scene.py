"""The state of one story while it is being made up, and the choice of sentences that fit it."""

from collections.abc import Iterable, Sequence
from random import Random

from tools.corpus.data_files import Grammar, Person, Place
from tools.corpus.facts import Facts, choose, is_held, noun
from tools.corpus.language import fill, head, polish, slots, turn_person, vary

SHADOW = "your shadow"


class Scene:
    """Where the traveller is, who is there, and what thing was brought in last; no sentence is used twice."""

    def __init__(self, g: Grammar, facts: Facts, rng: Random, *, held: bool) -> None:
        self.g, self.facts, self.rng, self.held = g, facts, rng, held
        self.adjectives = frozenset(g.words["adjective"])
        self.used: set[str] = set()
        self.words: dict[str, str] = {}
        self.person: Person | None = None
        self.focus: str | None = None
        self.hook = ""
        self.exits: dict[str, str] = {}
        self.go_to(rng.choice(list(g.places.values())))

    def go_to(self, place: Place) -> None:
        self.place, self.person, self.focus = place, None, None

    def go_near(self) -> None:
        self.go_to(self.g.places[self.rng.choice(self.place.near)])

    def go_into(self, building: str) -> None:
        """A place that only the user's text knows."""
        near = tuple(self.rng.sample(list(self.g.places), 2))
        details = self.g.scene["custom_details"]
        self.go_to(Place(name=f"the {building}", at=f"in the {building}", near=near, details=details))

    def ready(self, **given: str) -> dict[str, str]:
        """The slots that a reply may use now."""
        words = dict(self.facts.words)
        self.exits = dict(zip(("exit", "exit2"), self.rng.sample(self.place.near, 2), strict=True))
        words |= {"place": self.place.name, "at": self.place.at} | self.exits
        if self.person is not None:
            words["person"] = self.person.name
        if self.focus is not None:
            words |= {"new": self.focus, "newhead": head(self.focus, self.adjectives)}
        return words | given

    def pick(self, lines: Sequence[str], words: Iterable[str]) -> str | None:
        """A line not used before whose slots can all be filled; None where there is none left."""
        known = set(words)
        fitting = [line for line in lines if line not in self.used and slots(line) <= known]
        if "one_of" in known:
            fitting = [line for line in fitting if "a {obj}" not in line.lower()]
        if not fitting:
            return None
        line = self.rng.choice(fitting)
        self.used.add(line)
        self.hook = line
        return vary(line, self.rng)

    def say(self, lines: Sequence[str], words: dict[str, str]) -> str:
        """A filled line, or "" where none is left. Slots whose words are lines themselves are chosen here."""
        lazy = {"detail", "says", "look", "kuse", "cline", "ctalk", "new"}
        line = self.pick(lines, set(words) | lazy)
        if line is None:
            return ""
        wanted = slots(line)
        words = dict(words)
        if "new" in wanted:
            self.focus = words["new"] = self.new_thing()
            words["newhead"] = head(self.focus, self.adjectives)
        for slot, source in self._sources(words).items():
            if slot in wanted:
                inner = self.pick(source, words)
                words[slot] = fill(inner, words) if inner else ""
        return polish(fill(line, words)).strip()

    def _sources(self, words: dict[str, str]) -> dict[str, Sequence[str]]:
        g, facts, person = self.g, self.facts, self.person
        says = tuple(person.says if person else ()) * 2 + g.scene["says_any"] + g.scene["says_fact"]
        trait = (g.companions.any_trait, g.companions.any_trait_talk) if "trait" in words else ((), ())
        return {
            "detail": self.place.details,
            "says": person.says if person and self.rng.random() < 0.6 else says,
            "look": person.look if person else (),
            "kuse": facts.keepsake.use if facts.keepsake else g.keepsakes.any_use,
            "cline": facts.companion.lines if facts.companion else g.companions.any + trait[0],
            "ctalk": facts.companion.talk if facts.companion else g.companions.any_talk + trait[1],
        }

    def new_thing(self) -> str:
        word = choose(self.g, "thing", self.rng, self.held)
        return f"{self.rng.choice(self.g.words['adjective'])} {word}" if self.rng.random() < 0.7 else word

    def meet_someone(self) -> None:
        """Somebody who belongs to this place."""
        if self.place.people:
            self.person = self.g.people[self.rng.choice(self.place.people)]

    def meet_stranger(self) -> None:
        """Somebody whom only the user's text knows."""
        who = f"the {noun(self.g, 'person', self.rng, self.held, 0.25)}"
        if self.rng.random() < 0.12:
            names = [n for n in self.g.words["name"] if is_held(n) == self.held]
            who = self.rng.choice(names)
        self.person = self.g.people.get(who, Person(name=who, says=self.g.scene["says_any"]))

    def passing(self, kinds: set[str]) -> str:
        """A sentence in passing about one of the traveller's facts; its kind is taken out of `kinds`."""
        g, facts, words = self.g, self.facts, self.ready()
        trait = g.companions.any_trait * 2 if "trait" in words else ()
        lines = {
            "c": facts.companion.lines if facts.companion else g.companions.any + trait,
            "k": facts.keepsake.line if facts.keepsake else g.keepsakes.any_line,
            "quest": g.scene["quest_line"],
            "name": g.scene["name_line"],
        }
        known = [k for k in ("c", "k", "quest", "name") if k in kinds and k in words]
        if not known:
            return ""
        kind = self.rng.choices(known, [{"c": 3, "k": 1.2}.get(k, 1) for k in known])[0]
        kinds.discard(kind)
        return self.say(lines[kind], words)

    def topic(self) -> tuple[str, str]:
        """What somebody is asked about, in the user's words and in the narrator's."""
        mine = [self.facts.words[s] for s in ("qmy", "kmy") if s in self.facts.words]
        if mine and self.rng.random() < 0.25:
            topic = self.rng.choice(mine)
        elif self.rng.random() < 0.4:
            topic = f"the {noun(self.g, 'thing', self.rng, self.held, 0.4)}"
        else:
            topic = choose(self.g, "topic", self.rng, self.held)
        return topic, turn_person(topic)
