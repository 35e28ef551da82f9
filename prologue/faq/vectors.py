"""Embeddings that outlive the index they were made for: most texts are in every world, whatever its edition.

They take most of the time that an index takes, and are the same for the same embedder and text.
"""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock, get_ident
from typing import TYPE_CHECKING

from prologue.faq.embedder import WIDTH, Embedder, embedder_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOCK = Lock()  # several indexes may be made at a time: what one needs, the next one needs not make again


class Vectors:
    """Texts to vectors, each text once: what was embedded is kept in a file of `folder`.

    The file only grows. Processes that write it at a time may lose what one of them has added, which is then
    embedded again.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._path = folder / f"vectors-{embedder_key()}.npz"

    def many(
        self, texts: Sequence[str], progress: Callable[[int, int], None] = lambda done, of: None
    ) -> "NDArray[np.float32]":
        """As `Embedder.many`; `progress` is told of those that are new."""
        import numpy as np

        keys = [sha256(text.encode()).hexdigest() for text in texts]
        with _LOCK:
            known, vectors = self._load()
            new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            if new:
                vectors = np.concatenate([vectors, self._embedder.many(list(new.values()), progress)])
                known |= {key: row for row, key in enumerate(new, len(known))}
                self._save(list(known), vectors)
        found: NDArray[np.float32] = vectors[[known[key] for key in keys]]
        return found

    def _load(self) -> tuple[dict[str, int], "NDArray[np.float32]"]:
        """The row of each text's hash, and the rows."""
        import numpy as np

        if not self._path.is_file():
            return {}, np.empty((0, WIDTH), np.float32)
        with np.load(self._path) as stored:
            return {key: row for row, key in enumerate(stored["keys"].tolist())}, stored["vectors"]

    def _save(self, keys: list[str], vectors: "NDArray[np.float32]") -> None:
        import numpy as np

        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_name(f".{self._path.name}.{os.getpid()}.{get_ident()}")
        with scratch.open("wb") as file:
            np.savez(file, keys=np.array(keys), vectors=vectors)
        scratch.replace(self._path)
