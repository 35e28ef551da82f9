"""Conversations of a wanted length, of words that any byte-level tokenizer can spell."""

import random
from collections.abc import Iterator

from lambda_image.engine.text.tokens import ChatTokenizer

WORDS = str.split(
    "the green city glittered at end of road and nobody in it was a hurry seven bells rang then ten none "
    "lantern river bridge window garden clock letter silver morning winter captain door music shadow"
)

Messages = list[dict[str, str]]


def words(seed: int) -> Iterator[str]:
    """Words without end."""
    rng = random.Random(seed)
    while True:
        yield rng.choice(WORDS)


def prompt(tokenizer: ChatTokenizer, tokens: int, *, seed: int = 0, said: str = "I look around.") -> Messages:
    """A system message and a first turn whose prompt has `tokens` ids, give or take a word."""
    drawn, text = words(seed), "You tell a story."
    while True:
        messages = [{"role": "system", "content": text}, {"role": "user", "content": said}]
        if (missing := tokens - len(tokenizer.encode_chat(messages))) <= 0:
            return messages
        text += "".join(f" {next(drawn)}" for _ in range(max(missing // 8, 1)))


def history(tokenizer: ChatTokenizer, tokens: int, *, turn: int = 100, seed: int = 1) -> Messages:
    """Turns of about `turn` ids each, `tokens` in all: what was said before this environment knew of it."""
    messages: Messages = []
    drawn = words(seed)
    while True:
        done = len(tokenizer.encode_chat(messages)) if messages else 0
        if done >= tokens:
            return messages
        said, told = f"And then? {len(messages)}", "Then"
        wanted = min(turn, tokens - done)
        while len(tokenizer.encode_chat([*_pair(said, told)])) < wanted:
            told += "".join(f" {next(drawn)}" for _ in range(4))
        messages += _pair(said, told)


def _pair(said: str, told: str) -> Messages:
    return [{"role": "user", "content": said}, {"role": "assistant", "content": told}]
