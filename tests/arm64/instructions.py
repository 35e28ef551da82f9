"""Which dot products an emulated arm64 program executed, by QEMU's log of what it translated."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path


def logged(file: str) -> Mapping[str, str]:
    """The environment in which QEMU writes that log: to `file`, whose %d is the process's number."""
    return {"QEMU_LOG": "in_asm", "QEMU_LOG_FILENAME": file}


def dot_products(log: Path) -> Counter[str]:
    """Instructions of both kinds, vector forms, by Arm's encodings: `sdot` and `smmla`."""
    found: Counter[str] = Counter(sdot=0, smmla=0)
    with log.open("rb") as lines:
        for line in lines:
            if match := re.search(rb": +(4[ef][0-9a-f]{6}) ", line):
                word = int(match[1], 16)
                found["sdot"] += word & 0xFFE0FC00 == 0x4E809400 or word & 0xFFC0F400 == 0x4F80E000
                found["smmla"] += word & 0xFFE0FC00 == 0x4E80A400
    return found
