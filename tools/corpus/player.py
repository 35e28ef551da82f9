"""What the user says, as people type it, and what it makes of the scene before the narrator replies."""

from tools.corpus.data_files import Family
from tools.corpus.facts import choose, noun
from tools.corpus.language import fill, head, plural, polish, slip, slots, turn_person
from tools.corpus.narrator import reply
from tools.corpus.scene import Scene

FACT_OF = {"my name": "name", "with me": "c", "in my pocket": "k", "looking for": "quest"}


def possible(scene: Scene, name: str) -> bool:
    """Whether this family of actions makes sense for what is known of the traveller."""
    words = scene.facts.words
    if name == "missing_fact":
        return any(slot not in words for slot in FACT_OF.values())
    need = scene.g.actions[name].need
    return need is None or need in words


def turn(scene: Scene, name: str) -> tuple[str, str]:
    """What the user says for this family of actions, and the narrator's reply; the scene moves on."""
    g, rng, held = scene.g, scene.rng, scene.held
    family = g.actions[name]
    spoken, given = {}, {"focus": scene.focus or ""}
    form = (
        rng.choice(family.say)
        if family.say and (not family.vp or rng.random() < 0.25)
        else rng.choice(family.vp)
    )
    direct = form in family.say
    if name == "missing_fact":
        form = rng.choice(
            [f for f in family.say if any(k in f and s not in scene.facts.words for k, s in FACT_OF.items())]
        )
    wanted = slots(form) | {s for line in family.reply for s in slots(line)}
    if "obj" in wanted:
        spoken["obj"], thing = object_of(scene, name)
        given |= thing
        if scene.focus == given["obj"] and rng.random() < 0.35 and "the {obj}" in form:
            form = form.replace("the {obj}", "it")
    if name == "go_place":
        near = rng.random() < 0.6
        scene.go_to(g.places[rng.choice(scene.place.near if near else list(g.places))])
        spoken["place"] = scene.place.name
    if name == "enter":
        scene.go_into(given["obj"])
    if "person" in wanted:
        met = scene.person
        person_of(scene)
        given["person"] = spoken["person"] = scene.person.name if scene.person else ""
        if met is not None and met == scene.person and rng.random() < 0.3:
            form = form.replace("{person}", rng.choice(("him", "her", "them")))
    if family.moves:
        move(scene, stay_with=name == "follow" and "{person}" in form)
    spoken_topic, given["topic"] = scene.topic()
    text = choose(g, "greeting", rng, held)
    verb = rng.choice(g.words["verb_obj" if name == "verb_obj" else "verb_alone"])
    given |= {"text": text, "verb": turn_person(verb)}
    spoken |= {"topic": spoken_topic, "text": text, "verb": verb, "nonsense": rng.choice(g.words["nonsense"])}
    said = utter(scene, fill(form, scene.facts.words | spoken), direct=direct)
    return said, reply(scene, family, given)


def move(scene: Scene, *, stay_with: bool) -> None:
    person = scene.person
    scene.go_near()
    scene.person = person if stay_with else None


def answer(scene: Scene) -> tuple[str, str] | None:
    """The user takes up the narrator's last sentence; None where it asked nothing that this grammar knows."""
    g, rng = scene.g, scene.rng
    fitting = [a for a in g.answers if a.hook in scene.hook]
    if not fitting:
        return None
    a = rng.choice(fitting)
    family = g.actions[a.family] if a.family else Family(reply=a.reply)
    given = {"focus": scene.focus or "", "text": choose(g, "greeting", rng, scene.held)}
    words = scene.facts.words | scene.exits | given
    said = utter(scene, fill(rng.choice(a.say), words), direct=True)
    obj = scene.focus if a.focus else a.obj
    if obj:
        given |= {"obj": obj, "head": head(obj, scene.adjectives)}
    if scene.person is not None:
        given["person"] = scene.person.name
    if a.to:
        scene.go_to(g.places[scene.exits[a.to]])
    if family.moves:
        move(scene, stay_with=a.family == "follow")
    return said, reply(scene, family, given)


def object_of(scene: Scene, name: str) -> tuple[str, dict[str, str]]:
    """The thing that the user acts on, in the user's words and in the narrator's: often the one that the last
    reply brought in. Of several things the narrator speaks of one."""
    rng, kind = scene.rng, scene.g.actions[name].noun
    if name == "enter":
        obj = noun(scene.g, "building", rng, scene.held, 0.35)
    elif scene.focus is not None and kind != "edible" and rng.random() < 0.5:
        obj = scene.focus
    else:
        pool = (
            kind if rng.random() < 0.75 else rng.choice(("thing", "thing", "openable", "readable", "edible"))
        )
        obj = noun(scene.g, pool, rng, scene.held, 0.45)
        many = plural(obj)
        if rng.random() < 0.1 and many and " the " not in obj:
            one = f"{rng.choice(('nearest', 'smallest', 'first', 'last', 'biggest'))} {obj}"
            return many, {"obj": one, "head": head(obj, scene.adjectives), "one_of": many}
    return obj, {"obj": obj, "head": head(obj, scene.adjectives)}


def person_of(scene: Scene) -> None:
    """The person whom the user turns to: the one who is there, one of the place, or anybody."""
    roll = scene.rng.random()
    if scene.person is not None and roll < 0.6:
        return
    if roll < 0.75:
        scene.meet_someone()
    if scene.person is None or roll >= 0.75:
        scene.meet_stranger()


def utter(scene: Scene, phrase: str, *, direct: bool) -> str:
    """The phrase as a user types it: with or without "I", in small letters, with a slip now and then."""
    g, rng = scene.g, scene.rng
    if not direct:
        if scene.held and rng.random() < 0.5:
            phrase = rng.choice(g.forms.held).replace("{vp}", phrase)
        else:
            form = rng.choices(list(g.forms.train), list(g.forms.train.values()))[0]
            phrase = form.replace("{vp}", phrase)
    phrase = polish(phrase) if rng.random() < 0.5 else polish(phrase)[:1].lower() + polish(phrase)[1:]
    if phrase.startswith("i ") and rng.random() < 0.8:
        phrase = "I" + phrase[1:]
    if rng.random() < 0.15:
        phrase = phrase.lower()
    if rng.random() < 0.03:
        phrase = slip(phrase, rng)
    return phrase
