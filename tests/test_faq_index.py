"""Making an index: no text is embedded twice, and a file that is lost is missed and made again."""

from pathlib import Path

import numpy as np
import pytest

from prologue.faq import index
from prologue.faq.convert import ensure_embedder
from prologue.faq.embedder import Embedder, NotBuiltError
from prologue.faq.index import decoys, ensure_index, judge_path, phrasings
from prologue.faq.match import Matcher
from prologue.faq.vectors import Vectors
from prologue.world import WORLDS, World, load_world

EMERALD_CITY = load_world(WORLDS / "emerald-city")
WORLD = EMERALD_CITY.model_copy(update={"faq": EMERALD_CITY.faq[:6]})  # the whole takes half a minute
DECOYS = decoys("en")[:200]


class Told:
    """How many texts were embedded."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, done: int, of: int) -> None:
        self.texts = of


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faq")
    ensure_embedder(folder)
    return folder


@pytest.fixture
def embedder(cache_dir: Path) -> Embedder:
    return Embedder.load(cache_dir)


@pytest.fixture
def indexed(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of WORLD in `cache_dir`."""
    monkeypatch.setattr(index, "decoys", lambda _: DECOYS)
    return ensure_index(cache_dir, WORLD)


def test_a_text_is_embedded_once(embedder: Embedder, tmp_path: Path) -> None:
    told = Told()
    first = Vectors(embedder, tmp_path).many(["Who are you?", "Are you there?", "Who are you?"], told)
    assert told.texts == 2
    assert (first == embedder.many(["Who are you?", "Are you there?", "Who are you?"])).all()
    told.texts = 0
    again = Vectors(embedder, tmp_path).many(["Are you there?", "How late is it?", "Who are you?"], told)
    assert told.texts == 1
    assert (again[[2, 0]] == first[:2]).all()
    assert np.abs(again[1] - embedder("How late is it?")).max() < 1e-5


def test_what_is_known_is_not_told_of(embedder: Embedder, tmp_path: Path) -> None:
    told = Told()
    vectors = Vectors(embedder, tmp_path)
    vectors.many(["Who are you?"])
    vectors.many(["Who are you?"], told)
    assert told.texts == 0


def test_another_edition_embeds_only_what_is_new_in_it(indexed: Path) -> None:
    first, *others = WORLD.faq
    longer = first.model_copy(update={"phrasings": (*first.phrasings, "What have I come to?")})
    other = WORLD.model_copy(update={"faq": (longer, *others)})
    told = Told()
    assert ensure_index(indexed.parent, other, told) != indexed
    assert told.texts in (1, 2)  # and perhaps a word of it
    assert len(phrasings(WORLD)) > 100


def test_embeddings_can_be_kept_elsewhere(indexed: Path, tmp_path: Path) -> None:
    """So that an image has none."""
    before = {path.name for path in indexed.parent.iterdir()}
    smaller: World = WORLD.model_copy(update={"faq": WORLD.faq[:2]})
    made = ensure_index(indexed.parent, smaller, vectors_dir=tmp_path)
    assert {path.name for path in indexed.parent.iterdir()} - before == {made.name, judge_path(made).name}
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


@pytest.mark.parametrize("lost", ["index", "judge"])
def test_a_lost_file_is_named_and_made_again(indexed: Path, lost: str) -> None:
    file = indexed if lost == "index" else judge_path(indexed)
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(NotBuiltError, match=rf"{file} is missing; .* prologue\.faq\.build {file.parent}"):
        Matcher.load(indexed.parent, WORLD)
    ensure_index(indexed.parent, WORLD)
    assert file.stat().st_size == len(content)
    assert Matcher.load(indexed.parent, WORLD).match(phrasings(WORLD)[0])
