"""`python -m tests.fuzz_child ISA`: loads the bundles that stdin names, a JSON line for each to stdout.

A process of its own, since a damaged bundle might crash the native library, and with a limit on its memory,
since one might ask for too much.
"""

import hashlib
import json
import resource
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lambda_image.engine.bundle.load import open_bundle
from lambda_image.engine.bundle.manifest import verify_bundle
from lambda_image.engine.engine import Engine
from lambda_image.engine.errors import EngineError
from lambda_image.engine.generation.cache import KVCache
from lambda_image.engine.kernels import open_decoder

ROOM = 1 << 30  # bytes beyond what the imports took
SCENE = [{"role": "system", "content": "You tell a story."}, {"role": "user", "content": "I knock."}]
IDS = range(7, 47)


def serve(bundle: Path, kernels: str) -> list[str]:
    """What a bundle gives: the model's numbers, and a reply. The self-tests of both lengths have passed."""
    engine = Engine.load(bundle, kernels=kernels)
    decoder = open_decoder(open_bundle(bundle), setting=kernels)
    logits = decoder.forward(IDS, KVCache(decoder.config, len(IDS)))
    pieces = list(engine.reply(SCENE, seed=1, max_tokens=6, temperature=0))
    engine.about()
    return [hashlib.sha256(logits.tobytes()).hexdigest(), "".join(piece.text for piece in pieces)]


def verified(bundle: Path) -> str:
    return verify_bundle(bundle).name


def outcome(work: Callable[[], object]) -> dict[str, object]:
    """`result`, or `error` with its class, whether it is one of the engine's own, and its text."""
    try:
        return {"result": work()}
    except EngineError as error:
        return {"error": str(error), "own": True, "kind": type(error).__name__}
    except Exception as error:
        return {"error": str(error), "own": False, "kind": type(error).__name__}


def main() -> None:
    warnings.simplefilter("ignore")  # as where it is served
    kernels = f"native/{sys.argv[1]}"
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("ready", flush=True)
    for line in sys.stdin:
        bundle = Path(line.rstrip("\n"))
        told = {
            "serve": outcome(partial(serve, bundle, kernels)),
            "verify": outcome(partial(verified, bundle)),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
