"""What speaks for an FAQ entry, and what it weighs: evidence, wording and judge, on a few entries."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prologue.faq.convert import ensure_embedder
from prologue.faq.embedder import WIDTH, Embedder
from prologue.faq.evidence import DECOY, Evidence
from prologue.faq.guard import Guard
from prologue.faq.house import house
from prologue.faq.index import as_embedded, decoys
from prologue.faq.judge import FOLDS, Fit, Judge, _logistic, _ridge, fit, load, save
from prologue.faq.reading import Reading, Words
from prologue.faq.wording import BUCKETS, WEIGHT, joined, wording

WORDS = Words.load()
assert WORDS
FAQ = tuple(entry for entry in house("en") if entry.id in ("cost", "who-made-it", "stored", "offline"))
GUARD = Guard(WORDS, FAQ)
TOLD_IN_STORIES = decoys("en")[:300]
TEXTS = [*(phrasing for entry in FAQ for phrasing in entry.phrasings), *TOLD_IN_STORIES]
ENTRIES = [number for number, entry in enumerate(FAQ) for _ in entry.phrasings] + [DECOY] * len(
    TOLD_IN_STORIES
)


def read(text: str) -> Reading:
    reading = GUARD.read(text)
    assert reading is not None
    return reading


FEW = ["What does it cost?", "Is it free?", "Who made this?", "Is the boat free?", "Who built the wall?"]
EVIDENCE = Evidence([0, 0, 1, DECOY, DECOY], [read(text) for text in FEW], WORDS, GUARD.meanings)


def weighed(
    text: str, found: list[tuple[float, int]], left_out: int | None = None
) -> tuple[int, list[float]] | None:
    return EVIDENCE.weighed(read(text), found, [0.1, 0.2, 0.7], lambda word, said: -0.5, left_out)


@pytest.mark.parametrize(
    ("word", "left_out", "side"),
    [
        ("cost", None, 1.0),
        ("boat", None, -1.0),
        ("dragon", None, None),
        ("boat", 3, None),  # nobody else says it
        ("mak", 2, -1.0),  # the wall was built too
        ("cost", 3, 1.0),
    ],
)
def test_whose_word_it_is(word: str, left_out: int | None, side: float | None) -> None:
    assert EVIDENCE.side(word, left_out) == side


def test_the_nearest_that_agrees_is_the_entry() -> None:
    found = [(0.9, 3), (0.8, 2), (0.7, 1), (0.6, 0), (0.5, 4)]
    near = weighed("Is this free?", found)
    assert near is not None
    entry, (first, mine, theirs, decoy, *_) = near
    assert (entry, first, theirs, decoy) == (1, 0.8, 0.7, 0.9)
    assert mine == pytest.approx((0.8 + 0.5 + 0.5) / 3)  # for what is missing the farthest that was found


def test_what_is_denied_is_near_to_nothing_that_is_not() -> None:
    assert weighed("Why is it not free?", [(0.9, 1), (0.8, 0), (0.7, 3)]) is None
    assert weighed("Is this free?", [(0.9, 3), (0.8, 4)]) is None


def test_strange_words_are_counted_and_weighed() -> None:
    found = [(0.9, 1), (0.8, 0), (0.7, 3)]
    plain, strange = weighed("Is it free?", found), weighed("Is the dragon free?", found)
    assert plain
    assert strange
    changed = [(a, b) for a, b in zip(plain[1], strange[1], strict=True) if a != b]
    assert (1.0, -0.5) in changed  # how likely the strange word is one of Curtain's
    assert (0.0, 1.0) in changed  # how many there are


def test_a_text_does_not_speak_for_itself() -> None:
    found = [(0.9, 0), (0.8, 3)]
    seen, left_out = weighed("Is it free?", found), weighed("Is it free?", found, left_out=1)
    assert seen
    assert left_out
    assert left_out[1] != seen[1]


def test_wording_tells_apart_what_the_same_words_say() -> None:
    one, other = read("Who pays the man?"), read("The man who pays?")
    assert one.content == other.content
    assert set(wording(one)) != set(wording(other))
    assert {"who", "^ who", "? who False", "= cost", "? who man", "= cost man"} <= set(wording(one))


def test_embedding_and_wording_side_by_side() -> None:
    vectors = np.eye(2, WIDTH, dtype=np.float32)
    both = joined(vectors, [read("Is it free?"), None])
    assert both.shape == (2, WIDTH + BUCKETS)
    assert np.array_equal(both[:, :WIDTH], vectors)
    assert np.linalg.norm(both[0, WIDTH:]) == pytest.approx(WEIGHT)
    assert not both[1, WIDTH:].any()


def test_a_guess_is_made_without_the_family() -> None:
    chance = np.random.default_rng(0)
    rows, wanted = chance.standard_normal((40, 6)), chance.standard_normal((40, 2))
    families = list(range(40))
    weights, guesses = _ridge(rows, wanted, families)
    others = [at for at in families if at % FOLDS != 3]
    without, _ = _ridge(rows[others], wanted[others], [0] * len(others))
    assert np.allclose(guesses[3], rows[3] @ without)
    assert not np.allclose(guesses[3], rows[3] @ weights)


def test_what_decides_weighs_most() -> None:
    chance = np.random.default_rng(0)
    rows = chance.standard_normal((500, 3)) * [1, 100, 1] + [0, 7, 0]
    right = (rows[:, 1] + chance.standard_normal(500) * 50 > 7).astype(float)
    mean, scale, weights = _logistic(rows, right)
    assert np.allclose(mean, rows.mean(axis=0))
    assert np.allclose(scale, rows.std(axis=0))
    assert weights[1] > 1 > 10 * max(abs(weights[0]), abs(weights[2]))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    cache_dir = tmp_path_factory.mktemp("embedder")
    ensure_embedder(cache_dir)
    return Embedder.load(cache_dir)


@pytest.fixture(scope="module")
def readings() -> list[Reading | None]:
    return [GUARD.read(text) for text in TEXTS]


@pytest.fixture(scope="module")
def vectors(embedder: Embedder, readings: list[Reading | None]) -> NDArray[np.float32]:
    return embedder.many([as_embedded(text, read) for text, read in zip(TEXTS, readings, strict=True)])


@pytest.fixture(scope="module")
def fitted(embedder: Embedder, readings: list[Reading | None], vectors: NDArray[np.float32]) -> Fit:
    return fit(vectors, ENTRIES, readings, GUARD, embedder.many)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("would this cost my brother anything?", "cost"),
        ("who are the developers of this website?", "who-made-it"),
        ("is any of my writing kept on a disk somewhere?", "stored"),
        ("could I use this on a ship, with no internet?", "offline"),
    ],
)
def test_a_question_is_nearer_its_entry_than_a_story(
    embedder: Embedder,
    readings: list[Reading | None],
    vectors: NDArray[np.float32],
    fitted: Fit,
    tmp_path: Path,
    text: str,
    entry: str,
) -> None:
    save(tmp_path / "judge.npz", fitted, readings)
    again, stored = load(tmp_path / "judge.npz")
    judge = Judge(again, GUARD, ENTRIES, stored, embedder.many)

    def sure(asked: str) -> tuple[str, float]:
        reading = read(asked)
        vector = embedder(as_embedded(asked, reading))
        scores = vectors @ vector
        judged = judge(reading, vector, [(float(scores[at]), int(at)) for at in np.argsort(-scores)[:128]])
        assert judged is not None
        return FAQ[judged[0]].id, judged[1]

    asked, score = sure(text)
    assert asked == entry
    for story in ("Who forged the sword of the queen?", "Is the stable free tonight?", "I keep the old map."):
        assert sure(story)[1] < score


def test_a_word_nobody_used_is_judged_by_its_neighbours(
    embedder: Embedder, readings: list[Reading | None], fitted: Fit
) -> None:
    judge = Judge(fitted, GUARD, ENTRIES, readings, embedder.many)
    assert judge.likely("cost", "costs") == 1.0
    assert judge.likely("invoice", "invoice") > judge.likely("dragon", "dragon")
    assert judge.plain("invoice") >= judge.plain("dragon")
