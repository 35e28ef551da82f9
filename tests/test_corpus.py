"""The story corpus and the training path of the demo model: seeded, split, well formed, and loadable."""

import hashlib
import json
from itertools import islice
from pathlib import Path
from random import Random

import jinja2
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from tools.corpus.data_files import grammar
from tools.corpus.facts import choose, combination_is_held, is_held, system_message, traveller
from tools.corpus.language import head, plural, polish, turn_person
from tools.corpus.story import Message, conversation, conversations
from tools.demo_model.batches import batches, cut, drill
from tools.demo_model.model import Llama, Shape
from tools.demo_model.muon import orthogonal
from tools.demo_model.tokenizer import BOS, CHAT_TEMPLATE, encode, learn
from tools.demo_model.training import Stage, schedule, train

# Of the corpus that the shipped weights were trained on; a change of the grammar asks for a new training run.
SHIPPED = "ca0e9d7c13b52e6c7000905ddc65e5c12e1968cf1f9011699789e8caecb10a00"
TINY = Shape(vocab=512, hidden=64, layers=2, heads=2, kv_heads=1, intermediate=128)


def test_the_corpus_is_the_one_the_shipped_model_was_trained_on() -> None:
    digest = hashlib.sha256()
    for messages in islice(conversations(1), 40):
        for m in messages:
            digest.update(f"{m.role}|{m.content}\n".encode())
    assert digest.hexdigest() == SHIPPED


def test_seeds_and_sides_differ() -> None:
    assert conversation(3) == conversation(3)
    assert conversation(3) != conversation(4)
    assert conversation(3) != conversation(3, held=True)


def test_system_message_is_the_worlds() -> None:
    g = grammar()
    told = system_message(
        g,
        {
            "name": "Wren",
            "companion": "a tin fox that ticks when it thinks",
            "keepsake": "a brass key that fits no lock yet",
            "quest": "a way home",
            "gate": "through the great emerald gate",
        },
    )
    static = (
        "You are the narrator of an interactive story set in the Emerald City of Oz. "
        'Speak to the traveller as "you". Tell short, vivid scenes, keep to the facts below, '
        "and end each scene with something the traveller can do."
    )
    facts = (
        "Facts: The traveller is called Wren. "
        "Beside the traveller walks a tin fox that ticks when it thinks. "
        "In the traveller's pocket is a brass key that fits no lock yet. "
        "The traveller is looking for a way home. "
        "The traveller enters the city through the great emerald gate."
    )
    assert told == f"{static}\n\n{facts}"
    assert system_message(g, {}) == static
    assert system_message(g, {"quest": "tea"}) == static + "\n\nFacts: The traveller is looking for tea."


def test_held_out_words_and_combinations_are_never_trained() -> None:
    g = grammar()
    named = [x.phrase for x in g.companions.named], [x.phrase for x in g.keepsakes.named]
    lists = (*named, list(g.facts.quests), [x.phrase for x in g.gates])
    for held in (False, True):
        rng = Random(5)
        for _ in range(300):
            answers = traveller(g, rng, held).answers
            told = [answers.get(q) for q in ("companion", "keepsake", "quest", "gate")]
            if all(t in among for t, among in zip(told, lists, strict=True)):
                picks = [among.index(t) for t, among in zip(told, lists, strict=True) if t]
                assert combination_is_held(*picks) == held
        for kind in ("thing", "person", "building", "topic", "verb_animal", "name"):
            assert {is_held(choose(g, kind, rng, held)) for _ in range(100)} == {held}
    assert not set(g.forms.train) & set(g.forms.held)


@pytest.mark.parametrize("held", [False, True])
def test_conversations_are_well_formed(held: bool) -> None:
    for messages in islice(conversations(11, held=held), 150):
        assert [m.role for m in messages[:3]] == ["system", "user", "assistant"]
        assert messages[1].content == "Begin the story."
        for m in messages:
            assert m.content == m.content.strip()
            assert not set("{}[]|") & set(m.content)
            assert "  " not in m.content
        for m in messages[2::2]:
            assert m.role == "assistant"
            assert 8 <= len(m.content.split()) <= 170
            assert m.content[-1] in '.?!"'


def test_unanswered_questions_are_left_alone() -> None:
    g = grammar()
    names = set(g.facts.names)
    checked = 0
    for messages in islice(conversations(12), 200):
        if "is called" not in messages[0].content:
            checked += 1
            assert not any(f"{n}," in m.content for n in names for m in messages if m.role == "assistant")
    assert checked > 10


def test_every_place_leads_to_places_and_people_that_exist() -> None:
    g = grammar()
    for place in g.places.values():
        assert len(place.near) >= 2
        assert set(place.near) <= set(g.places)
        assert set(place.people) <= set(g.people)
    assert {gate.place for gate in g.gates} <= set(g.places)
    assert set(g.weights) == set(g.actions)
    assert {a.family for a in g.answers if a.family} <= set(g.actions)


@pytest.mark.parametrize(
    ("raw", "polished"),
    [
        ("a apple and an pear", "An apple and a pear"),
        ("a unicorn, a hour", "A unicorn, an hour"),
        ("it opens. the door sighs.", "It opens. The door sighs."),
        ('"well?" says the owl. "so." a pause', '"well?" says the owl. "so." A pause'),
    ],
)
def test_polish(raw: str, polished: str) -> None:
    assert polish(raw) == polished


def test_words() -> None:
    assert head("little green door behind the clock", frozenset({"little", "green"})) == "door"
    assert [plural(n) for n in ("box", "berry", "key", "mouse")] == ["boxes", "berries", "keys", None]
    assert turn_person("my hat and your shoe") == "your hat and my shoe"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(islice(conversations(1), 40), 512)


def test_tokenizer_round_trip(tokenizer: Tokenizer) -> None:
    for text in (
        "Begin the story.",
        'I say "hello" to Zsófia 🦊',
        "  two  spaces\n\nand lines\n",
        "don't, it's 12345",
    ):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_training_tokens_are_the_chat_templates(tokenizer: Tokenizer) -> None:
    messages = conversation(8)
    template = jinja2.Environment().from_string(CHAT_TEMPLATE)
    chat = [{"role": m.role, "content": m.content} for m in messages]
    ids, spoken = encode(tokenizer, messages, 4096)
    assert tokenizer.encode(template.render(messages=chat, bos_token=BOS)).ids == ids
    heard = [t for t, said in zip(ids, spoken, strict=True) if said]
    assert tokenizer.decode(heard) == "".join(m.content for m in messages if m.role == "assistant")
    prompt = template.render(messages=chat[:2], bos_token=BOS, add_generation_prompt=True)
    assert tokenizer.encode(prompt).ids == ids[: spoken.index(True)]


def test_long_conversations_lose_whole_messages(tokenizer: Tokenizer) -> None:
    messages = [Message("system", "be kind"), Message("assistant", "long " * 100)]
    assert encode(tokenizer, messages, 50)[0] == encode(tokenizer, messages[:1], 50)[0]


def test_batches_hold_the_same_for_a_seed(tokenizer: Tokenizer) -> None:
    one, two = (next(batches(tokenizer, 3, 1024)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert one[1].any()


def test_muon_makes_updates_orthogonal() -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(24, 64, generator=torch.Generator().manual_seed(1))))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_schedule_walks_through_the_stages() -> None:
    plan = (Stage(100, 512, (1.0, 1.0), warmup=10), Stage(100, 512, (0.5, 0.0), warmup=1))
    assert schedule(plan, 0) == (0, 0, 0.1)
    assert schedule(plan, 99) == (0, 99, 1.0)
    assert schedule(plan, 100) == (1, 0, 0.5)
    assert schedule(plan, 150) == (1, 50, 0.25)
    with pytest.raises(IndexError):
        schedule(plan, 200)


def test_drills_ask_only_for_what_was_said(tokenizer: Tokenizer) -> None:
    ids, asked = drill(tokenizer, Random(1))
    period = asked.index(True)
    assert all(token == ids[i % period] for i, token in enumerate(ids))
    assert all(asked[period:])


def test_cuts_lose_nothing() -> None:
    messages = conversation(8)
    pieces = cut(messages, "pieces")
    assert cut(messages, "whole") == [messages]
    assert [m for piece in pieces for m in piece] == messages
    assert cut(messages, "exchanges") == pieces[1:]


def test_training_lowers_the_loss_resumes_and_exports(tmp_path: Path) -> None:
    notes: list[str] = []

    def run(steps: int) -> float:
        plan = (Stage(4, 512, (1.0, 1.0), "pieces", warmup=1), Stage(steps - 4, 512, (1.0, 0.1), warmup=1))
        report = train(
            TINY, tmp_path, seed=1, plan=plan, learn_from=30, measured=3, every=4, note=notes.append
        )
        loss: float = report["held_out_loss"]
        return loss

    first = run(4)
    assert run(12) < first - 0.05
    assert "going on from step 4" in notes
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    weights = load_file(tmp_path / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    Llama(TINY).load_state_dict({name: w.float() for name, w in weights.items()})
    assert (
        Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size()
        == TINY.vocab
        == config["vocab_size"]
    )
    assert not (tmp_path / ".part").exists()
