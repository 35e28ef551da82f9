"""How well the FAQ matcher tells questions from near misses, and how fast: `python -m bench.faq`.

Quality on the labelled set of tests/faq, apart for the part that the matcher was tuned on and the part that
it never saw, beside the common default: the nearest phrasing, if its cosine is 0.8 or more. Time for reading
and embedding a text, and for searching 40 and 100,000 rows in the index that `make_index` chooses for so
many. The last line is one JSON document.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.common import CACHE, finish, percentile
from prologue.faq.embedder import Embedder
from prologue.faq.guard import Guard
from prologue.faq.index import ensure_index, load_index, make_index, phrasings
from prologue.faq.judge import NEAREST
from prologue.faq.match import Matcher, Near
from prologue.faq.reading import Words
from prologue.world import WORLDS, FaqEntry, World, load_world
from tests.faq.labels import Labels, load_labels

PLAIN_COSINE = 0.8
SIZES = (40, 100_000)
SEARCHES = 500
Z = 1.96  # of a 95 % interval
Answer = Callable[[str], str | None]


def interval(found: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; with none found, the rule of three bounds it."""
    if not found:
        return 0.0, 3 / of
    share, z2 = found / of, Z * Z / of
    middle, half = share + z2 / 2, Z * (share * (1 - share) / of + z2 / (4 * of)) ** 0.5
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def quality(answer: Answer, labels: Labels) -> dict[str, Any]:
    """Recall over the questions; false answers: to a near miss, or from another entry to a question."""
    found = {text: answer(text) for text in labels.questions}
    right = sum(found[text] == entry for text, entry in labels.questions.items())
    wrong = sum(entry not in (None, labels.questions[text]) for text, entry in found.items())
    misled = [kind for text, kind in labels.near_misses.items() if answer(text) is not None]
    count, of = wrong + len(misled), len(labels.questions) + len(labels.near_misses)
    return {
        "questions": len(labels.questions),
        "near_misses": len(labels.near_misses),
        "recall": round(right / len(labels.questions), 4),
        "recall_95": [round(end, 4) for end in interval(right, len(labels.questions))],
        "wrong_entry": wrong,
        "false_on_near_misses": len(misled),
        "false_share": round(count / of, 5),
        "false_share_95": [round(end, 5) for end in interval(count, of)],
    }


def timed(action: Callable[[Any], object], over: Iterable[Any]) -> dict[str, float]:
    """Milliseconds of one call, p50 and p99."""
    took = []
    for item in over:
        began = time.perf_counter()
        action(item)
        took.append((time.perf_counter() - began) * 1000)
    return {"p50_ms": round(percentile(took, 0.5), 4), "p99_ms": round(percentile(took, 0.99), 4)}


def synthetic(vectors: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """So many unit vectors, each near one of `vectors`: as crowded as real phrasings are."""
    chance = np.random.default_rng(0)
    noise = chance.standard_normal((rows, vectors.shape[1])).astype(np.float32) * 0.03
    found = vectors[np.arange(rows) % len(vectors)] + noise
    return np.ascontiguousarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def at_size(
    rows: int, world: World, embedder: Embedder, asked: list[str], vectors: NDArray[np.float32]
) -> dict[str, Any]:
    """A world with `rows` entries of one phrasing each, all of them real phrasings over and over."""
    words = Words.load()
    assert words
    texts = phrasings(world)
    entries = tuple(
        FaqEntry.model_construct(id=f"entry-{row}", answer="", phrasings=(texts[row % len(texts)],))
        for row in range(rows)
    )
    rows_of = synthetic(embedder.many(texts), rows)
    index = make_index(rows_of)
    near = Near(embedder, index, Guard(words, entries, knows=embedder.knows), None, entries)
    queries = [vectors[at % len(vectors)][None] for at in range(SEARCHES)]
    k = min(NEAREST, rows)
    exact = [int((rows_of @ query[0]).argmax()) for query in queries[:100]]
    same = [int(index.search(query, k)[1][0][0]) == best for query, best in zip(queries, exact, strict=False)]
    return {
        "entries": rows,
        "index": type(index).__name__,
        "nearest_found": sum(same) / len(same),
        "search": timed(lambda query: index.search(query, k), queries),
        "match": timed(near, asked),
    }


def main() -> None:
    world = load_world(WORLDS / "emerald-city")
    cache_dir = CACHE / "faq"
    ensure_index(cache_dir, world)
    began = time.perf_counter()
    matcher = Matcher.load(cache_dir, world)
    load_ms = (time.perf_counter() - began) * 1000
    embedder, index = Embedder.load(cache_dir), load_index(cache_dir, world)
    entries = [entry.id for entry in world.faq for _ in entry.phrasings]

    def guarded(text: str) -> str | None:
        match = matcher.match(text)
        return match.entry_id if match else None

    def plain(text: str) -> str | None:
        scores, rows = index.search(embedder(text)[None], index.ntotal)
        best = next((score, row) for score, row in zip(scores[0], rows[0], strict=True) if row < len(entries))
        return entries[best[1]] if best[0] >= PLAIN_COSINE else None

    tables: dict[str, dict[str, Any]] = {"guard": {}, f"cosine_{PLAIN_COSINE}": {}}
    parts: tuple[Literal["tune", "held_out"], ...] = ("tune", "held_out")
    labels = {part: load_labels(part) for part in parts}
    whole = Labels(
        *(
            {k: v for part in labels.values() for k, v in getattr(part, of).items()}
            for of in ("questions", "near_misses")
        )
    )
    print(f"{'':14}{'part':10}{'recall':>8}{'wrong':>7}{'false':>7}  of near misses")
    for (name, table), answer in zip(tables.items(), (guarded, plain), strict=True):
        for part, these in (*labels.items(), ("whole", whole)):
            row = table[part] = quality(answer, these)
            figures = f"{row['recall']:8.3f}{row['wrong_entry']:7}{row['false_on_near_misses']:7}"
            print(f"{name:14}{part:10}{figures}  {row['near_misses']}", flush=True)

    asked = [*whole.questions, *whole.near_misses][::3]
    vectors = embedder.many(asked)
    sizes = [at_size(rows, world, embedder, asked, vectors) for rows in SIZES]
    speed = {
        "load_ms": round(load_ms, 1),
        "embed": timed(embedder, asked),
        "match": timed(matcher.match, asked),
        "sizes": sizes,
    }
    for size in sizes:
        print(f"{size['entries']:7} entries, {size['index']}: search p50 {size['search']['p50_ms']} ms")
    finish("faq", {"phrasings": len(entries), "rows": index.ntotal, "quality": tables, "speed": speed})


if __name__ == "__main__":
    main()
