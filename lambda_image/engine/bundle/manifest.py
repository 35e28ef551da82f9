"""The manifest of a bundle: what lies in its files, where, made from what.

A bundle is a folder: `manifest.json`, `weights.bin` (every tensor on a page boundary, in order of first use),
`embedding.bin` where the model's embedding is its own matrix, the tokenizer's files, and the KV cache of each
world's fixed prompt. It is complete or absent: the builder renames it into place. The same bytes serve every
CPU.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lambda_image.engine.bundle.config import Generation, ModelConfig, first_error
from lambda_image.engine.bundle.layout import LAYOUT, Kind
from lambda_image.engine.errors import BundleError

FORMAT: Literal[2] = 2
ENGINE = "curtain-engine/2"  # changes when the same weights would give other keys and values
MANIFEST = "manifest.json"
WEIGHTS = "weights.bin"  # what decoding reads for every token
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
TEMPLATE_FILE = "chat_template.jinja"  # newer exports keep the chat template in its own file
EMBEDDING = "embedding.bin"  # rows are gathered out of it: mapped, never read ahead
PAGE = 4096  # bytes; every tensor starts on a multiple
CONTEXT = 4096  # tokens at most, unless the builder is asked for more
REBUILD = "delete the bundle and build it again (make model, see docs/models.md)"

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]  # no path out of the bundle
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Ids = tuple[NonNegativeInt, ...]
Memory = Mapping[str, memoryview]  # files of a bundle that are not in its folder, by name
NOTHING: Memory = MappingProxyType({})


class TensorEntry(BaseModel):
    """Where one tensor lies."""

    model_config = ConfigDict(frozen=True)

    file: FileName
    offset: NonNegativeInt
    nbytes: PositiveInt
    kind: Kind
    shape: tuple[PositiveInt, ...]
    edges_crc32: NonNegativeInt  # of its first and last page: cheap enough for every load


class FileEntry(BaseModel):
    """One file of the bundle beside the manifest."""

    model_config = ConfigDict(frozen=True)

    size: NonNegativeInt
    sha256: Sha256


class Prefix(BaseModel):
    """Keys and values of a world's fixed prompt in `file`: keys, then values, each [layers, kv heads, ids,
    head dim]. They belong to these weights, these ids, this engine."""

    model_config = ConfigDict(frozen=True)

    file: FileName
    ids: Ids = Field(min_length=1)
    dtype: Literal["float16"]
    engine: str
    weights_sha256: Sha256


class Sample(BaseModel):
    """Some elements of a vector."""

    model_config = ConfigDict(frozen=True)

    indices: Ids = Field(min_length=1)
    values: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.indices) != len(self.values):
            raise ValueError(f"{len(self.indices)} indices for {len(self.values)} values")
        return self


class Golden(BaseModel):
    """What the model computed when it was built, of the last of `ids`: the self-test's reference."""

    model_config = ConfigDict(frozen=True)

    ids: Ids = Field(min_length=1)
    hidden: Sample  # of the state [hidden] after the first layer
    logits: Sample  # of the logits [vocabulary]
    kernels: str


class Manifest(BaseModel):
    """`manifest.json`."""

    model_config = ConfigDict(frozen=True)

    format: Literal[2]
    engine: str
    name: str
    source_sha256: str  # of the checkpoint's files, see `source.py`
    catalog: str | None = None  # the model's name in the catalog
    layout: Literal["qsi4c32p8"]  # int4 byte order, see `layout.py`
    group_size: Literal[32]
    context_length: PositiveInt
    config: ModelConfig
    generation: Generation
    tensors: dict[str, TensorEntry]
    files: dict[FileName, FileEntry]
    prefixes: dict[str, Prefix] = {}
    golden: Golden | None = None

    @property
    def mapped(self) -> set[str]:
        """The files that are mapped, not read: all but the tokenizer's."""
        tensors = {entry.file for entry in self.tensors.values()}
        return tensors | {prefix.file for prefix in self.prefixes.values()}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used = {entry.file for entry in self.tensors.values()}
        used |= {prefix.file for prefix in self.prefixes.values()} | {WEIGHTS}
        if absent := used - set(self.files):
            raise ValueError(f"files has nothing for {min(absent)}")
        if self.context_length > self.config.max_position_embeddings:
            raise ValueError(f"context_length {self.context_length} is more than the model's positions")
        if self.golden is not None:
            ids, hidden, logits = self.golden.ids, self.golden.hidden.indices, self.golden.logits.indices
            if max(*ids, *logits) >= self.config.vocab_size or max(hidden) >= self.config.hidden_size:
                raise ValueError("golden is of a model with other sizes")
        return self


def default_context(config: ModelConfig) -> int:
    """Tokens of context where nobody asks for another length."""
    return min(config.max_position_embeddings, CONTEXT)


def read_manifest(bundle: Path, memory: Memory = NOTHING) -> Manifest:
    """The manifest of `bundle`, its files there or in `memory`, and of the right size; else BundleError."""
    path = bundle / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}): {REBUILD}") from None
    except ValueError as error:
        raise BundleError(f"{path} is damaged ({error}): {REBUILD}") from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(
            f"{path} {_version(text) or f'is damaged ({first_error(error)})'}: {REBUILD}"
        ) from None
    check_sizes(bundle, manifest, memory)
    return manifest


def check_sizes(bundle: Path, manifest: Manifest, memory: Memory = NOTHING) -> None:
    """BundleError if a file of the bundle is missing or of another size."""
    for name, entry in manifest.files.items():
        try:
            size = len(memory[name]) if name in memory else (bundle / name).stat().st_size
        except OSError as error:
            raise BundleError(f"{bundle / name} can't be read ({error.strerror}): {REBUILD}") from None
        if size != entry.size:
            raise BundleError(f"{bundle / name} has {size} bytes instead of {entry.size}: {REBUILD}")


def verify_bundle(bundle: Path, memory: Memory = NOTHING) -> Manifest:
    """Compares every byte with the manifest's sums; BundleError names the first file that differs."""
    manifest = read_manifest(bundle, memory)
    check_sums(bundle, manifest, manifest.files, memory)
    return manifest


def check_sums(bundle: Path, manifest: Manifest, names: Iterable[str], memory: Memory = NOTHING) -> None:
    """BundleError if one of these files isn't what was built. Reads them whole."""
    for name in names:
        found = hashlib.sha256(memory[name]).hexdigest() if name in memory else sha256_file(bundle / name)
        if found != manifest.files[name].sha256:
            raise BundleError(f"{bundle / name} is not the file that was built (sha256 differs): {REBUILD}")


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def edges_crc32(tensor: memoryview) -> int:
    """CRC-32 of the first and last page of a tensor's bytes."""
    return zlib.crc32(tensor[-PAGE:], zlib.crc32(tensor[:PAGE]))


def _version(text: str) -> str | None:
    """What sets an intact manifest of another format or layout apart."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for key, ours in (("format", FORMAT), ("layout", LAYOUT), ("group_size", 32)):
        if isinstance(data, dict) and data.get(key) != ours:
            return f"is of {key} {data.get(key)!r}, this engine reads {ours!r}"
    return None
