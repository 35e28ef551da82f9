"""Batches of conversations of like length, so that little compute goes to padding; ordered by the seed."""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tools.corpus.story import Message, conversations
from tools.demo_model.tokenizer import SPECIAL, encode

SHUFFLE = 256  # conversations sorted by length together
LENGTH = 1024  # tokens of the longest conversation
Batch = tuple[Tensor, Tensor]
Cuts = Literal["whole", "pieces", "exchanges", "drills"]


def cut(messages: list[Message], cuts: Cuts) -> list[list[Message]]:
    """The conversation whole, or its opening and each exchange (action, reply) apart, or exchanges only."""
    if cuts == "whole":
        return [messages]
    exchanges = [messages[i : i + 2] for i in range(3, len(messages), 2)]
    return [messages[:3], *exchanges] if cuts == "pieces" else exchanges


def drill(tokenizer: Tokenizer, rng: Random) -> tuple[list[int], list[bool]]:
    """Copying, bare: random tokens said twice or three times, of which all but the first saying is asked."""
    said = [rng.randrange(len(SPECIAL), tokenizer.get_vocab_size()) for _ in range(rng.randrange(6, 25))]
    again = said * rng.choice((1, 1, 2))
    return said + again, [False] * len(said) + [True] * len(again)


def batches(tokenizer: Tokenizer, seed: int, tokens: int, *, cuts: Cuts = "whole") -> Iterator[Batch]:
    """Endless (ids, spoken), both [batch, time], of about `tokens` tokens; padding comes last in each row."""
    stream = conversations(seed)
    rng = Random(seed)
    while True:
        texts = [text for c in islice(stream, SHUFFLE) for text in cut(c, cuts)]
        rows = [encode(tokenizer, text, LENGTH) for text in texts]
        if cuts == "drills":
            rows += [drill(tokenizer, rng) for _ in rows]
        yield from pack(rows, tokens, rng)


def fixed(tokenizer: Tokenizer, seed: int, count: int, tokens: int, *, held: bool) -> list[Batch]:
    """The first `count` conversations of a stream, for measuring."""
    stream = conversations(seed, held=held)
    return pack([encode(tokenizer, c, LENGTH) for c in islice(stream, count)], tokens, Random(seed))


def pack(rows: list[tuple[list[int], list[bool]]], tokens: int, rng: Random) -> list[Batch]:
    rows = sorted(rows, key=lambda row: len(row[0]), reverse=True)
    out: list[Batch] = []
    while rows:
        longest = len(rows[0][0])
        count = max(1, round(tokens / longest))
        group, rows = rows[:count], rows[count:]
        ids = torch.zeros(len(group), longest, dtype=torch.long)
        spoken = torch.zeros(len(group), longest, dtype=torch.bool)
        for i, (row, said) in enumerate(group):
            ids[i, : len(row)] = torch.tensor(row)
            spoken[i, : len(row)] = torch.tensor(said)
        out.append((ids, spoken))
    rng.shuffle(out)
    return out
