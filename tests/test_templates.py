"""Every family's chat template against transformers: ids, what users type, what a second turn reuses."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from lambda_image.engine.errors import CheckpointError, PromptError
from lambda_image.engine.generation.cache import common_prefix
from lambda_image.engine.text.replies import Replies
from lambda_image.engine.text.template import ChatTemplate
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import edit_json
from tests.template_zoo import FAMILIES, Family, write_family

Messages = list[dict[str, str]]


class Actor:
    """One family: our tokenizer, transformers', and the bare file."""

    def __init__(self, folder: Path, family: Family) -> None:
        self.family = family
        self.folder = write_family(folder, family)
        self.ours = ChatTokenizer.load(folder)
        self.theirs = AutoTokenizer.from_pretrained(folder)
        self.plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.control = {self.plain.token_to_id(text) for text in (*family.control, *family.tags)}

    def expected(self, messages: Messages) -> list[int]:
        """transformers' ids on a fixed day, without thinking; system messages as that family takes them."""
        if not self.family.takes_system and messages[0]["role"] == "system":
            system, first, *rest = messages
            messages = [user(f"{system['content']}\n\n{first['content']}"), *rest]
        found = self.theirs.apply_chat_template(
            messages, add_generation_prompt=True, date_string="26 Jul 2024", enable_thinking=False
        )
        return list(found["input_ids"])

    def generate(self, replies: Replies, text: str) -> tuple[list[int], str]:
        """Has "the model" say `text` in ids that encoding would never choose: every character by itself."""
        stream = self.ours.detokenizer()
        replies.add(stream)
        for character in text:
            numbers = self.plain.encode(character, add_special_tokens=False).ids
            if self.family.sentencepiece:
                numbers = numbers[1 if character != " " else 0 :][:4]  # without the space put before
            for number in numbers[: 1 if character == " " else None]:
                stream.step(number)
        return list(stream.ids), stream.text


@pytest.fixture(scope="module", params=FAMILIES)
def actor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Actor:
    return Actor(tmp_path_factory.mktemp("family"), FAMILIES[request.param])


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def told(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
stories = st.tuples(words, st.lists(st.tuples(words, words), max_size=3), words).map(
    lambda parts: [
        system(parts[0]),
        *(message for said, answer in parts[1] for message in (user(said), told(answer))),
        user(parts[2]),
    ]
)


@given(messages=stories)
@settings(deadline=None, max_examples=25)
@example(messages=[system(" S.\n"), user("\n Hi 😀 "), told("  Hello.\n\n"), user("naïve 東京 e\u0301 \t x")])
@example(
    messages=[system("S."), user("Hi"), told("<think>\nhm\n</think>\n\nA door."), user("<b>&amp; {{ x }}")]
)
def test_ids_equal_transformers(actor: Actor, messages: Messages) -> None:
    marks = (*actor.family.control, *actor.family.tags)  # typed ones are text for us, and not for them
    assume(not any(mark in message["content"] for mark in marks for message in messages))
    assert actor.ours.encode_chat(messages) == actor.expected(messages)


def test_ids_equal_transformers_without_a_system_message(actor: Actor) -> None:
    messages = [user("Hello."), told("A bell rings."), user("I open.")]
    assert actor.ours.encode_chat(messages) == actor.expected(messages)


def test_the_system_prompt_reaches_every_model(actor: Actor) -> None:
    text = actor.plain.decode(actor.ours.encode_chat([system("The gate is green."), user("Hi")]), False)
    assert text.index("The gate is green.") < text.index("Hi")


def spiced(actor: Actor) -> st.SearchStrategy[str]:
    tokens = st.sampled_from([*actor.family.control, *actor.family.tags, "[INST]", "<|im_", "<", "|>"])
    return st.lists(st.one_of(tokens, words), max_size=5).map("".join)


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_no_typed_text_becomes_a_control_token(actor: Actor, data: st.DataObject) -> None:
    """Neither in the facts of the system prompt nor in a turn; and every character stays."""
    facts, said, next_said = (data.draw(spiced(actor)) for _ in range(3))
    ids = actor.ours.encode_chat([system("S " + facts), user(said), told("A door."), user(next_said)])
    harmless = actor.ours.encode_chat([system("S "), user(""), told("A door."), user("")])
    assert [i for i in ids if i in actor.control] == [i for i in harmless if i in actor.control]
    text = actor.plain.decode(ids, skip_special_tokens=False)
    for typed in (*actor.family.control, *actor.family.tags):
        if typed in facts:
            assert typed.replace("▁", " ") in text


def test_a_second_turn_reuses_everything_but_what_the_template_rewrites(actor: Actor) -> None:
    replies = Replies()
    talk = [system("You narrate."), user("I knock.")]
    first = actor.ours.encode_chat(talk, replies.ids)
    ids, text = actor.generate(replies, "The gate, the naïve gate 😀 opens the road.")
    assert actor.plain.encode(text, add_special_tokens=False).ids != ids
    second = actor.ours.encode_chat([*talk, told(text), user("I enter.")], replies.ids)
    shared = common_prefix(second, first + ids)
    if actor.family.keeps_replies:
        assert shared == len(first + ids)
    else:  # Qwen3: a prompt ends with empty thoughts, and a history shows none
        empty = len(actor.plain.encode("<think>\n\n</think>\n\n", add_special_tokens=False).ids)
        assert shared == len(first) - empty
    # From then on the first reply stays as it is.
    more, text2 = actor.generate(replies, "A bell rings.")
    third = actor.ours.encode_chat(
        [*talk, told(text), user("I enter."), told(text2), user("On.")], replies.ids
    )
    assert common_prefix(third, second + more) >= common_prefix(third, second) > len(first + ids) - 8
    if actor.family.keeps_replies:
        assert common_prefix(third, second + more) == len(second + more)


def test_a_reply_that_was_cut_short_is_known_up_to_the_cut(actor: Actor) -> None:
    replies = Replies()
    ids, text = actor.generate(replies, "The road is long.")
    assert replies.ids(text) == ids
    cut = replies.ids(text[:8])
    assert cut is not None
    assert ids[: len(cut)] == cut
    assert 0 < len(cut) < len(ids)
    assert replies.ids("The sea") is None
    assert replies.ids("") is None


def test_only_so_many_replies_are_remembered(actor: Actor) -> None:
    replies = Replies(2)
    said = [actor.generate(replies, f"Scene {number}.") for number in range(3)]
    assert replies.ids(said[0][1]) is None
    assert replies.ids(said[2][1]) == said[2][0]


def test_thoughts_are_taken_out_of_a_known_reply(tmp_path: Path) -> None:
    actor = Actor(tmp_path, FAMILIES["qwen3"])
    replies = Replies()
    stream = actor.ours.detokenizer()
    replies.add(stream)
    for number in actor.plain.encode("<think>\nhm\n</think>\n\nA door.").ids:
        stream.step(number)
    assert stream.text == "<think>\nhm\n</think>\n\nA door."
    messages = [user("Hi"), told(stream.text), user("On.")]
    assert actor.ours.encode_chat(messages, replies.ids) == actor.expected(messages)


def test_lone_surrogates(actor: Actor) -> None:
    assert actor.ours.encode_chat([user("a\ud800b")]) == actor.ours.encode_chat([user("a\ufffdb")])
    assert actor.ours.encode_chat([user("\ud83d\ude00")]) == actor.ours.encode_chat([user("😀")])


@pytest.mark.parametrize(
    ("family", "piece"),
    [("llama3", "a"), ("llama3", "<|eot_id|>"), ("mistral", "</s>"), ("mistral", "The road is long. ")],
)
def test_a_megabyte_of_text_is_encoded_whole(tmp_path: Path, family: str, piece: str) -> None:
    """It would take hours if anything were quadratic."""
    folder = write_family(tmp_path, FAMILIES[family])
    text = "." + piece * (1_000_000 // len(piece)) + "."
    ids = ChatTokenizer.load(folder).encode_chat([user(text)])
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert text in plain.decode(ids, skip_special_tokens=False)


def test_a_template_that_refuses_is_passed_on(tmp_path: Path) -> None:
    actor = Actor(tmp_path, FAMILIES["mistral"])
    with pytest.raises(PromptError, match="After the user comes the assistant"):
        actor.ours.encode_chat([user("Hi"), user("Hi again")])


def test_a_system_prompt_alone_still_reaches_a_model_without_one(tmp_path: Path) -> None:
    actor = Actor(tmp_path, FAMILIES["mistral"])
    assert actor.ours.encode_chat([system("Begin.")]) == actor.ours.encode_chat([user("Begin.")])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            "user",
        ),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "Hi"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "Hi"}'),
        ("{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}", "2"),
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
    ],
)
def test_what_templates_may_use(source: str, text: str) -> None:
    assert ChatTemplate(source, {}).render([user("Hi"), told("x")]) == text


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    actor = Actor(tmp_path, FAMILIES["smollm2"])
    named: list[dict[str, Any]] = [
        {"name": "tool_use", "template": "no"},
        {"name": "default", "template": actor.family.template},
    ]
    edit_json(tmp_path / "tokenizer_config.json", chat_template=named)
    again = ChatTokenizer.load(tmp_path)
    assert again.encode_chat([user("Hi")]) == actor.ours.encode_chat([user("Hi")])
    edit_json(tmp_path / "tokenizer_config.json", chat_template=named[:1])
    with pytest.raises(CheckpointError, match="there is no chat_template"):
        ChatTokenizer.load(tmp_path)
