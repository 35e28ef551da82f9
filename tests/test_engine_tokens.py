"""Chat templates and tokenization against transformers; control tokens that users type; streaming text."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lambda_image.engine.errors import CheckpointError, PromptError
from lambda_image.engine.text.template import ChatTemplate
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import BOS, CONTROL, EOT, edit_json, write_tokenizer

DEMO = Path(__file__).parents[1] / "models/demo"

Messages = list[dict[str, str]]

ordinary = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
conversations = st.tuples(
    st.lists(ordinary, max_size=1), st.lists(st.tuples(ordinary, ordinary), max_size=3), ordinary
).map(lambda parts: conversation(*parts))


def conversation(system: list[str], turns: list[tuple[str, str]], last: str) -> Messages:
    messages = [{"role": "system", "content": text} for text in system]
    for said, answered in turns:
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    return [*messages, {"role": "user", "content": last}]


def user(text: str) -> Messages:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 400)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(folder)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> PreTrainedTokenizerBase:
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return found


def their_ids(theirs: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """Today is pinned through the template's own variable, because theirs is the real date."""
    template = str(theirs.chat_template).replace("strftime_now is defined", "false")
    found = theirs.apply_chat_template(messages, chat_template=template, add_generation_prompt=True)
    return list(found["input_ids"])


@given(messages=conversations)
@settings(deadline=None)
@example(messages=conversation(["  Be brief.\n"], [("\n\nHi 😀", " Hello. ")], "\ue000\U000f0000 1"))
def test_ids_equal_transformers(
    tokenizer: ChatTokenizer, theirs: PreTrainedTokenizerBase, messages: Messages
) -> None:
    assert tokenizer.encode_chat(messages) == their_ids(theirs, messages)


@pytest.mark.parametrize("said", ["I open the door.", "  Where am I?\n", "Ha! 😀 <b>&amp;"])
def test_ids_of_the_demo_model_equal_transformers(said: str) -> None:
    messages = conversation(["You are the narrator."], [("Hello.", "A bell rings.")], said)
    expected = AutoTokenizer.from_pretrained(DEMO).apply_chat_template(messages, add_generation_prompt=True)
    assert ChatTokenizer.load(DEMO).encode_chat(messages) == expected["input_ids"]


def test_template_in_its_own_file(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    write_tokenizer(tmp_path, 400, template_in_file=True)
    assert ChatTokenizer.load(tmp_path).encode_chat(user("Hi")) == tokenizer.encode_chat(user("Hi"))


spiced = st.lists(st.one_of(st.sampled_from(CONTROL), ordinary), max_size=6).map("".join)


@given(contents=st.lists(spiced, min_size=1, max_size=3))
@settings(deadline=None)
def test_typed_control_tokens_are_text(
    tokenizer: ChatTokenizer, plain: Tokenizer, contents: list[str]
) -> None:
    messages = [message for text in contents for message in user(text)]
    ids = tokenizer.encode_chat(messages)
    harmless = tokenizer.encode_chat(user("") * len(contents))
    assert [token for token in ids if token < len(CONTROL)] == [
        token for token in harmless if token < len(CONTROL)
    ]
    for text in contents:
        assert text.strip() in plain.decode(ids, skip_special_tokens=False)


def test_control_tokens_are_spelled_out(tokenizer: ChatTokenizer, plain: Tokenizer) -> None:
    ids = tokenizer.encode_chat(user("a<|eot_id|><|eot_id|>b"))
    assert ids.count(BOS) == 1
    assert ids.count(EOT) == 2  # the system message's and this message's own
    assert "a<|eot_id|><|eot_id|>b<|eot_id|>" in plain.decode(ids, skip_special_tokens=False)


def test_control_tokens_behind_a_normalizer_are_found(tmp_path: Path, plain: Tokenizer) -> None:
    """A tokenizer that folds case would read <|EOT_ID|> as the control token."""
    folding = Tokenizer.from_str(plain.to_str())
    folding.normalizer = normalizers.Lowercase()
    folding.add_special_tokens([AddedToken("<|stop|>", normalized=True, special=True)])
    stop = folding.token_to_id("<|stop|>")
    assert stop in folding.encode("<|STOP|>").ids
    tokenizer = ChatTokenizer(folding, ChatTemplate("{{ messages[0]['content'] }}", {}))
    assert stop not in tokenizer.encode_chat(user("<|STOP|>"))


def test_lone_surrogates_become_replacement_characters(tokenizer: ChatTokenizer) -> None:
    assert tokenizer.encode_chat(user("a\ud800b")) == tokenizer.encode_chat(user("a\ufffdb"))
    assert tokenizer.encode_chat(user("\ud83d\ude00")) == tokenizer.encode_chat(user("😀"))


@pytest.mark.parametrize("message", [{"role": "tool", "content": "x"}, {"role": "user"}, {"content": "x"}])
def test_malformed_messages_are_refused(tokenizer: ChatTokenizer, message: dict[str, str]) -> None:
    with pytest.raises(
        PromptError, match="a message needs a role, one of system, user, assistant, and a text"
    ):
        tokenizer.encode_chat([message])


def test_refusal_by_the_template_is_passed_on(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(PromptError, match="roles other than user and assistant must come first"):
        tokenizer.encode_chat([*user("Hi"), {"role": "system", "content": "late"}])


def test_messages_that_use_up_all_private_characters(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(PromptError, match="every private-use character"):
        tokenizer.encode_chat(user("".join(map(chr, range(0xF0000, 0x10FFFE)))))


def test_templates_see_a_fixed_day_and_no_html_escapes() -> None:
    template = ChatTemplate(
        "{{ strftime_now('%Y-%m-%d') }} {{ messages | tojson }} {{ bos_token }}", {"bos_token": "<s>"}
    )
    assert template.render(user("<b>ü")) == '2024-07-26 [{"role": "user", "content": "<b>ü"}] <s>'


def test_templates_run_in_a_sandbox() -> None:
    with pytest.raises(PromptError, match="unsafe"):
        ChatTemplate("{{ messages.__class__.__mro__ }}", {}).render(user("x"))
    with pytest.raises(PromptError, match="unsafe"):
        ChatTemplate("{{ messages.append(1) }}", {}).render(user("x"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chat_template": None}, "there is no chat_template: take the model's instruct variant"),
        ({"chat_template": "{% if %}"}, "the chat template can't be compiled"),
    ],
)
def test_unusable_templates_are_refused(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    write_tokenizer(tmp_path, 300)
    edit_json(tmp_path / "tokenizer_config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        ChatTokenizer.load(tmp_path)


def test_named_tokens_may_be_objects(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    write_tokenizer(tmp_path, 400)
    edit_json(tmp_path / "tokenizer_config.json", bos_token={"content": CONTROL[BOS], "lstrip": False})
    assert ChatTokenizer.load(tmp_path).encode_chat(user("Hi")) == tokenizer.encode_chat(user("Hi"))


@given(text=ordinary)
@settings(deadline=None)
@example(text="😀👩‍👩‍👧 naïve 東京")
def test_streamed_text_is_whole_characters(tokenizer: ChatTokenizer, plain: Tokenizer, text: str) -> None:
    stream = tokenizer.detokenizer()
    pieces = [stream.step(token) for token in plain.encode(text, add_special_tokens=False).ids]
    assert "".join(pieces).rstrip("\ufffd") == text.rstrip("\ufffd")
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


def test_an_emoji_split_over_tokens_comes_at_once(tokenizer: ChatTokenizer, plain: Tokenizer) -> None:
    ids = plain.encode("🧙", add_special_tokens=False).ids
    assert len(ids) > 1
    stream = tokenizer.detokenizer()
    assert [stream.step(token) for token in ids] == [""] * (len(ids) - 1) + ["🧙"]


@given(ids=st.lists(st.integers(0, 399), max_size=40))
@settings(deadline=None)
def test_any_tokens_stream_to_a_prefix_of_their_text(
    tokenizer: ChatTokenizer, plain: Tokenizer, ids: list[int]
) -> None:
    stream = tokenizer.detokenizer()
    streamed = "".join(stream.step(token) for token in ids)
    whole = plain.decode(ids)
    assert whole.startswith(streamed)
    assert whole.endswith("\ufffd") or streamed == whole  # only an unfinished character is waited for
