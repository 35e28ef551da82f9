"""Messages to token ids, token ids to text.

The ids are those of transformers' `apply_chat_template`, with one difference: text inside a message is never
read as a control token. Whoever types `<|eot_id|>` gets these characters spelled in ordinary tokens.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from lambda_image.engine.bundle.config import read_json
from lambda_image.engine.convert.source import TEMPLATE_FILE, TOKENIZER_FILES
from lambda_image.engine.errors import CheckpointError, PromptError
from lambda_image.engine.text.template import ChatTemplate

ROLES = ("system", "user", "assistant")
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")  # what templates refer to
PRIVATE_USE = range(0xF0000, 0x10FFFE)  # planes 15 and 16: no text needs all of these characters


class ChatTokenizer:
    """Tokenizer and chat template of one model."""

    def __init__(self, tokenizer_json: str, template: ChatTemplate) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._template = template
        added = self._tokenizer.get_added_tokens_decoder()
        self._control_ids = {number for number, token in added.items() if token.special}

    @classmethod
    def load(cls, folder: Path) -> "ChatTokenizer":
        """From the tokenizer's files in a checkpoint or bundle. CheckpointError if one can't be used."""
        tokenizer_path, settings_path = (folder / name for name in TOKENIZER_FILES)
        settings = read_json(settings_path)
        special_tokens = {}
        for name in NAMED_TOKENS:
            token = settings.get(name)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                special_tokens[name] = text
        source = settings.get("chat_template")
        try:
            if (folder / TEMPLATE_FILE).exists():
                source = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
            if not isinstance(source, str):
                raise CheckpointError("there is no chat_template: take the model's instruct variant")
            template = ChatTemplate(source, special_tokens)
        except (CheckpointError, OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: {error}") from None
        try:
            return cls(tokenizer_path.read_text(encoding="utf-8"), template)
        except Exception as error:  # tokenizers raises nothing narrower
            raise CheckpointError(f"{tokenizer_path}: {error}: put the original file back") from None

    @property
    def highest_id(self) -> int:
        """The largest token id there is."""
        return max(self._tokenizer.get_vocab().values())

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The prompt for a reply to `messages`, each with a `role` of ROLES and its `content`.

        PromptError if one is malformed, or if the template refuses them.
        """
        for message in messages:
            if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
                raise PromptError(f"a message needs a role, one of {', '.join(ROLES)}, and a text as content")
        contents = [_well_formed(message["content"]) for message in messages]
        marker = _unused_character("".join(contents))
        spelled: list[str] = []  # control tokens found in contents; the template sees a marked number instead
        shielded = [
            {"role": message["role"], "content": self._shield(content, marker, spelled)}
            for message, content in zip(messages, contents, strict=True)
        ]
        parts = re.split(f"{marker}([0-9]+){marker}", self._template.render(shielded))
        ids: list[int] = []
        for index, part in enumerate(parts):
            if index % 2:
                ids += self._speller.encode(spelled[int(part)], add_special_tokens=False).ids
            else:
                ids += self._tokenizer.encode(part, add_special_tokens=False).ids
        return ids

    def detokenizer(self) -> "Detokenizer":
        """A fresh one, for one reply."""
        return Detokenizer(self._tokenizer)

    @cached_property
    def _speller(self) -> Tokenizer:
        """Reads control tokens as the text that they are written with. Rarely needed."""
        speller = Tokenizer.from_str(self._tokenizer.to_str())
        speller.encode_special_tokens = True
        return speller

    def _shield(self, content: str, marker: str, spelled: list[str]) -> str:
        encoding = self._tokenizer.encode(content, add_special_tokens=False)
        pieces, end = [], 0
        for number, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
            if number in self._control_ids:
                pieces += [content[end:start], f"{marker}{len(spelled)}{marker}"]
                spelled.append(content[start:stop])
                end = stop
        return "".join(pieces) + content[end:]


class Detokenizer:
    """Token ids to text as they come: only whole characters, control tokens left out."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def step(self, token: int) -> str:
        """The text that `token` completes; "" while a character is unfinished."""
        return self._stream.step(self._tokenizer, token) or ""


def _well_formed(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates, which are no characters, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unused_character(text: str) -> str:
    used = set(text)
    for code in PRIVATE_USE:
        if chr(code) not in used:
            return chr(code)
    raise PromptError("the messages hold every private-use character there is: remove one")
