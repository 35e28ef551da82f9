"""A checkpoint's folder: a local one, or a repository of the Hugging Face hub."""

import re
from pathlib import Path

from lambda_image.engine.bundle.config import read_config
from lambda_image.engine.convert.hub import WANTED, FetchError, Progress, download
from lambda_image.engine.convert.locked import locked
from lambda_image.engine.convert.source import source_files
from lambda_image.engine.errors import CheckpointError

REFERENCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(source: str, home: Path, *, progress: Progress = lambda *_: None) -> Path:
    """The folder of the checkpoint `source`: a folder, or `owner/repository[@revision]`, kept under `home`.

    Files that are there already are not fetched again, and a commit that is whole needs no network. A token
    is taken from HF_TOKEN, or from `hf auth login`; the hub's address from HF_ENDPOINT. The architecture is
    checked as soon as config.json is there. Raises FetchError; CheckpointError if the model isn't supported
    or the folder isn't whole.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        match = REFERENCE.fullmatch(source)
        if source.startswith(("/", ".", "~")) or match is None:
            raise FetchError(
                f"{source}: no such folder, and no owner/repository[@revision] of the Hugging Face hub either"
            )
        folder = _fetched(match["repository"], match["revision"] or "main", home, progress)
    read_config(folder / "config.json")
    source_files(folder)
    return folder


def _fetched(repository: str, revision: str, home: Path, progress: Progress) -> Path:
    base = home / repository.replace("/", "--")
    if COMMIT.fullmatch(revision):
        if (base / revision).is_dir():
            return base / revision
        if (cached := _in_hub_cache(repository, revision)) is not None:
            return cached
    with locked(base / ".lock"):
        return download(repository, revision, base, progress)


def _in_hub_cache(repository: str, commit: str) -> Path | None:
    """The snapshot that other programs left in huggingface_hub's own cache, if it is whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository, revision=commit, allow_patterns=list(WANTED), local_files_only=True
        )
        source_files(Path(found))
    except (LocalEntryNotFoundError, CheckpointError):
        return None
    return Path(found)
