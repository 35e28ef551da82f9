"""What must be the same in every language of a world, and where two languages of it differ."""

from collections.abc import Iterator, Sequence

from prologue.faq.house import new_entries
from prologue.located_yaml import Loc, LocatedYaml, place
from prologue.schema import World

FIRST = "world.yaml"
COUNTED = ("opening", "countdown", "lulls", "suggestions")


def differences(
    first: World, first_source: LocatedYaml, other: World, other_source: LocatedYaml
) -> list[tuple[int, str]]:
    """(line in `other_source`, message) of each thing that makes `other` another world than `first`."""
    found = list[tuple[int, str]]()
    if other.language == first.language:
        found.append(
            (other_source.line(("language",)), f"language: {FIRST} is in {first.language!r} already")
        )
    theirs = dict(_outline(other))
    own = [entry.id for entry in other.own_faq]
    same_questions = theirs["questions",] == [question.id for question in first.questions]
    for loc, wanted in _outline(first):
        if len(loc) > 1 and not same_questions:
            continue  # said already; their parts can't be told apart
        have, there = theirs[loc], f"{FIRST}:{first_source.line(loc)}"
        if have == wanted:
            continue
        name = place(loc)
        if isinstance(wanted, list) and isinstance(have, list):
            for position, message in _unlike(have, wanted, there):
                step: int | str = position
                if position >= 0 and loc == ("speakers",):
                    step = have[position]
                elif position >= 0 and loc == ("faq",):
                    step = own.index(have[position])
                at = (*loc, step) if position >= 0 else loc
                found.append((other_source.line(at), f"{name}: {message}"))
        elif loc[0] in COUNTED:
            found.append((other_source.line(loc), f"{name} has {have} entries; {there} has {wanted}"))
        else:
            found.append((other_source.line(loc), f"{name} is not as in {there}"))
    return found


def _outline(world: World) -> Iterator[tuple[Loc, object]]:
    """(location, value): the ids in order, how many there are of what has none, and what isn't language."""
    yield ("speakers",), list(world.speakers)
    yield ("theme",), world.theme
    yield ("wake",), world.wake
    for part in COUNTED:
        yield (part,), len(getattr(world, part))
    yield ("faq",), [entry.id for entry in new_entries(world.own_faq, world.language)]
    yield ("questions",), [question.id for question in world.questions]
    for position, question in enumerate(world.questions):
        yield ("questions", position, "choices"), [choice.id for choice in question.choices]
        yield ("questions", position, "free_text"), question.free_text


def _unlike(have: Sequence[str], wanted: Sequence[str], there: str) -> Iterator[tuple[int, str]]:
    """(position in `have`, or -1; message) of each id that is missing, too many, or out of its order."""
    for id in wanted:
        if id not in have:
            yield -1, f"lacks {id!r}, which {there} has"
    for position, id in enumerate(have):
        if id not in wanted:
            yield position, f"{id!r} is not in {there}"
    if sorted(have) == sorted(wanted):
        position = next(i for i, pair in enumerate(zip(have, wanted, strict=True)) if pair[0] != pair[1])
        yield position, f"{have[position]!r} stands where {there} has {wanted[position]!r}"
