"""What `make test-image` says where no Docker Engine will do."""

import os
from pathlib import Path

import pytest

from tests.image.engine import OLDEST, EngineError, container_engine

DENIED = "permission denied while trying to connect to the Docker daemon socket"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (f"echo '{DENIED}' >&2; exit 1", DENIED),
        (f"echo {OLDEST - 1}.0.7", f"the engine that runs is {OLDEST - 1}.0.7"),
        ("[ $1 = version ] && echo 28.1.0 || { echo no $1 here >&2; exit 1; }", "no buildx here"),
        (None, "install and start one"),
    ],
)
def test_it_says_what_it_needs_and_what_docker_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, said: str
) -> None:
    if program:
        docker = tmp_path / "docker"
        docker.write_text(f"#!{os.path.realpath('/bin/sh')}\n{program}\n")
        docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get either, which would unpack an engine
    with pytest.raises(EngineError) as refused, container_engine():
        raise AssertionError("an engine")
    message = str(refused.value)
    assert f"Docker Engine of version {OLDEST} or newer" in message
    assert said in message
    assert (str(tmp_path / "docker") in message) == (program is not None)
