"""The engine as its users call it: a bundle, a conversation, a stream of text."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.convert.finish import finish_bundle
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import BundleError, PromptError, PromptTooLong
from lambda_image.engine.kernels import open_decoder
from lambda_image.engine.prefix import Prefixes
from lambda_image.engine.text.tokens import ChatTokenizer
from tests.checkpoints import write_checkpoint
from tests.fakes_engine import SCENE, finish


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    checkpoint = write_checkpoint(folder / "oz", context=400, vocabulary=400)
    write_bundle(checkpoint, folder / "bundle", finish=finish_bundle([]))
    return folder / "bundle"


@pytest.fixture
def engine(bundle: Path) -> Engine:
    return Engine.load(bundle)


def test_load_waits_for_the_bytes(bundle: Path) -> None:
    reading = ReadAhead(bundle / "weights.bin", min_seconds=0.2)
    reading.start()
    engine = Engine.load(bundle, reading)
    assert reading.loaded_bytes == reading.total_bytes == (bundle / "weights.bin").stat().st_size
    assert (engine.name, engine.context_length) == ("oz", 400)
    assert engine.load_s > 0


def test_serving_needs_no_torch_and_no_builder(bundle: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lambda_image.engine.engine import Engine; "
        f"engine = Engine.load(Path({str(bundle)!r})); engine.about(); "
        "print(len(list(engine.reply([{'role': 'user', 'content': 'Hi'}], seed=1, max_tokens=5)))); "
        "heavy = {'torch', 'torchao', 'safetensors', 'typer', 'rich', 'transformers', 'yaml', 'boto3'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


def test_load_passes_on_why_reading_failed(bundle: Path, tmp_path: Path) -> None:
    reading = ReadAhead(tmp_path / "nothing")
    reading.start()
    with pytest.raises(BundleError, match=r"can't be loaded \(.*No such file"):
        Engine.load(bundle, reading)


def test_the_context_is_the_manifests(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model", context=131_072)
    write_bundle(checkpoint, tmp_path / "bundle", context_length=1000)
    assert Engine.load(tmp_path / "bundle").context_length == 1000


def test_a_seed_decides_the_text(engine: Engine) -> None:
    first, again, other = (
        finish(engine.reply(SCENE, seed=seed, temperature=1.5, max_tokens=40))[0] for seed in (7, 7, 8)
    )
    assert first == again != other


def test_text_does_not_depend_on_what_was_said_before(engine: Engine) -> None:
    """KV of a shared prefix is reused; the reply is the one that a fresh cache gives."""
    story, _ = finish(engine.reply(SCENE, seed=1, max_tokens=30))
    turn = [*SCENE, {"role": "assistant", "content": story}, {"role": "user", "content": "Go on."}]
    warm, warm_end = finish(engine.reply(turn, seed=2, max_tokens=40))
    finish(engine.reply([{"role": "user", "content": "Another story."}], seed=1, max_tokens=3))
    cold, cold_end = finish(engine.reply(turn, seed=2, max_tokens=40))
    assert warm == cold
    assert warm_end.metrics.kv_reused_tokens > cold_end.metrics.kv_reused_tokens + 30


def test_metrics_are_whole(engine: Engine) -> None:
    text, end = finish(engine.reply(SCENE, seed=1, max_tokens=10, temperature=1.0))
    metrics = end.metrics
    assert text
    assert 0 < metrics.completion_tokens <= 10
    assert metrics.ttft_s is not None
    assert metrics.ttft_s >= metrics.prefill_s > 0
    assert metrics.decode_tokens_per_s is None or metrics.decode_tokens_per_s > 0


def test_stop_from_another_thread(engine: Engine) -> None:
    flag = threading.Event()
    reply = engine.reply(SCENE, seed=3, temperature=5.0, max_tokens=200, should_stop=flag.is_set)
    next(reply)
    threading.Thread(target=flag.set).start()
    assert flag.wait(10)
    rest = list(reply)
    assert len(rest) == 1
    assert rest[0].end is not None
    assert rest[0].end.finish_reason == "cancelled"


def test_a_new_reply_ends_the_open_one(engine: Engine) -> None:
    open_reply = engine.reply(SCENE, seed=3, temperature=5.0)
    next(open_reply)
    finish(engine.reply(SCENE, seed=4, max_tokens=3))
    assert list(open_reply) == []


def test_oldest_turns_make_room(engine: Engine) -> None:
    talk = [SCENE[0]]
    for number in range(20):
        talk += [
            {"role": "user", "content": f"{number} and on we walk"},
            {"role": "assistant", "content": "The road is long."},
        ]
    _, end = finish(engine.reply([*talk, SCENE[1]], seed=1, max_tokens=5))
    assert end.metrics.dropped_turns > 0
    assert end.metrics.prompt_tokens <= engine.context_length - 5


def test_a_reply_gets_a_quarter_of_the_context(engine: Engine) -> None:
    """However many tokens are asked for, the prompt may fill the rest."""
    _, end = finish(engine.reply([{"role": "user", "content": "qz" * 100}], seed=1, max_tokens=10_000))
    assert 200 < end.metrics.prompt_tokens <= 300
    assert end.metrics.dropped_turns == 0
    with pytest.raises(PromptTooLong, match="300 fit: shorten it"):
        engine.reply([{"role": "user", "content": "qz" * 150}], seed=1, max_tokens=10_000)


def test_bad_requests_are_refused_before_the_first_piece(engine: Engine) -> None:
    with pytest.raises(PromptError, match="hold no turn"):
        engine.reply([], seed=1)
    with pytest.raises(ValidationError, match="temperature"):
        engine.reply(SCENE, seed=1, temperature=-1.0)


def test_sampling_defaults_are_the_models_own(engine: Engine) -> None:
    own = finish(engine.reply(SCENE, seed=5, max_tokens=30))[0]
    assert own == finish(engine.reply(SCENE, seed=5, max_tokens=30, temperature=0.6, top_p=0.9))[0]
    greedy = finish(engine.reply(SCENE, seed=5, max_tokens=30, temperature=0.0))[0]
    assert greedy == finish(engine.reply(SCENE, seed=6, max_tokens=30, temperature=0.0))[0]


def test_a_second_turn_reuses_the_ids_that_were_generated(engine: Engine) -> None:
    """Random weights say what no tokenizer would encode, and cut characters short."""
    talk, held = list(SCENE), 0
    for turn in range(3):
        text, end = finish(engine.reply(talk, seed=turn, temperature=1.5, max_tokens=25))
        assert end.metrics.kv_reused_tokens >= held
        assert end.metrics.kv_lost_tokens <= 3  # of a character that was cut short, nothing stays
        held = end.metrics.prompt_tokens + end.metrics.completion_tokens - 1 - 3
        talk += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go on."}]
    assert end.metrics.kv_reused_tokens > 70


def test_a_stopped_reply_is_reused_as_far_as_it_was_told(engine: Engine) -> None:
    reply = engine.reply(SCENE, seed=1, temperature=1.5, max_tokens=60)
    heard = "".join(next(reply).text for _ in range(30))
    turn = [*SCENE, {"role": "assistant", "content": heard}, {"role": "user", "content": "Wait."}]
    _, end = finish(engine.reply(turn, seed=2, max_tokens=3))
    first = finish(engine.reply(SCENE, seed=1, max_tokens=1))[1].metrics.prompt_tokens
    assert end.metrics.kv_reused_tokens >= first + 30 - 3


def test_a_lost_history_is_reported(engine: Engine) -> None:
    text, first = finish(engine.reply(SCENE, seed=1, temperature=1.5, max_tokens=20))
    other = [SCENE[0], {"role": "user", "content": "Something else"}]
    _, end = finish(engine.reply(other, seed=1, max_tokens=2))
    assert text
    assert end.metrics.kv_lost_tokens > first.metrics.completion_tokens


def long_talk() -> list[dict[str, str]]:
    talk = [SCENE[0]]
    for number in range(6):
        talk += [
            {"role": "user", "content": f"{number} and on we walk"},
            {"role": "assistant", "content": "The road."},
        ]
    return [*talk, {"role": "user", "content": "Go"}]


def test_a_slow_environment_reads_less_of_the_story(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two layers at two seconds for the self-test's eight tokens: two tokens a second, of which half is
    believed, so thirty at most."""
    opened, now = open_bundle(bundle), iter(range(0, 10**9, 1))
    engine = Engine(
        opened,
        open_decoder(opened),
        ChatTokenizer.load(bundle),
        Prefixes(opened),
        load_s=0.0,
        first_layer_s=2.0,
        clock=lambda: next(now) / 1e6,  # from then on, much faster than it seemed
    )
    assert engine.prompt_budget == 30
    _, trimmed = finish(engine.reply(long_talk(), seed=1, max_tokens=3))
    assert trimmed.metrics.budget_dropped_turns == 6
    assert trimmed.metrics.dropped_turns == 0
    assert "turns left out: this environment computes 30 prompt tokens in 30 s" in caplog.text
    assert (engine.prompt_budget or 0) > 1000
    _, whole = finish(engine.reply(long_talk(), seed=1, max_tokens=3))
    assert whole.metrics.budget_dropped_turns == 0


def test_about_tells_what_serves(engine: Engine) -> None:
    told = json.loads(json.dumps(engine.about()))
    assert told["bundle"]["name"] == "oz"
    assert told["context_length"] == 400
    assert told["kernels"].startswith("native/")
    assert told["threads"] == 1
    assert told["golden"]["passed"] is True
    assert told["cpu"]["name"]
    assert told["memory_peak_bytes"] > 10_000_000
    assert told["versions"]["numpy"]
    assert told["prompt_budget"] > 0


def test_the_second_path_serves_the_same_bundle(bundle: Path) -> None:
    engine = Engine.load(bundle, kernels="aten")
    text, end = finish(engine.reply(SCENE, seed=1, max_tokens=10, temperature=1.0))
    assert text
    assert end.metrics.completion_tokens > 1
    told = engine.about()
    assert str(told["kernels"]).startswith("aten/")
    assert told["threads"] == 1


def test_sampling_of_one_reply(engine: Engine) -> None:
    greedy = finish(engine.reply(SCENE, seed=5, max_tokens=10, temperature=0.0))[0]
    assert finish(engine.reply(SCENE, seed=5, max_tokens=10, temperature=1.5, min_p=1.0))[0] == greedy
    assert finish(engine.reply(SCENE, seed=5, max_tokens=10, temperature=1.5, top_k=None))[0] != greedy
    _, end = finish(engine.reply(SCENE, seed=5, max_tokens=10, temperature=0.0, logit_bias={1: 1e9}))
    assert (end.finish_reason, end.metrics.completion_tokens) == ("stop", 1)


def test_a_stop_string_ends_the_reply(engine: Engine) -> None:
    whole = finish(engine.reply(SCENE, seed=7, max_tokens=30, temperature=1.5))[0]
    cut, end = finish(engine.reply(SCENE, seed=7, max_tokens=30, temperature=1.5, stop=[whole[5:8]]))
    assert cut == whole[: whole.index(whole[5:8])]
    assert end.finish_reason == "stop"


def test_no_room_to_reply_is_no_error(engine: Engine) -> None:
    text, end = finish(engine.reply(SCENE, seed=1, max_tokens=0))
    assert (text, end.finish_reason, end.metrics.completion_tokens) == ("", "length", 0)


def test_a_megabyte_is_refused_clearly(engine: Engine) -> None:
    with pytest.raises(PromptTooLong, match="fit: shorten it"):
        engine.reply([{"role": "user", "content": "The road is long. " * 60_000}], seed=1)
