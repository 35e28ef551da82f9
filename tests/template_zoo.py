"""Chat templates in the manner of every family in the catalog, with their quirks, and tokenizers to go with
them in the real file format: byte-level BPE, and BPE with byte fallback as converted from SentencePiece."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.checkpoints import PROSE, write_json

LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {%- set block = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' %}
    {{- block + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
"""

LLAMA31 = """\
{{- bos_token }}
{%- if custom_tools is defined %}{% set tools = custom_tools %}{% endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}{% set tools = none %}{% endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set told = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set told = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Tools: " + (tools | tojson(indent=4)) + "\\n" }}{% endif %}
{{- "Knowledge until: December 2023\\nToday: " + date_string + "\\n\\n" + told + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- else %}
        {{- raise_exception("no tools here") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """\
{{ bos_token }}{% for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('After the user comes the assistant, and after the assistant the user.') }}
{%- endif %}
{%- if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' -}}
{%- elif message['role'] == 'assistant' %}{{ message['content'] + eos_token -}}
{%- else %}{{ raise_exception('Only user and assistant can speak.') }}{% endif -%}
{%- endfor -%}
"""

LLAMA2 = """\
{% if messages[0]['role'] == 'system' %}
    {% set loop_messages = messages[1:] %}
    {% set system_message = messages[0]['content'] %}
{% else %}
    {% set loop_messages = messages %}
    {% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('user and assistant take turns') }}
    {% endif %}
    {% if loop.index0 == 0 and system_message != false %}
        {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' -}}
    {% elif message['role'] == 'assistant' %}
        {{- ' ' + content.strip() + ' ' + eos_token -}}
    {% endif %}
{% endfor %}
"""

QWEN25 = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are a helper of the house.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first)
            or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}
"""

QWEN3 = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string
            and not (message.content.startswith('<tool_response>')
                     and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\\n') %}
            {%- set thoughts = thoughts.split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or thoughts) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' }}
            {{- content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

SMOLLM2 = """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}
{{- '<|im_start|>system\\nYou are a small helper<|im_end|>\\n' }}{% endif %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""


@dataclass(frozen=True)
class Family:
    """One family's template and what its tokenizer is like."""

    template: str
    bos: str | None
    eos: str
    control: tuple[str, ...]  # special added tokens
    tags: tuple[str, ...] = ()  # added tokens that are not special
    sentencepiece: bool = False
    takes_system: bool = True
    keeps_replies: bool = True  # the history shows a reply as the prompt led up to it


HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|reserved_special_token_0|>")
LLAMA_CONTROL = ("<|begin_of_text|>", "<|end_of_text|>", *HEADERS)
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PIECES = ("<unk>", "<s>", "</s>")

FAMILIES = {
    "llama3": Family(LLAMA3, "<|begin_of_text|>", "<|eot_id|>", LLAMA_CONTROL),
    "llama3.1": Family(LLAMA31, "<|begin_of_text|>", "<|eot_id|>", LLAMA_CONTROL),
    "mistral": Family(MISTRAL, "<s>", "</s>", PIECES, sentencepiece=True, takes_system=False),
    "codellama": Family(LLAMA2, "<s>", "</s>", PIECES, ("▁<PRE>", "▁<EOT>"), sentencepiece=True),
    "qwen2.5": Family(QWEN25, None, "<|im_end|>", CHATML, ("<tool_call>", "</tool_call>")),
    "qwen3": Family(QWEN3, None, "<|im_end|>", CHATML, ("<think>", "</think>"), keeps_replies=False),
    "smollm2": Family(SMOLLM2, "<|im_start|>", "<|im_end|>", CHATML),
}


def write_family(folder: Path, family: Family) -> Path:
    """Writes the family's tokenizer files; returns `folder`."""
    tokenizer = _sentencepiece() if family.sentencepiece else _byte_level(family)
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in family.control]
    )
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.tags])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "bos_token": family.bos,
        "eos_token": family.eos,
        "chat_template": family.template,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
        "tokenizer_class": "PreTrainedTokenizerFast",  # takes tokenizer.json as it is
    }
    write_json(folder / "tokenizer_config.json", settings)
    return folder


def _byte_level(family: Family) -> Tokenizer:
    """As Llama 3 and Qwen have it: a splitting pattern, then bytes; Qwen puts text into form C first."""
    tokenizer = Tokenizer(models.BPE())
    if "<|im_start|>" in family.control and family.bos is None:
        tokenizer.normalizer = normalizers.NFC()
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(PROSE, trainer)
    return tokenizer


def _sentencepiece() -> Tokenizer:
    """As Llama 2 and Mistral have it: a space before every text, spaces as ▁, unknown characters as bytes."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    learned.train_from_iterator(PROSE, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    vocabulary = {text: number for number, text in enumerate(PIECES)}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    found = learned.get_vocab()
    for text in sorted(found, key=found.__getitem__):
        vocabulary.setdefault(text, len(vocabulary))
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=_merges(learned), unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    return [(first, second) for first, second in json.loads(tokenizer.to_str())["model"]["merges"]]
