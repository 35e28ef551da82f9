"""Downloads what a bundle is made from out of a repository of the Hugging Face hub, and nothing else.

A download that was cut short, even by a kill, goes on where it stopped: huggingface_hub 2.4 by itself resumes
only within one process, so its `http_get` is called here with part files that stay. Weights are compared with
the sha256 that the hub lists.
"""

import errno
import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from lambda_image.engine.bundle.config import read_config
from lambda_image.engine.bundle.manifest import sha256_file
from lambda_image.engine.errors import EngineError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

WANTED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template*",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
)

Progress = Callable[[str, int, int], None]  # file, bytes so far of all files, bytes in all


class FetchError(EngineError):
    """The checkpoint can't be had; the message says why, and what would help."""


class AccessError(FetchError):
    """The hub refuses it to this user: no consent, no token, or a wrong one."""


def check_access(repository: str, revision: str) -> None:
    """Reads config.json of `repository` and keeps nothing: whoever may do that may fetch the weights too.

    Raises AccessError; FetchError where the hub can't be asked, or has no such repository or revision.
    """
    import httpx2
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils._http import get_session, hf_raise_for_status

    endpoint = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).endpoint
    url = hf_hub_url(repository, "config.json", revision=revision, endpoint=endpoint)
    try:
        answer = get_session().get(url, headers=build_hf_headers(), follow_redirects=True, timeout=10)
        hf_raise_for_status(answer)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        refused = isinstance(error, GatedRepoError) or (
            isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        )
        kind = AccessError if refused else FetchError
        raise kind(f"{repository} {_reason(error, repository, revision, endpoint)}") from error


def download(repository: str, revision: str, base: Path, progress: Progress) -> Path:
    """The folder `base`/COMMIT with the wanted files of `repository`. Grows as `base`/.COMMIT.partial.

    Raises FetchError; CheckpointError as soon as config.json shows a model that isn't supported.
    """
    import httpx2  # huggingface_hub's transport
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        info = api.model_info(repository, revision=revision, files_metadata=True)
        folder = base / str(info.sha)
        if not folder.is_dir():
            growing = folder.with_name(f".{folder.name}.partial")
            growing.mkdir(exist_ok=True)
            _download_all(api.endpoint, info, growing, progress)
            growing.rename(folder)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise FetchError(f"{repository} {_reason(error, repository, revision, api.endpoint)}") from error
    return folder


def _download_all(endpoint: str, info: "ModelInfo", folder: Path, progress: Progress) -> None:
    from huggingface_hub import hf_hub_url

    files = {file.rfilename: file for file in info.siblings or () if _wanted(file.rfilename)}
    if not any(name.endswith(".safetensors") for name in files):
        raise FetchError(f"{info.id} holds no model*.safetensors: take a repository that has them")
    total = sum(file.size or 0 for file in files.values())
    needed = total - sum(path.stat().st_size for path in folder.iterdir())
    if (free := shutil.disk_usage(folder).free) < needed:
        raise FetchError(
            f"{info.id} needs {needed / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free in {folder.parent}: "
            "make room, or put the checkpoint elsewhere and give its folder as SOURCE"
        )
    done = 0
    for name in sorted(files, key=lambda name: (name != "config.json", files[name].size or 0)):
        url = hf_hub_url(info.id, name, revision=info.sha, endpoint=endpoint)
        report = partial(_report, progress, name, done, total)
        _download_file(url, files[name], folder / name, report)
        done += files[name].size or 0
        progress(name, done, total)
        if name == "config.json":
            read_config(folder / name)  # a refusal comes before gigabytes


def _report(progress: Progress, name: str, before: int, total: int, count: int) -> None:
    progress(name, before + count, total)


def _wanted(name: str) -> bool:
    return "/" not in name and any(fnmatchcase(name, pattern) for pattern in WANTED)


def _download_file(url: str, file: "RepoSibling", path: Path, report: Callable[[int], None]) -> None:
    """Fetches one file, from where its part ends; goes on as long as each attempt brings something."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # lazily exported

    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.exists() else 0
    if file.lfs is None or have > file.lfs.size:  # small files have no sum that would show a bad start
        part.unlink(missing_ok=True)
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            with part.open("ab") as out:
                http_get(
                    url,
                    out,
                    resume_size=have,
                    headers=build_hf_headers(),
                    expected_size=file.size,
                    tqdm_class=cast(Any, partial(_Bar, report)),
                )
            break
        except httpx2.HTTPError as error:
            if isinstance(error, HfHubHTTPError) or part.stat().st_size <= have:
                raise
    if file.lfs is not None and sha256_file(part) != file.lfs.sha256:
        part.unlink()
        raise FetchError(f"{path.name} from {url} came damaged (sha256 differs): run the same again")
    part.rename(path)


class _Bar:
    """What http_get takes for a progress bar: tells `report` the bytes that are there."""

    def __init__(self, report: Callable[[int], None], *, initial: int = 0, **_: object) -> None:
        self._report = report
        self._count = initial

    def update(self, count: int = 1) -> None:
        self._count += count
        self._report(self._count)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _reason(error: Exception, repository: str, revision: str, endpoint: str) -> str:
    """Why, in the user's words, and what to do. Never holds the token."""
    from huggingface_hub import errors, get_token

    page = f"{endpoint}/{repository}"
    match error:
        case errors.GatedRepoError() if get_token():
            return f"is gated, and your token has no access yet: accept the licence on {page}"
        case errors.GatedRepoError():
            return (
                f"is gated: accept the licence on {page}, make a token that may read it, set HF_TOKEN to it"
            )
        case errors.RevisionNotFoundError():
            return f"has no revision {revision}: look it up on {page}, or leave it out"
        case errors.HfHubHTTPError() if error.response.status_code == 401 and get_token():
            return f"isn't on {endpoint} for your token: check the spelling, and that HF_TOKEN is valid"
        case errors.RepositoryNotFoundError():
            return f"isn't on {endpoint}, or is private: check the spelling, or set HF_TOKEN"
        case errors.HfHubHTTPError():
            status = error.response.status_code
            return f"can't be fetched now, {endpoint} answered {status}: run the same again later, it goes on"
        case OSError() if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            return f"doesn't fit on the disk ({error.strerror}): make room and run the same again, it goes on"
        case _:
            return (
                f"can't be fetched from {endpoint} ({type(error).__name__}: {error}): check the network and "
                "run the same again, it goes on; or give a local folder as SOURCE"
            )
