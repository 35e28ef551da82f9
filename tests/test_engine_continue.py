"""A reply that goes on from the text it has: in every family's template, known text or not."""

from pathlib import Path

import pytest

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import PromptTooLong
from lambda_image.engine.prefix import Prefixes
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import write_checkpoint
from tests.fakes_engine import SCENE, FakeDecoder, finish
from tests.template_zoo import FAMILIES, write_family


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("continue")
    checkpoint = write_checkpoint(folder / "oz", context=400, vocabulary=400)
    write_bundle(checkpoint, folder / "bundle", finish=finish_bundle([]))
    return folder / "bundle"


@pytest.fixture
def engine(bundle: Path) -> Engine:
    return Engine.load(bundle)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prompt_ends_with_the_text_in_ordinary_tokens(name: str, bundle: Path, tmp_path: Path) -> None:
    family = FAMILIES[name]
    chat = ChatTokenizer.load(write_family(tmp_path, family))
    opened, decoder = open_bundle(bundle), FakeDecoder(chat.highest_id + 1)
    parts = opened, decoder, chat, Prefixes(opened)
    engine = Engine(*parts, load_s=0.0, first_layer_s=None, clock=lambda: 0.0)
    text = "The naïve gate 😀 " + "".join((*family.control, *family.tags)) + " opens "
    _, end = finish(engine.reply(SCENE, seed=1, max_tokens=3, continued=text))
    prompt = chat.encode_chat(SCENE)
    said = engine._cache.ids[len(prompt) : end.metrics.prompt_tokens]
    assert engine._cache.ids[: len(prompt)] == prompt
    assert said == chat.encode_plain(text)
    assert not {chat._tokenizer.token_to_id(token) for token in (*family.control, *family.tags)} & set(said)
    whole = chat._tokenizer.decode(said, skip_special_tokens=False)
    assert whole.strip() == text.replace("▁", " ").strip()


@pytest.mark.parametrize("heard", [1, 7, 20])
def test_a_reply_that_was_cut_goes_on_as_if_it_never_was(engine: Engine, heard: int) -> None:
    whole = finish(engine.reply(SCENE, seed=1, max_tokens=40, temperature=0.0))[0]
    reply = engine.reply(SCENE, seed=1, max_tokens=40, temperature=0.0)
    told, tokens = "", 0
    for piece in reply:  # cut where a character ends
        told, tokens = told + piece.text, tokens + 1
        if tokens >= heard and piece.text:
            break
    rest, end = finish(engine.reply(SCENE, seed=2, max_tokens=40 - tokens, temperature=0.0, continued=told))
    assert told + rest == whole
    assert end.metrics.prefill_tokens <= 1  # nothing is computed again


def test_a_later_turn_finds_the_whole_reply_in_the_cache(engine: Engine) -> None:
    first, _ = finish(engine.reply(SCENE, seed=1, max_tokens=15, temperature=1.5))
    rest, end = finish(engine.reply(SCENE, seed=2, max_tokens=15, temperature=1.5, continued=first))
    held = end.metrics.prompt_tokens + end.metrics.completion_tokens - 1 - 3
    turn = [*SCENE, {"role": "assistant", "content": first + rest}, {"role": "user", "content": "Go on."}]
    _, after = finish(engine.reply(turn, seed=3, max_tokens=2))
    assert after.metrics.kv_reused_tokens >= held


def test_another_environment_goes_on_from_the_text_alone(bundle: Path) -> None:
    first = "The road is long, "
    engine, other = Engine.load(bundle), Engine.load(bundle)
    rest, _ = finish(engine.reply(SCENE, seed=2, max_tokens=15, temperature=1.5, continued=first))
    again, _ = finish(other.reply(SCENE, seed=2, max_tokens=15, temperature=1.5, continued=first))
    assert rest == again
    assert rest
    turn = [*SCENE, {"role": "assistant", "content": first + rest}, {"role": "user", "content": "Go on."}]
    _, end = finish(engine.reply(turn, seed=3, max_tokens=2))
    assert end.metrics.kv_reused_tokens > len(engine._tokenizer.encode_chat(SCENE))


def test_the_text_takes_its_part_of_the_context(engine: Engine) -> None:
    talk = [SCENE[0]]
    for number in range(4):
        talk += [
            {"role": "user", "content": f"{number} and on we walk"},
            {"role": "assistant", "content": "The road is long."},
        ]
    talk.append(SCENE[1])
    _, plain = finish(engine.reply(talk, seed=1, max_tokens=5))
    _, longer = finish(engine.reply(talk, seed=1, max_tokens=5, continued="qz" * 95))
    assert plain.metrics.dropped_turns == 0
    assert longer.metrics.dropped_turns > 0
    assert longer.metrics.prompt_tokens <= engine.context_length - 5
    with pytest.raises(PromptTooLong, match="shorten it"):
        engine.reply(SCENE, seed=1, max_tokens=5, continued="qz" * 200)
