"""Messages to token ids.

The ids are those of transformers' `apply_chat_template` over the model's own tokenizer.json, with two
differences. Text inside a message is never read as a control token: whoever types `<|eot_id|>` gets these
characters spelled in ordinary tokens. And a reply that was generated here stays the ids that were generated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lambda_image.engine.bundle.config import read_json
from lambda_image.engine.bundle.manifest import TEMPLATE_FILE, TOKENIZER_FILES
from lambda_image.engine.errors import CheckpointError, PromptError
from lambda_image.engine.text.control import ControlTokens, plain_tokenizer
from lambda_image.engine.text.shield import Marks, well_formed
from lambda_image.engine.text.stream import Detokenizer
from lambda_image.engine.text.template import ChatTemplate, Message

ROLES = ("system", "user", "assistant")
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")  # what templates refer to


@dataclass(frozen=True)
class _Known:
    """A generated reply in the history, between two marks."""

    start: str
    end: str
    ids: Sequence[int]


class ChatTokenizer:
    """Tokenizer and chat template of one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._plain = plain_tokenizer(self._tokenizer)
        probes = (
            tokenizer.encode("a", add_special_tokens=False).ids
            for tokenizer in (self._tokenizer, self._plain)
        )
        self._prefixes = next(probes) != next(probes)  # a space is put before a text, as SentencePiece does
        # Qwen3's <think> is not "special", but no listener may write it. Runs of spaces are only spaces.
        added = self._tokenizer.get_added_tokens_decoder()
        control = {number: token for number, token in added.items() if token.special or token.content.strip()}
        special = {number: token for number, token in control.items() if token.special}
        self._control = ControlTokens(self._tokenizer, control)
        # What a model has said may hold </think>, and its template then looks for it.
        self._special = ControlTokens(self._tokenizer, special)

    @classmethod
    def load(cls, folder: Path, tokenizer: Tokenizer | None = None) -> "ChatTokenizer":
        """From the tokenizer's files in a checkpoint or bundle. CheckpointError if one can't be used.

        `tokenizer` is the folder's tokenizer.json where it has been parsed already.
        """
        tokenizer_path, settings_path = (folder / name for name in TOKENIZER_FILES)
        settings = read_json(settings_path)
        special_tokens = {}
        for name in NAMED_TOKENS:
            token = settings.get(name)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                special_tokens[name] = text
        try:
            template = ChatTemplate(_template_source(folder, settings), special_tokens)
        except (CheckpointError, OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: {error}") from None
        try:
            return cls(tokenizer or Tokenizer.from_file(str(tokenizer_path)), template)
        except Exception as error:  # tokenizers raises nothing narrower
            raise CheckpointError(f"{tokenizer_path}: {error}: put the original file back") from None

    @property
    def highest_id(self) -> int:
        """The largest token id there is."""
        return max(self._tokenizer.get_vocab().values())

    def detokenizer(self, ids: Sequence[int] = (), text: str = "") -> Detokenizer:
        """A fresh one, for one reply, or for the rest of one that begins with `text`, encoded as `ids`."""
        return Detokenizer(self._tokenizer, ids, text)

    def encode_plain(self, text: str) -> list[int]:
        """`text` within a message: no space is put before it, and nothing in it is a control token."""
        return self._plain.encode(well_formed(text), add_special_tokens=False).ids

    def encode_chat(
        self,
        messages: Sequence[Message],
        known: Callable[[str], Sequence[int] | None] = lambda text: None,
    ) -> list[int]:
        """The prompt for a reply to `messages`, each with a `role` of ROLES and its `content`.

        `known` gives the ids of an assistant message that was generated here. They are put in as they are,
        unless the template rewrites that message. PromptError if a message is malformed, or if the template
        refuses them.
        """
        for message in messages:
            if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
                raise PromptError(f"a message needs a role, one of {', '.join(ROLES)}, and a text as content")
        contents = [well_formed(message["content"]) for message in messages]
        marks = Marks(contents)
        inserts: list[str | _Known | None] = []  # by a mark's number: typed text, a reply's start, its end
        shielded: list[Message] = []
        replies: dict[int, _Known] = {}  # by the message's place
        for place, (message, content) in enumerate(zip(messages, contents, strict=True)):
            said = message["role"] == "assistant"
            pieces = []
            for text, typed in (self._special if said else self._control).split(content):
                pieces += [text, marks.new() if typed else ""]
                inserts += [typed] if typed else []
            shielded.append({"role": message["role"], "content": "".join(pieces)})
            if said and (ids := known(message["content"])):
                replies[place] = _Known(marks.new(), marks.new(), ids)
                inserts += [replies[place], None]
        return self._encode(*marks.split(self._render(shielded, replies)), inserts)

    def _render(self, messages: Sequence[Message], replies: dict[int, _Known]) -> str:
        """The prompt's text, with marks around every reply that the template leaves whole."""
        while True:
            marked = list(messages)
            for place, reply in replies.items():
                content = reply.start + messages[place]["content"] + reply.end
                marked[place] = {"role": "assistant", "content": content}
            text = self._template.render(marked)
            rewritten = [place for place in replies if marked[place]["content"] not in text]
            if not rewritten:
                return text
            for place in rewritten:
                del replies[place]

    def _encode(
        self, text: str, marked: Sequence[tuple[int, str]], inserts: Sequence[str | _Known | None]
    ) -> list[int]:
        """Ids of `text` and of each mark's insert with the text that follows it."""
        ids: list[int] = []
        typed: str | None = None
        inside = False  # a known reply, whose text is passed over
        for number, following in marked:
            insert = inserts[number]
            if isinstance(insert, _Known):
                ids += self._part(typed, self._as_generated(text))
                ids += insert.ids
                inside = True
            elif insert is None:
                typed, text, inside = "", following, False
            elif not inside:
                ids += self._part(typed, text)
                typed, text = insert, following
        return ids + self._part(typed, text)

    def _part(self, typed: str | None, text: str) -> list[int]:
        """Ids of `typed`, spelled in ordinary tokens, and of the template's `text` after it.

        `typed` is None where the prompt begins: only there may a tokenizer put a space before the text.
        """
        start = 0
        ids: list[int] = []
        if typed or (typed is not None and self._prefixes):
            start = self._control.find(text)
            ids = self._plain.encode(typed + text[:start], add_special_tokens=False).ids
        return ids + self._tokenizer.encode(text[start:], add_special_tokens=False).ids

    def _as_generated(self, before: str) -> str:
        """`before`, a reply's left side in the history, as it was when the reply was generated.

        Some templates (Llama 2's) set a space before the reply that they don't end the prompt with: the model
        has said it itself, so that it is in the reply's ids.
        """
        cue, bare = self._template.cue, before.rstrip()
        if before.endswith(cue) or not bare.endswith(cue.rstrip()):
            return before
        return bare + cue[len(cue.rstrip()) :]


def _template_source(folder: Path, settings: Mapping[str, Any]) -> str:
    source = settings.get("chat_template")
    if (folder / TEMPLATE_FILE).exists():
        source = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    if isinstance(source, list):  # several, each with a name
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    if not isinstance(source, str):
        raise CheckpointError("there is no chat_template: take the model's instruct variant")
    return source
