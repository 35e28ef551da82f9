"""Makes the FAQ matcher's files, once: `python -m prologue.faq.build OUT_DIR`.

First the embedder, then with it every world's phrasings, each text embedded once. What is there already is
left alone; a file is either whole or absent.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from prologue.faq.convert import SourceError, ensure_embedder
from prologue.faq.index import ensure_index
from prologue.faq.reading import Words
from prologue.world import WORLDS, WorldError, load_languages


def _progress(name: str) -> Callable[[int, int], None]:
    """Tells a terminal of it: it takes a quarter of a minute or more for the first world of a language."""

    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == of else ""
            print(f"\r{name}: {done} of {of} texts", end=end, file=sys.stderr, flush=True)

    return tell


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m prologue.faq.build OUT_DIR")
    cache_dir = Path(sys.argv[1])
    try:
        print(ensure_embedder(cache_dir))
        with TemporaryDirectory() as vectors:  # not in OUT_DIR: images have no use for them
            for folder in sorted(path for path in WORLDS.iterdir() if path.is_dir()):
                for language, world in load_languages(folder).items():
                    if Words.load(language):  # else the phrasings themselves are all that is answered
                        progress = _progress(f"{world.name} {language}")
                        print(ensure_index(cache_dir, world, progress, vectors_dir=Path(vectors)))
    except (SourceError, WorldError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
