"""Sentence embeddings: all-MiniLM-L6-v2 with int8 weights, through onnxruntime on one thread.

The files are made once by `prologue.faq.build`, in a folder named after everything that went into them.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
RECIPE = "2"  # changes with what graph.py makes, so that older files are not taken for its own
WIDTH = 384
MAX_TOKENS = 256  # what the model was trained for (its sentence_bert_config.json)
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
BATCH = 32  # texts in one run: more are no faster each


class NotBuiltError(FileNotFoundError):
    """A file of the FAQ matcher that set-up should have made."""

    def __init__(self, path: Path, cache_dir: Path) -> None:
        super().__init__(f"{path} is missing; make it with: python -m prologue.faq.build {cache_dir}")


def embedder_key() -> str:
    return sha256(" ".join((MODEL_SHA256, TOKENIZER_SHA256, RECIPE)).encode()).hexdigest()[:16]


def embedder_folder(cache_dir: Path) -> Path:
    return cache_dir / f"embedder-{embedder_key()}"


class Embedder:
    """Text to a unit vector, float32 [WIDTH]. Equal texts give equal bits on one machine."""

    def __init__(self, model: Path | bytes, tokenizer: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    @classmethod
    def load(cls, cache_dir: Path) -> "Embedder":
        """Raises NotBuiltError."""
        folder = embedder_folder(cache_dir)
        for name in (MODEL_FILE, TOKENIZER_FILE):
            if not (folder / name).is_file():
                raise NotBuiltError(folder / name, cache_dir)
        return cls(folder / MODEL_FILE, folder / TOKENIZER_FILE)

    def knows(self, word: str) -> bool:
        """Whether the tokenizer has the word in one piece, as it has the 20,000 or so that are common."""
        return self._tokenizer.token_to_id(word) is not None

    def __call__(self, text: str) -> "NDArray[np.float32]":
        vector: NDArray[np.float32] = self._run([self._tokenizer.encode(text).ids])[0]
        return vector

    def many(
        self, texts: Sequence[str], progress: Callable[[int, int], None] = lambda done, of: None
    ) -> "NDArray[np.float32]":
        """[texts, WIDTH]: what each alone gives, but for rounding, in a fraction of the time."""
        import numpy as np

        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        alike = defaultdict[int, list[int]](list)
        for at, ids in enumerate(tokens):
            alike[len(ids)].append(at)
        found, done = np.empty((len(texts), WIDTH), np.float32), 0
        for rows in alike.values():
            for begin in range(0, len(rows), BATCH):
                batch = rows[begin : begin + BATCH]
                found[batch] = self._run([tokens[at] for at in batch])
                done += len(batch)
                progress(done, len(texts))
        return found

    def _run(self, tokens: list[list[int]]) -> "NDArray[np.float32]":
        import numpy as np

        (vectors,) = self._session.run(None, {"input_ids": np.array(tokens, np.int64)})
        return np.asarray(vectors, np.float32)
