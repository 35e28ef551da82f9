"""What the narrator says: the opening scene, replies, and endings that leave something to do."""

from tools.corpus.data_files import Family
from tools.corpus.scene import SHADOW, Scene

LONG = 46  # words after which a reply takes no more sentences in passing
KINDS = ("c", "k", "quest", "name")  # of facts mentioned in passing


def opening(scene: Scene) -> str:
    """The first scene: gate, name, companion, keepsake and quest as far as they are known, and a way on."""
    g, rng, words = scene.g, scene.rng, scene.facts.words
    gate = next((x for x in g.gates if x.phrase == words.get("gate")), None)
    if gate:
        scene.go_to(g.places[gate.place])
    arrival = gate.lines if gate else g.scene["gate_any" if "gate" in words else "gate_none"]
    now = scene.ready()
    parts = [scene.say(arrival, now)]
    middle, kinds = [], {"c", "k"}
    if "name" in words and rng.random() < 0.8:
        middle.append("welcome")
    if "c" in words and rng.random() < 0.85:
        if words["c"] == SHADOW:
            middle.append("open_shadow")
        else:
            middle.append("open_companion")
            kinds.discard("c")
    if "k" in words and rng.random() < 0.5:
        middle.append("open_keepsake")
        kinds.discard("k")
    if "quest" in words and rng.random() < 0.55:
        middle.append("open_quest")
    if rng.random() < 0.3:
        rng.shuffle(middle)
    if not gate:
        parts.append(scene.say(("You find yourself {at}. {detail}", "This is {place}. {detail}"), now))
    elif rng.random() < 0.7:
        parts.append(scene.say(("{detail}",), now))
    parts += [scene.say(g.scene[m], now) for m in middle]
    parts += ending(scene, Family(reply=()), {}, kinds)
    return " ".join(p for p in parts if p)


def ending(scene: Scene, family: Family, given: dict[str, str], kinds: set[str]) -> list[str]:
    """The last sentence or two, which leave something to do; they may bring in a thing or a person."""
    g, rng = scene.g, scene.rng
    brought = scene.focus is not None and given.get("focus") != scene.focus
    if brought:
        hooks = ["new"] * 5 + ["any"]
    elif scene.person is not None and "person" in given and not family.alone:
        hooks = ["person"] * 4 + ["exit"]
    elif family.lingers and rng.random() < 0.38:
        hooks = ["obj"]
    else:
        roll = rng.random()
        if roll < 0.2:
            line = scene.say(g.scene["new_thing"], scene.ready())
            return [line, scene.say(g.scene["hook_new"], scene.ready())]
        if roll < 0.42 and scene.person is None and not family.alone:
            scene.meet_someone()
            if scene.person is not None:
                line = scene.say(g.scene["person_enter"], scene.ready())
                return [line, scene.say(g.scene["hook_person"], scene.ready())]
        hooks = ["exit"] * 4 + ["any"] * 3
        hooks += [hook for hook, kind in (("companion", "c"), ("keepsake", "k")) if kind in kinds]
    words = scene.ready(**given)
    for kind in (rng.choice(hooks), "exit", "any"):
        line = scene.say(g.scene[f"hook_{kind}"], words)
        if line:
            return [line]
    return []


def reply(scene: Scene, family: Family, given: dict[str, str]) -> str:
    """The answer itself, a sentence or two in passing, and an ending."""
    g, rng = scene.g, scene.rng
    parts = [
        scene.say(family.reply, scene.ready(**given)) or scene.say(g.actions["continue"].reply, scene.ready())
    ]
    if family is g.actions["attack"]:
        lines = g.attack_person if "person" in given and rng.random() < 0.7 else g.attack_thing
        parts.append(scene.say(lines, scene.ready(**given)))
    kinds = {kind for kind in KINDS if kind != family.about}
    while len(" ".join(parts).split()) < LONG and rng.random() < 0.38:
        parts.append(scene.passing(kinds))
    parts += ending(scene, family, given, kinds)
    return " ".join(p for p in parts if p)
