"""A tokenizer as large as Llama 3's, of made-up words: what it costs to load it belongs to a cold start, and
the real one may not be passed on.
"""

import itertools
import json
import random
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers

from tests.checkpoints import TEMPLATE

LETTERS = "aerst"  # few, so that a word can be put together in as many ways as a real one
CONTROLS = 256  # the last ids, as in Llama 3
MERGES = 280_147  # as many as Llama 3's tokenizer.json has
NAMED = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    9: "<|eot_id|>",
}


def make_vocabulary(size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens in order of their ids, control tokens last, and the merges that lead to them."""
    rng = random.Random(0)
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = set(tokens)
    tails = [*LETTERS]
    heads = [*tails, "Ġ", "T", "A", "S"]
    merges = []
    while len(tokens) < size - CONTROLS:
        first, second = rng.choice(heads), rng.choice(tails)
        word = first + second
        if word in known:
            continue
        known.add(word)
        tokens.append(word)
        merges.append((first, second))
        if len(word) < 8:
            heads.append(word)
        if len(word) < 4 and word[0] in LETTERS:
            tails.append(word)
    # Llama 3 lists further ways to the same words; what they cost is the time to read them.
    others = (
        (word[:cut], word[cut:])
        for word in tokens
        for cut in range(1, len(word))
        if word[:cut] in known and word[cut:] in known
    )
    first_ways = set(merges)
    merges += itertools.islice((pair for pair in others if pair not in first_ways), MERGES - len(merges))
    tokens += [NAMED.get(number, f"<|reserved_{number}|>") for number in range(CONTROLS)]
    return tokens, merges


def write_tokenizer(folder: Path, size: int) -> None:
    """tokenizer.json and tokenizer_config.json with the chat template of our tests' models."""
    tokens, merges = make_vocabulary(size)
    byte_level: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    controls = [
        {
            "id": size - CONTROLS + number,
            "content": tokens[size - CONTROLS + number],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number in range(CONTROLS)
    ]
    document = {
        "version": "1.0",
        "added_tokens": controls,
        "normalizer": None,
        "pre_tokenizer": byte_level | {"use_regex": True},
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": merges,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    settings = {"bos_token": NAMED[0], "eos_token": NAMED[9], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
