"""The engine as its users call it: a bundle, a conversation, a stream of text."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lambda_image.engine.bundle.readahead import ReadAhead
from lambda_image.engine.convert.write import write_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import BundleError, PromptError, PromptTooLong
from lambda_image.engine.generation.reply import Piece, ReplyEnd
from tests.checkpoints import write_checkpoint

SCENE = [
    {"role": "system", "content": "You tell a story."},
    {"role": "user", "content": "I knock at the gate 😀"},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    write_bundle(write_checkpoint(folder / "oz", context=400, vocabulary=400), folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def engine(bundle: Path) -> Engine:
    return Engine.load(bundle)


def finish(reply: Iterator[Piece]) -> tuple[str, ReplyEnd]:
    *pieces, last = reply
    assert last.end is not None
    return "".join(piece.text for piece in [*pieces, last]), last.end


def test_load_waits_for_the_bytes(bundle: Path) -> None:
    reading = ReadAhead(bundle / "weights.bin", min_seconds=0.2)
    reading.start()
    engine = Engine.load(bundle, reading)
    assert reading.loaded_bytes == reading.total_bytes == (bundle / "weights.bin").stat().st_size
    assert (engine.name, engine.context_length) == ("oz", 400)
    assert engine.load_s > 0


def test_serving_needs_no_builder() -> None:
    program = (
        "import sys, lambda_image.engine.engine; "
        "found = {'torchao', 'typer', 'rich', 'transformers'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


def test_load_passes_on_why_reading_failed(bundle: Path, tmp_path: Path) -> None:
    reading = ReadAhead(tmp_path / "nothing")
    reading.start()
    with pytest.raises(BundleError, match=r"can't be loaded \(.*No such file"):
        Engine.load(bundle, reading)


def test_context_is_capped(tmp_path: Path) -> None:
    write_bundle(write_checkpoint(tmp_path / "model", context=131_072), tmp_path / "bundle")
    assert Engine.load(tmp_path / "bundle").context_length == 4096


def test_a_small_model_takes_one_thread(bundle: Path) -> None:
    Engine.load(bundle, threads=2)
    assert torch.get_num_threads() == 2
    Engine.load(bundle)
    assert torch.get_num_threads() == 1


def test_a_seed_decides_the_text(engine: Engine) -> None:
    first, again, other = (
        finish(engine.reply(SCENE, seed=seed, temperature=1.5, max_tokens=40))[0] for seed in (7, 7, 8)
    )
    assert first == again != other


def test_text_does_not_depend_on_what_was_said_before(engine: Engine, bundle: Path) -> None:
    """KV of a shared prefix is reused; the reply is the one that a fresh cache gives."""
    story, _ = finish(engine.reply(SCENE, seed=1, max_tokens=30))
    turn = [*SCENE, {"role": "assistant", "content": story}, {"role": "user", "content": "Go on."}]
    warm, warm_end = finish(engine.reply(turn, seed=2, max_tokens=40))
    cold, cold_end = finish(Engine.load(bundle).reply(turn, seed=2, max_tokens=40))
    assert warm == cold
    assert warm_end.metrics.kv_reused_tokens > 30
    assert cold_end.metrics.kv_reused_tokens == 0


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
