"""What was proven, and how long it took: the document that `make test-cloud` ends with."""

import json
import sys
import time
from typing import Any


class Proof:
    def __init__(self) -> None:
        self.document: dict[str, Any] = {"proven": {}, "seconds": {}}
        self._began = self._last = time.monotonic()

    def add(self, name: str, seen: Any = True) -> None:
        """`seen` has just been seen: it took the time since the last one."""
        now = time.monotonic()
        self.document["proven"][name] = seen
        self.document["seconds"][name] = round(now - self._last, 1)
        print(f"{now - self._began:6.0f} s  {name}", file=sys.stderr, flush=True)
        self._last = now

    def whole(self) -> str:
        self.document["seconds"]["all"] = round(time.monotonic() - self._began, 1)
        return json.dumps(self.document, ensure_ascii=False)
