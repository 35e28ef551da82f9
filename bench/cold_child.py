"""One cold start of ours, from the first instruction to the first token, on the model function's own way:
the handler's module starts reading, then the engine is imported and loaded beside it while the progress is
told. Prints one JSON line: seconds since `CURTAIN_BENCH_BEGAN` (the monotonic clock when it was launched).
"""

import itertools
import json
import os
import sys
import time

BEGAN = float(os.environ["CURTAIN_BENCH_BEGAN"])
marks = {"interpreter": time.monotonic() - BEGAN}

from lambda_image import handler  # noqa: E402  reads BUNDLE_DIR and starts reading

marks["init"] = time.monotonic() - BEGAN


def main() -> None:
    from lambda_image.narrator import Narrator
    from lambda_image.tasks import Threads
    from lambda_image.waking import SleepingModel
    from session.limits import limits

    def load() -> Narrator:
        from lambda_image.engine.engine import Engine

        marks["imports"] = time.monotonic() - BEGAN
        return Engine.load(handler.BUNDLE, handler.READAHEAD, tokenizer=handler.TOKENIZER)

    model = SleepingModel(load, handler.READAHEAD, handler.STARTED, tasks=Threads())
    every = limits().progress_s  # a function has read them, from a disk as cold, before it wakes a model
    told = [time.monotonic()]
    for loaded, total, _ in model.wake(every):
        told.append(time.monotonic())
        if loaded == total:
            marks.setdefault("read", told[-1] - BEGAN)  # as a report would tell
    told.append(time.monotonic())
    marks["ready"] = told[-1] - BEGAN
    marks.setdefault("read", marks["ready"])
    assert model.narrator is not None
    messages = json.loads(sys.argv[1])
    piece = next(iter(model.narrator.reply(messages, max_tokens=2, seed=0, should_stop=lambda: False)))
    marks["first_token"] = time.monotonic() - BEGAN
    gaps = [after - before for before, after in itertools.pairwise(told)]
    print(json.dumps({"marks": marks, "longest_gap_s": max(gaps), "text": piece.text}))


main()
