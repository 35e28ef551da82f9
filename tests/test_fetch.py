"""Fetching a checkpoint: from a hub that answers over HTTP, and from folders."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from lambda_image.engine.convert.fetch import fetch
from lambda_image.engine.convert.hub import FetchError
from lambda_image.engine.convert.source import source_sha256
from lambda_image.engine.errors import CheckpointError
from tests.checkpoints import write_checkpoint
from tests.hub import COMMIT, FakeHub, fake_hub

SECRET = "hf_do_not_print_me"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "toy", hidden=128, sharded=True)


def test_only_what_a_bundle_needs_is_fetched_and_only_once(
    hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    hub.add("toys/toy", checkpoint)
    seen: list[tuple[str, int, int]] = []
    folder = fetch("toys/toy", tmp_path, progress=lambda *step: seen.append(step))
    assert folder == tmp_path / "toys--toy" / COMMIT
    assert source_sha256(folder) == source_sha256(checkpoint)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in checkpoint.iterdir()
    )
    assert hub.fetched()[0] == "config.json"
    _, done, total = seen[-1]
    assert done == total == sum(path.stat().st_size for path in folder.iterdir())
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)

    hub.requests.clear()
    assert fetch(f"toys/toy@{COMMIT}", tmp_path) == folder
    assert hub.requests == []  # a commit that is there needs no network
    assert fetch("toys/toy@main", tmp_path) == folder
    assert hub.fetched() == []


@pytest.mark.parametrize("reset", [False, True], ids=["early end", "reset"])
def test_a_cut_connection_is_taken_up_where_it_broke(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 10)  # what is kept is whole chunks
    name = "model-00001-of-00002.safetensors"
    hub.add("toys/toy", checkpoint)
    hub.cuts[name], hub.reset = [10_000], reset
    folder = fetch("toys/toy", tmp_path)
    assert source_sha256(folder) == source_sha256(checkpoint)
    ranges = [wanted for path, wanted in hub.requests if path.endswith(name)]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert 0 < int(ranges[1].removeprefix("bytes=").rstrip("-")) <= 10_000


def test_a_later_run_goes_on_from_the_part_file(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    """As after a kill: the folder holds finished files and the beginning of one."""
    hub.add("toys/toy", checkpoint)
    growing = tmp_path / "toys--toy" / f".{COMMIT}.partial"
    growing.mkdir(parents=True)
    shutil.copy(checkpoint / "config.json", growing)
    name = "model-00002-of-00002.safetensors"
    (growing / f"{name}.part").write_bytes((checkpoint / name).read_bytes()[:7_000])
    folder = fetch("toys/toy", tmp_path)
    assert source_sha256(folder) == source_sha256(checkpoint)
    assert "config.json" not in hub.fetched()
    assert (f"/toys/toy/resolve/{COMMIT}/{name}", "bytes=7000-") in hub.requests


def test_a_part_file_that_is_too_long_is_thrown_away(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    hub.add("toys/toy", checkpoint)
    part = _part_file(tmp_path)
    part.write_bytes((checkpoint / part.stem).read_bytes() + b"more")
    assert source_sha256(fetch("toys/toy", tmp_path)) == source_sha256(checkpoint)


def test_a_part_file_that_is_wrong_shows_and_is_thrown_away(
    hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    hub.add("toys/toy", checkpoint)
    part = _part_file(tmp_path)
    part.write_bytes(bytes(5_000))
    with pytest.raises(FetchError, match=rf"{part.stem} .* came damaged"):
        fetch("toys/toy", tmp_path)
    assert source_sha256(fetch("toys/toy", tmp_path)) == source_sha256(checkpoint)


def _part_file(home: Path) -> Path:
    growing = home / "toys--toy" / f".{COMMIT}.partial"
    growing.mkdir(parents=True)
    return growing / "model-00001-of-00002.safetensors.part"


def test_damaged_weights_never_bear_the_name_that_is_read(
    hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    hub.add("toys/toy", checkpoint).sha256["model-00001-of-00002.safetensors"] = "0" * 64
    for _ in range(2):
        with pytest.raises(FetchError, match=r"model-00001-of-00002\.safetensors .* damaged \(sha256"):
            fetch("toys/toy", tmp_path)
    assert not (tmp_path / "toys--toy" / COMMIT).exists()


def test_an_unsupported_model_is_refused_before_its_weights(
    hub: FakeHub, checkpoint: Path, tmp_path: Path
) -> None:
    repository = hub.add("toys/toy", checkpoint)
    config = json.loads(repository.files["config.json"]) | {"architectures": ["MambaForCausalLM"]}
    repository.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(CheckpointError, match="MambaForCausalLM"):
        fetch("toys/toy", tmp_path)
    assert hub.fetched() == ["config.json"]


def test_a_gated_model_without_a_token(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    hub.add("toys/toy", checkpoint, gated=True)
    with pytest.raises(FetchError, match=r"gated: accept the licence on http\S+/toys/toy.*HF_TOKEN"):
        fetch("toys/toy", tmp_path)


def test_a_token_without_consent_then_with_it(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("toys/toy", checkpoint, gated=True)
    hub.tokens[SECRET] = False
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(FetchError, match="your token has no access yet: accept the licence") as refused:
        fetch("toys/toy", tmp_path)
    assert SECRET not in str(refused.value)
    hub.tokens[SECRET] = True
    assert source_sha256(fetch("toys/toy", tmp_path)) == source_sha256(checkpoint)


def test_an_invalid_token(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("toys/toy", checkpoint)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with pytest.raises(FetchError, match="HF_TOKEN is valid") as refused:
        fetch("toys/toy", tmp_path)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("toys/absent", "toys/absent isn't on http"),
        ("toys/toy@v9", "has no revision v9"),
        ("toys", "toys: no such folder, and no owner/repository"),
        ("./toys/toy", "./toys/toy: no such folder"),
        ("https://toys/toy", "no such folder, and no owner"),
        ("toys/toy@", "no such folder, and no owner"),
    ],
)
def test_a_wrong_source_is_named(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, source: str, message: str
) -> None:
    hub.add("toys/toy", checkpoint)
    with pytest.raises(FetchError, match=message):
        fetch(source, tmp_path)


def test_a_repository_without_safetensors(hub: FakeHub, checkpoint: Path, tmp_path: Path) -> None:
    files = hub.add("toys/toy", checkpoint).files
    for name in [name for name in files if name.endswith(".safetensors")]:
        del files[name]
    with pytest.raises(FetchError, match=r"toys/toy holds no model\*\.safetensors"):
        fetch("toys/toy", tmp_path)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(FetchError, match=rf"127\.0\.0\.1:{port} \(ConnectError.*check the network"):
        fetch("toys/toy", tmp_path)


def test_a_disk_that_is_too_small_is_known_before_the_download(
    hub: FakeHub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("toys/toy", checkpoint)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(FetchError, match=r"toys/toy needs \d\.\d GB more, 0\.0 GB are free"):
        fetch("toys/toy", tmp_path)
    assert hub.fetched() == []


def test_a_folder_is_taken_as_it_is(checkpoint: Path, tmp_path: Path) -> None:
    assert fetch(str(checkpoint), tmp_path) == checkpoint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model-00002-of-00002.safetensors"])
def test_an_incomplete_folder_names_what_is_missing(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        fetch(str(folder), tmp_path)
