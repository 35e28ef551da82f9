"""The KV cache of a world's fixed prompt: what it covers, that it changes nothing, when it is passed over."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_image.engine.bundle.load import Bundle, open_bundle
from lambda_image.engine.convert.finish import finish_bundle, fixed_ids
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.generation.cache import KVCache, common_prefix
from lambda_image.engine.generation.reply import ReplyMetrics
from lambda_image.engine.kernels import native_decoder, open_decoder
from lambda_image.engine.native.library import instruction_sets
from lambda_image.engine.prefix import Prefixes
from lambda_image.engine.text.tokens import ChatTokenizer
from prologue.world import WORLDS, load_world
from tests.checkpoints import write_checkpoint
from tests.fakes import emerald_city
from tests.template_zoo import FAMILIES, write_family

WORLD = emerald_city()
FACTS = {"name": "Ada", "companion": "a talking teapot"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefix")
    checkpoint = write_checkpoint(folder / "oz", context=1024, vocabulary=400)
    write_bundle(checkpoint, folder / "with", finish=finish_bundle([WORLDS / "emerald-city"]))
    write_bundle(checkpoint, folder / "without", finish=finish_bundle([]))
    return folder


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return open_bundle(folder / "with")


def messages(said: str = WORLD.opening_prompt, **facts: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": WORLD.render_system(facts)},
        {"role": "user", "content": said},
    ]


answers = st.dictionaries(
    st.sampled_from([question.id for question in WORLD.questions]), st.text(max_size=20)
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_prompt_of_the_world_begins_with_it(
    tmp_path_factory: pytest.TempPathFactory, family: str
) -> None:
    tokenizer = ChatTokenizer.load(write_family(tmp_path_factory.mktemp("family"), FAMILIES[family]))
    fixed = fixed_ids(WORLD, tokenizer)
    beginning = tokenizer.encode_chat(messages("x"))
    assert len(fixed) > len(beginning) / 2

    @given(facts=answers, said=st.text(min_size=1, max_size=20))
    @settings(deadline=None, max_examples=25)
    def check(facts: dict[str, str], said: str) -> None:
        assert tokenizer.encode_chat(messages(said, **facts))[: len(fixed)] == fixed

    check()


@pytest.mark.parametrize("isa", instruction_sets())
def test_it_is_what_a_cold_prefill_gives(bundle: Bundle, isa: str) -> None:
    """Bit for bit on the kernels that made it."""
    prefix = bundle.manifest.prefixes[WORLD.name]
    warm, cold = (KVCache(bundle.manifest.config, len(prefix.ids)) for _ in range(2))
    Prefixes(bundle).fill(warm, prefix.ids)
    native_decoder(bundle, isa=isa).forward(prefix.ids, cold)
    assert warm.ids == cold.ids == list(prefix.ids)
    for ours, theirs in ((warm.keys, cold.keys), (warm.values, cold.values)):
        if isa == instruction_sets()[0]:
            np.testing.assert_array_equal(ours, theirs)
        distance = np.linalg.norm(ours.astype(np.float32) - theirs.astype(np.float32))
        assert distance < 1e-2 * np.linalg.norm(theirs.astype(np.float32))


def test_the_second_path_agrees_with_it(bundle: Bundle) -> None:
    """Its activations are rounded otherwise; the keys and values are still those of this model."""
    prefix = bundle.manifest.prefixes[WORLD.name]
    warm, cold = (KVCache(bundle.manifest.config, len(prefix.ids)) for _ in range(2))
    Prefixes(bundle).fill(warm, prefix.ids)
    open_decoder(bundle, setting="aten").forward(prefix.ids, cold)
    for ours, theirs in ((warm.keys, cold.keys), (warm.values, cold.values)):
        distance = np.linalg.norm(ours.astype(np.float32) - theirs.astype(np.float32))
        assert distance < 0.1 * np.linalg.norm(theirs.astype(np.float32))


def tell(engine: Engine, told: list[dict[str, str]]) -> tuple[str, ReplyMetrics]:
    pieces = list(engine.reply(told, seed=1, max_tokens=20))
    assert pieces[-1].end is not None
    return "".join(piece.text for piece in pieces), pieces[-1].end.metrics


def test_a_story_is_told_the_same_with_it_and_without(folder: Path, bundle: Bundle) -> None:
    told, metrics = tell(Engine.load(folder / "with"), messages(**FACTS))
    plain, plain_metrics = tell(Engine.load(folder / "without"), messages(**FACTS))
    assert told == plain
    assert metrics.kv_reused_tokens == len(bundle.manifest.prefixes[WORLD.name].ids) > 50
    assert metrics.prefill_tokens == metrics.prompt_tokens - metrics.kv_reused_tokens
    assert plain_metrics.kv_reused_tokens == 0


def test_a_story_in_a_further_language_begins_with_its_own(folder: Path, bundle: Bundle) -> None:
    german = load_world(WORLDS / "emerald-city", "de")
    told = [
        {"role": "system", "content": german.render_system({"name": "Zoë"})},
        {"role": "user", "content": german.opening_prompt},
    ]
    own, first = (bundle.manifest.prefixes[name].ids for name in (f"{WORLD.name}.de", WORLD.name))
    assert common_prefix(own, first) < len(own) / 2
    _, metrics = tell(Engine.load(folder / "with"), told)
    assert metrics.kv_reused_tokens == len(own) > 50


def test_a_conversation_that_the_prefix_replaces_is_reported_lost(folder: Path) -> None:
    engine = Engine.load(folder / "with")
    _, first = tell(engine, [{"role": "user", "content": "Tell me of the sea. " * 5}])
    held = first.prompt_tokens + first.completion_tokens - 1
    _, second = tell(engine, messages(**FACTS))
    assert second.kv_reused_tokens > 50  # the prefix
    assert held / 2 < second.kv_lost_tokens < held  # but for what every prompt begins with


def test_the_longer_match_wins(bundle: Bundle) -> None:
    prefixes, ids = Prefixes(bundle), bundle.manifest.prefixes[WORLD.name].ids
    cache = KVCache(bundle.manifest.config, len(ids) + 10)
    decoder = native_decoder(bundle)
    longer = [*ids, 5, 6, 7]
    decoder.forward(longer, cache)
    before = cache.keys.copy()
    prefixes.fill(cache, [*longer, 8])
    assert cache.ids == longer
    np.testing.assert_array_equal(cache.keys[:, :, : len(longer)], before[:, :, : len(longer)])
    prefixes.fill(cache, [*ids[:20], 9])  # the cache holds as much of that one: nothing to do
    assert cache.ids == longer
    cache.keep_prefix(ids[:4])
    prefixes.fill(cache, [*ids[:20], 9])
    assert cache.ids == list(ids[:20])
    prefixes.fill(cache, [399, 398])  # nothing in common: the cache is left alone
    assert common_prefix(cache.ids, ids) == 20


def damaged(bundle: Bundle, **changes: object) -> Bundle:
    prefix = bundle.manifest.prefixes[WORLD.name].model_copy(update=changes)
    manifest = bundle.manifest.model_copy(update={"prefixes": {WORLD.name: prefix}})
    return Bundle(bundle.path, manifest)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"engine": "curtain-engine/0"}, "made by another engine"),
        ({"weights_sha256": "0" * 64}, "from other weights"),
        ({"ids": (1, 2, 3)}, "bytes instead of"),
        ({"file": "weights.bin"}, "bytes instead of"),
    ],
)
def test_a_foreign_one_is_passed_over_loudly(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, changes: dict[str, object], cause: str
) -> None:
    prefixes = Prefixes(damaged(bundle, **changes))
    assert prefixes.lengths == {}
    assert "IS NOT USED" in caplog.text
    assert cause in caplog.text


def test_a_damaged_one_is_passed_over_loudly(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder / "with" / f"prefix-{WORLD.name}.kv"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:999] + bytes([whole[999] ^ 1]) + whole[1000:])
        with caplog.at_level(logging.WARNING):
            told, metrics = tell(Engine.load(folder / "with"), messages(**FACTS))
    finally:
        path.write_bytes(whole)
    other = Prefixes(open_bundle(folder / "with"))  # the German one: both begin with what the template says
    assert metrics.kv_reused_tokens < other.lengths[f"{WORLD.name}.de"] / 2
    assert told
    assert "sha256 differs" in caplog.text
