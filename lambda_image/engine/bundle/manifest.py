"""The manifest of a bundle: what is in `weights.bin`, where, made from what, for which CPU.

A bundle is a folder: `manifest.json`, `weights.bin` (every tensor on a page boundary, in order of first use)
and the tokenizer's files. It is complete or absent: the builder renames it into place.
"""

import hashlib
import zlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from lambda_image.engine.bundle.config import Generation, ModelConfig, first_error
from lambda_image.engine.errors import BundleError

FORMAT = 1
MANIFEST, WEIGHTS = "manifest.json", "weights.bin"
PAGE = 4096  # bytes; every tensor starts on a multiple
REBUILD = (
    "delete the bundle and build it again (python -m lambda_image.engine.convert.build CHECKPOINT BUNDLE)"
)

Dtype = Literal["float32", "float16", "bfloat16", "uint8"]


class TensorEntry(BaseModel):
    """Where one tensor lies in weights.bin."""

    model_config = ConfigDict(frozen=True)

    offset: NonNegativeInt
    nbytes: PositiveInt
    dtype: Dtype
    shape: tuple[PositiveInt, ...]
    edges_crc32: NonNegativeInt  # of its first and last page: cheap enough for every load


class FileEntry(BaseModel):
    """One file of the bundle beside the manifest."""

    model_config = ConfigDict(frozen=True)

    size: NonNegativeInt
    sha256: str


class Manifest(BaseModel):
    """`manifest.json`."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    engine: str
    name: str
    source_sha256: str  # of the checkpoint's files, see `source.py`
    layout: str  # int4 byte order, tied to the CPU's vector width
    group_size: Literal[32]
    config: ModelConfig
    generation: Generation
    tensors: dict[str, TensorEntry]
    files: dict[str, FileEntry]


def read_manifest(bundle: Path) -> Manifest:
    """The manifest of `bundle`, its files present and of the right size; else BundleError."""
    path = bundle / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} can't be read ({error.strerror}): {REBUILD}") from None
    except ValidationError as error:
        raise BundleError(
            f"{path} is damaged or of another version ({first_error(error)}): {REBUILD}"
        ) from None
    for name, entry in manifest.files.items():
        try:
            size = (bundle / name).stat().st_size
        except OSError as error:
            raise BundleError(f"{bundle / name} can't be read ({error.strerror}): {REBUILD}") from None
        if size != entry.size:
            raise BundleError(f"{bundle / name} has {size} bytes instead of {entry.size}: {REBUILD}")
    return manifest


def verify_bundle(bundle: Path) -> Manifest:
    """Compares every byte with the manifest's sums; BundleError names the first file that differs."""
    manifest = read_manifest(bundle)
    for name, entry in manifest.files.items():
        if sha256_file(bundle / name) != entry.sha256:
            raise BundleError(f"{bundle / name} is not the file that was built (sha256 differs): {REBUILD}")
    return manifest


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def edges_crc32(tensor: memoryview) -> int:
    """CRC-32 of the first and last page of a tensor's bytes."""
    return zlib.crc32(tensor[-PAGE:], zlib.crc32(tensor[:PAGE]))
