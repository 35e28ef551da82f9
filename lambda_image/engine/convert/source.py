"""The files of a checkpoint folder, and their identity. Without torch: a stage asks at every start."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from lambda_image.engine.bundle.config import missing, read_json
from lambda_image.engine.bundle.manifest import TEMPLATE_FILE, TOKENIZER_FILES, sha256_file
from lambda_image.engine.errors import CheckpointError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")  # no path out of the folder
OPTIONAL_FILES = ("generation_config.json", TEMPLATE_FILE)


def weight_map(folder: Path) -> dict[str, str] | None:
    """Tensor name to file name of a sharded checkpoint; None if it is not sharded."""
    path = folder / INDEX
    if not path.exists():
        return None
    found = read_json(path).get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise CheckpointError(f"{path} has no weight_map from tensor to file: fetch it again")
    for name in found.values():
        if not FILE_NAME.fullmatch(name):
            raise CheckpointError(f"{path} names {name!r}, which is no file of that folder: fetch it again")
    return found


def source_files(folder: Path) -> list[Path]:
    """Every file that a bundle is made from, sorted by name. CheckpointError names one that is missing."""
    shards = weight_map(folder)
    names = {"config.json", *TOKENIZER_FILES, *([SINGLE] if shards is None else shards.values())}
    names |= {name for name in OPTIONAL_FILES if (folder / name).exists()}
    paths = [folder / name for name in sorted(names)]
    for path in paths:
        if not path.is_file():
            raise missing(path)
    return paths


def source_sha256(folder: Path, *, file_sha256: Callable[[Path], str] = sha256_file) -> str:
    """One sum over the names and contents of all source files."""
    lines = (f"{file_sha256(path)}  {path.name}\n" for path in source_files(folder))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
