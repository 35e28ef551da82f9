"""Runs where the demo model is to be served, emulated or not: loads the bundle, tests itself, tells a little.

`python serve.py BUNDLE THREADS`. The last line is one JSON document.
"""

import hashlib
import json
import logging
import os
import sys
import threading
from pathlib import Path

import numpy as np

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.kernels import open_decoder

MESSAGES = [
    {"role": "system", "content": "You are the narrator of a story in the Emerald City."},
    {"role": "user", "content": "I open the little green door."},
]
REPEATS = 50  # at most, until the kernel's clock has seen every thread: on a busy machine one may come late
IDS = [5, 17, 400, 33, 1200, 77, 2, 901, 64, 12, 250, 3]


def main(bundle: Path, threads: int) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    opened = open_bundle(bundle)
    decoder = open_decoder(opened, threads=threads)
    logits = np.array(decoder.forward(IDS, KVCache(opened.manifest.config, 64), every_position=True))
    for _ in range(REPEATS):
        if (busy := _busy_threads()) >= threads:
            break
        decoder.forward(IDS, KVCache(opened.manifest.config, 64), every_position=True)

    engine = Engine.load(bundle, threads=threads)
    pieces = list(engine.reply(MESSAGES, seed=1, max_tokens=12, temperature=0))
    end = pieces[-1].end
    assert end is not None
    document = {
        "about": engine.about(),
        "text": "".join(piece.text for piece in pieces),
        "ids": end.ids,
        "busy_threads": busy,
        "torch_loaded": "torch" in sys.modules,
        "user": os.getuid(),
        "logits": logits[-1].tolist(),
        "logits_sha256": hashlib.sha256(logits.tobytes()).hexdigest(),
    }
    print(json.dumps(document))


def _busy_threads() -> int:
    """Threads of this process that have computed: spent at least a hundredth of a second."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        count += int(fields[11]) + int(fields[12]) > 0
    assert threading.active_count() <= count
    return count


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
