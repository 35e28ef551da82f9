"""The demo model's own byte-level BPE tokenizer; conversations as token ids, the narrator's marked."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tools.corpus.story import Message

BOS, HEADER, HEADER_END = "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"
EOT, EOS, PAD = "<|eot_id|>", "<|end_of_text|>", "<|pad|>"
SPECIAL = [BOS, HEADER, HEADER_END, EOT, EOS, PAD]
# Contractions, words with the space before them, numbers by threes, signs, line breaks, spaces. Quotes stay
# apart from words, so that a word quoted back is made of the same tokens.
WORDS = r"'(?:s|t|re|ve|m|ll|d)\b| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def learn(conversations: Iterable[list[Message]], vocab: int) -> Tokenizer:
    """A tokenizer of exactly `vocab` tokens, learned from these conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def texts() -> Iterator[str]:
        for messages in conversations:
            for m in messages:
                yield m.role
                yield "\n\n" + m.content

    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, messages: Sequence[Message], limit: int) -> tuple[list[int], list[bool]]:
    """Token ids as the chat template makes them, and which of them the narrator says (end of turn included).

    Whole messages are left off at the end so that at most `limit` tokens remain.
    """
    token = tokenizer.get_vocab()
    ids, spoken = [token[BOS]], [False]
    for m in messages:
        top = [token[HEADER], *tokenizer.encode(m.role).ids, token[HEADER_END], *tokenizer.encode("\n\n").ids]
        body = [*tokenizer.encode(m.content.strip()).ids, token[EOT]]
        if len(ids) + len(top) + len(body) > limit:
            break
        ids += top + body
        spoken += [False] * len(top) + [m.role == "assistant"] * len(body)
    return ids, spoken


def save(tokenizer: Tokenizer, folder: Path, max_positions: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOT,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_positions,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
